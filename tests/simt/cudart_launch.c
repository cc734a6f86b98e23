/* cudart_launch.c: kernels: attributes, occupancy, the checks of a launch, the launch itself. */
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct kernel_work {
  rt_work work;
  rt_kernel *kernel;
  simt_function *function;
  simt_launch launch;
  void **pointers;       /* into block, for cudaGraphKernelNodeGetParams */
  char *block;           /* the packed parameters */
} kernel_work;

/* ---- occupancy ----------------------------------------------------------------------------------------------------------- */
static int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }
static int least(int a, int b) { return a < b ? a : b; }

static int static_shared_limit(void) { return 49152; }

/* Blocks of this kernel that fit on one multiprocessor at once. The register count is the engine's estimate, so a block
 * that the compiler would have made fit is taken to fit. */
static int occupancy(const simt_function_info *info, int threads, size_t dynamic_shared) {
  const rt_device_model *m = rt_model();
  if (threads < 1 || threads > info->max_threads_per_block || threads > 1024) return 0;
  int warps = (threads + 31) / 32;
  int registers = round_up(info->registers < 16 ? 16 : info->registers, 8);
  if (info->register_limit) registers = least(registers, info->register_limit);
  registers = least(registers, least(255, 65536 / (warps * 32) / 8 * 8));
  int by_registers = 65536 / (round_up(registers * 32, 256) * warps);
  size_t reserved = m->cc >= 80 ? 1024 : 0;
  size_t shared = (info->static_shared_bytes + dynamic_shared + reserved + 127) / 128 * 128;
  int by_shared = shared ? (int)((size_t)m->shared_per_multiprocessor / shared) : m->blocks_per_multiprocessor;
  int by_threads = m->threads_per_multiprocessor / (warps * 32);
  return least(least(by_registers, by_shared), least(by_threads, m->blocks_per_multiprocessor));
}

static cudaError_t kernel_info(const void *function, rt_kernel **kernel, simt_function **loaded, simt_function_info *info) {
  cudaError_t error = rt_kernel_find(function, kernel);
  if (!error) error = rt_kernel_load(*kernel, loaded);
  if (!error) simt_function_describe(*loaded, info);
  return error;
}

/* How much dynamic shared memory a launch may ask for: 48 KiB less the static part until the program opts in to more. */
static size_t dynamic_limit(const rt_kernel *kernel, const simt_function_info *info) {
  if (kernel->max_dynamic_shared >= 0) return (size_t)kernel->max_dynamic_shared;
  size_t limit = (size_t)static_shared_limit();
  return info->static_shared_bytes < limit ? limit - info->static_shared_bytes : 0;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function) {
  RT_ENTER();
  rt_kernel *kernel;
  simt_function *loaded;
  simt_function_info info;
  if (!attributes) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = kernel_info(function, &kernel, &loaded, &info);
  if (error) RT_RETURN(error);
  memset(attributes, 0, sizeof *attributes);
  attributes->sharedSizeBytes = info.static_shared_bytes;
  attributes->localSizeBytes = info.local_bytes;
  attributes->maxThreadsPerBlock = info.max_threads_per_block;
  attributes->numRegs = least(info.registers, 255);
  attributes->ptxVersion = info.ptx_target;
  attributes->binaryVersion = rt_settings.cc;
  attributes->maxDynamicSharedSizeBytes = (int)dynamic_limit(kernel, &info);
  attributes->preferredShmemCarveout = kernel->carveout;
  attributes->clusterDimMustBeSet = kernel->cluster_required;
  attributes->requiredClusterWidth = info.cluster[0] ? (int)info.cluster[0] : kernel->cluster[0];
  attributes->requiredClusterHeight = info.cluster[0] ? (int)info.cluster[1] : kernel->cluster[1];
  attributes->requiredClusterDepth = info.cluster[0] ? (int)info.cluster[2] : kernel->cluster[2];
  attributes->nonPortableClusterSizeAllowed = kernel->nonportable_cluster;
  RT_RETURN(cudaSuccess);
}

