"""`k2 eval compare A B`: which of two evaluations is better at equal total tokens, if that can be said."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(subparsers: Any) -> None:
    about = (
        "Compare two evaluations, paired by problem, at equal total tokens: planner, judge, cancelled and failed calls included. "
        "The arm that spends less is given more of its own samples, decided by majority vote over its stored repeats. "
        "Says that one is better only if the interval of the difference excludes zero and the test agrees; flags what else differs."
    )
    parser = subparsers.add_parser("compare", help="compare two evaluations at equal total tokens", description=about)
    parser.add_argument("a", metavar="A", type=Path, help="folder of an evaluation, such as the baseline")
    parser.add_argument("b", metavar="B", type=Path, help="folder of another one on the same tasks")
    equal = "vote: give the cheaper arm more of its own samples (default); off: show the figures as they are, without verdict"
    parser.add_argument("--equal-tokens", choices=("vote", "off"), default="vote", help=equal)
    tolerance = "tokens that differ by less than this share count as equal; default: 0.02"
    parser.add_argument("--tolerance", metavar="SHARE", type=float, default=0.02, help=tolerance)
    parser.add_argument("--json", action="store_true", help="write the whole comparison as JSON")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """The exit status is 0 whenever a comparison could be made, whatever it says."""
    from k2core.errors import ConfigError

    from ..comparing.comparison import compare
    from ..comparing.text import render
    from ..store.folder import Folder

    if not 0 <= args.tolerance <= 0.5:
        raise ConfigError(f"must be a share from 0 to 0.5, not {args.tolerance:g}", "--tolerance")
    found = compare(Folder(args.a), Folder(args.b), tolerance=args.tolerance, mode=args.equal_tokens)
    print(found.model_dump_json(indent=1) if args.json else render(found), end="\n" if args.json else "")
    return 0
