"""Training in plain torch: the user's data, seeded, resumable, and stopped by Ctrl-C without losing a step."""
