"""The folder of a training, begun by one version and gone on with by another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from k2core_training.options import TrainerOptions
from k2core_training.runs import opened

from k2core import ConfigError


def begun(folder: Path, change: Any) -> TrainerOptions:
    """A folder whose record `change` has changed, and options to go on with there."""
    options = TrainerOptions(out=str(folder), resume=True)
    with opened(options, "sft"):
        (folder / "metrics.jsonl").write_text('{"step": 1}\n')
    record = json.loads((folder / "run.json").read_text())
    change(record["options"])
    (folder / "run.json").write_text(json.dumps(record))
    return options


@pytest.mark.parametrize("path", [("seed",), ("optimizer", "lr"), ("optimizer",), ("model", "dtype")])
def test_an_option_that_the_older_version_did_not_have(tmp_path: Path, path: tuple[str, ...]) -> None:
    def forget(options: dict[str, Any]) -> None:
        for name in path[:-1]:
            options = options[name]
        del options[path[-1]]

    with opened(begun(tmp_path, forget), "sft") as folder:
        assert folder == tmp_path


@pytest.mark.parametrize(("path", "value"), [(("seed",), 7), (("optimizer", "lr"), 0.5), (("model", "lora"), {"rank": 4})])
def test_another_value_is_refused_with_its_path(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    def change(options: dict[str, Any]) -> None:
        for name in path[:-1]:
            options = options[name]
        options[path[-1]] = value

    with (
        pytest.raises(ConfigError, match=f"trainer.{'.'.join(path)}: .*begun with another value"),
        opened(begun(tmp_path, change), "sft"),
    ):
        pass


def test_what_may_change_on_the_way(tmp_path: Path) -> None:
    def change(options: dict[str, Any]) -> None:
        options.update(steps=9, live=False)
        options["checkpoint"]["every"] = 3

    with opened(begun(tmp_path, change), "sft"):
        pass


def test_what_failed_before_it_began_may_be_put_right(tmp_path: Path) -> None:
    """A typo in an option, a refusal by the gate, a disk that is full at the start: with or without --resume."""
    for number, resume in enumerate((False, True, False)):
        with opened(TrainerOptions(out=str(tmp_path), seed=number, resume=resume), "sft"):
            (tmp_path / "metrics.jsonl").touch()
            (tmp_path / "run.new").write_text("half of a rec")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ConfigError, match="is not empty; go on with --resume"), opened(TrainerOptions(out=str(tmp_path)), "sft"):
        pass
