"""One rescoring, from a finished evaluation's folder to another one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from k2core.errors import ConfigError
from k2core.registry import Registry

from ..records import Manifest, SampleId
from ..running.evaluate import Ended, evaluate
from ..running.executor import Executor
from ..running.seeds import Seeds
from ..running.settings import Settings
from ..store.folder import SAMPLES, Folder
from .changes import Changed, changed
from .dealing import Deal, Source, pooled, short_of
from .executor import StoredExecutor
from .serving import Stage
from .stored import Stored
from .tasks import tables


@dataclass(frozen=True)
class Wish:
    """What is to be rescored, and how."""

    source: Path
    out: Path
    overrides: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    repeats: int | None = None
    seed: int = 0
    """Of the dealing of pooled candidates."""
    label: str = ""
    allow_calls: bool = False
    concurrency: int = 16


@dataclass(frozen=True)
class Rescored:
    """What came of it."""

    ended: Ended
    deal: Deal
    recorded: int
    """Repeats of the source."""
    replanned: bool
    """Whether pooled candidates were charged a plan each, as they were drawn under different ones."""
    calls: int
    """New calls to models, and the tokens of their completions."""
    tokens: int


class Rescoring:
    """Everything is checked when it is made, before anything is written. Raises `ConfigError`."""

    def __init__(self, wish: Wish, registry: Callable[[], Registry] = Registry) -> None:
        self.wish, self.folder, self._new_registry = wish, Folder(wish.source), registry
        self.manifest = self.folder.manifest()
        if Path(wish.out).resolve() == Path(wish.source).resolve():
            raise ConfigError("name another folder than the one that is rescored", "--out")
        self._stored, self._source = Stored.of(self.folder), Source.of(self.folder.samples())
        self.recorded = max(task.repeats for task in self.manifest.tasks)
        self._complete()
        self.replanned = False
        self.changed = self._changed()
        self.deal = self._deal()

    def _complete(self) -> None:
        expected = sum(task.problems * task.repeats for task in self.manifest.tasks)
        if (found := len(self._source.counts)) < expected:
            raise ConfigError(f"{self.folder.path} has {found} of {expected} samples; finish it first with the same k2 eval run")

    def _changed(self, *, plan_each: bool = False) -> Changed:
        wish, self._stage = self.wish, Stage()
        changes = (wish.overrides, wish.without, self._stage, self._new_registry)
        return changed(self.manifest, *changes, allow_calls=wish.allow_calls, plan_each=plan_each)

    def _deal(self) -> Deal:
        wanted, asked = self.changed.wanted, self.wish.repeats
        short = short_of(self._source, self._stored, wanted)
        deal = Deal(self.recorded) if short is None else pooled(self._source, wanted, self.wish.seed)
        if asked is not None and not 1 <= asked <= deal.repeats:
            raise ConfigError(f"must be from 1 to {deal.repeats}, for which there are stored candidates", "--repeats")
        if deal.pooled and self._source.planned_apart:
            self._plan_each()
        return replace(deal, repeats=asked or deal.repeats)

    def _plan_each(self) -> None:
        """Pooled candidates keep the plans under which they were drawn, one each."""
        if self.manifest.config.get("plan") == "sample":
            raise ConfigError(
                "candidates that had a plan each cannot be pooled over repeats; ask for no more than each sample has", "sampler.n"
            )
        self.replanned, self.changed = True, self._changed(plan_each=True)

    async def run(self) -> Rescored:
        """Raises `ConfigError` when something is asked for that nothing is stored for, else as `evaluate`."""
        try:
            ended = await evaluate(self._settings(), self.changed.registry, self._executor(), self._origin())
        except BaseExceptionGroup as several:
            raise _first(several) from several
        return Rescored(ended, self.deal, self.recorded, self.replanned, self._stage.calls, self._stage.tokens)

    def _settings(self) -> Settings:
        names = tuple(task.name for task in self.manifest.tasks)
        return Settings(
            tasks=names,
            out=self.wish.out,
            config=self.changed.config,
            grading=self.changed.grading,
            sources=tables(self.folder, names),
            label=self.wish.label or _label(self.manifest, self.wish),
            seed=self.manifest.seed,
            repeats=self.deal.repeats,
            concurrency=self.wish.concurrency,
            patience=0.0,
        )

    def _executor(self) -> Executor:
        parts = (self._stage, self._stored, self.deal, self._seeds(), self._source.lost)
        return StoredExecutor(self.changed.served, self.changed.serving, *parts)

    def _seeds(self) -> dict[int, SampleId]:
        """The new samples by their seeds, which are those that they had where they stay themselves."""
        seeds, found = Seeds(self.manifest.seed), dict[int, SampleId]()
        for task in sorted(self.manifest.tasks, key=lambda task: task.name):
            for place in range(task.problems):
                name = self._source.names[task.name, place]
                for repeat in range(self.deal.repeats):
                    found[seeds.next(task.name, name, repeat)] = SampleId(task.name, place, repeat)
        return found

    def _origin(self) -> str:
        with self.folder.file(SAMPLES).open("rb") as file:
            told = f"rescored from samples.jsonl with SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
        if self.deal.pooled:
            told += f"; candidates pooled over repeats, dealt by seed {self.wish.seed}"
        return told + ("; a plan for each candidate" if self.replanned else "")


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = several.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _label(manifest: Manifest, wish: Wish) -> str:
    changes = ", ".join([*wish.overrides, *(f"without {path}" for path in wish.without)])
    return " ".join(filter(None, [manifest.label, f"rescored: {changes}" if changes else "rescored"]))
