"""The problems one by one: which are shown with texts, and what is shown of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from ..records import Graded, Outcome, Referenced, Sample
from .arms import Arm, Light, Place
from .maths import Maths
from .text import clipped, line, shown

PER_PROBLEM = 150_000
"""Characters of candidates and plans that are shown of one problem, all arms and repeats together."""

LISTED = 2_000
"""Problems that are listed at all, unless more are wanted with texts."""

MARKS: Mapping[Outcome, str] = {
    "correct": "●",
    "incorrect": "○",
    "truncated": "…",
    "unparsed": "?",
    "undecided": "~",
    "verifier_error": "!",
    "infrastructure": "\N{MULTIPLICATION SIGN}",
}


@dataclass(frozen=True)
class CandidateView:
    id: str
    outcome: Outcome
    chosen: bool
    tokens: int
    finish: str
    answer: Markup | None
    key: str
    reason: Markup
    score: float
    own_score: float | None
    head: Markup | None
    """None where the text is left out."""
    left_out: int = 0
    tail: Markup | None = None


@dataclass(frozen=True)
class RepeatView:
    anchor: str
    repeat: int
    outcome: Outcome
    tokens: int
    calls: str
    answer: Markup | None
    decision: Markup
    plan: Markup | None
    error: Markup
    warnings: tuple[Markup, ...]
    candidates: tuple[CandidateView, ...]


@dataclass(frozen=True)
class ArmView:
    number: int
    name: str
    right: int
    of: int
    marks: str
    tokens: int
    repeats: tuple[RepeatView, ...] = ()


@dataclass(frozen=True)
class ProblemView:
    anchor: str
    task: str
    id: str
    flags: str
    """Words that the page's filters look for."""
    gist: Markup
    arms: tuple[ArmView, ...]
    statement: Markup | None = None
    reference: Markup | None = None
    level: str = ""
    code: bool = False
    hidden: bool = False
    """The data set's licence or canary forbids to show texts."""
    detailed: bool = False


@dataclass
class Drilldown:
    problems: list[ProblemView]
    detailed: int
    total: int
    maths: Maths = field(default_factory=Maths)


def drilldown(arms: Sequence[Arm], most: int) -> Drilldown:
    """All problems of all arms, `most` of them with texts: first those on which arms disagree, then those not always solved."""
    hidden = {run.name for arm in arms for run in arm.manifest.tasks if not run.card.publishable}
    every = {place for arm in arms for place in arm.outcomes}
    ranked = sorted(every, key=lambda place: (_interest(place, arms), place))
    chosen, places = set(ranked[:most]), sorted(ranked[: max(most, LISTED)])
    texts = _problems(arms, {place for place in places if place[0] not in hidden})
    samples = [_samples(arm, chosen) for arm in arms]
    made = Drilldown([], 0, len(every))
    for place in places:
        view = _problem(place, arms, samples, texts.get(place), place[0] in hidden, place in chosen, made.maths)
        made.problems.append(view)
        made.detailed += view.detailed
    return made


def flags(place: Place, arms: Sequence[Arm]) -> list[str]:
    """What the filters look for: every outcome that occurred, and whether arms disagree or repeats do."""
    lights = [arm.outcomes[place] for arm in arms if place in arm.outcomes]
    found = sorted({light.outcome for row in lights for light in row})
    shares = [sum(light.outcome == "correct" for light in row) / len(row) for row in lights]
    extra = ["imperfect"] if found != ["correct"] else []
    if len(shares) > 1 and max(shares) > 0.5 >= min(shares):
        extra.append("disagree")
    return [*found, *extra]


def _interest(place: Place, arms: Sequence[Arm]) -> int:
    words = flags(place, arms)
    return 0 if "disagree" in words else 1 if "imperfect" in words else 2


def _problems(arms: Iterable[Arm], wanted: set[Place]) -> dict[Place, Referenced]:
    """Statements by place, from the first arm that has them."""
    found: dict[Place, Referenced] = {}
    for arm in arms:
        for problem in arm.folder.problems():
            place = (problem.task, problem.place)
            if place in wanted and place not in found:
                found[place] = problem
    return found


def _samples(arm: Arm, wanted: set[Place]) -> dict[Place, list[Sample]]:
    found: dict[Place, list[Sample]] = {}
    for sample in arm.folder.samples():
        if (sample.task, sample.place) in wanted:
            found.setdefault((sample.task, sample.place), []).append(sample)
    for samples in found.values():
        samples.sort(key=lambda s: s.repeat)
    return found


