"""Does the stated error of the stopping rules hold, and what do they save? Simulated polls with peeking at every vote.

`python benchmarks/stopping.py [--problems 5000]` simulates, for each rule, number of votes and confidence, so many problems of
all families below, shuffled: their votes, latencies at random and independent of the answers, and the launching in stages of the
sampler `adaptive`. The rule is asked after every vote; a decision is wrong when all n votes would have decided otherwise (ties go
to the first candidate). Columns: realised error with its 95 % Wilson interval; the family with the highest error, and that error;
error stated (exact: its bound, which is over all orders, not for those that stop early; else the mean over the problems); calls
started, in percent of n. `!` marks a realised error whose interval lies above what the rule was allowed. The last tables take one
family at a time, where `~` marks a realised error whose interval lies above the stated one, then several models (a fifth of the
problems), and latencies that depend on the answer. `--tables` selects tables.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from k2core_sampler.learnt import LearntRule, Prior
from k2core_sampler.sources import Sources, SourcesRule
from k2core_sampler.stopping import ExactRule, Rule, Said, leading, standing, votes_needed

Votes = list[str | None]
Family = Callable[[random.Random, int], Votes]


def drawn(popularity: float, wrong: int, silent: float = 0.0) -> Family:
    """Independent votes: one answer of that popularity, others alike, some without an answer."""

    def votes(draw: random.Random, n: int) -> Votes:
        def vote() -> str | None:
            if draw.random() < silent:
                return None
            return "right" if draw.random() < popularity else f"wrong {draw.randrange(wrong)}"

        return [vote() for _ in range(n)]

    return votes


def composed(*shares: float) -> Family:
    """The adversary: the same counts every time, the rest of the votes to the first, in random order."""

    def votes(draw: random.Random, n: int) -> Votes:
        counts = [int(n * share) for share in shares]
        counts[0] += n - sum(counts)
        made: Votes = [f"answer {place}" for place, count in enumerate(counts) for _ in range(count)]
        draw.shuffle(made)
        return made

    return votes


def varied(draw: random.Random, n: int) -> Votes:
    """Problems of all difficulties."""
    return drawn(draw.random(), 5)(draw, n)


def two_kinds(draw: random.Random, n: int) -> Votes:
    """Most problems are easy, and the others hopeless."""
    return drawn(0.97 if draw.random() < 0.6 else 0.3, 30)(draw, n)


def zipf(draw: random.Random, n: int) -> Votes:
    """A few popular answers and a long tail."""
    names = [f"answer {place}" for place in range(20)]
    return list(draw.choices(names, [1 / (place + 1) for place in range(20)], k=n))


FAMILIES: Mapping[str, Family] = {
    "easy": drawn(0.95, 3),
    "varied": varied,
    "two kinds": two_kinds,
    "Zipf": zipf,
    "coin": drawn(0.5, 1),
    "coin, a third silent": drawn(0.5, 1, 1 / 3),
    "three alike": drawn(1 / 3, 2),
    "exact halves": composed(0.5, 0.5),
    "one vote ahead": composed(0.0, 0.4999),
    "exact thirds": composed(1 / 3, 1 / 3, 1 / 3),
}


@dataclass
class Tally:
    """What came of many problems."""

    problems: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    stated: float = 0.0
    most: float = 0.0
    """Largest error stated: the bound of the exact rule."""


def polled(rule: Rule, votes: Sequence[Said], latencies: Sequence[float], in_order: bool) -> tuple[dict[int, Said], int, float]:
    """Launch and count as `adaptive` does: the votes counted, the calls started, and the error stated."""
    n, counted, flying, ready = len(votes), dict[int, Said](), list[tuple[float, int]](), set[int]()
    launched, now = 0, 0.0
    while True:
        stands = standing(counted, n)
        confidence = 1.0 if len(counted) == n else rule.confidence(stands)
        if confidence is not None:
            return counted, launched, 1 - confidence
        while launched < n and launched - len(counted) < votes_needed(rule, stands):
            heapq.heappush(flying, (now + latencies[launched], launched))
            launched += 1
        number = len(counted) if in_order else -1
        while number not in ready:
            now, came = heapq.heappop(flying)
            ready.add(came)
            number = number if in_order else came
        counted[number] = votes[number]


def simulated(
    make: Callable[[Prior, int], Rule], n: int, families: Sequence[str], problems: int, seed: int, late: str = ""
) -> Tally:
    """Many problems, one after the other; the prior learns from the counted votes. `late`: how wrong answers are slow."""
    draw, prior, tally = random.Random(seed), Prior(), Tally()
    for place in range(problems):
        family = families[place % len(families)] if len(families) == 1 else draw.choice(families)
        votes = [Said(vote) for vote in FAMILIES[family](draw, n)]
        slow = [2.0 if late and vote.key != "right" else 1.0 for vote in votes]
        latencies = [factor * draw.lognormvariate(0, 0.5) for factor in slow]
        counted, launched, stated = polled(make(prior, place), votes, latencies, late == "launch")
        prior.learn(Counter(said.key for said in counted.values() if said.key is not None).values())
        tally.problems[family] += 1
        tally.wrong[family] += _winner(counted) != _winner(dict(enumerate(votes)))
        tally.calls += launched
        tally.stated, tally.most = tally.stated + stated, max(tally.most, stated)
    return tally


MODELS: Mapping[str, float] = {"tiny": 0.25, "small": 0.4, "old": 0.4, "plain": 0.6, "large": 0.8, "largest": 0.85}
"""Six models and how often they are right on a problem of middling difficulty."""


def of_models(draw: random.Random, n: int, wrong: int) -> list[tuple[str, str]]:
    """Model and answer of each vote: the more difficult the problem, the more of them are wrong."""
    harder = draw.gauss(0, 1)
    names = draw.choices(list(MODELS), k=n) if n != len(MODELS) else draw.sample(list(MODELS), n)
    chances = [1 / (1 + math.exp(harder - math.log(MODELS[name] / (1 - MODELS[name])))) for name in names]
    picks = ["right" if draw.random() < chance else f"wrong {draw.randrange(wrong)}" for chance in chances]
    return list(zip(names, picks, strict=True))


def simulated_sources(n: int, confidence: float, wrong: int, problems: int, seed: int) -> tuple[Tally, int, int]:
    """Polls by the rule `sources`, against all n votes with the same weights; and how often it and the plain majority are right."""
    draw, sources, tally, right, plain = random.Random(seed), Sources(), Tally(), 0, 0
    for place in range(problems):
        known = sources.known()
        rule: Rule = SourcesRule(confidence, known) if known.sources and place >= 20 else ExactRule(n, confidence)
        voices = of_models(draw, n, wrong)
        votes = [Said(key, source, rule.weight(source)) for source, key in voices]
        counted, launched, stated = polled(rule, votes, [draw.lognormvariate(0, 0.5) for _ in votes], False)
        sources.learn((said.source, said.key) for said in counted.values() if said.key is not None)
        decided = _winner(counted)
        tally.problems["all"] += 1
        tally.wrong["all"] += decided != _winner(dict(enumerate(votes)))
        tally.calls, tally.stated = tally.calls + launched, tally.stated + stated
        right += decided == "right"
        plain += _winner({number: Said(key) for number, (_, key) in enumerate(voices)}) == "right"
    return tally, right, plain


def _winner(votes: Mapping[int, Said]) -> str | None:
    first = leading(votes)
    return None if first is None else votes[first].key


def wilson(wrong: int, problems: int) -> tuple[float, float]:
    """95 % interval of a proportion."""
    share, z = wrong / problems, 1.96
    middle = share + z * z / (2 * problems)
    spread = z * math.sqrt(share * (1 - share) / problems + z * z / (4 * problems * problems))
    return (middle - spread) / (1 + z * z / problems), (middle + spread) / (1 + z * z / problems)


def exact(n: int, confidence: float) -> Callable[[Prior, int], Rule]:
    rule = ExactRule(n, confidence)
    return lambda prior, place: rule


def learnt(n: int, confidence: float) -> Callable[[Prior, int], Rule]:
    """With the warm-up and the audits of the sampler's defaults."""
    careful, draw = ExactRule(n, confidence), random.Random(1)

    def make(prior: Prior, place: int) -> Rule:
        return careful if place < 20 or draw.random() < 0.05 else LearntRule(confidence, prior.weights(1e-4))

    return make


