"""The plugin `beam`: step by step, the partial solutions that a process verifier likes best go on."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Candidate, Plan, Problem

from .search import Search
from .steps import Node, StepConfig


class BeamConfig(StepConfig):
    """Options of `beam`."""

    width: int = Field(default=4, ge=1)
    """How many partial solutions are kept after each step."""
    expand: int = Field(default=4, ge=1)
    """How many next steps are drawn for each of them."""
    trees: int = Field(default=1, ge=1)
    """Subtrees that share the width and do not compete, for variety; as many as `width` is diverse verifier tree search."""

    @model_validator(mode="after")
    def _room(self) -> BeamConfig:
        if self.trees > self.width:
            raise ValueError(f"{self.trees} trees need a width of at least {self.trees}, one for each")
        return self


class Beam(Plugin):
    """Beam search over steps. Whatever finishes on the way is a candidate; a finished one that was good enough ends its beam."""

    config: BeamConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        config, search = self.config, Search(run, problem, plan, self.config)
        first = await search.judge(await search.start(config.width * config.expand))
        trees = [
            _Tree(config.width // config.trees + (number < config.width % config.trees), first[number :: config.trees])
            for number in range(config.trees)
        ]
        frontier = [node for tree in trees for node in tree.select()]
        told = 0
        while True:
            search.announce(search.finished[told:])
            told = len(search.finished)
            if not frontier or search.over:
                return search.outcome(search.finished, frontier)
            grown = await search.judge(await search.expand([(node, config.expand) for node in frontier]))
            frontier = [node for tree in trees for node in tree.step(grown)]


class _Tree:
    """One beam: `slots` solutions go on, or have been good enough to end theirs."""

    def __init__(self, slots: int, grown: Sequence[Node]) -> None:
        self.slots, self._grown = slots, list(grown)
        self._roots = {node.path[0] for node in grown}

    def step(self, grown: Sequence[Node]) -> list[Node]:
        """Take the new nodes that are this tree's."""
        self._grown = [node for node in grown if node.path[0] in self._roots]
        return self.select()

    def select(self) -> list[Node]:
        """The best of the new nodes; the finished ones among them take their slots for good.

        Equal texts may fill several slots: more steps are then drawn from them, in one call.
        """
        ordered = sorted(self._grown, key=lambda node: -node.rank)[: self.slots]
        self.slots -= sum(node.finish is not None for node in ordered)
        return [node for node in ordered if node.finish is None]
