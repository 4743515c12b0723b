"""The workers: opened in the best sandbox that works, asked, closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from k2core.toolkit.processes import Broken, ProcessPool

from .sandbox import Limits, Sandbox, interpreter, missing

_TRIAL = {
    "suite": {"kind": "none", "size": 0}, "sources": [["pass", 0]], "wanted": [], "preamble": "", "partial": False, "timeout": 10.0,
    "wall": 10.0, "total": 20.0, "cpu": 21, "output": 1000, "tolerance": 0.0, "judge_memory": 1 << 30,
}  # fmt: skip
"""A job that shows whether programs can be run at all."""


class Sandboxes:
    """A pool of sandboxed workers."""

    def __init__(self, sandbox: Sandbox, workers: int) -> None:
        self.backend = sandbox.backend
        self._pool = ProcessPool(sandbox.command, size=workers, name="k2core-verifier-code", start_timeout=60.0)

    @classmethod
    def open(cls, wanted: str, python: str, limits: Limits, workers: int, *, packages: bool, preload: Sequence[str]) -> Sandboxes:
        """Workers in the first back end that works. Raises `RuntimeError` that says why none does, and what to install."""
        faults = []
        for backend in ("bubblewrap", "landlock") if wanted == "auto" else (wanted,):
            fault = missing(backend, limits)
            if fault is None:
                found = cls(Sandbox(backend, interpreter(python), limits, packages=packages, preload=preload), workers)
                fault = found._trial()
                if fault is None:
                    found._pool.warm()
                    return found
                found.close()
            faults.append(f"{backend}: {fault}")
        raise RuntimeError("no sandbox in which to run untrusted programs: " + "; ".join(faults))

    def _trial(self) -> str | None:
        try:
            reply = self._pool.ask_blocking(_TRIAL, 40.0)
        except (Broken, RuntimeError) as error:
            return str(error)
        return reply.get("error") or reply.get("text")

    async def ask(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:  # noqa: ASYNC109  # kills, not cancels
        """What came of a job; `error` when the sandbox failed."""
        try:
            return await self._pool.ask(job, timeout)
        except Broken as error:
            return {"error": f"the sandbox failed: {error}"}

    def close(self) -> None:
        """Kill the workers and wait for them."""
        self._pool.close()
