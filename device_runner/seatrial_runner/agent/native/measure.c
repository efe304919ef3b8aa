// First inference, check, warm-up, and the modes latency and memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent.h"

#define WATCH_NS 250000000  // how often we look whether somebody still reads our output

// Moving averages of the warm-up rule of AndroidX Benchmark (WarmupManager): fast and slow must agree within 4 %.
#define FAST_RATIO 0.1
#define SLOW_RATIO 0.005
#define AGREEMENT 0.04
#define MOST_AGREEING 40

typedef struct {
  double fast, slow;
  int64_t agreeing;  // iterations in a row
} Averages;

void watch(void) {
  static int64_t last;
  int64_t now = now_ns(CLOCK_MONOTONIC);
  if (now - last < WATCH_NS) return;
  last = now;
  stop_if_nobody_reads();
}

int64_t timed(Arm *arm) {
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  infer(arm);
  int64_t took = now_ns(CLOCK_MONOTONIC) - begin;
  drop_outputs(arm);
  watch();
  return took;
}

static void explain(const Tensor *golden, const Check *check) {
  if (check->nonfinite)
    fail(DEVICE_ERROR, "output '%s': %llu of %zu elements are NaN or infinite where the golden output is finite", golden->name,
         (unsigned long long)check->nonfinite, golden->count);
  fail(DEVICE_ERROR, "output '%s' differs from the golden output: relative L2 error %.3g, allowed %.3g (largest difference %.3g)",
       golden->name, check->rel_l2, golden->tolerance, check->max_abs);
}

static void check_outputs(Arm *arm) {
  stage = "check";
  arm->checks = claim(arm->outputs.count, sizeof *arm->checks);
  for (size_t i = 0; i < arm->outputs.count; i++) {
    const void *output = output_data(arm, i);
    read_npy(&arm->outputs.at[i]);
    arm->checks[arm->checked++] = compare(&arm->outputs.at[i], output);
    free(arm->outputs.at[i].data);
    arm->outputs.at[i].data = NULL;
  }
  for (size_t i = 0; i < arm->checked; i++)
    if (!arm->checks[i].ok) explain(&arm->outputs.at[i], &arm->checks[i]);
}

static void first_inference(Arm *arm) {
  stage = "run";
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  infer(arm);
  arm->first_ns = now_ns(CLOCK_MONOTONIC) - begin;
  arm->ran = true;
  if (figures.start_ns >= 0) return;
  figures.first_output_ns = now_ns(CLOCK_MONOTONIC) - figures.main_ns;
  figures.start_ns = since_process_start_ns();
}

// Load one arm, run it once, and compare what came out with the golden outputs, before anything is timed.
void prepare(Arm *arm) {
  stage = "session";
  progress("loading the model");
  create_session(arm);
  first_inference(arm);
  // Before the golden outputs are in memory: they are not the model's.
  if (job.mode == MEMORY) figures.memory.peak_load = proc_bytes("/proc/self/status", "VmHWM:");
  check_outputs(arm);
  drop_outputs(arm);
  stage = "run";
}

static void update(Averages *averages, int64_t took, bool first) {
  double sample = (double)took + 1;
  averages->fast = first ? sample : FAST_RATIO * sample + (1 - FAST_RATIO) * averages->fast;
  averages->slow = first ? sample : SLOW_RATIO * sample + (1 - SLOW_RATIO) * averages->slow;
  double ratio = averages->fast / averages->slow;
  averages->agreeing = ratio > 1 - AGREEMENT && ratio < 1 + AGREEMENT ? averages->agreeing + 1 : 0;
}

static bool warm(const Arm *arm, const Averages *averages) {
  int64_t wanted = job.warmup_iterations < MOST_AGREEING ? job.warmup_iterations : MOST_AGREEING;
  return !arm->given || (arm->warmup_iterations >= job.warmup_iterations && averages->agreeing >= wanted);
}

// The arms of one round in their order: one inference alone, or the quadruple A B B A (B A A B when b is first).
static int round_of(Arm *order[4]) {
  Arm *first = &job.arms[job.first], *second = &job.arms[!job.first];
  Arm *quadruple[4] = {first, second, second, first};
  memcpy(order, quadruple, sizeof quadruple);
  return second->given ? 4 : 1;
}

void warm_up(void) {
  Averages averages[ARMS] = {{0}};
  Arm *order[4];
  int length = round_of(order);
  int64_t begin = now_ns(CLOCK_MONOTONIC), passed = 0;
  progress("warming up");
  while (passed < job.warmup_max_ns) {
    bool done = passed >= job.warmup_min_ns && warm(&job.arms[0], &averages[0]) && warm(&job.arms[1], &averages[1]);
    if (done) return;
    for (int i = 0; i < length; i++) {
      int64_t took = timed(order[i]);
      update(&averages[order[i] - job.arms], took, order[i]->warmup_iterations++ == 0);
    }
    passed = now_ns(CLOCK_MONOTONIC) - begin;
  }
}

static void take_sample(Arm *arm) {
  int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), begin = now_ns(CLOCK_MONOTONIC);
  infer(arm);
  int64_t end = now_ns(CLOCK_MONOTONIC), cpu_end = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  arm->wall_ns[arm->samples] = end - begin;
  arm->cpu_ns[arm->samples++] = cpu_end - cpu;
  drop_outputs(arm);
}

void make_samples(Arm *arm, size_t samples) {
  arm->capacity = samples;
  arm->wall_ns = claim(samples, sizeof *arm->wall_ns);  // written to by claim: no page fault while we time
  arm->cpu_ns = claim(samples, sizeof *arm->cpu_ns);
}

// Samples per arm: as asked for, in a duet rounded up to whole quadruples, each of which gives an arm two.
void measure_latency(void) {
  Arm *order[4];
  int length = round_of(order);
  size_t samples = (size_t)(length == 4 ? (job.iterations + 1) / 2 * 2 : job.iterations);
  for (int i = 0; i < ARMS; i++)
    if (job.arms[i].given) make_samples(&job.arms[i], samples);
  progress("measuring");
  note_switches(true);
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  do {
    for (int i = 0; i < length; i++) take_sample(order[i]);
    watch();
  } while (order[0]->samples < samples && now_ns(CLOCK_MONOTONIC) - begin < job.max_ns);
  note_switches(false);
}

// Peaks of load and of inference apart; no warm-up, no timing, since reading PSS costs time.
void measure_memory(void) {
  Arm *arm = &job.arms[0];
  MemoryFigures *m = &figures.memory;
  m->hwm_reset = reset_peak();
  note_switches(true);
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  for (int64_t i = 0; i < job.iterations && now_ns(CLOCK_MONOTONIC) - begin < job.max_ns; i++) timed(arm);
  note_switches(false);
  m->peak_inference = proc_bytes("/proc/self/status", "VmHWM:");
  m->rss = proc_bytes("/proc/self/status", "VmRSS:");
  m->swapped = proc_bytes("/proc/self/status", "VmSwap:");
  m->pss = proc_bytes("/proc/self/smaps_rollup", "Pss:");
  m->cgroup_peak = cgroup_peak();
  m->system_peak_delta = system_peak_delta();
  m->taken = true;
}
