"""One loaded model and its thread: it lets requests in, steps all of them together, and lets them go."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ..model import forward_for
from ..model.batch import Batch, Rows
from ..model.cache import Cache, rounded
from ..sampling.drawing import NONE
from ..speculation.records import Step
from .crew import Crew, disband
from .inbox import Inbox
from .job import Choice, Job, agreed, draw
from .kept import Kept
from .request import prepare
from .slots import Slots
from .weights import Swap, fitting

if TYPE_CHECKING:
    from ..config import TransformersConfig
    from ..sampling.constraint import Grammar
    from ..speculation.speculation import Speculation

log = logging.getLogger(__name__)


class Engine:
    """Decodes for any number of requests at once. `submit`, `cancel` and `close` are for any thread, the rest for its own."""

    def __init__(self, config: TransformersConfig, loaded: Any, speculation: Speculation | None) -> None:
        from ..sampling.vocabulary import Vocabulary

        self.config, self.loaded, self.speculation = config, loaded, speculation
        self.vocabulary = Vocabulary(loaded.tokenizer)
        self.forward = forward_for(loaded.model, config.fused)
        if speculation is not None:
            speculation.pace.cost.computed = self.forward.rows
        weight = next(loaded.model.parameters())
        self.vocab = int(loaded.model.get_output_embeddings().weight.shape[0])
        self.context = min(config.context, loaded.context)
        self.cache = Cache(weight.device, weight.dtype)
        budget = max(rounded(self.context), config.cache_mb * 2**20 // max(1, self.forward.token_bytes))
        self.kept = Kept(self.cache, config.chunk, config.prefix_mb * 2**20)
        self.slots = Slots(self.cache, self.kept, config.parallel, budget)
        self.failing: Callable[[], None] | None = None
        """Called before each pass: the door for tests that make one fail."""
        self._numbers = itertools.count()
        self._made_grammar: Grammar | None = None
        self.inbox = Inbox()
        self._new: deque[Job | Swap] = deque()
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._thread = threading.Thread(target=self._work, name="k2core-transformers", daemon=True)
        self._thread.start()

    # from any thread

    def submit(self, item: Job | Swap) -> None:
        """Let a request in, or other weights: those wait until the requests before have ended, and the requests after for them."""
        self.inbox.put(item)

    def cancel(self, job: Job) -> None:
        """End the job before the next step; its `ended` is called when its memory is free."""
        self.inbox.cancel(job)

    def close(self) -> None:
        """Fail what is left, end the thread, free the model."""
        self.inbox.close()
        self._thread.join()

    def next_id(self) -> int:
        return next(self._numbers)

    def grammar(self) -> Grammar:
        from ..sampling.constraint import Grammar

        if self._made_grammar is None:
            self._made_grammar = Grammar(self.loaded.tokenizer, self.vocab, self.loaded.eos)
        return self._made_grammar

    # the thread

    @torch.inference_mode()  # also when slots are freed: what was made within it must not be changed outside
    def _work(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            self._give_up(error)

    def _serve(self) -> None:
        self._crew = Crew(self.config.threads)
        while True:
            busy = bool(self._waiting or self._running)
            if not busy:
                disband()
            closed, new = self.inbox.take(busy)
            self._new.extend(new)
            while self._new:
                self._receive(self._new.popleft())
            if closed:
                for job in [*self._waiting, *self._running]:
                    self._end(job, RuntimeError("the model is being unloaded"))
                return
            self._crew.look()
            self._turn()

    def _give_up(self, error: BaseException) -> None:
        """The thread ends of something that nobody foresaw: all who wait for it are told, and so is whoever comes later."""
        log.error("the engine's thread has ended: %s", repr(error))
        told = RuntimeError(f"the engine's thread has ended, the decoder must be started anew: {error!r}")
        self.inbox.close(str(told))
        _, left = self.inbox.take(busy=True)
        for item in [*self._running, *self._waiting, *self._new, *left]:
            item.ended(told)
        for items in (self._running, self._waiting, self._new):
            items.clear()
        self.slots.clear()
        self.kept.clear()

    def _receive(self, item: Job | Swap) -> None:
        try:
            if isinstance(item, Swap):
                self._swap(item)
                return
            if not item.cancelled:
                prepare(item, self)
            self._waiting.append(item)
        except Exception as error:
            item.ended(error)

    def _swap(self, swap: Swap) -> None:
        arrays = fitting(self.loaded.model, swap.weights)
        try:
            with torch.inference_mode(False):  # the model's parameters are ordinary tensors, and stay so
                self.forward.take(arrays)
        finally:
            self.kept.clear()
        self._crew.stay()  # who brings weights trains, and is to end in the same weights whoever else computes
        swap.ended(None)

    def _turn(self) -> None:
        try:
            for job in [*self._waiting, *self._running]:
                if job.cancelled:
                    self._end(job, None)
            self._admit()
            if self._running:
                self._step()
        except Exception as error:  # out of memory, say: the requests of this step fail, the engine goes on
            log.warning("a step failed: %s", repr(error))  # not the error itself: a log that is kept would keep its frames
            self.slots.clear()  # first: of what the holders have, some may be made anew already, and some not
            for job in list(self._running):
                self._end(job, error)
            self.kept.clear()
            if self.cache.device.type == "cuda":
                torch.cuda.empty_cache()

    def _admit(self) -> None:
        """Further choices of requests at work first, then new requests, first come, first served."""
        for job in self._running:
            if job.logits is not None:
                self._spread(job)
        while self._waiting and self.slots.fits(self._waiting[0]):
            job = self._waiting.popleft()
            job.admitted = time.monotonic()
            self._running.append(job)
            self.slots.enter(job)
        self.slots.fit()

    def _spread(self, job: Job) -> None:
        """Give as many of the waiting choices as fit a slot, with a copy of the prompt in it."""
        if not job.waiting:
            return
        source, new = next(choice.slot for choice in job.choices if choice.slot is not None), list[Choice]()
        while job.waiting and self.slots.fits(job):
            new.append(job.waiting.popleft())
            self.slots.enter(new[-1])
        self.slots.fit()
        for choice in new:
            assert choice.slot is not None
            self.cache.copy(source, choice.slot, len(job.prompt))
            self._opened(choice)

    def _replace(self, job: Job, place: Job | Choice) -> None:
        """The next choice takes over the slot of a holder that needs it no more, and the prompt in it."""
        choice = job.waiting.popleft()
        self.slots.replace(place, choice)
        self._opened(choice)

    def _opened(self, choice: Choice) -> None:
        if self.speculation is not None:
            self.speculation.open(choice)

    def _step(self) -> None:
        asked = self._drafts()
        prompts = self._chunks()
        rows = [Rows(c.slot or 0, c.length, [c.ids[-1], *draft], len(draft) + 1) for c, draft in asked]
        for job, count in prompts:
            whole = job.filled + count == len(job.prompt)
            rows.append(Rows(job.slot or 0, job.filled, job.prompt[job.filled : job.filled + count], int(whole)))
        for choice, draft in asked:
            choice.ahead = len(draft) + 1
        for job, count in prompts:
            job.filled += count
        began = time.perf_counter()
        if rows:
            if self.failing is not None:
                self.failing()
            self.slots.fit()
            batch = Batch(rows, self.cache)
            logits = self.forward(batch)
            parts = [logits[at : at + row.wanted] for row, at in zip(rows, batch.first_logit, strict=True)]
        else:
            parts = []
        self._prompts_done([job for job, _ in prompts], parts[len(asked) :])
        self._finish(asked, parts[: len(asked)], began, sum(count for _, count in prompts))

    def _drafts(self) -> list[tuple[Choice, list[int]]]:
        """The choices that decode, each with its draft."""
        choices = [owner for owner in self.slots.owners if isinstance(owner, Choice) and owner.ids]
        if self.speculation is None or not choices:
            return [(choice, []) for choice in choices]
        return [(c, self._cut(c, draft)) for c, draft in zip(choices, self.speculation.plan(choices), strict=True)]

    def _cut(self, choice: Choice, draft: list[int]) -> list[int]:
        draft = list(draft)[: choice.room - 1]
        return choice.constraint.fit(draft) if draft and choice.constraint is not None else draft

    def _chunks(self) -> list[tuple[Job, int]]:
        """Which prompts are processed in this step, and how many tokens of each."""
        left, found = self.config.chunk, []
        for job in self._running:
            if job.slot is None or left <= 0:
                continue
            if job.filled == 0:
                if not self.slots.reuse(job):
                    continue
                if job.logits is not None:
                    self._prompt_done(job)
                    continue
            count = min(left, len(job.prompt) - job.filled)
            left -= count
            found.append((job, count))
        return found

    def _prompts_done(self, jobs: list[Job], parts: list[torch.Tensor]) -> None:
        for job, logits in zip(jobs, parts, strict=True):
            if len(logits):
                job.logits = logits.clone()
                self.kept.add(job)
                self._prompt_done(job)

    def _prompt_done(self, job: Job) -> None:
        """The first choice takes the prompt's slot, others that fit get copies."""
        self._replace(job, job)
        self._spread(job)

    def _finish(self, asked: list[tuple[Choice, list[int]]], parts: list[torch.Tensor], began: float, prefill: int) -> None:
        """Draw, keep what agrees, and let go who has finished."""
        for choice in [owner for owner in self.slots.owners if isinstance(owner, Choice) and not owner.ids]:
            assert choice.job.logits is not None
            asked, parts = [*asked, (choice, [])], [*parts, choice.job.logits]
        if not asked:
            return
        steps: list[Step] = []
        for (choice, draft), tokens, raw in zip(asked, draw(asked, parts), parts, strict=True):
            if choice.slot is None:  # another choice of its request has failed just now
                continue
            try:
                if isinstance(tokens, Exception):
                    raise tokens
                steps.append(self._keep(choice, draft, tokens, raw))
            except Exception as error:
                self._end(choice.job, error)
        if self.speculation is not None:
            first = sum(1 for choice, _ in asked if choice.job.logits is not None and len(choice.ids) == 1)
            self.speculation.done(steps, sum(len(d) + 1 for _, d in asked) - first, time.perf_counter() - began, prefill)
        for choice, _ in asked:
            if choice.finish is not None and choice.slot is not None:
                self._release(choice)

    def _keep(self, choice: Choice, draft: list[int], tokens: list[int], raw: torch.Tensor) -> Step:
        right = agreed(draft, tokens)
        if tokens[right] == NONE:
            raise ValueError("the model's scores of the next token are no numbers")
        job, before = choice.job, len(choice.ids)
        taken = choice.take(tokens[: right + 1], self.loaded.eos)
        if job.request.logprobs:
            from ..sampling.logprobs import logprobs_of

            choice.logprobs += logprobs_of(raw[:taken], tokens[:taken], job.request.logprobs, self.vocabulary)
        job.drafted, job.accepted = job.drafted + len(draft), job.accepted + min(right, taken)
        return Step(choice, len(draft), min(right, taken), choice.ids[before:])

    def _release(self, choice: Choice) -> None:
        """The choice is complete: the next of its request takes its place, or it is free."""
        if self.speculation is not None:
            self.speculation.close(choice)
        job = choice.job
        if job.waiting:
            self._replace(job, choice)
        else:
            self.slots.leave(choice)
        if job.done:
            self._end(job, None)

    def _end(self, job: Job, error: Exception | None) -> None:
        """Take the job out, free what it holds, and tell it, once."""
        if job in self._running:
            self._running.remove(job)
        elif job in self._waiting:
            self._waiting.remove(job)
        else:
            return
        try:
            self._free(job, failed=error is not None)
        finally:
            job.waiting.clear()
            job.logits = None
            job.ended(error)

    def _free(self, job: Job, failed: bool) -> None:
        """Keys and values that are no numbers go with their holder: such a choice fails; of an unfinished prompt nobody knows."""
        self.slots.leave(job, wipe=True)
        for choice in job.choices:
            if self.speculation is not None:
                self.speculation.close(choice)
            self.slots.leave(choice, wipe=failed)