static cudaError_t set_attribute(rt_kernel *kernel, const simt_function_info *info, enum cudaFuncAttribute id, int value) {
  switch (id) {
  case cudaFuncAttributeMaxDynamicSharedMemorySize:
    if (value < 0 || (size_t)value + info->static_shared_bytes > (size_t)rt_model()->shared_per_block_optin)
      return cudaErrorInvalidValue;
    kernel->max_dynamic_shared = value;
    return cudaSuccess;
  case cudaFuncAttributePreferredSharedMemoryCarveout:
    if (value < -1 || value > 100) return cudaErrorInvalidValue;
    kernel->carveout = value;
    return cudaSuccess;
  case cudaFuncAttributeRequiredClusterWidth: case cudaFuncAttributeRequiredClusterHeight: case cudaFuncAttributeRequiredClusterDepth:
    if (info->cluster[0]) return cudaErrorNotPermitted; /* said when it was compiled */
    kernel->cluster[id - cudaFuncAttributeRequiredClusterWidth] = value;
    return cudaSuccess;
  case cudaFuncAttributeNonPortableClusterSizeAllowed: kernel->nonportable_cluster = value; return cudaSuccess;
  case cudaFuncAttributeClusterSchedulingPolicyPreference: kernel->cluster_policy = value; return cudaSuccess;
  default: return cudaErrorInvalidValue;
  }
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute id, int value) {
  RT_ENTER();
  rt_kernel *kernel;
  simt_function *loaded;
  simt_function_info info;
  cudaError_t error = kernel_info(function, &kernel, &loaded, &info);
  RT_RETURN(error ? error : set_attribute(kernel, &info, id, value));
}
cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, enum cudaFuncAttribute id, int value, int device) {
  (void)device;
  return cudaFuncSetAttribute(kernel, id, value);
}
cudaError_t cudaFuncSetCacheConfig(const void *function, enum cudaFuncCache config) {
  (void)config;
  RT_ENTER();
  rt_kernel *kernel;
  RT_RETURN(rt_kernel_find(function, &kernel));
}
cudaError_t cudaFuncSetSharedMemConfig(const void *function, enum cudaSharedMemConfig config) {
  (void)config;
  RT_ENTER();
  rt_kernel *kernel;
  RT_RETURN(rt_kernel_find(function, &kernel));
}
cudaError_t cudaFuncGetName(const char **name, const void *function) {
  RT_ENTER();
  rt_kernel *kernel;
  cudaError_t error = name ? rt_kernel_find(function, &kernel) : cudaErrorInvalidValue;
  if (!error) *name = kernel->name;
  RT_RETURN(error);
}
cudaError_t cudaFuncGetParamInfo(const void *function, size_t index, size_t *offset, size_t *bytes) {
  RT_ENTER();
  rt_kernel *kernel;
  simt_function *loaded;
  simt_function_info info;
  cudaError_t error = offset ? kernel_info(function, &kernel, &loaded, &info) : cudaErrorInvalidValue;
  if (error) RT_RETURN(error);
  if (index >= (size_t)info.parameter_count) RT_RETURN(cudaErrorInvalidValue);
  size_t size;
  simt_function_parameter(loaded, (int)index, offset, &size);
  if (bytes) *bytes = size;
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int threads,
                                                                   size_t dynamic_shared, unsigned flags) {
  RT_ENTER();
  rt_kernel *kernel;
  simt_function *loaded;
  simt_function_info info;
  if (!blocks || flags & ~(unsigned)cudaOccupancyDisableCachingOverride || threads < 1) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = kernel_info(function, &kernel, &loaded, &info);
  if (error) RT_RETURN(error);
  *blocks = dynamic_shared + info.static_shared_bytes > (size_t)rt_model()->shared_per_block_optin
                ? 0 : occupancy(&info, threads, dynamic_shared);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int threads, size_t dynamic_shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, dynamic_shared, 0);
}
cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, const void *function, int blocks, int threads) {
  RT_ENTER();
  rt_kernel *kernel;
  simt_function *loaded;
  simt_function_info info;
  if (!bytes || blocks < 1 || threads < 1) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = kernel_info(function, &kernel, &loaded, &info);
  if (error) RT_RETURN(error);
  if (occupancy(&info, threads, 0) < blocks) RT_RETURN(cudaErrorInvalidValue);
  size_t each = (size_t)rt_model()->shared_per_multiprocessor / (size_t)blocks / 128 * 128;
  size_t reserved = (rt_model()->cc >= 80 ? 1024 : 0) + info.static_shared_bytes;
  size_t most = (size_t)rt_model()->shared_per_block_optin - info.static_shared_bytes;
  *bytes = each > reserved ? each - reserved : 0;
  if (*bytes > most) *bytes = most;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaOccupancyMaxPotentialClusterSize(int *size, const void *function, const cudaLaunchConfig_t *config) {
  RT_ENTER();
  rt_kernel *kernel;
  if (!size || !config) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = rt_kernel_find(function, &kernel);
  if (!error) *size = rt_settings.cc < 90 ? 1 : kernel->nonportable_cluster ? 16 : 8;
  RT_RETURN(error);
}
cudaError_t cudaOccupancyMaxActiveClusters(int *clusters, const void *function, const cudaLaunchConfig_t *config) {
  RT_ENTER();
  rt_kernel *kernel;
  simt_function *loaded;
  simt_function_info info;
  if (!clusters || !config) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = kernel_info(function, &kernel, &loaded, &info);
  if (error) RT_RETURN(error);
  unsigned size = 1;
  for (unsigned i = 0; i < config->numAttrs; i++)
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension)
      size = config->attrs[i].val.clusterDim.x * config->attrs[i].val.clusterDim.y * config->attrs[i].val.clusterDim.z;
  if (!size) RT_RETURN(cudaErrorInvalidValue);
  int threads = (int)(config->blockDim.x * config->blockDim.y * config->blockDim.z);
  *clusters = occupancy(&info, threads, config->dynamicSmemBytes) * rt_model()->multiprocessors / (int)size;
  RT_RETURN(cudaSuccess);
}

