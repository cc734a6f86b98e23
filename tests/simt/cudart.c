/* cudart.c: configuration, locking, error state, handles, devices. */
#define _GNU_SOURCE
#include "runtime.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

rt_config rt_settings;

/* ---- configuration ------------------------------------------------------------------------------------------------ */
static const rt_device_model models[] = {
    {75, "simt T4", 40, 65536, 65536, 1024, 16, 4 << 20, 1590000, 5001000, 256, 0},
    {80, "simt A100-SXM4-80GB", 108, 166912, 167936, 2048, 32, 40 << 20, 1410000, 1593000, 5120, 30 << 20},
    {86, "simt A10", 72, 101376, 102400, 1536, 16, 6 << 20, 1695000, 6251000, 384, 4325376},
    {89, "simt L40S", 142, 101376, 102400, 1536, 24, 96 << 20, 2520000, 9001000, 384, 66060288},
    {90, "simt H100 80GB HBM3", 132, 232448, 233472, 2048, 32, 50 << 20, 1980000, 2619000, 5120, 32768000},
    {100, "simt B200", 148, 232448, 233472, 2048, 32, 126 << 20, 1965000, 3996000, 7680, 82575360},
    {120, "simt RTX 5090", 170, 101376, 102400, 1536, 24, 96 << 20, 2407000, 14001000, 512, 62914560},
};
static const rt_device_model *model = &models[4];

const rt_device_model *rt_model(void) { return model; }

static bool flag(const char *name, bool fallback) {
  const char *text = getenv(name);
  return text && *text ? strcmp(text, "0") != 0 : fallback;
}

static size_t byte_count(const char *text) {
  char *end;
  double value = strtod(text, &end);
  switch (*end) {
  case 'k': case 'K': value *= 1 << 10; break;
  case 'm': case 'M': value *= 1 << 20; break;
  case 'g': case 'G': value *= 1 << 30; break;
  }
  return value > 0 ? (size_t)value : 0;
}

static void choose_device(const char *text) {
  int cc = atoi(strncmp(text, "sm_", 3) ? text : text + 3);
  for (size_t i = 0; i < sizeof models / sizeof *models; i++)
    if (models[i].cc == cc) { model = &models[i]; return; }
  fprintf(stderr, "simt: SIMT_DEVICE=%s is not a device that simt imitates (sm_75 80 86 89 90 100 120)\n", text);
  exit(2);
}

static size_t default_memory(void) { return (size_t)8 << 30; } /* as the engine's arena */

static pthread_mutex_t big_lock;

/* A host that dereferences a device pointer dies, as it would with a GPU; here it is told why. */
static void explain_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  if (rt_is_device(info->si_addr)) {
    char text[160];
    int length = snprintf(text, sizeof text, "simt: error: memcheck: host code touched device memory at %p\n", info->si_addr);
    if (write(2, text, (size_t)length) < 0) _exit(86);
  }
  signal(number, SIG_DFL); /* the access is made again, and ends the process */
}

static void watch_faults(void) {
  struct sigaction old, own = {.sa_sigaction = explain_fault, .sa_flags = SA_SIGINFO};
  if (!sigaction(SIGSEGV, NULL, &old) && old.sa_handler == SIG_DFL) sigaction(SIGSEGV, &own, NULL);
}

/* A program that opens its CUDA part with dlopen(RTLD_LOCAL) gets this library with it, hidden from everybody else. But
 * the stand-in for libcuda asks for the runtime by name, and so does a program that wants simt_count. */
static void become_visible(void) {
  Dl_info self;
  if (dladdr((void *)become_visible, &self)) dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_GLOBAL);
}

/* A default-priority constructor: its exit handler is registered after the engine's, so it runs before the engine's
 * report, and after every exit handler of the program. */
__attribute__((constructor)) static void configure(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&big_lock, &attributes);
  const char *text;
  if ((text = getenv("SIMT_DEVICE")) && *text) choose_device(text);
  rt_settings.cc = model->cc;
  rt_settings.devices = (text = getenv("SIMT_DEVICES")) && *text ? atoi(text) : 1;
  if (rt_settings.devices < 0) rt_settings.devices = 0;
  if (rt_settings.devices > RT_MAX_DEVICES) rt_settings.devices = RT_MAX_DEVICES;
  rt_settings.memory = (text = getenv("SIMT_MEMORY")) && *text ? byte_count(text) : default_memory();
  rt_settings.eager = flag("SIMT_EAGER", false);
  rt_settings.seeded = (text = getenv("SIMT_SEED")) && strtoull(text, NULL, 0) != 0; /* 0 is no seed */
  rt_settings.seed = rt_settings.seeded ? strtoull(text, NULL, 0) : 0;
  rt_settings.leaks = (text = getenv("SIMT_LEAKS")) && *text ? atoi(text) : 1;
  rt_settings.api_errors = flag("SIMT_API_ERRORS", false);
  rt_settings.trace = flag("SIMT_TRACE", false);
  rt_settings.sync_copies = flag("SIMT_SYNC_COPIES", false);
  rt_settings.check_copies = flag("SIMT_CHECK_COPIES", false);
  watch_faults();
  become_visible();
  atexit(rt_finish);
}

