"""The soundness gate: is a family's verifier fit to pay rewards? Runs in a worker process.

The stored answer must score 1, without outer space and after JSON, too; what can never be right must score below 1, always, and
what is wrong but for chance in at least three of four cases; hedged answers ("5 or 7" and "7 or 5") must not both be accepted;
nothing may raise, take long, or run text; the same seed must give the same items, another seed others.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import junk
from .families import SIZE, Item, dataset, fingerprint, forget, item

SEED = 20_011
LEAST, MOST = 8, 40
"""Items that are looked at: `MOST`, or as many as a step's time allows, but always `LEAST`."""
SECONDS = 4.0
"""Of processor time: what each step may take beyond its first `LEAST` items."""
BY_CHANCE = 0.25
"""Largest share of likely junk that may be accepted: problems with several right answers accept some of it, rightly."""
FULL = 1.0 - 1e-9
SLOW = 2.0
"""Seconds of processor time that one score may take at most."""

Score = Callable[[str, Item], dict[str, Any]]
Report = dict[str, Any]


def examine(family: str, config: dict[str, Any], score: Score) -> Report:
    """The report on a family: `faults` (empty when it is sound), and what was measured. Raises what making its items raises."""
    report: Report = {"family": family, "accepted": {}, "worst_junk": 0.0, "entry": True, "slowest": 0.0}
    forget()
    begun = time.process_time()
    items = [item(family, config, SEED, index) for index in _in_time(range(MOST))]
    report["items"] = len(items)
    report["generate_ms"] = round((time.process_time() - begun) * 1000 / len(items), 2)
    report["category"] = dataset(family, config, SEED).category
    faults = _golds(items, score, report) or _junk(items, score, report)
    if report["slowest"] > SLOW:
        faults.append(f"a score takes {report['slowest']:.1f} s")
    report["faults"] = faults or _repeats(family, config, report)
    return report


def _in_time(things: Sequence[Any]) -> Iterator[Any]:
    """The first `LEAST`, and those that the time is left for."""
    begun = time.process_time()
    for at, one in enumerate(things):
        if at >= LEAST and time.process_time() - begun > SECONDS:
            return
        yield one


def _repeats(family: str, config: dict[str, Any], report: Report) -> list[str]:
    """Whether a seed means anything, and always the same: once as the items were made, once anew in reverse order."""
    report["digest"] = fingerprint(family, config, SEED, report["items"])
    if fingerprint(family, config, SEED + SIZE, 2) == fingerprint(family, config, SEED, 2):
        return ["another seed gives the same items"]
    forget()
    if fingerprint(family, config, SEED, report["items"]) != report["digest"]:
        return ["the same seed does not give the same items"]
    return []


def _golds(items: Sequence[Item], score: Score, report: Report) -> list[str]:
    faults: dict[str, int] = defaultdict(int)
    for one in _in_time(items):
        gold = one.get("answer")
        if gold is None:
            return ["it stores no answers"]
        if why := _not_full(_timed(score, str(gold).strip(), one, report)):
            faults[why] += 1
        report["entry"] = report["entry"] and _survives_json(one, score)
    return [f"stored answer: {why} ({count} of {len(items)})" for why, count in faults.items()]


def _not_full(result: dict[str, Any]) -> str:
    if result.get("refused"):
        return "would run it as code"
    if "raised" in result:
        return f"raises {result['raised']}"
    value = result["score"]
    return "" if FULL <= value <= 1.0 else f"scores {value:g}"


def _survives_json(one: Item, score: Score) -> bool:
    try:
        stored: Item = json.loads(json.dumps(one))
    except (TypeError, ValueError):
        return False
    return not _not_full(score(str(one["answer"]).strip(), stored))


def _junk(items: Sequence[Item], score: Score, report: Report) -> list[str]:
    draw = random.Random(SEED)
    golds = list(dict.fromkeys(str(one["answer"]).strip() for one in items))
    tried: dict[str, list[bool]] = defaultdict(list)
    raised: dict[str, str] = {}
    for one in _in_time(items):
        gold = str(one["answer"]).strip()
        others = draw.sample(golds, min(LEAST, len(golds)))
        for kind, text in [*junk.never(str(one["question"]), gold), *junk.likely(gold, others, draw)]:
            tried[kind].append(_accepts(score, text, one, kind, report, raised))
        if pair := junk.hedges(gold, others):
            tried["hedge"].append(all([_accepts(score, text, one, "hedge", report, raised) for text in pair]))
    report["accepted"] = {kind: f"{sum(full)}/{len(full)}" for kind, full in tried.items() if any(full)}
    faults = [f"raises {error} on junk ({kind})" for error, kind in raised.items()]
    return faults + [f"accepts junk: {kind} ({sum(full)} of {len(full)})" for kind, full in tried.items() if _too_many(kind, full)]


def _too_many(kind: str, accepted: Sequence[bool]) -> bool:
    return sum(accepted) > (0 if kind in junk.NEVER else BY_CHANCE * len(accepted))


def _accepts(score: Score, text: str, one: Item, kind: str, report: Report, raised: dict[str, str]) -> bool:
    result = _timed(score, text, one, report)
    if result.get("refused"):
        return False
    if "raised" in result:
        raised.setdefault(result["raised"], kind)
        return False
    value = float(result["score"])
    if kind not in ("other", "near miss", "hedge"):
        report["worst_junk"] = max(report["worst_junk"], value if math.isfinite(value) else 1.0)
    return not value < FULL


def _timed(score: Score, text: str, one: Item, report: Report) -> dict[str, Any]:
    begun = time.process_time()
    result = score(text, one)
    report["slowest"] = max(report["slowest"], round(time.process_time() - begun, 3))
    return result
