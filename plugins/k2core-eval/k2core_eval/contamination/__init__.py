"""Whether evaluation data are in training data."""
