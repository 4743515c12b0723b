"""Who may ask, how much, and who goes first."""
