"""From samples to findings and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from . import greedy, onesample, twosample
from .asking import Sample
from .prompts import CLOSED
from .records import Finding, Numerics, Outcome, Power
from .scoring import Floats, Scores, Target
from .statistics import holm
from .tokens import Reader, Tokens, characters, texts, told

Words = tuple[list[Sequence[Hashable]], list[Sequence[Hashable]]]

UNREAD = 0.02
"""Share of samples whose tokens cannot be told up to which the others still speak for all."""


@dataclass
class Reading:
    """One decoder's samples, with what the target says about them."""

    samples: Sequence[Sample]
    tokens: list[Tokens | None] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    trouble: str = ""
    """Why the target cannot judge them."""

    @classmethod
    def of(
        cls, samples: Sequence[Sample], target: Target | None, tell: Callable[[int, int], None] = lambda done, of: None
    ) -> Reading:
        """Read and score; `tell` how many samples of how many are scored. Blocking, and long."""
        made = cls(samples)
        if target is None:
            return made
        reader = Reader(target.tokenizer, target.ends)
        made.tokens = [reader.read(sample.completion) for sample in samples]
        made.trouble = _trouble(made, target)
        if not made.trouble:
            made.scores = _scored(made, target, tell)
        return made

    def where(self, greedy: bool, prompt: str = "") -> list[int]:
        """Places of the samples of a kind whose tokens are known."""
        return [
            i
            for i, sample in enumerate(self.samples)
            if sample.greedy == greedy and self.tokens[i] is not None and prompt in ("", sample.prompt.name)
        ]

    def joined(self, places: Sequence[int]) -> Scores:
        return Scores.join([self.scores[i] for i in places])

    def reported(self, places: Sequence[int]) -> Floats | None:
        """The decoder's log-probabilities of all tokens, the target's own where an end is not told; None if some are missing."""
        parts = [known.reported for i in places if (known := self.tokens[i])]
        if not parts or any(part is None for part in parts):
            return None
        values = np.concatenate([part for part in parts if part is not None])
        return np.where(np.isnan(values), self.joined(places).logp, values)


def _trouble(reading: Reading, target: Target) -> str:
    unread = sum(known is None for known in reading.tokens) / max(1, len(reading.tokens))
    if unread > UNREAD:
        return f"the tokens of {unread:.0%} of the samples cannot be told: no ids, and their texts are read as other tokens"
    if any(i >= target.vocabulary for known in reading.tokens if known for i in known.ids):
        return "the decoder's token ids go beyond the target's vocabulary: it is another model"
    for sample in reading.samples:
        expected = len(target.prompt_ids(sample.prompt.turns))
        if sample.prompt_tokens and sample.prompt_tokens not in (expected, expected * sample.choices):
            return (
                f"the decoder counts {sample.prompt_tokens} tokens in the prompt {sample.prompt.name!r}, the target's template "
                f"makes {expected}: they do not read the same"
            )
    return ""


def _scored(reading: Reading, target: Target, tell: Callable[[int, int], None]) -> list[Scores]:
    scores: dict[int, Scores] = {}
    for prompt in dict.fromkeys(sample.prompt for sample in reading.samples):
        places = [i for i, sample in enumerate(reading.samples) if sample.prompt == prompt]
        ids = [known.ids if (known := reading.tokens[i]) else () for i in places]
        scores |= zip(places, target.score(target.prompt_ids(prompt.turns), ids), strict=True)
        tell(len(scores), len(reading.samples))
    return [scores[i] for i in range(len(reading.samples))]


@dataclass(frozen=True)
class Judgement:
    """The verdict and all that led to it."""

    verdict: Outcome
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    power: Power
    tokens: int
    numerics: Numerics | None = None
    notes: tuple[str, ...] = ()


def alone(mine: Reading, target: Target, alpha: float, bias: float, rng: np.random.Generator) -> Judgement:
    """Against the target's exact distributions."""
    if mine.trouble:
        return Judgement("cannot tell", (mine.trouble,), (), Power(), 0)
    places = mine.where(greedy=False)
    scores, reported = mine.joined(places), mine.reported(places)
    first, closed = _first_counts(mine, target, reported is not None)
    drawn = onesample.settled(onesample.tests(scores, reported, first, closed, rng), alpha)
    found = _adjusted([test.finding for test in drawn], alpha)
    numerics = None if reported is None else onesample.numerics(scores, reported)
    still = _greedy_alone(mine, numerics)
    gross = [test.finding.name for test in drawn if test.gross <= test.finding.level and test.finding.kind == "model"]
    power = onesample.power(scores, found)
    verdict, reasons = _verdict_alone(found, gross, still, reported is not None, power, bias)
    return Judgement(verdict, reasons, (*found, still.finding), power, len(scores.logp), numerics)


