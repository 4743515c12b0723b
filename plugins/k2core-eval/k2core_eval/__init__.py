"""Evaluation that says what was run, what it cost, and how sure one may be."""
