"""Drafts of a smaller model with the same vocabulary, drawn with the target's own noise."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..model import forward_for
from ..model.batch import Batch, Rows
from ..model.cache import Cache
from ..sampling.drawing import draw
from .config import SpeculationConfig
from .records import Draft, View

if TYPE_CHECKING:
    from ..loading.loaded import Loaded

CHUNK = 512
"""Rows of a prompt that go through the draft model in one pass."""


@dataclass
class Held:
    """What a slot holds: `sure` tokens of prompt and text, then drafted ones of which it is not known yet whether they came."""

    view: View
    slot: int
    sure: int
    drafted: list[int]


class DraftModel:
    """Runs a model over all sequences of the step at once, a pass for each drafted token, with a cache of its own.

    The target draws token = argmax(score - log E) with noise E of the seed and the position; so does the draft model, with the
    same E and its own scores, warped alike: the closer the two models, the likelier the same token, and no probabilities need
    to be exchanged."""

    passes: ClassVar[bool] = True

    def __init__(self, model: Any, context: int, vocab: int) -> None:
        """`vocab`: width of the target's scores; tokens beyond it are not drawn."""
        self._forward, self._context, self._vocab = forward_for(model), context, vocab
        weight = next(model.parameters())
        self._cache = Cache(weight.device, weight.dtype)
        self._open: dict[int, View] = {}
        self._held: list[Held] = []
        self._of: dict[int, Held] = {}

    @classmethod
    def loaded(cls, config: SpeculationConfig, target: Loaded, stop: threading.Event) -> DraftModel:
        """Load `config.model` beside the target, on its device and in its type. Raises ValueError for another vocabulary."""
        from ..config import TransformersConfig
        from ..loading import load

        weight = next(target.model.parameters())
        dtype = str(weight.dtype).removeprefix("torch.")
        options = {"model": config.model, "device": str(weight.device), "dtype": dtype, "context": target.context}
        draft = load(TransformersConfig.model_validate(options), stop)
        check_vocabulary(target.tokenizer, draft.tokenizer, config.model)
        return cls(draft.model, draft.context, int(target.model.get_output_embeddings().weight.shape[0]))

    def open(self, view: View) -> None:
        self._open[view.id] = view

    def grew(self, view: View, new: Sequence[int]) -> None:
        """Nothing to do: what came is read from the view when it is drafted for."""

    def close(self, view: View) -> None:
        del self._open[view.id]
        held = self._of.pop(view.id, None)
        if held is None:
            return
        last = self._held.pop()
        if last is not held:
            self._cache.copy(last.slot, held.slot, last.sure + len(last.drafted))
            last.slot = held.slot
            self._held[held.slot] = last
        if not self._held:
            self._cache.fit(0, 0)

    def draft(self, views: Sequence[View], most: Sequence[int]) -> list[Draft]:
        """Tokens for each view, by as many passes as the longest draft has tokens; sequences beyond the model's context get
        none."""
        limits = [min(limit, self._context - _size(view)) for view, limit in zip(views, most, strict=True)]
        asked = [(view, limit) for view, limit in zip(views, limits, strict=True) if limit > 0]
        found: dict[int, list[int]] = {view.id: [] for view, _ in asked}
        with torch.inference_mode():
            self._prepare([view for view, _ in asked], max(limits, default=0))
            for step in range(max(limits, default=0)):
                wanted = [view for view, limit in asked if limit > step]
                for view, token in zip(wanted, self._pass(wanted), strict=True):
                    found[view.id].append(token)
                    self._of[view.id].drafted.append(token)
        for view, _ in asked:
            if found[view.id]:
                self._of[view.id].drafted.pop()  # the last one was drawn but not fed
        return [Draft(found.get(view.id, [])) for view in views]

    def _prepare(self, views: Sequence[View], most: int) -> None:
        """Roll back to what was accepted, and bring the caches up to the last token but the one that the next pass feeds."""
        new = [view for view in views if view.id not in self._of]
        for view in new:
            self._of[view.id] = Held(view, len(self._held), 0, [])
            self._held.append(self._of[view.id])
        longest = max((max(held.sure + len(held.drafted), 0) for held in self._held), default=0)
        self._cache.fit(len(self._held), max([longest, *(_size(view) + most for view in views)]))
        for view in new:
            self._share(self._of[view.id])
        for view in views:
            self._settle(self._of[view.id])
        for view in views:
            self._catch_up(self._of[view.id])

    def _share(self, held: Held) -> None:
        """Copy the prompt from another choice of the request that has it."""
        size = len(held.view.prompt)
        for other in self._held:
            if (
                other is not held
                and other.view.group == held.view.group
                and other.sure >= size
                and other.view.prompt == held.view.prompt
            ):
                self._cache.copy(other.slot, held.slot, size)
                held.sure = size
                return

    def _settle(self, held: Held) -> None:
        """Of the drafted tokens keep those that came."""
        came = held.view.ids[held.sure - len(held.view.prompt) :] if held.drafted else []
        for drafted, token in zip(held.drafted, came, strict=False):
            if drafted != token:
                break
            held.sure += 1
        held.sure, held.drafted = min(held.sure, _size(held.view) - 1), []

    def _catch_up(self, held: Held) -> None:
        """Feed what is missing, but for the last rows, in chunks."""
        text = [*held.view.prompt, *held.view.ids] if _size(held.view) - held.sure > CHUNK else []
        while _size(held.view) - held.sure > CHUNK:
            self._forward(Batch([Rows(held.slot, held.sure, text[held.sure : held.sure + CHUNK], 0)], self._cache))
            held.sure += CHUNK

    def _pass(self, views: Sequence[View]) -> list[int]:
        """One token for each view: the rows that its cache lacks, then the draw."""
        rows = []
        for view in views:
            held = self._of[view.id]
            start = held.sure + len(held.drafted) - bool(held.drafted)
            ids = held.drafted[-1:] or _since(view, held.sure)
            rows.append(Rows(held.slot, start, ids, 1))
            if not held.drafted:
                held.sure = _size(view)
        batch = Batch(rows, self._cache)
        logits = self._forward(batch)
        last = logits[torch.tensor(batch.first_logit, device=logits.device), : self._vocab]
        keys = [view.noise.key(len(view.ids) + len(self._of[view.id].drafted)) for view in views]
        drawn = draw(last, [view.warp for view in views], keys)
        return [max(token, 0) for token in drawn]  # any token is as good where none could be drawn, but it must be one


def _size(view: View) -> int:
    return len(view.prompt) + len(view.ids)


def _since(view: View, start: int) -> list[int]:
    """Tokens of prompt and text from `start` on."""
    prompt = len(view.prompt)
    return [*view.prompt[start:], *view.ids] if start < prompt else list(view.ids[start - prompt :])


def check_vocabulary(target: Any, draft: Any, name: str) -> None:
    """Raise ValueError, naming the first token that differs, unless both tokenizers number the same tokens alike."""
    ours = {id: token for token, id in target.get_vocab().items()}
    theirs = {id: token for token, id in draft.get_vocab().items()}
    for id in sorted(ours.keys() | theirs.keys()):
        if ours.get(id) != theirs.get(id):
            raise ValueError(
                f"the draft model {name} has another vocabulary: "
                f"token {id} is {theirs.get(id)!r} there and {ours.get(id)!r} in the model"
            )
