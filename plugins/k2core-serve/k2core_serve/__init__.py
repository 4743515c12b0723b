"""Pipelines behind one OpenAI-compatible address: `k2 serve`, or `k2core_serve.application.application(settings)` in a program."""
