"""What step-level searches share: drawing the next steps of partial solutions, having them judged, and ending well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from k2core.concurrency import gather
from k2core.errors import LimitExceeded, explain
from k2core.events import CandidateMade
from k2core.ports import Run
from k2core.types import Candidate, Completion, DecodeRequest, Message, Plan, Problem

from .deadline import before_hurry
from .drawing import Drawing, no_candidate
from .steps import Node, StepConfig, answered, continued


@dataclass
class Search:
    """The work on one problem, whatever decides which partial solutions go on."""

    run: Run
    problem: Problem
    plan: Plan | None
    config: StepConfig
    finished: list[Node] = field(default_factory=list)
    cut: list[Node] = field(default_factory=list)
    """Those that cannot go on: too long, failed, or stopped by a limit or the soft deadline."""
    errors: list[Exception] = field(default_factory=list)
    asked: tuple[Message, ...] = ()

    @property
    def over(self) -> bool:
        """Whether to ask for no more steps."""
        return self.run.hurry or any(isinstance(error, LimitExceeded) for error in self.errors)

    async def start(self, count: int) -> list[Node]:
        """First steps: so many, from one call, which the soft deadline does not cancel, since there is nothing else yet."""
        self.asked = await Drawing(self.run, self.problem, self.plan, self.config).messages()
        return await self._steps(Node(), count)

    async def expand(self, wanted: Sequence[tuple[Node, int]]) -> list[Node]:
        """So many children of each node, in order, but for those whose call failed or was late, which are `cut`.

        Nodes with equal texts are asked for in one call, so that the back end evaluates their prompt once.
        """
        alike: dict[tuple[str, str], list[tuple[Node, int]]] = {}
        for node, count in wanted:
            alike.setdefault((node.text, node.reasoning), []).append((node, count))
        made = await gather(before_hurry(self.run, partial(self._shared, group)) for group in alike.values())
        children: dict[str, list[Node]] = {}
        for group, grown in zip(alike.values(), made, strict=True):
            children |= grown or {}
            self.cut += [node for node, _ in group if not (grown or {}).get(node.id)]
        return [child for node, _ in wanted for child in children.pop(node.id, ())]

    async def _shared(self, group: Sequence[tuple[Node, int]]) -> dict[str, list[Node]]:
        """Children by parent, for parents with equal texts."""
        longest = max((node for node, _ in group), key=lambda node: node.tokens)
        made, children, start = await self._steps(longest, sum(count for _, count in group)), {}, 0
        for node, count in group:
            mine, start = made[start : start + count], start + count
            spent = longest.tokens - node.tokens
            named = [replace(n, path=(*node.path, i), tokens=n.tokens - spent) for i, n in enumerate(mine)]
            children[node.id] = named
        return children

    async def _steps(self, node: Node, count: int) -> list[Node]:
        """From one call; none when it fails."""
        try:
            made = await self.run.decode(self._request(node, count))
        except Exception as error:
            self.errors.append(error)
            self.run.warn("sampler", f"a step after {node.id or 'the start'} failed: {explain(error)}")
            return []
        return [self._grown(node, index, completion) for index, completion in enumerate(made)]

    def _request(self, node: Node, count: int) -> DecodeRequest:
        config = self.config
        return DecodeRequest(
            messages=continued(self.asked, node, config.prefix),
            role="solve",
            n=count,
            max_tokens=min(config.step_tokens, config.max_tokens - node.tokens),
            temperature=config.temperature,
            top_p=config.top_p,
            stop=(*config.stop, *filter(None, [config.step_stop])),
            seed=self.run.seed_for("step", *node.path),
            decoder=config.decoder,
            continue_last=bool(node.path) and config.prefix == "continue",
        )

    def _grown(self, node: Node, index: int, step: Completion) -> Node:
        config, text = self.config, step.text
        if config.prefix == "prompt":
            text = text.removeprefix(node.text.rstrip()).lstrip("\n")
        grown = Node(
            path=(*node.path, index),
            text=node.text + text,
            reasoning=node.reasoning + step.reasoning,
            tokens=node.tokens + step.tokens,
            seconds=node.seconds + step.timing.total,
            model=step.model,
            calls=step.tool_calls,
        )
        if step.finish != "length" and self._ends(grown, step):
            return replace(grown, finish=step.finish)
        if step.finish != "length":
            grown = grown.after(config.step_stop)
        spent = grown.tokens >= config.max_tokens or len(grown.path) >= config.max_steps
        return replace(grown, finish="length") if spent else grown

    def _ends(self, grown: Node, step: Completion) -> bool:
        """Whether the solution is over, and not only its step.

        Where the back end does not tell which of them stopped it, over is what holds a final answer as the problem wants it
        marked, or a step with nothing in it.
        """
        if step.finish != "stop" or not self.config.step_stop:
            return True
        if step.stopped is not None:
            return step.stopped != self.config.step_stop
        return not (step.text.strip() or step.reasoning.strip()) or answered(grown.text, self.problem.answer_format)

    async def judge(self, nodes: Iterable[Node]) -> list[Node]:
        """With scores; equal texts are judged once. Cut and, once a text, finished ones are put aside as well."""
        nodes = list(nodes)
        first: dict[tuple[str, str, str], Node] = {}
        for node in nodes:
            first.setdefault(node.work, node)
        scores = await self._scores([node.judged(self.config.step_stop) for node in first.values()])
        scored = [replace(node, score=scores.get(first[node.work].id)) for node in nodes]
        self._put_aside(scored)
        return scored

    def _put_aside(self, nodes: Sequence[Node]) -> None:
        known = {(node.text, node.work[2]) for node in self.finished}
        for node in nodes:
            if node.finish == "length":
                self.cut.append(node)
            elif node.finish is not None and (node.text, node.work[2]) not in known:
                known.add((node.text, node.work[2]))
                self.finished.append(node)

    async def _scores(self, partials: Sequence[Candidate]) -> Mapping[str, float]:
        verdicts = await before_hurry(self.run, lambda: self.run.verify(partials, only=self.config.verifier))
        return {verdict.candidate_id: verdict.score for verdict in verdicts or () if verdict.status != "error"}

    def announce(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self.run.emit(CandidateMade(candidate=node.candidate()))

    def outcome(self, finished: Sequence[Node], frontier: Sequence[Node] = ()) -> list[Candidate]:
        """The finished candidates; if there is none, what there is, best first and cut for length. Raises when nothing was made."""
        if finished:
            return named(finished)
        unfinished = {node.text: node for node in [*self.cut, *frontier] if node.text.strip()}
        if not unfinished:
            raise no_candidate(self.errors, len(self.errors))
        self.run.warn("sampler", f"no candidate was finished {self._why()}; {len(unfinished)} unfinished ones are what there is")
        return named(sorted(unfinished.values(), key=lambda node: -node.rank))

    def _why(self) -> str:
        if self.run.hurry:
            return "when the soft deadline passed"
        if self.errors:
            return "before its calls failed"
        return f"within {self.config.max_steps} steps and {self.config.max_tokens} tokens"


def named(nodes: Sequence[Node]) -> list[Candidate]:
    """As candidates with ids of their own: copies of a node are numbered."""
    seen: dict[str, int] = {}
    made = []
    for node in nodes:
        copy = seen[node.id] = seen.get(node.id, -1) + 1
        made.append(node.candidate(f"{node.id}~{copy}" if copy else node.id))
    return made
