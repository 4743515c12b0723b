"""What plugins of each role must return and tell."""
