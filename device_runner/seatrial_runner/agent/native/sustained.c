// Mode sustained: one inference after the other for minutes, every so many of them kept, while sensors are read.
#include <time.h>

#include "agent.h"

static void keep(Arm *arm, int64_t begin, int64_t wall, int64_t cpu) {
  if (arm->inferences % job.stride || arm->samples == arm->capacity) return;
  arm->at_ns[arm->samples] = begin;
  arm->wall_ns[arm->samples] = wall;
  arm->cpu_ns[arm->samples++] = cpu;
}

// Whether a sample is kept or not, each inference is timed: none differs from its neighbours.
static void one_inference(Arm *arm) {
  int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), begin = now_ns(CLOCK_MONOTONIC);
  infer(arm);
  int64_t end = now_ns(CLOCK_MONOTONIC), cpu_end = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  keep(arm, begin, end - begin, cpu_end - cpu);
  arm->inferences++;
  drop_outputs(arm);
  watch();
}

void measure_sustained(void) {
  Arm *arm = &job.arms[0];
  make_samples(arm, (size_t)job.iterations);
  arm->at_ns = claim((size_t)job.iterations, sizeof *arm->at_ns);
  stage = "energy";
  start_trace(job.max_ns);
  stage = "run";
  progress("measuring for long");
  note_switches(true);
  for (int64_t begin = now_ns(CLOCK_MONOTONIC); now_ns(CLOCK_MONOTONIC) - begin < job.max_ns;) one_inference(arm);
  note_switches(false);
  stop_trace();
}