def _first_counts(mine: Reading, target: Target, weighted: bool) -> tuple[list[onesample.Counts], list[onesample.Counts]]:
    first, closed = [], []
    for prompt in dict.fromkeys(sample.prompt for sample in mine.samples):
        places = [i for i in mine.where(False, prompt.name) if len(mine.scores[i].logp)]
        if not places:
            continue
        known = [(t.ids[0], t.reported) for i in places if (t := mine.tokens[i])]
        ids = [token for token, _ in known]
        logs = [float(r[0]) if r is not None and np.isfinite(r[0]) else 0.0 for _, r in known] if weighted else None
        exact = target.first(target.prompt_ids(prompt.turns))
        logs = None if logs is None else [log or float(np.log(exact[token])) for log, token in zip(logs, ids, strict=True)]
        first.append(onesample.first_counts(exact, ids, logs))
        if prompt == CLOSED:
            only = closed_ids(target, prompt.closed)
            closed.append(onesample.first_counts(exact, ids, logs, only))
    return first, [one for one in closed if one.raw.sum() > 0]


def closed_ids(target: Target, texts: Sequence[str]) -> list[int]:
    """Tokens that read as one of `texts`, with a space before or without."""
    found = [target.tokenizer.encode(space + text, add_special_tokens=False) for text in texts for space in ("", " ")]
    return sorted({ids[0] for ids in found if len(ids) == 1})


def _greedy_alone(mine: Reading, numerics: Numerics | None) -> greedy.Greedy:
    places = mine.where(greedy=True)
    read = [known for i in places if (known := mine.tokens[i])]
    return greedy.against_target(read, [mine.scores[i] for i in places], greedy.tolerance(numerics.rms if numerics else None))


def _adjusted(found: Sequence[Finding], alpha: float) -> list[Finding]:
    """Holm over all of them."""
    adjusted = holm([f.p for f in found])
    return [f.model_copy(update={"adjusted": p, "rejected": p <= alpha}) for f, p in zip(found, adjusted, strict=True)]


def _verdict_alone(
    found: Sequence[Finding], gross: Sequence[str], still: greedy.Greedy, told: bool, power: Power, bias: float
) -> tuple[Outcome, tuple[str, ...]]:
    lossy = [f"{f.name}: {_size(f)}" for f in found if f.rejected and (f.kind == "sampling" or not told)]
    lossy += [f"{name}: beyond what arithmetic explains" for name in gross if told]
    if still.wrong:
        lossy.append(f"greedy: {still.wrong} tokens that are not the likeliest, the worst by {still.finding.bias:.3g} nats")
    if lossy:
        hint = "" if told else "it reports no log-probabilities: if its weights are quantised, compare with --against"
        return "lossy", tuple(filter(None, (*lossy, hint)))
    why = "tokens are drawn as reported" if told else "no log-probabilities are reported"
    doubts = [f"{f.name} differs from the target: {_size(f)}" for f in found if f.rejected]
    if still.precision:
        doubts.append(f"{still.precision} greedy tokens are the likeliest by the decoder's account, but not by the target's")
    if doubts:
        return "cannot tell", (*doubts, f"{why}: arithmetic may be the cause, compare with --against")
    return _powerful((power.likeliest, power.flattened), bias, "no test found a bias")


def _size(f: Finding) -> str:
    allowed = f" (margin {f.margin:g})" if f.margin else ""
    return f"{f.bias:+.4f} {f.unit}{allowed}, p {f.p:.1g}"


def _powerful(found: Sequence[float | None], bias: float, why: str) -> tuple[Outcome, tuple[str, ...]]:
    worst = max((1.0 if one is None else one) for one in found)
    if worst > bias:
        return "cannot tell", (f"{why}, but only one of {worst:.1%} of the tokens would be found with 95 %: raise --samples",)
    return "lossless", (f"{why}, and one of {worst:.1%} of the tokens would be found with 95 %",)


def compared(mine: Reading, other: Reading, alpha: float, bias: float, rng: np.random.Generator) -> Judgement:
    """Against another decoder with the same model, such as the same back end without speculation."""
    scored = bool(mine.scores and other.scores)
    words = _words(mine, other)
    found = _adjusted(twosample.settled(_compared(mine, other, words, scored, rng), alpha), alpha)
    pairs = [(words[0][i], words[1][i]) for i, s in enumerate(mine.samples) if not s.greedy]
    parted, alike, bound = twosample.most_differing(pairs)
    scores = mine.joined(mine.where(False)) if scored else None
    power = twosample.power(scores, found, bound)
    still = _greedy_compared(mine, other, words, scored)
    note = f"with the same seeds {len(pairs) - parted} of {len(pairs)} samples are the same, {alike} tokens in a row"
    count = len(scores.logp) if scores else sum(s.completion.tokens for s in mine.samples if not s.greedy)
    verdict, reasons = _verdict_compared(found, still, power, bias)
    return Judgement(verdict, reasons, (*found, still.finding), power, count, notes=(note,))