/* ---- the lock ----------------------------------------------------------------------------------------------------- */
static _Thread_local int lock_depth;
static _Thread_local bool in_callback;
static _Thread_local cudaError_t last_error;
static cudaError_t sticky_error;
uint64_t rt_calls; /* how many the program has made */

void rt_lock(void) { pthread_mutex_lock(&big_lock); lock_depth++; }
void rt_unlock(void) { lock_depth--; pthread_mutex_unlock(&big_lock); }

void rt_call_unlocked(void (*call)(void *), void *argument) {
  int depth = lock_depth;
  while (lock_depth) rt_unlock();
  in_callback = true;
  call(argument);
  in_callback = false;
  while (lock_depth < depth) rt_lock();
}

void rt_wait_unlocked(pthread_cond_t *condition) { /* a recursive lock must be held once while waiting */
  int depth = lock_depth;
  while (lock_depth > 1) rt_unlock();
  pthread_cond_wait(condition, &big_lock);
  while (lock_depth < depth) rt_lock();
}

cudaError_t rt_enter(void) {
  if (in_callback) return last_error = cudaErrorNotPermitted;
  rt_lock();
  rt_calls++;
  if (sticky_error) {
    rt_unlock();
    return last_error = sticky_error;
  }
  if (rt_settings.devices == 0) {
    rt_unlock();
    return last_error = cudaErrorNoDevice;
  }
  return cudaSuccess;
}

cudaError_t rt_leave_quiet(cudaError_t error) { rt_unlock(); return error; }

cudaError_t rt_leave(const char *call, cudaError_t error) {
  if (!error && sticky_error) error = sticky_error;
  if (error) {
    last_error = error;
    if (rt_settings.api_errors && error != cudaErrorNotReady && lock_depth == 1)
      fprintf(stderr, "simt: note: %s returned %s (%s)\n", call, cudaGetErrorName(error), cudaGetErrorString(error));
  }
  rt_unlock();
  return error;
}

void rt_set_sticky(cudaError_t error) { if (!sticky_error) sticky_error = error; }
cudaError_t rt_sticky(void) { return sticky_error; }
void rt_fault(void) { rt_set_sticky(cudaErrorIllegalAddress); }

cudaError_t rt_unsupported(const char *call) {
  fprintf(stderr, "simt: %s is not supported: returning an error\n", call);
  return last_error = cudaErrorNotSupported;
}

