"""verl on the processor. verl imports this, an entry point of its group `verl.plugins`, in each of its processes.

It does nothing unless `VERL_PLATFORM` is `cpu`: on machines with accelerators verl stays as it is. Then it registers a platform,
the FSDP engines for it, and the rollout `k2core`, and lets gloo be asked for once where verl asks for it twice.
"""

from __future__ import annotations

import logging
import os

if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":
    try:
        from .registering import register

        register()
    except Exception:
        # verl itself would tell this at the level `debug` only, and then that it knows no such platform
        logging.getLogger(__name__).exception("k2core-trainer-verl cannot make the CPU known to verl")
        raise
