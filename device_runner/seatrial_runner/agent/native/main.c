// seatrial-agent JOBFILE: see agent.h.
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "agent.h"

Job job;
Figures figures = {.dlopen_ns = -1, .start_ns = -1};
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
  warm_up();
  if (job.mode == ENERGY) measure_energy();
  else measure_latency();
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: seatrial-agent JOBFILE\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a killed runner leaves no agent behind
  keep_stdout();
  read_job(argv[1]);
  pin_to_cpus();
  read_inputs();
  figures.memory.baseline_rss = proc_bytes("/proc/self/status", "VmRSS:");
  stage = "library";
  load_library();
  create_environment();
  prepare_arms();
  measure();
  print_result();
  return 0;
}
