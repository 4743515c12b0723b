"""The words of `k2 train`, one module each."""
