"""What the target says to many prompts, through the kernel's decoder, kept in a file as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k2core_training.data.chats import Unusable, chat_of
from k2core_training.data.config import DataOptions
from k2core_training.data.rows import expand, rows
from k2core_training.errors import DiskError, TrainingError
from k2core_training.events import Skipped
from k2core_training.packing import TokenSequence
from k2core_training.working import Work

from k2core.errors import ConfigError
from k2core.types import Completion, DecodeRequest, Message, Problem, Task

from .config import RolloutOptions

NAME = "rollouts.jsonl"


@dataclass(frozen=True)
class Rollout:
    """Tokens of a prompt and of what the target went on with."""

    prompt: list[int]
    ids: list[int]

    @property
    def sequence(self) -> TokenSequence:
        """All tokens; those of the target are to be predicted."""
        return TokenSequence([*self.prompt, *self.ids], slice(len(self.prompt), None))


Prompt = tuple[Message, ...]


def prompts_of(options: RolloutOptions, tasks: Sequence[Task], work: Work) -> list[Prompt]:
    """The chats up to their last answers, each once; or the problems of the tasks. Raises `ConfigError` where there are none."""
    found: dict[Prompt, None] = {}
    unusable = 0
    for row in rows(expand(options.files, "trainer.rollouts.files")) if options.files else ():
        try:
            if row.fault:
                raise Unusable(row.fault, row.detail)
            found[chat_of(row.value, row.place, DataOptions()).messages[:-1]] = None
        except Unusable as error:
            unusable += 1
            work.emit(Skipped(reason=str(error), count=unusable, examples=(row.place,)))
    for task in tasks if not options.files else ():
        found[task.problem.messages or (Message(role="user", content=task.problem.prompt),)] = None
    if not found:
        raise ConfigError("there are no prompts: name files of chats, or hand tasks to the trainer", "trainer.rollouts.files")
    return list(found)


class Rollouts:
    """Asks the decoder for what is not in the file yet."""

    def __init__(self, options: RolloutOptions, folder: Path, chat: Any, tokenizer: Any, end: int, work: Work, seed: int) -> None:
        """`end`: the token that closes the target's turn."""
        self._options, self._path, self._work, self._seed = options, folder / NAME, work, seed
        self._chat, self._tokenizer, self._end = chat, tokenizer, end

    def gathered(self, prompts: Sequence[Prompt]) -> list[Rollout]:
        """All of them. Raises `ConfigError` or `TrainingError` for a decoder that does not answer as it should, and `Stopped`."""
        done = self._kept()
        step = 2 * self._options.parallel
        for start in range(len(done), self._options.count, step):
            self._work.check()
            places = range(start, min(start + step, self._options.count))
            new = self._work.ask(self._some(prompts, places))
            self._append(new)
            done += new
        return [one for one in done if one.ids]

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

    async def _some(self, prompts: Sequence[Prompt], places: range) -> list[Rollout]:
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

    async def _one(self, prompt: Prompt, place: int, turn: int) -> Rollout:
        temperatures = self._options.temperatures
        request = DecodeRequest(
            messages=prompt,
            decoder=self._options.decoder,
            max_tokens=self._options.max_tokens,
            temperature=temperatures[(place + turn) % len(temperatures)],
            seed=(self._seed * 1_000_003 + place) % 2**31,
            logprobs=1,
        )
        async with self._work.session.open(Problem(messages=prompt), seed=place) as run:
            completion = (await run.decode(request))[0]
        return Rollout(self._chat.prompt_ids(request), self._ids(completion))

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
