"""What a sceptic would object, from the facts. Every sentence names the figure that it rests on; serious ones come first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..statistics.records import TaskSummary
from .arms import Arm
from .blocks import counted, listed, percent, whole

SMALL = 100
"""Problems below which a task is called small."""
WIDE = 0.10
"""Width of an interval from which it is called wide."""
SHARE = 0.01
"""Share of samples from which an outcome other than right and wrong is worth a word."""
HEAVY = 0.5
"""Weight from which one task dominates the micro-average."""


class Caveat(NamedTuple):
    lead: str
    text: str
    """Why it matters, whatever the figures."""
    serious: bool = False
    facts: str = ""
    """The figures, for people who know the lead."""

    @property
    def sentence(self) -> str:
        """Figures first, unless the text leads to them."""
        parts = (self.text, self.facts) if self.text.endswith(":") else (self.facts, self.text)
        return " ".join(part for part in parts if part)


class Fact(NamedTuple):
    """A caveat of one arm; facts of one lead become one caveat."""

    lead: str
    fact: str
    text: str
    serious: bool = False


def caveats(arms: Sequence[Arm], others: Iterable[Caveat] = ()) -> list[Caveat]:
    """Serious ones first, else in the order in which a report is read. `others` come from comparisons, protocols and searches."""
    facts = [(arm.name, fact) for rule in RULES for arm in arms for fact in rule(arm)]
    found = [*others, *_merged(facts, len(arms)), *_contamination(arms), *_shown(arms)]
    return sorted(found, key=lambda caveat: not caveat.serious)


def _merged(facts: Sequence[tuple[str, Fact]], arms: int) -> Iterator[Caveat]:
    """One caveat for each lead; what holds for every arm is said once."""
    for lead in dict.fromkeys(fact.lead for _, fact in facts):
        group = [(arm, fact) for arm, fact in facts if fact.lead == lead]
        names: dict[str, list[str]] = {}
        for arm, fact in group:
            names.setdefault(fact.fact, []).append(arm)
        said = [text if len(who) == arms else f"{text} ({', '.join(who)})" for text, who in names.items()]
        yield Caveat(lead, group[0][1].text, any(fact.serious for _, fact in group), "; ".join(said) + ".")


def _completeness(arm: Arm) -> Iterator[Fact]:
    if arm.have < arm.expected:
        fact = f"{whole(arm.have)} of {counted(arm.expected, 'sample')} are there"
        yield Fact("Incomplete.", fact, "The missing samples may well be the longest and hardest.", True)
    if arm.summary.duplicates:
        fact = f"{counted(arm.summary.duplicates, 'sample')} occurred twice"
        yield Fact("Edited by hand.", fact, "No run writes a sample twice; the first one counts.", True)
    if arm.manifest.origin:
        yield Fact(
            "Not run, but computed.", arm.manifest.origin, "These samples were made from stored ones without asking a model.", True
        )
    if arm.attempts.interrupted:
        fact = counted(arm.attempts.interrupted, "run")
        yield Fact("Interrupted runs.", fact, "They were made again; what they had spent is in no figure here.")
    if arm.attempts.failed:
        fact = f"{counted(arm.attempts.failed, 'run')} with {whole(arm.attempts.tokens)} tokens"
        yield Fact("Repeated runs.", fact, "They failed and were made again; their tokens are in no figure here.")


def _copies(arm: Arm) -> Iterator[Fact]:
    """Repeats that are one another's copies: a cache, a recording, a temperature of 0, a seed that is not used."""
    for run in arm.manifest.tasks:
        rows = [row for (task, _), row in arm.outcomes.items() if task == run.name and len(row) > 1]
        same = sum(len({light.digest for light in row}) == 1 and bool(row[0].digest) for row in rows)
        if rows and same > HEAVY * len(rows):
            text = "All repeats of these problems are the same to the letter: they say nothing of how runs differ."
            yield Fact("Repeats are copies.", f"{same} of {counted(len(rows), 'problem')} of {run.name}", text, True)


def _helpers(arm: Arm) -> Iterator[Fact]:
    """Models beside the solver: whose merit is the score?"""
    served = [purse for purse in arm.summary.spent.purses if purse.served]
    solvers = {purse.model or purse.decoder for purse in served if purse.role == "solve"}
    for role, verb in (("plan", "plans"), ("judge", "chooses among candidates"), ("verify", "checks candidates")):
        models = sorted({purse.model or purse.decoder for purse in served if purse.role == role} - solvers)
        if models and solvers:
            fact = f"{listed(models)} {verb} for {listed(sorted(solvers))}"
            yield Fact("A second model helps.", fact, "The score is of both, and no merit of the model that solves.", True)
    for decoder in sorted({purse.decoder for purse in served if not purse.model}):
        yield Fact("Unnamed model.", f"decoder {decoder}", "The back end did not say which model answered.", True)


def _choice(arm: Arm) -> Iterator[Fact]:
    drawn = max((task.choosing.candidates for task in arm.summary.tasks if task.choosing), default=1)
    if drawn > 1.01:
        text = "Such a score compares with others at equal tokens, not with single samples."
        yield Fact("Best of several.", f"each answer is chosen from {drawn:.3g} candidates on average", text)


