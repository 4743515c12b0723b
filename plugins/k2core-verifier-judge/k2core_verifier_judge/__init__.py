"""Verifiers that ask a model: `pairwise:Judge` compares candidates, `rating:Rating` gives each a mark."""
