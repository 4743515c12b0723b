"""The loop with a learner of one weight: what it writes and tells, and that no interruption changes a line or a weight."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from k2core_training.checkpoints import Checkpoints  # noqa: E402
from k2core_training.errors import TrainingError  # noqa: E402
from k2core_training.events import Checkpointed, Evaluated, Skipped, Stepped  # noqa: E402
from k2core_training.following.metrics import is_clock, read  # noqa: E402
from k2core_training.looping import Learnt, Loop, Values  # noqa: E402
from k2core_training.optimizing import Optimizer  # noqa: E402
from k2core_training.options import OptimizerOptions, TrainerOptions  # noqa: E402
from k2core_training.working import Stopped  # noqa: E402

from k2core import Event, TrainReport  # noqa: E402

STEPS = 6


class Killed(Exception):
    """As good as a SIGKILL: nobody who could write a checkpoint catches it."""


class Work:
    """Tells a list, and stops when it is told to."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.stopping = False

    def check(self) -> None:
        if self.stopping:
            raise Stopped("the training was stopped")

    def emit(self, event: Event) -> None:
        self.told.append(event)


class Learner:
    """Draws one weight towards 3 and counts; measures every second step and before the first."""

    steps = STEPS
    product = "model"

    def __init__(self, work: Work, breaks: Mapping[tuple[str, int], type[Exception]] | None = None) -> None:
        """`breaks`: what to raise, by what is done and the step."""
        self._work, self._breaks, self.seen = work, breaks or {}, 0
        self._weight = torch.nn.Parameter(torch.ones(1))
        self.optimizer = Optimizer([("weight", self._weight)], OptimizerOptions(lr=0.1), STEPS)

    def begin(self, state: Mapping[str, Any] | None) -> None:
        self.seen = state["seen"] if state else 0

    def state(self) -> Mapping[str, Any]:
        return {"seen": self.seen}

    bad = (2,)
    """Steps whose gradient is not finite."""
    fault = ""

    def learn(self, step: int) -> Learnt:
        self._break("learn", step)
        loss = (self._weight - 3).square().sum() * (float("nan") if step in self.bad else 1.0)
        loss.backward()
        self.optimizer.step()
        self.seen += 10
        return Learnt({"loss": loss.item(), "seen": self.seen}, 10, self.fault if step == 3 else "")

    def due(self, step: int) -> bool:
        return step % 2 == 0

    def measure(self, step: int) -> Values:
        self._break("measure", step)
        return {"eval_weight": self._weight.item()}

    def write(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "weight.json").write_text(json.dumps(self._weight.item()))

    def _break(self, what: str, step: int) -> None:
        if kind := self._breaks.get((what, step)):
            raise kind


def run(out: Path, breaks: Mapping[tuple[str, int], type[Exception]] | None = None, every: int = 2) -> tuple[TrainReport, Work]:
    work = Work()
    config = TrainerOptions.model_validate({"live": False, "checkpoint": {"every": every}})
    out.mkdir(exist_ok=True)
    return Loop(config, work, out, Learner(work, breaks), "test").run(), work  # type: ignore[arg-type] # all of it that is used


def outcome(out: Path) -> tuple[str, list[dict[str, Any]]]:
    rows = [{name: value for name, value in row.items() if not is_clock(name)} for row in read(out)]
    return (out / "model" / "weight.json").read_text(), rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    out = tmp_path_factory.mktemp("whole") / "out"
    report, work = run(out)
    return SimpleNamespace(out=out, report=report, told=work.told, outcome=outcome(out))


def test_what_it_writes_and_tells(whole: SimpleNamespace) -> None:
    rows = list(read(whole.out))
    assert [row["step"] for row in rows] == list(range(STEPS + 1))
    assert [row["step"] for row in rows if "eval_weight" in row] == [0, 2, 4, 6]
    assert rows[0].keys() == {"step", "eval_weight"}
    assert rows[2]["loss"] is None
    assert {"step_seconds", "tokens_per_second", "memory_mb", "seen"} <= rows[1].keys()
    kinds = [type(event) for event in whole.told]
    assert [kinds.count(kind) for kind in (Stepped, Evaluated, Checkpointed, Skipped)] == [
        STEPS,
        4,
        3,  # none after the bad step; the last is written twice
        1,
    ]
    stepped = [event for event in whole.told if isinstance(event, Stepped)]
    assert [{"step": event.step, **event.metrics} for event in stepped] == rows[1:]
    assert whole.report.metrics == {name: value for name, value in rows[-1].items() if name != "step"}
    assert whole.report.steps == STEPS
    assert {name: Path(path).exists() for name, path in whole.report.artifacts.items()} == {
        "model": True,
        "checkpoint": True,
        "metrics": True,
    }


MOMENTS = [*(("learn", step) for step in range(1, STEPS + 1)), *(("measure", step) for step in range(0, STEPS + 1, 2))]


