"""Continuous batching: one thread a loaded model, which requests join and leave between steps."""
