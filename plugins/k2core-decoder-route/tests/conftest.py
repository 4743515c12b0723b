"""Chat servers in processes of their own, which keep books that survive them and can be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Server:
    """A server process on a port that it keeps when it is killed and revived."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.books_file, self.port = name, folder / f"{name}.jsonl", 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def table(self) -> dict[str, Any]:
        return {"use": "openai", "base_url": f"http://127.0.0.1:{self.port}/v1", "connect_timeout": 2.0, "first_timeout": 20.0}

    def start(self) -> Server:
        script = Path(__file__).with_name("chat_server.py")
        args = [sys.executable, str(script), self.name, str(self.books_file), str(self.port)]
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        return self

    def kill(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            assert self.process.stdout
            self.process.stdout.close()
            self.process = None

    def tell(self, **settings: Any) -> None:
        """Change how it behaves: `status`, `headers`, `pause`, `first`, `breaks`."""
        url = f"http://127.0.0.1:{self.port}/set"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(settings).encode(), method="POST")):
            pass

    def books(self) -> Counter[str]:
        """What it did: requests by how they ended, tokens sent."""
        counts: Counter[str] = Counter()
        lines = self.books_file.read_text().splitlines() if self.books_file.exists() else []
        for line in lines:
            counts.update(json.loads(line))
        return counts


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    made = [Server(tmp_path, name).start() for name in ("a", "b", "c")]
    yield made
    for server in made:
        server.kill()
