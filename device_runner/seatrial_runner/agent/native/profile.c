// Mode profile: ONNX Runtime's own profiler, which says of each operator how long it took and which provider ran it.
// Its file lies in the run's folder and is sent line by line as it is; the host understands it.
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MOST_BYTES (64u << 20)

// Inferences, and within them the kernels alone: loading, fences and threads are not what is asked for.
static bool is_wanted(const char *line) { return strstr(line, "_kernel_time") || strstr(line, "\"model_run\""); }

static void keep_lines(Arm *arm, char *text) {
  for (char *next; text && *text; text = next) {
    next = strchr(text, '\n');
    if (next) *next++ = '\0';
    if (is_wanted(text)) append_text(&arm->profile, text);
  }
}

void measure_profile(void) {
  Arm *arm = &job.arms[0];
  size_t length;
  stage = "run";
  progress("profiling");
  for (int64_t i = 0, begin = now_ns(CLOCK_MONOTONIC); i < job.iterations && now_ns(CLOCK_MONOTONIC) - begin < job.max_ns; i++) {
    timed(arm);
    arm->inferences++;
  }
  const char *file = end_profiling(arm);
  char *text = read_file(file, MOST_BYTES, &length);
  unlink(file);
  keep_lines(arm, text);
}
