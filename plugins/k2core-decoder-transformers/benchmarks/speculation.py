"""What drafting brings: accepted share, tokens a pass, tokens a second against none, microseconds of drafting a token.

    python plugins/k2core-decoder-transformers/benchmarks/speculation.py [--counts] [--tokens 96] [--repeats 2]

Modes are interleaved within a repeat; speed is the best repeat's, ratios are of times of the same repeat (their median).
`fixed` drafts 8 tokens whenever anything matches and shows the drafter; `paced` is what users get. `--counts` decodes once
without drafting and replays the drafters on these texts, which is exact since drafting does not change them: no clock matters.
"""

from __future__ import annotations

import argparse
import itertools
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from k2core_decoder_transformers.config import TransformersConfig
from k2core_decoder_transformers.engine.core import Engine
from k2core_decoder_transformers.engine.crew import disband
from k2core_decoder_transformers.engine.job import Job, agreed
from k2core_decoder_transformers.loading import load
from k2core_decoder_transformers.speculation import SpeculationConfig
from k2core_decoder_transformers.speculation.drafters import speculation_for
from k2core_decoder_transformers.speculation.lookup import PromptLookup
from k2core_decoder_transformers.speculation.sibling import Sibling

from k2core.types import DecodeRequest, Message

COLOURS = ("red", "blue", "green", "black", "white")
LIST = "\n".join(f"{i}. The {colour} box holds {2 * i} plums and {i + 3} pears." for i, colour in enumerate(COLOURS, 1))
CODE = (
    "def area(width, height):\n    return width * height\n\n"
    "def volume(width, height, depth):\n    return area(width, height) * depth\n"
)
TEXTS = {
    "copy": [
        f"Repeat the following text exactly, word for word, and nothing else:\n\n{LIST}",
        f"Write the following program again without any change:\n\n{CODE}",
    ],
    "free": [
        "Tell a short story about a lighthouse keeper who finds a letter in a bottle.",
        "Explain to a child why the sky is blue and why sunsets are red.",
    ],
}


def decode(engine: Engine, prompt: str, n: int, tokens: int, temperature: float) -> tuple[float, list[Job]]:
    """Seconds and the job of one request."""
    done, errors = threading.Event(), []

    def ended(error: Exception | None) -> None:
        errors.append(error)
        done.set()

    request = DecodeRequest(
        messages=(Message(role="user", content=prompt),), n=n, max_tokens=tokens, temperature=temperature, seed=1
    )
    job = Job(engine.next_id(), request, 0, 0.0, lambda index, text, count: None, ended)
    began = time.perf_counter()
    engine.submit(job)
    done.wait()
    if errors[0] is not None:
        raise errors[0]
    return time.perf_counter() - began, [job]


def measure(engine: Engine, kind: str, n: int, args: argparse.Namespace) -> dict[str, float]:
    """One mode on the prompts of a kind; passes are counted where sequences take part in them."""
    passes = [0]
    really = engine._finish

    def counting(asked: Any, *rest: Any) -> None:
        passes[0] += len(asked)
        really(asked, *rest)

    engine._finish = counting  # type: ignore[method-assign] # reason: counts how often each sequence took part in a pass
    before = engine.speculation.seconds if engine.speculation else 0.0
    seconds, jobs = 0.0, []
    try:
        for prompt in TEXTS[kind]:
            took, made = decode(engine, prompt, n, args.tokens, args.temperature)
            seconds, jobs = seconds + took, jobs + made
    finally:
        del engine._finish
    tokens, drafted = sum(job.tokens for job in jobs), sum(job.drafted for job in jobs)
    drafting = (engine.speculation.seconds if engine.speculation else 0.0) - before
    return {
        "seconds": seconds,
        "tokens": tokens,
        "speed": tokens / seconds,
        "drafted": drafted,
        "accepted": sum(job.accepted for job in jobs),
        "per_pass": tokens / max(1, passes[0]),
        "drafting_us": 1e6 * drafting / tokens,
    }


@dataclass
class Replayed:
    """A view of a text that is known already."""

    id: int
    prompt: list[int]
    text: list[int]
    ids: list[int]
    group: int = 0
    prediction: tuple[int, ...] = ()


