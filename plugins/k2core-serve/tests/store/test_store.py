"""The trace store: what is recorded is found again, and nothing that is wrong with the file goes unsaid."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
import zlib
from pathlib import Path

import pytest
from k2core_serve.records import RequestRecord
from k2core_serve.store import Found, StoreOptions, TraceReader, TraceStore, open_store, schema

from k2core import Candidate, ConfigError, PipelineConfig, Problem, Registry, Result, Runtime
from k2core.events import Delta, RunEnded, RunStarted
from k2core.testing import FakeSampler, FakeVerifier, fake_decoder
from k2core.types import Usage

CONFIG = {
    "sampler": {"use": "fake-n", "n": 2},
    "verifiers": {"fake-verify": {}},
    "decoders": {"solver": {"use": "fake"}},
}


def made(id: str, problem: str = "What is 6 times 7?", answer: str | None = "42", **more: object) -> RequestRecord:
    """A finished request with a short trace that was not run."""
    asked = Problem(prompt=problem)
    candidate = Candidate(id="c0", text=f"Surely {answer}, says the oracle.")
    result = Result(run_id=id, problem_id=asked.id, answer=answer, candidate=candidate, candidates=(candidate,)) if answer else None
    usage = {"solve": Usage(started=1, served=1, prompt_tokens=5, completion_tokens=7, seconds=0.5, cost=0.25)}
    fields = {"pipeline": "p", "version": "v1", "key_id": "ann", "began": 1_700_000_000.0, "seconds": 1.5, **more}
    record = RequestRecord(id=id, problem=asked, result=result, usage=usage, **fields)  # type: ignore[arg-type]
    record.events.append(RunStarted(run_id=id, problem=asked, seed=1, config=CONFIG, plugins={"sampler": "x 1"}))
    record.events.append(RunEnded(run_id=id, at=1.5, result=result, error=record.error, usage=usage))
    return record


def kept(store: TraceStore, *records: RequestRecord) -> None:
    for record in records:
        store.begin(record)
    assert all(store.end(record).result(10) for record in records)


@pytest.fixture
def store(tmp_path: Path):
    with TraceStore(tmp_path / "traces.db") as opened:
        yield opened


async def ran(store: TraceStore, id: str, problem: str = "What is 6 times 7?") -> RequestRecord:
    """A request that a real runtime has served, as the server records it."""
    registry = Registry()
    registry.add("sampler", "fake-n", FakeSampler)
    registry.add("verifier", "fake-verify", FakeVerifier)
    registry.add("decoder", "fake", fake_decoder(lambda request, index: f"The answer to that is {42}."))
    record = RequestRecord(id, "p", "v1", "ann", time.time(), Problem(prompt=problem))
    store.begin(record)
    async with Runtime(PipelineConfig.from_dict(CONFIG), registry=registry) as runtime:
        async for event in runtime.stream(record.problem, seed=3):
            store.event(id, event)
    assert isinstance(event, RunEnded)
    record.result, record.usage, record.seconds = event.result, event.usage, event.at
    assert await asyncio.wrap_future(store.end(record))
    return record


def test_a_request_is_found_with_all_that_is_known_of_it(store):
    record = asyncio.run(ran(store, "r1"))
    row = store.find(Found()).rows[0]
    assert (row["id"], row["state"], row["pipeline"], row["key_id"]) == ("r1", "answered", "p", "ann")
    assert row["problem"] == "What is 6 times 7?"
    assert row["answer"] == record.result.answer
    assert row["candidates"] == 2
    trace = store.read("r1")
    assert trace.damage == ""
    assert trace.usage == record.usage
    assert trace.events[0]["config"]["sampler"] == {"use": "fake-n", "n": 2, "decoder": "solver"}
    assert [e["kind"] for e in trace.events][0 :: len(trace.events) - 1] == ["run_started", "run_ended"]
    assert not any(e["kind"] == "delta" for e in trace.events), "what a served call wrote is in its completions"


def test_lines_are_those_of_trace_files():
    import json
    import math

    from k2core_hooks.jsonl import from_line, to_line
    from k2core_serve.store.packing import line_of

    from k2core.events import CallEnded, CandidateMade, Event, SamplerStopped
    from k2core.types import Completion, TokenLogprob

    class Own(Event):
        kind = "own"
        figure: float

    impossible = Completion(text="a", logprobs=(TokenLogprob(token="a", logprob=-math.inf),))
    record = made("r1", 'Ünïcode \\ " \n \u2028 "logprobs":[')
    odd = [
        *record.events,
        CallEnded(call_id="a", plugin="p", status="served", usage=Usage(), completions=(impossible,)),
        CandidateMade(candidate=Candidate(id="c", text="half \ud800")),
        SamplerStopped(reason="so", confidence=0.5),
        RunStarted(problem=record.problem, seed=1, config={"x": object(), "y": {"z": (1, 2)}}),
        Own(figure=math.nan),
    ]
    for event in odd:
        line = line_of(event)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert json.loads(line) == json.loads(to_line(event))
        from_line(json.loads(line))


def test_it_is_the_trace_that_replays(store, tmp_path):
    from k2core_hooks.compare import compare
    from k2core_hooks.reader import read_trace
    from k2core_hooks.replay import replay

    asyncio.run(ran(store, "r1"))
    file = tmp_path / "r1.jsonl"
    file.write_bytes(store.read("r1").jsonl())
    run = read_trace(file)
    registry = Registry()
    registry.add("sampler", "fake-n", FakeSampler)
    registry.add("verifier", "fake-verify", FakeVerifier)
    ended = asyncio.run(replay(run, registry=registry))
    assert all(item.same for item in compare(run.ended, ended))


def test_what_a_cancelled_call_had_written_is_kept(store):
    from k2core.events import CallEnded

    record = made("r1", answer=None)
    record.error, record.events = "CancelledError: client gone", []
    store.begin(record)
    for word in ("so ", "far"):
        store.event("r1", Delta(run_id="r1", call_id="a", text=word))
    store.event("r1", CallEnded(run_id="r1", call_id="a", plugin="decoders.solver", status="cancelled", usage=Usage()))
    store.event("nobody", Delta(text="lost"))
    assert store.end(record).result(10)
    trace = store.read("r1")
    assert trace.row["state"] == "stopped"
    assert [e.get("text") for e in trace.events] == ["so far", None]


def test_search_filters_and_pages(store):
    kept(store, *(made(f"r{i}", f"How many apples has basket {i}?", str(i), pipeline=("a", "b")[i % 2]) for i in range(25)))
    kept(store, made("odd", "Was für ein Übel?", None, error="PluginError: no", key_id="bob"))
    assert [r["id"] for r in store.find(Found(limit=3)).rows] == ["odd", "r24", "r23"]
    assert [r["id"] for r in store.find(Found(text="basket 17")).rows] == ["r17"]
    assert [r["id"] for r in store.find(Found(text="ubel")).rows] == ["odd"], "accents do not matter"
    assert [r["id"] for r in store.find(Found(text="r11")).rows] == ["r11"]
    assert len(store.find(Found(text="orac", limit=100)).rows) == 25, "candidates are searched, words by their beginning"
    assert {r["id"] for r in store.find(Found(state="failed")).rows} == {"odd"}
    assert {r["id"] for r in store.find(Found(key_id="bob")).rows} == {"odd"}
    assert store.pipelines() == ["a", "b", "p"]
    assert store.pipelines("bob") == ["p"]
    seen, before = [], None
    while True:
        page = store.find(Found(pipeline="a", before=before, limit=5))
        seen += [r["id"] for r in page.rows]
        if (before := page.next) is None:
            break
    assert seen == [f"r{i}" for i in range(24, -1, -2)]


@pytest.mark.parametrize("text", ['"', "a OR", "NEAR(", "problem:x", "*", "' --", "\ud800", "a\0b", "((((", "é" * 5000])
def test_no_search_breaks(store, text):
    kept(store, made("r1"))
    assert store.find(Found(text=text)).rows == []


def test_another_keys_request_is_none(store):
    kept(store, made("r1"))
    assert store.read("r1", "ann").row["id"] == "r1"
    with pytest.raises(KeyError):
        store.read("r1", "bob")


def test_spend_is_summed_by_key_and_outlives_the_traces(tmp_path):
    path = tmp_path / "traces.db"
    with TraceStore(path, StoreOptions(keep_count=3)) as store:
        kept(store, *(made(f"r{i}", key_id=("ann", "bob")[i % 2]) for i in range(10)))
        store._writer._retention.apply()
        assert [r["id"] for r in store.find(Found()).rows] == ["r9", "r8", "r7"]
    with TraceStore(path) as store:
        spent = store.spent()
        assert spent["ann"] == Usage(started=5, served=5, prompt_tokens=25, completion_tokens=35, seconds=2.5, cost=1.25)
        assert spent["ann"] == spent["bob"]
        assert store.spent(since=1_700_000_000 + 7200) == {}


def test_the_oldest_go_by_age_and_by_size(tmp_path):
    from k2core_serve.store.retention import Retention

    with TraceStore(tmp_path / "a.db") as store:
        kept(store, *(made(f"r{i}", began=1_700_000_000.0 + 86400 * i) for i in range(10)))
        keep = Retention(store._writer._connection, StoreOptions(keep_days=3.5), lambda: 1_700_000_000.0 + 86400 * 9)
        assert keep.apply() == 6
        assert [r["id"] for r in store.find(Found()).rows] == ["r9", "r8", "r7", "r6"]
        assert store.find(Found(text="times")).rows[-1]["id"] == "r6", "they are gone from the search, too"
    with TraceStore(tmp_path / "b.db") as store:
        noise = [" ".join(os.urandom(4).hex() for _ in range(2_000)) for _ in range(40)]
        kept(store, *(made(f"r{i}", f"{i} {text}", text) for i, text in enumerate(noise)))
        keep = Retention(store._writer._connection, StoreOptions(keep_bytes=1_200_000))
        before = keep.used()
        while keep.apply():
            pass
        assert before > 2_000_000
        assert 400_000 < keep.used() <= 1_200_000
        assert store.find(Found()).rows[0]["id"] == "r39"


def test_texts_that_sqlite_does_not_take_are_made_fit(store):
    record = made("r1", answer="half \ud800 and \0 nothing")
    kept(store, record)
    trace = store.read("r1")
    assert trace.row["answer"] == "half ? and  nothing"
    assert trace.damage == ""


def test_a_trace_that_is_too_large_leaves_its_row_and_spend(tmp_path):
    with TraceStore(tmp_path / "traces.db", StoreOptions(largest_trace=10_000)) as store:
        kept(store, made("r1", "x" * 20_000))
        trace = store.read("r1")
        assert "too many to be kept" in trace.damage
        assert trace.usage["solve"].completion_tokens == 7


def test_a_full_disk_is_said_and_the_store_goes_on_after_it(store):
    kept(store, made("r1"))
    pages = store._writer._connection.execute("PRAGMA page_count").fetchone()[0]
    store._writer._connection.execute(f"PRAGMA max_page_count = {pages}")
    large = made("r2", os.urandom(40_000).hex())
    assert store.end(large).result(10) is False
    assert "full" in store.trouble
    assert store.counters()["lost"] == 1
    store._writer._connection.execute("PRAGMA max_page_count = 1000000")
    kept(store, made("r3"))
    assert store.trouble == ""
    assert {r["id"] for r in store.find(Found()).rows} == {"r1", "r3"}


def test_a_record_that_cannot_be_written_takes_no_other_with_it(store):
    good, bad = made("good"), made("bad")
    bad.problem = None  # type: ignore[assignment]
    futures = [store.end(bad), store.end(good)]
    assert [future.result(10) for future in futures] == [False, True]


def test_memory_is_bounded_when_the_disk_does_not_keep_up(tmp_path):
    with TraceStore(tmp_path / "traces.db", StoreOptions(pending=3)) as store:
        blocker = sqlite3.connect(store.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        futures = [store.end(made("first"))]
        while store.counters()["pending"]:
            time.sleep(0.001)
        futures += [store.end(made(f"r{i}")) for i in range(6)]
        blocker.execute("ROLLBACK")
        blocker.close()
        assert [future.result(10) for future in futures] == [True] * 4 + [False] * 3
        assert store.counters()["lost"] == 3


def test_a_closed_store_keeps_nothing_and_says_so(tmp_path):
    store = open_store(tmp_path / "deep" / "traces.db")
    store.close()
    assert store.end(made("r1")).result() is False
    assert store.trouble


def test_nobody_else_may_read_the_file(store):
    kept(store, made("r1"))
    for path in store.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


# files that are not as they should be


def test_one_server_a_file(store):
    with pytest.raises(ConfigError, match="in use by another server"):
        open_store(store.path)


def test_alien_and_newer_files_are_refused_and_left_alone(tmp_path):
    alien = tmp_path / "alien.db"
    with sqlite3.connect(alien) as connection:
        connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    nonsense = tmp_path / "nonsense.db"
    nonsense.write_bytes(b"This is a letter, not a database. " * 100)
    open_store(tmp_path / "newer.db").close()
    with sqlite3.connect(tmp_path / "newer.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for path, said in ((alien, "another application's"), (nonsense, "cannot be used"), (tmp_path / "newer.db", "version 99")):
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=said):
            open_store(path)
        assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="cannot open"):
        open_store(nonsense / "below a file")


def test_an_older_file_is_brought_up_to_date_or_left_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "traces.db"
    with open_store(path) as store:
        kept(store, made("r1"))
    broken = [schema.FIRST, "ALTER TABLE requests ADD COLUMN mood TEXT; SELECT nonsense FROM nowhere"]
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(ConfigError, match="nowhere"):
        open_store(path)
    monkeypatch.setattr(schema, "MIGRATIONS", [schema.FIRST, "ALTER TABLE requests ADD COLUMN mood TEXT DEFAULT 'calm'"])
    with open_store(path) as store:
        assert store._writer._connection.execute("SELECT mood FROM requests").fetchone()[0] == "calm"
        assert store._writer._connection.execute("PRAGMA user_version").fetchone()[0] == 2
        kept(store, made("r2"))
        assert len(store.find(Found()).rows) == 2


def spoil(path: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE traces SET lines = ?", b"no zlib"),
        ("UPDATE traces SET lines = substr(lines, 1, length(lines) / 2) WHERE ?", 1),
        ("UPDATE traces SET lines = ?", zlib.compress(b'{"kind": "run_started"}\n[1, 2]\n{"kind": 7}\nrubbish\n\xff\xfe\n')),
        ("UPDATE traces SET lines = ?", "text"),
        ("UPDATE traces SET lines = ?", zlib.compress(b"[" * 100_000)),
        ("UPDATE configs SET body = ?", b"{half"),
        ("DELETE FROM configs WHERE ?", 1),
        ("DELETE FROM traces WHERE ?", 1),
        ("UPDATE requests SET usage = ?", '{"solve": {"started": "many"}}'),
        ("UPDATE requests SET usage = ?", "[1]"),
        ("UPDATE requests SET began = ?", "yesterday"),
        ("UPDATE requests SET problem = ?", b"\xff\xfe bytes"),
        ("UPDATE requests SET seconds = ?", float("inf")),
        ("UPDATE requests SET state = ?", "dancing"),
        ("DROP TABLE traces -- ?", None),
    ],
)
def test_damaged_records_are_shown_as_far_as_they_can_be_read(tmp_path, statement, value):
    import json

    path = tmp_path / "traces.db"
    with open_store(path) as store:
        kept(store, made("r1"), made("r2"))
    spoil(path, statement, *([value] if value is not None else []))
    reader = TraceReader(path)
    rows = reader.find(Found()).rows
    assert [row["id"] for row in rows] == ["r2", "r1"]
    trace = reader.read("r1")
    json.dumps([rows, trace.events], allow_nan=False)
    if "traces" in statement:
        assert trace.damage
    with open_store(path) as store:
        if "DROP" not in statement:
            kept(store, made("r3"))


def test_a_file_that_cannot_be_read_at_all_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="cannot be read"):
        TraceReader(tmp_path / "none.db").find(Found())