cudaError_t cudaGetLastError(void) {
  cudaError_t error = sticky_error ? sticky_error : last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError(void) { return sticky_error ? sticky_error : last_error; }

/* ---- names of errors ---------------------------------------------------------------------------------------------- */
#define ERRORS(X) \
  X(cudaSuccess, "no error") X(cudaErrorInvalidValue, "invalid argument") \
  X(cudaErrorMemoryAllocation, "out of memory") X(cudaErrorInitializationError, "initialization error") \
  X(cudaErrorCudartUnloading, "driver shutting down") X(cudaErrorProfilerDisabled, "profiler disabled while using external profiling tool") \
  X(cudaErrorProfilerNotInitialized, "profiler not initialized: call cudaProfilerInitialize()") \
  X(cudaErrorProfilerAlreadyStarted, "profiler already started") X(cudaErrorProfilerAlreadyStopped, "profiler already stopped") \
  X(cudaErrorInvalidConfiguration, "invalid configuration argument") X(cudaErrorInvalidPitchValue, "invalid pitch argument") \
  X(cudaErrorInvalidSymbol, "invalid device symbol") X(cudaErrorInvalidHostPointer, "invalid host pointer") \
  X(cudaErrorInvalidDevicePointer, "invalid device pointer") X(cudaErrorInvalidTexture, "invalid texture reference") \
  X(cudaErrorInvalidTextureBinding, "texture is not bound to a pointer") X(cudaErrorInvalidChannelDescriptor, "invalid channel descriptor") \
  X(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy") X(cudaErrorAddressOfConstant, "__device__ pointer misuse") \
  X(cudaErrorSynchronizationError, "__device__ synchronization error") X(cudaErrorMixedDeviceExecution, "attempted mixed device execution") \
  X(cudaErrorNotYetImplemented, "feature not yet implemented") X(cudaErrorMemoryValueTooLarge, "memory size or pointer value too large to fit in 32 bit") \
  X(cudaErrorStubLibrary, "CUDA driver is a stub library") X(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version") \
  X(cudaErrorCallRequiresNewerDriver, "API call is not supported in the installed CUDA driver") X(cudaErrorInvalidSurface, "invalid surface reference") \
  X(cudaErrorDuplicateVariableName, "duplicate global variable looked up by string name") X(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable") \
  X(cudaErrorIncompatibleDriverContext, "incompatible driver context") X(cudaErrorMissingConfiguration, "__global__ function call is not configured") \
  X(cudaErrorPriorLaunchFailure, "unspecified launch failure in prior launch") X(cudaErrorLaunchMaxDepthExceeded, "launch would exceed maximum depth of nested launches") \
  X(cudaErrorInvalidDeviceFunction, "invalid device function") X(cudaErrorNoDevice, "no CUDA-capable device is detected") \
  X(cudaErrorInvalidDevice, "invalid device ordinal") X(cudaErrorDeviceNotLicensed, "device doesn't have valid Grid license") \
  X(cudaErrorStartupFailure, "startup failure in cuda runtime") X(cudaErrorInvalidKernelImage, "device kernel image is invalid") \
  X(cudaErrorDeviceUninitialized, "invalid device context") X(cudaErrorMapBufferObjectFailed, "mapping of buffer object failed") \
  X(cudaErrorUnmapBufferObjectFailed, "unmapping of buffer object failed") X(cudaErrorArrayIsMapped, "array is mapped") \
  X(cudaErrorAlreadyMapped, "resource already mapped") X(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device") \
  X(cudaErrorAlreadyAcquired, "resource already acquired") X(cudaErrorNotMapped, "resource not mapped") \
  X(cudaErrorNotMappedAsArray, "resource not mapped as array") X(cudaErrorNotMappedAsPointer, "resource not mapped as pointer") \
  X(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered") X(cudaErrorUnsupportedLimit, "limit is not supported on this architecture") \
  X(cudaErrorDeviceAlreadyInUse, "exclusive-thread device already in use by a different thread") X(cudaErrorPeerAccessUnsupported, "peer access is not supported between these two devices") \
  X(cudaErrorInvalidPtx, "a PTX JIT compilation failed") X(cudaErrorInvalidGraphicsContext, "invalid OpenGL or DirectX context") \
  X(cudaErrorNvlinkUncorrectable, "uncorrectable NVLink error detected during the execution") X(cudaErrorJitCompilerNotFound, "PTX JIT compiler library not found") \
  X(cudaErrorUnsupportedPtxVersion, "the provided PTX was compiled with an unsupported toolchain.") X(cudaErrorJitCompilationDisabled, "PTX JIT compilation was disabled") \
  X(cudaErrorInvalidSource, "device kernel image is invalid") X(cudaErrorFileNotFound, "file not found") \
  X(cudaErrorSharedObjectSymbolNotFound, "shared object symbol not found") X(cudaErrorSharedObjectInitFailed, "shared object initialization failed") \
  X(cudaErrorOperatingSystem, "OS call failed or operation not supported on this OS") X(cudaErrorInvalidResourceHandle, "invalid resource handle") \
  X(cudaErrorIllegalState, "the operation cannot be performed in the present state") X(cudaErrorLossyQuery, "attempted introspection would be semantically lossy") \
  X(cudaErrorSymbolNotFound, "named symbol not found") X(cudaErrorNotReady, "device not ready") \
  X(cudaErrorIllegalAddress, "an illegal memory access was encountered") X(cudaErrorLaunchOutOfResources, "too many resources requested for launch") \
  X(cudaErrorLaunchTimeout, "the launch timed out and was terminated") X(cudaErrorLaunchIncompatibleTexturing, "launch uses incompatible texturing mode") \
  X(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled") X(cudaErrorPeerAccessNotEnabled, "peer access has not been enabled") \
  X(cudaErrorSetOnActiveProcess, "cannot set while device is active in this process") X(cudaErrorContextIsDestroyed, "context is destroyed") \
  X(cudaErrorAssert, "device-side assert triggered") X(cudaErrorTooManyPeers, "peer mapping resources exhausted") \
  X(cudaErrorHostMemoryAlreadyRegistered, "part or all of the requested memory range is already mapped") \
  X(cudaErrorHostMemoryNotRegistered, "pointer does not correspond to a registered memory region") \
  X(cudaErrorHardwareStackError, "hardware stack error") X(cudaErrorIllegalInstruction, "an illegal instruction was encountered") \
  X(cudaErrorMisalignedAddress, "misaligned address") X(cudaErrorInvalidAddressSpace, "operation not supported on global/shared address space") \
  X(cudaErrorInvalidPc, "invalid program counter") X(cudaErrorLaunchFailure, "unspecified launch failure") \
  X(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch") X(cudaErrorNotPermitted, "operation not permitted") \
  X(cudaErrorNotSupported, "operation not supported") X(cudaErrorSystemNotReady, "system not yet initialized") \
  X(cudaErrorSystemDriverMismatch, "system has unsupported display driver / cuda driver combination") \
  X(cudaErrorCompatNotSupportedOnDevice, "forward compatibility was attempted on non supported HW") \
  X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing") \
  X(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture") \
  X(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences") \
  X(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began") \
  X(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work") \
  X(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream") \
  X(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing blocking stream") \
  X(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream") \
  X(cudaErrorStreamCaptureWrongThread, "attempt to terminate a thread-local capture sequence from another thread") \
  X(cudaErrorTimeout, "wait operation timed out") X(cudaErrorGraphExecUpdateFailure, "the graph update was not performed because it included changes which violated constraints specific to instantiated graph update") \
  X(cudaErrorExternalDevice, "an async error has occured in external entity outside of CUDA") \
  X(cudaErrorInvalidClusterSize, "a kernel launch error has occurred due to cluster misconfiguration") \
  X(cudaErrorFunctionNotLoaded, "the function handle is not loaded when calling an API that requires a loaded function") \
  X(cudaErrorInvalidResourceType, "one or more resources passed in are not valid resource types for the operation") \
  X(cudaErrorInvalidResourceConfiguration, "one or more resources are insufficient or non-applicable for the operation") \
  X(cudaErrorUnknown, "unknown error")

const char *cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define NAME(code, text) case code: return #code;
    ERRORS(NAME)
  default: return "unrecognized error code";
  }
}
const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define TEXT(code, text) case code: return text;
    ERRORS(TEXT)
  default: return "unrecognized error code";
  }
}

