"""Worker processes that compare answers. Their start costs one import of SymPy, a replacement a fork.

A comparison first gets a short turn; few need more. One that does is begun anew with a longer turn, after all that had none yet,
and at last with the whole time-out. So answers made to be slow cannot keep the others waiting, however many they are.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Literal, TypeAlias

from k2core.toolkit.processes import Broken, ProcessPool, TooLate

Outcome: TypeAlias = Literal["equal", "different", "undecided", "error"]
Opinion: TypeAlias = tuple[Outcome, str]

_TURNS = (0.02, 0.15)
"""Processor time of the first turns, as shares of the time-out; together with the last one they stay under 1.2 of it."""
_SHORTEST_TURN = 0.1
_SLACK = 3.0
"""Wall time of a turn over its processor time, for busy machines."""
_PATIENCE = 2.0
"""A comparison that waits longer than so many time-outs for its last turn is given up."""

WAITED = "too many slow comparisons at once; this one was not finished"

SLOW = "comparing"
"""How a reason starts when a worker was killed or died over a comparison."""

_BOOT = "import sys; sys.path[:] = sys.argv[3:]; from k2core_verifier_math.worker import main; main()"
"""`-I` hides PYTHONPATH and the working directory; the worker imports from where this process does."""


class Pool:
    """At most `workers` processes of at most `memory_mb` megabytes, each killed when a comparison takes over `timeout` seconds."""

    def __init__(self, *, workers: int, timeout: float, memory_mb: int) -> None:
        self.timeout, self.memory_mb = timeout, memory_mb
        self._processes = ProcessPool(self._command, size=workers, name="k2core-verifier-math", forks=True)

    def _command(self) -> list[str]:
        if not sys.executable:
            raise RuntimeError("sys.executable is not set, so there is no interpreter to start a worker with")
        return [sys.executable, "-I", "-B", "-c", _BOOT, str(self.memory_mb), str(os.getpid()), *filter(None, sys.path)]

    @property
    def pids(self) -> list[int]:
        """Process ids of the live workers."""
        return self._processes.pids

    async def compare(self, gold: str, answer: str, *, symmetric: bool = False) -> Opinion:
        """Ask a worker; for votes, which are `symmetric`, without the last and longest turn.

        Cancelling returns at once and ends the comparison. Raises `RuntimeError` after `close`.
        """
        job: dict[str, Any] = {"gold": gold, "answer": answer, "symmetric": symmetric}
        try:
            reply = await self._in_turns(job, brief=symmetric)
        except TooLate:
            return "undecided", WAITED
        except Broken as error:
            return "undecided", f"{SLOW} {error}"
        except RuntimeError as error:
            if self._processes.closed:
                raise
            return "error", f"the comparison worker could not be used: {error}"
        return reply["outcome"], reply["reason"]

    async def _in_turns(self, job: dict[str, Any], *, brief: bool) -> dict[str, Any]:
        turns = [max(_SHORTEST_TURN, share * self.timeout) for share in _TURNS]
        turns = [turn for turn in turns if _SLACK * turn < self.timeout]
        for rank, turn in enumerate(turns):
            with contextlib.suppress(Broken):
                return await self._processes.ask({**job, "turn": turn}, _SLACK * turn, rank=rank)
        if brief and turns:
            raise Broken(f"took more than {turns[-1]:g} s of a vote")
        last, patience = {**job, "seconds": self.timeout}, _PATIENCE * self.timeout
        return await self._processes.ask(last, self.timeout, rank=len(_TURNS), patience=patience)

    def close(self) -> None:
        """Kill the workers and wait for their threads; comparisons under way end with a `RuntimeError`. May be called twice."""
        self._processes.close()
