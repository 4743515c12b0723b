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
class Sources:
    """What to prepare, and with what."""

    data: DataOptions
    gate: GateOptions
    renderer: Renderer
    verify: Verify | None
    held_out: float = 0.0
    """Share of the chats that go into the second set."""
    seed: int = 0
    excluded: frozenset[bytes] = frozenset()
    """Keys of chats that are elsewhere, and count as duplicates here."""


class Preparing:
    """One pass over the rows."""

    def __init__(self, sources: Sources, skips: Skips, check: Callable[[], None]) -> None:
        """`check` is called between chunks, and may raise to stop."""
        self._sources, self.skips, self._check = sources, skips, check
        self._files = expand(sources.data.files)
        self._gate: Gate | None = None
        if sources.gate.tasks or sources.gate.files:
            quiet = Skips()
            sample = islice((chat.text for chat in self._chats(quiet, set())), SAMPLED)
            self._gate = Gate(sources.gate, list(sample))
        self.keys: set[bytes] = set()

    def chats(self) -> Iterator[list[Chat]]:
        """What stays, in portions."""
        usable = self._chats(self.skips, self.keys)
        left = self._sources.data.limit or None
        while chunk := list(islice(usable, CHUNK)):
            self._check()
            kept = self._verified(self._clean(chunk))
            if left is not None:
                kept = kept[:left]
                left -= len(kept)
            yield kept
            if left == 0:
                return

    def _chats(self, skips: Skips, seen: set[bytes]) -> Iterator[Chat]:
        options = self._sources.data
        for row in rows(self._files):
            if row.fault:
                skips.add(row.fault, row.place, row.detail)
                continue
            try:
                chat = chat_of(row.value, row.place, options)
            except Unusable as error:
                skips.add(str(error), row.place, error.detail)
                continue
            key = chat.key
            if options.duplicates == "skip" and (key in seen or key in self._sources.excluded):
                skips.add("duplicate", row.place)
                continue
            seen.add(key)
            yield chat

    def _clean(self, chats: list[Chat]) -> list[Chat]:
        if self._gate is None:
            return chats
        kept = []
        for chat, found in zip(chats, self._gate.found([chat.text for chat in chats]), strict=True):
            if not found:
                kept.append(chat)
            elif self._sources.gate.found == "refuse":
                raise TrainingError(
                    f"{chat.place} holds a problem of the evaluation: {found}. Take such rows out, leave them out with "
                    'gate.found = "drop", or, where it is a change of the problem on purpose, look at gate.other_numbers'
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

    def sequences(self, chats: list[Chat]) -> Iterator[tuple[Chat, TokenSequence]]:
        """The chats' sequences that are not too long."""
        options = self._sources.data
        for chat, made in zip(chats, self._sources.renderer.sequences(chats), strict=True):
            if isinstance(made, Unusable):
                self.skips.add(str(made), chat.place, made.detail)
                continue
            for sequence in made:
                fit: TokenSequence | None = sequence
                if len(sequence.ids) > options.max_length:
                    fit = shortened(sequence, options.max_length) if options.over_long == "truncate" else None
                if fit is None:
                    self.skips.add("over-long", chat.place, f"{len(sequence.ids):,} tokens")
                else:
                    yield chat, fit


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
    skips = Skips(sources.data.strict)
    work = Preparing(sources, skips, check)
    with ExitStack() as stack:
        train, held = (stack.enter_context(Writer(_made(folder / name))) for name in ("train", "held-out"))
        for chats in work.chats():
            for chat, sequence in work.sequences(chats):
                (held if _is_held(chat, sources) else train).add(sequence, chat.place)
        if not train.targets:
            why = "; ".join(skips.told()) or "the files are empty"
            raise TrainingError(f"no row is left to train on: {why}")
        about = {"fingerprint": mark, "skips": skips.state()}
        train.close(about)
        held.close(about)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _is_held(chat: Chat, sources: Sources) -> bool:
    """By the chat itself, so that the same chat is always on the same side."""
    if not sources.held_out:
        return False
    digest = hashlib.blake2b(chat.key, digest_size=8, key=f"held-out {sources.seed}".encode()).digest()
    return int.from_bytes(digest, "big") < sources.held_out * 2**64


def fingerprint(sources: Sources) -> str:
    """Of the options, and of the files' names, sizes and times of change."""
    files: list[Any] = []
    for path in expand(sources.data.files):
        state = path.stat()
        files.append([str(path), state.st_size, state.st_mtime_ns])
    named = [sources.data.model_dump(mode="json"), sources.gate.model_dump(mode="json"), sources.held_out, sources.seed, files]
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
