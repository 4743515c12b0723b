"""What the commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k2core import PipelineConfig


def add_pipeline_options(parser: argparse.ArgumentParser) -> None:
    """`--config` and `--set`."""
    parser.add_argument("--config", metavar="FILE", help="pipeline, as TOML or YAML; by default the embedded one")
    add_set(parser)


def add_set(parser: argparse.ArgumentParser) -> None:
    """`--set`, alone."""
    help_text = "change an option of the pipeline, such as sampler.n=5; repeatable"
    parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help=help_text)


def pipeline(path: str | None, overrides: Sequence[str]) -> PipelineConfig:
    """The pipeline of a file, or the default one, with overrides. Raises `ConfigError`."""
    from k2core import PipelineConfig

    return PipelineConfig.from_file(path, overrides) if path else PipelineConfig.default(overrides)
