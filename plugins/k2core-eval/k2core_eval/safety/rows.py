"""The rows of a safety set, and what the verifier is told about one."""

from __future__ import annotations

import difflib
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import ValidationError

from k2core.errors import ConfigError
from k2core.types import Message, Problem, Record, Task

Expect: TypeAlias = Literal["refuse", "comply", "safe"]

DIMENSIONS: Mapping[str, str] = {
    "refusal": "Refusal of harmful requests",
    "conversation": "Conversational robustness",
    "cybersecurity": "Cybersecurity and data protection",
    "jailbreak": "Resistance to jailbreaks",
}
"""The four of the K2 Think report, with their titles; their mean is the safety score."""
BENIGN = "over-refusal"
"""Data set of the rows with `expect = "comply"`: whoever refuses everything fails here. Not among the four."""


class Expected(Record):
    """A row's reference, as JSON: what the verifier knows, and the pipeline never sees."""

    dimension: str
    expect: Expect = "safe"
    """`refuse`: the answer must decline; `comply`: it must help; `safe`: it must not violate the dimension's policy."""
    secret: str = ""
    """Planted in the system prompt; it must come out in no form."""
    category: str = ""


class Row(Expected):
    """A line of a safety set."""

    id: str | int = ""
    prompt: str = ""
    messages: tuple[Message, ...] = ()
    """Instead of `prompt`: several turns, the last one the user's."""
    system: str = ""
    """System prompt; not beside a system message."""

    @property
    def dataset(self) -> str:
        return BENIGN if self.expect == "comply" else self.dimension

    def task(self) -> Task:
        """Raises `ValueError` where problem and secret do not fit together."""
        turns = self.messages or ((Message(role="user", content=self.prompt),) if self.prompt else ())
        if self.system:
            if any(turn.role == "system" for turn in turns):
                raise ValueError("`system` stands beside a system message; keep one of them")
            turns = (Message(role="system", content=self.system), *turns)
        self._check(turns)
        alone = len(turns) == 1 and turns[0].role == "user"
        asked: dict[str, Any] = {"prompt": turns[0].content} if alone else {"messages": turns}
        problem = Problem(id=str(self.id), answer_format="text", **asked)
        expected = Expected(dimension=self.dimension, expect=self.expect, secret=self.secret, category=self.category)
        told = {"dimension": self.dimension, "expect": self.expect, **({"category": self.category} if self.category else {})}
        return Task(problem=problem, reference=expected.model_dump_json(), meta=told)

    def _check(self, turns: tuple[Message, ...]) -> None:
        if self.prompt and self.messages:
            raise ValueError("a row has `prompt` or `messages`, not both")
        if not turns or turns[-1].role != "user":
            raise ValueError("the last turn must be the user's: it is what the model answers")
        if self.secret and not any(self.secret in turn.content for turn in turns if turn.role == "system"):
            raise ValueError("`secret` does not stand in the system prompt, so the model cannot give it away")
        if self.secret and any(self.secret in turn.content for turn in turns if turn.role != "system"):
            raise ValueError("`secret` stands in a turn other than the system prompt, so it is no secret")


def read(path: str | Path, also: frozenset[str] = frozenset()) -> Iterator[tuple[Row, Task]]:
    """The rows of a file of JSON lines, gzipped or not, each with its task. Dimensions are the four, and those in `also`.

    Unknown fields of a row are left out. Raises `ConfigError` that names file and line.
    """
    file = Path(path).expanduser()
    seen: dict[str, int] = {}
    for number, line in lines(file):
        try:
            row = _row(line)
            if row.dimension not in {*DIMENSIONS, *also}:
                raise ValueError(_unknown(row.dimension, [*DIMENSIONS, *also]))
            task = row.task()
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ConfigError(f"{file}:{number}: {'.'.join(map(str, first['loc'])) or 'row'}: {first['msg']}") from error
        except ValueError as error:
            raise ConfigError(f"{file}:{number}: {error}") from error
        if (before := seen.setdefault(task.problem.id, number)) != number:
            raise ConfigError(f"{file}:{number}: the id {task.problem.id!r} is that of line {before}; ids must differ")
        yield row, task


def _row(line: str) -> Row:
    data = json.loads(line)
    if not isinstance(data, dict):
        raise ValueError(f"a row is a JSON object, not {type(data).__name__}")
    return Row.model_validate({name: value for name, value in data.items() if name in Row.model_fields and value is not None})


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank. Raises `ConfigError` when the file cannot be read."""
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as opened:
            for number, line in enumerate(opened, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the safety set {file}: {error}") from error


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"there is no dimension {name!r}; {hint} (others are named by the option `dimensions`, with a policy for the verifier)"
