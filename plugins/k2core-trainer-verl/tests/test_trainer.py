"""The trainer from options to report, against an interpreter that stands in for verl's: what it is asked, how it is ended.

What verl itself makes of it is in test_real.py, which runs in verl's environment.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from k2core_trainer_verl import Verl, VerlConfig
from k2core_trainer_verl.metrics import Following, Tail, measured, newest, steps_until
from k2core_training.errors import TrainingError

from k2core import ConfigError, Problem, Session, Task, TrainReport, hookimpl
from k2core.testing import Subject, assert_conforms, checks_for

TASKS = [Task(problem=Problem(prompt=f"What is {n} + 1?"), reference=str(n + 1)) for n in range(4)]
STAND_IN = '''#!{python} -SE
"""Plays verl's interpreter: it is asked for a module by name, and does what the test wants that module to do."""
import json, os, pathlib, sys, time
module, here = sys.argv[2], pathlib.Path(__file__).parent
(here / "asked.jsonl").open("a").write(json.dumps(sys.argv[1:] + [os.environ.get("VERL_PLATFORM", "")]) + "\\n")
if module.endswith("inside.prepare"):
    asked = json.loads(pathlib.Path(sys.argv[3]).read_text())
    settings = pathlib.Path(asked["folder"]) / "verl.yaml"
    faults = json.loads((here / "faults.json").read_text()) if (here / "faults.json").exists() else []
    if not faults:
        settings.write_text("a: 1")
    answer = {{"faults": faults, "device": "cpu", "gpus": 1, "config": str(settings)}}
    pathlib.Path(asked["answer"]).write_text(json.dumps(answer))
elif module == "verl.model_merger":
    pathlib.Path(sys.argv[sys.argv.index("--target_dir") + 1], "model.safetensors").write_text("weights")
else:
    exec((here / "training.py").read_text())
