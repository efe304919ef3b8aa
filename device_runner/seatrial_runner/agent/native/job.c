// The job file: lines of `key value`, described in seatrial_runner/job.py.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

#define JOB_BYTES (4u << 20)
#define LONGEST 4096  // of a line's name or path
#define MAX_RANK 32
// Of a tensor: so that no product with a size overflows size_t, which has 32 bits on armv7l.
#define MAX_ELEMENTS (sizeof(size_t) == 4 ? (int64_t)1 << 27 : (int64_t)1 << 40)
#define FOREVER ((int64_t)1 << 53)  // ns; the largest that the result can carry

typedef struct {
  char *rest;  // what is left of the line
  int number;
} Line;

static Arm *arm;  // that the lines now belong to

static _Noreturn void bad(const Line *line, const char *why) {
  fail(HARNESS_ERROR, "job file, line %d: %s", line->number, why);
}

// Cut the next word off the line.
static char *word(Line *line) {
  char *start = line->rest;
  char *space = strchr(start, ' ');
  if (space) *space = '\0';
  line->rest = space ? space + 1 : start + strlen(start);
  if (!*start) bad(line, "a value is missing");
  if (strlen(start) > LONGEST) bad(line, "a word is longer than 4096 bytes");
  return start;
}

static char *remainder_of(Line *line) {
  if (!*line->rest) bad(line, "a value is missing");
  if (strlen(line->rest) > LONGEST) bad(line, "a value is longer than 4096 bytes");
  return line->rest;
}

static int64_t integer(Line *line, const char *digits, int64_t low, int64_t high) {
  char *end;
  errno = 0;
  long long value = strtoll(digits, &end, 10);
  if (errno || end == digits || *end || value < low || value > high)
    fail(HARNESS_ERROR, "job file, line %d: '%.64s' is not an integer from %lld to %lld", line->number, digits,
         (long long)low, (long long)high);
  return value;
}

static int choice(Line *line, const char *const *names, const int *values, int count) {
  const char *given = remainder_of(line);
  for (int i = 0; i < count; i++)
    if (strcmp(given, names[i]) == 0) return values[i];
  fail(HARNESS_ERROR, "job file, line %d: '%.64s' is not one of the values of its key", line->number, given);
}

static void set_cpus(Line *line) {
  char *list = remainder_of(line);
  for (char *next; list; list = next) {
    next = strchr(list, ',');
    if (next) *next++ = '\0';
    job.cpus = grow(job.cpus, job.cpu_count, sizeof *job.cpus);
    job.cpus[job.cpu_count++] = integer(line, list, 0, 8191);
  }
}

static void set_shape(Line *line, Tensor *tensor, char *list) {
  tensor->count = 1;
  tensor->shape = claim(MAX_RANK, sizeof *tensor->shape);
  if (strcmp(list, "scalar") == 0) return;
  for (char *next; list; list = next) {
    next = strchr(list, ',');
    if (next) *next++ = '\0';
    if (tensor->rank == MAX_RANK) bad(line, "more than 32 dimensions");
    int64_t dimension = integer(line, list, 0, MAX_ELEMENTS);
    if (dimension && (int64_t)tensor->count > MAX_ELEMENTS / dimension) bad(line, "a tensor of more elements than allowed (2^40; 2^27 on 32 bits)");
    tensor->count *= (size_t)dimension;
    tensor->shape[tensor->rank++] = dimension;
  }
}

static double tolerance(Line *line) {
  char *digits = word(line), *end;
  double value = strtod(digits, &end);
  if (*end || end == digits || !(value >= 0)) bad(line, "the tolerance is not a number from 0 up");
  return value;
}

