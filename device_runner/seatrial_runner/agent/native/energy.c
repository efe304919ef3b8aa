// Mode energy: idle, burst, idle, while the counters are read.
#include <time.h>

#include "agent.h"

#define LOOK_NS 250000000

static int64_t idle(int64_t begin) {
  int64_t end = begin + job.window_ns;
  for (int64_t now = begin; now < end; now = now_ns(CLOCK_MONOTONIC)) {
    sleep_until(end - now > LOOK_NS ? now + LOOK_NS : end);
    stop_if_nobody_reads();
  }
  return now_ns(CLOCK_MONOTONIC);
}

static int64_t burst(int64_t begin) {
  int64_t now = begin, looked = begin;
  while (now - begin < job.window_ns) {
    infer(&job.arms[0]);
    drop_outputs(&job.arms[0]);
    figures.energy.inferences++;
    now = now_ns(CLOCK_MONOTONIC);
    if (now - looked > LOOK_NS) {
      looked = now;
      stop_if_nobody_reads();
    }
  }
  return now;
}

void measure_energy(void) {
  int64_t *edges = figures.energy.edges;
  stage = "energy";
  start_trace(3 * job.window_ns);
  progress("measuring energy");
  note_switches(true);
  edges[0] = now_ns(CLOCK_MONOTONIC);
  edges[1] = idle(edges[0]);
  edges[2] = burst(edges[1]);
  edges[3] = idle(edges[2]);
  note_switches(false);
  stop_trace();
  figures.energy.taken = true;
}
