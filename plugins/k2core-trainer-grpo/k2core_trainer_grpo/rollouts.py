"""What a step trains on: completions of the pipeline's decoder, and what its verifiers think of them. No torch in here."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from k2core_sampler.config import SamplingConfig
from k2core_sampler.prompt import solver_messages
from k2core_training.measuring import key_of
from k2core_training.ordering import seed_of

from k2core.concurrency import gather
from k2core.errors import ConfigError, LimitExceeded, PluginError, explain
from k2core.ports import Run, Session
from k2core.types import Candidate, Completion, DecodeRequest, Plan, Task, Usage, Verdict

from .config import GrpoConfig
from .shaping import overlong_penalty, uniform


@dataclass
class Sample:
    """One completion: its tokens, what the engine thought of them, and what it is worth."""

    task: Task
    group: int
    prompt: Sequence[int]
    ids: Sequence[int]
    rollout: Sequence[float]
    """Log-probability of each of `ids` by the engine, at temperature 1."""
    text: str
    finish: str
    score: float
    """By the verifiers, 0..1."""
    reward: float
    """The score with the format's reward and the punishment for length."""
    answer: str | None = None
    """As verifiers found it, in the form that answers vote in."""
    advantage: float = 0.0

    @property
    def truncated(self) -> bool:
        return self.finish == "length"


@dataclass
class Rollouts:
    """The samples of a step in order, and what was left out."""

    samples: list[Sample] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """How many completions, by reason."""
    reasons: dict[str, str] = field(default_factory=dict)
    """The first message for each of those."""
    groups: int = 0
    """Prompts rolled out, those replaced included."""
    uniform: int = 0
    """Those of them whose completions all got the same reward."""
    usage: dict[str, Usage] = field(default_factory=dict)
    """By request role."""
    decoded: float = 0.0
    """When the last completion came, on the monotonic clock."""
    tail: float = 0.0
    """Seconds from then until the last verdict."""

    def skip(self, reason: str, message: str, count: int = 1) -> None:
        self.skipped[reason] += count
        self.reasons.setdefault(reason, message)

    def spend(self, usage: Mapping[str, Usage]) -> None:
        for role, more in usage.items():
            self.usage[role] = self.usage.get(role, Usage()) + more


@dataclass(frozen=True)
class Prompting:
    """How the pipeline asks and judges, read from its effective configuration."""

    sampling: SamplingConfig
    weights: Mapping[str, float]
    """Of the verifiers, by name."""
    later: frozenset[str]
    """The verifiers that are asked about what the others left undecided."""

    @classmethod
    def of(cls, pipeline: Mapping[str, Any]) -> Prompting:
        """Raises `ConfigError` for a pipeline that cannot reward."""
        sampler, verifiers = pipeline.get("sampler", {}), pipeline.get("verifiers", {})
        known = {name: value for name, value in sampler.items() if name in SamplingConfig.model_fields}
        weights = {name: float(table.get("weight", 1.0)) for name, table in verifiers.items()}
        if not any(weights.values()):
            raise ConfigError("rewards come from verifiers, and the pipeline has none with a weight", "verifiers")
        later = frozenset(name for name, table in verifiers.items() if table.get("when") == "undecided")
        return cls(SamplingConfig.model_validate(known), weights, later)

    def score(self, verdicts: Sequence[Verdict]) -> float | None:
        """As the kernel's: the weighted mean, or what the last verifier for the undecided said. None where there is no verdict."""
        verdicts = [verdict for verdict in verdicts if verdict.status != "error"]
        if late := [verdict for verdict in verdicts if verdict.verifier in self.later]:
            return late[-1].score
        total = sum(self.weights[verdict.verifier] for verdict in verdicts)
        return sum(self.weights[v.verifier] * v.score for v in verdicts) / total if total else None


