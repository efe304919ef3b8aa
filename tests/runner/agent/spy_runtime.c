// The real ONNX Runtime behind a table of our own, which prints the order of sessions and inferences to stderr, and which
// claims to have providers that it has not, whose making it prints instead of making them. Named by SPY_LIBRARY.
// Indices in OrtApi: 7 CreateSession, 9 Run, 125 GetAvailableProviders, 216 SessionOptionsAppendExecutionProvider.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS 217  // of OrtApi, that agents use

typedef struct {
  void *(*get_api)(uint32_t);
  const char *(*version)(void);
} Base;
typedef void *(*CreateSession)(void *, const char *, void *, void **);
typedef void *(*Run)(void *, void *, void *, void *, size_t, void *, size_t, void *);

static void **table;
static void *sessions[2];
static int made;

static void *create_session(void *env, const char *path, void *options, void **session) {
  void *status = ((CreateSession)table[7])(env, path, options, session);
  fprintf(stderr, "spy: load %s\n", path);
  if (!status && made < 2) sessions[made++] = *session;
  return status;
}

static void *run(void *session, void *options, void *in, void *inputs, size_t n, void *out, size_t m, void *outputs) {
  fprintf(stderr, "spy: run %d\n", session == sessions[0] ? 0 : 1);
  return ((Run)table[9])(session, options, in, inputs, n, out, m, outputs);
}

static char *claimed[] = {"QNNExecutionProvider", "NnapiExecutionProvider", "XnnpackExecutionProvider", "CPUExecutionProvider"};

static void *available(char ***names, int *count) {
  *names = claimed;
  *count = 4;
  return NULL;
}

static void *append(void *options, const char *name, const char *const *keys, const char *const *values, size_t count) {
  fprintf(stderr, "spy: provider %s", name);
  for (size_t i = 0; i < count; i++) fprintf(stderr, " %s=%s", keys[i], values[i]);
  fprintf(stderr, "\n");
  return NULL;
}

void *OrtSessionOptionsAppendExecutionProvider_Nnapi(void *options, uint32_t flags) {
  fprintf(stderr, "spy: provider Nnapi flags %u\n", flags);
  return NULL;
}

static void *get_api(uint32_t version) {
  static void *changed[MEMBERS];
  Base *(*real)(void) = (Base * (*)(void)) dlsym(dlopen(getenv("SPY_LIBRARY"), RTLD_NOW | RTLD_LOCAL), "OrtGetApiBase");
  table = real()->get_api(version);
  memcpy(changed, table, sizeof changed);
  changed[7] = (void *)create_session;
  changed[9] = (void *)run;
  changed[125] = (void *)available;
  changed[216] = (void *)append;
  return changed;
}

static const char *version(void) { return "1.99-spy"; }

Base *OrtGetApiBase(void) {
  static Base base = {get_api, version};
  return &base;
}
