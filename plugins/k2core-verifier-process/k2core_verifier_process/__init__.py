"""Verifiers of steps: `steps:Steps` checks what can be checked by arithmetic, `process:Process` asks a model."""
