/* cudart_stream.c: works, streams, events, capture state.
 *
 * Work put on a stream is queued and runs as late as CUDA allows: when the host synchronises with it, or when work that
 * the host synchronises with depends on it. A program that forgets a dependency therefore gets a wrong answer here,
 * every time, where a GPU gives one now and then. With SIMT_SEED the choice among ready streams is random instead, so
 * that different seeds show different legal orders. One thread runs work at a time, under the runtime's lock (which is
 * let go only around host callbacks). */
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rt_operation {
  rt_operation *next;
  uint64_t sequence;
  rt_work *work;    /* NULL: only waits or marks */
  rt_marker *wait;  /* must be done before this operation runs */
  rt_marker *mark;  /* is done once it has run */
};

enum { MOST_PENDING = 1 << 16 }; /* beyond this many queued operations the oldest run, so memory stays bounded */

static struct CUstream_st *streams;
static uint64_t next_sequence = 1, next_stream_id = 8;
static size_t total_pending;
static bool executing;
static pthread_t executor;
static pthread_cond_t executor_idle = PTHREAD_COND_INITIALIZER;

/* ---- works and markers --------------------------------------------------------------------------------------------- */
rt_work *rt_work_new(size_t bytes, enum cudaGraphNodeType type, const char *label, cudaError_t (*run)(rt_work *),
                     void (*release)(rt_work *)) {
  rt_work *work = calloc(1, bytes);
  *work = (rt_work){1, type, label, run, release};
  return work;
}
rt_work *rt_work_retain(rt_work *work) { if (work) work->references++; return work; }
void rt_work_release(rt_work *work) {
  if (!work || --work->references) return;
  if (work->release) work->release(work);
  free(work);
}
static rt_marker *marker_new(void) {
  rt_marker *marker = calloc(1, sizeof *marker);
  marker->references = 1;
  return marker;
}
rt_marker *rt_marker_retain(rt_marker *marker) { if (marker) marker->references++; return marker; }
void rt_marker_release(rt_marker *marker) { if (marker && !--marker->references) free(marker); }