RULES = {"exact": exact, "learnt": learnt}


def row(title: str, tally: Tally, n: int, confidence: float, learning: bool = True) -> str:
    problems, wrong = sum(tally.problems.values()), sum(tally.wrong.values())
    low, high = wilson(wrong, problems)
    worst = max(tally.problems, key=lambda family: tally.wrong[family] / tally.problems[family])
    rate = tally.wrong[worst] / tally.problems[worst]
    stated = tally.most if not learning else tally.stated / problems
    mark = "!" if low > 1 - confidence + 1e-9 else "~" if low > stated + 1e-9 else " "
    calls = tally.calls / problems / n
    figures = f"{wrong / problems:7.2%} ({low:.2%} to {high:.2%}){mark} worst {rate:6.2%} ({worst})"
    return f"{title:<30}{figures:<66} stated {stated:6.2%}  calls {calls:6.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=int, default=5000, help="a row (default: %(default)s)")
    parser.add_argument("--n", type=int, nargs="*", default=[3, 5, 8, 16])
    parser.add_argument("--confidence", type=float, nargs="*", default=[0.9, 0.95])
    parser.add_argument("--tables", nargs="*", default=["rules", "families", "sources", "late"])
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tables = {"rules": rule_table, "families": family_table, "sources": source_table, "late": late_table}
    for name in arguments.tables:
        tables[name](arguments)


