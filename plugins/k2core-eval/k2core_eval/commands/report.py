"""`k2 eval report DIR…`: one or several evaluations as an HTML page, Markdown and JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(subparsers: Any) -> None:
    about = (
        "Write report.html, report.md and report.json about one evaluation, or about several as arms of one experiment: name the "
        "bare one first, or label it so. The page is a single file that needs no network. The same folders give the same bytes."
    )
    parser = subparsers.add_parser("report", help="write a report of evaluations", description=about)
    parser.add_argument("folders", metavar="DIR", nargs="+", type=Path, help="folder of an evaluation")
    out = "folder for the three files, or the name of one of them (.html, .md or .json); default: the first DIR"
    parser.add_argument("--out", metavar="PATH", type=Path, help=out)
    parser.add_argument("--title", metavar="TEXT", default="", help="heading of the report; default: tasks and arms")
    details = "show the texts of at most N problems; default: 200, and 0 for a page without any"
    parser.add_argument("--details", metavar="N", type=int, default=200, help=details)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """The exit status is 0 once the files are written."""
    from k2core.errors import ConfigError

    from ..reporting.report import write_one, write_reports

    if args.details < 0:
        raise ConfigError(f"must be at least 0, not {args.details}", "--details")
    out = args.out or args.folders[0]
    if out.suffix in (".html", ".md", ".json") and not out.is_dir():
        written = [write_one(args.folders, out, title=args.title, details=args.details)]
    else:
        written = write_reports(args.folders, out, title=args.title, details=args.details)
    for path in written:
        print(path)
    return 0