/* ---- a launch ------------------------------------------------------------------------------------------------------------ */
static cudaError_t kernel_run(rt_work *work) {
  kernel_work *kernel = (kernel_work *)work;
  simt_counters counters = {0};
  size_t before = simt_error_count();
  rt_faults_begin();
  int result = simt_launch_kernel(kernel->function, &kernel->launch, kernel->block, &counters);
  simt_report_launch(kernel->kernel->name, &kernel->launch, &counters);
  if (result == SIMT_UNSUPPORTED && simt_error_count() == before)
    simt_error("unsupported", "in %s: the kernel cannot be run", kernel->kernel->name);
  return rt_faults_end();
}

static void kernel_release(rt_work *work) {
  free(((kernel_work *)work)->pointers);
  free(((kernel_work *)work)->block);
}

static cudaError_t check_shape(dim3 grid, dim3 block, const simt_function_info *info) {
  if (!grid.x || !grid.y || !grid.z || grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535)
    return cudaErrorInvalidConfiguration;
  if (!block.x || !block.y || !block.z || block.x > 1024 || block.y > 1024 || block.z > 64 ||
      block.x * block.y * block.z > 1024)
    return cudaErrorInvalidConfiguration;
  return (int)(block.x * block.y * block.z) > info->max_threads_per_block ? cudaErrorInvalidValue : cudaSuccess;
}

