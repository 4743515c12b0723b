"""Trainings that are killed, interrupted, or out of disk: resumed, they end with the weights of one that was not, to the bit."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from k2core_training.following.metrics import CLOCKS, read

STEPS = 10


@pytest.fixture(scope="module")
def base(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny.make(folder / "model", context=512)
    rows = [
        {"messages": [{"role": "user", "content": f"{n}+{n}?"}, {"role": "assistant", "content": f"It is {2 * n}."}]}
        for n in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, model in (("full", 'dtype = "bfloat16"'), ("lora", 'dtype = "float32"\nlora = {rank = 4}')):
        (folder / f"{name}.toml").write_text(
            f'[trainer]\nuse = "sft"\nbatch = 6\nsteps = {STEPS}\n[trainer.model]\nmodel = "{folder / "model"}"\n{model}\n'
            f'[trainer.data]\nfiles = ["{folder / "rows.jsonl"}"]\nmax_length = 64\n[trainer.optimizer]\nlr = 1e-3\n'
            "[trainer.checkpoint]\nevery = 2\n[trainer.validation]\nshare = 0.2\nevery = 5\n"
        )
    return folder


def command(base: Path, name: str, out: Path, *more: str) -> list[str]:
    return ["train", "sft", "--config", str(base / f"{name}.toml"), "--out", str(out), *more]


def outcome(out: Path, name: str) -> tuple[bytes, list[dict[str, Any]]]:
    """The weights, and the metrics but for clocks."""
    file = out / ("adapter/adapter_model.safetensors" if name == "lora" else "model/model.safetensors")
    return file.read_bytes(), [{k: v for k, v in row.items() if k not in CLOCKS} for row in read(out)]


@pytest.fixture(scope="module")
def whole(base: Path, forks: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What trainings that nobody disturbed end with."""
    found = {}
    for name in ("full", "lora"):
        out = tmp_path_factory.mktemp(name) / "out"
        status, said = forks.run(command(base, name, out))
        assert status == 0, said
        found[name] = outcome(out, name)
        found[f"{name} folder"] = out
        assert [row["step"] for row in found[name][1]] == list(range(1, STEPS + 1))
    return found


@pytest.mark.parametrize("name", ["full", "lora"])
def test_killed_at_random_it_ends_with_the_same_weights(base: Path, forks: Any, whole: Any, tmp_path: Path, name: str) -> None:
    out, chance = tmp_path / "out", random.Random(name)
    kills = 0
    for attempt in range(30):
        wait = chance.uniform(0, 0.15)

        def after(wait: float = wait) -> bool:
            if not (out / "run.json").exists():
                return False
            time.sleep(wait)
            return True

        status = forks.stop_at(command(base, name, out, "--resume"), signal.SIGKILL, after if attempt % 3 else _writing(out))
        kills += status == -signal.SIGKILL
        if status == 0:
            break
        assert status == -signal.SIGKILL, forks.log.read_text()
    else:
        status, said = forks.run(command(base, name, out, "--resume"))
        assert status == 0, said
    assert kills >= 2
    assert outcome(out, name) == whole[name]


def _writing(out: Path) -> Any:
    """In the middle of writing a checkpoint."""

    def now() -> bool:
        return any((out / "checkpoints").glob(".new-step-*")) if (out / "checkpoints").exists() else False

    return now


def test_signals_end_it_after_a_whole_step(base: Path, forks: Any, whole: Any, tmp_path: Path) -> None:
    """An interrupt, then a termination of what goes on from there, then the rest."""
    out, before = tmp_path / "out", 0
    for number, more in ((signal.SIGINT, ()), (signal.SIGTERM, ("--resume",))):

        def stepped(least: int = before + 2) -> bool:
            return (out / "metrics.jsonl").exists() and (out / "metrics.jsonl").read_bytes().count(b"\n") >= least

        status = forks.stop_at(command(base, "lora", out, *more), number, stepped)
        assert status == 128 + number, forks.log.read_text()
        assert "stopped after a whole step; --resume goes on" in forks.log.read_text()
        done = len(list(read(out)))
        assert before + 2 <= done < STEPS
        assert (out / "checkpoints" / f"step-{done:08d}" / "manifest.json").exists()
        assert not (out / "adapter").exists()
        before = done
    status, said = forks.run(command(base, "lora", out, "--resume"))
    assert status == 0, said
    assert outcome(out, "lora") == whole["lora"]