static void add_tensor(Line *line, Tensors *list, bool is_output) {
  Tensor tensor = {0};
  char *dtype = word(line);
  tensor.dtype = dtype_named(dtype);
  if (!tensor.dtype) fail(HARNESS_ERROR, "job file, line %d: unknown dtype '%.32s'", line->number, dtype);
  set_shape(line, &tensor, word(line));
  tensor.path = word(line);
  if (is_output) tensor.tolerance = tolerance(line);
  tensor.name = remainder_of(line);
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->at[i].name, tensor.name) == 0) bad(line, "a tensor is given twice");
  list->at = grow(list->at, list->count, sizeof *list->at);
  list->at[list->count++] = tensor;
}

static void set_mode(Line *line) {
  static const char *const names[] = {"latency", "memory", "energy", "sustained", "profile", "evaluate", "evict"};
  static const int values[] = {LATENCY, MEMORY, ENERGY, SUSTAINED, PROFILE, EVALUATE, EVICT};
  job.mode = (enum Mode)choice(line, names, values, 7);
}

static int arm_index(Line *line) {
  static const char *const names[] = {"a", "b"};
  static const int values[] = {0, 1};
  return choice(line, names, values, 2);
}

static void set_arm(Line *line) {
  arm = &job.arms[arm_index(line)];
  if (arm->given) bad(line, "an arm is given twice");
  arm->given = true;
  arm->optimization = ORT_ENABLE_ALL;
}

static void add_counter(Line *line) {
  append_text(&job.counter_ids, word(line));
  append_text(&job.counter_paths, remainder_of(line));
}

static void add_provider(Line *line) {
  arm->providers = grow(arm->providers, arm->provider_count, sizeof *arm->providers);
  arm->providers[arm->provider_count++] = (Provider){.name = remainder_of(line)};
}

static void add_provider_option(Line *line) {
  if (!arm->provider_count) bad(line, "an option before its provider");
  Provider *provider = &arm->providers[arm->provider_count - 1];
  append_text(&provider->keys, word(line));
  append_text(&provider->values, remainder_of(line));
}

static void set_optimization(Line *line) {
  static const char *const names[] = {"none", "basic", "extended", "all"};
  static const int values[] = {ORT_DISABLE_ALL, ORT_ENABLE_BASIC, ORT_ENABLE_EXTENDED, ORT_ENABLE_ALL};
  arm->optimization = choice(line, names, values, 4);
}

static void add_config(Line *line) {
  append_text(&arm->config_keys, word(line));
  append_text(&arm->config_values, remainder_of(line));
}

static bool set_integer(Line *line, const char *key) {
  const struct {
    const char *key;
    int64_t *value, low, high;
  } known[] = {
      {"threads", &job.threads, 1, 1024},
      {"warmup_iterations", &job.warmup_iterations, 0, 1000000},
      {"warmup_min_ns", &job.warmup_min_ns, 0, FOREVER},
      {"warmup_max_ns", &job.warmup_max_ns, 0, FOREVER},
      {"iterations", &job.iterations, 0, 1000000},
      {"max_ns", &job.max_ns, 0, FOREVER},
      {"window_ns", &job.window_ns, 1, FOREVER},
      {"sample_period_ns", &job.sample_period_ns, 1, FOREVER},
      {"stride", &job.stride, 1, 1000000000},
      {"samples", &job.samples, 0, 1000000},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(key, known[i].key)) continue;
    *known[i].value = integer(line, remainder_of(line), known[i].low, known[i].high);
    return true;
  }
  return false;
}

static bool set_for_job(Line *line, const char *key) {
  if (set_integer(line, key)) return true;
  if (strcmp(key, "token") == 0) job.token = remainder_of(line);
  else if (strcmp(key, "mode") == 0) set_mode(line);
  else if (strcmp(key, "library") == 0) job.library = remainder_of(line);
  else if (strcmp(key, "spin") == 0) job.spin = integer(line, remainder_of(line), 0, 1);
  else if (strcmp(key, "cpus") == 0) set_cpus(line);
  else if (strcmp(key, "first") == 0) job.first = arm_index(line);
  else if (strcmp(key, "counter") == 0) add_counter(line);
  else if (strcmp(key, "evict") == 0) append_text(&job.evicted, remainder_of(line));
  else return false;
  return true;
}

