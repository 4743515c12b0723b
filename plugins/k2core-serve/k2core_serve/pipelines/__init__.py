"""Pipelines that live behind a name: versions, leases, swaps, shadows, and serving a problem from one."""
