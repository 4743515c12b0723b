"""Another verifier, stopping rule, sampler or N on the candidates that an evaluation has stored, without asking a model."""