def _problem(
    place: Place,
    arms: Sequence[Arm],
    samples: Sequence[dict[Place, list[Sample]]],
    text: Referenced | None,
    hidden: bool,
    detailed: bool,
    maths: Maths,
) -> ProblemView:
    task, number = place
    lights = {arm.number: arm.outcomes[place] for arm in arms if place in arm.outcomes}
    some = next(iter(lights.values()))[0]
    render = Texts(maths, code=text is not None and text.problem.answer_format == "code", hidden=hidden)
    views = tuple(
        _arm(arm, lights[arm.number], samples[i].get(place, []), render) for i, arm in enumerate(arms) if arm.number in lights
    )
    about = (
        {"statement": render.text(text.problem.text), "reference": render.text(text.reference or "")} if text and detailed else {}
    )
    return ProblemView(
        anchor=f"{task}/{number}",
        task=task,
        id=line(some.problem_id, 60),
        flags=" ".join(flags(place, arms)),
        gist=maths.text(line(text.problem.text, 110)) if text else Markup(""),
        arms=views,
        level=line(str(text.meta.get("level", "")), 30) if text else "",
        code=render.code,
        hidden=hidden,
        detailed=detailed,
        **about,
    )


def _arm(arm: Arm, lights: Sequence[Light], samples: Sequence[Sample], render: Texts) -> ArmView:
    marks = "".join(MARKS[light.outcome] for light in lights) if len(lights) <= 16 else ""
    right = sum(light.outcome == "correct" for light in lights)
    prefix = "" if arm.number == 0 else f"/{arm.number + 1}"
    repeats = tuple(_repeat(sample, prefix, render) for sample in samples)
    return ArmView(arm.number, arm.name, right, len(lights), marks, sum(light.tokens for light in lights), repeats)


def _repeat(sample: Sample, prefix: str, render: Texts) -> RepeatView:
    calls = Counter({s.role: 0 for s in sample.spent})
    for spent in sample.spent:
        calls[spent.role] += spent.usage.started
    return RepeatView(
        anchor=f"{sample.task}/{sample.place}/{sample.repeat}{prefix}",
        repeat=sample.repeat,
        outcome=sample.outcome,
        tokens=sample.tokens,
        calls=", ".join(f"{number} {line(role, 20)}" for role, number in calls.items()),
        answer=render.answer(sample.answer),
        decision=render.short(sample.decision),
        plan=render.spend(sample.plan)[0] if sample.plan else None,
        error=render.short(sample.error),
        warnings=tuple(render.short(w) for w in sample.warnings[:5]),
        candidates=tuple(_candidate(graded, sample.chosen, render) for graded in sample.candidates),
    )


def _candidate(graded: Graded, chosen: str, render: Texts) -> CandidateView:
    head, left_out, tail = render.spend(graded.text)
    return CandidateView(
        id=line(graded.id, 40),
        outcome=graded.outcome,
        chosen=graded.id == chosen,
        tokens=graded.tokens,
        finish=graded.finish,
        answer=render.answer(graded.answer),
        key="" if render.hidden else line(graded.key or "", 120),
        reason=render.short(graded.reason),
        score=graded.score,
        own_score=graded.own_score,
        head=head,
        left_out=left_out,
        tail=tail,
    )


class Texts:
    """Renders the texts of one problem within its allowance, or none of them where they may not be published."""

    def __init__(self, maths: Maths, code: bool, hidden: bool) -> None:
        self.code, self.hidden = code, hidden
        self._maths = maths
        self._left = PER_PROBLEM

    def text(self, text: str) -> Markup:
        """A text of the problem itself, such as its statement."""
        head, left_out, tail = clipped(text)
        between = Markup("\n<i>[{} characters left out]</i>\n").format(left_out) if left_out else Markup("")
        return self._render(head) + between + self._render(tail)

    def spend(self, text: str) -> tuple[Markup | None, int, Markup]:
        """Beginning, number of characters left out, end; no beginning where nothing may be shown or the allowance is spent."""
        head, left_out, tail = clipped(text)
        if self.hidden or len(head) + len(tail) > self._left:
            return None, len(text), Markup("")
        self._left -= len(head) + len(tail)
        return self._render(head), left_out, self._render(tail)

    def short(self, text: str) -> Markup:
        return Markup("") if self.hidden else shown(line(text, 400))

    def answer(self, text: str | None) -> Markup | None:
        if text is None or self.hidden:
            return None
        made = None if self.code or len(text) > 200 else self._maths.formula(text.strip().strip("$"))
        return made if made is not None and "\\" in text else shown(line(text, 200))

    def _render(self, text: str) -> Markup:
        return shown(text) if self.code else self._maths.text(text)
