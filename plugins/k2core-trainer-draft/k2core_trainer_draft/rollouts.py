"""What the target says to many prompts, through the kernel's decoder, kept in a file as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from k2core_training.data.chats import Unusable, chat_of
from k2core_training.data.config import DataOptions
from k2core_training.data.rendering import need_template
from k2core_training.data.rows import expand, rows
from k2core_training.data.skips import Skips
from k2core_training.errors import DiskError, TrainingError
from k2core_training.packing import TokenSequence
from k2core_training.working import Work

from k2core.errors import ConfigError
from k2core.types import Completion, DecodeRequest, Message, Problem, Task

from .config import RolloutOptions

if TYPE_CHECKING:
    from k2core_decoder_transformers.loading.loaded import Loaded

NAME = "rollouts.jsonl"
FILES = "trainer.rollouts.files"


@dataclass(frozen=True)
class Rollout:
    """Tokens of a prompt and of what the target went on with."""

    prompt: list[int]
    ids: list[int]

    @property
    def sequence(self) -> TokenSequence:
        """All tokens; those of the target are to be predicted."""
        return TokenSequence([*self.prompt, *self.ids], slice(len(self.prompt), None))


class Prompt(NamedTuple):
    """What the target may be asked."""

    messages: tuple[Message, ...]
    place: str
    """File and line, or the task."""


class Asked(NamedTuple):
    """What it is asked, and the tokens of that."""

    messages: tuple[Message, ...]
    ids: list[int]


def prompts_of(options: RolloutOptions, tasks: Sequence[Task], skips: Skips) -> list[Prompt]:
    """The chats up to their last answers, each once; or the problems of the tasks. Raises `ConfigError` where there are none."""
    found: dict[tuple[Message, ...], str] = {}
    for row in rows(expand(options.files, FILES), FILES):
        try:
            if row.fault:
                raise Unusable(row.fault, row.detail)
            found.setdefault(chat_of(row.value, row.place, DataOptions()).messages[:-1], row.place)
        except Unusable as error:
            skips.add(str(error), row.place, error.detail)
    for number, task in enumerate(tasks if not options.files else (), 1):
        messages = task.problem.messages or (Message(role="user", content=task.problem.prompt),)
        found.setdefault(messages, task.problem.id or f"task {number}")
    if not found:
        why = "; ".join(skips.told()) or "name files of chats, or hand tasks to the trainer"
        raise ConfigError(f"there are no prompts: {why}", FILES)
    return [Prompt(*each) for each in found.items()]


class Rollouts:
    """Asks the decoder for what is not in the file yet."""

    def __init__(self, options: RolloutOptions, folder: Path, target: Loaded, work: Work, seed: int, skips: Skips) -> None:
        """`skips` is told of prompts that cannot be asked. Raises `ConfigError` for a target without a chat template."""
        need_template(target.chat.template)
        self._options, self._path, self._work, self._seed, self._skips = options, folder / NAME, work, seed, skips
        self._chat, self._tokenizer, self._end = target.chat, target.tokenizer, int(target.tokenizer.eos_token_id)
        self._context = context_of(target, options.decoder, work.session.effective)

    def gathered(self, prompts: Sequence[Prompt]) -> list[Rollout]:
        """All of them. Tells what was left out.

        Raises `ConfigError` where no prompt can be asked, `ConfigError` or `TrainingError` for a decoder that does not answer as it
        should, and `Stopped`.
        """
        asked = self._askable(prompts)
        for skipped in self._skips.events():
            self._work.emit(skipped)
        done = self._kept()
        step = 2 * self._options.parallel
        for start in range(len(done), self._options.count, step):
            self._work.check()
            places = range(start, min(start + step, self._options.count))
            new = self._work.ask(self._some(asked, places))
            self._append(new)
            done += new
        return [one for one in done if one.ids]

    def _askable(self, prompts: Sequence[Prompt]) -> list[Asked]:
        """As many as are needed of those that the chat template takes, and that leave the decoder room for an answer."""
        usable = (asked for prompt in prompts if (asked := self._asked(prompt)))
        found = list(islice(usable, self._options.count))
        if not found:
            where = FILES if self._options.files else "trainer.tasks"
            raise ConfigError(f"there are no prompts: {'; '.join(self._skips.told())}", where)
        return found

    def _asked(self, prompt: Prompt) -> Asked | None:
        self._work.check()
        try:
            ids = self._chat.prompt_ids(DecodeRequest(messages=prompt.messages))
        except ValueError as error:
            self._skips.add("template", prompt.place, str(error))
            return None
        if len(ids) >= self._context:
            self._skips.add("over-long", prompt.place, f"{len(ids):,} tokens, and the decoder's context has {self._context:,}")
            return None
        return Asked(prompt.messages, ids)

    def _kept(self) -> list[Rollout]:
        """What is in the file; half a line at its end, left by a kill, is cut off."""
        if not self._path.is_file():
            return []
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            self._path.write_bytes(whole)
        return [Rollout(**json.loads(line)) for line in whole.splitlines()][: self._options.count]

    def _append(self, new: Sequence[Rollout]) -> None:
        lines = "".join(json.dumps({"prompt": one.prompt, "ids": one.ids}, separators=(",", ":")) + "\n" for one in new)
        try:
            with self._path.open("a", encoding="ascii") as file:
                file.write(lines)
        except OSError as error:
            raise DiskError(f"cannot write {self._path}: {error.strerror or error}; make room, and resume") from error

    async def _some(self, prompts: Sequence[Asked], places: range) -> list[Rollout]:
        gate = asyncio.Semaphore(self._options.parallel)

        async def one(place: int) -> Rollout:
            async with gate:
                return await self._one(prompts[place % len(prompts)], place, place // len(prompts))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(place)) for place in places]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _one(self, asked: Asked, place: int, turn: int) -> Rollout:
        temperatures = self._options.temperatures
        request = DecodeRequest(
            messages=asked.messages,
            decoder=self._options.decoder,
            max_tokens=self._options.max_tokens,
            temperature=temperatures[(place + turn) % len(temperatures)],
            seed=(self._seed * 1_000_003 + place) % 2**31,
            logprobs=1,
        )
        async with self._work.session.open(Problem(messages=asked.messages), seed=place) as run:
            completion = (await run.decode(request))[0]
        return Rollout(asked.ids, self._ids(completion))

    def _ids(self, completion: Completion) -> list[int]:
        """The tokens that were drawn, where the back end tells them, else those of the text."""
        told = [one.id for one in completion.logprobs or ()]
        if told and None not in told and len(told) >= completion.tokens - 1:
            ids = [id for id in told if id is not None]
        elif completion.reasoning:
            raise TrainingError(
                "the decoder tells no ids of its tokens and sets reasoning apart, so its text is not known to the letter: "
                'set think = "off" for it'
            )
        else:
            ids = self._tokenizer(completion.text, add_special_tokens=False)["input_ids"]
        ended = completion.finish == "stop" and not completion.stopped and ids[-1:] != [self._end]
        return [*ids, self._end] if ended else list(ids)


def context_of(target: Loaded, decoder: str, effective: Mapping[str, Any]) -> int:
    """Tokens that prompt and answer may have together: the target's, or fewer where the decoder's options say so."""
    table = (effective.get("decoders") or {}).get(decoder) or {}
    return min(target.context, table.get("context") or target.context)


def parted(rollouts: Sequence[Rollout], held: float) -> tuple[list[Rollout], list[Rollout]]:
    """Those to train on, and those at the end to measure on."""
    if len(rollouts) < 2:
        raise TrainingError(f"only {len(rollouts)} rollouts with text: two at least are needed")
    count = min(max(1, round(held * len(rollouts))), len(rollouts) - 1)
    return list(rollouts[:-count]), list(rollouts[-count:])


def packs(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Indices in their order, as many at a time as have at most so many tokens together, one at least."""
    chosen: list[int] = []
    total = 0
    for place, length in enumerate(lengths):
        if chosen and total + length > most:
            yield chosen
            chosen, total = [], 0
        chosen.append(place)
        total += length
    if chosen:
        yield chosen
