// One output against its golden value, in double precision.
#include <math.h>
#include <string.h>

#include "agent.h"

typedef struct {
  double real;
  uint64_t whole;  // integers: the value, two's complement
} Number;

static double half(uint16_t bits) {
  int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  double value = exponent == 31  ? (mantissa ? NAN : INFINITY)
                 : exponent == 0 ? ldexp(mantissa, -24)
                                 : ldexp(mantissa + 1024, exponent - 25);
  return bits & 0x8000 ? -value : value;
}

#define LOAD(type)                             \
  do {                                         \
    type value;                                \
    memcpy(&value, at, sizeof value);          \
    number.real = (double)value;               \
    number.whole = (uint64_t)(int64_t)(value); \
  } while (0)
#define LOAD_REAL(type)               \
  do {                                \
    type value;                       \
    memcpy(&value, at, sizeof value); \
    number.real = (double)value;      \
  } while (0)

static Number load(ONNXTensorElementDataType type, const unsigned char *at) {
  Number number = {0};
  uint16_t bits;
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: LOAD_REAL(float); break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE: LOAD_REAL(double); break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      memcpy(&bits, at, sizeof bits);
      number.real = half(bits);
      break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8: LOAD(int8_t); break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16: LOAD(int16_t); break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16: LOAD(uint16_t); break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32: LOAD(int32_t); break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32: LOAD(uint32_t); break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: LOAD(int64_t); break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64: LOAD(uint64_t); break;
    default: LOAD(uint8_t); break;  // uint8, bool
  }
  return number;
}

static bool is_real(ONNXTensorElementDataType type) {
  return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || type == ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE ||
         type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
}

// |out - golden|. Integers are subtracted as integers: above 2^53 a double no longer tells neighbours apart. Where
// either is not finite: 0 when they are the same (both NaN counts as the same), infinity otherwise.
static double distance(ONNXTensorElementDataType type, Number out, Number golden) {
  if (!is_real(type)) return (double)(out.real < golden.real || (out.real == golden.real && (int64_t)(out.whole - golden.whole) < 0)
                                          ? golden.whole - out.whole
                                          : out.whole - golden.whole);
  if (isfinite(out.real) && isfinite(golden.real)) return fabs(out.real - golden.real);
  bool same = out.real == golden.real || (isnan(out.real) && isnan(golden.real));
  return same ? 0 : INFINITY;
}

// `output` holds golden->count elements of golden->dtype. argmax is over all elements, the first of equals; NaN never.
Check compare(const Tensor *golden, const void *output) {
  ONNXTensorElementDataType type = golden->dtype->onnx;
  size_t size = golden->dtype->size, top_out = 0, top_golden = 0;
  double error = 0, norm = 0, highest_out = -INFINITY, highest_golden = -INFINITY;
  Check check = {0};
  for (size_t i = 0; i < golden->count; i++) {
    Number got = load(type, (const unsigned char *)output + i * size);
    Number want = load(type, (const unsigned char *)golden->data + i * size);
    double d = distance(type, got, want);
    check.nonfinite += isfinite(want.real) && !isfinite(got.real);
    if (d > check.max_abs) check.max_abs = d;
    error += d * d;
    if (isfinite(want.real)) norm += want.real * want.real;
    if (got.real > highest_out) highest_out = got.real, top_out = i;
    if (want.real > highest_golden) highest_golden = want.real, top_golden = i;
  }
  check.rel_l2 = error == 0 ? 0 : norm == 0 ? INFINITY : sqrt(error) / sqrt(norm);
  check.argmax_equal = top_out == top_golden;
  check.ok = check.nonfinite == 0 && check.rel_l2 <= golden->tolerance;
  return check;
}
