"""The scorer's process: `python -m k2core_eval.scoring.server PARENT`, with a socket for its standard input.

It is asked, one message each, to `open` (load the tasks and start their graders), `begin` (open the folder for writing),
for `problem_lines`, to grade and write a `sample`, and to `finish`. Every answer bears its question's id. No answer holds a
reference, or what a grader said.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from typing import Any

from k2core.config import validated
from k2core.errors import ConfigError, K2Error, explain
from k2core.registry import Registry
from k2core.toolkit.child import die_with_parent
from k2core.types import Candidate, Completion

from ..records import Graded, Sample, Spent, TaskRun, Times
from ..store.folder import PROBLEMS, Folder
from ..store.layout import DONE, FAILED, Layout
from ..store.writer import Store
from .finishing import finish
from .grading import Graders
from .loading import Problems
from .wire import Message, Wire

_SYNC = 1.0
"""Seconds between the times when the disk is made to keep what was written."""
NEW_PROBLEMS = "problems.jsonl.new"


class Server:
    """Answers the evaluation's process."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._problems: Problems | None = None
        self._graders: Graders | None = None
        self._store: Store | None = None
        self._tasks = set[asyncio.Task[None]]()
        self._stack = contextlib.AsyncExitStack()

    def told(self, message: Message, payload: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(message, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Message, payload: bytes) -> None:
        data = b""
        try:
            reply, data = await getattr(self, "_" + message["do"])(message, payload)
        except OSError as error:
            reply = {"fault": explain(error), "kind": "disk"}
        except ConfigError as error:
            reply = {"fault": str(error), "kind": "config", "path": error.path}
        except Exception as error:
            reply = {"fault": explain(error), "kind": "k2" if isinstance(error, K2Error) else "bug"}
        self._wire.send({"id": message["id"], **reply}, data)

    async def _open(self, message: Message, _: bytes) -> tuple[Message, bytes]:
        folder, registry = Folder(message["folder"]), Registry()
        problems = self._problems = Problems(folder.file(NEW_PROBLEMS))
        await asyncio.to_thread(
            problems.load,
            message["tasks"],
            message["configured"],
            data=message["data"],
            limit=message["limit"],
            seed=message["seed"],
            registry=registry,
        )
        cards = {name: task.card for name, task in problems.tasks.items()}
        graders = self._graders = Graders(
            cards, message["grading"], registry, {name: task.source for name, task in problems.tasks.items()}
        )
        graders.patience = message.get("patience", graders.patience)
        await self._stack.enter_async_context(graders)
        tasks = [
            TaskRun(name=t.name, card=t.card, problems=t.problems, repeats=message["repeats"], digest=t.digest).model_dump(
                mode="json"
            )
            for t in problems.tasks.values()
        ]
        return {"tasks": tasks, "grading": graders.effective, "plugins": {**problems.origins, **graders.origins}}, b""

    async def _begin(self, message: Message, head: bytes) -> tuple[Message, bytes]:
        assert self._problems is not None
        folder = Folder(message["folder"])
        os.replace(self._problems.path, folder.file(PROBLEMS))
        self._problems.path = folder.file(PROBLEMS)
        layout = Layout([validated(TaskRun, task) for task in message["tasks"]])
        self._store = Store(folder, layout, head)
        dropped = await asyncio.to_thread(self._store.open, again=message["again"])
        self._stack.callback(self._store.close)
        self._stack.push_async_callback(self._cancelled, asyncio.create_task(self._keep_synced()))
        return {"dropped": dropped}, bytes(self._store.states)

    async def _cancelled(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _keep_synced(self) -> None:
        assert self._store is not None
        while True:
            await asyncio.sleep(_SYNC)
            with contextlib.suppress(OSError):  # writing will meet it, too
                await asyncio.to_thread(self._store.sync)

    async def _problem_lines(self, message: Message, _: bytes) -> tuple[Message, bytes]:
        assert self._problems is not None
        return {}, self._problems.lines(message["task"], message["start"], message["count"])

    async def _sample(self, message: Message, block: bytes) -> tuple[Message, bytes]:
        assert self._store is not None
        number = self._store.layout.number(message["task"], message["place"], message["repeat"])
        assert number is not None
        if self._store.states[number]:  # written before this process took over from one that died
            return {}, b""
        began = time.monotonic()
        sample = await self._graded(message)
        times = Times(**{**message["times"], "graded": time.monotonic() - began})
        state = FAILED if sample.outcome == "infrastructure" else DONE
        self._store.append(number, state, block, line_of(times), line_of(sample))
        return ({"outcome": sample.outcome} if message.get("peek") else {}), b""

    async def _graded(self, message: Message) -> Sample:
        """The sample with its grades; `infrastructure` when it has no candidates to grade."""
        assert self._problems is not None
        assert self._graders is not None
        task, made = message["task"], message["sample"]
        row = self._problems.get(task, message["place"])
        made["problem_id"] = row.problem.id
        made["spent"] = tuple(map(_spent, made["spent"]))
        candidates = [_candidate(data) for data in message["candidates"]]
        if not candidates:
            return Sample(outcome="infrastructure", **made)
        if message.get("ungradable"):
            graded = [_ungradable(candidate, message["ungradable"]) for candidate in candidates]
        else:
            graded, made["grading"], warnings = await self._graders.grade(task, row, candidates, message["scores"], made["seed"])
            made["warnings"] = (*made["warnings"], *warnings)
        best = next(one for one in graded if one.id == made["chosen"])
        made |= {"outcome": best.outcome, "score": best.score, "answer": best.answer, "key": best.key}
        return Sample(**made, candidates=tuple(graded))

    async def _finish(self, message: Message, _: bytes) -> tuple[Message, bytes]:
        assert self._store is not None
        text = await asyncio.to_thread(finish, self._store)
        return {"complete": self._store.complete, "failed": self._store.states.count(FAILED), "text": text}, b""

    async def close(self) -> None:
        """Stop what is under way and the graders."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()


def _candidate(data: dict[str, Any]) -> Candidate:
    made = Completion(text=data["text"], reasoning=data["reasoning"], tokens=data["tokens"], finish=data["finish"])
    return Candidate(id=data["id"], text=data["text"], answer=data["answer"], completion=made)


def _ungradable(candidate: Candidate, reason: str) -> Graded:
    made = candidate.completion
    assert made is not None
    return Graded(
        id=candidate.id, text=candidate.text, tokens=made.tokens, finish=made.finish, outcome="verifier_error", reason=reason
    )


def _spent(data: dict[str, Any]) -> Spent:
    return validated(Spent, data)


def line_of(record: Sample | Times) -> bytes:
    """A record as a line of JSON. Lone surrogates, which a model's byte tokens can leave behind, become question marks."""
    try:
        return record.model_dump_json().encode() + b"\n"
    except ValueError:
        import json

        return json.dumps(record.model_dump(mode="python"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


async def serve(channel: socket.socket) -> None:
    """Answer until the other end hangs up."""
    gone = asyncio.Event()
    holder: list[Server] = []
    wire = Wire(lambda message, payload: holder[0].told(message, payload), gone.set)
    holder.append(Server(wire))
    await asyncio.get_running_loop().create_connection(lambda: wire, sock=channel)
    wire.send({"id": 0})
    try:
        await gone.wait()
    finally:
        await holder[0].close()


def main() -> None:
    die_with_parent(int(sys.argv[1]))
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    os.close(null)
    if len(sys.argv) > 2:
        os.set_inheritable(int(sys.argv[2]), False)
    asyncio.run(serve(channel))


if __name__ == "__main__":
    main()
