"""What an evaluation should know of a data set beyond its tasks: how to grade it, where it comes from, what may be published.

A task plugin describes its data sets by a method `benchmark(self, name) -> Benchmark`; one without is evaluated by the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, TypeAlias

from ..types import Record

AnswerFormat: TypeAlias = Literal["boxed", "tag", "choice", "number", "text", "code", "json"]


class Grader(Record):
    """The verifier that grades answers against references."""

    use: str
    """Entry-point name under `k2core.verifier.v1`."""
    options: Mapping[str, Any] = {}
    """Its options; what a user sets under `[grading.<task>]` goes over them."""


class Source(Record):
    """Where the rows are from. `hub` sets are pinned: an id without a revision is refused."""

    hub: str = ""
    """Id of the data set on the hub, such as `openai/gsm8k`."""
    revision: str = ""
    """Commit of the data set."""
    subset: str = ""
    split: str = "test"
    gated: bool = False
    """Its owners ask for an agreement: a token of somebody who has given it is needed."""
    files: tuple[str, ...] = ()
    """Names under which a local copy is looked for in the user's data folder, without `.jsonl` or `.jsonl.gz`."""


class Published(Record):
    """A score that somebody else has published, in percent, for comparison with one's own."""

    system: str
    score: float
    source: str
    """Where it was published, and by what protocol."""


class Benchmark(Record):
    """The card of a data set. It holds no problem and no answer."""

    name: str
    """As the command line names it."""
    title: str = ""
    domain: str = "general"
    answer_format: AnswerFormat = "boxed"
    prompt: str = ""
    """Template that made the prompts from the rows, for the record; `{problem}` and other fields of the row in braces."""
    grader: Grader
    source: Source = Source()
    size: int | None = None
    """Problems in the whole set."""
    licence: str = ""
    publish: bool = True
    """False where the licence or the authors forbid to publish texts: then reports name problems by id only."""
    canary: str = ""
    """The canary string that came with the texts; having one implies that they are not published."""
    window: tuple[date | None, date | None] = (None, None)
    """First and last day of the problems that are taken, where rows are dated."""
    dimension: str = ""
    """What the scores are averaged by besides the task, such as the dimension of a safety set."""
    published: tuple[Published, ...] = ()
    citation: str = ""

    @property
    def publishable(self) -> bool:
        """Whether a report may show problems, answers and completions."""
        return self.publish and not self.canary
