"""Statistics of latency samples, runs and pairs: numpy and scipy.special only, so that a gate starts fast and small."""
