"""Distillation: a small model learns from a large one's answers, features or attention, beside the labels."""
