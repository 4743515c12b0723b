"""How many steps the data give, and whether that is enough for what was asked.

verl writes its last checkpoint at the step that it was told is the last. Where the data end before, there would be none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import rows_in

Fault = tuple[str, str]


def fitting(whole: Any, needed: int) -> int:
    """The rows whose prompts verl does not leave out as too long: of all, or enough of them."""
    from verl.trainer.ppo.utils import create_rl_dataset
    from verl.utils.config import omega_conf_to_dataclass

    model, found = omega_conf_to_dataclass(whole.actor_rollout_ref.model), 0
    for most in (2 * needed, -1):
        found = len(create_rl_dataset(whole.data.train_files, whole.data, model.tokenizer, model.processor, max_samples=most))
        if found >= needed:
            break
    return found


def counted(stage: str, whole: Any, fitting: Callable[[Any, int], int] = fitting) -> list[Fault]:
    """Have verl count its steps itself where the data end before `trainer.total_training_steps`. Returns what there is too few of.

    :param whole: verl's configuration.
    """
    data, steps, passes = whole.data, whole.trainer.total_training_steps, whole.trainer.total_epochs
    named = [*data.train_files, *(data.val_files or ())]
    if not all(file.endswith(".parquet") and Path(file).is_file() for file in named):
        return []  # verl's own settings name files that only verl can read
    prompts, rows = data.train_batch_size, rows_in(data.train_files)
    if rows < prompts:
        return [("prompts", f"{rows:,} rows do not make one step of {prompts:,}")]
    if stage == "sft" and data.val_files and (held := rows_in(data.val_files)) < prompts:
        why = f"{held:,} conversations; verl validates in whole steps, so there must be as many as prompts = {prompts:,}"
        return [("data.validation", why)]
    if steps is not None:
        needed, some_left_out = math.ceil(steps / passes) * prompts, stage == "rl" and data.filter_overlong_prompts
        if rows < needed or (some_left_out and fitting(whole, needed) < needed):
            whole.trainer.total_training_steps = None
    return []
