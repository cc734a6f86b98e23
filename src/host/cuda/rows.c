/* rows.c - the order of rows on the device, and what no step writes.
 *
 * The host knows the schedule (schedule.h), so it knows how many rows take part in each step; the device must know what
 * row r is. That is 16 bytes a row, and with a mask a bit for each step, from which a kernel makes the positions. They
 * travel as parameters of kernels, up to 32000 bytes at a time: nothing is copied from host memory, so nothing has to
 * be pinned, waited for or kept until a graph's launches. A call that has no lengths, mask, slots or restart needs none
 * of this.
 *
 * The host sorts, not CUB: lengths are host memory, and it must count them anyway, as cuBLAS takes the number of rows
 * of each product from it. Sorted on the device they would be one launch to bring the lengths, one or more of
 * cub::DeviceRadixSort, and one to make rows of the order, in place of one launch for each 2000 rows. */
#include "stepwise.h"

/* Words on their way to the device. */
typedef struct upload {
  uint32_t words[RONDO_MOST_WORDS];
  int count;
  uint32_t *to;
  cudaStream_t stream;
} upload;

static rondo_status flush(upload *u) {
  if (!u->count) return RONDO_OK;
  CUDA_TRY(rondo_words_upload_cuda(&(rondo_words_upload_args){.to = u->to, .words = u->words, .count = u->count},
                                   u->stream));
  u->to += u->count;
  u->count = 0;
  return RONDO_OK;
}

static rondo_status push(upload *u, uint32_t word) {
  u->words[u->count++] = word;
  return u->count == RONDO_MOST_WORDS ? flush(u) : RONDO_OK;
}

/* The words of a rondo_row. */
static rondo_status push_row(upload *u, const rondo_pass *pass, int r) {
  const rondo_schedule *s = pass->schedule;
  int n = rondo_schedule_row(s, r), state = pass->slots ? pass->slots[n] : n;
  if (pass->restart && pass->restart[n]) state = ~state;
  int first = s->first ? s->first[n] : 0;
  const int words[] = {n, state, rondo_schedule_count(s, r), first};
  for (int i = 0; i < 4; i++) TRY(push(u, (uint32_t)words[i]));
  return RONDO_OK;
}

static rondo_status upload_rows(const rondo_cuda_run *run) {
  _Static_assert(sizeof(rondo_row) == 4 * sizeof(uint32_t), "push_row writes four words");
  upload u = {.to = (uint32_t *)run->parts.row, .stream = run->state->stream, .count = 0};
  for (int r = 0; r < run->pass->batch; r++) TRY(push_row(&u, run->pass, r));
  return flush(&u);
}

/* The mask of each row in order of processing. */
static rondo_status upload_mask(const rondo_cuda_run *run) {
  const rondo_schedule *s = run->pass->schedule;
  upload u = {.to = run->parts.bits, .stream = run->state->stream, .count = 0};
  for (int r = 0; r < s->batch; r++) {
    const uint8_t *mask = run->pass->mask + (size_t)s->order[r] * (size_t)s->timesteps;
    uint32_t word = 0;
    for (int p = 0; p < s->timesteps; p++) {
      word |= (uint32_t)(mask[s->reversed ? s->timesteps - 1 - p : p] != 0) << p % 32;
      if (p % 32 < 31 && p < s->timesteps - 1) continue;
      TRY(push(&u, word));
      word = 0;
    }
  }
  TRY(flush(&u));
  CUDA_TRY(rondo_mask_positions_cuda(
      &(rondo_mask_positions_args){
          .rows = s->batch, .timesteps = s->timesteps, .bits = run->parts.bits, .position = run->parts.position},
      run->state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_rows_begin(rondo_cuda_run *run) {
  const rondo_pass *pass = run->pass;
  run->step = (rondo_step){.timesteps = pass->timesteps};
  if (pass->schedule->full && !pass->slots && !pass->restart) return RONDO_OK;
  run->step.row = run->parts.row;
  TRY(upload_rows(run));
  if (!pass->schedule->position) return RONDO_OK;
  run->step.position = run->parts.position;
  return upload_mask(run);
}

static rondo_status fill(const rondo_cuda_run *run) {
  const rondo_pass *pass = run->pass;
  rondo_rows_fill_args args = {.step = run->step,
                               .most = pass->schedule->steps,
                               .output_size = pass->output_size,
                               .zero = pass->zero_y,
                               .y = pass->y,
                               .y_sequence = pass->y_sequence,
                               .y_timestep = pass->y_timestep,
                               .merge = pass->merge};
  args.step.rows = pass->batch;
  CUDA_TRY(rondo_rows_fill_cuda(&args, run->state->stream));
  return RONDO_OK;
}

static rondo_status idle(const rondo_cuda_run *run, int active) {
  const rondo_pass *pass = run->pass;
  rondo_rows_idle_args args = {.row = run->step.row,
                               .first = active,
                               .rows = pass->batch - active,
                               .output_size = pass->output_size,
                               .hidden_size = pass->hidden_size,
                               .h_0 = {pass->h_0, pass->h_stride},
                               .c_0 = {pass->c_0, pass->c_stride},
                               .h_n = {pass->h_n, pass->h_stride},
                               .c_n = {pass->c_n, pass->c_stride},
                               .y_last = {pass->y_last, pass->y_last_stride},
                               .merge = pass->merge};
  CUDA_TRY(rondo_rows_idle_cuda(&args, run->state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_rows_end(const rondo_cuda_run *run) {
  const rondo_schedule *s = run->pass->schedule;
  if (s->full) return RONDO_OK;
  int active = s->steps ? s->active[0] : 0;
  if (active < s->batch) TRY(idle(run, active));
  return run->pass->y ? fill(run) : RONDO_OK;
}
