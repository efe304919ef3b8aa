// A bare loop over ONNX Runtime's C API: what is timed, and nothing else. The reference for the agents' bias.
// bare_loop LIBRARY MODEL ITERATIONS WARMUP_NS THREADS SPIN: prints one duration in ns per line. Float inputs only.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "onnxruntime_c_api.h"

#define MOST 16  // inputs, outputs, dimensions

static const OrtApi *ort;

static void must(OrtStatus *status) {
  if (!status) return;
  fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static OrtSession *load(const char *library, const char *model, int threads, const char *spin) {
  OrtEnv *env;
  OrtSession *session;
  OrtSessionOptions *options;
  const OrtApiBase *(*base)(void);
  *(void **)&base = dlsym(dlopen(library, RTLD_NOW | RTLD_LOCAL), "OrtGetApiBase");
  ort = base()->GetApi(12);
  must(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bare", &env));
  must(ort->CreateSessionOptions(&options));
  must(ort->SetIntraOpNumThreads(options, threads));
  must(ort->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", spin));
  must(ort->CreateSession(env, model, options, &session));
  return session;
}

// Fill input `i` with numbers between -0.5 and 0.5; open dimensions become 1.
static OrtValue *input(OrtSession *session, size_t i) {
  OrtTypeInfo *type;
  const OrtTensorTypeAndShapeInfo *info;
  OrtMemoryInfo *memory;
  OrtValue *value;
  size_t rank, count = 1;
  int64_t shape[MOST];
  must(ort->SessionGetInputTypeInfo(session, i, &type));
  must(ort->CastTypeInfoToTensorInfo(type, &info));
  must(ort->GetDimensionsCount(info, &rank));
  if (rank > MOST) exit(1);
  must(ort->GetDimensions(info, shape, rank));
  for (size_t d = 0; d < rank; d++) count *= (size_t)(shape[d] = shape[d] < 1 ? 1 : shape[d]);
  float *data = aligned_alloc(64, (count * sizeof *data + 63) / 64 * 64);
  uint32_t random = 1;
  for (size_t k = 0; k < count; k++) data[k] = (float)((random = random * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
  must(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  must(ort->CreateTensorWithDataAsOrtValue(memory, data, count * sizeof *data, shape, rank,
                                           ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
  return value;
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  OrtSession *session = load(argv[1], argv[2], atoi(argv[5]), argv[6]);
  int iterations = atoi(argv[3]), taken = 0;
  OrtAllocator *allocator;
  size_t inputs, outputs;
  char *in[MOST], *out[MOST];
  OrtValue *values[MOST], *results[MOST] = {0};
  must(ort->GetAllocatorWithDefaultOptions(&allocator));
  must(ort->SessionGetInputCount(session, &inputs));
  must(ort->SessionGetOutputCount(session, &outputs));
  if (inputs > MOST || outputs > MOST) return 1;
  for (size_t i = 0; i < inputs; i++) must(ort->SessionGetInputName(session, i, allocator, &in[i]));
  for (size_t i = 0; i < outputs; i++) must(ort->SessionGetOutputName(session, i, allocator, &out[i]));
  for (size_t i = 0; i < inputs; i++) values[i] = input(session, i);
  int64_t *samples = calloc((size_t)iterations, sizeof *samples), warm = now_ns() + atoll(argv[4]);
  while (taken < iterations) {
    int64_t begin = now_ns();
    OrtStatus *status = ort->Run(session, NULL, (const char *const *)in, (const OrtValue *const *)values, inputs,
                                 (const char *const *)out, outputs, results);
    int64_t end = now_ns();
    must(status);
    if (begin >= warm) samples[taken++] = end - begin;
    for (size_t i = 0; i < outputs; i++) ort->ReleaseValue(results[i]), results[i] = NULL;
  }
  for (int i = 0; i < iterations; i++) printf("%lld\n", (long long)samples[i]);
  return 0;
}
