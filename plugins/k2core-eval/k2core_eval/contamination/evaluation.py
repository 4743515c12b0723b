"""Where the problems of an evaluation come from: named tasks, files of rows, and the folders of evaluations."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from k2core.errors import ConfigError
from k2core.toolkit.benchmark import Benchmark

from ..records import Referenced
from ..store.folder import Folder
from .index import Item
from .rows import batches, parse_values, text_of

ASKED = ("problem", "question", "prompt", "query", "instruction", "input", "text", "messages", "conversations")
NAMES = ("id", "problem_id", "task_id", "unique_id", "question_id")
_FIELD = re.compile(r"\{\w+\}")


def from_tasks(names: Sequence[str], data: str | None = None, configured: Mapping[str, Any] | None = None) -> list[Item]:
    """The problems of named tasks, without what their prompt templates put around them. Raises `ConfigError`."""
    from ..scoring.loading import Problems

    with tempfile.TemporaryDirectory() as folder:
        problems = Problems(Path(folder) / "problems.jsonl")
        problems.load(list(names), configured or {}, data=data, limit=None, seed=0)
        cards = {name: loaded.card for name, loaded in problems.tasks.items()}
        with problems.path.open("rb") as file:
            return [_item(Referenced.model_validate_json(line), cards) for line in file]


def from_folder(path: str | Path) -> list[Item]:
    """The problems that an evaluation took. Raises `ConfigError` for a folder that holds none."""
    folder = Folder(path)
    cards = {task.name: task.card for task in folder.manifest().tasks}
    items = [_item(referenced, cards) for referenced in folder.problems()]
    if not items:
        raise ConfigError(f"{folder.path} names no problems: problems.jsonl is missing or empty")
    return items


def from_file(path: str | Path) -> list[Item]:
    """The problems of a file of rows, whose text is the first of `ASKED` that a row has. Raises `ConfigError`."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"{path}: there is no such file")
    return list(_rows(file, file.name.removesuffix(".gz").rsplit(".", 1)[0]))


def _rows(file: Path, task: str) -> Iterator[Item]:
    place = 0
    for batch in batches(file):
        rows, damaged = parse_values(batch)
        if damaged:
            raise ConfigError(damaged[0])
        for number, row in rows:
            text = _question(row)
            if not text.strip():
                raise ConfigError(f"{file}:{number} has no text under {', '.join(ASKED)}")
            name = (
                next((str(row[key]) for key in NAMES if row.get(key) is not None), str(number))
                if isinstance(row, dict)
                else str(number)
            )
            yield Item(task, place, name, text)
            place += 1


def _question(row: Any) -> str:
    if not isinstance(row, dict):
        return text_of(row)
    value = next((row[key] for key in ASKED if row.get(key)), "")
    if isinstance(value, list):
        asked = [turn for turn in value if isinstance(turn, dict) and (turn.get("role") or turn.get("from")) in ("user", "human")]
        return "\n\n".join(str(turn.get("content") or turn.get("value") or "") for turn in asked) or text_of(value)
    return text_of(value)


def _item(referenced: Referenced, cards: Mapping[str, Benchmark]) -> Item:
    card = cards.get(referenced.task)
    problem = referenced.problem
    text = bare(problem.text, card.prompt) if card else problem.text
    return Item(referenced.task, referenced.place, problem.id, text, card.publishable if card else False)


def bare(prompt: str, template: str) -> str:
    """A prompt without the template's words before its first and after its last field."""
    words = _FIELD.split(template)
    before, after = words[0], words[-1]
    if len(words) < 2 or not (prompt.startswith(before) and prompt.endswith(after)):
        return prompt
    inner = prompt[len(before) : len(prompt) - len(after)]
    return inner if inner.strip() else prompt