def rule_table(arguments: argparse.Namespace) -> None:
    for n in arguments.n:
        for confidence in arguments.confidence:
            for name, make in RULES.items():
                tally = simulated(make(n, confidence), n, list(FAMILIES), arguments.problems, arguments.seed)
                print(row(f"{name}, n = {n}, {confidence}", tally, n, confidence, name != "exact"), flush=True)


def family_table(arguments: argparse.Namespace) -> None:
    for name, make in RULES.items():
        print(f"\n{name}, n = 8, 0.95, one family at a time")
        for family in FAMILIES:
            tally = simulated(make(8, 0.95), 8, [family], arguments.problems, arguments.seed)
            print(row(f"  {family}", tally, 8, 0.95, name != "exact"), flush=True)


def source_table(arguments: argparse.Namespace) -> None:
    problems = arguments.problems // 5
    print(
        f"\nsources, six models of different reliability; wrong answers are spread over 10, or only 3, others; {problems} problems"
    )
    for n, confidence, wrong in itertools.product((6, 12), (0.8, 0.9), (10, 3)):
        tally, right, plain = simulated_sources(n, confidence, wrong, problems, arguments.seed)
        accuracy = f"  right {right / problems:.1%}, majority {plain / problems:.1%}"
        print(row(f"  sources, n = {n}, {confidence}, {wrong}", tally, n, confidence) + accuracy, flush=True)


def late_table(arguments: argparse.Namespace) -> None:
    print("\nwrong answers take twice as long, n = 8, 0.95, family varied: the assumption of order = arrival is violated")
    for name, make in RULES.items():
        for late in ("arrival", "launch"):
            tally = simulated(make(8, 0.95), 8, ["varied"], arguments.problems, arguments.seed, late)
            print(row(f"  {name}, order = {late}", tally, 8, 0.95, name != "exact"), flush=True)


if __name__ == "__main__":
    main()
