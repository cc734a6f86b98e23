/* tests.c - the list of suites. A new one is one line here; CMakeLists.txt finds its file. */
#include "harness.h"

#define SUITES(SUITE)                                                                                                  \
  SUITE(test_problem_strings)                                                                                          \
  SUITE(test_tensors)                                                                                                  \
  SUITE(test_layers)                                                                                                   \
  SUITE(test_functions)                                                                                                \
  SUITE(test_stacks)                                                                                                   \
  SUITE(test_weights)                                                                                                  \
  SUITE(test_directions)                                                                                               \
  SUITE(test_backward_layer)                                                                                           \
  SUITE(test_masks)                                                                                                    \
  SUITE(test_skipped)                                                                                                  \
  SUITE(test_gradients)                                                                                                \
  SUITE(test_training)                                                                                                 \
  SUITE(test_half)                                                                                                     \
  SUITE(test_halves)                                                                                                   \
  SUITE(test_int8_levels)                                                                                              \
  SUITE(test_int8)                                                                                                     \
  SUITE(test_properties)                                                                                               \
  SUITE(test_special)                                                                                                  \
  SUITE(test_state)                                                                                                    \
  SUITE(test_thread_counts)                                                                                            \
  SUITE(test_threads)                                                                                                  \
  SUITE(test_borrowed)                                                                                                 \
  SUITE(test_both)                                                                                                     \
  SUITE(test_cost)                                                                                                     \
  SUITE(test_memory_of_host)                                                                                           \
  SUITE(test_alloc_counter)                                                                                            \
  SUITE(test_alloc)                                                                                                    \
  SUITE(test_api_library)                                                                                              \
  SUITE(test_api)                                                                                                      \
  SUITE(test_api_plan)                                                                                                 \
  SUITE(test_api_pack)                                                                                                 \
  SUITE(test_api_forward)                                                                                              \
  SUITE(test_api_backward)                                                                                             \
  SUITE(test_api_params)                                                                                               \
  SUITE(test_kernels_cpu)                                                                                              \
  SUITE(test_halves_cpu)                                                                                               \
  SUITE(test_int8_cpu)                                                                                                 \
  SUITE(test_cells_cpu)                                                                                                \
  SUITE(test_training_cpu)                                                                                             \
  SUITE(test_cpu)                                                                                                      \
  SUITE(test_kernels_cuda)                                                                                             \
  SUITE(test_cuda)                                                                                                     \
  SUITE(test_cuda_hoisted)                                                                                             \
  SUITE(test_training_cuda)                                                                                            \
  SUITE(test_philox)                                                                                                   \
  SUITE(test_init)                                                                                                     \
  SUITE(test_optimise)                                                                                                 \
  SUITE(test_api_optimise)                                                                                             \
  SUITE(test_kernels_optimise)                                                                                         \
  SUITE(test_golden_index)                                                                                             \
  SUITE(test_golden)                                                                                                   \
  SUITE(test_real)

#define DECLARE(name) extern const test_suite name;
#define LIST(name) &name,

SUITES(DECLARE)

const test_suite *const test_suites[] = {SUITES(LIST) NULL};
