"""A stand-in for the real library, which takes seconds."""
