"""`k2 serve` itself, killed under load by real clients: what a client saw finished is in the store, trace and spend."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import httpx
from k2core_serve.store import Found, TraceReader

CLIENTS = 6


class Client(threading.Thread):
    """Asks one request after the other, streamed and whole in turn, and notes the ids of those that it saw finished."""

    def __init__(self, url: str, number: int, ask: Any) -> None:
        super().__init__(daemon=True)
        self._url, self._number, self._ask = f"{url}/v1/chat/completions", number, ask
        self.finished: list[str] = []

    def run(self) -> None:
        with httpx.Client(timeout=20) as client:
            for turn in range(100_000):
                streamed = bool((turn + self._number) % 2)
                body = self._ask("voting", f"Question {self._number}.{turn}: what is 6 times 7?", stream=streamed)
                try:
                    if not streamed:
                        self.finished.append(client.post(self._url, json=body).raise_for_status().json()["id"])
                        continue
                    with client.stream("POST", self._url, json=body) as response:
                        lines = [line for line in response.iter_lines() if line]
                    assert lines[-1] == "data: [DONE]"
                    self.finished.append(lines[0].partition('"id":"')[2].partition('"')[0])
                except (httpx.TransportError, AssertionError):
                    return  # the server is dead


def all_rows(reader: TraceReader) -> dict[str, dict[str, Any]]:
    rows, before = {}, None
    while True:
        page = reader.find(Found(limit=100, before=before))
        rows.update({row["id"]: row for row in page.rows})
        if (before := page.next) is None:
            return rows


def test_after_a_kill_every_answer_is_in_the_history(tools: Any) -> None:
    store = tools.folder / "traces.db"
    (tools.folder / "serve.toml").write_text(f'store = "{store}"\n')
    finished: set[str] = set()
    with tools.api_server(lambda body: "Six times seven is \\boxed{42}.") as api:
        file = tools.write(tools.VOTING, "voting.toml", url=api.base_url)
        with tools.process("--config", file, "--serve", str(tools.folder / "serve.toml")) as (child, url):
            clients = [Client(url, number, tools.ask) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            tools.eventually(lambda: sum(len(client.finished) for client in clients) > 20)
            time.sleep(0.1)
            child.send_signal(signal.SIGKILL)
            child.wait(20)
            for client in clients:
                client.join(20)
                finished.update(id.removeprefix("chatcmpl-") for id in client.finished)
        reader = TraceReader(store)
        rows = all_rows(reader)
        assert {rows[id]["state"] for id in finished} == {"answered"}
        answered = [row for row in rows.values() if row["state"] == "answered"]
        assert sum(row["tokens"] for row in answered) == reader.spent()[""].tokens
        traces = [reader.read(id) for id in sorted(finished)[:20]]
        assert all(not trace.damage and trace.usage["solve"].completion_tokens for trace in traces)
        with tools.process("--config", file, "--serve", str(tools.folder / "serve.toml")) as (child, url):
            found = httpx.get(f"{url}/api/traces", params={"state": "answered", "q": "Question"}, timeout=20).json()
            assert found["rows"]
            id = found["rows"][-1]["id"]
            assert httpx.get(f"{url}/traces/{id}", timeout=20).status_code == 200
            assert httpx.get(f"{url}/api/traces/{id}", timeout=20).json()["events"][-1]["result"]["answer"] == "42"
            assert httpx.post(f"{url}/api/traces/{id}/replay", timeout=60).json()["same"]
            left = httpx.get(f"{url}/api/traces", params={"state": "running"}, timeout=20).json()["rows"]
            assert left == [], "what was running then is marked as interrupted"
