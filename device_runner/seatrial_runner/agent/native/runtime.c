// ONNX Runtime through its C API: the library, one environment, a session per arm, inferences.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

const OrtApi *ort;
static void *library;
static OrtEnv *environment;
static OrtMemoryInfo *host_memory;

static void require(OrtStatus *status, enum Kind kind, const char *doing) {
  if (status) fail(kind, "%s: %s", doing, ort->GetErrorMessage(status));
}

static bool duet(void) { return job.arms[0].given && job.arms[1].given; }

void load_library(void) {
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  library = dlopen(job.library, RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(DEVICE_ERROR, "the runtime library can't be loaded: %s", dlerror());
  const OrtApiBase *(*base)(void);
  *(void **)&base = dlsym(library, "OrtGetApiBase");
  if (!base) fail(USER_ERROR, "%s: is no ONNX Runtime library: it has no symbol OrtGetApiBase", job.library);
  snprintf(figures.runtime_version, sizeof figures.runtime_version, "%s", base()->GetVersionString());
  ort = base()->GetApi(NEEDED_API);
  if (!ort)
    fail(USER_ERROR, "ONNX Runtime %s is too old: C API version %u (ONNX Runtime 1.%u) is needed", figures.runtime_version,
         NEEDED_API, NEEDED_API);
  figures.dlopen_ns = now_ns(CLOCK_MONOTONIC) - begin;
}

// Solo runs get what an application gets by default: a pool of the session's own. In a duet two spinning pools would
// disturb each other (A/A sd 9.5 % against 1.0 % with one pool), so both sessions share the environment's.
void create_environment(void) {
  if (!duet()) {
    require(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "seatrial", &environment), DEVICE_ERROR, "CreateEnv");
  } else {
    OrtThreadingOptions *pool;
    require(ort->CreateThreadingOptions(&pool), DEVICE_ERROR, "CreateThreadingOptions");
    require(ort->SetGlobalIntraOpNumThreads(pool, (int)job.threads), DEVICE_ERROR, "SetGlobalIntraOpNumThreads");
    require(ort->SetGlobalInterOpNumThreads(pool, 1), DEVICE_ERROR, "SetGlobalInterOpNumThreads");
    require(ort->SetGlobalSpinControl(pool, job.spin), DEVICE_ERROR, "SetGlobalSpinControl");
    require(ort->CreateEnvWithGlobalThreadPools(ORT_LOGGING_LEVEL_ERROR, "seatrial", pool, &environment), DEVICE_ERROR,
            "CreateEnvWithGlobalThreadPools");
  }
  require(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &host_memory), DEVICE_ERROR, "CreateCpuMemoryInfo");
}

