"""`k2 train plot`: what trainings have measured, as a PNG and as an HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(subparsers: Any) -> None:
    """Register the parser."""
    about = (
        "Draw metrics.jsonl of one or several trainings, over one another, into metrics.png and metrics.html of the first DIR. "
        "The page needs nothing from elsewhere; the PNG needs matplotlib."
    )
    parser = subparsers.add_parser("plot", help="draw how trainings went", description=about)
    parser.add_argument("folders", metavar="DIR", nargs="+", type=Path, help="folder of a training")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write; default: the first DIR")
    parser.add_argument("--html", action="store_true", help="the page only")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Read, draw, and name what was read and written. Raises `ConfigError`."""
    from k2core.errors import ConfigError

    from ..following.metrics import NAME
    from ..following.page import page
    from ..following.picture import draw
    from ..following.series import panels

    folders = list(dict.fromkeys(args.folders))
    drawn = panels(folders)
    out = args.out or folders[0]
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.html").write_text(page(drawn, [str(folder / NAME) for folder in folders]), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to {out}: {error.strerror or error}") from error
    for folder in folders:
        print(f"read {folder / NAME}")
    print(f"wrote {out / 'metrics.html'}")
    if not args.html:
        draw(drawn, out / "metrics.png")
        print(f"wrote {out / 'metrics.png'}")
    return 0