def _graders(arm: Arm) -> Iterator[Fact]:
    for model in sorted({purse.model or purse.decoder for purse in arm.summary.grading.purses if purse.served}):
        text = "Its mistakes are in every figure, and this report holds no measurement of how often it errs."
        yield Fact("A model is the grader.", model, text, True)


def _books(arm: Arm) -> Iterator[Fact]:
    for decoder in sorted({purse.decoder for purse in arm.summary.spent.purses if purse.estimated}):
        yield Fact(
            "Estimated tokens.", f"decoder {decoder}", "The back end did not report all counts, which are estimated from the text."
        )
    lost = arm.summary.spent.lost_calls
    if lost and lost > SHARE:
        yield Fact(
            "Lost calls.",
            f"{percent(lost)} % of calls",
            "They were cancelled or failed; their tokens count as far as they were told.",
        )


def _tasks(rule: Callable[[TaskSummary], Iterator[Fact]]) -> Callable[[Arm], Iterator[Fact]]:
    return lambda arm: (fact for task in arm.summary.tasks for fact in rule(task))


def _problems(task: TaskSummary) -> Iterator[Fact]:
    if task.problems < SMALL:
        text = "With so few, a handful of lucky problems moves the score."
        yield Fact("Few problems.", f"{task.name} has {counted(task.problems, 'problem')}", text, task.problems < SMALL / 2)


def _width(task: TaskSummary) -> Iterator[Fact]:
    low, high = task.accuracy.low, task.accuracy.high
    if low is not None and high is not None and high - low > WIDE:
        fact = f"{task.name} {percent(high - low, 0)} points"
        yield Fact("Wide intervals.", fact, "A difference smaller than that says nothing.", high - low > 2 * WIDE)


def _repeats(task: TaskSummary) -> Iterator[Fact]:
    if task.repeats < 4:
        fact = f"{task.name} was run {'once' if task.repeats == 1 else f'{task.repeats} times'}"
        yield Fact("Few repeats.", fact, "How much runs differ from one another is hardly known.")
    if not task.votes:
        yield Fact("No votes.", task.name, "Answers have no canonical form there, so a majority vote means nothing.")


def _dominant(arm: Arm) -> Iterator[Fact]:
    weights = arm.summary.micro.weights
    heavy = max(weights, key=lambda name: weights[name], default="")
    if len(weights) > 1 and weights[heavy] > HEAVY:
        fact = f"{heavy} is {percent(weights[heavy], 0)} % of the micro-average"
        yield Fact("One task dominates.", fact, "Whatever is wrong with it is wrong with that average.")


def _truncated(task: TaskSummary) -> Iterator[Fact]:
    share = task.shares.get("truncated", 0)
    if share > SHARE:
        text = "They hit the token limit before an answer: a larger limit may score higher, or only longer."
        yield Fact("Truncated.", f"{percent(share)} % of {task.name}", text, share > 5 * SHARE)


def _unread(task: TaskSummary) -> Iterator[Fact]:
    share = task.shares.get("unparsed", 0)
    if share > SHARE:
        text = "No answer was found in them: right answers in an unexpected form would be among them."
        yield Fact("Unread answers.", f"{percent(share)} % of {task.name}", text, share > 5 * SHARE)


def _undecided(task: TaskSummary) -> Iterator[Fact]:
    left = task.sensitivity
    if left.undecided > task.samples * SHARE / 2:
        may = f"{percent(left.counted)} % may be up to {percent(left.at_best)} %"
        fact = f"{left.undecided} of {whole(task.samples)} of {task.name}: {may}"
        text = "Nobody decided these samples (undecided, verifier error, infrastructure), and they score 0."
        yield Fact("Undecided.", fact, text, left.undecided > task.samples * 5 * SHARE)


RULES: tuple[Callable[[Arm], Iterator[Fact]], ...] = (
    _completeness,
    _copies,
    _helpers,
    _choice,
    _graders,
    _tasks(_width),
    _tasks(_problems),
    _tasks(_repeats),
    _tasks(_truncated),
    _tasks(_undecided),
    _tasks(_unread),
    _dominant,
    _books,
)


def _contamination(arms: Sequence[Arm]) -> Iterator[Caveat]:
    unchecked = [arm.name for arm in arms if arm.contamination is None]
    if unchecked:
        which = f" ({listed(unchecked)})" if len(unchecked) < len(arms) else ""
        text = f"Nobody looked for these problems in training data{which}; k2 eval contamination does."
        yield Caveat("Contamination not checked.", text, True)
    for arm in arms:
        for count in arm.contamination.tasks if arm.contamination else ():
            if count.found:
                fact = f"{count.found} of {counted(count.problems, 'problem')} of {count.task} ({arm.name})."
                yield Caveat("Seen in training.", "Problems stand in the training data that were searched:", True, fact)
    undated = list(dict.fromkeys(run.name for arm in arms for run in arm.manifest.tasks if run.card.window == (None, None)))
    if undated:
        text = "Whether the model's data end before these problems were published is not recorded:"
        yield Caveat("Age unknown.", text, False, f"{listed(undated)}.")


def _shown(arms: Sequence[Arm]) -> Iterator[Caveat]:
    hidden = list(dict.fromkeys(run.name for arm in arms for run in arm.manifest.tasks if not run.card.publishable))
    if hidden:
        text = "Licence or canary forbid to publish them, so problems are shown by id, outcome and tokens only:"
        yield Caveat("Texts left out.", text, False, f"{listed(hidden)}.")
