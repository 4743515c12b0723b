"""Checkpoints that are damaged, interrupted or have no room: the one before is used, and said to be whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from k2core_training.checkpoints import Checkpoints  # noqa: E402
from k2core_training.errors import DiskError  # noqa: E402
from k2core_training.saving import replacing  # noqa: E402


def state(step: int) -> dict[str, Any]:
    return {"step": step, "weights": torch.full((100,), float(step)), "names": ["a", "b"], "nested": {"lr": 0.5}}


def test_what_was_saved_comes_back_and_old_ones_go(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    for step in (5, 10, 15):
        checkpoints.save(step, state(step), lambda folder: (folder / "model.txt").write_text("weights"))
    found = checkpoints.latest()
    assert found is not None
    assert found.step == 15
    loaded = found.state()
    assert torch.equal(loaded.pop("weights"), torch.full((100,), 15.0))
    assert loaded == {"step": 15, "names": ["a", "b"], "nested": {"lr": 0.5}}
    assert (found.path / "model.txt").read_text() == "weights"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000015"]


@pytest.mark.parametrize("harm", ["cut", "flipped", "missing", "manifest", "other"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, harm: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, state(step))
    file = tmp_path / "step-00000002" / "state.pt"
    data = bytearray(file.read_bytes())
    if harm == "cut":
        file.write_bytes(data[:-7])
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif harm == "missing":
        file.unlink()
    else:
        (file.parent / "manifest.json").write_text("{" if harm == "manifest" else '{"version": 99, "files": {}}')
    found = checkpoints.latest()
    assert found is not None
    assert found.step == 1
    checkpoints.save(2, state(2))  # in place of the damaged one
    again = checkpoints.latest()
    assert again is not None
    assert again.step == 2


def test_no_damaged_one_takes_the_place_of_what_is_written(tmp_path: Path) -> None:
    """One that is newer than where training went on from would count as the newest for ever."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(20, state(20))
    (tmp_path / "step-00000020" / "state.pt").write_bytes(b"gone")
    assert checkpoints.latest() is None
    assert checkpoints.save(5, state(5)).is_dir()
    found = checkpoints.latest()
    assert found is not None
    assert found.step == 5
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


WRITER = """
import sys, time, torch
from pathlib import Path
from k2core_training.checkpoints import Checkpoints
from k2core_training.errors import DiskError
checkpoints = Checkpoints(Path(sys.argv[1]), keep=2)
for step in range(1, 10_000):
    checkpoints.save(step, {"step": step, "weights": torch.full((300_000,), float(step))})
    print(step, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_one(tmp_path: Path) -> None:
    """A process that does nothing but write checkpoints, killed twice; what it told of is there, or what came after."""
    for round_ in range(2):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        told = int(process.stdout.readline())
        for again in range(3):
            time.sleep(0.013 * (again + 1) + 0.007 * round_)
            told = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()  # `communicate` would not see the lines that `readline` has read ahead
        process.stdout.close()
        process.wait()
        told = int(rest[-1]) if rest else told
        found = Checkpoints(tmp_path).latest()
        assert found is not None
        assert found.step in (told, told + 1)
        assert torch.equal(found.state()["weights"], torch.full((300_000,), float(found.step)))


FULL = """
import resource, signal, sys, torch
from pathlib import Path
from k2core_training.checkpoints import Checkpoints
from k2core_training.errors import DiskError
checkpoints = Checkpoints(Path(sys.argv[1]))
checkpoints.save(7, {"step": 7, "weights": torch.zeros(10)})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    checkpoints.save(8, {"step": 8, "weights": torch.zeros(1_000_000)})
except DiskError as error:
    print(error)
"""


def test_a_disk_without_room_is_told_and_the_last_one_is_whole(tmp_path: Path) -> None:
    """A real limit on the size of files stops the writing halfway."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "the checkpoint of step 8 could not be written" in done.stdout
    assert "File too large" in done.stdout or "unexpected" in done.stdout
    assert "the one of step 7 is whole" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000007"]


def test_a_folder_that_is_replaced_stays_when_that_fails(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with replacing(target) as scratch:
        (scratch / "a").write_text("1")

    def fail(error: Exception) -> None:
        with replacing(target) as scratch:
            (scratch / "a").write_text("2")
            raise error

    with pytest.raises(RuntimeError, match="no"):
        fail(RuntimeError("no"))
    with pytest.raises(DiskError, match=r"cannot write .*model: No space"):
        fail(OSError(28, "No space left on device"))
    assert (target / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
