"""The command `k2 train`: a word for each installed trainer, and `plot`."""

from __future__ import annotations

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands


class TrainConfig(PluginConfig):
    """There is nothing to set."""


class Train(Plugin):
    """Train a model, and draw how it went."""

    config: TrainConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        from k2core.registry import Registry

        from .commands import plot, train

        about = "Train a model with one of the installed trainers, or draw what the trainings in folders have measured."
        parser = app.add_parser("train", help="train a model", description=about)
        words = parser.add_subparsers(metavar="WORD", required=True)
        for found in Registry().find_all():
            if found.role == "trainer" and not found.why:
                train.add(words, found.name, found.summary)
        plot.add(words)
