"""reasoning-gym: its families' own verifiers behind a soundness gate, and its problems as tasks.

`client` and the two plugins run in the program; `worker` and what it imports run in processes of their own.
"""