def replay(drafter: Any, prompt: list[int], texts: list[list[int]]) -> tuple[int, int, int, float]:
    """Drafted, accepted, passes, and the process's seconds, with all texts growing side by side."""
    everyone = [Replayed(i, prompt, text, text[:1]) for i, text in enumerate(texts)]
    drafted, accepted, passes, began = 0, 0, 0, time.process_time()
    for view in everyone:
        drafter.open(view)
        drafter.grew(view, view.ids)
    while views := [view for view in everyone if len(view.ids) < len(view.text)]:
        drafts = drafter.draft(views, [min(8, len(view.text) - len(view.ids) - 1) for view in views])
        for view, draft in zip(views, drafts, strict=True):
            at = len(view.ids)
            right = agreed(draft.tokens, [*view.text[at:], -1])
            view.ids = view.text[: at + right + 1]
            drafter.grew(view, view.ids[at:])
            drafted, accepted, passes = drafted + len(draft.tokens), accepted + right, passes + 1
    return drafted, accepted, passes, time.process_time() - began


def count_only(args: argparse.Namespace) -> None:
    config = TransformersConfig(model=args.model)
    engine, n = Engine(config, load(config), None), max(args.n)
    disband()
    try:
        jobs = {kind: [decode(engine, text, n, args.tokens, args.temperature)[1][0] for text in TEXTS[kind]] for kind in TEXTS}
    finally:
        engine.close()
    print(f"{'text':5} {'N':>2} {'drafter':14} {'accepted/drafted':>16} {'share':>5} {'tok/pass':>8} {'us/tok':>7}")
    for kind, n, make in itertools.product(TEXTS, args.n, (PromptLookup, Sibling)):
        texts = [[choice.ids for choice in job.choices[:n]] for job in jobs[kind]]
        found = [replay(make(), job.prompt, text) for job, text in zip(jobs[kind], texts, strict=True)]
        drafted, accepted, passes, seconds = (sum(part) for part in zip(*found, strict=True))
        tokens, of = sum(len(ids) for text in texts for ids in text), f"{accepted}/{drafted}"
        share = accepted / max(1, drafted)
        print(
            f"{kind:5} {n:2} {make.__name__:14} {of:>16} {share:5.0%} {tokens / max(1, passes):8.2f} {1e6 * seconds / tokens:7.1f}"
        )


def modes(args: argparse.Namespace) -> dict[str, SpeculationConfig]:
    drafters: list[dict[str, Any]] = [{"drafter": "prompt-lookup"}, {"drafter": "sibling"}]
    if args.draft_model:
        drafters.append({"drafter": "draft-model", "model": args.draft_model})
    found = {"none": SpeculationConfig(drafter="none")}
    for options in drafters:
        found[f"{options['drafter']} fixed"] = SpeculationConfig(**options, most=8, adaptive=False)
        found[f"{options['drafter']} paced"] = SpeculationConfig(**options)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--draft-model", default="")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--n", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--counts", action="store_true")
    args = parser.parse_args()
    if args.counts:
        count_only(args)
        return
    config = TransformersConfig(model=args.model)
    loaded = load(config)
    disband()
    engines = {
        name: Engine(config, loaded, speculation_for(option, loaded, threading.Event())) for name, option in modes(args).items()
    }
    lines: list[dict[str, Any]] = []
    try:
        for engine in engines.values():
            decode(engine, "Say hello.", 2, 24, 1.0)
        print(
            f"{'text':5} {'N':>2} {'mode':20} {'tok/s':>7} {'x none':>6} {'accepted/drafted':>16} "
            f"{'share':>5} {'tok/pass':>8} {'us/tok':>7}"
        )
        for kind in TEXTS:
            for n in args.n:
                runs = [{name: measure(engine, kind, n, args) for name, engine in engines.items()} for _ in range(args.repeats)]
                for name in engines:
                    best = min((run[name] for run in runs), key=lambda found: found["seconds"])
                    ratio = median(run[name]["speed"] / run["none"]["speed"] for run in runs)
                    lines.append({"kind": kind, "n": n, "mode": name, "ratio": ratio, **best})
                    share = best["accepted"] / best["drafted"] if best["drafted"] else 0.0
                    counts = f"{best['accepted']:.0f}/{best['drafted']:.0f}"
                    print(
                        f"{kind:5} {n:2} {name:20} {best['speed']:7.1f} {ratio:6.2f} {counts:>16} {share:5.0%} "
                        f"{best['per_pass']:8.2f} {best['drafting_us']:7.1f}",
                        flush=True,
                    )
    finally:
        for engine in engines.values():
            engine.close()
    if args.out:
        args.out.write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