/* ---- handles ------------------------------------------------------------------------------------------------------ */
typedef struct handle_entry { const void *handle; rt_kind kind; } handle_entry;
static handle_entry *handles;
static size_t handle_capacity, handle_used; /* used counts tombstones too */
static char tombstone;

static size_t handle_hash(const void *handle) { return (size_t)(((uintptr_t)handle >> 4) * 0x9e3779b97f4a7c15ull >> 20); }

static handle_entry *handle_slot(const void *handle) {
  for (size_t i = handle_hash(handle);; i++) {
    handle_entry *entry = &handles[i & (handle_capacity - 1)];
    if (!entry->handle || entry->handle == handle) return entry;
  }
}

static void handle_grow(void) {
  handle_entry *old = handles;
  size_t old_capacity = handle_capacity;
  handle_capacity = old_capacity ? old_capacity * 2 : 1024;
  handles = calloc(handle_capacity, sizeof *handles);
  handle_used = 0;
  for (size_t i = 0; i < old_capacity; i++)
    if (old[i].handle && old[i].handle != &tombstone) { *handle_slot(old[i].handle) = old[i]; handle_used++; }
  free(old);
}

void rt_handle_add(const void *handle, rt_kind kind) {
  rt_lock();
  if (handle_used * 2 >= handle_capacity) handle_grow();
  handle_entry *entry = handle_slot(handle);
  if (!entry->handle) handle_used++;
  *entry = (handle_entry){handle, kind};
  rt_unlock();
}

void rt_handle_remove(const void *handle) {
  rt_lock();
  if (handle_capacity) {
    handle_entry *entry = handle_slot(handle);
    if (entry->handle) entry->handle = &tombstone;
  }
  rt_unlock();
}

bool rt_handle_is(const void *handle, rt_kind kind) {
  rt_lock();
  bool found = false;
  if (handle && handle_capacity) {
    handle_entry *entry = handle_slot(handle);
    found = entry->handle && entry->kind == kind;
  }
  rt_unlock();
  return found;
}

/* ---- leaks, at exit ------------------------------------------------------------------------------------------------ */
static void leak_line(const char *text) {
  if (rt_settings.leaks >= 2) simt_error("leak", "%s", text);
  else fprintf(stderr, "simt: leak: %s\n", text);
}

static void leak_check(void) {
  static const struct { rt_kind kind; const char *name, *call; } kinds[] = {
      {RT_STREAM, "stream", "cudaStreamDestroy"}, {RT_EVENT, "event", "cudaEventDestroy"},
      {RT_GRAPH, "graph", "cudaGraphDestroy"}, {RT_GRAPH_EXEC, "instantiated graph", "cudaGraphExecDestroy"},
      {RT_POOL, "memory pool", "cudaMemPoolDestroy"}, {RT_CUBLAS, "cublas handle", "cublasDestroy"},
      {RT_CUBLASLT, "cublasLt handle", "cublasLtDestroy"}, {RT_CURAND, "curand generator", "curandDestroyGenerator"}};
  rt_memory_at_exit(leak_line);
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    size_t count = 0;
    for (size_t i = 0; i < handle_capacity; i++)
      count += handles[i].handle && handles[i].handle != &tombstone && handles[i].kind == kinds[k].kind;
    char text[160];
    snprintf(text, sizeof text, "%zu %s%s never destroyed (%s)", count, kinds[k].name, count == 1 ? "" : "s", kinds[k].call);
    if (count) leak_line(text);
  }
}