def test_a_full_disk_is_told_and_what_was_saved_is_gone_on_with(base: Path, forks: Any, whole: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, said = forks.run(command(base, "full", out, "--set", "trainer.checkpoint.every=5"), fsize=100_000)
    assert status == 1, said
    assert "the checkpoint of step 5 could not be written" in said
    assert "Make room, and resume" in said
    status, said = forks.run(command(base, "full", out, "--resume"))
    assert status == 0, said
    assert outcome(out, "full") == whole["full"]


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(base: Path, forks: Any, whole: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole["lora folder"], out)
    newest = max((out / "checkpoints").iterdir())
    (newest / "state.pt").write_bytes((newest / "state.pt").read_bytes()[:-100])
    (out / "adapter" / "adapter_model.safetensors").unlink()
    status, said = forks.run(command(base, "lora", out, "--resume"))
    assert status == 0, said
    assert "damaged" in said
    assert outcome(out, "lora") == whole["lora"]


def test_a_learning_rate_that_breaks_it_is_a_clear_error(base: Path, forks: Any, tmp_path: Path) -> None:
    """Weights overflow, gradients are not finite from then on: skips are counted, then it ends, and checkpoints are kept."""
    more = ["trainer.optimizer.lr=1e38", "trainer.optimizer.bad_steps=4", "trainer.optimizer.warmup=0", "trainer.steps=20"]
    out = tmp_path / "out"
    status, said = forks.run(command(base, "lora", out, *(word for one in more for word in ("--set", one))))
    assert status == 1, said
    assert "not finite in 4 steps in a row" in said
    rows = list(read(out))
    assert [row["skipped"] for row in rows][-3:] == [1, 2, 3]
    assert rows[-1]["grad_norm"] is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "trainer.bacth=3"], "trainer.bacth: unknown option; did you mean 'batch'?"),
        (["--set", "trainer.use=grpo"], "trainer.use"),
        (["--set", 'trainer.data.files=["nowhere.jsonl"]'], "nowhere.jsonl"),
        (["--set", "trainer.model.model=no/such/model"], "trainer.model: there is no model at 'no/such/model'"),
        (["--set", "trainer.model.lora.targets=['nothing']"], "trainer.model: model.lora.targets"),
        (["--set", "trainer.data.max_length=4096"], "trainer.data.max_length"),
        (["--set", "trainer.data.strict=true", "--set", "trainer.data.layout=think-answer"], "rows.jsonl:1"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(base: Path, forks: Any, tmp_path: Path, more: list[str], said: str) -> None:
    status, told = forks.run(command(base, "lora", tmp_path / "out", *more))
    assert status in (1, 2)
    assert said in told
    assert "Traceback" not in told


def test_folders_that_are_taken(base: Path, forks: Any, whole: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole["lora folder"], out)
    status, told = forks.run(command(base, "lora", out))
    assert (status, "is not empty; go on with --resume" in told) == (2, True)
    status, told = forks.run(command(base, "lora", out, "--resume", "--set", "trainer.optimizer.lr=1e-5"))
    assert (status, "trainer.optimizer.lr" in told) == (2, True)
    status, told = forks.run(command(base, "lora", out, "--resume", "--steps", str(STEPS + 1)))
    assert status == 0, told
    assert [row["step"] for row in read(out)] == list(range(1, STEPS + 2))
    status, told = forks.run(["train", "stf", "--config", "x", "--out", "y"])
    assert (status, "invalid choice: 'stf'" in told) == (2, True)
