"""Two evaluations side by side at equal total tokens."""
