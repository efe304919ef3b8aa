/* A stand-in for NVIDIA's libcudart: memory of the host, its clock for events, and no GPU.

   It is for what our runner does with CUDA, never for how fast anything is. What the stand-in for TensorRT enqueues goes
   through stand_in_enqueue, so that a graph can be captured and launched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void (*work)(void);
struct graph { int count; work works[16]; };

static struct graph *capturing;

static int no_gpu(void) { return getenv("SEATRIAL_STAND_IN_NO_GPU") != NULL; }

const char *cudaGetErrorString(int code) {
    return code == 100 ? "no CUDA-capable device is detected" : code == 2 ? "out of memory" : "unknown error";
}

int cudaGetDeviceCount(int *count) { *count = 1; return no_gpu() ? 100 : 0; }
int cudaRuntimeGetVersion(int *version) { *version = 12060; return 0; }
int cudaSetDeviceFlags(unsigned flags) { return flags == 1 || flags == 4 ? 0 : 1; }

int cudaGetDeviceProperties(char *properties, int device) { return device ? 101 : (strcpy(properties, "Orin"), 0); }
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 16 ? 8 : -1;
    return device || *value < 0 ? 1 : 0;
}

int cudaMalloc(void **memory, size_t size) { return size > (1UL << 40) || !(*memory = calloc(1, size)) ? 2 : 0; }
int cudaHostAlloc(void **memory, size_t size, unsigned flags) { return flags ? 1 : cudaMalloc(memory, size); }

int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
    if (!stream || (kind != 1 && kind != 2)) return 1;
    memcpy(to, from, size);
    return 0;
}

int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return flags == 1 ? cudaMalloc(stream, 8) : 1; }
int cudaStreamSynchronize(void *stream) { return stream ? 0 : 1; }

int cudaEventCreateWithFlags(void **event, unsigned flags) {
    return flags > 1 ? 1 : cudaMalloc(event, sizeof(struct timespec));
}
int cudaEventRecord(void *event, void *stream) { return stream ? clock_gettime(CLOCK_MONOTONIC, event) : 1; }
int cudaEventElapsedTime(float *ms, struct timespec *start, struct timespec *end) {
    *ms = (float)((end->tv_sec - start->tv_sec) * 1e3 + (end->tv_nsec - start->tv_nsec) / 1e6);
    return 0;
}

int cudaStreamBeginCapture(void *stream, int mode) {
    if (!stream || mode != 1 || capturing) return 1;
    capturing = calloc(1, sizeof *capturing);
    return 0;
}
int cudaStreamEndCapture(void *stream, void **graph) {
    *graph = getenv("SEATRIAL_STAND_IN_NO_GRAPH") ? NULL : capturing;
    capturing = NULL;
    return stream && *graph ? 0 : 901; /* cudaErrorStreamCaptureInvalidated */
}
int cudaGraphInstantiateWithFlags(void **launchable, void *graph, unsigned long long flags) {
    *launchable = graph;
    return flags ? 1 : 0;
}
int cudaGraphLaunch(struct graph *graph, void *stream) {
    if (!stream) return 1;
    for (int i = 0; i < graph->count; i++) graph->works[i]();
    return 0;
}

int stand_in_enqueue(work call) {
    if (!capturing) call();
    else if (capturing->count < 16) capturing->works[capturing->count++] = call;
    return 0;
}