static cudaError_t check_cluster(const simt_launch *launch, const rt_kernel *kernel) {
  unsigned size = launch->cluster[0] * launch->cluster[1] * launch->cluster[2];
  if (size == 1) return cudaSuccess;
  if (rt_settings.cc < 90) return cudaErrorNotSupported;
  if (!size || size > (kernel->nonportable_cluster ? 16u : 8u)) return cudaErrorInvalidClusterSize;
  for (int i = 0; i < 3; i++)
    if (launch->grid[i] % launch->cluster[i]) return cudaErrorInvalidClusterSize;
  return cudaSuccess;
}

static cudaError_t apply_attributes(simt_launch *launch, const cudaLaunchAttribute *attributes, unsigned count) {
  if (count && !attributes) return cudaErrorInvalidValue;
  for (unsigned i = 0; i < count; i++) {
    const cudaLaunchAttributeValue *value = &attributes[i].val;
    switch (attributes[i].id) {
    case cudaLaunchAttributeCooperative: launch->cooperative = value->cooperative != 0; break;
    case cudaLaunchAttributeClusterDimension:
      launch->cluster[0] = value->clusterDim.x;
      launch->cluster[1] = value->clusterDim.y;
      launch->cluster[2] = value->clusterDim.z;
      break;
    /* Hints, and permissions that running in stream order also honours. */
    case cudaLaunchAttributeIgnore: case cudaLaunchAttributeAccessPolicyWindow: case cudaLaunchAttributePriority:
    case cudaLaunchAttributeSynchronizationPolicy: case cudaLaunchAttributeMemSyncDomain:
    case cudaLaunchAttributeMemSyncDomainMap: case cudaLaunchAttributeProgrammaticStreamSerialization:
    case cudaLaunchAttributeClusterSchedulingPolicyPreference: case cudaLaunchAttributePreferredClusterDimension:
    case cudaLaunchAttributePreferredSharedMemoryCarveout: case cudaLaunchAttributeNvlinkUtilCentricScheduling: break;
    default:
      fprintf(stderr, "simt: launch attribute %d is not supported: returning an error\n", attributes[i].id);
      return cudaErrorNotSupported;
    }
  }
  return cudaSuccess;
}

/* The arguments as the program hands them over (an array of pointers, or the "extra" form) into one packed block. */
static cudaError_t pack(kernel_work *work, const simt_function_info *info, void **arguments, void **extra) {
  work->block = calloc(1, info->parameter_bytes + 1);
  work->pointers = calloc((size_t)info->parameter_count + 1, sizeof *work->pointers);
  const char *buffer = NULL;
  size_t bytes = 0;
  for (size_t i = 0; extra && extra[i]; i += 2) { /* 1: buffer pointer, 2: pointer to its size, 0: end */
    if (extra[i] == (void *)1) buffer = extra[i + 1];
    else if (extra[i] == (void *)2) bytes = *(size_t *)extra[i + 1];
  }
  if (buffer) memcpy(work->block, buffer, bytes < info->parameter_bytes ? bytes : info->parameter_bytes);
  for (int i = 0; i < info->parameter_count; i++) {
    size_t offset, size;
    simt_function_parameter(work->function, i, &offset, &size);
    work->pointers[i] = work->block + offset;
    if (buffer) continue;
    if (!arguments || !arguments[i]) return cudaErrorInvalidValue;
    memcpy(work->block + offset, arguments[i], size);
  }
  return cudaSuccess;
}

