/* A stand-in for NVIDIA's driver where there is no GPU: "its memory" is this process's own.

   It is as strict as the driver with what is easily got wrong: a current context for each call,
   addresses that were allocated, streams that are known. Two devices; 256 MiB are free on each. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100,
       INVALID_CONTEXT = 201 };
typedef struct { uint64_t at; size_t size; } Allocation;

static int ready, contexts[2];
static __thread void *stack[8];
static __thread int depth;
static Allocation all[256];

static int outside(uint64_t address, size_t size) {
  for (int i = 0; i < 256; i++)
    if (all[i].at && address >= all[i].at && address + size <= all[i].at + all[i].size) return 0;
  return 1;
}
static int no_context(void) { return !ready ? NOT_INITIALIZED : depth ? OK : INVALID_CONTEXT; }

API int cuInit(unsigned flags) {
  if (getenv("NO_DEVICE")) return NO_DEVICE;
  ready = flags == 0;
  return ready ? OK : INVALID_VALUE;
}
API int cuGetErrorString(int error, const char **text) {
  *text = error == NO_DEVICE ? "no CUDA-capable device is detected"
        : error == OUT_OF_MEMORY ? "out of memory"
        : error == INVALID_CONTEXT ? "invalid device context" : "invalid argument";
  return OK;
}
API int cuDeviceGetCount(int *count) { *count = 2; return ready ? OK : NOT_INITIALIZED; }
API int cuDeviceGet(int *device, int number) {
  *device = number;
  return number < 0 || number > 1 ? INVALID_VALUE : OK;
}
API int cuDevicePrimaryCtxRetain(void **context, int device) {
  *context = &contexts[device];
  return OK;
}
API int cuCtxPushCurrent_v2(void *context) {
  if (!context || depth == 8) return INVALID_CONTEXT;
  stack[depth++] = context;
  return OK;
}
API int cuCtxPopCurrent_v2(void **context) {
  if (!depth) return INVALID_CONTEXT;
  *context = stack[--depth];
  return OK;
}
API int cuCtxSynchronize(void) { return no_context(); }
API int cuStreamSynchronize(void *stream) {
  return (uintptr_t)stream != 1 && (uintptr_t)stream != 77 ? INVALID_VALUE : no_context();
}
API int cuMemGetInfo_v2(size_t *available, size_t *total) {
  *available = *total = (size_t)256 << 20;
  return no_context();
}
API int cuMemAlloc_v2(uint64_t *address, size_t size) {
  if (no_context()) return no_context();
  for (int i = 0; i < 256; i++)
    if (!all[i].at) {
      all[i].at = *address = (uint64_t)(uintptr_t)malloc(size);
      all[i].size = size;
      return OK;
    }
  return OUT_OF_MEMORY;
}
API int cuMemFree_v2(uint64_t address) {
  if (no_context()) return no_context();
  for (int i = 0; i < 256; i++)
    if (all[i].at == address) {
      free((void *)(uintptr_t)address);
      all[i].at = 0;
      return OK;
    }
  return INVALID_VALUE;
}
API int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) {
  if (no_context() || outside(to, size)) return INVALID_VALUE;
  memcpy((void *)(uintptr_t)to, from, size);
  return OK;
}
API int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) {
  if (no_context() || outside(from, size)) return INVALID_VALUE;
  memcpy(to, (void *)(uintptr_t)from, size);
  return OK;
}
API int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, void *stream) {
  if (no_context() || outside(to, size) || outside(from, size)) return INVALID_VALUE;
  memcpy((void *)(uintptr_t)to, (void *)(uintptr_t)from, size);
  return (uintptr_t)stream == 1 ? OK : INVALID_VALUE;
}
API int cuIpcGetMemHandle(char *handle, uint64_t address) {
  if (no_context()) return no_context();
  for (int i = 0; i < 256; i++)
    if (all[i].at == address) {
      memset(handle, 0, 64); /* with zeros in it, as the real ones have */
      memcpy(handle + 8, &address, 8);
      memcpy(handle + 32, &all[i].size, 8);
      return OK;
    }
  return INVALID_VALUE;
}
API int cuPointerGetAttribute(void *found, int attribute, uint64_t address) {
  if (attribute != 9 || outside(address, 1)) return INVALID_VALUE;
  *(int *)found = 0;
  return OK;
}
/* For the checks: what is allocated now. */
API int stand_in_allocations(void) {
  int count = 0;
  for (int i = 0; i < 256; i++) count += all[i].at != 0;
  return count;
}
