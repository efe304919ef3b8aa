// The whole machine's memory: what a process of its own does not show, such as buffers of a GPU that shares it.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent.h"

#define PERIOD_NS 10000000

static atomic_llong peak;
static int64_t base = -1;

// MemTotal - MemAvailable in bytes; -1 when the kernel does not tell.
static int64_t system_used(void) {
  int64_t total = proc_bytes("/proc/meminfo", "MemTotal:"), available = proc_bytes("/proc/meminfo", "MemAvailable:");
  return total < 0 || available < 0 ? -1 : total - available;
}

static void note_peak(void) {
  int64_t now = system_used();
  if (now > atomic_load(&peak)) atomic_store(&peak, now);
}

static void *watcher(void *unused) {
  for (int64_t next = now_ns(CLOCK_MONOTONIC);; next += PERIOD_NS) {
    note_peak();
    sleep_until(next);
  }
  return unused;
}

// Watch from now on, until the process ends. Called before the library is loaded.
void watch_system_memory(void) {
  pthread_t thread;
  base = system_used();
  if (base < 0) return;
  atomic_store(&peak, base);
  if (pthread_create(&thread, NULL, watcher, NULL)) base = -1;
}

// How far it rose above what it was before; -1 when that is not known.
int64_t system_peak_delta(void) {
  if (base < 0) return -1;
  note_peak();
  return atomic_load(&peak) - base;
}

// The peak of the control group (version 2) that we run in, in bytes; -1 where there is none.
int64_t cgroup_peak(void) {
  char line[512], path[640];
  int64_t found = -1;
  FILE *file = fopen("/proc/self/cgroup", "re");
  if (!file) return -1;
  *path = '\0';
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "0::", 3) == 0) snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.peak", line + 3);
  }
  fclose(file);
  if (!*path || !(file = fopen(path, "re"))) return -1;
  if (fgets(line, sizeof line, file)) found = strtoll(line, NULL, 10);
  fclose(file);
  return found;
}