rt_work *rt_kernel_work(const void *function, dim3 grid, dim3 block, void **arguments, void **extra, size_t shared,
                        const cudaLaunchAttribute *attributes, unsigned attribute_count, cudaError_t *error) {
  rt_kernel *kernel;
  simt_function *loaded;
  simt_function_info info;
  *error = kernel_info(function, &kernel, &loaded, &info);
  if (!*error) *error = check_shape(grid, block, &info);
  if (*error) return NULL;
  simt_launch launch = {{grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, {1, 1, 1}, shared, 0};
  for (int i = 0; i < 3; i++)
    if (kernel->cluster[i] > 0) launch.cluster[i] = (unsigned)kernel->cluster[i];
  if (info.cluster[0]) memcpy(launch.cluster, info.cluster, sizeof launch.cluster);
  *error = apply_attributes(&launch, attributes, attribute_count);
  if (!*error && info.cluster[0] && memcmp(launch.cluster, info.cluster, sizeof launch.cluster)) *error = cudaErrorInvalidClusterSize;
  if (!*error) *error = check_cluster(&launch, kernel);
  if (!*error && shared > dynamic_limit(kernel, &info)) *error = cudaErrorInvalidValue;
  if (*error) return NULL;
  int threads = (int)(block.x * block.y * block.z);
  size_t blocks = (size_t)grid.x * grid.y * grid.z;
  if (launch.cooperative && blocks > (size_t)occupancy(&info, threads, shared) * (size_t)rt_model()->multiprocessors) {
    *error = cudaErrorCooperativeLaunchTooLarge;
    return NULL;
  }
  kernel_work *work =
      (kernel_work *)rt_work_new(sizeof *work, cudaGraphNodeTypeKernel, kernel->name, kernel_run, kernel_release);
  work->kernel = kernel;
  work->function = loaded;
  work->launch = launch;
  *error = pack(work, &info, arguments, extra);
  if (!*error) return &work->work;
  rt_work_release(&work->work);
  return NULL;
}

bool rt_kernel_params_of(rt_work *work, struct cudaKernelNodeParams *params) {
  if (!work || work->run != kernel_run) return false;
  const kernel_work *kernel = (kernel_work *)work;
  const simt_launch *l = &kernel->launch;
  *params = (struct cudaKernelNodeParams){
      .func = (void *)(kernel->kernel->host ? kernel->kernel->host : kernel->kernel),
      .gridDim = {l->grid[0], l->grid[1], l->grid[2]}, .blockDim = {l->block[0], l->block[1], l->block[2]},
      .sharedMemBytes = (unsigned)l->dynamic_shared_bytes, .kernelParams = kernel->pointers};
  return true;
}

static cudaError_t launch(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared,
                          cudaStream_t handle, const cudaLaunchAttribute *attributes, unsigned count) {
  cudaStream_t stream;
  cudaError_t error = rt_stream(handle, &stream);
  if (error) return error;
  if (stream->device != rt_device()) return cudaErrorInvalidResourceHandle;
  rt_work *work = rt_kernel_work(function, grid, block, arguments, NULL, shared, attributes, count, &error);
  if (!work) return error;
  bool captured = stream->capture;
  error = rt_submit(handle, work);
  if (error) return error;
  simt_count_one(SIMT_COUNT_launches);
  if (captured) simt_count_one(SIMT_COUNT_captured_launches);
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(launch(function, grid, block, arguments, shared, stream, NULL, 0));
}
cudaError_t cudaLaunchKernel_ptsz(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
  return cudaLaunchKernel(function, grid, block, arguments, shared, rt_per_thread(stream));
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}
cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, shared, rt_per_thread(stream));
}
cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
  RT_ENTER();
  cudaLaunchAttribute cooperative = {.id = cudaLaunchAttributeCooperative, .val.cooperative = 1};
  RT_RETURN(launch(function, grid, block, arguments, shared, stream, &cooperative, 1));
}
cudaError_t cudaLaunchCooperativeKernel_ptsz(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
  return cudaLaunchCooperativeKernel(function, grid, block, arguments, shared, rt_per_thread(stream));
}

static cudaError_t launch_config(const cudaLaunchConfig_t *config, const void *function, void **arguments, bool per_thread) {
  if (!config) return cudaErrorInvalidValue;
  return launch(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes,
                per_thread ? rt_per_thread(config->stream) : config->stream, config->attrs, config->numAttrs);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments) {
  RT_ENTER();
  RT_RETURN(launch_config(config, function, arguments, false));
}
cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t *config, const void *function, void **arguments) {
  RT_ENTER();
  RT_RETURN(launch_config(config, function, arguments, true));
}
