"""What a task is called, and which table and data set that means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from k2core_eval.tasks.naming import Named, card_of, expand, parse, tables

from k2core import ConfigError, Plugin, PluginConfig, Registry, Task, hookimpl
from k2core.config import PipelineConfig
from k2core.toolkit.benchmark import Benchmark, Grader


class Plain(Plugin):
    @hookimpl
    def k2_tasks(self, name: str) -> list[Task]:
        return []


class WithDataConfig(PluginConfig):
    data: str = ""
    """Folder."""


class WithData(Plain):
    config: WithDataConfig


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    found.add("tasks", "plain", Plain)
    found.add("tasks", "with-data", WithData)
    return found


@pytest.mark.parametrize(
    ("name", "source", "dataset"),
    [
        ("gsm8k", "gsm8k", "gsm8k"),
        ("plain", "plain", "plain"),
        ("plain:part", "plain", "part"),
        ("reasoning-gym:chain_sum,gcd", "reasoning-gym", "chain_sum,gcd"),
        ("recorded:some/file.jsonl.gz", "recorded", "some/file.jsonl.gz"),
        ("mine.jsonl", "jsonl", "mine.jsonl"),
        ("some/folder/mine.jsonl.gz", "jsonl", "some/folder/mine.jsonl.gz"),
        ("jsonl:no-ending", "jsonl", "no-ending"),
    ],
)
def test_forms(name: str, source: str, dataset: str, registry: Registry) -> None:
    found = parse(name, registry=registry)
    assert (found.text, found.source, found.dataset, found.table) == (name, source, dataset, {"use": source})


def test_a_table_of_ones_own(registry: Registry) -> None:
    """Its data set is named as the plugin behind it is, since that is the name which the plugin knows."""
    configured = {"mine": {"use": "plain", "x": 1}}
    assert parse("mine", configured, registry) == Named("mine", "mine", "plain", {"use": "plain", "x": 1})
    assert parse("mine:part", configured, registry).dataset == "part"
    config = PipelineConfig.from_dict({"tasks": configured})
    assert parse("mine", config.tasks, registry).table == {"use": "plain", "x": 1}


def test_an_unknown_name_is_told_with_what_is_near(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"no task 'gsm9k'; did you mean gsm8k.*k2 eval tasks lists them"):
        parse("gsm9k", registry=registry)
    with pytest.raises(ConfigError, match=r"no task 'qqq:x'; there are .*plain.*a file's name ends in \.jsonl"):
        parse("qqq:x", registry=registry)


def test_tables_get_the_data_folder_where_they_take_one(registry: Registry, tmp_path: Path) -> None:
    names = ["plain:a", "plain:b", "with-data", "own"]
    configured = {"own": {"use": "with-data", "data": "elsewhere"}, "unused": {"use": "plain"}}
    assert tables(names, configured, tmp_path, registry) == {
        "plain": {"use": "plain"},
        "with-data": {"use": "with-data", "data": str(tmp_path)},
        "own": {"use": "with-data", "data": "elsewhere"},
    }


def test_a_plugin_may_stand_for_several_data_sets(registry: Registry) -> None:
    class Many(Plain):
        def parts(self, name: str) -> tuple[str, ...]:
            return ("a", "b") if name == "plain" else (name,)

    whole, part = parse("plain", registry=registry), parse("plain:a", registry=registry)
    assert [(one.text, one.dataset) for one in expand(whole, Many())] == [("plain:a", "a"), ("plain:b", "b")]
    assert expand(part, Many()) == [part]
    assert expand(whole, Plain()) == [whole]


def test_cards() -> None:
    class Carded(Plain):
        answer: Any = Benchmark(name="x", grader=Grader(use="code"))

        def benchmark(self, name: str) -> Any:
            return self.answer

    class Wrong(Carded):
        answer = "math"

    assert card_of(Carded(), "x").grader.use == "code"
    assert card_of(Plain(), "x") == Benchmark(name="x", grader=Grader(use="math"))
    with pytest.raises(ConfigError, match="must return a Benchmark, not 'math'"):
        card_of(Wrong(), "x")
