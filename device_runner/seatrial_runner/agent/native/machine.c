// What the kernel tells of this process: clocks, memory, CPUs, context switches.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MOST_CPUS 8192

int64_t now_ns(int clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// A `key: N kB` line of a /proc file, in bytes; -1 when there is none.
int64_t proc_bytes(const char *path, const char *key) {
  char line[512];
  int64_t found = -1;
  FILE *file = fopen(path, "re");
  if (!file) return -1;
  while (found < 0 && fgets(line, sizeof line, file))
    if (strncmp(line, key, strlen(key)) == 0) found = strtoll(line + strlen(key), NULL, 10) * 1024;
  fclose(file);
  return found;
}

// The process's start is field 22 of /proc/self/stat, in ticks (10 ms) of CLOCK_BOOTTIME. -1 when not told.
int64_t since_process_start_ns(void) {
  char line[1024], *field;
  FILE *file = fopen("/proc/self/stat", "re");
  if (!file) return -1;
  bool read = fgets(line, sizeof line, file) != NULL;
  fclose(file);
  if (!read || !(field = strrchr(line, ')'))) return -1;
  for (int number = 2; number < 22; number++)
    if (!(field = strchr(field + 1, ' '))) return -1;
  int64_t ticks = strtoll(field, NULL, 10), per_second = sysconf(_SC_CLK_TCK);
  int64_t passed = now_ns(CLOCK_BOOTTIME) - ticks * (1000000000 / per_second);
  return passed < 0 ? 0 : passed;
}

// Let VmHWM start anew from the present size (Linux 4.0). False when the kernel refuses.
bool reset_peak(void) {
  int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool done = write(fd, "5", 1) == 1;
  close(fd);
  return done;
}

// Called before the library is loaded, so that the threads of its pools inherit it.
void pin_to_cpus(void) {
  if (!job.cpu_count) return;
  size_t size = CPU_ALLOC_SIZE(MOST_CPUS);
  cpu_set_t *set = claim(1, size);
  for (size_t i = 0; i < job.cpu_count; i++) CPU_SET_S((size_t)job.cpus[i], size, set);
  bool pinned = sched_setaffinity(0, size, set) == 0;
  int error = errno;
  if (pinned && sched_getaffinity(0, size, set) == 0)
    for (size_t i = 0; i < job.cpu_count; i++) pinned = pinned && CPU_ISSET_S((size_t)job.cpus[i], size, set);
  if (!pinned)
    fail(USER_ERROR, "the process can't be pinned to the CPUs asked for (%s); this device has %ld",
         error ? strerror(error) : "some are not there or not allowed", sysconf(_SC_NPROCESSORS_CONF));
  free(set);
}

int usable_cpus(void) {
  static cpu_set_t set[MOST_CPUS / CPU_SETSIZE];
  if (sched_getaffinity(0, sizeof set, set)) return (int)sysconf(_SC_NPROCESSORS_ONLN);
  return CPU_COUNT_S(sizeof set, set);
}

// Context switches and major faults of the measured phase alone.
void note_switches(bool begin) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage)) return;
  int64_t sign = begin ? -1 : 1;
  figures.voluntary += sign * usage.ru_nvcsw;
  figures.involuntary += sign * usage.ru_nivcsw;
  figures.major_faults += sign * usage.ru_majflt;
  figures.switches_taken = !begin;
}
