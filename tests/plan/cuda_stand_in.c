/* Answers as libcuda.so.1 of a machine with two GPUs does; "device" memory is the host's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long Pointer;

static int failure(void) {
    const char *wanted = getenv("CUDA_STAND_IN_FAILS");
    return wanted ? atoi(wanted) : 0;
}

int cuInit(unsigned flags) { return flags ? 1 : failure(); }
int cuGetErrorString(int code, const char **words) {
    *words = code == 803 ? "system has unsupported display driver / cuda driver combination" : 0;
    return 0;
}
int cuDeviceGetCount(int *count) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    *count = visible && !*visible ? 0 : 2;
    return 0;
}
int cuDeviceGet(int *device, int index) {
    *device = index + 40;
    return index < 0 || index > 1 ? 101 : 0;
}
int cuDeviceGetName(char *name, int size, int device) {
    snprintf(name, size, "Stand-in %d", device - 40);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = (size_t)150754820096ULL + device - 40;
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 9 : attribute == 76 ? device - 40 : -1;
    return 0;
}
int cuDriverGetVersion(int *version) { *version = 13010; return 0; }

static int context, retained, current;
int cuDevicePrimaryCtxRetain(void **answer, int device) {
    *answer = &context;
    retained += device;
    return 0;
}
int cuDevicePrimaryCtxRelease_v2(int device) { retained -= device; return 0; }
int cuCtxSetCurrent(void *given) { current = given == &context; return current ? 0 : 201; }
int cuStreamCreate(void **stream, unsigned flags) {
    *stream = malloc(1);
    return current && flags == 1 ? 0 : 1;
}
int cuStreamDestroy_v2(void *stream) { free(stream); return 0; }
int cuStreamSynchronize(void *stream) { return stream ? 0 : 400; }

static int allocations;
int cuMemAlloc_v2(Pointer *address, size_t size) {
    if (size > (1ULL << 40)) return 2;
    *address = (Pointer)malloc(size);
    allocations++;
    return 0;
}
int cuMemFree_v2(Pointer address) { free((void *)address); allocations--; return 0; }
int cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t size, void *stream) {
    memcpy((void *)to, from, size);
    return stream ? 0 : 400;
}
int cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t size, void *stream) {
    memcpy(to, (void *)from, size);
    return stream ? 0 : 400;
}
int stand_in_left(void) { return allocations + retained; }
