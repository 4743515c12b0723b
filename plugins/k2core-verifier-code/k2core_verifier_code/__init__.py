"""Model-written Python against tests: extracted from text, run in a sandbox, judged in another process than its own.

The plugin is `k2core_verifier_code.plugin:CodeVerifier`; `jail` is what runs inside the sandbox, with the standard library
alone. This package imports nothing.
"""
