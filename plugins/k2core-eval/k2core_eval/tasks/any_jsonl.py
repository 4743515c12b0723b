"""The task source `jsonl`: any file with a problem and an answer a row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from k2core.errors import ConfigError
from k2core.plugin import Plugin, hookimpl
from k2core.toolkit.benchmark import AnswerFormat, Benchmark, Grader, Source
from k2core.types import Message, Task

from .entry import fill, identity, posed, written
from .rows import ANSWERS, IDS, PROBLEMS, Row, read
from .science import CHOICE, LETTERS, choices, laid_out
from .stream import Selection, limited, tasks

GRADERS = {"code": "code", "logic": "logic", "simulation": "simulation", "tabular": "tabular"}
"""The verifier by the first row's domain, where none is configured; all else is the math verifier's."""
_OWN = ("domain", "answer_format", "messages", "choices", "options", "split")


class JsonlConfig(Selection):
    """How the file's rows are read, graded and shown."""

    path: str = ""
    """The file; then the data set's name is free. JSON lines, gzipped or not, or parquet."""
    data: str = ""
    """Folder that a file's name is relative to, if it is not there without it."""
    problem_field: str = ""
    """Field with the problem; empty: the first there is of problem, question, prompt and the like."""
    answer_field: str = ""
    """Field with the reference; empty: the first there is of answer, gold, final_answer and the like."""
    id_field: str = ""
    """Field with the id; empty: the first there is of id, unique_id, question_id and the like, else the row's index."""
    prompt: str = ""
    """Template of the prompt; `{problem}`, `{options}` and fields of the row in braces, but for those that hold the answer."""
    domain: str = "math"
    """Of rows that name none."""
    answer_format: Literal["boxed", "tag", "choice", "number", "text", "code", "json"] = "boxed"
    """Of rows that name none."""
    meta_fields: tuple[str, ...] = ()
    """Fields that go with the problem to the pipeline; any field may hold a solution, so by default none does."""
    grader: str = ""
    """Verifier that grades; empty: by the first row's domain, `code` for code, `logic` for logic, else `math`."""
    grader_options: Mapping[str, Any] = {}
    """Its options."""
    reference: bool = True
    """Every row must hold a reference; false: those without one are put and cannot be graded."""
    publish: bool = True
    """Whether reports may show problems, answers and completions."""
    licence: str = ""
    """For the record."""


class JsonlTasks(Plugin):
    """Problems of a file; the data set's name is its path."""

    config: JsonlConfig

    @hookimpl
    def k2_tasks(self, name: str, split: str, limit: int | None, seed: int) -> Iterator[Task]:
        """In the file's order. Raises `ConfigError`: no file, a row that does not fit, with its line, an id that occurs twice."""
        path = self._path(name)
        convert = partial(_task, config=self.config, name=_stem(path))
        return limited(tasks(lambda: read(path), convert, self.config, split, seed), limit)

    def benchmark(self, name: str) -> Benchmark:
        """A card made of the options, and of the file's first row. Raises `ConfigError` when it cannot be read."""
        config, path = self.config, self._path(name)
        first = next(read(path), None)
        task = first and _task(first, config, _stem(path))
        domain = task.problem.domain if task else config.domain
        grader = Grader(use=config.grader or GRADERS.get(domain, "math"), options=config.grader_options)
        return Benchmark(
            name=f"jsonl:{name}",
            title=path.name,
            domain=domain,
            answer_format=task.problem.answer_format if task else config.answer_format,
            prompt=config.prompt or "{problem}",
            grader=grader,
            source=Source(files=(path.name,)),
            licence=config.licence,
            publish=config.publish,
            window=(config.since, config.until),
        )

    def _path(self, name: str) -> Path:
        path = Path(self.config.path or name).expanduser()
        found = path if path.is_file() or not self.config.data else Path(self.config.data).expanduser() / path
        if not found.is_file():
            raise ConfigError(
                f"there is no file {found}; name one as jsonl:FILE, or by the option path", f"{self.path or 'tasks.jsonl'}.path"
            )
        return found


def _task(row: Row, config: JsonlConfig, name: str) -> Task:
    problems, answers = _names(config.problem_field, PROBLEMS), _names(config.answer_field, ANSWERS)
    ids = _names(config.id_field, IDS)
    kind = _format(row, config)
    options, reference = "", None
    if row.data.get("choices") or row.data.get("options"):
        listed, right = choices(row, answers)
        reference, options, kind = LETTERS[right], laid_out(listed), "choice"
    else:
        found = row.need(answers, "answer") if config.reference else row.find(answers)
        reference = None if found is None else written(found)
    shown = _shown(row, config, problems, options)
    meta = {name: row.data[name] for name in config.meta_fields if name in row.data}
    domain = str(row.data.get("domain") or config.domain)
    problem = posed(row, id=identity(row, name, ids), domain=domain, answer_format=kind, meta=meta, **shown)
    return Task(problem=problem, reference=reference, meta=row.rest((*problems, *answers, *ids, *_OWN)))


def _shown(row: Row, config: JsonlConfig, problems: tuple[str, ...], options: str) -> dict[str, Any]:
    """The prompt, or the chat where the row holds one."""
    value = row.data.get("messages") or row.need(problems, "problem")
    if isinstance(value, list):
        try:
            return {"messages": tuple(Message.model_validate(turn) for turn in value)}
        except ValueError as error:
            raise ConfigError(f"{row.where}: no list of messages with role and content: {error}") from error
    if not isinstance(value, str):
        raise ConfigError(f"{row.where}: the problem must be text or a list of messages, not {value!r:.60}")
    template = config.prompt or (CHOICE if options else "{problem}")
    return {"prompt": fill(template, {**_fields(row, config), "problem": value, "options": options})}


def _fields(row: Row, config: JsonlConfig) -> dict[str, str]:
    """The row's fields for the template. Raises `ConfigError` for a template that asks for the answer."""
    hidden = {*_names(config.answer_field, ANSWERS), "solution", "rationale"}
    if asked := [name for name in hidden if f"{{{name}}}" in config.prompt]:
        raise ConfigError(f"{row.where}: the prompt's template shows {', '.join(asked)}, which is or holds the answer", "prompt")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.data.items() if name not in hidden}


def _format(row: Row, config: JsonlConfig) -> AnswerFormat:
    kind: AnswerFormat = row.data.get("answer_format") or config.answer_format
    if kind not in get_args(AnswerFormat):
        raise ConfigError(f"{row.where}: answer_format must be one of {', '.join(get_args(AnswerFormat))}, not {kind!r:.40}")
    return kind


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _names(field: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    return (field,) if field else usual
