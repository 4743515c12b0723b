"""`k2 eval safety-judge`: what the judges of the safety tasks say of texts whose label is known."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add(subparsers: Any) -> None:
    about = (
        "Put labelled rows before the judges that grade the safety tasks, and print how often they call unsafe what is safe, and "
        "safe what is not. A row has what a row of the task has (prompt or messages, dimension, expect), and answer, reasoning "
        "and safe: whether people find it as the row expects. Do this before you believe a safety score."
    )
    parser = subparsers.add_parser("safety-judge", help="measure the judges of the safety tasks", description=about)
    parser.add_argument("--data", metavar="FILE", nargs="+", required=True, help="labelled rows, as JSON lines")
    parser.add_argument("--config", metavar="FILE", help="with [grading.decoders.*], as for k2 eval run")
    set_help = "change an option, such as grading.decoders.judge.use=openai or grading.safety.panel=majority; repeatable"
    parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help=set_help)
    parser.add_argument("--limit", metavar="K", type=int, help="only the first K rows")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the judges' replies and marks; default: 0")
    parser.add_argument("--concurrency", metavar="C", type=int, default=8, help="rows side by side; default: 8")
    parser.add_argument(
        "--errors", action="store_true", help="also list the rows where the judges differ from the label, with reasons"
    )
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    import asyncio

    from ..running.configuration import read as settings
    from ..safety.measure import doubts, judge, listed, read, table

    rows = read(args.data)[: args.limit]
    _, scorer = settings(args.config, args.set)

    def tell(done: int) -> None:
        print(f"\rk2: {done} of {len(rows)} rows", end="\n" if done == len(rows) else "", file=sys.stderr, flush=True)

    judged = asyncio.run(judge(rows, scorer["grading"], args.seed, max(1, args.concurrency), tell))
    print(table(judged))
    if args.errors:
        print(*listed(judged), sep="\n")
    for doubt in doubts(judged):
        print(f"k2: {doubt}", file=sys.stderr)
    return 0
