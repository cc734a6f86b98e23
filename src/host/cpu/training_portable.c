/* training_portable.c - the kernels of training in plain C, for machines with nothing better. Built with
 * -ffp-contract=off. */
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_portable
#include "cpu/kernels_training_body.h"

TRAINING_KERNELS(portable);
