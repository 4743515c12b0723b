"""The README names every option, every reason for leaving a row out, and every room."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import k2core_training
import pytest
from k2core_training.data.config import DataOptions, GateOptions
from k2core_training.modelling.config import LoraOptions, ModelOptions
from k2core_training.options import CheckpointOptions, OptimizerOptions, TrainerOptions
from k2core_training.tasks.config import TaskOptions

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SOURCES = Path(k2core_training.__file__).parent


@pytest.mark.parametrize(
    ("table", "options"),
    [
        ("data", DataOptions),
        ("gate", GateOptions),
        ("model", ModelOptions),
        ("optimizer", OptimizerOptions),
        ("checkpoint", CheckpointOptions),
        ("tasks", TaskOptions),
    ],
)
def test_every_option_is_in_its_table(table: str, options: type) -> None:
    text = README.split(f"| `[trainer.{table}]` |")[1].split("\n\n")[0]
    firsts = [line.split("|")[1] for line in text.splitlines()[2:]]
    named = {name for first in firsts for name in re.findall(r"`(\w+)`", first)}
    assert named == set(options.model_fields)  # type: ignore[attr-defined]
    assert all(info.default is not None or name == "lora" for name, info in options.model_fields.items())  # type: ignore[attr-defined]


def test_every_option_is_described() -> None:
    said = {"seed", "keep", "betas", "eps", "rank"}  # their names say it, or a neighbour's text
    for options in (DataOptions, GateOptions, ModelOptions, LoraOptions, OptimizerOptions, TaskOptions, TrainerOptions):
        options.model_rebuild()
        bare = {name for name, info in options.model_fields.items() if not info.description}
        assert bare <= said | {"model", "optimizer", "checkpoint", "tasks", "weight_decay"}, options.__name__


def test_every_reason_is_named() -> None:
    code = "".join(
        (SOURCES / "data" / f"{name}.py").read_text() for name in ("chats", "rows", "rendering", "preparing", "verifying")
    )
    reasons = set(re.findall(r'Unusable\(\s*"([^"]+)"', code)) | set(re.findall(r'(?:skips\.add\(|None, )"([^"]+)"', code))
    assert len(reasons) >= 8
    assert not [reason for reason in reasons if f"`{reason}`" not in README]


def test_every_room_is_named() -> None:
    rooms = {path.stem for path in SOURCES.iterdir() if path.name[0] != "_" and path.name != "py.typed"}
    named = set(re.findall(r"`(\w+)`", README.split("## Rooms")[1].split("## Data")[0]))
    assert rooms <= named


def test_importing_what_is_not_about_models_is_light() -> None:
    modules = (
        "command data.preparing data.rendering tasks.loading following.metrics following.page options runs working events packing"
    )
    code = f"import sys\nfor name in {modules.split()}: __import__('k2core_training.' + name)\n"
    code += "print([name for name in ('torch', 'transformers', 'numpy', 'pyarrow', 'rich') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