static bool set_for_arm(Line *line, const char *key) {
  if (!arm) return false;
  if (strcmp(key, "model") == 0) arm->model = remainder_of(line);
  else if (strcmp(key, "provider") == 0) add_provider(line);
  else if (strcmp(key, "provider_option") == 0) add_provider_option(line);
  else if (strcmp(key, "feed") == 0) append_text(&arm->feeds, remainder_of(line));
  else if (strcmp(key, "fetch") == 0) append_text(&arm->fetches, remainder_of(line));
  else if (strcmp(key, "optimization") == 0) set_optimization(line);
  else if (strcmp(key, "config") == 0) add_config(line);
  else if (strcmp(key, "input") == 0) add_tensor(line, &arm->inputs, false);
  else if (strcmp(key, "output") == 0) add_tensor(line, &arm->outputs, true);
  else return false;
  return true;
}

static void set(Line *line) {
  char *key = word(line);
  if (strcmp(key, "arm") == 0) set_arm(line);
  else if (!(arm ? set_for_arm(line, key) : set_for_job(line, key)))
    fail(HARNESS_ERROR, "job file, line %d: unknown key '%.64s'; host and agent differ in version", line->number, key);
}

static void require_files(void) {
  const Arm *a = &job.arms[0];
  if (a->feeds.count != a->inputs.count || a->fetches.count != a->outputs.count || job.samples < 1)
    fail(HARNESS_ERROR, "job file: mode evaluate wants samples, one feed for each input and one fetch for each output");
}

static void require_whole(void) {
  if (!job.token) fail(HARNESS_ERROR, "job file: token or library is missing");
  if (job.mode == EVICT) return;
  if (!job.library) fail(HARNESS_ERROR, "job file: token or library is missing");
  if (!job.arms[0].given) fail(HARNESS_ERROR, "job file: arm a is missing");
  if (job.arms[1].given && job.mode != LATENCY) fail(HARNESS_ERROR, "job file: two arms, which only mode latency takes");
  if (!job.arms[job.first].given) fail(HARNESS_ERROR, "job file: the arm that is to be first is not given");
  if (job.mode != ENERGY && job.iterations < 1) fail(HARNESS_ERROR, "job file: iterations must be 1 or more");
  for (int i = 0; i < ARMS; i++)
    if (job.arms[i].given && !job.arms[i].model) fail(HARNESS_ERROR, "job file: arm %c has no model", 'a' + i);
  if (job.mode == EVALUATE) require_files();
}

static void set_defaults(void) {
  job.threads = 1;
  job.spin = true;
  job.warmup_iterations = 30;
  job.warmup_min_ns = 250000000;
  job.warmup_max_ns = 8000000000;
  job.iterations = 200;
  job.max_ns = 60000000000;
  job.window_ns = 10000000000;
  job.sample_period_ns = 100000000;
  job.stride = 1;
}

// Fill the global `job`. Lines point into the file's text, which is kept for ever.
void read_job(const char *path) {
  size_t length;
  set_defaults();
  char *text = read_file(path, JOB_BYTES, &length);
  if (strlen(text) != length) fail(HARNESS_ERROR, "job file: holds a zero byte");
  Line line = {.number = 1};
  for (char *next; text && *text; text = next, line.number++) {
    next = strchr(text, '\n');
    if (next) *next++ = '\0';
    line.rest = text;
    if (line.number == 1 && strcmp(text, "seatrial-job " JOB_VERSION)) bad(&line, "not 'seatrial-job " JOB_VERSION "'");
    if (strcmp(text, "end") == 0) {
      require_whole();
      return;
    }
    if (line.number > 1) set(&line);
  }
  fail(HARNESS_ERROR, "job file: ends at line %d without 'end'; it was not sent whole", line.number);
}
