"""What README and how-to say: their pipelines are valid, every option is told, every default is right."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from k2core_trainer_verl import VerlConfig
from k2core_training.options import TrainerOptions
from pydantic import BaseModel

from k2core import PipelineConfig

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "plugins" / "k2core-trainer-verl" / "README.md", ROOT / "docs" / "howto" / "train-verl.md"]
TABLES = ("data", "reward", "sharding", "rollout", "cluster")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pipelines_are_valid(page: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        config = PipelineConfig.from_dict(tomllib.loads(block))
        assert config.trainer is not None
        VerlConfig.model_validate(config.trainer.options)


def test_every_option_is_told() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    names = [name for name in VerlConfig.model_fields if name not in ("live", *TABLES)]
    assert [name for name in names if f"`{name}`" not in text] == []
    for table in TABLES:
        kind: Any = VerlConfig.model_fields[table].annotation
        assert issubclass(kind, BaseModel)
        missing = [name for name in kind.model_fields if f"`{table}.{name}`" not in text and f"`.{name}`" not in text]
        assert missing == [], table


def test_shared_options_have_the_names_of_the_other_trainers() -> None:
    assert set(TrainerOptions.model_fields) <= set(VerlConfig.model_fields)
    grpo = pytest.importorskip("k2core_trainer_grpo.config", reason="k2core-trainer-grpo is not installed here")
    same = {"prompts", "group", "temperature", "max_tokens", "minibatches", "epochs", "batch_tokens", "loss"}
    assert same <= set(grpo.GrpoConfig.model_fields)
