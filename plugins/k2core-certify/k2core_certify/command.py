"""The command `k2 certify`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from k2core import Commands, Plugin, PluginConfig, hookimpl

if TYPE_CHECKING:
    from .records import Certificate, Finding

STATUS = {"lossless": 0, "lossy": 1, "cannot tell": 3}


class CertifyConfig(PluginConfig):
    """There is nothing to set."""


class Certify(Plugin):
    """Find out whether a decoder is lossless, and certify it."""

    config: CertifyConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = (
            "Sample from a decoder and test whether it draws from its model's distribution. Exit status 0: lossless, 1: lossy, "
            "3: cannot tell, 2: an error in the call."
        )
        parser = app.add_parser("certify", help="find out whether a decoder is lossless", description=about)
        parser.add_argument("--config", metavar="FILE", required=True, help="pipeline with the decoder, as TOML or YAML")
        changed = "change an option of the pipeline, such as decoders.solver.parallel=8; repeatable"
        parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help=changed)
        parser.add_argument("--decoder", metavar="NAME", default="solver", help="its name under [decoders]; solver")
        where = "folder, GGUF file or name of the model that is to be sampled from; by default the decoder's option `model`"
        parser.add_argument("--target", metavar="MODEL", help=where)
        parser.add_argument("--against", metavar="NAME", help="compare with this decoder, such as the same without speculation")
        rows = "ask these for the long samples: rows of JSON with `messages` or a `problem`; by default eight questions of our own"
        parser.add_argument("--prompts", metavar="FILE", help=rows)
        parser.add_argument("--out", metavar="FILE", default="certificate.json", help="where to write; certificate.json")
        parser.add_argument("--samples", metavar="N", type=_count, default=160, help="long samples to draw (160)")
        parser.add_argument("--seed", metavar="S", type=int, default=0, help="of samples and tests (0)")
        parser.add_argument(
            "--alpha", metavar="A", type=_share, default=0.01, help="chance to call a lossless decoder lossy (0.01)"
        )
        planted = "share of wrongly drawn tokens that must be detectable for a verdict of lossless (0.05)"
        parser.add_argument("--bias", metavar="B", type=_share, default=0.05, help=planted)
        parser.set_defaults(run=main)


def _count(text: str) -> int:
    if not 8 <= (value := int(text)) <= 100_000:
        raise argparse.ArgumentTypeError("it is between 8 and 100000")
    return value


def _share(text: str) -> float:
    if not 0 < (value := float(text)) < 1:
        raise argparse.ArgumentTypeError("it is between 0 and 1")
    return value


def main(args: argparse.Namespace) -> int:
    """Sample, test, print, write."""
    import asyncio
    from pathlib import Path

    from k2core import K2Error

    from .certifying import Order, certify

    order = Order(
        args.config, tuple(args.set), args.decoder, args.target, args.against, args.samples, args.seed, args.alpha, args.bias,
        args.prompts,
    )  # fmt: skip
    made = asyncio.run(certify(order, _tell))
    try:
        Path(args.out).write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise K2Error(f"cannot write {args.out}: {error.strerror or error}") from error
    print(table(made))
    return STATUS[made.verdict]


def _tell(what: str) -> None:
    print(f"\r{what:<60}", end="", file=sys.stderr, flush=True)


def table(made: Certificate) -> str:
    """The verdict, why, and a line a test."""
    lines = [f"{made.decoder}: {made.verdict}", *(f"  {reason}" for reason in made.reasons), ""]
    lines += [f"{'test':32}{'found':>17}{'margin':>8}{'p':>10}{'finds 95 %':>12}{'n':>8}"]
    lines += [_line(f) for f in made.findings]
    lines += [f"note: {note}" for note in made.notes]
    if made.numerics:
        lines += [f"arithmetic: reported log-probabilities differ by {made.numerics.mean:+.4f} nats, {made.numerics.rms:.4f} rms"]
    spent = made.usage
    lines += [f"asked: {made.prompts}"] if made.prompts else []
    lines += [
        f"{made.samples} samples, {made.tokens} tokens tested, {spent.tokens} spent in {spent.served} calls; alpha {made.alpha:g}"
    ]
    return "\n".join(lines)


def _line(f: Finding) -> str:
    found = "-" if f.detectable is None else f"{f.detectable:.4f}"
    name = f"{f.name} ({f.kind})" if f.kind != "greedy" else f.name
    mark = "  rejected" if f.rejected else ""
    return f"{name:32}{f.bias:>+10.4f} {f.unit:<6}{f.margin:>8.3g}{f.p:>10.2g}{found:>12}{f.samples:>8}{mark}"
