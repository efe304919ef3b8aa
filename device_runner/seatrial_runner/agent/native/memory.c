// Allocation that fails loudly, and growing lists.
#include <stdlib.h>
#include <string.h>

#include "agent.h"

void *claim(size_t count, size_t size) {
  void *block = NULL;
  if (size && count > SIZE_MAX / size) fail(DEVICE_ERROR, "%zu x %zu bytes do not fit this machine", count, size);
  size_t bytes = count * size;
  // 64: the alignment that ONNX Runtime uses for tensors of its own.
  if (posix_memalign(&block, 64, bytes ? bytes : 1)) fail(DEVICE_ERROR, "out of memory: %zu bytes refused", bytes);
  memset(block, 0, bytes ? bytes : 1);
  return block;
}

// Return `list` with room for one more than `count` elements; doubles whenever count reaches a power of two.
void *grow(void *list, size_t count, size_t size) {
  if (count & (count - 1)) return list;
  void *larger = realloc(list, (count ? 2 * count : 1) * size);
  if (!larger) fail(DEVICE_ERROR, "out of memory for a list of %zu", count);
  return larger;
}

char *copy_text(const char *text, size_t length) {
  char *copy = claim(length + 1, 1);
  memcpy(copy, text, length);
  return copy;
}

void append_text(Strings *list, char *text) {
  list->at = grow(list->at, list->count, sizeof *list->at);
  list->at[list->count++] = text;
}
