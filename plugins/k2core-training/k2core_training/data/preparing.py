"""All that happens to training rows before the first step: read, looked through, rendered, cut, written; and what was left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..gate import SAMPLED, Gate
from ..packing import TokenSequence
from ..saving import recover, replacing
from .chats import Chat, Unusable, chat_of
from .config import DataOptions, GateOptions
from .prepared import Prepared, Writer
from .rendering import Renderer, shortened
from .rows import expand, rows
from .skips import Skips

CHUNK = 256
"""Rows that are worked on together."""

Verify = Callable[[Sequence[Chat]], list[tuple[str, str]]]
"""Of each chat why it is to be left out, and more; see `verifying.faults`."""


@dataclass(frozen=True)
class Where:
    """Configuration paths, for errors: of the files, and of the tables with the other options."""

    files: str = "trainer.data.files"
    data: str = "trainer.data"
    gate: str = "trainer.gate"
    share: str = "trainer.validation.share"
    """The option that says how much is held out."""


@dataclass(frozen=True)
class Sources:
    """What to prepare, and with what."""

    data: DataOptions
    gate: GateOptions
    renderer: Renderer
    verify: Verify | None
    held_out: float = 0.0
    """Share of the chats that go into the second set, all with one question together."""
    seed: int = 0
    excluded: frozenset[bytes] = frozenset()
    """Keys of chats that are trained on elsewhere, and left out here."""
    where: Where = Where()


class Preparing:
    """One pass over the rows."""

    def __init__(self, sources: Sources, skips: Skips, check: Callable[[], None]) -> None:
        """`check` is called between chunks, and may raise to stop."""
        self._sources, self.skips, self._check = sources, skips, check
        self._files = expand(sources.data.files, sources.where.files)
        self._gate: Gate | None = None
        if sources.gate.tasks or sources.gate.files:
            sample = islice((chat.text for chat in self._chats(Skips())), SAMPLED)
            self._gate = Gate(sources.gate, list(sample), sources.where.gate)

    def samples(self) -> Iterator[tuple[Chat, list[TokenSequence]]]:
        """The chats that stay, as many as `limit` says, each with its sequences."""
        return islice(self._samples(), self._sources.data.limit or None)

    def _samples(self) -> Iterator[tuple[Chat, list[TokenSequence]]]:
        usable = self._chats(self.skips)
        while chunk := list(islice(usable, CHUNK)):
            self._check()
            yield from self._rendered(self._verified(self._clean(chunk)))

    def _chats(self, skips: Skips) -> Iterator[Chat]:
        options, seen = self._sources.data, set[bytes]()
        for row in rows(self._files, self._sources.where.files):
            if row.fault:
                skips.add(row.fault, row.place, row.detail)
                continue
            try:
                chat = chat_of(row.value, row.place, options)
            except Unusable as error:
                skips.add(str(error), row.place, error.detail)
                continue
            key = chat.key
            if key in self._sources.excluded:
                skips.add("in the training data", row.place)
            elif options.duplicates == "skip" and key in seen:
                skips.add("duplicate", row.place)
            else:
                seen.add(key)
                yield chat

    def _clean(self, chats: list[Chat]) -> list[Chat]:
        if self._gate is None:
            return chats
        kept, gate = [], self._sources.where.gate
        for chat, found in zip(chats, self._gate.found([chat.text for chat in chats]), strict=True):
            if not found:
                kept.append(chat)
            elif self._sources.gate.found == "refuse":
                raise TrainingError(
                    f"{chat.place} holds a problem of the evaluation: {found}. Take such rows out, leave them out with "
                    f'{gate}.found = "drop", or, where it is a change of the problem on purpose, look at {gate}.other_numbers'
                )
            else:
                self.skips.add("contaminated", chat.place, found)
        return kept

    def _verified(self, chats: list[Chat]) -> list[Chat]:
        if self._sources.verify is None or not chats:
            return chats
        kept = []
        for chat, (reason, detail) in zip(chats, self._sources.verify(chats), strict=True):
            if reason:
                self.skips.add(reason, chat.place, detail)
            else:
                kept.append(chat)
        return kept

    def _rendered(self, chats: list[Chat]) -> Iterator[tuple[Chat, list[TokenSequence]]]:
        """The chats that have sequences which are not too long, with these."""
        for chat, made in zip(chats, self._sources.renderer.sequences(chats), strict=True):
            if isinstance(made, Unusable):
                self.skips.add(str(made), chat.place, made.detail)
            elif fitting := [fit for sequence in made if (fit := self._fit(sequence, chat.place))]:
                yield chat, fitting

    def _fit(self, sequence: TokenSequence, place: str) -> TokenSequence | None:
        options = self._sources.data
        if len(sequence.ids) <= options.max_length:
            return sequence
        fit = shortened(sequence, options.max_length) if options.over_long == "truncate" else None
        if fit is None:
            self.skips.add("over-long", place, f"{len(sequence.ids):,} tokens")
        return fit


def prepare(folder: Path, sources: Sources, check: Callable[[], None]) -> tuple[Prepared, Prepared]:
    """The training set and the held-out set in `folder/train` and `folder/held-out`, as an earlier call left them, or made now.

    Raises `TrainingError` when nothing is left, when a row is refused, or when the files have changed since; `ConfigError` for
    files that are not there; what `check` raises.
    """
    recover(folder)
    mark = fingerprint(sources)
    if not (folder / "train" / "about.json").is_file():
        with replacing(folder) as scratch:
            _make(scratch, sources, mark, check)
    made = Prepared(folder / "train")
    if made.about["fingerprint"] != mark:
        raise TrainingError(f"the data or their options are not those that {folder} was made of; choose another folder to train in")
    return made, Prepared(folder / "held-out")


def _make(folder: Path, sources: Sources, mark: str, check: Callable[[], None]) -> None:
    skips, where = Skips(sources.data.strict, sources.where.data), sources.where
    work = Preparing(sources, skips, check)
    with ExitStack() as stack:
        train, held = (stack.enter_context(Writer(_made(folder / name))) for name in ("train", "held-out"))
        for chat, sequences in work.samples():
            side = held if _is_held(chat, sources) else train
            for sequence in sequences:
                side.add(sequence, chat)
        if not train.targets:
            out = [f"{held.sequences:,} held out by {where.share} = {sources.held_out:g}"] if held.sequences else []
            why = "; ".join([*out, *skips.told()]) or "the files are empty"
            raise TrainingError(f"{where.files}: no row is left: {why}")
        about = {"fingerprint": mark, "skips": skips.state()}
        train.close(about)
        held.close(about)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _is_held(chat: Chat, sources: Sources) -> bool:
    """By what is asked, so that all answers to it are always on the same side."""
    if not sources.held_out:
        return False
    digest = hashlib.blake2b(chat.question, digest_size=8, key=f"held-out {sources.seed}".encode()).digest()
    return int.from_bytes(digest, "big") < sources.held_out * 2**64


def fingerprint(sources: Sources) -> str:
    """Of the options, and of the files' names, sizes and times of change."""
    files: list[Any] = []
    for path in expand(sources.data.files, sources.where.files):
        state = path.stat()
        files.append([str(path), state.st_size, state.st_mtime_ns])
    named = [sources.data.model_dump(mode="json"), sources.gate.model_dump(mode="json"), sources.held_out, sources.seed, files]
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