@pytest.mark.parametrize("kind", [Stopped, Killed])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("every", [0, 2])
def test_wherever_it_ends_it_goes_on_to_the_same(
    whole: SimpleNamespace, tmp_path: Path, kind: type[Exception], moment: tuple[str, int], every: int
) -> None:
    with pytest.raises(kind):
        run(tmp_path, {moment: kind}, every)
    found, made = Checkpoints(tmp_path / "checkpoints").latest(), moment[1] - (moment[0] == "learn")
    in_turn = (0, 0, 0, 0, 4, 4, 6)[made] if every else made // STEPS * STEPS  # the second step is a bad one
    kept = made if kind is Stopped else in_turn
    assert (found.step if found else 0) == kept
    run(tmp_path, every=every)
    assert outcome(tmp_path) == whole.outcome


def loop(out: Path, learner: Learner, **options: Any) -> Loop:
    config = TrainerOptions.model_validate({"live": False, **options})
    out.mkdir(exist_ok=True)
    return Loop(config, learner._work, out, learner, "test")  # type: ignore[arg-type] # all of it that is used


def steps_of(out: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (out / "checkpoints").glob("step-*"))


def test_a_kill_while_something_is_measured_costs_no_step(tmp_path: Path) -> None:
    """Whatever the distance of checkpoints is."""
    with pytest.raises(Killed):
        loop(tmp_path, Learner(Work(), {("measure", 4): Killed}), checkpoint={"every": 100}).run()
    assert steps_of(tmp_path) == [4]


def test_where_it_is_no_use_to_go_on_nothing_is_lost(whole: SimpleNamespace, tmp_path: Path) -> None:
    """Neither what a learner says of itself nor bad gradients cost the steps since the last checkpoint."""
    out, learner = tmp_path / "fault", Learner(Work())
    learner.fault = "nothing was rewarded"
    with pytest.raises(TrainingError, match="nothing was rewarded"):
        loop(out, learner, checkpoint={"every": 100}).run()
    assert steps_of(out) == [3]
    loop(out, Learner(Work())).run()
    assert outcome(out) == whole.outcome

    out, learner = tmp_path / "bad", Learner(Work())
    learner.bad, learner.optimizer.options = (2, 3, 4), OptimizerOptions(lr=0.1, bad_steps=3)
    with pytest.raises(TrainingError, match=r"not finite in 3 steps in a row \(until step 4\)"):
        loop(out, learner, checkpoint={"every": 2}).run()
    assert steps_of(out) == [4]
    loop(out, learner).run()
    assert [row["step"] for row in read(out) if row.get("loss") is None] == [0, 2, 3, 4]


def test_weights_that_are_not_finite_are_no_success(tmp_path: Path) -> None:
    class Overflowing(Learner):
        def learn(self, step: int) -> Learnt:
            made = super().learn(step)
            self._weight.data.mul_(float("inf") if step == STEPS else 1.0)
            return made

    with pytest.raises(TrainingError, match="not finite after step 6"):
        loop(tmp_path, Overflowing(Work())).run()
    assert not (tmp_path / "model").exists()


def test_stopped_between_steps_it_leaves_a_checkpoint(whole: SimpleNamespace, tmp_path: Path) -> None:
    class Stopping(Learner):
        def learn(self, step: int) -> Learnt:
            self._work.stopping = step == 3
            return super().learn(step)

    out, work = tmp_path, Work()
    config = TrainerOptions.model_validate({"live": False, "checkpoint": {"every": 0}})
    with pytest.raises(Stopped):
        Loop(config, work, out, Stopping(work), "test").run()  # type: ignore[arg-type]
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000003"]
    assert work.told[-1].kind == "train_checkpointed"
    run(out)
    assert outcome(out) == whole.outcome


def test_a_training_that_is_done_stays_as_it_is(whole: SimpleNamespace, tmp_path: Path) -> None:
    run(tmp_path)
    report, work = run(tmp_path)
    assert outcome(tmp_path) == whole.outcome
    assert report.metrics.keys() == whole.report.metrics.keys()
    assert work.told == []


@pytest.mark.parametrize("measured", [True, False])
def test_checkpoints_from_before_there_was_the_loop(tmp_path: Path, measured: bool) -> None:
    """`sft` and `draft` had written the whole line; `grpo` measured after its checkpoint, in a line of its own."""
    with pytest.raises(Killed):
        run(tmp_path, {("learn", 5): Killed})
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    found = checkpoints.latest()
    assert found is not None
    state, rows = found.state(), list(read(tmp_path))
    del state["unwritten"], state["last"]
    lines = (tmp_path / "metrics.jsonl").read_bytes()
    checkpoints.save(4, state | {"metrics": len(lines)} | ({} if measured else {"evaluated": 2}))
    run(tmp_path)
    again = list(read(tmp_path))
    assert again[: len(rows)] == rows
    assert [row["step"] for row in again[len(rows) :]] == ([5, 6] if measured else [4, 5, 6])
    if not measured:
        assert again[len(rows)] == {"step": 4, "eval_weight": rows[-1]["eval_weight"]}
