"""`k2 eval contamination`: whether evaluation problems are in training data, and what that is worth."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..contamination.index import Item
    from ..contamination.scan import Progress


def add(subparsers: Any) -> None:
    about = (
        "Look for evaluation problems in training data: exact, the same but for layout and LaTeX, by shared 13-grams, and "
        "near-duplicates with other numbers or names or within longer text. With --run, say what the run scores on the clean "
        "and on the dirty part."
    )
    parser = subparsers.add_parser("contamination", help="look for evaluation problems in training data", description=about)
    train = "training data: files, folders or globs; JSON lines, JSON, parquet or plain text, also .gz"
    parser.add_argument("--train", metavar="DATA", nargs="+", action="extend", default=[], help=train)
    parser.add_argument("--eval", metavar="TASK", nargs="+", action="extend", default=[], help="tasks, as k2 eval tasks lists them")
    parser.add_argument(
        "--eval-file", metavar="FILE", nargs="+", action="extend", default=[], help="files of rows with problem, question or prompt"
    )
    run = "evaluations whose scores are split; without --eval and --eval-file their problems are what is looked for"
    parser.add_argument("--run", metavar="DIR", nargs="+", action="extend", default=[], dest="runs", help=run)
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the report goes, as JSON")
    parser.add_argument("--field", metavar="NAME", action="append", default=[], help="look only at this field; dotted; repeatable")
    parser.add_argument("--self", action="store_true", dest="itself", help="also look for duplicates within the evaluation")
    parser.add_argument("--data", metavar="DIR", help="folder with local copies of evaluation sets")
    parser.add_argument("--jobs", metavar="J", type=int, help="processes; default: one for each processor")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """The exit status is 0 whatever was found. Raises `ConfigError`."""
    from k2core.errors import ConfigError

    from ..contamination.rows import expand
    from ..contamination.scan import Part as Nothing
    from ..contamination.scan import processes, report, scan_files
    from ..contamination.told import told
    from ..contamination.twins import twins

    if not args.train and not args.itself:
        raise ConfigError("give training data with --train, or --self to look for duplicates within the evaluation")
    items = _items(args)
    if args.train:
        found = scan_files(items, expand(args.train), args.field, args.jobs or processes(), _progress())
    else:
        found = report(items, Nothing())
    found = found.model_copy(update={"method": _method(args), "twins": twins(items) if args.itself else None})
    found = _scored(found, args.runs)
    if args.out:
        _write(args.out, found.model_dump_json(indent=1))
    print(told(found))
    return 0


def _items(args: argparse.Namespace) -> list[Item]:
    from k2core.errors import ConfigError

    from ..contamination.evaluation import from_folder, from_tasks

    items = from_tasks(args.eval, args.data) if args.eval else []
    for file in args.eval_file:
        more = _of_file(file)
        if more and more[0].task in {item.task for item in items}:
            raise ConfigError(f"--eval-file {file}: there is a task {more[0].task} already; rename the file")
        items += more
    if not items:
        for folder in args.runs:
            known = {(item.task, item.id) for item in items}
            items += [item for item in from_folder(folder) if (item.task, item.id) not in known]
    if not items:
        raise ConfigError("give what to look for: tasks with --eval, files with --eval-file, or evaluations with --run")
    return items


def _of_file(file: str) -> list[Item]:
    from k2core.errors import ConfigError

    from ..contamination.evaluation import from_file

    try:
        return from_file(file)
    except ConfigError as error:
        raise ConfigError(f"--eval-file {error}") from error


def _scored(found: Any, runs: list[str]) -> Any:
    """The report with scores, which also goes into every run's folder, for its own tasks."""
    from ..contamination.scores import parts
    from ..store.folder import Folder

    scores: list[Any] = []
    for path in runs:
        folder = Folder(path)
        own = list(parts(folder, found))
        tasks = {task.name for task in folder.manifest().tasks}
        mine = found.model_copy(
            update={
                "scores": tuple(own),
                "tasks": tuple(count for count in found.tasks if count.task in tasks),
                "found": tuple(one for one in found.found if one.task in tasks),
                "possible": tuple(one for one in found.possible if one.task in tasks),
            }
        )
        _write(folder.file("contamination.json"), mine.model_dump_json(indent=1))
        scores += own
    return found.model_copy(update={"scores": tuple(scores)})


def _method(args: argparse.Namespace) -> dict[str, Any]:
    from ..contamination import find, index

    return {
        "ngram": index.GRAM,
        "ngrams_shared": find.GRAMS_SHARED,
        "alike": find.ALIKE,
        "alike_short": find.ALIKE_SHORT,
        "short_nats": find.SHORT,
        "long_nats": find.LONG,
        "fields": list(args.field),
        "train": list(args.train),
    }


def _progress() -> Progress:
    started = last = time.monotonic()
    shown = sys.stderr.isatty()

    def progress(rows: int, characters: int, found: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (0.5 if shown else 30):
            return
        last = now
        line = f"{rows:,} rows, {characters / 1e6:,.0f} MB, {rows / (now - started):,.0f} rows/s, {found:,} problems found"
        print(f"\r{line}" if shown else line, end="" if shown else "\n", file=sys.stderr, flush=True)

    return progress


def _write(path: Path, text: str) -> None:
    from k2core.errors import ConfigError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another --out") from error
