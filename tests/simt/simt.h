/* simt.h: the seam between the two halves of simt.
 *
 * simt runs CUDA programs on a machine that has no GPU. The *engine* (ptx*.c, exec*.c, memory.c) parses the PTX that
 * nvcc embeds in a binary and executes it on the CPU, checking every access. The *runtime* (fatbin.c, cudart.c,
 * cublas.c, curand.c) is a set of drop-in shared libraries (libcudart.so.13, libcublas.so.13, libcublasLt.so.13,
 * libcurand.so.10) that route an unmodified program's calls to the engine.
 */
#ifndef SIMT_H
#define SIMT_H
#include <stddef.h>
#include <stdint.h>

/* ---- device memory (memory.c) -------------------------------------------------------------------------------------
 * A device pointer is an address in a range that the program itself may not touch: the arena is mapped twice, once
 * without access at the device address, once read-write at an alias that only simt uses. So host code that
 * dereferences a device pointer faults, as it does on a GPU. */
void *simt_mem_alloc(size_t bytes);               /* device address, 256-byte aligned; NULL when out of memory */
int simt_mem_free(void *device);                  /* 0, or -1: not the start of a live allocation */
/* Host alias of [device, device+bytes). NULL unless it lies whole inside one live allocation (or a module global). */
void *simt_mem_host(const void *device, size_t bytes);
/* The live allocation that holds device, or NULL; base and bytes may be NULL. */
void *simt_mem_find(const void *device, void **base, size_t *bytes);
void simt_mem_mark_defined(const void *device, size_t bytes, int defined); /* initcheck's shadow state */
int simt_mem_is_defined(const void *device, size_t bytes);
void simt_mem_scribble(const void *device, size_t bytes); /* contents become garbage that nothing ever wrote */
size_t simt_mem_leaks(void (*each)(void *base, size_t bytes, void *ctx), void *ctx); /* live allocations */
/* Host memory that kernels may touch (cudaHostAlloc, cudaHostRegister, managed memory). */
void simt_mem_register_host(void *host, size_t bytes);
void simt_mem_unregister_host(void *host);

/* ---- modules and functions (ptx.c) -------------------------------------------------------------------------------- */
typedef struct simt_module simt_module;
typedef struct simt_function simt_function;
simt_module *simt_module_load(const char *ptx, size_t bytes, char *error, size_t error_bytes);
void simt_module_unload(simt_module *module);
simt_function *simt_module_function(simt_module *module, const char *mangled_name);
void *simt_module_global(simt_module *module, const char *name, size_t *bytes); /* device address of .global/.const */

typedef struct simt_function_info {
  int parameter_count;
  size_t parameter_bytes;      /* whole parameter block */
  size_t static_shared_bytes;
  size_t local_bytes;
  int registers;               /* an estimate: PTX has virtual registers */
  int max_threads_per_block;   /* .maxntid or 1024 */
  int ptx_target;              /* 90 for sm_90 */
  unsigned cluster[3];         /* blocks of a cluster, where the kernel says so itself; 0: not said */
  int register_limit;          /* .maxnreg, or what .minnctapersm leaves; 0: none */
} simt_function_info;
void simt_function_describe(const simt_function *function, simt_function_info *info);
void simt_function_parameter(const simt_function *function, int index, size_t *offset, size_t *bytes);
const char *simt_function_name(const simt_function *function);

/* ---- launches (exec.c) ------------------------------------------------------------------------------------------- */
typedef struct simt_launch {
  unsigned grid[3], block[3];
  unsigned cluster[3];         /* 1,1,1 when none */
  size_t dynamic_shared_bytes;
  int cooperative;             /* all blocks resident: a grid barrier must work */
} simt_launch;

/* One launch, summed over its threads. What each counts: README.md. The kinds of instructions add up to all of them. */
#define SIMT_INSTRUCTION_KINDS(X)                                                                             \
  X(move) X(integer) X(fp32) X(fp64) X(half) X(convert) X(special) X(memory) X(control) X(exchange) X(sync) X(matrix)
#define SIMT_COUNTERS(X)                                                                                      \
  X(instructions) X(global_loads) X(global_stores) X(global_load_bytes) X(global_store_bytes) X(global_sectors) \
  X(shared_loads) X(shared_stores) X(shared_bank_conflicts) X(local_bytes) X(atomics) X(barriers) X(grid_barriers) \
  X(cluster_barriers) X(cluster_loads) X(cluster_stores) X(fences) X(flag_reads) X(flag_writes) X(mma)          \
  X(special_functions) X(divergent_branches)
typedef struct simt_counters {
#define SIMT_FIELD(name) uint64_t name;
  SIMT_COUNTERS(SIMT_FIELD)
#undef SIMT_FIELD
#define SIMT_FIELD(name) uint64_t name##_instructions;
  SIMT_INSTRUCTION_KINDS(SIMT_FIELD)
#undef SIMT_FIELD
} simt_counters;
enum simt_instruction_kind {
#define SIMT_KIND(name) SIMT_KIND_##name,
  SIMT_INSTRUCTION_KINDS(SIMT_KIND)
#undef SIMT_KIND
  SIMT_INSTRUCTION_KINDS_COUNT
};

enum { SIMT_OK = 0, SIMT_FAULT = 1 /* a check failed; already reported */, SIMT_UNSUPPORTED = 2 };
/* parameters: the packed parameter block, parameter_bytes long, laid out as simt_function_parameter says. */
int simt_launch_kernel(const simt_function *function, const simt_launch *launch, const void *parameters,
                       simt_counters *counters);

/* ---- reports (report.c) ------------------------------------------------------------------------------------------
 * Every failed check is one line on stderr: "simt: error: KIND in KERNEL at FILE:LINE (block x,y,z thread x,y,z): ...",
 * and sets the exit status of the process to 86 at exit (SIMT_EXIT to change). SIMT_REPORT=path writes JSON at exit. */
void simt_error(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t simt_error_count(void);
void simt_report_launch(const char *kernel, const simt_launch *launch, const simt_counters *counters);
/* A counter's sum over all launches so far of kernels whose (mangled) name contains the text; also "launches" and "threads".
 * A program reads it through dlsym as it does simt_count. -1: there is no such counter. */
long long simt_counter(const char *kernel, const char *counter);
void simt_report_call(const char *library_call, uint64_t flops, uint64_t bytes); /* cublas, curand, memcpy, ... */
void simt_report_default_workspace(const char *library_call); /* it ran with cublas's own workspace */

/* ---- counts of the program's own calls (report.c) -------------------------------------------------------------------
 * Counted when they are made, also those that a stream captures; README.md says what each name counts. A program reads
 * them through dlsym(RTLD_DEFAULT, "simt_count"), which is NULL without simt and until the CUDA runtime is loaded.
 * -1: there is no count of that name. */
#define SIMT_COUNTS(X)                                                                                        \
  X(launches) X(captured_launches) X(graph_launches) X(kernels_run) X(cublas_calls) X(cublas_gemms)           \
  X(default_workspace) X(copies) X(fills) X(allocations) X(frees) X(synchronizations)                         \
  X(kernel_instructions) X(kernel_load_bytes) X(kernel_store_bytes)
enum simt_counted {
#define SIMT_COUNTED(name) SIMT_COUNT_##name,
  SIMT_COUNTS(SIMT_COUNTED)
#undef SIMT_COUNTED
  SIMT_COUNTED_KINDS
};
void simt_count_one(enum simt_counted what);
void simt_count_more(enum simt_counted what, uint64_t more);
int simt_count(const char *what);
#endif
