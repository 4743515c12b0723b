"""Health, readiness, metrics and traces."""
