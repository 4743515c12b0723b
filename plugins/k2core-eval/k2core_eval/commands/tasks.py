"""`k2 eval tasks`: which tasks there are, and what one of them is."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k2core.toolkit.benchmark import Benchmark
    from k2core.types import Task

    from ..tasks.listing import Listed

COLUMNS = ("name", "problems", "domain", "grader", "publish", "available", "title")
_LONGEST = 60


def add(subparsers: Any) -> None:
    about = (
        "List the installed tasks and where their data are; with NAME, all of its card, and two examples where they may be shown."
    )
    parser = subparsers.add_parser("tasks", help="list the tasks, or describe one", description=about)
    parser.add_argument("name", metavar="NAME", nargs="?", help="such as gsm8k, reasoning-gym:basic_arithmetic, or a file")
    parser.add_argument("--config", metavar="FILE", help="pipeline whose tables under [tasks] count")
    parser.add_argument(
        "--set", metavar="PATH=VALUE", action="append", default=[], help="such as tasks.gsm8k.path=FILE; repeatable"
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder with local copies of data sets")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    from ..tasks.listing import described, examples, listed

    configured = _configured(args.config, args.set)
    if args.name is None:
        found = listed(configured, args.data)
        print(json.dumps([_plain(one) for one in found], indent=2) if args.json else table(found))
        return 0
    one = described(args.name, configured, args.data)
    shown = _examples(lambda: examples(args.name, configured, args.data))
    if args.json:
        print(json.dumps({**_plain(one), "examples": [task.problem.text for task in shown]}, indent=2))
    else:
        print(sheet(one, shown))
    return 0


def _configured(config: str | None, changes: list[str]) -> dict[str, Any]:
    """The tables of `[tasks]`, of a file and of `--set`. Nothing else of the pipeline is looked at."""
    from k2core.config import PipelineConfig

    changes = [change for change in changes if change.startswith("tasks.")]
    pipeline = PipelineConfig.from_file(config, changes) if config else PipelineConfig.from_dict({}, changes)
    return dict(pipeline.tasks)


def _examples(find: Any) -> list[Task]:
    """None where they cannot be had, and why: describing a task must not fail for want of its data."""
    from k2core.errors import K2Error

    try:
        found: list[Task] = find()
    except K2Error as error:
        print(f"k2: no examples: {error}", file=sys.stderr)
        return []
    return found


def _plain(one: Listed) -> dict[str, Any]:
    return one.model_dump(mode="json", exclude_none=True)


def table(found: list[Listed]) -> str:
    """The list, a line a task."""
    rows = [COLUMNS, *(_cells(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS) - 1)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows]
    return "\n".join([*lines, "", "`k2 eval tasks NAME` shows the whole card; a file of JSON lines is a task, too: FILE.jsonl"])


def _cells(one: Listed) -> tuple[str, ...]:
    card = one.card
    if card is None:
        return (one.name, "", "", "", "", _short(one.available), _short(one.title))
    size = "" if card.size is None else str(card.size)
    publish = "yes" if card.publishable else "no"
    return (one.name, size, card.domain, card.grader.use, publish, _short(one.available), _short(card.title or one.title))


def _short(text: str) -> str:
    return (
        text if len(text) <= _LONGEST else f"…{text[-_LONGEST + 1 :]}" if text.startswith("local") else f"{text[: _LONGEST - 1]}…"
    )


def sheet(one: Listed, shown: list[Task]) -> str:
    """A card in full."""
    assert one.card is not None  # only listed sources lack one
    lines = [f"{label:13} {value}" for label, value in _facts(one, one.card) if value]
    lines += [f"{'published':13} {score.score:g} % {score.system}: {score.source}" for score in one.card.published]
    lines += [f"{'prompt':13} {one.card.prompt!r}"] if one.card.prompt else []
    for number, task in enumerate(shown, 1):
        lines += ["", f"Example {number}, {task.problem.id}:", "", task.problem.text]
    if not one.card.publishable:
        lines += ["", "Its texts are not shown: its licence or its authors forbid it."]
    return "\n".join(lines)


def _facts(one: Listed, card: Benchmark) -> list[tuple[str, str]]:
    source, options = card.source, ", ".join(f"{key} = {value}" for key, value in card.grader.options.items())
    first, last = (day.isoformat() if day else "…" for day in card.window)
    pinned = f"{source.hub} @ {source.revision or 'no revision'}" if source.hub else ""
    return [
        ("name", one.name),
        ("title", card.title),
        ("about", one.about),
        ("problems", "" if card.size is None else str(card.size)),
        ("window", f"{first} to {last}" if any(card.window) else ""),
        ("domain", card.domain),
        ("answer format", card.answer_format),
        ("grader", f"{card.grader.use} ({options})" if options else card.grader.use),
        ("data", one.available),
        ("hub", " ".join(filter(None, [pinned, source.subset, source.split])) if pinned else ""),
        ("local names", ", ".join(source.files)),
        ("licence", card.licence),
        ("publish", "yes" if card.publishable else "no: reports name its problems by id only"),
        ("citation", card.citation),
    ]
