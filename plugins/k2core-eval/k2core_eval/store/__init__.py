"""The folder of an evaluation."""
