"""Mixed precision: which layers stay in floating point, by what they cost in quality and in measured latency."""
