"""The commands `k2 new`, which writes a plugin to start from, and `k2 check`, which tells whether one keeps the rules."""
