"""Checkers: each gives an opinion with the evidence it has, or passes. The order of their strength is that of `compare.ORDER`."""
