"""What the kernel offers to plugins: the `Run` of one problem, the `Call` a hook wraps, the `Session` of a trainer."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypedDict, Unpack

from .events import Event
from .types import Candidate, Completion, DecodeRequest, Plan, Problem, Result, Usage, Verdict


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()
"""Value of `Call.result` until the role has answered or a hook has short-circuited it."""


@dataclass(slots=True)
class Call:
    """One role call, as `k2_around` sees it. Set `result` on the way in to answer in the plugin's place."""

    id: str
    role: str
    """`planner`, `sampler`, `verifier` or `decoder`."""
    plugin: str
    """Configuration path of the plugin, such as `decoders.solver`."""
    args: Mapping[str, Any]
    """Arguments of the hook but for `run`: `problem`, `plan`, `candidates`, `request`, …"""
    result: Any = UNSET
    reserve: int = 0
    """Decoder calls only: the most tokens, prompt included, that the call can use."""
    reserve_cost: float = 0.0
    """Decoder calls only: the price of `reserve` by the pipeline's `[prices]`."""
    usage: Usage = field(default_factory=Usage)
    """Decoder calls only: exact once the inner block has ended, whether it was served, failed or was cancelled."""


class Counts(TypedDict, total=False):
    """What a decoder may count of a call, over all choices, as in `Usage`; None leaves a count as it is. `unsent` is 1 or 0."""

    prompt_tokens: int | None
    completion_tokens: int | None
    drafted: int | None
    accepted: int | None
    unsent: int | None


class Run(Protocol):
    """One problem on its way through the pipeline. Every plugin gets one; all its methods are for the loop's thread."""

    @property
    def id(self) -> str: ...
    @property
    def problem(self) -> Problem: ...
    @property
    def seed(self) -> int:
        """The run's seed; drawn at random, and recorded, when the caller gave none."""

    @property
    def state(self) -> dict[str, Any]:
        """Of the calling plugin's own, from call to call, for as long as the run lives; no plugin sees another's."""

    @property
    def usage(self) -> Mapping[str, Usage]:
        """Spent by this run until now, by request role."""

    @property
    def hurry(self) -> bool:
        """True once the soft deadline has passed: answer with what you have."""

    async def wait_hurry(self) -> None:
        """Return when the soft deadline passes; never, when there is none."""

    def remaining(self) -> float | None:
        """Seconds until the hard time-out, or None without one."""

    def seed_for(self, *parts: object) -> int:
        """A seed in 0..2**31-1 derived from the run's seed and `parts`: the same parts, the same seed."""

    async def plan(self, problem: Problem | None = None) -> Plan | None:
        """The plan for the problem. Asks the planner once a run, or each time under `plan = "sample"`."""

    async def decode(self, request: DecodeRequest) -> Sequence[Completion]:
        """The only door to a model: exactly `request.n` completions, counted in the ledger, retried when transient."""

    async def verify(
        self, candidates: Sequence[Candidate], reference: str | None = None, *, only: str | None = None
    ) -> Sequence[Verdict]:
        """The verdicts of all verifiers, or of the one under `[verifiers.<only>]`; remembered, so asking twice costs once."""

    def delta(self, text: str, index: int = 0, *, reasoning: bool = False, tokens: int = 1) -> None:
        """For decoders, while serving a call: choice `index` has grown by `text`, which took `tokens` tokens."""

    def meter(self, *, estimated: bool = False, **counts: Unpack[Counts]) -> None:
        """For decoders, while serving a call: counts so far, over all choices; `estimated` marks them. May be called again."""

    def emit(self, event: Event) -> None:
        """Tell the observers; `run_id` and `at` are filled in."""

    def warn(self, where: str, message: str) -> None:
        """Report a trouble that does not stop the run."""


class Session(Protocol):
    """What a trainer works with: runs that it opens itself."""

    effective: Mapping[str, Any]
    """The whole pipeline's configuration with every default filled in, as plain JSON types."""

    def open(self, problem: Problem, *, seed: int | None = None) -> AbstractAsyncContextManager[Run]:
        """A run on `problem`, for `decode` and `verify`; leaving the block settles its usage."""

    async def solve(self, problem: Problem, *, seed: int | None = None) -> Result:
        """The whole pipeline's answer, as it would serve it: for measuring on the way. Raises what a request raises."""

    async def load_weights(self, decoder: str, weights: Mapping[str, Any] | str) -> None:
        """Give `[decoders.<decoder>]` other weights of its model: by parameter name, or a folder of safetensors.

        Decoding that begins after this has returned uses them. Raises `ConfigError` where there is no such decoder or it takes
        no weights, `PluginError` where these are not its model's.
        """

    def emit(self, event: Event) -> None: ...


class Commands(Protocol):
    """Where `k2_commands` adds commands; `argparse`'s sub-parsers are one."""

    def add_parser(self, name: str, *, help: str, description: str = ...) -> argparse.ArgumentParser:
        """Add a command. Its parser must `set_defaults(run=f)` with `f(args) -> int`, the exit status."""
