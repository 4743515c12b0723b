"""Workers: started late, bounded, replaced, cancelled, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from k2core_verifier_math.pool import Opinion, Pool

from k2core.toolkit.processes import Broken, ProcessPool

SLOW = r"\prod_{k=1}^{9000} k^k"


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(workers=1, timeout=20, memory_mb=512)
    yield pool
    pool.close()
    assert not pool.pids


def test_nothing_starts_before_the_first_job_and_the_worker_is_kept(pool: Pool) -> None:
    assert not pool.pids

    async def main() -> None:
        assert (await pool.compare("x+1", "1+x"))[0] == "equal"
        first = pool.pids
        assert (await pool.compare("x+1", "x+2"))[0] == "different"
        assert pool.pids == first
        assert len(first) == 1

    asyncio.run(main())


def test_a_job_over_time_is_undecided_and_the_next_one_gets_a_new_worker() -> None:
    pool = Pool(workers=1, timeout=0.5, memory_mb=512)

    async def main() -> None:
        outcome, reason = await pool.compare("1", SLOW)
        assert outcome == "undecided"
        assert "0.5 s" in reason
        pool.timeout = 20
        assert (await pool.compare("x", "x+0"))[0] == "equal"

    try:
        asyncio.run(main())
    finally:
        pool.close()


def test_a_comparison_over_memory_is_undecided_and_the_next_one_is_served() -> None:
    code = """
from k2core.toolkit.child import Channel
from k2core_verifier_math.worker import _work
def compare(gold, answer, symmetric):
    return "equal", str(len(bytearray(int(gold))))
_work(Channel(), compare, 200)
"""
    processes = ProcessPool(lambda: [sys.executable, "-c", code], size=1, name="test")
    job = {"answer": "", "symmetric": False, "seconds": 5}
    try:
        reply = processes.ask_blocking({**job, "gold": "1000000000"}, 30)
        assert reply == {"outcome": "undecided", "reason": "comparing needs more than 200 MB", "last": True}
        assert processes.ask_blocking({**job, "gold": "1000"}, 30)["outcome"] == "equal"
        assert processes.ask_blocking({**job, "gold": "no number"}, 30)["reason"].startswith("comparing failed: ValueError")
    finally:
        processes.close()


def test_a_short_turn_ends_by_processor_time_and_not_by_waiting() -> None:
    code = """
import time
from k2core.toolkit.child import Channel
from k2core_verifier_math.worker import _work
def compare(gold, answer, symmetric):
    if gold == "wait":
        time.sleep(0.5)
    while gold == "work":
        pass
    return "equal", ""
_work(Channel(), compare, 500)
"""
    processes = ProcessPool(lambda: [sys.executable, "-c", code], size=1, name="test")
    job = {"answer": "", "symmetric": False, "turn": 0.1}
    try:
        assert processes.ask_blocking({**job, "gold": "wait"}, 30)["outcome"] == "equal"
        with pytest.raises(Broken, match=f"exit status -{int(signal.SIGPROF)}"):
            processes.ask_blocking({**job, "gold": "work"}, 30)
    finally:
        processes.close()


def test_a_killed_worker_is_replaced(pool: Pool) -> None:
    async def main() -> None:
        await pool.compare("x", "y")
        victim = pool.pids[0]
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(_until, lambda: not pool.pids)
        assert (await pool.compare("x", "x+0"))[0] == "equal"
        assert victim not in pool.pids

    asyncio.run(main())


def test_cancelling_returns_at_once_and_ends_the_worker(pool: Pool) -> None:
    async def main() -> None:
        await pool.compare("x", "y")
        victim = pool.pids[0]
        task = asyncio.create_task(pool.compare("1", SLOW))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(_until, lambda: victim not in pool.pids)
        assert (await pool.compare("x", "x+0"))[0] == "equal"

    asyncio.run(main())


def test_closing_ends_jobs_under_way_and_waiting() -> None:
    pool = Pool(workers=1, timeout=60, memory_mb=512)

    async def main() -> None:
        jobs = [asyncio.create_task(pool.compare("1", SLOW)) for _ in range(3)]
        await asyncio.to_thread(_until, lambda: bool(pool.pids))
        await asyncio.to_thread(pool.close)
        for done in await asyncio.gather(*jobs, return_exceptions=True):
            assert isinstance(done, RuntimeError)
        with pytest.raises(RuntimeError, match="stopped"):
            await pool.compare("1", "2")

    asyncio.run(main())
    pool.close()


def test_several_threads_and_loops_share_a_pool() -> None:
    pool = Pool(workers=2, timeout=20, memory_mb=512)
    outcomes: list[str] = []

    async def main() -> None:
        opinions = await asyncio.gather(*(pool.compare(f"x+{n}", f"{n}+x") for n in range(5)))
        outcomes.extend(outcome for outcome, _ in opinions)

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["equal"] * 15
    assert len(pool.pids) <= 2
    pool.close()


def test_a_worker_that_cannot_start_is_an_error(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    async def main() -> Opinion:
        return await pool.compare("1", "2")

    outcome, reason = asyncio.run(main())
    assert outcome == "error"
    assert "/nonexistent/python" in reason


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's; elsewhere the limit on processor time ends it")
def test_no_orphans_when_the_parent_is_killed() -> None:
    code = f"""
import asyncio, sys
from k2core_verifier_math.pool import Pool
async def main():
    pool = Pool(workers=2, timeout=300, memory_mb=512)
    jobs = [asyncio.create_task(pool.compare("1", {SLOW!r})) for _ in range(2)]
    while len(pool.pids) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    print(*pool.pids, flush=True)
    await asyncio.gather(*jobs)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=_environment()) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
        parent.wait()
    _until(lambda: not any(_alive(pid) for pid in pids))


def test_a_fork_gets_workers_of_its_own() -> None:
    code = """
import asyncio, os
from k2core_verifier_math.pool import Pool
pool = Pool(workers=1, timeout=20, memory_mb=512)
ask = lambda: asyncio.run(pool.compare("x+1", "1+x"))[0]
assert ask() == "equal"
mine = pool.pids
child = os.fork()
if child == 0:
    right = ask() == "equal" and pool.pids != mine
    pool.close()
    os._exit(0 if right else 1)
assert os.waitpid(child, 0)[1] == 0
assert ask() == "equal" and pool.pids == mine
pool.close()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=_environment(), check=True, timeout=60)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
