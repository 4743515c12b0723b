"""The sections on what was run: models, settings, versions, digests, and the commands to run and to verify it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..records import TaskRun
from .arms import Arm
from .blocks import NONE, Block, Cell, Code, Fold, Prose, Row, Section, Table, listed, whole
from .departures import protocol
from .text import line

_SHOWN = ("model", "use", "path", "url", "temperature", "top_p", "max_tokens", "stop", "n", "effort", "seed", "revision")


def provenance(arms: Sequence[Arm]) -> Section:
    names = [arm.name for arm in arms]
    blocks: list[Block | Fold] = [
        Table("What differs between the arms and what does not.", ("", *names), _settings(arms)),
        Table("Tasks; two evaluations compare only where the digest of their problems is the same.", _TASKS, list(_tasks(arms))),
        Code(_commands(arms), "To run it again, to verify it without asking a model, and to see what another grader would say:"),
        *(Fold(f"Whole configuration of {arm.name}", [Code(_pretty(arm.manifest.config))]) for arm in arms),
        *(Fold(f"Graders of {arm.name}", [Code(_pretty(arm.manifest.grading))]) for arm in arms if arm.manifest.grading),
    ]
    return Section("provenance", "What was run", blocks)


def _settings(arms: Sequence[Arm]) -> list[Row]:
    """A row for each setting worth a look; paths that no arm has are left out."""
    tables = [dict(_facts(arm)) for arm in arms]
    names = list(dict.fromkeys(name for table in tables for name in table))
    return [[_marked(name, tables), *(table.get(name, NONE) for table in tables)] for name in names]


def _marked(name: str, tables: Sequence[Mapping[str, str]]) -> Cell:
    return Cell(name, flag="differs" if len({table.get(name) for table in tables}) > 1 else "")


def _facts(arm: Arm) -> Iterator[tuple[str, str]]:
    manifest = arm.manifest
    for role in dict.fromkeys(purse.role for purse in arm.summary.spent.purses):
        yield (
            f"model that answered: {role}",
            listed(sorted({p.model or "unnamed" for p in arm.summary.spent.purses if p.role == role})),
        )
    for path, value in _flat(manifest.config):
        if path.rpartition(".")[2] in _SHOWN and value is not None:
            yield path, line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 80)
    yield "preset", manifest.preset or "none"
    yield "seed", str(manifest.seed)
    yield from ((f"version of {name}", version) for name, version in sorted(manifest.software.items()))
    for path, origin in sorted(manifest.plugins.items()):
        yield f"plugin {path}", line(origin, 80)


def _flat(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name in sorted(config):
        here = f"{path}.{name}" if path else name
        if isinstance(config[name], Mapping):
            yield from _flat(config[name], here)
        else:
            yield here, config[name]


_TASKS = ("Task", "#Taken", "#of", "#Repeats", "Source", "Answer format", "Grader", "Licence", "Texts", "Digest")


def _tasks(arms: Sequence[Arm]) -> Iterator[Row]:
    seen = set()
    for arm in arms:
        for run in arm.manifest.tasks:
            key = (run.name, run.problems, run.repeats, run.digest)
            if key not in seen:
                seen.add(key)
                yield _task(run)


def _task(run: TaskRun) -> Row:
    card = run.card
    source = f"{card.source.hub}@{card.source.revision[:12]}" if card.source.hub else "local file"
    window = " to ".join(str(day) if day else "…" for day in card.window) if card.window != (None, None) else ""
    return [
        run.name,
        whole(run.problems),
        whole(card.size),
        str(run.repeats),
        f"{source} {card.source.subset} {card.source.split} {window}".strip(),
        card.answer_format,
        card.grader.use,
        card.licence or "not stated",
        "shown" if card.publishable else "left out",
        run.digest[:16],
    ]


def _commands(arms: Sequence[Arm]) -> str:
    return "\n".join(text for arm in arms for text in _command(arm))


def _command(arm: Arm) -> Iterator[str]:
    manifest, name = arm.manifest, shlex.quote(arm.folder.path.resolve().name)
    tasks = " ".join(shlex.quote(run.name) for run in manifest.tasks)
    repeats = max((run.repeats for run in manifest.tasks), default=1)
    taken = {run.problems for run in manifest.tasks if run.card.size != run.problems}
    limit = f" --limit {max(taken)}" if taken else ""
    preset = f" --preset {shlex.quote(protocol(manifest.preset))}" if manifest.preset else ""
    label = f" --label {shlex.quote(manifest.label)}" if manifest.label else ""
    if not manifest.origin:
        run = f"k2 eval run {tasks} --config {name}.yaml{preset} --repeats {repeats}{limit} --seed {manifest.seed}{label}"
        yield f"{run} --out {name}-again  # that file: its configuration, below"
    yield f"k2 replay {name}"
    yield f"k2 eval rescore {name} --out {name}-rescored"


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)


def note_of(arms: Sequence[Arm]) -> Prose:
    """What the page was made from."""
    folders = listed([arm.folder.path.resolve().name for arm in arms])
    return Prose(f"Made from {folders}; the same folders give the same report to the byte.", note=True)
