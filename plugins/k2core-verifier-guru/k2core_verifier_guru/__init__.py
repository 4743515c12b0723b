"""Verifiers for the domains of the Guru corpus beside mathematics and code, and for reasoning-gym's families.

`logic`, `simulation`, `tabular`, `stem` and `gym` hold one plugin each; this package imports nothing, so that processes
start light.
"""
