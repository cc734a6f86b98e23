/* kernels_weights.h - the products for GATES gates once for each type of weights, and the choice by rondo_dtype;
 * kernels_body.h includes it for each number of gates. */
#define GATES_PASTE(name, gates) name##_##gates
#define GATES_NAME(name, gates) GATES_PASTE(name, gates)
#define OF_GATES(name) GATES_NAME(name, GATES)
#define TYPE_PASTE(name, gates, type) name##_##gates##_##type
#define TYPE_NAME(name, gates, type) TYPE_PASTE(name, gates, type)
#define OF_TYPE(name, type) TYPE_NAME(name, GATES, type)

#if defined(VEC_PAIRS)
#define TYPE bf16
#define WEIGHT uint32_t
#define LOAD vec_load_pairs
#define GROUP 2
#include "cpu/kernels_gates.h"
#elif defined(VEC_VNNI)
#define TYPE int8
#define WEIGHT uint32_t
#define LOAD vec_load_quads
#define GROUP 4
#include "cpu/kernels_gates.h"
#else
#define TYPE f32
#define WEIGHT float
#define LOAD vec_load
#define GROUP 1
#include "cpu/kernels_gates.h"
#define TYPE f16
#define WEIGHT uint16_t
#define LOAD vec_load_f16
#define GROUP 1
#include "cpu/kernels_gates.h"
#define TYPE bf16
#define WEIGHT uint16_t
#define LOAD vec_load_bf16
#define GROUP 1
#include "cpu/kernels_gates.h"
#define TYPE int8
#define WEIGHT uint32_t
#define LOAD vec_load_quads
#define GROUP 4
#include "cpu/kernels_gates.h"
#endif

#if defined(OWN_TYPE) /* all others are AVX-512's */
static void OF_GATES(product)(const rondo_product_forward_args *args) {
  (args->type == OWN_TYPE ? OF_TYPE(product, OWN_NAME) : rondo_cpu_kernels_avx512.product_forward)(args);
}

#if GATES != 2
static void OF_GATES(fused)(const rondo_fused_forward_args *args) {
  static const rondo_cell cell = GATES == 4 ? RONDO_LSTM : GATES == 3 ? RONDO_GRU : RONDO_RNN;
  (args->type == OWN_TYPE ? OF_TYPE(fused, OWN_NAME) : rondo_cpu_kernels_avx512.fused_forward[cell])(args);
}
#endif

#else
static void OF_GATES(product)(const rondo_product_forward_args *args) {
  static void (*const products[])(const rondo_product_forward_args *) = {[RONDO_F32] = OF_TYPE(product, f32),
                                                                         [RONDO_F16] = OF_TYPE(product, f16),
                                                                         [RONDO_BF16] = OF_TYPE(product, bf16),
                                                                         [RONDO_INT8] = OF_TYPE(product, int8)};
  products[args->type](args);
}

#if GATES != 2
static void OF_GATES(fused)(const rondo_fused_forward_args *args) {
  static void (*const steps[])(const rondo_fused_forward_args *) = {[RONDO_F32] = OF_TYPE(fused, f32),
                                                                    [RONDO_F16] = OF_TYPE(fused, f16),
                                                                    [RONDO_BF16] = OF_TYPE(fused, bf16),
                                                                    [RONDO_INT8] = OF_TYPE(fused, int8)};
  steps[args->type](args);
}
#endif
#endif

#undef OF_TYPE
#undef TYPE_NAME
#undef TYPE_PASTE
#undef OF_GATES
#undef GATES_NAME
#undef GATES_PASTE
#undef GATES
