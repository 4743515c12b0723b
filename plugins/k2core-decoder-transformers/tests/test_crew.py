"""How many threads compute, beside others' work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from k2core_decoder_transformers.engine import crew
from k2core_decoder_transformers.engine.crew import Crew

from k2core.toolkit.cores import Moment


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    crew.default_threads.cache_clear()
    monkeypatch.setattr(crew.cores, "logical_cores", lambda: 4)
    monkeypatch.setattr(crew.cores, "usable_cores", lambda: 4)
    yield
    torch.set_num_threads(before)
    crew.default_threads.cache_clear()


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Let two seconds pass in which others and this process used so many cores."""
    state = [Moment(0, 0, 0)]
    monkeypatch.setattr(crew.cores, "now", lambda: state[0])
    monkeypatch.setattr(crew.time, "monotonic", lambda: state[0].at)

    def passed(others: float, own: float) -> None:
        last = state[0]
        state[0] = Moment(last.at + 2, last.busy + 2 * (others + own), last.own + 2 * own)

    return passed


def test_cores_that_others_take_and_leave_again(clocks: Callable[[float, float], None]) -> None:
    mine = Crew(0)
    for others, threads in ((0, 4), (1, 3), (3, 1), (9, 1), (0, 4)):
        clocks(others, 1)
        mine.look()
        assert torch.get_num_threads() == threads


def test_between_two_looks_the_number_stays(clocks: Callable[[float, float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Crew(0)
    clocks(3, 1)
    mine.look()
    monkeypatch.setattr(crew.cores, "now", lambda: pytest.fail("looked again at once"))
    mine.look()
    assert torch.get_num_threads() == 1


def test_a_number_that_was_asked_for_stays(clocks: Callable[[float, float], None]) -> None:
    mine = Crew(2)
    clocks(3, 1)
    mine.look()
    assert torch.get_num_threads() == 2


def test_what_one_was_asked_for_is_not_the_next_ones_most(clocks: Callable[[float, float], None]) -> None:
    def threads(asked: int) -> int:
        found: list[int] = []

        def work() -> None:
            Crew(asked)
            found.append(torch.get_num_threads())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return found[0]

    assert [threads(asked) for asked in (1, 0)] == [1, 4]


def test_one_that_stays_looks_no_more(clocks: Callable[[float, float], None]) -> None:
    mine = Crew(0)
    clocks(3, 1)
    mine.look()
    mine.stay()
    assert torch.get_num_threads() == 4
    clocks(3, 1)
    mine.look()
    assert torch.get_num_threads() == 4


def test_without_clocks_torch_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew.cores, "now", lambda: None)
    mine = Crew(0)
    mine.look()
    assert torch.get_num_threads() == 4


def test_other_threads_keep_their_number() -> None:
    found: list[int] = []

    def work() -> None:
        Crew(1)
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1]
    assert torch.ones(1).sum() == 1
    assert torch.get_num_threads() == 4


def test_disbanded_threads_are_gone_and_come_again_when_needed() -> None:
    if crew._pause() is None:
        pytest.skip("torch does not compute with GNU's OpenMP here")
    counts: list[int] = []

    def count() -> None:
        counts.append(len(list(Path("/proc/self/task").iterdir())))

    def work() -> None:
        torch.set_num_threads(3)
        x = torch.randn(400, 400)
        count()
        for _ in range(2):
            x @ x
            x.mul(2).tanh()
            count()
            crew.disband()
            count()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    before, working, gone, again, gone_again = counts
    assert working > before
    assert again == working
    assert gone < working
    assert gone_again == gone


def test_without_gnus_openmp_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_pause", lambda: None)
    crew.disband()
