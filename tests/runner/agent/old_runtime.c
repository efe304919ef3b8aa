// A library that is too old for any C API version that is asked for.
#include <stddef.h>
#include <stdint.h>
static void *get_api(uint32_t version) { return (void)version, NULL; }
static const char *version(void) { return "1.2.3"; }
void *OrtGetApiBase(void) {
  static void *base[] = {(void *)get_api, (void *)version};
  return base;
}
