"""The folder: numbering, appending, what is cut off and put in order when it is opened again, the lock."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from k2core_eval.records import Sample, SampleId, TaskRun, Times
from k2core_eval.scoring.server import line_of
from k2core_eval.store.folder import SAMPLES, TIMES, TRACES, Folder
from k2core_eval.store.layout import DONE, FAILED, OPEN, Layout
from k2core_eval.store.lock import locked
from k2core_eval.store.writer import Store

from k2core.errors import ConfigError
from k2core.toolkit.benchmark import Benchmark, Grader

HEAD = b'{"kind":"pipeline","config":{},"plugins":{}}\n'


def layout(*sizes: tuple[str, int, int]) -> Layout:
    card = Benchmark(name="made", grader=Grader(use="math"))
    return Layout([TaskRun(name=name, card=card, problems=n, repeats=k, digest="") for name, n, k in sizes])


def pieces(name: SampleId, outcome: str = "correct") -> tuple[bytes, bytes, bytes]:
    head = {"kind": "sample", "task": name.task, "place": name.place, "repeat": name.repeat, "run_id": "r"}
    block = json.dumps(head, separators=(",", ":")) + f'\n{{"kind":"run_started","note":"{name}"}}\n{{"kind":"run_ended"}}\n'
    sample = Sample(**name._asdict(), problem_id="p", seed=1, outcome=outcome)
    return block.encode(), line_of(Times(**name._asdict(), seconds=1.0)), line_of(sample)


def fill(store: Store, numbers: list[int], failed: tuple[int, ...] = ()) -> None:
    for number in numbers:
        outcome = "infrastructure" if number in failed else "correct"
        state = FAILED if number in failed else DONE
        assert store.append(number, state, *pieces(store.layout.id(number), outcome))


def opened(folder: Path, sizes: tuple[tuple[str, int, int], ...] = (("a", 3, 2), ("b", 2, 2)), *, again: bool = True) -> Store:
    store = Store(Folder(folder), layout(*sizes), HEAD)
    store.open(again=again)
    return store


def order(folder: Path) -> dict[str, list[tuple[str, int, int]]]:
    """Whose pieces the files hold, in their order."""
    found = {}
    for name in (SAMPLES, TIMES, TRACES):
        rows = [json.loads(line) for line in (folder / name).read_bytes().splitlines()]
        found[name] = [(row["task"], row["place"], row["repeat"]) for row in rows if row.get("kind", "sample") == "sample"]
    return found


def test_numbers_follow_task_problem_and_repeat() -> None:
    made = layout(("b", 2, 3), ("a", 2, 2), ("empty", 0, 4))
    ids = [made.id(number) for number in range(made.total)]
    assert ids == sorted(ids)
    assert [made.number(*name) for name in ids] == list(range(10))
    assert made.number("a", 2, 0) is made.number("c", 0, 0) is made.number("a", 0, 2) is None


def test_what_was_appended_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, [7, 0, 3])
    store.close()
    again = opened(tmp_path)
    assert [number for number, state in enumerate(again.states) if state] == [0, 3, 7]
    assert not again.append(3, DONE, *pieces(again.layout.id(3)))
    again.close()
    assert len(Folder(tmp_path).file(SAMPLES).read_bytes().splitlines()) == 3


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_a_kill_at_any_byte_loses_at_most_the_last_sample(tmp_path: Path, at: int) -> None:
    """Writing stops after so many bytes of the third sample's pieces, taken one after the other."""
    store = opened(tmp_path)
    fill(store, [5, 2])
    store.close()
    before = {name: (tmp_path / name).read_bytes() for name in (TRACES, TIMES, SAMPLES)}
    third, left = pieces(store.layout.id(4)), at
    for name, piece in zip(before, third, strict=True):
        with (tmp_path / name).open("ab") as file:
            file.write(piece[:left])
        left = max(0, left - len(piece))
    again = opened(tmp_path)
    if at >= sum(map(len, third)):
        assert again.states[4] == DONE
    else:
        assert again.states[4] == OPEN
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
    again.close()


def test_a_complete_evaluation_is_put_in_order(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, [9, 1, 4, 3, 0, 2, 8, 6, 5, 7])
    assert store.complete
    store.arrange()
    store.close()
    every = [*product("a", range(3), range(2)), *product("b", range(2), range(2))]
    assert order(tmp_path) == {SAMPLES: every, TIMES: every, TRACES: every}
    assert (tmp_path / TRACES).read_bytes().startswith(HEAD)
    assert (tmp_path / TRACES).read_bytes().count(b"run_ended") == 10


def test_failed_samples_are_dropped_everywhere_and_made_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, [0, 1, 2, 3], failed=(1, 2))
    store.close()
    kept = opened(tmp_path, again=False)
    assert list(kept.states[:4]) == [DONE, FAILED, FAILED, DONE]
    kept.close()
    again = opened(tmp_path)
    assert list(again.states[:4]) == [DONE, OPEN, OPEN, DONE]
    again.close()
    assert order(tmp_path) == {name: [("a", 0, 0), ("a", 1, 1)] for name in (SAMPLES, TIMES, TRACES)}


def test_a_kill_between_dropping_and_committing_leaves_no_second_trace(tmp_path: Path) -> None:
    """The traces have lost a failed sample's block already; its line is still in samples.jsonl."""
    store = opened(tmp_path)
    fill(store, [0, 1, 2], failed=(1,))
    store.close()
    before = (tmp_path / SAMPLES).read_bytes()
    opened(tmp_path).close()
    (tmp_path / SAMPLES).write_bytes(before)
    again = opened(tmp_path)
    fill(again, [1])
    again.close()
    assert sorted(order(tmp_path)[TRACES]) == sorted(order(tmp_path)[SAMPLES]) == [("a", 0, 0), ("a", 0, 1), ("a", 1, 0)]


def test_foreign_and_doubled_samples_are_refused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, [0])
    store.close()
    line = (tmp_path / SAMPLES).read_bytes()
    (tmp_path / SAMPLES).write_bytes(line + line)
    with pytest.raises(ConfigError, match=r"samples\.jsonl:2: sample a/0/0 is there twice"):
        opened(tmp_path)
    (tmp_path / SAMPLES).write_bytes(line)
    with pytest.raises(ConfigError, match="is none of this evaluation's"):
        opened(tmp_path, (("other", 1, 1),))


def test_a_sample_that_looks_like_no_line_of_ours_is_read_too(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    row = {"outcome": "infrastructure", "task": "a", "place": 1, "repeat": 0, "problem_id": "p", "seed": 1}
    (tmp_path / SAMPLES).write_text(json.dumps(row) + "\n")
    kept = opened(tmp_path, again=False)
    assert kept.states[2] == FAILED
    kept.close()


def test_a_folder_that_has_gone_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    store = opened(folder)
    fill(store, [0])
    folder.rename(tmp_path / "elsewhere")
    store.sync()
    with pytest.raises(FileNotFoundError, match="removed"):
        fill(store, [1])
    store.close()


def test_two_processes_cannot_hold_one_folder(tmp_path: Path) -> None:
    code = "from k2core_eval.store.lock import locked; from pathlib import Path; import sys\nwith locked(Path(sys.argv[1])): pass"
    with locked(tmp_path):
        held = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    free = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "is being written by another evaluation" in held.stderr
    assert free.returncode == 0
