"""The command `k2 eval`: one word for each thing that can be done with evaluations."""

from __future__ import annotations

from importlib import import_module

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

WORDS = ("run", "tasks", "compare", "contamination", "rescore", "report", "safety-judge")


class EvalConfig(PluginConfig):
    """There is nothing to set."""


class Eval(Plugin):
    """Evaluate a pipeline, compare and check evaluations, report them."""

    config: EvalConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = "Evaluate pipelines on benchmarks: run, list tasks, compare, check for contamination, rescore, report."
        parser = app.add_parser("eval", help="evaluate a pipeline", description=about)
        words = parser.add_subparsers(metavar="WORD", required=True)
        for word in WORDS:
            import_module(f".commands.{word.replace('-', '_')}", __package__).add(words)