/* Work that nobody synchronised with still runs, so that its errors are seen (host functions apart: what they touch may
 * be gone by now). */
bool rt_finishing;
void rt_finish(void) {
  if (rt_finishing) return;
  rt_finishing = true;
  rt_lock();
  if (!sticky_error) rt_drain_device();
  if (rt_settings.leaks && !sticky_error) leak_check();
  rt_unlock();
}

/* ---- devices ------------------------------------------------------------------------------------------------------ */
static _Thread_local int current_device;
static unsigned device_flags;
static size_t limits[] = {1024, 1 << 20, 8 << 20, 2, 2048, 64, 0};
static bool peers[RT_MAX_DEVICES][RT_MAX_DEVICES];
static enum cudaFuncCache cache_config;

int rt_device(void) { return current_device; }

cudaError_t cudaGetDeviceCount(int *count) {
  if (!count) return last_error = cudaErrorInvalidValue;
  *count = rt_settings.devices;
  return rt_settings.devices ? cudaSuccess : (last_error = cudaErrorNoDevice);
}

static bool device_ok(int device) { return device >= 0 && device < rt_settings.devices; }

cudaError_t cudaSetDevice(int device) {
  RT_ENTER();
  if (!device_ok(device)) RT_RETURN(cudaErrorInvalidDevice);
  current_device = device;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGetDevice(int *device) {
  RT_ENTER();
  if (!device) RT_RETURN(cudaErrorInvalidValue);
  *device = current_device;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaInitDevice(int device, unsigned flags, unsigned reserved) {
  (void)flags; (void)reserved;
  RT_ENTER();
  RT_RETURN(device_ok(device) ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaSetValidDevices(int *devices, int count) {
  (void)devices; (void)count;
  RT_ENTER();
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaSetDeviceFlags(unsigned flags) { RT_ENTER(); device_flags = flags; RT_RETURN(cudaSuccess); }
cudaError_t cudaGetDeviceFlags(unsigned *flags) {
  RT_ENTER();
  if (!flags) RT_RETURN(cudaErrorInvalidValue);
  *flags = device_flags | cudaDeviceMapHost;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaChooseDevice(int *device, const struct cudaDeviceProp *prop) {
  RT_ENTER();
  if (!device || !prop) RT_RETURN(cudaErrorInvalidValue);
  *device = 0;
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaDeviceReset(void) {
  rt_lock();
  rt_drain_device();
  sticky_error = cudaSuccess;
  last_error = cudaSuccess;
  rt_unlock();
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
  if (!version) return last_error = cudaErrorInvalidValue;
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) { return cudaDriverGetVersion(version); }

typedef struct attribute { int id, value; } attribute;

/* One table serves cudaDeviceGetAttribute and cudaDeviceProp, so that the two cannot disagree. */
static int attribute_value(int id, int device, bool *known) {
  const rt_device_model *m = model;
  const bool ampere = m->cc >= 80, hopper = m->cc >= 90;
  const attribute table[] = {
      {cudaDevAttrMaxThreadsPerBlock, 1024}, {cudaDevAttrMaxBlockDimX, 1024}, {cudaDevAttrMaxBlockDimY, 1024},
      {cudaDevAttrMaxBlockDimZ, 64}, {cudaDevAttrMaxGridDimX, 2147483647}, {cudaDevAttrMaxGridDimY, 65535},
      {cudaDevAttrMaxGridDimZ, 65535}, {cudaDevAttrMaxSharedMemoryPerBlock, 49152},
      {cudaDevAttrTotalConstantMemory, 65536}, {cudaDevAttrWarpSize, 32}, {cudaDevAttrMaxPitch, 2147483647},
      {cudaDevAttrMaxRegistersPerBlock, 65536}, {cudaDevAttrClockRate, m->clock_khz},
      {cudaDevAttrTextureAlignment, 512}, {cudaDevAttrGpuOverlap, 1},
      {cudaDevAttrMultiProcessorCount, m->multiprocessors}, {cudaDevAttrKernelExecTimeout, 0},
      {cudaDevAttrIntegrated, 0}, {cudaDevAttrCanMapHostMemory, 1}, {cudaDevAttrComputeMode, cudaComputeModeDefault},
      {cudaDevAttrMaxTexture1DWidth, 131072}, {cudaDevAttrMaxTexture2DWidth, 131072},
      {cudaDevAttrMaxTexture2DHeight, 65536}, {cudaDevAttrMaxTexture3DWidth, 16384},
      {cudaDevAttrMaxTexture3DHeight, 16384}, {cudaDevAttrMaxTexture3DDepth, 16384},
      {cudaDevAttrSurfaceAlignment, 512}, {cudaDevAttrConcurrentKernels, 1}, {cudaDevAttrEccEnabled, ampere},
      {cudaDevAttrPciBusId, device + 1}, {cudaDevAttrPciDeviceId, 0}, {cudaDevAttrTccDriver, 0},
      {cudaDevAttrMemoryClockRate, m->memory_clock_khz}, {cudaDevAttrGlobalMemoryBusWidth, m->bus_bits},
      {cudaDevAttrL2CacheSize, m->l2_bytes}, {cudaDevAttrMaxThreadsPerMultiProcessor, m->threads_per_multiprocessor},
      {cudaDevAttrAsyncEngineCount, 3}, {cudaDevAttrUnifiedAddressing, 1}, {cudaDevAttrPciDomainId, 0},
      {cudaDevAttrTexturePitchAlignment, 32}, {cudaDevAttrComputeCapabilityMajor, m->cc / 10},
      {cudaDevAttrComputeCapabilityMinor, m->cc % 10}, {cudaDevAttrStreamPrioritiesSupported, 1},
      {cudaDevAttrGlobalL1CacheSupported, 1}, {cudaDevAttrLocalL1CacheSupported, 1},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, m->shared_per_multiprocessor},
      {cudaDevAttrMaxRegistersPerMultiprocessor, 65536}, {cudaDevAttrManagedMemory, 1},
      {cudaDevAttrIsMultiGpuBoard, 0}, {cudaDevAttrMultiGpuBoardGroupID, device},
      {cudaDevAttrHostNativeAtomicSupported, 0}, {cudaDevAttrSingleToDoublePrecisionPerfRatio, m->cc % 10 ? 64 : 2},
      {cudaDevAttrPageableMemoryAccess, 0}, {cudaDevAttrConcurrentManagedAccess, 1},
      {cudaDevAttrComputePreemptionSupported, 1}, {cudaDevAttrCanUseHostPointerForRegisteredMem, 1},
      {cudaDevAttrCooperativeLaunch, 1}, {cudaDevAttrMaxSharedMemoryPerBlockOptin, m->shared_per_block_optin},
      {cudaDevAttrCanFlushRemoteWrites, 0}, {cudaDevAttrHostRegisterSupported, 1},
      {cudaDevAttrPageableMemoryAccessUsesHostPageTables, 0}, {cudaDevAttrDirectManagedMemAccessFromHost, 0},
      {cudaDevAttrMaxBlocksPerMultiprocessor, m->blocks_per_multiprocessor},
      {cudaDevAttrMaxPersistingL2CacheSize, m->persisting_l2_bytes},
      {cudaDevAttrMaxAccessPolicyWindowSize, ampere ? 134213632 : 0},
      {cudaDevAttrReservedSharedMemoryPerBlock, ampere ? 1024 : 0}, {cudaDevAttrSparseCudaArraySupported, 0},
      {cudaDevAttrHostRegisterReadOnlySupported, 1}, {cudaDevAttrTimelineSemaphoreInteropSupported, 0},
      {cudaDevAttrMemoryPoolsSupported, 1}, {cudaDevAttrGPUDirectRDMASupported, 0},
      {cudaDevAttrGPUDirectRDMAFlushWritesOptions, 0}, {cudaDevAttrGPUDirectRDMAWritesOrdering, 0},
      {cudaDevAttrMemoryPoolSupportedHandleTypes, 0}, {cudaDevAttrClusterLaunch, hopper},
      {cudaDevAttrDeferredMappingCudaArraySupported, 0}, {cudaDevAttrIpcEventSupport, 0},
      {cudaDevAttrMemSyncDomainCount, hopper ? 4 : 1}, {cudaDevAttrNumaConfig, 0}, {cudaDevAttrNumaId, -1},
      {cudaDevAttrMpsEnabled, 0}, {cudaDevAttrHostNumaId, 0}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (table[i].id == id) { *known = true; return table[i].value; }
  *known = id > 0 && id < cudaDevAttrMax; /* a real attribute that means nothing here (textures, interop): 0 */
  return 0;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr id, int device) {
  RT_ENTER();
  if (!value) RT_RETURN(cudaErrorInvalidValue);
  if (!device_ok(device)) RT_RETURN(cudaErrorInvalidDevice);
  bool known;
  *value = attribute_value(id, device, &known);
  RT_RETURN(known ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
  RT_ENTER();
  if (!p) RT_RETURN(cudaErrorInvalidValue);
  if (!device_ok(device)) RT_RETURN(cudaErrorInvalidDevice);
  bool known;
#define ATTRIBUTE(id) attribute_value(cudaDevAttr##id, device, &known)
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "%s", model->name);
  memcpy(p->uuid.bytes, "simt-device-0000", 16);
  p->uuid.bytes[15] = (char)('0' + device);
  p->totalGlobalMem = rt_settings.memory;
  p->sharedMemPerBlock = (size_t)ATTRIBUTE(MaxSharedMemoryPerBlock);
  p->regsPerBlock = ATTRIBUTE(MaxRegistersPerBlock);
  p->warpSize = ATTRIBUTE(WarpSize);
  p->memPitch = (size_t)ATTRIBUTE(MaxPitch);
  p->maxThreadsPerBlock = ATTRIBUTE(MaxThreadsPerBlock);
  p->maxThreadsDim[0] = ATTRIBUTE(MaxBlockDimX);
  p->maxThreadsDim[1] = ATTRIBUTE(MaxBlockDimY);
  p->maxThreadsDim[2] = ATTRIBUTE(MaxBlockDimZ);
  p->maxGridSize[0] = ATTRIBUTE(MaxGridDimX);
  p->maxGridSize[1] = ATTRIBUTE(MaxGridDimY);
  p->maxGridSize[2] = ATTRIBUTE(MaxGridDimZ);
  p->totalConstMem = (size_t)ATTRIBUTE(TotalConstantMemory);
  p->major = model->cc / 10;
  p->minor = model->cc % 10;
  p->textureAlignment = (size_t)ATTRIBUTE(TextureAlignment);
  p->texturePitchAlignment = (size_t)ATTRIBUTE(TexturePitchAlignment);
  p->multiProcessorCount = ATTRIBUTE(MultiProcessorCount);
  p->canMapHostMemory = 1;
  p->maxTexture1D = ATTRIBUTE(MaxTexture1DWidth);
  p->maxTexture2D[0] = ATTRIBUTE(MaxTexture2DWidth);
  p->maxTexture2D[1] = ATTRIBUTE(MaxTexture2DHeight);
  p->surfaceAlignment = (size_t)ATTRIBUTE(SurfaceAlignment);
  p->concurrentKernels = 1;
  p->ECCEnabled = ATTRIBUTE(EccEnabled);
  p->pciBusID = ATTRIBUTE(PciBusId);
  p->asyncEngineCount = ATTRIBUTE(AsyncEngineCount);
  p->unifiedAddressing = 1;
  p->memoryBusWidth = ATTRIBUTE(GlobalMemoryBusWidth);
  p->l2CacheSize = ATTRIBUTE(L2CacheSize);
  p->persistingL2CacheMaxSize = ATTRIBUTE(MaxPersistingL2CacheSize);
  p->maxThreadsPerMultiProcessor = ATTRIBUTE(MaxThreadsPerMultiProcessor);
  p->streamPrioritiesSupported = 1;
  p->globalL1CacheSupported = p->localL1CacheSupported = 1;
  p->sharedMemPerMultiprocessor = (size_t)ATTRIBUTE(MaxSharedMemoryPerMultiprocessor);
  p->regsPerMultiprocessor = ATTRIBUTE(MaxRegistersPerMultiprocessor);
  p->managedMemory = 1;
  p->concurrentManagedAccess = ATTRIBUTE(ConcurrentManagedAccess);
  p->computePreemptionSupported = 1;
  p->canUseHostPointerForRegisteredMem = 1;
  p->cooperativeLaunch = 1;
  p->sharedMemPerBlockOptin = (size_t)ATTRIBUTE(MaxSharedMemoryPerBlockOptin);
  p->maxBlocksPerMultiProcessor = ATTRIBUTE(MaxBlocksPerMultiprocessor);
  p->accessPolicyMaxWindowSize = ATTRIBUTE(MaxAccessPolicyWindowSize);
  p->reservedSharedMemPerBlock = (size_t)ATTRIBUTE(ReservedSharedMemoryPerBlock);
  p->hostRegisterSupported = 1;
  p->hostRegisterReadOnlySupported = 1;
  p->memoryPoolsSupported = 1;
  p->clusterLaunch = ATTRIBUTE(ClusterLaunch);
  p->deviceNumaId = -1;
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaDeviceGetLimit(size_t *value, enum cudaLimit limit) {
  RT_ENTER();
  if (!value) RT_RETURN(cudaErrorInvalidValue);
  if (limit < 0 || limit > cudaLimitPersistingL2CacheSize) RT_RETURN(cudaErrorUnsupportedLimit);
  *value = limits[limit];
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceSetLimit(enum cudaLimit limit, size_t value) {
  RT_ENTER();
  if (limit < 0 || limit > cudaLimitPersistingL2CacheSize) RT_RETURN(cudaErrorUnsupportedLimit);
  if (limit == cudaLimitPersistingL2CacheSize && value > (size_t)model->persisting_l2_bytes)
    value = (size_t)model->persisting_l2_bytes;
  limits[limit] = value;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceGetCacheConfig(enum cudaFuncCache *config) {
  RT_ENTER();
  if (!config) RT_RETURN(cudaErrorInvalidValue);
  *config = cache_config;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceSetCacheConfig(enum cudaFuncCache config) {
  RT_ENTER();
  cache_config = config;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceGetSharedMemConfig(enum cudaSharedMemConfig *config) {
  RT_ENTER();
  if (!config) RT_RETURN(cudaErrorInvalidValue);
  *config = cudaSharedMemBankSizeFourByte;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceSetSharedMemConfig(enum cudaSharedMemConfig config) {
  (void)config;
  RT_ENTER();
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaCtxResetPersistingL2Cache(void) { RT_ENTER(); RT_RETURN(cudaSuccess); }
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  RT_ENTER();
  if (least) *least = 0;
  if (greatest) *greatest = model->cc >= 80 ? -5 : -2;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceGetPCIBusId(char *text, int bytes, int device) {
  RT_ENTER();
  if (!text || bytes < 13) RT_RETURN(cudaErrorInvalidValue);
  if (!device_ok(device)) RT_RETURN(cudaErrorInvalidDevice);
  snprintf(text, (size_t)bytes, "0000:%02x:00.0", device + 1);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceGetByPCIBusId(int *device, const char *text) {
  RT_ENTER();
  unsigned domain, bus;
  if (!device || !text) RT_RETURN(cudaErrorInvalidValue);
  if (sscanf(text, "%x:%x:", &domain, &bus) != 2 || !device_ok((int)bus - 1)) RT_RETURN(cudaErrorInvalidValue);
  *device = (int)bus - 1;
  RT_RETURN(cudaSuccess);
}

/* ---- peers -------------------------------------------------------------------------------------------------------- */
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) {
  RT_ENTER();
  if (!can) RT_RETURN(cudaErrorInvalidValue);
  if (!device_ok(device) || !device_ok(peer)) RT_RETURN(cudaErrorInvalidDevice);
  *can = device != peer;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned options) {
  RT_ENTER();
  if (options) RT_RETURN(cudaErrorInvalidValue);
  if (!device_ok(peer) || peer == current_device) RT_RETURN(cudaErrorInvalidDevice);
  if (peers[current_device][peer]) RT_RETURN(cudaErrorPeerAccessAlreadyEnabled);
  peers[current_device][peer] = true;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  RT_ENTER();
  if (!device_ok(peer)) RT_RETURN(cudaErrorInvalidDevice);
  if (!peers[current_device][peer]) RT_RETURN(cudaErrorPeerAccessNotEnabled);
  peers[current_device][peer] = false;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceGetP2PAttribute(int *value, enum cudaDeviceP2PAttr id, int from, int to) {
  RT_ENTER();
  if (!value) RT_RETURN(cudaErrorInvalidValue);
  if (!device_ok(from) || !device_ok(to) || from == to) RT_RETURN(cudaErrorInvalidDevice);
  *value = id == cudaDevP2PAttrAccessSupported || id == cudaDevP2PAttrNativeAtomicSupported;
  RT_RETURN(cudaSuccess);
}

/* ---- profiler, driver entry points --------------------------------------------------------------------------------- */
cudaError_t cudaProfilerStart(void) { RT_ENTER(); RT_RETURN(cudaSuccess); }
cudaError_t cudaProfilerStop(void) { RT_ENTER(); RT_RETURN(cudaSuccess); }

/* There is no driver: every entry point is "not found", which callers must be ready for. */
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                             unsigned long long flags, enum cudaDriverEntryPointQueryResult *status) {
  (void)version; (void)flags;
  RT_ENTER();
  if (!symbol || !function) RT_RETURN(cudaErrorInvalidValue);
  *function = NULL;
  if (status) *status = cudaDriverEntryPointSymbolNotFound;
  RT_RETURN(status ? cudaSuccess : cudaErrorSymbolNotFound);
}
cudaError_t cudaGetDriverEntryPointByVersion_ptsz(const char *symbol, void **function, unsigned version,
                                                  unsigned long long flags, enum cudaDriverEntryPointQueryResult *status) {
  return cudaGetDriverEntryPointByVersion(symbol, function, version, flags, status);
}
cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **function, unsigned long long flags,
                                    enum cudaDriverEntryPointQueryResult *status) {
  return cudaGetDriverEntryPointByVersion(symbol, function, CUDART_VERSION, flags, status);
}
cudaError_t cudaGetDriverEntryPoint_ptsz(const char *symbol, void **function, unsigned long long flags,
                                         enum cudaDriverEntryPointQueryResult *status) {
  return cudaGetDriverEntryPointByVersion(symbol, function, CUDART_VERSION, flags, status);
}
