"""Processes that answer: started late, bounded, replaced, cancelled, in order, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from k2core.toolkit.channels import Process
from k2core.toolkit.processes import Broken, ProcessPool, TooLate

ANSWER = """
def answer(message):
    if message.get("sleep"):
        time.sleep(message["sleep"])
    if message.get("exit") is not None:
        os._exit(message["exit"])
    return {"echo": message.get("say"), "pid": os.getpid(), "parent": os.getppid(), "last": bool(message.get("last"))}
"""

PLAIN = f"""
import ctypes, json, os, struct, sys, time
{ANSWER}
def send(message):
    body = json.dumps(message).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(body)) + body)
    sys.stdout.buffer.flush()
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
send({{"ready": True}})
while head := sys.stdin.buffer.read(4):
    reply = answer(json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0])))
    send(reply)
    if reply["last"]:
        break
"""
"""What a process speaks, without our own other side."""

FORKS = f"""
import os, time
from k2core.toolkit.child import Channel, die_with_parent, fork_workers, serve
{ANSWER}
die_with_parent()
channel = Channel()
print("noise that must not reach the pool")
fork_workers(channel, lambda own: serve(own, answer))
"""


def command(kind: str) -> list[str]:
    return [sys.executable, "-c", FORKS if kind == "forks" else PLAIN]


@contextlib.contextmanager
def a_pool(kind: str = "plain", size: int = 1) -> Iterator[ProcessPool]:
    pool = ProcessPool(lambda: command(kind), size=size, name="test", forks=kind == "forks")
    try:
        yield pool
    finally:
        pool.close()
        assert not pool.pids


@pytest.fixture(params=["plain", "forks"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_starts_late_keeps_its_process_and_answers(kind: str) -> None:
    with a_pool(kind) as pool:
        assert not pool.pids
        first = pool.ask_blocking({"say": "é" * 100_000}, 10)
        assert first["echo"] == "é" * 100_000
        assert pool.pids == [first["pid"]]
        assert asyncio.run(pool.ask({"say": 2}, 10))["pid"] == first["pid"]
    with pytest.raises(RuntimeError, match="stopped"):
        pool.ask_blocking({}, 1)


def test_over_time_is_broken_and_the_next_gets_a_new_process(kind: str) -> None:
    with a_pool(kind) as pool:
        victim = pool.ask_blocking({}, 10)["pid"]
        with pytest.raises(Broken, match=r"more than 0\.2 s"):
            pool.ask_blocking({"sleep": 60}, 0.2)
        assert not alive(victim)
        assert pool.ask_blocking({"say": 1}, 10)["echo"] == 1


def test_time_counts_from_the_start_of_the_work_not_from_the_queue(kind: str) -> None:
    with a_pool(kind) as pool:

        async def main() -> None:
            replies = await asyncio.gather(*(pool.ask({"say": n, "sleep": 0.05}, 0.8) for n in range(20)))
            assert [reply["echo"] for reply in replies] == list(range(20))

        asyncio.run(main())


def test_an_end_is_broken_and_the_next_gets_a_new_process() -> None:
    with a_pool() as pool:
        with pytest.raises(Broken, match="exit status 3"):
            pool.ask_blocking({"exit": 3}, 10)
        assert pool.ask_blocking({"say": 1}, 10)["echo"] == 1


def test_a_process_killed_while_idle_is_replaced(kind: str) -> None:
    with a_pool(kind) as pool:
        victim = pool.ask_blocking({}, 10)["pid"]
        os.kill(victim, signal.SIGKILL)
        until(lambda: not pool.pids)
        assert pool.ask_blocking({}, 10)["pid"] != victim


def test_the_forking_process_killed_is_replaced_and_its_workers_die_with_it() -> None:
    with a_pool("forks", size=2) as pool:
        first = pool.ask_blocking({}, 10)
        os.kill(first["parent"], signal.SIGKILL)
        until(lambda: not alive(first["pid"]))
        second = pool.ask_blocking({}, 10)
        assert second["parent"] != first["parent"]


def test_a_last_reply_ends_the_process(kind: str) -> None:
    with a_pool(kind) as pool:
        first = pool.ask_blocking({"last": True}, 10)
        until(lambda: not alive(first["pid"]))
        assert pool.ask_blocking({}, 10)["pid"] != first["pid"]


def test_cancelling_kills_the_process_at_once_and_others_are_served(kind: str) -> None:
    with a_pool(kind) as pool:

        async def main() -> None:
            victim = (await pool.ask({}, 10))["pid"]
            task = asyncio.create_task(pool.ask({"sleep": 60}, 100))
            await asyncio.sleep(0.1)
            waiting = asyncio.create_task(pool.ask({"say": "next"}, 10))
            given_up = asyncio.create_task(pool.ask({"say": "never"}, 10))
            await asyncio.sleep(0)
            for one in (task, given_up):
                one.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await one
            assert (await waiting)["echo"] == "next"
            assert not alive(victim)

        asyncio.run(main())


def test_512_at_once_in_order_of_arrival(kind: str) -> None:
    with a_pool(kind) as pool:
        done: list[int] = []

        async def ask(place: int) -> None:
            assert (await pool.ask({"say": place}, 10))["echo"] == place
            done.append(place)

        async def main() -> None:
            await asyncio.gather(*(ask(place) for place in range(512)))

        asyncio.run(main())
        assert done == list(range(512))


def test_long_jobs_come_last_and_leave_one_process_free() -> None:
    with a_pool("forks", size=2) as pool:

        async def main() -> None:
            slow = [asyncio.create_task(pool.ask({"sleep": 30}, 60, rank=2)) for _ in range(4)]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(20):
                assert [(await pool.ask({"say": n}, 10))["echo"] for n in range(20)] == list(range(20))
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)

        asyncio.run(main())


def test_a_burst_is_spread_over_processes_though_one_was_idle(kind: str) -> None:
    with a_pool(kind, size=4) as pool:
        pool.ask_blocking({}, 10)

        async def main() -> set[int]:
            return {reply["pid"] for reply in await asyncio.gather(*(pool.ask({"sleep": 1.0}, 30) for _ in range(4)))}

        assert len(asyncio.run(main())) == 4


def test_the_lower_rank_comes_first() -> None:
    with a_pool() as pool:
        done: list[int] = []

        async def ask(rank: int) -> None:
            await pool.ask({"sleep": 0.05}, 10, rank=rank)
            done.append(rank)

        async def main() -> None:
            busy = asyncio.create_task(pool.ask({"sleep": 0.3}, 10))
            await asyncio.sleep(0)
            await asyncio.gather(*map(ask, (3, 1, 2, 0)), busy)

        asyncio.run(main())
        assert done == [0, 1, 2, 3]


def test_long_jobs_alone_are_served(kind: str) -> None:
    for size in (1, 2):
        with a_pool(kind, size) as pool:
            assert pool.ask_blocking({"say": size}, 10, rank=2)["echo"] == size


def test_patience_ends_before_a_process_is_free() -> None:
    with a_pool() as pool:

        async def main() -> None:
            busy = asyncio.create_task(pool.ask({"sleep": 0.3}, 10))
            await asyncio.sleep(0)
            with pytest.raises(TooLate):
                await pool.ask({}, 10, patience=0.1)
            await busy
            assert (await pool.ask({"say": 1}, 10, patience=10))["echo"] == 1

        asyncio.run(main())


def test_threads_and_loops_share_a_pool(kind: str) -> None:
    with a_pool(kind, size=2) as pool:
        said: list[int] = []

        async def main(base: int) -> None:
            said.extend(r["echo"] for r in await asyncio.gather(*(pool.ask({"say": base + n}, 10) for n in range(30))))

        threads = [threading.Thread(target=lambda base=base: asyncio.run(main(base))) for base in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(said) == [base + n for base in (0, 100, 200) for n in range(30)]
        assert 1 <= len(pool.pids) <= 2


def test_closing_ends_what_runs_waits_and_starts(kind: str) -> None:
    pool = ProcessPool(lambda: command(kind), size=1, name="test", forks=kind == "forks")

    async def main(pause: float) -> None:
        jobs = [asyncio.create_task(pool.ask({"sleep": 60}, 60)) for _ in range(3)]
        await asyncio.sleep(pause)
        await asyncio.wait_for(asyncio.to_thread(pool.close), 10)
        for outcome in await asyncio.gather(*jobs, return_exceptions=True):
            assert isinstance(outcome, RuntimeError)

    asyncio.run(main(1.0))
    pool.close()
    pool = ProcessPool(lambda: [sys.executable, "-c", "import time; time.sleep(60)"], size=1, name="test", forks=kind == "forks")
    asyncio.run(main(0.3))


def test_warm_starts_all(kind: str) -> None:
    with a_pool(kind, size=3) as pool:
        pool.warm()
        until(lambda: len(pool.pids) == 3)
        assert pool.ask_blocking({}, 10)["pid"] in pool.pids


def test_whether_a_process_lives_is_told_at_once_while_another_thread_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message may be taken between the look at the socket and a read from it, which would then wait for the next."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = Process(ours, os.getpid())
        ours.settimeout(30)
        theirs.send(b"x")

        class Late:
            """What is there is gone as soon as somebody has looked."""

            def __init__(self) -> None:
                self.poller = real()

            def register(self, *arguments: Any) -> None:
                self.poller.register(*arguments)

            def poll(self, timeout: float) -> Any:
                found = self.poller.poll(timeout)
                ours.recv(1)
                return found

        real = select.poll
        monkeypatch.setattr(select, "poll", Late)
        began = time.monotonic()
        assert process.alive()
        assert time.monotonic() - began < 10
        monkeypatch.undo()
        theirs.close()
        assert not process.alive()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; sys.exit(7)", "exit status 7"),
        ('import os; os.write(1, b\'\\0\\0\\0\\x11{"error": "no x"}\')', "no x"),
        ("import os; os.write(1, b'hello world, this is a program')", "something else"),
        ("import time; time.sleep(60)", "starting took more than 1 s"),
    ],
)
def test_what_cannot_start_says_why(script: str, message: str, kind: str) -> None:
    run = [sys.executable, "-c", script]
    pool = ProcessPool(lambda: run, size=1, name="test", start_timeout=1.0 if "sleep" in script else 30.0, forks=kind == "forks")
    with pytest.raises(RuntimeError, match=message):
        pool.ask_blocking({}, 10)
    pool.close()


def test_a_missing_program_says_which() -> None:
    pool = ProcessPool(lambda: ["/nonexistent/program"], size=1, name="test")
    with pytest.raises(RuntimeError, match="/nonexistent/program"):
        pool.ask_blocking({}, 10)
    pool.close()


def test_junk_in_place_of_a_reply_is_broken() -> None:
    script = (
        "import os, time; from k2core.toolkit.child import Channel; c = Channel(); c.send({'ready': True}); c.receive(); "
        "c.socket.sendall(b'junk' * 100); time.sleep(60)"
    )
    pool = ProcessPool(lambda: [sys.executable, "-c", script], size=1, name="test")
    with pytest.raises(Broken, match="something else"):
        pool.ask_blocking({}, 10)
    pool.close()


def test_a_process_that_does_not_read_is_broken_in_time() -> None:
    script = "import time; from k2core.toolkit.child import Channel; c = Channel(); c.send({'ready': True}); time.sleep(60)"
    pool = ProcessPool(lambda: [sys.executable, "-c", script], size=1, name="test")
    with pytest.raises(Broken, match="more than"):
        pool.ask_blocking({"say": "x" * 20_000_000}, 0.5)
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the open files under /proc")
def test_no_descriptor_thread_or_zombie_is_left(kind: str) -> None:
    def state() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    def use() -> int:
        with a_pool(kind, size=2) as pool:
            for _ in range(3):
                with pytest.raises(Broken):
                    pool.ask_blocking({"sleep": 5}, 0.02)
            return int(pool.ask_blocking({}, 10)["pid"])

    use()
    before = state()
    last = use()
    assert state() == before
    until(lambda: not Path(f"/proc/{last}").exists())


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_no_orphans_when_the_parent_is_killed(kind: str) -> None:
    code = f"""
import sys, threading, time
from k2core.toolkit.channels import Process
from k2core.toolkit.processes import ProcessPool
pool = ProcessPool(lambda: {command(kind)!r}, size=2, name="test", forks={kind == "forks"})
pool.warm()
while len(pool.pids) < 2:
    time.sleep(0.01)
print(*pool.pids, flush=True)
pool.ask_blocking({{"sleep": 300}}, 300)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
        parent.wait()
    until(lambda: not any(alive(pid) for pid in pids))


def test_a_fork_gets_processes_of_its_own(kind: str) -> None:
    code = f"""
import os, sys
from k2core.toolkit.channels import Process
from k2core.toolkit.processes import ProcessPool
pool = ProcessPool(lambda: {command(kind)!r}, size=1, name="test", forks={kind == "forks"})
mine = pool.ask_blocking({{}}, 20)["pid"]
child = os.fork()
if child == 0:
    right = pool.ask_blocking({{}}, 20)["pid"] != mine and pool.pids != [mine]
    pool.close()
    os._exit(0 if right else 1)
assert os.waitpid(child, 0)[1] == 0
assert pool.ask_blocking({{}}, 20)["pid"] == mine
pool.close()
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", code], check=True, timeout=60
    )


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout[:1] not in "Z"


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
