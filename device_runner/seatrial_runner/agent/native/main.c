// seatrial-agent JOBFILE: see agent.h.
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#include "agent.h"

Job job;
Figures figures = {.dlopen_ns = -1, .environment_ns = -1, .start_ns = -1, .first_output_ns = -1};
const char *stage = "job";

static void read_inputs(void) {
  stage = "input";
  for (int i = 0; i < ARMS; i++)
    for (size_t j = 0; j < job.arms[i].inputs.count; j++) read_npy(&job.arms[i].inputs.at[j]);
}

// The first arm is loaded first too: whatever loading order does to memory layout is swapped with it.
static void prepare_arms(void) {
  prepare(&job.arms[job.first]);
  if (job.arms[!job.first].given) prepare(&job.arms[!job.first]);
}

static void measure(void) {
  if (job.mode == MEMORY) {
    measure_memory();
    return;
  }
  if (job.mode == EVALUATE) {
    evaluate();
    return;
  }
  warm_up();
  if (job.mode == ENERGY) measure_energy();
  else if (job.mode == SUSTAINED) measure_sustained();
  else if (job.mode == PROFILE) measure_profile();
  else measure_latency();
}

static void run(void) {
  pin_to_cpus();
  read_inputs();
  figures.memory.baseline_rss = proc_bytes("/proc/self/status", "VmRSS:");
  if (job.mode == MEMORY) watch_system_memory();
  stage = "library";
  load_library();
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  create_environment();
  figures.environment_ns = now_ns(CLOCK_MONOTONIC) - begin;
  prepare_arms();
  measure();
}

int main(int argc, char **argv) {
  figures.main_ns = now_ns(CLOCK_MONOTONIC);
  if (argc != 2) {
    fprintf(stderr, "usage: seatrial-agent JOBFILE\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a killed runner leaves no agent behind
  keep_stdout();
  read_job(argv[1]);
  if (job.mode == EVICT) evict();
  else run();
  print_result();
  return 0;
}
