"""`k2 eval rescore`: another verifier, stopping rule, sampler or N on stored candidates."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k2core.registry import Registry

    from ..rescoring.rescore import Wish


def add(subparsers: Any) -> None:
    about = (
        "Run another verifier, stopping rule, sampler or number of candidates, or another grader, on the candidates that an "
        "evaluation has stored. No model is asked; tokens are what the candidates that are used had cost. A sampler that wants "
        "more candidates than each sample has gets those of all its problem's repeats, dealt anew."
    )
    parser = subparsers.add_parser("rescore", help="put stored candidates to another use", description=about)
    parser.add_argument("folder", metavar="DIR", type=Path, help="a finished evaluation with its traces")
    parser.add_argument("--out", metavar="DIR2", type=Path, required=True, help="folder of the new evaluation")
    change = "a change, such as sampler.use=majority, sampler.n=4, verifiers.math.weight=0, grading.gsm8k.timeout=9; repeatable"
    parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help=change)
    parser.add_argument(
        "--without", metavar="PATH", action="append", default=[], help="leave a table out, such as verifiers.judge; repeatable"
    )
    parser.add_argument("--n", metavar="N,N,...", type=_numbers, help="rescore with each of these sampler.n, and print a table")
    parser.add_argument("--repeats", metavar="R", type=int, help="fewer repeats than there are stored candidates for")
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of dealing pooled candidates; default: 0")
    parser.add_argument("--label", metavar="TEXT", default="", help="what to call the new evaluation")
    parser.add_argument("--concurrency", metavar="C", type=int, default=16, help="runs side by side; default: 16")
    parser.add_argument(
        "--allow-calls", action="store_true", help="ask the models for plans and judgements that are not stored: this costs tokens"
    )
    parser.set_defaults(run=main)


def _numbers(text: str) -> list[int]:
    numbers = sorted({int(part) for part in text.split(",")})
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError("it is a list of numbers from 1 up, such as 1,2,4,8")
    return numbers


def main(args: argparse.Namespace) -> int:
    """The exit status is 0 once every sample is rescored. Raises `ConfigError` for what stored candidates do not allow."""
    from k2core.registry import Registry

    from ..rescoring.rescore import Wish
    from ..running.session import guarded

    wish = Wish(
        source=args.folder,
        out=args.out,
        overrides=tuple(args.set),
        without=tuple(args.without),
        repeats=args.repeats,
        seed=args.seed,
        label=args.label,
        allow_calls=args.allow_calls,
        concurrency=args.concurrency,
    )
    return guarded(lambda: _ladder(wish, args.n, Registry) if args.n else _once(wish, Registry))


def _once(wish: Wish, registry: Callable[[], Registry]) -> int:
    from ..comparing.comparison import compare
    from ..comparing.text import render
    from ..rescoring.rescore import Rescoring
    from ..rescoring.telling import as_json, text, write
    from ..running.session import report
    from ..store.folder import Folder

    rescoring = Rescoring(wish, registry)
    rescored = asyncio.run(rescoring.run())
    source, out = Folder(wish.source), Folder(wish.out)
    write(out, as_json(rescoring, rescored))
    report([out.path], out.path)
    print(f"{rescored.ended.text}\n{text(rescoring, rescored)}\n\n{render(compare(source, out))}", end="")
    return 0 if rescored.ended.complete else 1


def _ladder(wish: Wish, numbers: list[int], registry: Callable[[], Registry]) -> int:
    from ..rescoring.ladder import climb, text

    print(text(asyncio.run(climb(wish, numbers, registry))))
    return 0
