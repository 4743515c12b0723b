"""How many chunks a second the client can take in: the SDK alone, and the decoder on it, from a loopback server at full speed.

Where a service writes faster than this, the client is what limits it. Both include making the client, and the decoder the runtime.
Run: python plugins/k2core-decoder-cerebras/benchmarks/stream.py
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import statistics
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

CHUNKS, REPEATS = 3000, 3
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "f"}


def stream() -> bytes:
    """An answer of `CHUNKS` chunks."""
    words = [{**HEAD, "choices": [{"index": 0, "delta": {"content": "word "}}]}] * CHUNKS
    counts = {"prompt_tokens": 1, "completion_tokens": CHUNKS, "total_tokens": CHUNKS + 1}
    last = {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": counts}
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in [*words, last]) + b"data: [DONE]\n\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + stream())
        await writer.drain()
    writer.close()


def serve(pipe: Connection) -> None:
    """Serve from a process of its own until killed."""

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def sdk_alone(url: str, n: int) -> None:
    from cerebras.cloud.sdk import AsyncCerebras

    async def one() -> None:
        api: Any = client.chat.completions
        async for _ in await api.create(model="m", messages=[], stream=True):
            pass

    async with AsyncCerebras(base_url=url, warm_tcp_connection=False) as client:
        await asyncio.gather(*(one() for _ in range(n)))


async def decoder(url: str, n: int) -> None:
    from k2core import DecodeRequest, Message, PipelineConfig, Problem, Runtime

    solver = {"use": "cerebras", "model": "m", "base_url": url}
    config = PipelineConfig.from_dict({"decoders": {"solver": solver}, "sampler": {"use": "single"}})
    async with Runtime(config) as runtime, runtime.open(Problem(prompt="x"), seed=1) as run:
        made = await run.decode(DecodeRequest(messages=(Message(role="user", content="x"),), n=n, max_tokens=2 * CHUNKS))
    assert [completion.tokens for completion in made] == [CHUNKS] * n


def main() -> None:
    os.environ.setdefault("CEREBRAS_API_KEY", "csk-loopback")
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    try:
        for n in (1, 3):
            for work in (sdk_alone, decoder):
                asyncio.run(work(url, n))  # imports and first use
                rates = []
                for _ in range(REPEATS):
                    began = time.perf_counter()
                    asyncio.run(work(url, n))
                    rates.append(n * CHUNKS / (time.perf_counter() - began))
                print(f"{work.__name__:10} n={n}: {statistics.median(rates):7,.0f} chunks/s over all choices (median of {REPEATS})")
    finally:
        server.kill()
        server.join()


if __name__ == "__main__":
    main()
