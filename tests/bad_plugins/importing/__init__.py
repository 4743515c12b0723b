"""Modules whose import does what only `k2_start` may."""
