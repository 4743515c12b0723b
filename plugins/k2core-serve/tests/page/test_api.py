"""What the page asks of the server, without a browser."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx
import pytest

HEADERS = {"content-type": "application/json"}


def kinds(events):
    return [event["kind"] for event in events]


def last(events, kind):
    return next(event for event in reversed(events) if event["kind"] == kind)


def test_a_run_is_told_as_it_goes(server):
    events = server.ask("What is the sum of the first hundred odd numbers?", "careful")
    told = kinds(events)
    assert told[0] == "accepted"
    assert told[-2:] == ["run_ended", "done"]
    order = ["run_started", "plan_made", "candidate_made", "verified", "run_ended"]
    assert [told.index(kind) for kind in order] == sorted(told.index(kind) for kind in order)
    for candidate in ("c0", "c1", "c2"):
        made = next(
            e["candidate"] for e in events if e["kind"] == "candidate_made" and e["candidate"]["id"].endswith(candidate[1:])
        )
        written = [e for e in events if e["kind"] == "delta" and e["candidate"] == made["id"]]
        assert {e["reasoning"] for e in written} == {True, False}
        assert "squares" in made["reasoning"]
        assert "<math" in made["html"]
    ended = last(events, "run_ended")
    assert ended["result"]["answer"] == "10000"
    written = sum(e["tokens"] for e in events if e["kind"] == "delta" and e["role"] == "solve")
    assert ended["usage"]["solve"]["completion_tokens"] == written
    assert ended["usage"]["solve"]["cost"] > 0
    assert {v["status"] for e in events if e["kind"] == "verified" for v in e["verdicts"]}


def test_it_is_in_the_history_with_the_same_events(server):
    events = server.ask("Add the first hundred odd numbers, for the history.")
    id = events[0]["id"]
    trace = server.get(f"/api/traces/{id}").json()
    assert trace["row"]["state"] == "answered"
    assert trace["damage"] == ""
    live = [e for e in events if e["kind"] not in ("accepted", "delta", "done")]
    assert [{**e, "at": 0} for e in trace["events"]] == [{**e, "at": 0} for e in live]
    found = server.get("/api/traces", params={"q": "history hundred"}).json()
    assert [row["id"] for row in found["rows"]] == [id]


def test_a_past_request_replays_offline_and_all_is_the_same(server):
    id = server.ask("What is the sum, to be replayed?", "careful")[0]["id"]
    told = server.post(f"/api/traces/{id}/replay").json()
    assert told["same"], told
    names = {item["name"] for item in told["items"]}
    assert {"plan", "candidates", "verdicts", "decision", "answer", "usage.solve"} <= names


def test_a_trace_that_was_altered_does_not_replay_the_same(kit, tmp_path):
    import sqlite3
    import zlib

    with kit.Server(tmp_path) as server:
        id = server.ask("What is the sum?")[0]["id"]
        with sqlite3.connect(tmp_path / "traces.db") as connection:
            lines = zlib.decompress(connection.execute("SELECT lines FROM traces").fetchone()[0])
            altered = lines.replace(b'"decision":"', b'"decision":"By the toss of a coin: ')
            assert altered != lines
            connection.execute("UPDATE traces SET lines = ?", (zlib.compress(altered),))
        connection.close()
        told = server.post(f"/api/traces/{id}/replay").json()
        assert [item["name"] for item in told["items"] if not item["same"]] == ["decision"]
        with sqlite3.connect(tmp_path / "traces.db") as connection:
            connection.execute("UPDATE traces SET lines = substr(lines, 1, 50)")
        connection.close()
        refused = server.post(f"/api/traces/{id}/replay")
        assert refused.status_code == 409
        assert "cannot be replayed" in refused.json()["error"]["message"]
        shown = server.get(f"/api/traces/{id}").json()
        assert (shown["row"]["answer"], shown["damage"]) == ("10000", "the trace is incomplete")


def test_the_exported_file_is_what_k2_replay_takes(server, tmp_path):
    from k2core_hooks.reader import read_trace

    id = server.ask("To be exported.", "careful")[0]["id"]
    response = server.get(f"/api/traces/{id}/trace.jsonl")
    assert response.headers["content-disposition"] == f'attachment; filename="{id}.jsonl"'
    file = tmp_path / "trace.jsonl"
    file.write_bytes(response.content)
    run = read_trace(file)
    assert run.damage == ""
    assert run.result.answer == "10000"
    assert run.started.config["sampler"]["n"] == 3


def test_presets_are_chosen_by_name_and_nothing_else_can_be(server):
    body = {"pipeline": "careful", "problem": "Sum.", "effort": "low"}
    response = server.post("/api/ask", json=body)
    assert response.text.count('"kind":"candidate_made"') == 1
    for wrong, said in (
        ({"effort": "ultra"}, "no preset 'ultra'"),
        ({"pipeline": "none"}, "'none' does not exist"),
    ):
        events = [
            json.loads(line[6:])
            for line in server.post("/api/ask", json={**body, **wrong}).text.splitlines()
            if line[:5] == "data:"
        ]
        assert said in last(events, "refused")["message"]
    for wrong in ({"seed": 1}, {"config": {}}, {"problem": ""}, {"problem": 3}, {"problem": "x" * 200_001}):
        response = server.post("/api/ask", json={**body, **wrong})
        assert response.status_code == 400, wrong
    assert server.post("/api/ask", content=b"{}").status_code == 415


def test_a_failure_is_told_and_kept(server):
    events = server.ask("please fail")
    assert "out of order" in last(events, "run_ended")["error"]
    id = events[0]["id"]
    assert server.get(f"/api/traces/{id}").json()["row"]["state"] == "failed"
    assert id in {row["id"] for row in server.get("/api/traces", params={"state": "failed"}).json()["rows"]}


def test_a_reader_who_goes_stops_the_run(server):
    body = {"pipeline": "careful", "problem": "Sum, without end.", "effort": ""}
    with httpx.stream("POST", server.url + "/api/ask", json=body, timeout=30) as response:
        lines = response.iter_lines()  # httpx hangs up when it is let go, so it is kept until the run has been seen
        for line in lines:
            if '"kind":"accepted"' in line:
                id = json.loads(line[6:])["id"]
            if '"role":"solve"' in line and '"delta"' in line:
                break
        assert server.running == 1
    end = time.monotonic() + 10
    while server.running and time.monotonic() < end:
        time.sleep(0.01)
    assert not server.running
    while (trace := server.get(f"/api/traces/{id}").json())["row"]["state"] == "running" and time.monotonic() < end:
        time.sleep(0.01)
    assert trace["row"]["state"] == "stopped"
    assert any(e["kind"] == "delta" and e["text"] for e in trace["events"]), "what it had written is kept"
    assert trace["usage"]["solve"]["cancelled"] >= 1


def test_other_sites_pages_get_nothing(server):
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
        for path in ("/api/traces", "/api/about"):
            assert server.get(path, headers=headers).status_code == 403
        assert server.post("/api/traces/x/replay", headers=headers).status_code == 403
        assert server.get("/", headers=headers).status_code == 200, "a link leads here all the same"
    assert server.get("/api/traces", headers={"host": "evil.example"}).status_code == 403


def test_every_answer_has_the_policy(server):
    for path in ("/", "/traces/x", "/page/main.js", "/page/none.js", "/api/about", "/api/traces/none"):
        response = server.get(path)
        assert response.headers["content-security-policy"].startswith("default-src 'self'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
    assert server.get("/page/%2e%2e/application.py").status_code == 404
    assert server.get("/v1/nothing").json()["error"]["code"] == "not_found"
    tag = server.get("/page/main.js").headers["etag"]
    assert server.get("/page/main.js", headers={"if-none-match": tag}).status_code == 304


def test_bad_addresses_and_numbers(server):
    assert server.get("/api/traces/none").status_code == 404
    assert server.post("/api/traces/none/replay").status_code == 404
    for query in ("before=x", "limit=-3", "before=99999999999999999999"):
        assert server.get(f"/api/traces?{query}").status_code == 400
    assert server.get("/api/reports").status_code == 404


# with keys


@pytest.fixture(scope="module")
def guarded(kit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    keys = {}
    for name in ("ann", "bob", "root"):
        (folder / name).write_text(f"the-long-key-of-{name}")
        keys[name] = {"file": str(folder / name), "admin": name == "root"}
    with kit.Server(folder, keys=keys) as server:
        yield server


def key_of(name):
    return {"authorization": f"Bearer the-long-key-of-{name}"}


def test_keys_are_needed_and_each_sees_its_own(guarded):
    about = guarded.get("/api/about").json()
    assert about["key_needed"]
    assert not about["known"]
    assert about["pipelines"] == []
    for path in ("/api/traces", "/api/traces/x", "/api/reports"):
        assert guarded.get(path).status_code == 401
    assert guarded.post("/api/ask", json={}).status_code == 401
    assert guarded.get("/").status_code == 200
    assert guarded.get("/api/about", headers=key_of("ann")).json()["key"] == "ann"
    anns = guarded.ask("What ann asks.", headers=key_of("ann"))[0]["id"]
    bobs = guarded.ask("please fail for bob", headers=key_of("bob"))[0]["id"]
    for name, seen in (("ann", {anns}), ("bob", {bobs}), ("root", {anns, bobs})):
        rows = guarded.get("/api/traces", headers=key_of(name)).json()["rows"]
        assert {row["id"] for row in rows} == seen
    assert guarded.get(f"/api/traces/{anns}", headers=key_of("bob")).status_code == 404
    assert guarded.post(f"/api/traces/{anns}/replay", headers=key_of("bob")).status_code == 404
    assert guarded.post(f"/api/traces/{anns}/replay", headers=key_of("ann")).json()["same"]
    assert guarded.get(f"/api/traces/{anns}/trace.jsonl", headers=key_of("ann")).status_code == 403
    assert guarded.get(f"/api/traces/{anns}/trace.jsonl", headers=key_of("root")).status_code == 200


def test_with_keys_failures_name_no_back_end(guarded):
    events = guarded.ask("please fail", headers=key_of("ann"))
    id = events[0]["id"]
    texts = [json.dumps(events), guarded.get(f"/api/traces/{id}", headers=key_of("ann")).text]
    texts += [guarded.get("/api/traces", headers=key_of("ann")).text]
    assert not any("10.1.2.3" in text for text in texts)
    assert "10.1.2.3" in guarded.get(f"/api/traces/{id}", headers=key_of("root")).text


def test_no_key_is_in_the_store(guarded):
    guarded.ask("What ann asks again.", headers=key_of("ann"))
    for path in guarded.folder.glob("traces.db*"):
        assert b"the-long-key-of" not in path.read_bytes()


def test_it_can_be_mounted_below_another_address_and_without_a_store():
    from k2core_serve.page import Caller, Offer, page_application
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    class Nothing:
        key_needed = False

        def offers(self, caller):
            return [Offer("p", ("low",))]

        def caller(self, headers):
            return Caller()

        async def serve(self, ask, observer, accepted):
            raise RuntimeError("a bug")

    with TestClient(Starlette(routes=[Mount("/deep/down", app=page_application(Nothing()))])) as client:
        assert '<base href="/deep/down/">' in client.get("/deep/down/traces/7").text
        assert client.get("/deep/down/page/base.css").headers["content-type"].startswith("text/css")
        assert client.get("/deep/down/api/about").json()["pipelines"] == [{"name": "p", "efforts": ["low"]}]
        assert client.get("/deep/down/api/traces").status_code == 404
        response = client.post("/deep/down/api/ask", json={"pipeline": "p", "problem": "x"})
        assert json.loads(response.text.split("data: ")[-1])["kind"] == "refused"


def test_assets_ask_for_nothing_elsewhere():
    from k2core_serve.page import assets

    folder = Path(assets.__file__).parent / "assets"
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        for word in ("http://", "https://", "innerHTML", "eval("):
            assert word not in text, file.name
        assert len(text.splitlines()) < 300, file.name


def test_what_the_how_to_says_works(kit, tmp_path):
    import subprocess
    import sys
    import tomllib

    from k2core_serve.settings import Settings

    page = (Path(__file__).parents[4] / "docs/howto/watch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (settings,) = [text for _, text in blocks if text.startswith("# serve.toml")]
    assert Settings.model_validate(tomllib.loads(settings)).store_options.keep_days == 90
    (program,) = [text for language, text in blocks if language == "py"]
    with kit.Server(tmp_path) as server:
        id = server.ask("What is the sum of the odd numbers?")[0]["id"]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert id in done.stdout
    assert (tmp_path / "one.jsonl").read_bytes().startswith(b'{"kind": "run_started"')
