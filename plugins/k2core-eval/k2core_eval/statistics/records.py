"""What the statistics say. All are plain records: `model_dump_json` writes them, and nothing in them comes from a clock."""

from __future__ import annotations

from collections.abc import Mapping

from k2core.toolkit.benchmark import Published
from k2core.types import Record

from ..records import Outcome

VERSION = 1
LEVEL = 0.95
"""Of every interval."""


class Estimate(Record):
    """A mean over problems, 0..1, or a difference of two, -1..1, with its 95 % interval."""

    value: float | None
    """None where there is nothing to average."""
    low: float | None = None
    high: float | None = None
    method: str = ""
    """How the interval was made."""
    problems: int = 0


class AtK(Record):
    """What `k` of a problem's samples would give: at least one right (pass@k), or their majority vote (maj@k)."""

    k: int
    problems: int
    """Problems that have at least `k` samples; the figures are means over them."""
    tokens: float
    """Mean tokens that `k` samples cost."""
    passed: float
    voted: float
    voted_error: float = 0.0
    """Standard error of `voted` where it was estimated by drawing; 0 where it was counted out."""


class Spread(Record):
    """Tokens of chosen candidates, reasoning included."""

    samples: int = 0
    mean: float | None = None
    median: float | None = None
    p90: float | None = None


class Lengths(Record):
    every: Spread = Spread()
    right: Spread = Spread()
    wrong: Spread = Spread()
    """All that are not right, cut-off ones included."""


class Purse(Record):
    """What one model was asked for in one role. Seconds are not counted here."""

    role: str
    decoder: str
    model: str
    started: int = 0
    served: int = 0
    cancelled: int = 0
    failed: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens: int = 0
    share: float = 0.0
    """Of all tokens beside it."""
    cost: float = 0.0
    estimated: bool = False


class Spending(Record):
    """Sums over samples; of the pipeline's own calls, or of the grader's."""

    purses: tuple[Purse, ...] = ()
    tokens: int = 0
    per_sample: float | None = None
    per_correct: float | None = None
    """Tokens for each right sample; None without any."""
    cost: float = 0.0
    lost_calls: float | None = None
    """Share of started calls that were cancelled or failed."""


class Choosing(Record):
    """How well the pipeline chose among the candidates it drew. Shares of all samples."""

    candidates: float
    """Mean number a sample."""
    oracle: float
    """A right candidate was among them."""
    chosen: float
    """A right one was chosen."""
    missed: int
    """Samples in which a right one was there and another was chosen."""


class Sensitivity(Record):
    """What the share of undecided samples could change. `counted` is the headline, where they score 0."""

    undecided: int
    """Samples that the grader or the pipeline left open: undecided, verifier errors, infrastructure."""
    counted: float | None
    left_out: float | None
    """The mean over the samples that were decided."""
    at_best: float | None
    """As if all of them had been right."""


class TaskSummary(Record):
    name: str
    title: str = ""
    domain: str = ""
    dimension: str = ""
    problems: int
    repeats: int
    samples: int
    missing: int
    complete: bool
    accuracy: Estimate
    """Share of right samples: mean over problems of the mean over a problem's repeats."""
    score: Estimate | None = None
    """Mean of the grader's scores, where it gives others than 0 and 1."""
    run_deviation: float | None = None
    """Standard deviation of the accuracy between runs (repeats) over all problems; None with fewer than two complete runs."""
    curve: tuple[AtK, ...] = ()
    votes: bool = True
    """False where answers have no canonical form: then a vote is a draw."""
    choosing: Choosing | None = None
    outcomes: Mapping[Outcome, int] = {}
    shares: Mapping[Outcome, float] = {}
    sensitivity: Sensitivity
    lengths: Lengths = Lengths()
    spent: Spending = Spending()
    grading: Spending = Spending()
    published: tuple[Published, ...] = ()


class Average(Record):
    """A weighted mean of groups' accuracies."""

    name: str
    accuracy: Estimate
    weights: Mapping[str, float] = {}
    """By task; they add up to 1."""


class Group(Record):
    """The problems that share a dimension, a domain or a level."""

    name: str
    tasks: tuple[str, ...]
    problems: int
    accuracy: Estimate


class Summary(Record):
    """`summary.json`: depends on the manifest and the samples only, not on their order or on any clock."""

    version: int = VERSION
    label: str = ""
    preset: str = ""
    complete: bool
    samples: int
    missing: int
    duplicates: int = 0
    """Samples that were there more than once, of which the first counts; 0 unless somebody has edited the file."""
    tasks: tuple[TaskSummary, ...]
    macro: Average
    micro: Average
    dimensions: tuple[Group, ...] = ()
    """Macro over the tasks of each dimension; tasks without one are in none."""
    dimension_macro: Estimate | None = None
    """Mean over dimensions."""
    domains: tuple[Group, ...] = ()
    levels: tuple[Group, ...] = ()
    outcomes: Mapping[Outcome, int] = {}
    shares: Mapping[Outcome, float] = {}
    spent: Spending = Spending()
    grading: Spending = Spending()
