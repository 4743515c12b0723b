"""Runs `k2` in processes of their own that need not import torch again: this one does, and forks.

Reads {"args": [...], "log": FILE, "fsize": BYTES or 0}, a line each; answers {"pid": …} and, when it has ended, {"status": …}.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from importlib import import_module

NEEDED = "peft k2core_cli.dispatch k2core_trainer_sft.trainer k2core_training.modelling.policy transformers.models.llama"
for module in NEEDED.split():
    import_module(module)


def child(args: list[str], log: str, fsize: int) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(log, "ab", buffering=0) as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    if fsize:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fsize, fsize))
    import torch
    from k2core_cli.dispatch import main

    torch.set_num_threads(1)
    sys.argv = ["k2", *args]
    return int(main() or 0)


for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = child(**order)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(json.dumps({"pid": pid}), flush=True)
    print(json.dumps({"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}), flush=True)
