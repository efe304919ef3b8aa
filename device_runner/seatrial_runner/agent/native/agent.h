// The native device agent: reads one job, measures one or two models, prints one JSON object.
//
// The contract (job text, result object, end marker) is documented in seatrial_runner/job.py and records.py. ONNX
// Runtime is loaded with dlopen from the path in the job, so that one small binary serves every version of it.
// Every failure goes through `fail`, which prints an error result and ends the process: there is nothing to unwind,
// since the process is fresh for each run and writes only where the job says (mode evaluate), or in the folder that it is
// started in, which goes with the run (mode profile).
#ifndef SEATRIAL_AGENT_H
#define SEATRIAL_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onnxruntime_c_api.h"

#define AGENT_VERSION "2"
#define JOB_VERSION "2"
// Members of OrtApi newer than this are not used, so any library from ONNX Runtime 1.12 on will do.
#define NEEDED_API 12u
#define ARMS 2

enum Kind { USER_ERROR, HARNESS_ERROR, DEVICE_ERROR };
enum Mode { LATENCY, MEMORY, ENERGY, SUSTAINED, PROFILE, EVALUATE, EVICT };

typedef struct {
  const char *name;   // numpy's name, as in the job
  const char *descr;  // as in the header of a .npy file
  ONNXTensorElementDataType onnx;
  size_t size;  // bytes per element
} DType;

typedef struct {
  char *name;
  const DType *dtype;
  size_t rank, count;  // dimensions, elements
  int64_t *shape;
  char *path;
  double tolerance;  // outputs: relative L2
  void *data;        // filled by read_npy
} Tensor;

typedef struct {
  Tensor *at;
  size_t count;
} Tensors;

typedef struct {
  char **at;
  size_t count;
} Strings;

typedef struct {
  double rel_l2, max_abs;
  uint64_t nonfinite;
  bool argmax_equal, ok;
} Check;

typedef struct {
  char *name;
  Strings keys, values;
} Provider;

typedef struct {
  bool given;  // named in the job
  char *model;
  int optimization;
  Provider *providers;
  size_t provider_count;
  Strings config_keys, config_values;
  Tensors inputs, outputs;
  Strings feeds, fetches;  // mode evaluate: files, in the order of inputs and outputs
  // What the runtime made of it.
  OrtSession *session;
  const char **input_names, **output_names;
  OrtValue **input_values, **output_values;
  // What was measured. `ran` is set by the first inference.
  bool ran;
  int64_t session_ns, first_ns, warmup_iterations;
  Check *checks;
  size_t checked, samples, capacity;
  int64_t *wall_ns, *cpu_ns, *at_ns;
  int64_t inferences;  // modes sustained and profile
  Strings profile;     // lines of the runtime's profiler
} Arm;

typedef struct {
  char *token, *library;
  enum Mode mode;
  bool spin;
  int first;  // index of the arm that is loaded and started first
  int64_t threads, warmup_iterations, warmup_min_ns, warmup_max_ns, iterations, max_ns, window_ns, sample_period_ns,
      stride, samples;
  int64_t *cpus;
  size_t cpu_count;
  Strings counter_ids, counter_paths, evicted;
  Arm arms[ARMS];
} Job;

typedef struct {
  int64_t baseline_rss, peak_load, peak_inference, pss;  // bytes, -1 where the kernel does not tell
  int64_t rss, swapped, cgroup_peak, system_peak_delta;
  bool taken, hwm_reset;
} MemoryFigures;

typedef struct {
  int64_t t_ns;
  int64_t *values;
  bool *read;
} Reading;

typedef struct {
  Reading *readings;
  size_t count, capacity;
} Trace;

typedef struct {
  bool taken;
  int64_t edges[4];  // begin of idle, begin of burst, end of burst, end of idle
  int64_t inferences;
} EnergyFigures;

typedef struct {
  int64_t main_ns;              // CLOCK_MONOTONIC when main began
  int64_t dlopen_ns, environment_ns, start_ns;  // -1: not known
  int64_t first_output_ns;      // from main to the first output
  char runtime_version[64];
  bool switches_taken;
  int64_t voluntary, involuntary, major_faults;  // over the measured phase
  MemoryFigures memory;
  EnergyFigures energy;
  Trace trace;
  bool evicted;
  int64_t evicted_bytes, resident_bytes;
} Figures;

extern Job job;
extern Figures figures;
extern const char *stage;  // where we are, for `fail`
extern const OrtApi *ort;

// result.c
void keep_stdout(void);
void stop_if_nobody_reads(void);
_Noreturn void fail(enum Kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
void print_result(void);
void progress(const char *text);

// memory.c: allocation that never returns NULL, and growing lists
void *claim(size_t count, size_t size);
void *grow(void *list, size_t count, size_t size);
char *copy_text(const char *text, size_t length);
void append_text(Strings *list, char *text);

// job.c
void read_job(const char *path);

// npy.c
const DType *dtype_named(const char *name);
const DType *dtype_of_onnx(ONNXTensorElementDataType type);
const char *shape_text(const int64_t *shape, size_t rank);
int open_file(const char *path, size_t *length);
void read_exactly(int fd, const char *path, void *to, size_t bytes);
char *read_file(const char *path, size_t limit, size_t *length);
void read_npy(Tensor *tensor);

// check.c
Check compare(const Tensor *golden, const void *output);

// runtime.c
void load_library(void);
void create_environment(void);
void create_session(Arm *arm);
void infer(Arm *arm);
#ifdef SEATRIAL_SLOWED
void slow_down(const Arm *arm);
#endif
void drop_outputs(Arm *arm);
const void *output_data(Arm *arm, size_t index);
const char *end_profiling(Arm *arm);

// machine.c
int64_t now_ns(int clock);
int64_t proc_bytes(const char *path, const char *key);
int64_t since_process_start_ns(void);
bool reset_peak(void);
void pin_to_cpus(void);
int usable_cpus(void);
void note_switches(bool begin);

// system.c: the whole machine's memory
int64_t cgroup_peak(void);
void watch_system_memory(void);
int64_t system_peak_delta(void);

// trace.c
void start_trace(int64_t span_ns);
void stop_trace(void);
void sleep_until(int64_t t_ns);

// measure.c
void watch(void);
int64_t timed(Arm *arm);
void make_samples(Arm *arm, size_t samples);
void prepare(Arm *arm);
void warm_up(void);
void measure_latency(void);
void measure_memory(void);

// energy.c, sustained.c, profile.c, evaluate.c, evict.c
void measure_energy(void);
void measure_sustained(void);
void measure_profile(void);
void evaluate(void);
void evict(void);

#endif
