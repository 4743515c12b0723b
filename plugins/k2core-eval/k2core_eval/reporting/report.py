"""From folders to the three files of a report."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..comparing.records import Comparison
from . import accuracy as how_well
from .against import comparisons, contamination, doubts, equal_tokens, gains
from .arms import Arm, read_arms
from .blocks import Items, Section, counted, listed, whole
from .caveats import Caveat, caveats
from .departures import departures
from .drilldown import MARKS, Drilldown, drilldown
from .first import First, first
from .markdown import markdown
from .page import page
from .provenance import note_of, provenance
from .spending import NAMES, lengths, outcomes, spending

VERSION = 1
DETAILS = 200
"""Problems that are shown with texts, unless told otherwise."""
FILTERS = (
    ("imperfect", "anything not right"),
    ("disagree", "arms disagree"),
    *((kind, NAMES[kind]) for kind in MARKS if kind != "correct"),
)


def write_reports(folders: Sequence[str | Path], out: str | Path, *, title: str = "", details: int = DETAILS) -> list[Path]:
    """Write `report.html`, `report.md` and `report.json` into the folder `out`; they depend on the folders' files only.

    `details` is the number of problems with texts. Raises `ConfigError` for folders without a readable evaluation.
    """
    made = reports(folders, title=title, details=details)
    target = Path(out).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    return [_written(target / name, text) for name, text in made.items()]


def write_one(folders: Sequence[str | Path], path: Path, *, title: str = "", details: int = DETAILS) -> Path:
    """Write one of the three, by the ending of `path`. Raises `ConfigError` as `write_reports`, `KeyError` for another ending."""
    made = reports(folders, title=title, details=details)
    path.parent.mkdir(parents=True, exist_ok=True)
    return _written(path, made[f"report{path.suffix}"])


def reports(folders: Sequence[str | Path], *, title: str = "", details: int = DETAILS) -> dict[str, str]:
    """The contents of the files by name."""
    arms = read_arms(folders)
    found = comparisons(arms)
    objections = caveats(arms, [*departures(arms), *doubts(arms, found)])
    title = title or _title(arms)
    top = first(arms, found, objections)
    sections = _sections(arms, found, objections)
    problems = drilldown(arms, details)
    return {
        "report.html": page(_values(title, top, sections, problems)),
        "report.md": markdown(title, top, sections),
        "report.json": _json(title, arms, found, objections),
    }


def _written(path: Path, text: str) -> Path:
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8", newline="\n")
    os.replace(new, path)
    return path


def _title(arms: Sequence[Arm]) -> str:
    tasks = listed(how_well.tasks_of(arms), 4)
    return f"{tasks}: {listed([arm.name for arm in arms], 4)}"


def _sections(arms: Sequence[Arm], found: Sequence[Comparison | str], objections: Sequence[Caveat]) -> list[Section]:
    every = [
        how_well.accuracy(arms),
        how_well.ablation(arms, gains(arms, found)),
        how_well.frontier(arms, equal_tokens(arms, found)),
        Section("caveats", "Caveats", [Items([(c.lead, c.sentence, c.serious) for c in objections])]),
        outcomes(arms),
        lengths(arms),
        spending(arms),
        contamination(arms),
        how_well.published(arms),
        provenance(arms),
    ]
    kept = [section for section in every if section]
    kept[-1] = Section(kept[-1].anchor, kept[-1].title, [*kept[-1].blocks, note_of(arms)])
    return kept


def _values(title: str, top: First, sections: Sequence[Section], made: Drilldown) -> dict[str, Any]:
    return {
        "title": title,
        "first": top,
        "sections": sections,
        "problems": made.problems,
        "problem_notes": _notes(made),
        "tasks": list(dict.fromkeys(p.task for p in made.problems)),
        "filters": [(word, name) for word, name in FILTERS if any(word in p.flags.split() for p in made.problems)],
        "marks": MARKS,
        "names": NAMES,
    }


def _notes(made: Drilldown) -> list[str]:
    notes = []
    order = "first those on which arms disagree, then those that were not always solved"
    if len(made.problems) < made.total:
        notes.append(f"{whole(len(made.problems))} of {counted(made.total, 'problem')} are listed: {order}.")
    if made.detailed < len(made.problems):
        text = f"{whole(made.detailed)} of {counted(len(made.problems), 'problem')} are shown with their samples: {order}."
        notes.append(f"{text} --details N shows more; samples.jsonl has all.")
    if made.detailed:
        notes.append("What models wrote before their answers, where they mark it as reasoning, is in traces.jsonl.")
    if made.maths.skipped:
        notes.append(f"{counted(made.maths.skipped, 'formula', 'formulas')} are shown as written, to keep this page small.")
    return notes


def _json(title: str, arms: Sequence[Arm], found: Sequence[Comparison | str], objections: Sequence[Caveat]) -> str:
    value: Mapping[str, Any] = {
        "version": VERSION,
        "title": title,
        "arms": [_arm(arm) for arm in arms],
        "comparisons": [{"error": one} if isinstance(one, str) else one.model_dump(mode="json") for one in found],
        "caveats": [caveat._asdict() for caveat in objections],
    }
    return json.dumps(value, indent=1, ensure_ascii=True, sort_keys=True) + "\n"


def _arm(arm: Arm) -> Mapping[str, Any]:
    return {
        "name": arm.name,
        "samples": arm.have,
        "expected": arm.expected,
        "manifest": arm.manifest.model_dump(mode="json"),
        "summary": arm.summary.model_dump(mode="json"),
        "clocks": arm.clocks.model_dump(mode="json") if arm.clocks else None,
        "attempts": arm.attempts._asdict(),
        "contamination": arm.contamination.model_dump(mode="json") if arm.contamination else None,
    }
