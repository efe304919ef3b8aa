"""A labelled task that separates methods, and the models that the compression benchmarks train on it."""
