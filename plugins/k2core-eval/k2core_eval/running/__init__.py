"""Running an evaluation: the loop, its executors, what survives a kill."""
