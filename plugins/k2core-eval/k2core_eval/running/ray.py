"""The executor that runs the pipeline in actors of a Ray cluster. Problems and seeds go there, what came of them comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from importlib import import_module, metadata
from typing import Any, Self

from k2core.concurrency import gather
from k2core.config import PipelineConfig
from k2core.errors import ConfigError, K2Error, explain
from k2core.log import get_logger
from k2core.registry import Registry
from k2core.types import Problem

from ..records import Spent
from .executor import Solved
from .local import LocalExecutor

START = 120.0
"""Seconds that a worker may take to start, waiting for a free CPU included."""
_STOP = 30.0
_IN_A_ROW = 8
"""So many workers may be lost without anything solved in between."""
_STORE = 512 * 2**20
"""Bytes of the object store of a cluster of our own: what workers return is taken out at once."""


def origins(config: PipelineConfig) -> dict[str, str]:
    """Distribution and version behind every part of a pipeline as installed here: workers must have the same."""
    found = {name: metadata.version(name) for name in ("k2core", "k2core-eval")}
    return found | {slot.path: slot.origin for slot in Registry().assemble(config) if slot.origin}


class Worker:
    """What an actor runs: one pipeline, several problems at a time in its event loop."""

    def __init__(self, config: str) -> None:
        self._config = PipelineConfig.from_dict(json.loads(config))
        self._executor: LocalExecutor | None = None

    async def start(self) -> tuple[dict[str, str], str]:
        """Distributions and versions here; and why the pipeline does not start, or nothing."""
        try:
            found = origins(self._config)
            self._executor = await LocalExecutor(self._config).__aenter__()
        except Exception as error:  # told in words: not every error survives the way back
            return {}, explain(error)
        return found, ""

    async def solve(self, problem: Problem, seed: int) -> Solved:
        assert self._executor is not None
        return await self._executor.solve(problem, seed)

    async def stop(self) -> list[Spent]:
        """What cancelled runs had spent."""
        assert self._executor is not None
        await self._executor.__aexit__(None, None, None)
        return self._executor.abandoned


class _Hired:
    """An actor as seen from here."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.busy = 0