class Roller:
    """Rolls out prompts in the event loop. The same step and the same prompts give the same samples, whatever happened before."""

    def __init__(
        self, session: Session, config: GrpoConfig, render: Callable[[DecodeRequest], Sequence[int]], text_of: Callable[..., str]
    ) -> None:
        """`render` makes a request's prompt tokens, as the decoder does, and `text_of` the text of tokens."""
        self._session, self._config, self._render, self._text_of = session, config, render, text_of
        self._prompting = Prompting.of(session.effective)
        self.score = self._prompting.score
        """What an answer with such verdicts is worth, 0..1; None where they do not say."""
        self.max_tokens = config.max_tokens or self._prompting.sampling.max_tokens
        self._format = re.compile(config.reward.format, re.DOTALL)

    async def roll(self, step: int, draw: Callable[[int], Sequence[Task]], told: Callable[[Task, float], None]) -> Rollouts:
        """The groups of a step. `draw(n)` gives tasks, `told` learns a task's mean score.

        Under dynamic sampling further prompts follow in rounds, so that which they are does not depend on timing.
        """
        config, found, kept = self._config, Rollouts(), list[list[Sample]]()
        for _ in range(1 + config.dynamic_sampling):
            tasks = draw(config.prompts - len(kept))
            groups = await self._round(step, found, tasks)
            for task, group in zip(tasks, groups, strict=True):
                if group:
                    told(task, sum(sample.score for sample in group) / len(group))
                same = uniform([sample.reward for sample in group])
                found.uniform += same and bool(group)
                if group and not (same and config.dynamic_sampling):
                    kept.append(group)
            if len(kept) >= config.prompts or not config.dynamic_sampling:
                break
        for number, group in enumerate(kept):
            for sample in group:
                sample.group = number
        found.samples = [sample for group in kept for sample in group]
        found.tail = time.monotonic() - found.decoded if found.decoded else 0.0
        return found

    async def _round(self, step: int, found: Rollouts, tasks: Sequence[Task]) -> list[list[Sample]]:
        """A group for each task, empty where the decoder failed. All begin together; each is judged as soon as it is complete."""
        first = found.groups
        found.groups += len(tasks)
        plans = await gather(self._plan(step, first + i, found, task) for i, task in enumerate(tasks))
        return await gather(self._group(step, first + i, found, task, plans[i]) for i, task in enumerate(tasks))

    async def _plan(self, step: int, index: int, found: Rollouts, task: Task) -> Plan | None:
        if seed_of(self._config.seed, step, index, "planned") >= self._config.plan * 2**31:
            return None
        async with self._session.open(task.problem, seed=seed_of(self._config.seed, step, index)) as run:
            plan = await run.plan()
            found.spend(run.usage)
            return plan

    async def _group(self, step: int, index: int, found: Rollouts, task: Task, plan: Plan | None) -> list[Sample]:
        async with self._session.open(task.problem, seed=seed_of(self._config.seed, step, index)) as run:
            request = self.request(run, task, plan)
            try:
                completions = await run.decode(request)
            except (PluginError, LimitExceeded) as error:
                found.skip("rollout failed", explain(error), self._config.group)
                return []
            found.decoded = time.monotonic()
            prompt = self._checked(run, request, completions)
            judged = await gather(self._judged(run, found, i, c, task) for i, c in enumerate(completions))
            found.spend(run.usage)
            made = zip(completions, judged, strict=True)
            return [self._sample(task, prompt, c, *verdict) for c, verdict in made if verdict is not None]

    def request(self, run: Run, task: Task, plan: Plan | None) -> DecodeRequest:
        """What the pipeline's sampler would ask, for a whole group and with log-probabilities."""
        config, sampling = self._config, self._prompting.sampling
        messages = solver_messages(
            task.problem,
            plan,
            system=sampling.system,
            instructions=sampling.instructions,
            examples=sampling.examples,
            plan_in=sampling.plan_in,
        )
        return DecodeRequest(
            messages=messages,
            n=config.group,
            max_tokens=self.max_tokens,
            temperature=config.temperature,
            stop=sampling.stop,
            seed=run.seed_for("rollout"),
            logprobs=1,
            decoder=config.decoder,
        )

    def _checked(self, run: Run, request: DecodeRequest, completions: Sequence[Completion]) -> Sequence[int]:
        """The prompt's tokens. Raises `ConfigError` for a decoder that tells no tokens, or sees another prompt than the trainer."""
        where = f"decoders.{request.decoder}"
        if any(not c.logprobs or any(token.id is None for token in c.logprobs) for c in completions):
            raise ConfigError("this decoder does not tell which tokens it drew, so its model cannot be trained", where)
        prompt, used = self._render(request), run.usage["solve"]
        if used.started and not used.estimated and used.prompt_tokens != len(prompt):
            apart = f"the decoder made {used.prompt_tokens} tokens of a prompt, the trainer {len(prompt)}"
            raise ConfigError(f"{apart}: both must have the same model and chat_template", where)
        return prompt

    async def _judged(
        self, run: Run, found: Rollouts, place: int, completion: Completion, task: Task
    ) -> tuple[float, str | None] | None:
        """The verifiers' score and the answer; None, counted, where one failed or took too long: no answer is not a wrong one."""
        candidate = Candidate(id=str(place), text=completion.text, completion=completion)
        try:
            async with asyncio.timeout(self._config.reward.timeout):
                verdicts = await run.verify([candidate], task.reference)
        except TimeoutError:
            found.skip(
                "verifier timed out", f"no verdict on a completion of {task.problem.id} in {self._config.reward.timeout:g} s"
            )
            return None
        failed = next((v for v in verdicts if v.status == "error" and self._prompting.weights[v.verifier]), None)
        if failed is not None:
            found.skip("verifier failed", f"{failed.verifier}: {failed.reason}")
            return None
        score = self._prompting.score(verdicts)
        if score is None:
            found.skip("no verdict", f"no verifier judged a completion of {task.problem.id}")
            return None
        return score, key_of(verdicts)

    def _sample(self, task: Task, prompt: Sequence[int], completion: Completion, score: float, answer: str | None) -> Sample:
        reward, drawn = self._config.reward, completion.logprobs or ()
        ids = [token.id for token in drawn if token.id is not None]
        worth = score - overlong_penalty(len(ids), self.max_tokens, reward.overlong_buffer, reward.overlong_factor)
        text = self._text_of(ids)
        if reward.format_weight and self._format.fullmatch(text):
            worth += reward.format_weight
        rollout = [token.logprob for token in drawn]
        return Sample(task, 0, prompt, ids, rollout, text, completion.finish, score, worth, answer)
