// .npy files (numpy's format, versions 1 to 3), read without trust: every length is checked before it is used.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define HEADER_BYTES 65536u

static const DType dtypes[] = {
    {"float32", "<f4", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4},
    {"float16", "<f2", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 2},
    {"float64", "<f8", ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, 8},
    {"int8", "|i1", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 1},
    {"uint8", "|u1", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1},
    {"int16", "<i2", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, 2},
    {"uint16", "<u2", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, 2},
    {"int32", "<i4", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4},
    {"uint32", "<u4", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, 4},
    {"int64", "<i8", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8},
    {"uint64", "<u8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, 8},
    {"bool", "|b1", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1},
};
#define DTYPES (sizeof dtypes / sizeof *dtypes)

const DType *dtype_named(const char *name) {
  for (size_t i = 0; i < DTYPES; i++)
    if (strcmp(dtypes[i].name, name) == 0) return &dtypes[i];
  return NULL;
}

const DType *dtype_of_onnx(ONNXTensorElementDataType type) {
  for (size_t i = 0; i < DTYPES; i++)
    if (dtypes[i].onnx == type) return &dtypes[i];
  return NULL;
}

// "(1, 3, 224)": for messages. Two results may be in use at a time.
const char *shape_text(const int64_t *shape, size_t rank) {
  static char texts[2][512];
  static int turn;
  char *text = texts[turn ^= 1];
  size_t used = (size_t)snprintf(text, sizeof texts[0], "(");
  for (size_t i = 0; i < rank && used < sizeof texts[0] - 32; i++)
    used += (size_t)snprintf(text + used, sizeof texts[0] - used, shape[i] < 0 ? "%s?" : "%s%lld", i ? ", " : "",
                             (long long)shape[i]);
  snprintf(text + used, sizeof texts[0] - used, ")");
  return text;
}

void read_exactly(int fd, const char *path, void *target, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t n = read(fd, (char *)target + done, length - done);
    if (n == 0) fail(DEVICE_ERROR, "%s: ends after %zu of %zu bytes", path, done, length);
    if (n < 0 && errno != EINTR) fail(DEVICE_ERROR, "%s: %s", path, strerror(errno));
    if (n > 0) done += (size_t)n;
  }
}

int open_file(const char *path, size_t *length) {
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &status)) fail(DEVICE_ERROR, "%s: %s", path, strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(DEVICE_ERROR, "%s: not a regular file", path);
  *length = (size_t)status.st_size;
  return fd;
}

// Return the whole file, with a zero byte after it.
char *read_file(const char *path, size_t limit, size_t *length) {
  int fd = open_file(path, length);
  if (*length > limit) fail(DEVICE_ERROR, "%s: %zu bytes, more than the %zu allowed", path, *length, limit);
  char *bytes = claim(*length + 1, 1);
  read_exactly(fd, path, bytes, *length);
  close(fd);
  return bytes;
}

// Return what follows `'key':` in a header, or NULL. Headers are a Python dict literal, written by numpy.
static const char *entry(const char *header, const char *key) {
  char quoted[32];
  snprintf(quoted, sizeof quoted, "'%s':", key);
  const char *found = strstr(header, quoted);
  return found ? found + strlen(quoted) + strspn(found + strlen(quoted), " ") : NULL;
}

static bool shape_is(const char *text, const Tensor *tensor) {
  if (*text++ != '(') return false;
  for (size_t i = 0; i < tensor->rank; i++) {
    char *end;
    errno = 0;
    long long dimension = strtoll(text, &end, 10);
    if (errno || end == text || dimension != tensor->shape[i]) return false;
    text = end;
    if (*text == ',') text++;
    text += strspn(text, " ");
  }
  return *text == ')';
}

static void check_header(const Tensor *tensor, const char *header) {
  const char *descr = entry(header, "descr"), *order = entry(header, "fortran_order"), *shape = entry(header, "shape");
  if (!descr || !order || !shape) fail(DEVICE_ERROR, "%s: the .npy header is not numpy's", tensor->path);
  size_t length = strlen(tensor->dtype->descr);
  if (*descr != '\'' || strncmp(descr + 1, tensor->dtype->descr, length) || descr[1 + length] != '\'')
    fail(USER_ERROR, "%s: holds dtype %.12s, but tensor '%s' is %s (%s)", tensor->path, descr, tensor->name,
         tensor->dtype->name, tensor->dtype->descr);
  if (strncmp(order, "False", 5)) fail(USER_ERROR, "%s: is in Fortran order; save it in C order", tensor->path);
  if (!shape_is(shape, tensor))
    fail(USER_ERROR, "%s: holds shape %.*s, but tensor '%s' is %s", tensor->path, (int)(strcspn(shape, ")") + 1) & 0xFF,
         shape, tensor->name, shape_text(tensor->shape, tensor->rank));
}

// Read magic, version and header; leave the file at its data. Return the bytes before the data.
static size_t read_header(int fd, const Tensor *tensor) {
  unsigned char start[12];
  read_exactly(fd, tensor->path, start, 10);
  if (memcmp(start, "\x93NUMPY", 6) || start[6] < 1 || start[6] > 3)
    fail(DEVICE_ERROR, "%s: is not a .npy file of version 1 to 3", tensor->path);
  size_t length = start[8] | (size_t)start[9] << 8, before = 10;
  if (start[6] > 1) {
    read_exactly(fd, tensor->path, start + 10, 2);
    length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    before = 12;
  }
  if (length > HEADER_BYTES) fail(DEVICE_ERROR, "%s: a .npy header of %zu bytes", tensor->path, length);
  char *header = claim(length + 1, 1);
  read_exactly(fd, tensor->path, header, length);
  check_header(tensor, header);
  free(header);
  return before + length;
}

// Fill `tensor->data` from its file, which must hold exactly its dtype and shape.
void read_npy(Tensor *tensor) {
  size_t size, bytes = tensor->count * tensor->dtype->size;
  int fd = open_file(tensor->path, &size);
  size_t before = read_header(fd, tensor);
  if (size - before != bytes)
    fail(DEVICE_ERROR, "%s: holds %zu bytes of data where %zu belong; it was cut or changed", tensor->path,
         size - before, bytes);
  tensor->data = claim(bytes, 1);
  read_exactly(fd, tensor->path, tensor->data, bytes);
  close(fd);
}