'''
TRAINING = """
log = open(os.environ["VERL_FILE_LOGGER_PATH"], "a", buffering=1)
begin = int(pathlib.Path(os.environ["VERL_FILE_LOGGER_PATH"]).stem.split("-")[1])
checkpoints = pathlib.Path("checkpoints")
for step in range(begin + 1, 5):
    values = {"critic/rewards/mean": step / 4, "actor/pg_loss": -0.5, "timing_s/step": 2.0}
    log.write(json.dumps({"step": step, "data": values}) + "\\n")
    (checkpoints / f"global_step_{step}").mkdir(parents=True)
    (checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))
    STOP
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> Callable[..., str]:
    """Makes the interpreter; `stop` is code that ends its training after a step."""

    def make(stop: str = "time.sleep(0.01)") -> str:
        folder = tmp_path / "interpreter"
        folder.mkdir(exist_ok=True)
        program = folder / "python"
        program.write_text(STAND_IN.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "training.py").write_text(TRAINING.replace("STOP", stop))
        return str(program)

    return make


def options(tmp_path: Path, python: str, **more: Any) -> dict[str, Any]:
    return {"out": str(tmp_path / "out"), "python": python, "model": {"model": "tiny"}, "steps": 4, **more}


def train(stand: Any, tasks: list[Task] = TASKS) -> Any:
    async def main() -> Any:
        async with stand.runtime as runtime:
            return await runtime.train(tasks)

    return asyncio.run(main())


def asked(tmp_path: Path) -> list[list[str]]:
    return [json.loads(line) for line in (tmp_path / "interpreter" / "asked.jsonl").read_text().splitlines()]


def test_from_tasks_to_a_model(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    made = stand(options(tmp_path, interpreter()))
    report = train(made)
    out = tmp_path / "out"
    assert (report.steps, report.metrics["reward"], report.metrics["loss"]) == (4, 1.0, -0.5)
    assert Path(report.artifacts["model"], "model.safetensors").read_text() == "weights"
    assert [event.step for event in made.told("train_stepped")] == [1, 2, 3, 4]
    assert made.told("train_stepped")[1].metrics["critic/rewards/mean"] == made.told("train_stepped")[1].metrics["reward"] == 0.5
    assert made.told("train_checkpointed")[-1].path.endswith("global_step_4")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    prepare, training, merge = asked(tmp_path)
    assert prepare[:2] == ["-m", "k2core_trainer_verl.inside.prepare"]
    assert training[:2] == ["-m", "verl.trainer.main_ppo"]
    assert training[-1] == "cpu", "verl is told by its environment that there is only the processor"
    assert merge[:2] == ["-m", "verl.model_merger"]
    assert merge[merge.index("--local_dir") + 1].endswith("global_step_4/actor")
    request = json.loads((out / "verl" / "request.json").read_text())
    assert json.loads(request["grading"])["verifiers"]["math"]["use"] == "math"
    assert len(Path(request["train"]).read_text().splitlines()) == len(TASKS)


def test_fine_tuning_takes_files(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    chats = tmp_path / "chats.jsonl"
    chats.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    report = train(stand(options(tmp_path, interpreter(), stage="sft", data={"files": [str(chats)]}), verifiers={}), [])
    assert report.steps == 4
    _, training, merge = asked(tmp_path)
    assert training[:4] == ["-m", "torch.distributed.run", "--standalone", "--nnodes=1"]
    assert training[training.index("-m", 1) + 1] == "verl.trainer.sft_trainer"
    assert merge[merge.index("--local_dir") + 1].endswith("global_step_4")


def test_resumed_where_the_last_checkpoint_is(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    """A run that dies after step 3 has told of step 3 but not checkpointed it: the steps after 2 are made again, and told once."""
    python = interpreter("""
    if step == 3:
        (checkpoints / "latest_checkpointed_iteration.txt").write_text("2")
        time.sleep(1)
        print("torch.OutOfMemoryError: no room"); sys.exit(1)""")
    with pytest.raises(TrainingError, match=r"after step 3: torch.OutOfMemoryError: no room \(go on from the checkpoint of step"):
        train(stand(options(tmp_path, python)))
    with pytest.raises(ConfigError, match="go on with --resume"):
        train(stand(options(tmp_path, python)))
    import shutil

    shutil.rmtree(tmp_path / "out" / "verl" / "checkpoints" / "global_step_3")
    report = train(stand(options(tmp_path, interpreter(), resume=True)))
    rows = [json.loads(line)["step"] for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert (report.steps, rows) == (4, [1, 2, 3, 4])


def test_cancelled(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    made = stand(options(tmp_path, interpreter("time.sleep(60)"), cluster={"drain": 1.0}))

    async def main() -> None:
        async with made.runtime as runtime:
            task = asyncio.create_task(runtime.train(TASKS))
            while not made.told("train_stepped"):  # noqa: ASYNC110 (told by a hook)
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    stand_in = str(tmp_path / "interpreter" / "python").encode()
    running = [p for p in Path("/proc").glob("[0-9]*/cmdline") if stand_in in _read(p)]
    assert running == []
    assert newest(tmp_path / "out" / "verl" / "checkpoints")[0] == 1, "what was there stays"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_faults_name_their_place_and_leave_the_folder_free(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    python = interpreter()
    faults = [("overrides.trainer.nodes", "verl has no setting 'nodes' in trainer"), ("", "verl refuses it")]
    (tmp_path / "interpreter" / "faults.json").write_text(json.dumps(faults))
    with pytest.raises(ConfigError) as caught:
        train(stand(options(tmp_path, python)))
    assert caught.value.path == "trainer.overrides.trainer.nodes"
    assert caught.value.faults[0] == "trainer.overrides.trainer.nodes: verl has no setting 'nodes' in trainer"
    assert caught.value.faults[1] == "trainer: verl refuses it"
    (tmp_path / "interpreter" / "faults.json").unlink()
    assert train(stand(options(tmp_path, python, steps=5))).steps == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out": ""}, "trainer.out"),
        ({"model": {"model": ""}}, "trainer.model.model: say which model"),
        ({"python": "no/such/python"}, r"trainer.python: no interpreter 'no/such/python'; `make verl` builds"),
    ],
)
def test_what_is_missing(tmp_path: Path, interpreter: Callable[..., str], stand: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        train(stand(options(tmp_path, interpreter()) | change))


def test_without_a_verifier_there_is_no_reward(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    with pytest.raises(ConfigError, match="has no verifier"):
        train(stand(options(tmp_path, interpreter()), verifiers={}))


def test_an_interpreter_without_our_package(tmp_path: Path, stand: Any) -> None:
    """A bare Python cannot prepare the run, and its own words are told."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(TrainingError, match=r"cannot prepare the run: .*No module named"):
        train(stand(options(tmp_path, str(bare))))


@pytest.mark.skipif(importlib.util.find_spec("verl") is not None, reason="verl is installed here")
def test_verl_is_not_installed_here(tmp_path: Path, stand: Any) -> None:
    with pytest.raises(
        ConfigError, match=r'trainer.python: verl is not installed beside k2core.*`make verl`.*python = "\.venv-verl'
    ):
        train(stand(options(tmp_path, "")))


def test_conforms(tmp_path: Path, interpreter: Callable[..., str]) -> None:
    out = iter(range(100))

    class Fresh(Verl):
        """The kit trains again and again with the same options: each time is a run of its own."""

        @hookimpl
        async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:
            self.config = self.config.model_copy(update={"out": str(tmp_path / f"out{next(out)}")})
            return await super().k2_train(session, tasks)

    chats = tmp_path / "chats.jsonl"
    chats.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    chosen = options(tmp_path, interpreter(), stage="sft", data={"files": [str(chats)]})  # the kit's pipeline has no verifier
    skip = dict.fromkeys(("import_is_fast", "constructor_touches_nothing"), "looked at in the class itself")
    assert_conforms("trainer", Fresh, chosen, tasks=TASKS, skip=skip)
    for check in checks_for("trainer"):
        if check.static:
            check(Subject("trainer", Verl))


def test_relative_paths_are_of_where_the_trainer_is(
    tmp_path: Path, interpreter: Callable[..., str], stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """verl's processes work in another folder."""
    monkeypatch.chdir(tmp_path)
    for folder in ("models/tiny", "lora"):
        Path(folder).mkdir(parents=True)
    Path("chat.jinja").write_text("{{ messages }}")
    given = {"model": "models/tiny", "adapter": "lora", "chat_template": "chat.jinja"}
    train(stand(options(tmp_path, interpreter(), model=given)))
    told = json.loads((tmp_path / "out" / "verl" / "request.json").read_text())["config"]["model"]
    assert (told["model"], told["adapter"]) == (str(tmp_path / "models/tiny"), str(tmp_path / "lora"))
    assert told["chat_template"] == "{{ messages }}"
    with pytest.raises(ConfigError, match=r"trainer\.model\.chat_template: neither a Jinja template nor a readable file: .*none"):
        train(stand(options(tmp_path / "other", interpreter(), model={**given, "chat_template": "none"})))


def test_a_name_on_the_hub_stays_one(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    train(stand(options(tmp_path, interpreter(), model={"model": "Qwen/Qwen2.5-7B"})))
    told = json.loads((tmp_path / "out" / "verl" / "request.json").read_text())
    assert told["config"]["model"]["model"] == "Qwen/Qwen2.5-7B"


def test_a_misspelt_verifier_is_named_before_anything_runs(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    python = interpreter()
    with pytest.raises(ConfigError, match=r"trainer\.reward\.verifier\.math: .* no verifier 'mth'; \[verifiers\] has math"):
        train(stand(options(tmp_path, python, reward={"verifier": {"math": "mth"}})))
    assert not (tmp_path / "interpreter" / "asked.jsonl").exists()


def test_a_finished_run_is_merged_only(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    """verl's own trainer for conversations would go on beyond the last step."""
    train(stand(options(tmp_path, interpreter())))
    made = stand(options(tmp_path, interpreter(), resume=True))
    report = train(made)
    assert (report.steps, made.told("train_stepped")) == (4, [])
    assert [command[1] for command in asked(tmp_path)[3:]] == ["verl.model_merger"]
    assert Path(report.artifacts["model"], "model.safetensors").exists()


def test_earlier_errors_of_grading_are_kept(tmp_path: Path, interpreter: Callable[..., str], stand: Any) -> None:
    error = """
    with open("reward-errors.jsonl", "a") as file:
        file.write(f"error {step}\\n")"""
    train(stand(options(tmp_path, interpreter(error))))
    made = stand(options(tmp_path, interpreter(error), steps=5, resume=True))
    (tmp_path / "interpreter" / "training.py").write_text(TRAINING.replace("STOP", error).replace(", 5)", ", 6)"))
    train(made)
    lines = (tmp_path / "out" / "verl" / "reward-errors.jsonl").read_text().splitlines()
    assert lines == [f"error {step}" for step in range(1, 6)]
    assert [(event.count, event.examples) for event in made.told("train_skipped")] == [(1, ("error 5",))]


def test_metrics_lines(tmp_path: Path) -> None:
    assert measured(b'{"step": 3, "data": {"actor/grad_norm": 0.5, "note": "x"}}') == (
        3,
        {"grad_norm": 0.5, "actor/grad_norm": 0.5},
    )
    with pytest.raises(ValueError, match="no line of verl's metrics"):
        measured(b'{"step": 3}')
    tail = Tail(tmp_path / "grows")
    assert list(tail.lines()) == []
    (tmp_path / "grows").write_bytes(b"one\ntw")
    assert list(tail.lines()) == [b"one"]
    with (tmp_path / "grows").open("ab") as file:
        file.write(b"o\n\n")
    assert list(tail.lines()) == [b"two"]
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    assert steps_until(tmp_path / "metrics.jsonl", 2) == len('{"step": 1}\n{"step": 2}\n')
    assert steps_until(tmp_path / "none", 2) == 0


def test_a_checkpoint_counts_once_it_is_whole(tmp_path: Path) -> None:
    saved: list[tuple[int, str]] = []
    failed: list[tuple[int, tuple[str, ...]]] = []
    following = Following(
        tmp_path / "m",
        tmp_path,
        tmp_path / "errors",
        lambda step, values: None,
        lambda step, path: saved.append((step, path)),
        lambda count, first: failed.append((count, first)),
    )
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("2")
    following.look()
    assert (saved, newest(tmp_path)[0]) == ([], 0)
    (tmp_path / "global_step_2").mkdir()
    following.look()
    following.look()
    assert saved == [(2, str(tmp_path / "global_step_2"))]
    (tmp_path / "errors").write_text("".join(f"error {n}\n" for n in range(7)))
    following.look()
    following.look()
    assert failed == [(7, tuple(f"error {n}" for n in range(5)))]


def test_the_defaults_are_readable() -> None:
    config = VerlConfig.model_validate({})
    assert (config.algorithm, config.stage, config.prompts, config.group) == ("grpo", "rl", 512, 16)