static bool has_provider(const char *name, char **names, int count) {
  for (int i = 0; i < count; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

static void require_provider(const char *name) {
  char **names, list[1024] = "";
  int count;
  require(ort->GetAvailableProviders(&names, &count), DEVICE_ERROR, "GetAvailableProviders");
  if (has_provider(name, names, count)) return;
  for (int i = 0, used = 0; i < count && used < 900; i++)
    used += snprintf(list + used, sizeof list - (size_t)used, "%s%.64s", i ? ", " : "", names[i]);
  fail(USER_ERROR, "this ONNX Runtime %s has no provider %s; it has: %s", figures.runtime_version, name, list);
}

// Older providers have no options by name: each is a function of its own, which the library exports where it has them.
// What can be set of them is one number, `flags` (NNAPI's: 1 FP16, 2 NCHW, 4 no CPU of its own, 8 its CPU alone).
static uint32_t flags_of(const Provider *provider) {
  uint32_t flags = 0;
  for (size_t i = 0; i < provider->keys.count; i++) {
    char *end;
    const char *value = provider->values.at[i];
    if (strcmp(provider->keys.at[i], "flags"))
      fail(USER_ERROR, "%s has the option flags alone, and no %s", provider->name, provider->keys.at[i]);
    flags = (uint32_t)strtoul(value, &end, 10);
    if (*end || end == value || *value == '-') fail(USER_ERROR, "%s: flags is a number, not %s", provider->name, value);
  }
  return flags;
}

static bool add_by_symbol(OrtSessionOptions *options, const Provider *provider, const char *short_name) {
  char symbol[128];
  OrtStatus *(*append)(OrtSessionOptions *, uint32_t flags);
  if (strcmp(short_name, "Nnapi") && strcmp(short_name, "ACL") && strcmp(short_name, "ArmNN")) return false;
  snprintf(symbol, sizeof symbol, "OrtSessionOptionsAppendExecutionProvider_%s", short_name);
  *(void **)&append = dlsym(library, symbol);
  if (!append) fail(USER_ERROR, "%s: this ONNX Runtime has it, but does not export %s", short_name, symbol);
  require(append(options, flags_of(provider)), USER_ERROR, short_name);
  return true;
}

// The name that SessionOptionsAppendExecutionProvider takes: without the suffix, and for two of them in capitals.
static void add_provider(OrtSessionOptions *options, const Provider *provider) {
  char short_name[64], *suffix;
  require_provider(provider->name);
  if (strcmp(provider->name, "CPUExecutionProvider") == 0) return;  // always there, as the last resort
  snprintf(short_name, sizeof short_name, "%s", provider->name);
  if ((suffix = strstr(short_name, "ExecutionProvider"))) *suffix = '\0';
  if (add_by_symbol(options, provider, short_name)) return;
  const char *taken = strcmp(short_name, "Xnnpack") == 0 ? "XNNPACK" : strcmp(short_name, "Azure") == 0 ? "AZURE" : short_name;
  require(ort->SessionOptionsAppendExecutionProvider(options, taken, (const char *const *)provider->keys.at,
                                                     (const char *const *)provider->values.at, provider->keys.count),
          USER_ERROR, provider->name);
}

static void set_config(OrtSessionOptions *options, const char *key, const char *value) {
  require(ort->AddSessionConfigEntry(options, key, value), USER_ERROR, key);
}

// Blobs are named by hash, without the suffix by which ONNX Runtime tells its own format.
static bool is_ort_format(const char *path) {
  char start[8] = "";
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(DEVICE_ERROR, "model %s: %s", path, strerror(errno));
  ssize_t length = read(fd, start, sizeof start);
  close(fd);
  return length == sizeof start && memcmp(start + 4, "ORTM", 4) == 0;
}

static OrtSessionOptions *session_options(const Arm *arm) {
  OrtSessionOptions *options;
  require(ort->CreateSessionOptions(&options), DEVICE_ERROR, "CreateSessionOptions");
  require(ort->SetSessionGraphOptimizationLevel(options, (GraphOptimizationLevel)arm->optimization), USER_ERROR, "optimization");
  if (duet()) {
    require(ort->DisablePerSessionThreads(options), DEVICE_ERROR, "DisablePerSessionThreads");
  } else {
    require(ort->SetIntraOpNumThreads(options, (int)job.threads), DEVICE_ERROR, "SetIntraOpNumThreads");
    set_config(options, "session.intra_op.allow_spinning", job.spin ? "1" : "0");
  }
  if (is_ort_format(arm->model)) set_config(options, "session.load_model_format", "ORT");
  for (size_t i = 0; i < arm->config_keys.count; i++) set_config(options, arm->config_keys.at[i], arm->config_values.at[i]);
  for (size_t i = 0; i < arm->provider_count; i++) add_provider(options, &arm->providers[i]);
  if (job.mode == PROFILE) require(ort->EnableProfiling(options, "profile"), DEVICE_ERROR, "EnableProfiling");
  return options;
}

typedef OrtStatus *(ORT_API_CALL *TypeOf)(const OrtSession *, size_t, OrtTypeInfo **);
typedef OrtStatus *(ORT_API_CALL *NameOf)(const OrtSession *, size_t, OrtAllocator *, char **);

typedef struct {
  const char *what;  // "input" or "output"
  Tensors *given;
  size_t count;  // of the model
  NameOf name_of;
  TypeOf type_of;
  const char **names;  // of the model, in the order of `given`
} Side;

static Tensor *given_tensor(const Side *side, const char *name) {
  for (size_t i = 0; i < side->given->count; i++)
    if (strcmp(side->given->at[i].name, name) == 0) return &side->given->at[i];
  return NULL;
}

// Names come in the form that the result's messages can carry; the session keeps none of ours.
static char *model_name(const OrtSession *session, const Side *side, size_t index) {
  OrtAllocator *allocator;
  char *name;
  require(ort->GetAllocatorWithDefaultOptions(&allocator), DEVICE_ERROR, "GetAllocatorWithDefaultOptions");
  require(side->name_of(session, index, allocator, &name), DEVICE_ERROR, "the model's names");
  return name;
}

static bool fits(const int64_t *model, size_t rank, const Tensor *tensor) {
  if (rank != tensor->rank) return false;
  for (size_t i = 0; i < rank; i++)
    if (model[i] >= 0 && model[i] != tensor->shape[i]) return false;
  return true;
}

static void match_tensor(const OrtSession *session, const Side *side, size_t index) {
  OrtTypeInfo *type;
  const OrtTensorTypeAndShapeInfo *info;
  ONNXTensorElementDataType element;
  size_t rank;
  char *name = model_name(session, side, index);
  require(side->type_of(session, index, &type), DEVICE_ERROR, name);
  require(ort->CastTypeInfoToTensorInfo(type, &info), DEVICE_ERROR, name);
  if (!info) fail(USER_ERROR, "the model's %s '%s' is not a tensor", side->what, name);
  require(ort->GetTensorElementType(info, &element), DEVICE_ERROR, name);
  require(ort->GetDimensionsCount(info, &rank), DEVICE_ERROR, name);
  int64_t *shape = claim(rank, sizeof *shape);
  require(ort->GetDimensions(info, shape, rank), DEVICE_ERROR, name);
  const DType *dtype = dtype_of_onnx(element);
  const char *dtype_name = dtype ? dtype->name : "an unsupported dtype";
  const Tensor *tensor = given_tensor(side, name);
  if (!tensor)
    fail(USER_ERROR, "the model has an %s '%s' (%s %s) that the bundle lacks; export the bundle again", side->what, name,
         dtype_name, shape_text(shape, rank));
  if (dtype != tensor->dtype)
    fail(USER_ERROR, "the model's %s '%s' is %s, the bundle's is %s", side->what, name, dtype_name, tensor->dtype->name);
  if (!fits(shape, rank, tensor))
    fail(USER_ERROR, "the model's %s '%s' has shape %s, the bundle's %s", side->what, name, shape_text(shape, rank),
         shape_text(tensor->shape, tensor->rank));
  side->names[tensor - side->given->at] = name;
  ort->ReleaseTypeInfo(type);
  free(shape);
}

// The model and the job must name the same tensors; order may differ.
static const char **match(const OrtSession *session, Side side) {
  side.names = claim(side.given->count, sizeof *side.names);
  for (size_t i = 0; i < side.count; i++) match_tensor(session, &side, i);
  for (size_t i = 0; i < side.given->count; i++)
    if (!side.names[i]) fail(USER_ERROR, "the bundle has an %s '%s' that the model lacks", side.what, side.given->at[i].name);
  return side.names;
}

static void match_both(Arm *arm) {
  Side inputs = {.what = "input", .given = &arm->inputs, .name_of = ort->SessionGetInputName, .type_of = ort->SessionGetInputTypeInfo};
  Side outputs = {.what = "output", .given = &arm->outputs, .name_of = ort->SessionGetOutputName, .type_of = ort->SessionGetOutputTypeInfo};
  require(ort->SessionGetInputCount(arm->session, &inputs.count), DEVICE_ERROR, "SessionGetInputCount");
  require(ort->SessionGetOutputCount(arm->session, &outputs.count), DEVICE_ERROR, "SessionGetOutputCount");
  arm->input_names = match(arm->session, inputs);
  arm->output_names = match(arm->session, outputs);
}

static void wrap_inputs(Arm *arm) {
  arm->input_values = claim(arm->inputs.count, sizeof *arm->input_values);
  arm->output_values = claim(arm->outputs.count, sizeof *arm->output_values);
  for (size_t i = 0; i < arm->inputs.count; i++) {
    const Tensor *t = &arm->inputs.at[i];
    require(ort->CreateTensorWithDataAsOrtValue(host_memory, t->data, t->count * t->dtype->size, t->shape, t->rank,
                                                t->dtype->onnx, &arm->input_values[i]),
            DEVICE_ERROR, t->name);
  }
}

void create_session(Arm *arm) {
  OrtSessionOptions *options = session_options(arm);
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  OrtStatus *status = ort->CreateSession(environment, arm->model, options, &arm->session);
  arm->session_ns = now_ns(CLOCK_MONOTONIC) - begin;
  require(status, USER_ERROR, "the model can't be loaded");
  ort->ReleaseSessionOptions(options);
  stage = "input";
  match_both(arm);
  wrap_inputs(arm);
}

// One inference, alone in the timed region. Outputs are allocated by the runtime, as an application's would be.
void infer(Arm *arm) {
  OrtStatus *status = ort->Run(arm->session, NULL, arm->input_names, (const OrtValue *const *)arm->input_values,
                               arm->inputs.count, arm->output_names, arm->outputs.count, arm->output_values);
  if (status) require(status, DEVICE_ERROR, "the inference failed");
#ifdef SEATRIAL_SLOWED  // builds of benchmarks alone
  slow_down(arm);
#endif
}

void drop_outputs(Arm *arm) {
  for (size_t i = 0; i < arm->outputs.count; i++) {
    ort->ReleaseValue(arm->output_values[i]);
    arm->output_values[i] = NULL;
  }
}

// Return the data of one output. Fails when its dtype or shape is not the golden file's.
const void *output_data(Arm *arm, size_t index) {
  const Tensor *golden = &arm->outputs.at[index];
  OrtTensorTypeAndShapeInfo *info;
  ONNXTensorElementDataType element;
  size_t rank;
  void *data;
  require(ort->GetTensorTypeAndShape(arm->output_values[index], &info), DEVICE_ERROR, golden->name);
  require(ort->GetTensorElementType(info, &element), DEVICE_ERROR, golden->name);
  require(ort->GetDimensionsCount(info, &rank), DEVICE_ERROR, golden->name);
  int64_t *shape = claim(rank, sizeof *shape);
  require(ort->GetDimensions(info, shape, rank), DEVICE_ERROR, golden->name);
  if (element != golden->dtype->onnx || !fits(shape, rank, golden))
    fail(DEVICE_ERROR, "output '%s' came out with shape %s; the golden one has %s", golden->name, shape_text(shape, rank),
         shape_text(golden->shape, golden->rank));
  require(ort->GetTensorMutableData(arm->output_values[index], &data), DEVICE_ERROR, golden->name);
  ort->ReleaseTensorTypeAndShapeInfo(info);
  free(shape);
  return data;
}

// End the profiling of a session; return the name of the file that it wrote.
const char *end_profiling(Arm *arm) {
  OrtAllocator *allocator;
  char *name;
  require(ort->GetAllocatorWithDefaultOptions(&allocator), DEVICE_ERROR, "GetAllocatorWithDefaultOptions");
  require(ort->SessionEndProfiling(arm->session, allocator, &name), DEVICE_ERROR, "SessionEndProfiling");
  return name;
}
