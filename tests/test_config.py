"""Configurations: where they come from, overrides, and errors that name the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from parts import registry, runtime

from k2core import ConfigError, PipelineConfig, Plugin, PluginConfig, PluginIncompatible, PluginNotFound, Runtime, hookimpl

TOML = """
[sampler]
use = "samples"
n = 3
[decoders.solver]
use = "fake"
[verifiers.votes]
weight = 2
"""


def test_a_file_in_toml_and_the_same_in_yaml(tmp_path: Path) -> None:
    toml, yaml = tmp_path / "a.toml", tmp_path / "a.yaml"
    toml.write_text(TOML)
    yaml.write_text("sampler: {use: samples, n: 3}\ndecoders: {solver: {use: fake}}\nverifiers: {votes: {weight: 2}}\n")
    assert PipelineConfig.from_file(toml) == PipelineConfig.from_file(yaml)
    config = PipelineConfig.from_file(toml)
    assert (config.verifiers["votes"].use, config.verifiers["votes"].weight, config.sampler.options) == ("votes", 2.0, {"n": 3})


@pytest.mark.parametrize(
    ("override", "expected"),
    [("sampler.n=5", {"n": 5}), ('sampler.mode="a b"', {"n": 3, "mode": "a b"}), ("sampler.mode=plain", {"n": 3, "mode": "plain"})],
)
def test_overrides_are_toml_or_plain_text(override: str, expected: dict[str, Any]) -> None:
    assert PipelineConfig.from_toml(TOML, [override]).sampler.options == expected


def test_an_override_without_a_value_takes_out_what_was_there() -> None:
    assert PipelineConfig.from_toml(TOML, ["sampler.n="]).sampler.options == {}
    assert PipelineConfig.from_toml(TOML, ["sampler.n= "]).sampler.options == {}
    embedded = PipelineConfig.from_file(Path(__file__).parents[1] / "examples" / "embedded.toml", ["planner="])
    assert embedded.planner is None
    assert embedded.sampler.options["n"] == 3
    with pytest.raises(ConfigError, match=r"planer: there is nothing to take out"):
        PipelineConfig.from_toml(TOML, ["planer="])


def test_overrides_make_tables() -> None:
    config = PipelineConfig.from_toml(TOML, ["limits.timeout=5", "hooks.trace.path=x.jsonl"])
    assert config.limits.timeout == 5
    assert (config.hooks["trace"].use, config.hooks["trace"].options) == ("trace", {"path": "x.jsonl"})


@pytest.mark.parametrize(
    ("overrides", "path", "message"),
    [
        (["sampler.n"], "", "reads path=value"),
        (["sampler.n.m=1"], "sampler.n.m", "which is no table"),
        (["limits.timeot=1"], "limits.timeot", "limits.timeot: unknown option; did you mean 'timeout'"),
        (["limits.timeout=-1"], "limits.timeout", "limits.timeout: Input should be greater than 0 (got -1)"),
        (["limits.timeout=soon"], "limits.timeout", "(got 'soon')"),
        (["verifiers.votes.weight=heavy"], "verifiers.votes.weight", "verifiers.votes.weight: Input should be a valid number"),
        (["plan=never"], "plan", "plan: Input should be 'problem' or 'sample'"),
        (["decoder.solver.use=x"], "decoder", "decoder: unknown option; did you mean 'decoders'"),
        (["prices.judge.prompt=1"], "", "prices.judge prices no decoder; there are: solver"),
        (["retry.attempts=0", "seed=-1"], "seed", "retry.attempts"),
    ],
)
def test_faults_name_their_place(overrides: list[str], path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PipelineConfig.from_toml(TOML, overrides, "k2.toml")
    assert message in str(caught.value)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": {"use": "samples", "m": 3}}, "sampler.m: unknown option"),
        ({"sampler": {"use": "samples", "n": "three"}}, "sampler.n: Input should be a valid integer"),
        (
            {"sampler": {"use": "samples", "decoder": "judge"}},
            "sampler.decoder: there is no decoder 'judge'; [decoders] has: solver",
        ),
        ({"sampler": {"n": 3}}, "sampler.use: Field required"),
    ],
)
def test_faults_in_a_plugins_options_name_their_place_too(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        runtime(options)
    assert message in str(caught.value)


def test_unreadable_files_are_errors_and_no_tracebacks(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[sampler\n")
    with pytest.raises(ConfigError, match=r"broken.toml is not valid TOML: .*line 1"):
        PipelineConfig.from_file(broken)
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        PipelineConfig.from_file(tmp_path / "absent.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        PipelineConfig.from_file(latin)
    for name, text in {"list.yaml": "- 1\n", "bad.yaml": "a: [1\n"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=name):
            PipelineConfig.from_file(tmp_path / name)


def test_the_default_pipeline_is_valid_and_is_the_embedded_example() -> None:
    example = Path(__file__).parents[1] / "examples" / "embedded.toml"
    assert PipelineConfig.default() == PipelineConfig.from_file(example)
    assert PipelineConfig.default(["sampler.n=5"]).sampler.options["n"] == 5


def test_the_effective_configuration_is_whole_and_makes_the_same_pipeline() -> None:
    made = runtime({"verifiers": {"votes": {}}})
    assert made.effective["sampler"] == {"use": "samples", "n": 1, "max_tokens": 64, "decoder": "solver"}
    json.dumps(made.effective)
    again = Runtime(PipelineConfig.from_dict(made.effective), registry=registry())
    assert again.effective == made.effective


class Nothing(PluginConfig):
    pass


def test_classes_that_cannot_play_their_role_are_refused_when_added() -> None:
    class Sync(Plugin):
        config: Nothing

        @hookimpl
        def k2_plan(self) -> None: ...

    class Unmarked(Plugin):
        config: Nothing

        async def k2_plan(self) -> None: ...

    class Mute(Plugin):
        config: Nothing

    class Untyped(Plugin):
        config: dict[str, int]  # type: ignore[assignment] # that is the point

        @hookimpl
        async def k2_plan(self) -> None: ...

    class Unresolved(Plugin):
        config: Missing  # type: ignore[name-defined]  # noqa: F821 # that is the point

        @hookimpl
        async def k2_plan(self) -> None: ...

    class Strange(Plugin):
        config: Nothing

        @hookimpl
        async def k2_plan(self, question: str) -> None: ...

    faults = {Sync: "must be `async def`", Unmarked: "lacks the @hookimpl", Mute: "does not implement k2_plan"}
    faults |= {Untyped: "must be annotated with a PluginConfig", Unresolved: "does not resolve", int: "derived from k2core.Plugin"}
    for cls, message in faults.items():
        with pytest.raises(PluginIncompatible, match=message):
            registry(x=("planner", cls))
    with pytest.raises(PluginIncompatible, match="no such role"):
        registry(x=("wizard", Mute))
    with pytest.raises(PluginIncompatible, match=r"planner: planner 'x' cannot be registered.*question"):
        runtime({"planner": {"use": "x"}}, x=("planner", Strange))


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(PluginNotFound, match=r"sampler.use: no sampler plugin is named 'sampels'; did you mean 'samples'"):
        runtime({"sampler": {"use": "sampels"}})
