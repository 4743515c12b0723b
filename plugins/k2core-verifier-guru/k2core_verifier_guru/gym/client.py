"""The program's side of reasoning-gym: items, scores and the gate's results, from processes that can be killed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from k2core.toolkit.processes import Broken, ProcessPool

from .examine import SEED

Config: TypeAlias = Mapping[str, Any]
Message: TypeAlias = dict[str, Any]

_OTHER_HASHING = "1"
_FAILED = "the gate could not be run: "


@dataclass(frozen=True, slots=True)
class Gate:
    """What the soundness gate found out about a family with a configuration."""

    family: str
    faults: tuple[str, ...]
    """Why the family is refused; empty when it is sound."""
    category: str = ""
    entry: bool = False
    """Whether its items survive JSON, so that a reference may hold a whole entry."""
    worst_junk: float = 0.0
    """Highest score of an answer that is none, such as an empty one or a constant: below 1, else it is a fault."""
    generate_ms: float = 0.0
    """Milliseconds to make an item."""
    slowest: float = 0.0
    """Seconds that the slowest score took."""
    accepted: Mapping[str, str] | None = None
    """By kind of junk: how much of it was accepted."""
    items: int = 0
    """How many items were looked at."""

    @property
    def sound(self) -> bool:
        return not self.faults

    @property
    def why(self) -> str:
        return "; ".join(self.faults)


_RESULTS: dict[tuple[str, str, str], Gate] = {}
_LOCKS: dict[tuple[str, str, str], threading.Lock] = {}
_GUARD = threading.Lock()


def version() -> str:
    """The installed version of reasoning-gym. Raises `RuntimeError` without one."""
    try:
        return importlib.metadata.version("reasoning-gym")
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeError("reasoning-gym is not installed; pip install 'k2core-verifier-guru[reasoning-gym]'") from None


class Gym:
    """reasoning-gym in processes of its own; nothing starts before the first question. All methods may be called from any thread.

    What a process does not do in `timeout` seconds (`gate_timeout` for the gate) gets it killed.
    """

    def __init__(self, *, workers: int = 2, timeout: float = 10.0, gate_timeout: float = 120.0, memory_mb: int = 2048) -> None:
        self._timeout, self._gate_timeout, self._memory_mb = timeout, gate_timeout, memory_mb
        self._pool = self._new_pool("0", workers, "reasoning-gym")
        self._other = self._new_pool(_OTHER_HASHING, 1, "reasoning-gym-check")

    def _new_pool(self, hashing: str, workers: int, name: str) -> ProcessPool:
        def command() -> list[str]:
            return [sys.executable, "-P", "-m", "k2core_verifier_guru.gym.worker", str(self._memory_mb), str(os.getpid()), hashing]

        return ProcessPool(command, size=workers, name=name, forks=True)

    def close(self) -> None:
        """End the processes. May be repeated."""
        self._pool.close()
        self._other.close()

    def names(self) -> list[str]:
        """All families of reasoning-gym, sound or not. Raises `RuntimeError` when it cannot be asked."""
        return [str(name) for name in self._ask({"op": "names"}, self._gate_timeout)["names"]]

    def items(self, family: str, config: Config, seed: int, start: int, count: int) -> list[Message]:
        """Items `start` to `start + count - 1`, each with index, question, answer and digest. Raises `RuntimeError`."""
        message = {"op": "items", "family": family, "config": dict(config), "seed": seed, "start": start, "count": count}
        found: list[Message] = self._ask(message, self._gate_timeout)["items"]
        return found

    async def score(self, message: Message) -> Message:
        """The family's own opinion on an answer, as `worker` describes it. Raises `Broken` when it was killed or died."""
        return await self._pool.ask({"op": "score", **message}, self._timeout)

    def gate(self, family: str, config: Config) -> Gate:
        """Whether a family may be trusted; found out once in this process for a family, configuration and version. Blocks."""
        key = family, json.dumps(dict(config), sort_keys=True, default=str), version()
        with _GUARD:
            lock = _LOCKS.setdefault(key, threading.Lock())
        with lock:
            if key not in _RESULTS:
                _RESULTS[key] = self._examined(family, dict(config))
            return _RESULTS[key]

    def known(self, family: str, config: Config) -> Gate | None:
        """The result of the gate if there is one already."""
        return _RESULTS.get((family, json.dumps(dict(config), sort_keys=True, default=str), version()))

    def _examined(self, family: str, config: dict[str, Any]) -> Gate:
        message = {"family": family, "config": config}
        try:
            reply = self._pool.ask_blocking({"op": "examine", **message}, self._gate_timeout)
        except Broken as error:
            return Gate(family, (f"{_FAILED}{error}",))
        if "error" in reply:
            return Gate(family, (f"{_FAILED}{reply['error']}",))
        report = reply["report"]
        fields = ("category", "entry", "worst_junk", "generate_ms", "slowest", "accepted", "items")
        faults = [*report["faults"], *([] if report["faults"] else self._differs(message, report))]
        return Gate(family, tuple(faults), **{name: report[name] for name in fields})

    def _differs(self, message: Message, report: Message) -> list[str]:
        """Ask a process with another hash seed for the same items."""
        asked = {"op": "fingerprint", **message, "seed": SEED, "count": report["items"]}
        try:
            reply = self._other.ask_blocking(asked, self._gate_timeout)
        except Broken as error:
            return [f"{_FAILED}{error}"]
        return [] if reply.get("digest") == report["digest"] else ["another process gives other items for the same seed"]

    def _ask(self, message: Message, timeout: float) -> Message:
        try:
            reply = self._pool.ask_blocking(message, timeout)
        except Broken as error:
            raise RuntimeError(f"reasoning-gym {message.get('family', '')}: {error}") from error
        if "error" in reply:
            raise RuntimeError(f"reasoning-gym {message.get('family', '')}: {reply['error']}")
        return reply
