// Mode evict: ask the kernel to forget what it holds of some files, so that the next start finds them cold. Needs no
// root, since the files are ours; pages that somebody has mapped stay, which is told.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"

static size_t resident(int fd, size_t length) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (length + page - 1) / page, found = 0;
  if (!length) return 0;
  unsigned char *states = claim(pages, 1);
  void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return length;
  if (mincore(map, length, states)) memset(states, 1, pages);
  munmap(map, length);
  for (size_t i = 0; i < pages; i++) found += states[i] & 1;
  free(states);
  return found * page;
}

void evict(void) {
  stage = "evict";
  for (size_t i = 0; i < job.evicted.count; i++) {
    size_t length;
    int fd = open_file(job.evicted.at[i], &length);
    fdatasync(fd);  // what was not written yet can't be forgotten
    int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (error) fail(DEVICE_ERROR, "%s: %s", job.evicted.at[i], strerror(error));
    figures.evicted_bytes += (int64_t)length;
    figures.resident_bytes += (int64_t)resident(fd, length);
    close(fd);
  }
  figures.evicted = true;
}
