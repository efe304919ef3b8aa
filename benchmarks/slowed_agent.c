// Busy work after each inference of one model, so that it is slower by a known amount: for gate_end_to_end.py alone, and
// only in agents that it builds itself with -DSEATRIAL_SLOWED. What Seatrial ships has none of this.
//
// SEATRIAL_SLOWED_MODEL: part of the path of the model (its sha256); SEATRIAL_SLOWED_ROUNDS: how much work.
#include <stdlib.h>
#include <string.h>

#include "agent.h"

void slow_down(const Arm *arm) {
  static long rounds = -1;
  static const char *model;
  static volatile double seed = 0.5;  // volatile: a compiler that knew it would see that the work leads to nothing
  if (rounds < 0) {
    const char *text = getenv("SEATRIAL_SLOWED_ROUNDS");
    rounds = text ? atol(text) : 0;
    model = getenv("SEATRIAL_SLOWED_MODEL");
  }
  if (!rounds || !model || !strstr(arm->model, model)) return;
  double x = seed;
  for (long i = 0; i < rounds; i++) x = x * 0.999999 + 1e-6;
  seed = x < 0.5 ? 0.5 : x;
}
