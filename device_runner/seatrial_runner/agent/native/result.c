// The result object as JSON, its end marker, and the one way to fail.
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MESSAGE_BYTES 2048
#define VALUE_BYTES 400  // of the result's other texts

static int out_fd = STDOUT_FILENO;
static char *text;
static size_t used, room;

// From here on stdout is ours alone: whatever the runtime or a provider prints goes to stderr.
void keep_stdout(void) {
  int copy = dup(STDOUT_FILENO);
  if (copy < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(2);
  out_fd = copy;
}

// Whoever started us has gone: end, so that a lost link leaves nothing behind. Called between inferences.
void stop_if_nobody_reads(void) {
  struct pollfd watched = {.fd = out_fd, .events = 0};
  if (poll(&watched, 1, 0) > 0 && watched.revents & (POLLERR | POLLHUP | POLLNVAL)) _exit(141);
}

void progress(const char *line) { fprintf(stderr, "seatrial-agent: %s\n", line); }

static void put(const char *bytes, size_t length) {
  if (used + length > room) {
    room = 2 * (used + length) + 4096;
    char *larger = realloc(text, room);
    if (!larger) _exit(3);
    text = larger;
  }
  memcpy(text + used, bytes, length);
  used += length;
}

static void puts_json(const char *literal) { put(literal, strlen(literal)); }

__attribute__((format(printf, 1, 2))) static void putf(const char *format, ...) {
  char piece[512];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(piece, sizeof piece, format, args);
  va_end(args);
  if (length < 0 || (size_t)length >= sizeof piece) _exit(3);
  put(piece, (size_t)length);
}

// Length of the valid UTF-8 sequence at `s`, or 0.
static size_t sequence(const unsigned char *s, size_t left) {
  size_t n = *s < 0x80 ? 1 : *s >= 0xC2 && *s < 0xE0 ? 2 : *s >= 0xE0 && *s < 0xF0 ? 3 : *s >= 0xF0 && *s < 0xF5 ? 4 : 0;
  if (!n || n > left) return 0;
  for (size_t i = 1; i < n; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  bool overlong = (*s == 0xE0 && s[1] < 0xA0) || (*s == 0xF0 && s[1] < 0x90);
  bool surrogate = (*s == 0xED && s[1] >= 0xA0) || (*s == 0xF4 && s[1] >= 0x90);
  return overlong || surrogate ? 0 : n;
}

// A JSON string: quotes, backslashes and control characters escaped, bytes that are not UTF-8 replaced.
static void put_string(const char *string) {
  const unsigned char *s = (const unsigned char *)string;
  size_t left = strlen(string);
  put("\"", 1);
  while (left) {
    size_t n = sequence(s, left);
    if (n == 0) puts_json("\\ufffd");
    else if (n > 1) put((const char *)s, n);
    else if (*s == '"' || *s == '\\') putf("\\%c", *s);
    else if (*s < 0x20 || *s == 0x7F) putf("\\u%04x", *s);
    else put((const char *)s, 1);
    s += n ? n : 1;
    left -= n ? n : 1;
  }
  put("\"", 1);
}

static void put_text(const char *key, const char *value) {
  putf(",\"%s\":", key);
  put_string(value);
}

// JSON has no NaN and no infinity: strings, which the host's parser reads back as numbers.
static void put_number(const char *key, double value) {
  if (isfinite(value)) putf(",\"%s\":%.17g", key, value);
  else putf(",\"%s\":\"%s\"", key, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

static void put_known(const char *key, int64_t value) {
  if (value < 0) putf(",\"%s\":null", key);
  else putf(",\"%s\":%lld", key, (long long)value);
}

static const char *truth(bool value) { return value ? "true" : "false"; }

static void put_check(const Tensor *golden, const Check *check) {
  puts_json("{\"name\":");
  put_string(golden->name);
  put_number("rel_l2", check->rel_l2);
  put_number("max_abs", check->max_abs);
  putf(",\"nonfinite\":%llu,\"argmax_equal\":%s", (unsigned long long)check->nonfinite, truth(check->argmax_equal));
  put_number("tolerance", golden->tolerance);
  putf(",\"ok\":%s}", truth(check->ok));
}

static void put_list(const Strings *list) {
  puts_json("[");
  for (size_t i = 0; i < list->count; i++) {
    if (i) puts_json(",");
    put_string(list->at[i]);
  }
  puts_json("]");
}

static void put_samples(const char *key, const int64_t *samples, size_t count) {
  putf(",\"%s\":[", key);
  for (size_t i = 0; i < count; i++) putf("%s%lld", i ? "," : "", (long long)samples[i]);
  puts_json("]");
}

static void put_arm(const Arm *arm) {
  putf("{\"session_ns\":%lld,\"first_ns\":%lld,\"warmup_iterations\":%lld,\"checks\":[", (long long)arm->session_ns,
       (long long)arm->first_ns, (long long)arm->warmup_iterations);
  for (size_t i = 0; i < arm->checked; i++) {
    if (i) puts_json(",");
    put_check(&arm->outputs.at[i], &arm->checks[i]);
  }
  puts_json("]");
  put_samples("wall_ns", arm->wall_ns, arm->samples);
  put_samples("cpu_ns", arm->cpu_ns, arm->samples);
  if (job.mode == SUSTAINED) {
    put_samples("at_ns", arm->at_ns, arm->samples);
    putf(",\"stride\":%lld", (long long)job.stride);
  }
  if (job.mode == SUSTAINED || job.mode == PROFILE) putf(",\"inferences\":%lld", (long long)arm->inferences);
  puts_json("}");
}

static void put_arms(void) {
  bool any = false;
  puts_json(",\"arms\":{");
  for (int i = 0; i < ARMS; i++) {
    if (!job.arms[i].ran) continue;
    putf("%s\"%c\":", any ? "," : "", 'a' + i);
    put_arm(&job.arms[i]);
    any = true;
  }
  puts_json("}");
}

static void put_memory(const MemoryFigures *m) {
  if (!m->taken) return;
  putf(",\"memory\":{\"hwm_reset\":%s", truth(m->hwm_reset));
  put_known("baseline_rss", m->baseline_rss);
  put_known("peak_load", m->peak_load);
  put_known("peak_inference", m->peak_inference);
  put_known("pss", m->pss);
  put_known("rss", m->rss);
  put_known("swapped", m->swapped);
  put_known("cgroup_peak", m->cgroup_peak);
  put_known("system_peak_delta", m->system_peak_delta);
  puts_json("}");
}

static void put_window(const char *key, int64_t begin, int64_t end) {
  putf(",\"%s\":[%lld,%lld]", key, (long long)begin, (long long)end);
}

static void put_reading(const Reading *reading) {
  putf("{\"t_ns\":%lld,\"values\":[", (long long)reading->t_ns);
  for (size_t i = 0; i < job.counter_ids.count; i++) {
    if (i) puts_json(",");
    if (reading->read[i]) putf("%lld", (long long)reading->values[i]);
    else puts_json("null");
  }
  puts_json("]}");
}

static void put_trace(const char *ids) {
  putf("\"%s\":", ids);
  put_list(&job.counter_ids);
  puts_json(",\"samples\":[");
  for (size_t i = 0; i < figures.trace.count; i++) {
    if (i) puts_json(",");
    put_reading(&figures.trace.readings[i]);
  }
  puts_json("]");
}

static void put_energy(const EnergyFigures *e) {
  if (!e->taken) return;
  putf(",\"energy\":{\"inferences\":%lld", (long long)e->inferences);
  put_window("idle_before", e->edges[0], e->edges[1]);
  put_window("burst", e->edges[1], e->edges[2]);
  put_window("idle_after", e->edges[2], e->edges[3]);
  puts_json(",");
  put_trace("counters");
  puts_json("}");
}

static void put_sensors(void) {
  if (job.mode != SUSTAINED || !figures.trace.count) return;
  puts_json(",\"sensors\":{");
  put_trace("sensors");
  puts_json("}");
}

static void put_profile(const Arm *arm) {
  if (!arm->profile.count) return;
  puts_json(",\"profile\":");
  put_list(&arm->profile);
}

static void put_evicted(void) {
  if (!figures.evicted) return;
  putf(",\"evicted\":{\"bytes\":%lld,\"resident\":%lld}", (long long)figures.evicted_bytes, (long long)figures.resident_bytes);
}

static void put_machine(void) {
  struct utsname name;
  if (uname(&name) == 0) {
    put_text("machine", name.machine);
    put_text("kernel", name.release);
  }
  put_text("runtime_version", figures.runtime_version);
  put_known("dlopen_ns", figures.dlopen_ns);
  put_known("environment_ns", figures.environment_ns);
  put_known("start_ns", figures.start_ns);
  put_known("first_output_ns", figures.first_output_ns);
  putf(",\"cpu_total_ns\":%lld", (long long)now_ns(CLOCK_PROCESS_CPUTIME_ID));
  putf(",\"cpus\":%d,\"threads\":%lld", usable_cpus(), (long long)job.threads);
  if (!figures.switches_taken) return;
  put_known("voluntary_switches", figures.voluntary);
  put_known("involuntary_switches", figures.involuntary);
  put_known("major_faults", figures.major_faults);
}

static void write_all(void) {
  for (size_t done = 0; done < used;) {
    ssize_t n = write(out_fd, text + done, used - done);
    if (n < 0 && errno != EINTR) _exit(3);
    if (n > 0) done += (size_t)n;
  }
}

static void finish(void) {
  put_machine();
  put_arms();
  put_memory(&figures.memory);
  put_energy(&figures.energy);
  put_sensors();
  put_profile(&job.arms[0]);
  put_evicted();
  puts_json("}\nseatrial-end ");
  puts_json(job.token ? job.token : "-");
  puts_json("\n");
  write_all();
}

static void begin(const char *status) {
  used = 0;
  putf("{\"agent\":\"native\",\"agent_version\":\"" AGENT_VERSION "\",\"status\":\"%s\"", status);
}

void print_result(void) {
  begin("ok");
  finish();
}

_Noreturn void fail(enum Kind kind, const char *format, ...) {
  static const char *const kinds[] = {"user_error", "harness_error", "device_error"};
  char message[MESSAGE_BYTES];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  begin("error");
  putf(",\"error\":{\"stage\":\"%s\",\"kind\":\"%s\"", stage, kinds[kind]);
  put_text("message", message);
  puts_json("}");
  finish();
  _exit(1);
}
