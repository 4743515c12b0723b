"""Mathematical answers: extracted from text, compared in processes that can be killed, counted as votes.

The plugin is `k2core_verifier_math.plugin:MathVerifier`; this package imports nothing, so that a worker process starts light.
"""