def _words(mine: Reading, other: Reading) -> tuple[list[Sequence[Hashable]], list[Sequence[Hashable]]]:
    """Both sides' samples as sequences of the same kind of things."""
    if all(None not in r.tokens and r.tokens for r in (mine, other)):
        return _ids(mine), _ids(other)
    for words in (told, texts):
        sides = [[words(sample.completion) for sample in r.samples] for r in (mine, other)]
        if not any(one is None for side in sides for one in side):
            return ([one for one in sides[0] if one is not None], [one for one in sides[1] if one is not None])
    letters = [[characters(sample.completion) for sample in r.samples] for r in (mine, other)]
    return letters[0], letters[1]


def _ids(reading: Reading) -> list[Sequence[Hashable]]:
    return [known.ids for known in reading.tokens if known]


def _compared(mine: Reading, other: Reading, words: Words, scored: bool, rng: np.random.Generator) -> list[Finding]:
    found: list[Finding | None] = []
    if scored:
        places, others = mine.where(False), other.where(False)
        shuffle = twosample.Shuffle(_names(mine, places), _names(other, others), rng)
        found += twosample.tests([mine.scores[i] for i in places], [other.scores[i] for i in others], shuffle, rng)
    sides = [[i for i, s in enumerate(r.samples) if not s.greedy] for r in (mine, other)]
    shuffle = twosample.Shuffle(_names(mine, sides[0]), _names(other, sides[1]), rng)
    for name, start, end in (("first tokens", 0, 1), ("second and third tokens", 1, 3)):
        cells = [[tuple(side[i][start:end]) for i in places] for side, places in zip(words, sides, strict=True)]
        found.append(twosample.categorical(name, cells[0], cells[1], shuffle))
    lengths = [[(s.completion.finish, s.completion.tokens // 16) for s in r.samples if not s.greedy] for r in (mine, other)]
    found.append(twosample.categorical("lengths", lengths[0], lengths[1], shuffle))
    found.append(_closed(mine, other, rng))
    return [f for f in found if f is not None]


def _closed(mine: Reading, other: Reading, rng: np.random.Generator) -> Finding | None:
    """Of the answers that are in the closed vocabulary: how often which."""
    said = [[s.completion.text.strip() for s in r.samples if s.prompt == CLOSED and not s.greedy] for r in (mine, other)]
    kept = [[text[:1] for text in side if text.startswith(CLOSED.closed)] for side in said]
    if not all(kept):
        return None
    shuffle = twosample.Shuffle([CLOSED.name] * len(kept[0]), [CLOSED.name] * len(kept[1]), rng)
    return twosample.categorical("closed vocabulary", kept[0], kept[1], shuffle)


def _names(reading: Reading, places: Sequence[int]) -> list[str]:
    return [reading.samples[i].prompt.name for i in places]


def _greedy_compared(mine: Reading, other: Reading, words: Words, scored: bool) -> greedy.Greedy:
    places = [i for i, s in enumerate(mine.samples) if s.greedy]
    pairs = [(words[0][i], words[1][i]) for i in places]
    gaps: list[tuple[Sequence[float], Sequence[float]] | None] = [_gaps(mine, other, i, scored) for i in places]
    return greedy.against_other(pairs, gaps, greedy.tolerance(None))


def _gaps(mine: Reading, other: Reading, place: int, scored: bool) -> tuple[Sequence[float], Sequence[float]] | None:
    """How far each token is from the likeliest: by the target, else by the decoders' own accounts, else unknown."""
    if scored and mine.tokens[place] and other.tokens[place]:
        return list(mine.scores[place].gap), list(other.scores[place].gap)
    told = [_own_gaps(reading.samples[place]) for reading in (mine, other)]
    return (told[0], told[1]) if told[0] is not None and told[1] is not None else None


def _own_gaps(sample: Sample) -> Sequence[float] | None:
    """Between the two likeliest, by the decoder's account."""
    entries = sample.completion.logprobs
    if not entries or any(len(e.top) < 2 for e in entries):
        return None
    values = [sorted((value for _, value in e.top), reverse=True) for e in entries]
    return [two[0] - two[1] for two in values]


def _verdict_compared(found: Sequence[Finding], still: greedy.Greedy, power: Power, bias: float) -> tuple[Outcome, tuple[str, ...]]:
    lossy = [f"{f.name}: {_size(f)}" for f in found if f.rejected]
    if still.wrong:
        lossy.append(f"greedy: {still.wrong} answers part where there is no tie, the worst by {still.finding.bias:.3g} nats")
    if lossy:
        return "lossy", tuple(lossy)
    if still.precision:
        return "cannot tell", (f"{still.precision} greedy answers part, and whether at a tie is not known: no log-probabilities",)
    if power.differing is not None and power.differing <= bias:
        return "lossless", (f"with the same seeds the tokens are those of the other decoder: at most {power.differing:.1%} differ",)
    return _powerful((power.likeliest, power.flattened), bias, "no difference was found")