/* ---- random choice ------------------------------------------------------------------------------------------------- */
uint64_t rt_random(void) { /* splitmix64 */
  uint64_t z = (rt_settings.seed += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

/* How keen this seed is to run work before it must, out of 256: some seeds defer everything, some hardly anything. */
static unsigned keenness(void) {
  static int value = -1;
  if (value < 0) value = (int)(rt_random() % 4 * 64);
  return (unsigned)value;
}

/* ---- finding streams ----------------------------------------------------------------------------------------------- */
static struct CUstream_st *stream_new(int device, unsigned flags, int priority) {
  struct CUstream_st *stream = calloc(1, sizeof *stream);
  stream->device = device;
  stream->flags = flags;
  stream->priority = priority;
  stream->id = next_stream_id++;
  stream->next = streams;
  streams = stream;
  return stream;
}

static struct CUstream_st *legacy_stream(int device) {
  static struct CUstream_st *legacy[RT_MAX_DEVICES];
  if (!legacy[device]) {
    legacy[device] = stream_new(device, 0, 0);
    legacy[device]->legacy = true;
  }
  return legacy[device];
}

static struct CUstream_st *thread_stream(int device) {
  static _Thread_local struct CUstream_st *own[RT_MAX_DEVICES];
  if (!own[device]) {
    own[device] = stream_new(device, 0, 0);
    own[device]->per_thread = true;
  }
  return own[device];
}

cudaStream_t rt_per_thread(cudaStream_t handle) { return handle ? handle : cudaStreamPerThread; }

cudaError_t rt_stream(cudaStream_t handle, cudaStream_t *stream) {
  if (!handle || handle == cudaStreamLegacy) *stream = legacy_stream(rt_device());
  else if (handle == cudaStreamPerThread) *stream = thread_stream(rt_device());
  else if (rt_handle_is(handle, RT_STREAM)) *stream = handle;
  else return cudaErrorInvalidResourceHandle;
  return cudaSuccess;
}

static bool is_blocking(const struct CUstream_st *stream) { /* synchronises with the legacy default stream */
  return !stream->legacy && !(stream->flags & cudaStreamNonBlocking);
}

/* ---- running ------------------------------------------------------------------------------------------------------- */
/* A stream whose work must come before this stream's first operation, or NULL; *until says up to where. */
static struct CUstream_st *blocker(struct CUstream_st *stream, uint64_t *until) {
  rt_operation *operation = stream->head;
  if (operation->wait && !operation->wait->done) {
    *until = operation->wait->sequence;
    return operation->wait->stream;
  }
  if (!stream->legacy && !is_blocking(stream)) return NULL;
  for (struct CUstream_st *other = streams; other; other = other->next) {
    bool ordered = stream->legacy ? is_blocking(other) : other->legacy;
    if (ordered && other != stream && other->device == stream->device && other->head &&
        other->head->sequence < operation->sequence) {
      *until = operation->sequence - 1;
      return other;
    }
  }
  return NULL;
}

static bool is_over(const struct CUstream_st *stream) { return stream->destroyed && !stream->head && !stream->capture; }

static void stream_forget(struct CUstream_st *stream) {
  for (struct CUstream_st **link = &streams; *link; link = &(*link)->next)
    if (*link == stream) { *link = stream->next; break; }
  free(stream->tips);
  free(stream);
}

static void finish_operation(rt_operation *operation) {
  if (operation->mark) {
    operation->mark->done = true;
    clock_gettime(CLOCK_MONOTONIC, &operation->mark->when);
  }
  rt_work_release(operation->work);
  rt_marker_release(operation->wait);
  rt_marker_release(operation->mark);
  free(operation);
}

static void run_first(struct CUstream_st *stream) {
  rt_operation *operation = stream->head;
  if (operation->work && !rt_sticky()) { /* after a fault nothing more runs, as on a GPU */
    if (rt_settings.trace)
      fprintf(stderr, "simt: run %s on stream %llu\n", operation->work->label, (unsigned long long)stream->id);
    cudaError_t error = operation->work->run(operation->work);
    if (error) rt_set_sticky(error);
  }
  stream->head = operation->next;
  if (!stream->head) stream->tail = NULL;
  stream->pending--;
  total_pending--;
  finish_operation(operation);
  if (is_over(stream)) stream_forget(stream);
}

static void run_until(struct CUstream_st *stream, uint64_t sequence) {
  while (stream->head && stream->head->sequence <= sequence) {
    bool last = stream->destroyed && !stream->head->next;
    uint64_t until;
    struct CUstream_st *first = blocker(stream, &until);
    if (first) { run_until(first, until); continue; }
    run_first(stream);
    if (last) return; /* a destroyed stream goes with its last operation */
  }
}

static struct CUstream_st *random_ready(void) {
  struct CUstream_st *chosen = NULL;
  uint64_t count = 0, until;
  for (struct CUstream_st *stream = streams; stream; stream = stream->next)
    if (stream->head && !blocker(stream, &until) && rt_random() % ++count == 0) chosen = stream;
  return chosen;
}

static void begin_executing(void) {
  while (executing && !pthread_equal(executor, pthread_self())) rt_wait_unlocked(&executor_idle);
  executing = true;
  executor = pthread_self();
}
static void end_executing(void) {
  executing = false;
  pthread_cond_broadcast(&executor_idle);
}

static void run_random(void) {
  struct CUstream_st *stream = random_ready();
  if (stream) run_first(stream);
}

/* Runs what has to run for the stream to have finished everything up to sequence. */
static cudaError_t drain_until(struct CUstream_st *stream, uint64_t sequence) {
  begin_executing();
  if (rt_settings.seeded)
    for (bool waiting = true; waiting;) {
      waiting = false;
      for (struct CUstream_st *s = streams; s; s = s->next)
        waiting |= s == stream && s->head && s->head->sequence <= sequence;
      if (waiting) run_random();
    }
  else run_until(stream, sequence);
  end_executing();
  return rt_sticky();
}

cudaError_t rt_drain_stream(cudaStream_t stream) {
  /* Synchronising with the legacy stream means waiting for all blocking streams, and for a blocking stream nothing more
   * than its own queue (the legacy operations that it has to wait for are found by blocker()). */
  uint64_t now = next_sequence;
  if (stream->legacy) {
    int device = stream->device;
    for (bool again = true; again;) {
      again = false;
      for (struct CUstream_st *other = streams; other; other = other->next)
        if (other->device == device && is_blocking(other) && other->head && other->head->sequence <= now) {
          drain_until(other, now);
          again = true;
          break; /* the list may have changed */
        }
    }
  }
  return drain_until(stream, now);
}

cudaError_t rt_drain_device(void) {
  for (bool again = true; again;) {
    again = false;
    for (struct CUstream_st *stream = streams; stream; stream = stream->next)
      if (stream->head) {
        drain_until(stream, next_sequence);
        again = true;
        break;
      }
  }
  return rt_sticky();
}

/* ---- capture ------------------------------------------------------------------------------------------------------- */
static rt_capture *captures;
static uint64_t next_capture_id = 1;
static _Thread_local enum cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

static void set_tips(struct CUstream_st *stream, const cudaGraphNode_t *tips, size_t count) {
  cudaGraphNode_t *copy = rt_copy_tips(tips, count);
  free(stream->tips);
  stream->tips = copy;
  stream->tip_count = count;
}

static void add_tips(struct CUstream_st *stream, const cudaGraphNode_t *tips, size_t count) {
  cudaGraphNode_t *all = malloc((stream->tip_count + count + 1) * sizeof *all);
  size_t used = stream->tip_count;
  if (used) memcpy(all, stream->tips, used * sizeof *all);
  for (size_t i = 0; i < count; i++) {
    bool known = false;
    for (size_t j = 0; j < used; j++) known |= all[j] == tips[i];
    if (!known) all[used++] = tips[i];
  }
  free(stream->tips);
  stream->tips = all;
  stream->tip_count = used;
}

bool rt_stream_captures(cudaStream_t handle) {
  cudaStream_t stream;
  return !rt_stream(handle, &stream) && stream->capture;
}

/* Calls that could synchronise are not allowed while a capture is under way that this thread must respect. */
cudaError_t rt_refuse_if_capturing(void) {
  if (thread_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  for (rt_capture *capture = captures; capture; capture = capture->next) {
    bool own = pthread_equal(capture->thread, pthread_self());
    bool counts = capture->mode == cudaStreamCaptureModeGlobal ? own || thread_mode == cudaStreamCaptureModeGlobal
                                                               : capture->mode == cudaStreamCaptureModeThreadLocal && own;
    if (!counts) continue;
    capture->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return cudaSuccess;
}

/* Work on the legacy stream would have to wait for blocking streams: impossible while one of them captures. */
static cudaError_t refuse_implicit(struct CUstream_st *stream) {
  if (!stream->legacy) return cudaSuccess;
  for (struct CUstream_st *other = streams; other; other = other->next)
    if (other->capture && !other->destroyed && is_blocking(other) && other->device == stream->device) {
      other->capture->invalid = true;
      return cudaErrorStreamCaptureImplicit;
    }
  return cudaSuccess;
}

static cudaError_t capture_work(struct CUstream_st *stream, rt_work *work) {
  if (stream->capture->invalid) {
    rt_work_release(work);
    return cudaErrorStreamCaptureInvalidated;
  }
  cudaGraphNode_t node = rt_graph_add(stream->capture->graph, work, stream->tips, stream->tip_count);
  set_tips(stream, &node, 1);
  return cudaSuccess;
}

/* A GPU gets on with its work whatever the host does. Here a call has to make it run, so a host that waits for a host
 * function, say, without calling CUDA would wait for ever: when no call has come for a while, what is queued runs. */
static void *run_when_idle(void *limit) {
  unsigned seconds = (unsigned)(uintptr_t)limit, idle = 0;
  for (uint64_t seen = 0;;) {
    sleep(1);
    rt_lock();
    idle = rt_calls == seen && total_pending && !executing && !rt_sticky() ? idle + 1 : 0;
    seen = rt_calls;
    if (idle >= seconds) {
      static bool told;
      if (!told) fprintf(stderr, "simt: note: no CUDA call for %u s: what is queued runs now (SIMT_IDLE)\n", seconds);
      told = true;
      rt_drain_device();
    }
    rt_unlock();
  }
  return NULL;
}
static void start_idle_thread(void) {
  const char *setting = getenv("SIMT_IDLE");
  unsigned seconds = setting ? (unsigned)atoi(setting) : 5;
  pthread_t thread;
  if (seconds && !pthread_create(&thread, NULL, run_when_idle, (void *)(uintptr_t)seconds)) pthread_detach(thread);
}

/* ---- queueing ------------------------------------------------------------------------------------------------------ */
static void push(struct CUstream_st *stream, rt_work *work, rt_marker *wait, rt_marker *mark) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_idle_thread);
  rt_operation *operation = calloc(1, sizeof *operation);
  *operation = (rt_operation){NULL, next_sequence++, work, rt_marker_retain(wait), rt_marker_retain(mark)};
  if (mark) {
    mark->stream = stream;
    mark->sequence = operation->sequence;
  }
  if (stream->tail) stream->tail->next = operation;
  else stream->head = operation;
  stream->tail = operation;
  stream->pending++;
  total_pending++;
}

static void after_push(struct CUstream_st *stream) {
  if (executing) return; /* another thread runs a host callback: it will get to this */
  if (rt_settings.eager || total_pending > MOST_PENDING) drain_until(stream, stream->tail->sequence);
  else if (rt_settings.seeded)
    while (total_pending && rt_random() % 256 < keenness()) {
      begin_executing();
      run_random();
      end_executing();
    }
}

cudaError_t rt_submit_waiting(cudaStream_t handle, rt_work *work, rt_marker *wait, rt_marker **mark) {
  cudaStream_t stream;
  cudaError_t error = rt_stream(handle, &stream);
  if (!error) error = refuse_implicit(stream);
  if (error) { rt_work_release(work); return error; }
  if (stream->capture) return capture_work(stream, work);
  rt_marker *own = mark ? marker_new() : NULL;
  push(stream, work, wait && !wait->done ? wait : NULL, own);
  if (mark) *mark = own;
  after_push(stream);
  return cudaSuccess;
}
cudaError_t rt_submit(cudaStream_t handle, rt_work *work) { return rt_submit_waiting(handle, work, NULL, NULL); }

static cudaError_t call_run(rt_work *work) {
  rt_call *call = (rt_call *)work;
  call->perform(call->data);
  return rt_sticky();
}
cudaError_t rt_submit_call(cudaStream_t stream, const char *label, void (*perform)(void *), const void *data,
                           size_t bytes) {
  rt_call *call = (rt_call *)rt_work_new(sizeof *call + bytes, cudaGraphNodeTypeKernel, label, call_run, NULL);
  call->perform = perform;
  memcpy(call->data, data, bytes);
  return rt_submit(stream, &call->work);
}

/* ---- host functions ------------------------------------------------------------------------------------------------ */
typedef struct host_work { rt_work work; cudaHostFn_t function; void *data; } host_work;

static cudaError_t host_run(rt_work *work) {
  host_work *host = (host_work *)work;
  if (!rt_finishing) rt_call_unlocked(host->function, host->data);
  return cudaSuccess;
}
rt_work *rt_host_work(cudaHostFn_t function, void *data) {
  host_work *host = (host_work *)rt_work_new(sizeof *host, cudaGraphNodeTypeHost, "host function", host_run, NULL);
  host->function = function;
  host->data = data;
  return &host->work;
}
bool rt_host_params_of(rt_work *work, struct cudaHostNodeParams *params) {
  if (!work || work->run != host_run) return false;
  params->fn = ((host_work *)work)->function;
  params->userData = ((host_work *)work)->data;
  return true;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
  RT_ENTER();
  if (!function) RT_RETURN(cudaErrorInvalidValue);
  RT_RETURN(rt_submit(stream, rt_host_work(function, data)));
}
cudaError_t cudaLaunchHostFunc_ptsz(cudaStream_t stream, cudaHostFn_t function, void *data) {
  return cudaLaunchHostFunc(rt_per_thread(stream), function, data);
}

typedef struct callback_work { rt_work work; cudaStreamCallback_t callback; cudaStream_t stream; void *data; } callback_work;
static void callback_call(void *argument) {
  callback_work *callback = argument;
  callback->callback(callback->stream, rt_sticky(), callback->data);
}
static cudaError_t callback_run(rt_work *work) {
  if (!rt_finishing) rt_call_unlocked(callback_call, work);
  return cudaSuccess;
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void *data, unsigned flags) {
  RT_ENTER();
  if (!callback || flags) RT_RETURN(cudaErrorInvalidValue);
  if (rt_stream_captures(stream)) RT_RETURN(cudaErrorStreamCaptureUnsupported);
  callback_work *work =
      (callback_work *)rt_work_new(sizeof *work, cudaGraphNodeTypeHost, "stream callback", callback_run, NULL);
  work->callback = callback;
  work->stream = stream;
  work->data = data;
  RT_RETURN(rt_submit(stream, &work->work));
}
cudaError_t cudaStreamAddCallback_ptsz(cudaStream_t stream, cudaStreamCallback_t callback, void *data, unsigned flags) {
  return cudaStreamAddCallback(rt_per_thread(stream), callback, data, flags);
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
  RT_ENTER();
  if (!stream || flags & ~(unsigned)cudaStreamNonBlocking) RT_RETURN(cudaErrorInvalidValue);
  int greatest = rt_model()->cc >= 80 ? -5 : -2;
  *stream = stream_new(rt_device(), flags, priority > 0 ? 0 : priority < greatest ? greatest : priority);
  rt_handle_add(*stream, RT_STREAM);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithPriority(stream, 0, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  RT_ENTER();
  if (!rt_handle_is(stream, RT_STREAM)) RT_RETURN(cudaErrorInvalidResourceHandle);
  if (stream->capture && stream->capture->origin == stream) { /* nothing can end that capture any more */
    stream->capture->invalid = true;
    stream->capture = NULL;
  }
  rt_handle_remove(stream);
  stream->destroyed = true; /* queued work still runs, and takes the stream with it; a capture that it joined goes on */
  if (is_over(stream)) stream_forget(stream);
  RT_RETURN(cudaSuccess);
}

static cudaError_t refuse_captured_stream(cudaStream_t stream) {
  if (!stream->capture) return refuse_implicit(stream);
  stream->capture->invalid = true;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t rt_synchronise(cudaStream_t handle) {
  cudaStream_t stream;
  cudaError_t error = rt_stream(handle, &stream);
  if (!error) error = refuse_captured_stream(stream);
  return error ? error : rt_drain_stream(stream);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  RT_ENTER();
  simt_count_one(SIMT_COUNT_synchronizations);
  RT_RETURN(rt_synchronise(stream));
}
cudaError_t cudaStreamSynchronize_ptsz(cudaStream_t stream) { return cudaStreamSynchronize(rt_per_thread(stream)); }

cudaError_t cudaDeviceSynchronize(void) {
  RT_ENTER();
  simt_count_one(SIMT_COUNT_synchronizations);
  cudaError_t error = rt_refuse_if_capturing();
  RT_RETURN(error ? error : rt_drain_device());
}

/* A program that polls must see progress, or it would poll for ever: each query that says "not ready" runs a step. */
static cudaError_t poll(struct CUstream_st *stream, uint64_t sequence) {
  if (!stream->head || stream->head->sequence > sequence) return cudaSuccess;
  begin_executing();
  if (rt_settings.seeded) run_random();
  else {
    uint64_t until;
    struct CUstream_st *first = stream, *next;
    while ((next = blocker(first, &until))) first = next;
    run_first(first);
  }
  end_executing();
  return rt_sticky() ? rt_sticky() : cudaErrorNotReady;
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  RT_ENTER();
  cudaStream_t stream;
  cudaError_t error = rt_stream(handle, &stream);
  if (!error) error = refuse_captured_stream(stream);
  RT_RETURN(error ? error : poll(stream, next_sequence));
}
cudaError_t cudaStreamQuery_ptsz(cudaStream_t stream) { return cudaStreamQuery(rt_per_thread(stream)); }

#define STREAM_GETTER(name, type, expression)                                                                       \
  cudaError_t name(cudaStream_t handle, type *value) {                                                              \
    RT_ENTER();                                                                                                     \
    cudaStream_t stream;                                                                                            \
    cudaError_t error = value ? rt_stream(handle, &stream) : cudaErrorInvalidValue;                                 \
    if (!error) *value = (expression);                                                                              \
    RT_RETURN(error);                                                                                               \
  }                                                                                                                 \
  cudaError_t name##_ptsz(cudaStream_t handle, type *value) { return name(rt_per_thread(handle), value); }
STREAM_GETTER(cudaStreamGetPriority, int, stream->priority)
STREAM_GETTER(cudaStreamGetFlags, unsigned, stream->flags)
STREAM_GETTER(cudaStreamGetId, unsigned long long, stream->id)
STREAM_GETTER(cudaStreamGetDevice, int, stream->device)

cudaError_t cudaStreamSetAttribute(cudaStream_t handle, cudaLaunchAttributeID id, const cudaLaunchAttributeValue *value) {
  RT_ENTER();
  cudaStream_t stream;
  cudaError_t error = value ? rt_stream(handle, &stream) : cudaErrorInvalidValue;
  if (error) RT_RETURN(error);
  switch (id) {
  case cudaLaunchAttributeAccessPolicyWindow: {
    size_t most = rt_model()->cc >= 80 ? 134213632 : 0;
    if (value->accessPolicyWindow.num_bytes > most || value->accessPolicyWindow.hitRatio < 0 ||
        value->accessPolicyWindow.hitRatio > 1)
      RT_RETURN(cudaErrorInvalidValue);
    stream->window = *value;
    RT_RETURN(cudaSuccess);
  }
  case cudaLaunchAttributeSynchronizationPolicy: stream->policy = *value; RT_RETURN(cudaSuccess);
  case cudaLaunchAttributePriority: stream->priority = value->priority; RT_RETURN(cudaSuccess);
  case cudaLaunchAttributeMemSyncDomain: case cudaLaunchAttributeMemSyncDomainMap: RT_RETURN(cudaSuccess);
  default: RT_RETURN(cudaErrorInvalidValue);
  }
}
cudaError_t cudaStreamSetAttribute_ptsz(cudaStream_t stream, cudaLaunchAttributeID id, const cudaLaunchAttributeValue *value) {
  return cudaStreamSetAttribute(rt_per_thread(stream), id, value);
}
cudaError_t cudaStreamGetAttribute(cudaStream_t handle, cudaLaunchAttributeID id, cudaLaunchAttributeValue *value) {
  RT_ENTER();
  cudaStream_t stream;
  cudaError_t error = value ? rt_stream(handle, &stream) : cudaErrorInvalidValue;
  if (error) RT_RETURN(error);
  switch (id) {
  case cudaLaunchAttributeAccessPolicyWindow: *value = stream->window; RT_RETURN(cudaSuccess);
  case cudaLaunchAttributeSynchronizationPolicy: *value = stream->policy; RT_RETURN(cudaSuccess);
  case cudaLaunchAttributePriority: value->priority = stream->priority; RT_RETURN(cudaSuccess);
  case cudaLaunchAttributeMemSyncDomain: case cudaLaunchAttributeMemSyncDomainMap:
    memset(value, 0, sizeof *value);
    RT_RETURN(cudaSuccess);
  default: RT_RETURN(cudaErrorInvalidValue);
  }
}
cudaError_t cudaStreamGetAttribute_ptsz(cudaStream_t stream, cudaLaunchAttributeID id, cudaLaunchAttributeValue *value) {
  return cudaStreamGetAttribute(rt_per_thread(stream), id, value);
}
cudaError_t cudaStreamCopyAttributes(cudaStream_t to, cudaStream_t from) {
  RT_ENTER();
  cudaStream_t a, b;
  cudaError_t error = rt_stream(to, &a);
  if (!error) error = rt_stream(from, &b);
  if (!error) { a->window = b->window; a->policy = b->policy; }
  RT_RETURN(error);
}
cudaError_t cudaStreamCopyAttributes_ptsz(cudaStream_t to, cudaStream_t from) {
  return cudaStreamCopyAttributes(rt_per_thread(to), rt_per_thread(from));
}

/* ---- events --------------------------------------------------------------------------------------------------------- */
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  RT_ENTER();
  unsigned known = cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;
  if (!event || flags & ~known || (flags & cudaEventInterprocess && !(flags & cudaEventDisableTiming)))
    RT_RETURN(cudaErrorInvalidValue);
  *event = calloc(1, sizeof **event);
  (*event)->flags = flags;
  (*event)->device = rt_device();
  rt_handle_add(*event, RT_EVENT);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  RT_ENTER();
  if (!rt_handle_is(event, RT_EVENT)) RT_RETURN(cudaErrorInvalidResourceHandle);
  rt_handle_remove(event);
  rt_marker_release(event->marker);
  free(event->tips);
  free(event);
  RT_RETURN(cudaSuccess);
}

/* What an event record node does, and cudaEventRecord too: a marker that completes in stream order. */
typedef struct event_work { rt_work work; cudaEvent_t event; } event_work;
static cudaError_t event_run(rt_work *work) {
  cudaEvent_t event = ((event_work *)work)->event;
  if (!rt_handle_is(event, RT_EVENT)) return cudaSuccess;
  rt_marker_release(event->marker);
  event->marker = marker_new();
  event->marker->done = true;
  clock_gettime(CLOCK_MONOTONIC, &event->marker->when);
  return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t handle, unsigned flags) {
  RT_ENTER();
  cudaStream_t stream;
  if (!rt_handle_is(event, RT_EVENT)) RT_RETURN(cudaErrorInvalidResourceHandle);
  if (flags & ~(unsigned)cudaEventRecordExternal) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = rt_stream(handle, &stream);
  if (!error) error = refuse_implicit(stream);
  if (error) RT_RETURN(error);
  if (event->device != stream->device) RT_RETURN(cudaErrorInvalidResourceHandle);
  if (stream->capture && flags & cudaEventRecordExternal) {
    event_work *work =
        (event_work *)rt_work_new(sizeof *work, cudaGraphNodeTypeEventRecord, "event record", event_run, NULL);
    work->event = event;
    RT_RETURN(capture_work(stream, &work->work));
  }
  free(event->tips);
  event->tips = NULL;
  event->tip_count = 0;
  event->capture_id = 0;
  if (stream->capture) {
    if (stream->capture->invalid) RT_RETURN(cudaErrorStreamCaptureInvalidated);
    event->capture_id = stream->capture->id;
    event->tips = rt_copy_tips(stream->tips, stream->tip_count);
    event->tip_count = stream->tip_count;
    RT_RETURN(cudaSuccess);
  }
  rt_marker_release(event->marker);
  event->marker = marker_new();
  push(stream, NULL, NULL, event->marker);
  after_push(stream);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaEventRecordWithFlags_ptsz(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return cudaEventRecordWithFlags(event, rt_per_thread(stream), flags);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return cudaEventRecordWithFlags(event, stream, 0); }
cudaError_t cudaEventRecord_ptsz(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, rt_per_thread(stream), 0);
}

static rt_capture *capture_by_id(uint64_t id) {
  for (rt_capture *capture = captures; capture; capture = capture->next)
    if (capture->id == id) return capture;
  return NULL;
}

/* Waiting for an event of a capture makes the waiting stream join that capture. */
static cudaError_t wait_captured(struct CUstream_st *stream, cudaEvent_t event) {
  rt_capture *capture = capture_by_id(event->capture_id);
  if (!capture) return cudaErrorCapturedEvent; /* that capture is over: the event marks nothing */
  if (stream->capture && stream->capture != capture) {
    stream->capture->invalid = capture->invalid = true;
    return cudaErrorStreamCaptureMerge;
  }
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (stream->legacy) { capture->invalid = true; return cudaErrorStreamCaptureImplicit; }
  if (!stream->capture) {
    stream->capture = capture;
    set_tips(stream, event->tips, event->tip_count);
  } else add_tips(stream, event->tips, event->tip_count);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  RT_ENTER();
  cudaStream_t stream;
  if (!rt_handle_is(event, RT_EVENT)) RT_RETURN(cudaErrorInvalidResourceHandle);
  if (flags & ~(unsigned)cudaEventWaitExternal) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = rt_stream(handle, &stream);
  if (!error && !event->capture_id) error = refuse_implicit(stream);
  if (error) RT_RETURN(error);
  if (event->capture_id) RT_RETURN(wait_captured(stream, event));
  if (stream->capture) {
    if (!event->marker) RT_RETURN(cudaSuccess);
    stream->capture->invalid = true;
    RT_RETURN(cudaErrorStreamCaptureIsolation);
  }
  if (event->marker && !event->marker->done) {
    push(stream, NULL, event->marker, NULL);
    after_push(stream);
  }
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaStreamWaitEvent_ptsz(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return cudaStreamWaitEvent(rt_per_thread(stream), event, flags);
}

static cudaError_t refuse_captured_event(cudaEvent_t event) {
  if (!rt_handle_is(event, RT_EVENT)) return cudaErrorInvalidResourceHandle;
  if (!event->capture_id) return cudaSuccess;
  rt_capture *capture = capture_by_id(event->capture_id);
  if (capture) capture->invalid = true;
  return cudaErrorCapturedEvent;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  RT_ENTER();
  cudaError_t error = refuse_captured_event(event);
  if (error) RT_RETURN(error);
  if ((error = rt_refuse_if_capturing())) RT_RETURN(error); /* any event: asking is unsafe while somebody captures */
  rt_marker *marker = event->marker;
  RT_RETURN(!marker || marker->done ? cudaSuccess : poll(marker->stream, marker->sequence));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  RT_ENTER();
  simt_count_one(SIMT_COUNT_synchronizations);
  cudaError_t error = refuse_captured_event(event);
  if (error) RT_RETURN(error);
  if ((error = rt_refuse_if_capturing())) RT_RETURN(error);
  rt_marker *marker = event->marker;
  RT_RETURN(!marker || marker->done ? cudaSuccess : drain_until(marker->stream, marker->sequence));
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
  RT_ENTER();
  cudaError_t error = refuse_captured_event(start);
  if (!error) error = refuse_captured_event(end);
  if (error) RT_RETURN(error);
  if (!milliseconds) RT_RETURN(cudaErrorInvalidValue);
  if ((start->flags | end->flags) & cudaEventDisableTiming || !start->marker || !end->marker)
    RT_RETURN(cudaErrorInvalidResourceHandle);
  if (!start->marker->done || !end->marker->done) RT_RETURN(cudaErrorNotReady);
  struct timespec a = start->marker->when, b = end->marker->when;
  *milliseconds = (float)((double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6);
  RT_RETURN(cudaSuccess);
}

/* ---- capture calls -------------------------------------------------------------------------------------------------- */
static cudaError_t begin_capture(cudaStream_t handle, cudaGraph_t graph, const cudaGraphNode_t *tips, size_t count,
                                 enum cudaStreamCaptureMode mode) {
  cudaStream_t stream;
  cudaError_t error = rt_stream(handle, &stream);
  if (error) return error;
  if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) return cudaErrorInvalidValue;
  if (stream->legacy) return cudaErrorStreamCaptureUnsupported;
  if (stream->capture) return cudaErrorIllegalState;
  rt_capture *capture = calloc(1, sizeof *capture);
  *capture = (rt_capture){next_capture_id++, graph ? graph : rt_graph_new(), !graph, mode, stream, pthread_self(), false, captures};
  captures = capture;
  stream->capture = capture;
  set_tips(stream, tips, count);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
  RT_ENTER();
  RT_RETURN(begin_capture(stream, NULL, NULL, 0, mode));
}
cudaError_t cudaStreamBeginCapture_ptsz(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
  return cudaStreamBeginCapture(rt_per_thread(stream), mode);
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t *dependencies,
                                          const cudaGraphEdgeData *data, size_t count, enum cudaStreamCaptureMode mode) {
  (void)data;
  RT_ENTER();
  if (!rt_handle_is(graph, RT_GRAPH) || (count && !dependencies)) RT_RETURN(cudaErrorInvalidValue);
  RT_RETURN(begin_capture(stream, graph, dependencies, count, mode));
}
cudaError_t cudaStreamBeginCaptureToGraph_ptsz(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t *dependencies,
                                               const cudaGraphEdgeData *data, size_t count, enum cudaStreamCaptureMode mode) {
  return cudaStreamBeginCaptureToGraph(rt_per_thread(stream), graph, dependencies, data, count, mode);
}

static cudaError_t unjoined_work(rt_capture *capture) {
  for (struct CUstream_st *stream = streams; stream; stream = stream->next) {
    if (stream->capture != capture || stream == capture->origin) continue;
    for (size_t i = 0; i < stream->tip_count; i++)
      if (!rt_graph_reaches(capture->graph, capture->origin->tips, capture->origin->tip_count, stream->tips[i]))
        return cudaErrorStreamCaptureUnjoined;
  }
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
  RT_ENTER();
  cudaStream_t stream;
  cudaError_t error = graph ? rt_stream(handle, &stream) : cudaErrorInvalidValue;
  if (error) RT_RETURN(error);
  *graph = NULL;
  rt_capture *capture = stream->capture;
  if (!capture) RT_RETURN(cudaErrorIllegalState);
  if (capture->origin != stream) RT_RETURN(cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed && !pthread_equal(capture->thread, pthread_self()))
    RT_RETURN(cudaErrorStreamCaptureWrongThread);
  error = capture->invalid ? cudaErrorStreamCaptureInvalidated : unjoined_work(capture);
  for (struct CUstream_st *other = streams, *next; other; other = next) {
    next = other->next;
    if (other->capture != capture) continue;
    other->capture = NULL;
    set_tips(other, NULL, 0);
    if (is_over(other)) stream_forget(other);
  }
  for (rt_capture **link = &captures; *link; link = &(*link)->next)
    if (*link == capture) { *link = capture->next; break; }
  if (!error) *graph = capture->graph;
  else if (capture->owns_graph) rt_graph_free(capture->graph);
  free(capture);
  RT_RETURN(error);
}
cudaError_t cudaStreamEndCapture_ptsz(cudaStream_t stream, cudaGraph_t *graph) {
  return cudaStreamEndCapture(rt_per_thread(stream), graph);
}

static enum cudaStreamCaptureStatus capture_status(const struct CUstream_st *stream) {
  if (!stream->capture) return cudaStreamCaptureStatusNone;
  return stream->capture->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status) {
  RT_ENTER();
  cudaStream_t stream;
  cudaError_t error = status ? rt_stream(handle, &stream) : cudaErrorInvalidValue;
  if (!error) error = refuse_implicit(stream);
  if (!error) *status = capture_status(stream);
  RT_RETURN(error);
}
cudaError_t cudaStreamIsCapturing_ptsz(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
  return cudaStreamIsCapturing(rt_per_thread(stream), status);
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **dependencies,
                                     const cudaGraphEdgeData **edges, size_t *count) {
  RT_ENTER();
  cudaStream_t stream;
  cudaError_t error = status ? rt_stream(handle, &stream) : cudaErrorInvalidValue;
  if (!error) error = refuse_implicit(stream);
  if (error) RT_RETURN(error);
  *status = capture_status(stream);
  if (*status == cudaStreamCaptureStatusActive) {
    if (id) *id = stream->capture->id;
    if (graph) *graph = stream->capture->graph;
    if (dependencies) *dependencies = stream->tips;
    if (edges) *edges = NULL;
    if (count) *count = stream->tip_count;
  }
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaStreamGetCaptureInfo_ptsz(cudaStream_t stream, enum cudaStreamCaptureStatus *status,
                                          unsigned long long *id, cudaGraph_t *graph, const cudaGraphNode_t **dependencies,
                                          const cudaGraphEdgeData **edges, size_t *count) {
  return cudaStreamGetCaptureInfo(rt_per_thread(stream), status, id, graph, dependencies, edges, count);
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t handle, cudaGraphNode_t *dependencies,
                                                const cudaGraphEdgeData *edges, size_t count, unsigned flags) {
  (void)edges;
  RT_ENTER();
  cudaStream_t stream;
  cudaError_t error = rt_stream(handle, &stream);
  if (error) RT_RETURN(error);
  if (!stream->capture) RT_RETURN(cudaErrorIllegalState);
  if (count && !dependencies) RT_RETURN(cudaErrorInvalidValue);
  if (flags == cudaStreamSetCaptureDependencies) set_tips(stream, dependencies, count);
  else add_tips(stream, dependencies, count);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaStreamUpdateCaptureDependencies_ptsz(cudaStream_t stream, cudaGraphNode_t *dependencies,
                                                     const cudaGraphEdgeData *edges, size_t count, unsigned flags) {
  return cudaStreamUpdateCaptureDependencies(rt_per_thread(stream), dependencies, edges, count, flags);
}

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
  RT_ENTER();
  if (!mode || *mode < cudaStreamCaptureModeGlobal || *mode > cudaStreamCaptureModeRelaxed) RT_RETURN(cudaErrorInvalidValue);
  enum cudaStreamCaptureMode old = thread_mode;
  thread_mode = *mode;
  *mode = old;
  RT_RETURN(cudaSuccess);
}
