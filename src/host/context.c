/* context.c - choosing and opening a backend; its memory and synchronisation, each one line through its table.
 *
 * librondo does not link CUDA. The CUDA backend is a module, librondo_cuda, opened here when a context asks for it; or,
 * in a static program, the archive librondo_cuda.a, whose entry point the weak reference below then finds. */
#define _GNU_SOURCE /* dladdr, RTLD_NODELETE */
#include "internal.h"

#include "error.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE_FILE "librondo_cuda.so.0"

/* Never unloaded again: plans keep pointers into it, and the CUDA runtime does not like to be. */
#define MODULE_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

__attribute__((weak)) rondo_cuda_backend_function rondo_cuda_backend;

static const rondo_core core = {RONDO_MODULE_VERSION, rondo_vfail};

/* The module beside the file that holds this code, or else wherever the loader looks. NULL: dlerror says why. */
static void *open_module(void) {
  Dl_info here;
  if (dladdr(&core, &here) && here.dli_fname) {
    char path[4096];
    const char *slash = strrchr(here.dli_fname, '/');
    int folder = slash ? (int)(slash - here.dli_fname) + 1 : 0;
    int length = snprintf(path, sizeof path, "%.*s" MODULE_FILE, folder, here.dli_fname);
    int fits = folder && length < (int)sizeof path;
    if (fits && access(path, F_OK) == 0) return dlopen(path, MODULE_FLAGS);
  }
  return dlopen(MODULE_FILE, MODULE_FLAGS);
}

static rondo_status find_cuda(const rondo_backend_ops **ops) {
  rondo_cuda_backend_function *entry = rondo_cuda_backend;
  if (!entry) {
    void *module = open_module();
    if (!module) {
      const char *why = dlerror();
      return rondo_fail(RONDO_UNAVAILABLE, "the CUDA module cannot be opened: %s", why ? why : MODULE_FILE);
    }
    *(void **)&entry = dlsym(module, "rondo_cuda_backend");
    if (!entry) return rondo_fail(RONDO_UNAVAILABLE, MODULE_FILE " has no rondo_cuda_backend: another library's file?");
  }
  *ops = entry(&core);
  if (!*ops || (*ops)->version != RONDO_MODULE_VERSION)
    return rondo_fail(RONDO_UNAVAILABLE, MODULE_FILE " is of another version than this librondo, %s", rondo_version());
  return RONDO_OK;
}

static rondo_status open_backend(rondo_context **out, const rondo_context_desc *desc, rondo_backend backend) {
  rondo_context *ctx = calloc(1, sizeof *ctx);
  if (!ctx) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_context_create: no host memory");
  ctx->desc = *desc;
  if (ctx->desc.threads == 0) ctx->desc.threads = 1;
  rondo_status status = RONDO_OK;
  switch (backend) {
    case RONDO_CUDA: status = find_cuda(&ctx->ops); break;
    case RONDO_REFERENCE: ctx->ops = &rondo_reference_ops; break;
    default: ctx->ops = &rondo_cpu_ops;
  }
  if (status == RONDO_OK) status = ctx->ops->open(ctx);
  if (status != RONDO_OK) {
    free(ctx);
    return status;
  }
  *out = ctx;
  return RONDO_OK;
}

/* CUDA where it works, else the CPU. The reason against CUDA goes into the context's text: it is not a failure, so the
 * thread's last sentence is put back. The caller's own mistake is passed on. */
static rondo_status open_any(rondo_context **out, const rondo_context_desc *desc) {
  char before[512], why[512];
  snprintf(before, sizeof before, "%s", rondo_last_error());
  rondo_status cuda = open_backend(out, desc, RONDO_CUDA);
  if (cuda == RONDO_OK || cuda == RONDO_INVALID_ARGUMENT) return cuda;
  snprintf(why, sizeof why, "%s", rondo_last_error());
  rondo_fail(RONDO_OK, "%s", before);
  TRY(open_backend(out, desc, RONDO_CPU));
  size_t used = strlen((*out)->text);
  snprintf((*out)->text + used, sizeof(*out)->text - used, " (cuda not used: %s)", why);
  return RONDO_OK;
}

rondo_status rondo_context_create(rondo_context **ctx, const rondo_context_desc *desc) {
  static const rondo_context_desc defaults;
  REQUIRE(ctx, "rondo_context_create: ctx is NULL");
  *ctx = NULL;
  if (!desc) desc = &defaults;
  REQUIRE((unsigned)desc->backend <= RONDO_REFERENCE, "rondo_context_create: backend %d is not a rondo_backend",
          (int)desc->backend);
  REQUIRE(desc->device >= 0, "rondo_context_create: device %d is negative", desc->device);
  REQUIRE(desc->threads >= 0 && desc->threads <= 1024, "rondo_context_create: threads %d is not in 0..1024",
          desc->threads);
  REQUIRE(!desc->parallel_for || desc->threads,
          "rondo_context_create: threads is 0, but parallel_for needs a number of at least 1");
  REQUIRE(desc->parallel_for || !desc->pool, "rondo_context_create: pool is given, but parallel_for is NULL");
  REQUIRE((unsigned)desc->max_isa <= RONDO_ISA_AMX, "rondo_context_create: max_isa %d is not a rondo_isa",
          (int)desc->max_isa);
  return desc->backend == RONDO_BACKEND_AUTO ? open_any(ctx, desc) : open_backend(ctx, desc, desc->backend);
}

void rondo_context_destroy(rondo_context *ctx) {
  if (!ctx) return;
  ctx->ops->close(ctx);
  free(ctx->scratch);
  free(ctx->stamps);
  free(ctx);
}

rondo_backend rondo_context_backend(const rondo_context *ctx) {
  return ctx ? ctx->ops->id : RONDO_BACKEND_AUTO;
}

const char *rondo_context_text(const rondo_context *ctx) {
  return ctx ? ctx->text : "";
}

rondo_status rondo_synchronize(rondo_context *ctx) {
  REQUIRE(ctx, "rondo_synchronize: ctx is NULL");
  return ctx->ops->synchronize(ctx);
}

void *rondo_alloc(rondo_context *ctx, size_t bytes) {
  void *pointer = NULL;
  if (!ctx)
    rondo_fail(RONDO_INVALID_ARGUMENT, "rondo_alloc: ctx is NULL");
  else if (!bytes)
    rondo_fail(RONDO_INVALID_ARGUMENT, "rondo_alloc: bytes is 0");
  else if (ctx->ops->alloc(ctx, bytes, &pointer) != RONDO_OK)
    pointer = NULL;
  return pointer;
}

void rondo_free(rondo_context *ctx, void *pointer) {
  if (ctx && pointer) ctx->ops->release(ctx, pointer);
}

rondo_status rondo_copy(rondo_context *ctx, void *to, const void *from, size_t bytes) {
  REQUIRE(ctx, "rondo_copy: ctx is NULL");
  REQUIRE(to && from, "rondo_copy: %s is NULL", to ? "from" : "to");
  return bytes ? ctx->ops->copy(ctx, to, from, bytes) : RONDO_OK;
}
