// Files with one integer each, read at a steady rate by a thread while the model runs: energy counters, temperatures,
// clocks. Raw readings; the host knows what they mean.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MOST_READINGS 4000000  // of all files together: 36 MB
#define LOOK_NS 250000000

static atomic_bool over;
static pthread_t thread;
static bool started;

// Read one integer. False when the file can't be read or holds something else. Opened anew each time: some drivers
// only refresh on open.
static bool read_counter(const char *path, int64_t *value) {
  char text[64] = "", *end;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof text - 1);
  int error = errno;
  close(fd);
  errno = length < 0 ? error : 0;
  if (length <= 0) return false;
  *value = strtoll(text, &end, 10);
  return errno == 0 && end != text && end[strspn(end, " \t\r\n")] == '\0';
}

static void take_reading(void) {
  Trace *trace = &figures.trace;
  if (trace->count == trace->capacity) return;
  Reading *reading = &trace->readings[trace->count];
  reading->t_ns = now_ns(CLOCK_MONOTONIC);
  for (size_t i = 0; i < job.counter_paths.count; i++)
    reading->read[i] = read_counter(job.counter_paths.at[i], &reading->values[i]);
  trace->count++;
}

void sleep_until(int64_t t_ns) {
  struct timespec until = {.tv_sec = (time_t)(t_ns / 1000000000), .tv_nsec = (long)(t_ns % 1000000000)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
}

static void *sampler(void *unused) {
  int64_t next = now_ns(CLOCK_MONOTONIC);
  while (!atomic_load(&over)) {
    take_reading();
    next += job.sample_period_ns;
    int64_t now = now_ns(CLOCK_MONOTONIC);
    if (next < now) next = now;  // a slow sensor: no burst of readings to catch up
    // In short steps, so that a long period does not hold up the end.
    while (!atomic_load(&over) && now < next) {
      sleep_until(next - now > LOOK_NS ? now + LOOK_NS : next);
      now = now_ns(CLOCK_MONOTONIC);
    }
  }
  take_reading();
  return unused;
}

static void require_counters(void) {
  for (size_t i = 0; i < job.counter_paths.count; i++) {
    int64_t value;
    errno = 0;
    if (!read_counter(job.counter_paths.at[i], &value))
      fail(DEVICE_ERROR, "counter %s: %s: %s", job.counter_ids.at[i], job.counter_paths.at[i],
           errno ? strerror(errno) : "does not hold one integer");
  }
}

static void make_room(int64_t span_ns) {
  Trace *trace = &figures.trace;
  size_t counters = job.counter_paths.count;
  int64_t readings = span_ns / job.sample_period_ns + 64;
  if (readings > MOST_READINGS / (int64_t)counters)
    fail(USER_ERROR, "%lld readings of %zu counters are too many; lengthen the sample period", (long long)readings, counters);
  trace->capacity = (size_t)readings;
  trace->readings = claim(trace->capacity, sizeof *trace->readings);
  int64_t *values = claim(trace->capacity * counters, sizeof *values);
  bool *read = claim(trace->capacity * counters, sizeof *read);
  for (size_t i = 0; i < trace->capacity; i++) {
    trace->readings[i].values = values + i * counters;
    trace->readings[i].read = read + i * counters;
  }
}

// Begin to read the job's counters, for `span_ns`. The first reading is taken at once: the edge of a window has to lie
// between two. Without counters nothing happens.
void start_trace(int64_t span_ns) {
  if (!job.counter_paths.count) return;
  require_counters();
  make_room(span_ns);
  take_reading();
  if (pthread_create(&thread, NULL, sampler, NULL)) fail(DEVICE_ERROR, "no thread could be started");
  started = true;
}

// Take the last reading and end.
void stop_trace(void) {
  if (!started) return;
  atomic_store(&over, true);
  pthread_join(thread, NULL);
}
