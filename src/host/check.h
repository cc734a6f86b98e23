/* check.h - the checks of one call, and the caller's distances with zeros replaced by the dense ones. */
#ifndef RONDO_CHECK_H
#define RONDO_CHECK_H

#include "internal.h"

rondo_strides rondo_x_strides(const rondo_plan *plan, const rondo_batch *batch);
rondo_strides rondo_y_strides(const rondo_plan *plan, const rondo_batch *batch);
size_t rondo_y_last_stride(const rondo_plan *plan, const rondo_batch *batch);
size_t rondo_y_last_direction(const rondo_plan *plan, const rondo_batch *batch);

/* All checks of rondo_forward; nothing has been written when they fail. who: the public function's name. */
rondo_status rondo_check_batch(const char *who, const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);

/* All checks of rondo_backward. */
rondo_status rondo_check_backward(const char *who, const rondo_plan *plan, rondo_context *ctx,
                                  const rondo_batch *batch);

#endif
