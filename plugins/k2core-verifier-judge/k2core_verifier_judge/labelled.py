"""Labelled completions, and pairs of a right and a wrong one drawn from them."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .prompts import visible


@dataclass(frozen=True, slots=True)
class Labelled:
    """One completion; what the right answer is, the judge never learns."""

    pid: str
    problem: str
    completion: str
    correct: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A right and a wrong completion of one problem."""

    pid: str
    problem: str
    right: str
    wrong: str

    @property
    def longer(self) -> int:
        """1 when the right one is longer, -1 when the wrong one is, else 0."""
        return (len(self.right) > len(self.wrong)) - (len(self.right) < len(self.wrong))


def read(paths: Iterable[str]) -> list[Labelled]:
    """Rows of JSON-lines files, gzipped or not: `pid`, `problem`, `completion`, `correct`; those marked `ambiguous` are left out.

    Raises `ValueError` that names file and line.
    """
    return [row for path in paths for row in _rows(Path(path))]


def _rows(path: Path) -> Iterator[Labelled]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and (row := _labelled(line, f"{path}, line {number}")) is not None:
            yield row


def _labelled(line: str, where: str) -> Labelled | None:
    try:
        row: Any = json.loads(line)
        if row.get("ambiguous"):
            return None
        made = Labelled(str(row["pid"]), row["problem"], row["completion"], row["correct"])
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{where}: a row needs pid, problem, completion and correct: {error!r}") from error
    if not (isinstance(made.problem, str) and isinstance(made.completion, str) and isinstance(made.correct, bool)):
        raise ValueError(f"{where}: problem and completion are texts, and correct is true or false")
    return made


def draw(rows: Sequence[Labelled], limit: int | None, seed: int) -> list[Pair]:
    """One pair a problem, of problems that have both kinds, in an order drawn by `seed`. As far as it goes, the right completion
    is the longer one in half of the pairs, so that a liking for length helps nobody."""
    chance = random.Random(seed)
    problems: dict[str, list[Labelled]] = {}
    for row in rows:
        problems.setdefault(row.pid, []).append(row)
    order = sorted(problems)
    chance.shuffle(order)
    pairs: list[Pair] = []
    balance = 0
    for pid in order:
        if len(pairs) == limit:
            break
        if (pair := _pair(problems[pid], balance, chance)) is not None:
            pairs.append(pair)
            balance += pair.longer
    return pairs


def _pair(rows: Sequence[Labelled], balance: int, chance: random.Random) -> Pair | None:
    """Of all pairs one that brings `balance`, right ones longer minus wrong ones longer, nearer to zero."""
    rights = [visible(row.completion) for row in rows if row.correct]
    wrongs = [visible(row.completion) for row in rows if not row.correct]
    pairs = [Pair(rows[0].pid, rows[0].problem, right, wrong) for right in rights for wrong in wrongs if right != wrong]
    wanted = -1 if balance > 0 else 1 if balance < 0 else chance.choice((1, -1))
    chance.shuffle(pairs)
    return next((pair for pair in pairs if pair.longer == wanted), pairs[0] if pairs else None)


def digest(pairs: Sequence[Pair]) -> str:
    """Names the pairs that were judged."""
    text = json.dumps([(pair.pid, pair.right, pair.wrong) for pair in pairs])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
