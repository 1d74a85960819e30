/* Two GPUs as NVML tells of them, for a machine that has none. The layouts are those of nvml.h.
   GPU 1 is used by this process and by one of which the driver does not tell how much. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
    unsigned int pid;
    unsigned long long used;
    unsigned int gpu_instance, compute_instance;
} process_info;

static int devices[2];

int nvmlInit_v2(void) { return 0; }

int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    *device = &devices[index];
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned int length) {
    snprintf(uuid, length, "GPU-%c0000000", device == &devices[0] ? 'a' : 'b');
    return 0;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, process_info *rows) {
    if (*count < 2) return 7; /* NVML_ERROR_INSUFFICIENT_SIZE */
    if (device == &devices[0]) { *count = 0; return 0; }
    rows[0] = (process_info){(unsigned int)getpid(), 3ULL << 30, ~0u, ~0u};
    rows[1] = (process_info){1, UINT64_MAX, ~0u, ~0u};
    *count = 2;
    return 0;
}