class RayExecutor:
    """Spreads runs over `workers` actors, each with the pipeline; one that is lost is replaced, and its runs are told as lost.

    `address` is that of a cluster, `auto` for the one of this machine, or empty to start one that ends with this executor.
    Without `workers` there is one for each CPU of the cluster, at most `concurrency`.
    """

    def __init__(self, config: PipelineConfig, *, concurrency: int = 1000, address: str = "", workers: int | None = None) -> None:
        """Raises `ConfigError` where Ray is not installed."""
        self._ray = load()
        self._config, self._address = config, address
        self._concurrency, self._wanted = concurrency, workers or 0
        self._hired: list[_Hired] = []
        self._hiring: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._broken: Exception | None = None
        self._in_a_row = 0
        self._ours = False
        self.lost = 0
        """How many workers have been lost."""
        self.abandoned: list[Spent] = []
        """What runs had spent that were cancelled; complete after the end."""

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._connect)
            self._hired = await gather(self._hire() for _ in range(self._fitting()))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._hiring:
            task.cancel()
        await asyncio.gather(*self._hiring, return_exceptions=True)
        try:
            await asyncio.gather(*(self._dismiss(one) for one in self._hired))
        finally:
            await self._close()

    async def solve(self, problem: Problem, seed: int) -> Solved:
        """One run, on the worker that has the fewest. Raises `K2Error` when no worker can be had any more."""
        hired, began = await self._free(), time.monotonic()
        hired.busy += 1
        ref = hired.actor.solve.remote(problem, seed)
        try:
            solved: Solved = await ref
        except asyncio.CancelledError:
            self._ray.cancel(ref)
            raise
        except self._ray.exceptions.RayTaskError as error:
            raise K2Error(f"a Ray worker failed: {_last_line(error)}") from error
        except self._ray.exceptions.RayError as error:
            self._lose(hired, error)
            return Solved(None, (), b"", time.monotonic() - began, error=_lost(error), passing=True)
        finally:
            hired.busy -= 1
        self._in_a_row = 0
        return solved

    # the cluster

    def _connect(self) -> None:
        """Raises `ConfigError` when there is no cluster."""
        if self._ray.is_initialized():
            return
        reach(self._address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        logging.getLogger("ray").setLevel(logging.ERROR)
        quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
        self._ours = True
        try:
            if self._address:
                self._ray.init(self._address, **quiet)
            else:
                workers = self._wanted or min(os.cpu_count() or 1, self._concurrency)
                self._ray.init("local", num_cpus=workers, include_dashboard=False, object_store_memory=_STORE, **quiet)
        except Exception as error:
            where = f"at {self._address!r}" if self._address else "on this machine"
            raise ConfigError(f"there is no Ray cluster {where}: {_last_line(error)}", "--ray-address") from error

    def _fitting(self) -> int:
        """How many workers there are to be. Raises `ConfigError` when the cluster is too small."""
        there = int(self._ray.cluster_resources().get("CPU", 0))
        if there < max(1, self._wanted):
            raise ConfigError(f"the Ray cluster has {there} CPUs; {max(1, self._wanted)} workers need one each", "--ray-workers")
        return self._wanted or min(there, self._concurrency)

    async def _close(self) -> None:
        if self._ours:
            self._ours = False
            await asyncio.to_thread(self._ray.shutdown)

    # workers

    async def _hire(self) -> _Hired:
        """A new worker. Raises `ConfigError` when it has other software, or none, and `K2Error` when it does not start."""
        made = self._ray.remote(Worker).options(num_cpus=1, max_concurrency=max(self._concurrency, 1))
        hired = _Hired(made.remote(self._config.model_dump_json()))
        try:
            found, why = await asyncio.wait_for(hired.actor.start.remote(), START)
        except BaseException as error:
            self._ray.kill(hired.actor)
            raise self._unhired(error) from error
        if why:
            raise K2Error(f"the pipeline does not start on a Ray worker: {why}")
        self._same(found)
        return hired

    def _unhired(self, error: BaseException) -> BaseException:
        """Why there is no worker, in words that help."""
        if isinstance(error, TimeoutError):
            free = self._ray.available_resources().get("CPU", 0)
            return K2Error(
                f"no Ray worker started within {START:g} s: the cluster has {free:g} free CPUs, and each worker needs one"
            )
        if not isinstance(error, self._ray.exceptions.RayError):
            return error
        told = str(error)
        if "No module named 'k2core" in told:
            return ConfigError("the Ray workers have no k2core-eval: install it on every node, as it is here", "--executor")
        return K2Error(f"a Ray worker does not start: {_last_line(error)}")

    def _same(self, found: dict[str, str]) -> None:
        here = origins(self._config)
        for name in sorted({*here, *found}):
            if here.get(name) != found.get(name):
                raise ConfigError(
                    f"Ray workers have {found.get(name, 'nothing')} for {name}, and here it is {here.get(name, 'nothing')}; "
                    "install the same on every node",
                    "--executor",
                )

    async def _dismiss(self, hired: _Hired) -> None:
        try:
            self.abandoned += await asyncio.wait_for(hired.actor.stop.remote(), _STOP)
        except (TimeoutError, self._ray.exceptions.RayError) as error:
            get_logger().warning("a Ray worker did not stop by itself", error=_last_line(error))
        finally:
            self._ray.kill(hired.actor)

    async def _free(self) -> _Hired:
        """The worker with the fewest runs; waits where all have been lost and others are being hired."""
        while not self._hired:
            if not self._hiring:
                raise K2Error(f"there are no Ray workers left: {self._broken or 'the executor is not started'}") from self._broken
            self._changed.clear()
            await self._changed.wait()
        return min(self._hired, key=lambda hired: hired.busy)

    def _lose(self, hired: _Hired, error: Exception) -> None:
        """Put another worker in the place of one that was lost. One that is only out of reach is ended, lest it go on spending."""
        if hired not in self._hired:
            return
        self._hired.remove(hired)
        self._ray.kill(hired.actor)
        self.lost += 1
        self._in_a_row += 1
        get_logger().warning("a Ray worker was lost", error=_last_line(error), runs=hired.busy)
        if self._in_a_row > _IN_A_ROW:
            self._broken = K2Error(f"{self._in_a_row} were lost in a row, the last one so: {_last_line(error)}")
            self._changed.set()
            return
        task = asyncio.get_running_loop().create_task(self._replace())
        self._hiring.add(task)

    async def _replace(self) -> None:
        try:
            self._hired.append(await self._hire())
        except K2Error as error:
            self._broken = error
            get_logger().error("a lost Ray worker is not replaced", error=explain(error))
        else:
            self._broken = None
        finally:
            self._hiring.discard(_current())
            self._changed.set()


def _current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def reach(address: str) -> None:
    """Raise `ConfigError` where nobody listens at host:port: Ray itself would try for minutes."""
    if "://" in address:
        raise ConfigError("must be auto or host:port of the head; run the command on a node of the cluster", "--ray-address")
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), 10).close()
    except (OSError, ValueError) as error:
        raise ConfigError(f"there is no Ray cluster at {address!r}: {error}", "--ray-address") from error


def load() -> Any:
    """The package `ray`. Raises `ConfigError` where it is not installed."""
    try:
        return import_module("ray")
    except ImportError as error:
        raise ConfigError(f"Ray is not installed ({error}): pip install 'k2core-eval[ray]'", "--executor") from error


def _lost(error: BaseException) -> str:
    return f"the Ray worker was lost, and what it had spent is unknown: {_last_line(error)}"


def _last_line(error: BaseException) -> str:
    """Ray's messages hold whole stack traces, and advice: what happened is the first sentence of their last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[-1] if lines else type(error).__name__
    return told.partition(" Worker exit type:")[0][:300]
