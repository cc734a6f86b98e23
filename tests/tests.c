/* tests.c - the list of suites. A new one is one line here; CMakeLists.txt finds its file. */
#include "harness.h"

#define SUITES(SUITE)                                                                                                  \
  SUITE(test_problem_strings)                                                                                          \
  SUITE(test_tensors)                                                                                                  \
  SUITE(test_layers)                                                                                                   \
  SUITE(test_stacks)                                                                                                   \
  SUITE(test_properties)                                                                                               \
  SUITE(test_special)                                                                                                  \
  SUITE(test_state)                                                                                                    \
  SUITE(test_thread_counts)                                                                                            \
  SUITE(test_threads)                                                                                                  \
  SUITE(test_alloc_counter)                                                                                            \
  SUITE(test_alloc)                                                                                                    \
  SUITE(test_api_library)                                                                                              \
  SUITE(test_api)                                                                                                      \
  SUITE(test_api_forward)                                                                                              \
  SUITE(test_api_params)                                                                                               \
  SUITE(test_kernels_cpu)                                                                                              \
  SUITE(test_cpu)                                                                                                      \
  SUITE(test_kernels_cuda)                                                                                             \
  SUITE(test_cuda)                                                                                                     \
  SUITE(test_golden_index)                                                                                             \
  SUITE(test_golden)                                                                                                   \
  SUITE(test_real)

#define DECLARE(name) extern const test_suite name;
#define LIST(name) &name,

SUITES(DECLARE)

const test_suite *const test_suites[] = {SUITES(LIST) NULL};
