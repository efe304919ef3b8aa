"""Pruning: whole channels and heads that the model does without, or single weights."""
