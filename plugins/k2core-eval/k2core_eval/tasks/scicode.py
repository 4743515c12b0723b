"""SciCode: its problems can be put, but its published files do not hold what is needed to score the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from k2core.errors import ConfigError
from k2core.plugin import hookimpl
from k2core.toolkit.benchmark import Benchmark, Grader, Published, Source
from k2core.types import Task

from .entry import Entry, make
from .plugin import BenchmarkConfig, BenchmarkTasks
from .rows import IDS, Row
from .science import REPORT

PROMPT = (
    "{problem}\n\n{interface}\n\nSolve it in steps, a Python function each:\n\n{steps}\n\n"
    "Use only these imports:\n\n```python\n{imports}\n```\n\nGive one program with all the functions, and nothing that calls them."
)
WHY = (
    "SciCode cannot be scored here: the values its tests compare with are not in the published rows but in a file of their own "
    "(test_data.h5), and results are numpy arrays, which the code verifier does not take across its sandbox's wall. "
    "Set `unscored = true` to have the problems put and the completions kept, and score those with SciCode's own harness"
)
_NAMES = ("problem_description_main", "problem", "problem_name")


def convert(row: Row, card: Benchmark, seed: int) -> Task:
    """All steps in one prompt; the official protocol asks step by step, with the earlier replies in each prompt."""
    steps = row.need(("sub_steps",), "sub-steps")
    if not (isinstance(steps, list) and all(isinstance(step, dict) for step in steps)):
        raise ConfigError(f"{row.where}: sub_steps must be a list of objects")
    fields = {
        "problem": row.text(_NAMES, "problem"),
        "interface": str(row.data.get("problem_io") or "").strip().strip('"').strip(),
        "steps": "\n\n".join(_step(step, row) for step in steps),
        "imports": str(row.data.get("required_dependencies") or "").strip(),
    }
    return make(row, card, fields, None, (*_NAMES, "problem_io", "required_dependencies", *IDS))


def _step(step: dict[str, Any], row: Row) -> str:
    try:
        asked, header = step["step_description_prompt"].strip(), step["function_header"].rstrip()
        return f"{step['step_number']}. {asked}\n\n```python\n{header}\n```"
    except (KeyError, AttributeError) as error:
        raise ConfigError(f"{row.where}: a sub-step lacks step_number, step_description_prompt or function_header") from error


ENTRY = Entry(Benchmark(
    name="scicode", title="SciCode, test", domain="science-code", answer_format="code", prompt=PROMPT,
    grader=Grader(use="code"), source=Source(hub="SciCode1/SciCode", files=("scicode_65", "scicode")), size=65,
    licence="Apache-2.0",
    published=(
        Published(system="K2 Think", score=39.2, source=f"sub-problems; {REPORT}"),
        Published(system="K2 Think", score=12.0, source=f"main problems; {REPORT}"),
    ),
    citation="arXiv:2407.13168",
), convert, WHY + ".")  # fmt: skip


class ScicodeConfig(BenchmarkConfig):
    unscored: bool = False
    """Put the problems although nothing here can score the answers."""


class Scicode(BenchmarkTasks):
    """SciCode's problems, which cannot be scored here."""

    config: ScicodeConfig
    entry = ENTRY

    @hookimpl
    def k2_tasks(self, name: str, split: str, limit: int | None, seed: int) -> Iterator[Task]:
        """As every benchmark's, without references. Raises `ConfigError` unless `unscored` is set."""
        if not self.config.unscored:
            raise ConfigError(WHY, f"{self._table}.unscored")
        yield from super().k2_tasks(name, split, limit, seed)
