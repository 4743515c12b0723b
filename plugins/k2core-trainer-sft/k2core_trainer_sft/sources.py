"""The training set and the set to measure on, prepared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from k2core_training.data.chats import Chat
from k2core_training.data.config import GateOptions
from k2core_training.data.prepared import Prepared
from k2core_training.data.preparing import Sources, Where, prepare
from k2core_training.data.rendering import Renderer
from k2core_training.data.verifying import faults
from k2core_training.modelling.policy import Policy
from k2core_training.working import Work

from k2core.errors import ConfigError

from .config import SftConfig


def prepared(config: SftConfig, policy: Policy, folder: Path, work: Work) -> tuple[Prepared, Prepared]:
    """What to train on, and what to measure on, which may be empty. Tells what was left out. Raises as `prepare`."""
    if not config.data.files:
        raise ConfigError("no files to train on are named", "trainer.data.files")
    if config.data.max_length > policy.context:
        raise ConfigError(f"the model {policy.name} was made for {policy.context:,} tokens", "trainer.data.max_length")

    def verify(chats: Sequence[Chat]) -> list[tuple[str, str]]:
        return work.ask(faults(work.session, chats, config.data))

    renderer, share = Renderer(policy.tokenizer, policy.eos), config.validation.share if not config.validation.files else 0.0
    chosen = verify if config.data.verify else None
    train, held = prepare(folder / "data", Sources(config.data, config.gate, renderer, chosen, share, config.seed), work.check)
    for skipped in train.skips():
        work.emit(skipped)
    if config.validation.files:
        held = _validation(config, renderer, train.keys(), folder, work)
    return train, held


def _validation(config: SftConfig, renderer: Renderer, trained: frozenset[bytes], folder: Path, work: Work) -> Prepared:
    """What the files to measure on hold beside the chats that are trained on."""
    data = config.data.model_copy(update={"files": config.validation.files, "verify": False, "limit": config.validation.most})
    where = Where(files="trainer.validation.files")
    sources = Sources(data, GateOptions(), renderer, None, seed=config.seed, excluded=trained, where=where)
    held, _ = prepare(folder / "validation", sources, work.check)
    for skipped in held.skips("validation: "):
        work.emit(skipped)
    return held
