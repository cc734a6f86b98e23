/* kernels_factors.h - what tiles multiply, by GROUP, the rows of weights that share a word: 1, numbers as they are; 2,
 * pairs of bf16; 4, quads of int8. kernels_gates.h includes it for each type.
 *
 *     FACTOR, IN_ROW   what a row consists of, and where row `row` is
 *     DEPTH            factors of a row of so many numbers
 *     VECTOR, SPREAD   a vector of weights, and one of a factor in all lanes
 *     SUM              a vector of sums, and MULTIPLY_ADD adds to it
 *     HEAD             rows ahead of the weights of a stream
 *     BEGIN, END       the first of a sum, and its last: start is what it begins with, a vec; head: of its column, at
 *                      the start of the stream; tail: behind the factors of its row */
#define DEPTH(numbers) rondo_cpu_words(GROUP, (size_t)(numbers))
#if GROUP == 1
#define FACTOR float
#define IN_ROW(in, row) args->in[row]
#define VECTOR vec
#define SPREAD vec_set
#define MULTIPLY_ADD vec_fma
#else
#define FACTOR uint32_t
#define IN_ROW(in, row) (args->in##_words + (row)*args->words_row)
#endif
#if GROUP == 2
#define VECTOR vec_pairs
#define SPREAD vec_set_pair
#define MULTIPLY_ADD vec_fma_pairs
#endif
#if GROUP == 4
#define VECTOR vec_quads
#define SPREAD vec_set_quad
#define MULTIPLY_ADD vec_add_quads
#define SUM vec_sums
#define HEAD RONDO_CPU_QUADS_HEAD
#define BEGIN(start, head) vec_load_sums(head)
#define END(sum, start, head, tail) scaled_sum(sum, start, (head) + GATES * LANES, tail)
#else
#define SUM vec
#define HEAD 0
#define BEGIN(start, head) (start)
#define END(sum, start, head, tail) (sum)
#endif
