// Mode evaluate: other inputs than the golden ones, from files and to files; what comes out is the host's to judge.
// Files are raw: the elements of one sample after those of the other, little-endian.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

typedef struct {
  int fd;
  const char *path;
  size_t bytes;  // of one sample
} Stream;

static size_t bytes_of(const Tensor *tensor) { return tensor->count * tensor->dtype->size; }

static Stream open_feed(const Arm *arm, size_t index) {
  Stream feed = {.path = arm->feeds.at[index], .bytes = bytes_of(&arm->inputs.at[index])};
  size_t length, wanted = feed.bytes * (size_t)job.samples;
  feed.fd = open_file(feed.path, &length);
  if (length != wanted)
    fail(DEVICE_ERROR, "%s: holds %zu bytes where %zu belong; it was cut or changed", feed.path, length, wanted);
  return feed;
}

static Stream open_fetch(const Arm *arm, size_t index) {
  Stream fetch = {.path = arm->fetches.at[index], .bytes = bytes_of(&arm->outputs.at[index])};
  fetch.fd = open(fetch.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fetch.fd < 0) fail(DEVICE_ERROR, "%s: %s", fetch.path, strerror(errno));
  return fetch;
}

static void write_sample(const Stream *to, const char *data) {
  for (size_t done = 0; done < to->bytes;) {
    ssize_t n = write(to->fd, data + done, to->bytes - done);
    if (n < 0 && errno != EINTR) fail(DEVICE_ERROR, "%s: %s", to->path, strerror(errno));
    if (n > 0) done += (size_t)n;
  }
}

// The inputs keep their place in memory: the runtime has them by address.
static void one_sample(Arm *arm, const Stream *feeds, const Stream *fetches) {
  for (size_t i = 0; i < arm->inputs.count; i++) read_exactly(feeds[i].fd, feeds[i].path, arm->inputs.at[i].data, feeds[i].bytes);
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  infer(arm);
  arm->wall_ns[arm->samples++] = now_ns(CLOCK_MONOTONIC) - begin;
  for (size_t i = 0; i < arm->outputs.count; i++) write_sample(&fetches[i], output_data(arm, i));
  drop_outputs(arm);
}

void evaluate(void) {
  Arm *arm = &job.arms[0];
  Stream *feeds = claim(arm->inputs.count, sizeof *feeds), *fetches = claim(arm->outputs.count, sizeof *fetches);
  stage = "evaluate";
  progress("evaluating");
  for (size_t i = 0; i < arm->inputs.count; i++) feeds[i] = open_feed(arm, i);
  for (size_t i = 0; i < arm->outputs.count; i++) fetches[i] = open_fetch(arm, i);
  arm->wall_ns = claim((size_t)job.samples, sizeof *arm->wall_ns);
  arm->cpu_ns = claim((size_t)job.samples, sizeof *arm->cpu_ns);
  while (arm->samples < (size_t)job.samples) {
    one_sample(arm, feeds, fetches);
    watch();
  }
  for (size_t i = 0; i < arm->outputs.count; i++)
    if (close(fetches[i].fd)) fail(DEVICE_ERROR, "%s: %s", fetches[i].path, strerror(errno));
}
