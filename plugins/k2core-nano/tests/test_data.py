"""Training rows: prompts as the pipeline makes them, the same bytes every time."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from k2core_nano.command import Nano
from k2core_nano.data import Shares, pipeline, row, rows
from k2core_nano.tasks import items, problem_of
from k2core_planner_think.reply import read_reply

from k2core import DecodeRequest, PipelineConfig, Runtime
from k2core.config import read_tables
from k2core.registry import Registry
from k2core.testing import assert_conforms, fake_decoder


def k2(*words: str) -> int:
    parser = argparse.ArgumentParser()
    Nano().k2_commands(parser.add_subparsers())
    options = parser.parse_args(["nano", *words])
    return int(options.run(options))


def test_the_command_conforms() -> None:
    assert_conforms("command", Nano, {})


def test_the_same_bytes_for_the_same_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        assert k2("data", "--out", str(tmp_path / name), "--count", "60", "--seed", "3") == 0
    assert k2("data", "--out", str(tmp_path / "c"), "--count", "60", "--seed", "4") == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert hashlib.sha256(a).hexdigest() in capsys.readouterr().out
    found = [json.loads(line) for line in a.splitlines()]
    assert len({one["family"] for one in found}) == 17
    assert all(one["messages"][-1]["role"] == "assistant" for one in found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_what_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "x")
    assert k2("data", "--out", out, "--count", "0") == 1
    assert k2("data", "--out", out, "--families", "sums") == 1
    assert k2("data", "--out", out, "--planned", "0.8", "--planning", "0.8") == 1
    told = capsys.readouterr().err
    assert "at least 1" in told
    assert "no family 'sums'" in told
    assert "together" in told
    assert not (tmp_path / "x").exists()


def test_a_family_of_few_problems_comes_as_often_as_the_others() -> None:
    found = list(rows(900, 0, "division@1,fractions@1,stories@2"))
    assert [sum(one["family"] == family for one in found) for family in ("division", "fractions", "stories")] == [300, 300, 300]
    divisions = [one["messages"] for one in found if one["family"] == "division"]
    assert 200 < len({str(one) for one in divisions}) < 300, "worded in other ways, and some repeated"


def test_shares_of_kinds() -> None:
    kinds = [one["kind"] for one in rows(1000, 0)]
    assert 100 < kinds.count("planned") < 200
    assert 50 < kinds.count("planning") < 115
    assert {one["kind"] for one in rows(50, 0, shares=Shares(0, 0))} == {"solve"}


def test_the_pipeline_asks_what_the_rows_teach() -> None:
    """Planner and sampler of the pipeline file, with a model that replies as the rows do."""
    item = next(itertools.islice(items("stories", (2,), 0, 0), 3, None))
    taught = {kind: row(item, kind, pipeline())["messages"] for kind in ("solve", "planned", "planning")}
    asked: list[Any] = []

    def respond(request: DecodeRequest, index: int) -> str:
        asked.append([{"role": m.role, "content": m.content} for m in request.messages])
        return str(taught["planning" if request.role == "plan" else "planned"][-1]["content"])

    async def solve(tables: dict[str, Any]) -> Any:
        registry = Registry()
        registry.add("decoder", "fake", fake_decoder(respond))
        async with Runtime(PipelineConfig.from_dict(tables), registry=registry) as runtime:
            return await runtime.solve(problem_of(item), seed=1)

    tables = {**pipeline(), "decoders": {"solver": {"use": "fake"}}}
    result = asyncio.run(solve(tables))
    assert asked[0] == taught["planning"][:-1]
    assert all(one == taught["planned"][:-1] for one in asked[1:])
    assert result.answer == item.drawn.reference
    assert result.plan.prompt == item.drawn.plan
    assert not result.warnings
    asked.clear()
    asyncio.run(solve({name: table for name, table in tables.items() if name != "planner"}))
    assert asked
    assert all(one == taught["solve"][:-1] for one in asked)


def test_the_planner_reads_its_rows() -> None:
    replies: Sequence[str] = [one["messages"][-1]["content"] for one in rows(400, 1) if one["kind"] == "planning"]
    assert replies
    assert all(read_reply(reply).plan and read_reply(reply).structured for reply in replies)


def test_the_adapter_is_small_and_belongs_to_the_embedded_model() -> None:
    from k2core_models import shipped

    asked = shipped.unfolded("k2-nano")
    assert asked == ("smollm2-135m-instruct", ("k2-nano",))
    folder = shipped.adapter_folder("k2-nano")
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10_000_000


def test_the_recipe_s_bare_pipeline_is_the_embedded_one_with_one_candidate() -> None:
    bare = read_tables(Path(__file__).parents[1] / "recipe" / "bare.toml")
    assert bare["sampler"] == {**pipeline()["sampler"], "n": 1}
    assert bare["verifiers"] == pipeline()["verifiers"]
