// Mode energy: idle, burst, idle, while a thread reads the counters. Raw readings; the host knows what they mean.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MOST_READINGS 4000000  // of all counters together: 36 MB
#define LOOK_NS 250000000

static atomic_bool over;

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
  EnergyFigures *e = &figures.energy;
  if (e->count == e->capacity) return;
  EnergySample *sample = &e->samples[e->count];
  sample->t_ns = now_ns(CLOCK_MONOTONIC);
  for (size_t i = 0; i < job.counter_paths.count; i++)
    sample->read[i] = read_counter(job.counter_paths.at[i], &sample->values[i]);
  e->count++;
}

static void sleep_until(int64_t t_ns) {
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

static void make_room(void) {
  EnergyFigures *e = &figures.energy;
  size_t counters = job.counter_paths.count;
  int64_t readings = 3 * (job.window_ns / job.sample_period_ns) + 64;
  if (readings > MOST_READINGS / (int64_t)counters)
    fail(USER_ERROR, "%lld readings of %zu counters are too many; lengthen the sample period", (long long)readings, counters);
  e->capacity = (size_t)readings;
  e->samples = claim(e->capacity, sizeof *e->samples);
  int64_t *values = claim(e->capacity * counters, sizeof *values);
  bool *read = claim(e->capacity * counters, sizeof *read);
  for (size_t i = 0; i < e->capacity; i++) {
    e->samples[i].values = values + i * counters;
    e->samples[i].read = read + i * counters;
  }
}

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
  pthread_t thread;
  stage = "energy";
  require_counters();
  make_room();
  progress("measuring energy");
  take_reading();  // before the first window: its edge has to lie between two readings
  if (pthread_create(&thread, NULL, sampler, NULL)) fail(DEVICE_ERROR, "no thread could be started");
  note_switches(true);
  edges[0] = now_ns(CLOCK_MONOTONIC);
  edges[1] = idle(edges[0]);
  edges[2] = burst(edges[1]);
  edges[3] = idle(edges[2]);
  note_switches(false);
  atomic_store(&over, true);
  pthread_join(thread, NULL);
  figures.energy.taken = true;
}
