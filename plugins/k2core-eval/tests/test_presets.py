"""Named protocols, what departs from them, and the arms of an ablation."""

from pathlib import Path

import pytest
from evaluations import settings
from k2core_eval.running.ablation import arms
from k2core_eval.running.configuration import read
from k2core_eval.running.presets import with_preset

from k2core.errors import ConfigError

DATA = {"sampler": {"use": "best-of-n", "n": 3}, "decoders": {"solver": {"use": "llamacpp"}}}


def test_the_protocol_of_the_report() -> None:
    data, repeats, text = with_preset(DATA, "k2-think", [], None)
    assert data["sampler"] == {
        "use": "best-of-n",
        "n": 3,
        "temperature": 1.0,
        "top_p": 0.95,
        "max_tokens": 65536,
        "stop": ["</answer>"],
    }
    assert (repeats, text) == (16, "k2-think")
    assert "max_tokens" not in DATA["sampler"]


def test_departures_are_told() -> None:
    data, repeats, text = with_preset(DATA, "k2-think", ["sampler.max_tokens=512", "sampler.top_p=0.95", "sampler.n=5"], 4)
    assert text == "k2-think, but sampler.max_tokens = 512, repeats = 4"
    assert (data["sampler"]["max_tokens"], data["sampler"]["n"], repeats) == (512, 5, 4)


def test_greedy() -> None:
    data, repeats, text = with_preset(DATA, "greedy", [], None)
    assert (data["sampler"]["temperature"], repeats, text) == (0.0, 1, "greedy")


def test_a_sampler_without_the_option_is_refused() -> None:
    from k2core import Registry
    from k2core.testing import FakeSampler

    registry = Registry()
    registry.add("sampler", "plain", FakeSampler)
    with pytest.raises(ConfigError, match="the sampler 'plain' has no option 'temperature'"):
        with_preset(DATA, "greedy", ["sampler.use=plain"], None, registry)


def test_an_unknown_preset_is_refused_with_near_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'k2-think'"):
        with_preset(DATA, "k2think", [], None)


def test_tables_of_the_scorer_leave_the_pipeline(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.toml"
    file.write_text('[sampler]\nuse = "single"\n[grading.gsm8k]\nworkers = 1\n[tasks.jsonl]\nlimit = 3\n[trainer]\nuse = "grpo"\n')
    data, scorer = read(str(file), ["grading.gsm8k.workers=2", "sampler.max_tokens=5"])
    assert data == {"sampler": {"use": "single", "max_tokens": 5}}
    assert scorer == {"grading": {"gsm8k": {"workers": 2}}, "tasks": {"jsonl": {"limit": 3}}}


@pytest.mark.parametrize("override", ["grading=3", "tasks.jsonl=3"])
def test_tables_that_are_none_are_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="must hold a table for each task"):
        read(None, [override])


ARMS = {
    "planner": {"use": "think"},
    "sampler": {"use": "best-of-n", "n": 3, "temperature": 0.5},
    "verifiers": {"math": {}, "judge": {"decoder": "solver"}},
    "decoders": {"solver": {"use": "llamacpp"}},
}


def test_an_ablation_has_four_arms(tmp_path: Path) -> None:
    made = {one.label: one for one in arms(settings(["gsm8k"], tmp_path, ARMS))}
    assert list(made) == ["bare", "+ plan", "+ best-of-N", "both"]
    facts = {label: (bool(s.config.planner), s.config.sampler.options["n"], list(s.config.verifiers)) for label, s in made.items()}
    assert facts == {
        "bare": (False, 1, ["math"]),
        "+ plan": (True, 1, ["math"]),
        "+ best-of-N": (False, 3, ["math", "judge"]),
        "both": (True, 3, ["math", "judge"]),
    }
    assert {s.config.sampler.options["temperature"] for s in made.values()} == {0.5}
    assert [s.out.name for s in made.values()] == ["bare", "plan", "best-of-n", "both"]


def test_an_ablation_may_be_of_some_arms(tmp_path: Path) -> None:
    given = settings(["gsm8k"], tmp_path, ARMS)
    assert [one.out.name for one in arms(given, only=["both", "bare"])] == ["bare", "both"]
    with pytest.raises(ConfigError, match=r"--arm: there is no arm 'best-of-3'; arms are bare, plan, best-of-n, both"):
        list(arms(given, only=["bare", "best-of-3"]))


@pytest.mark.parametrize(("change", "path"), [({"planner": None}, "planner"), ({"sampler": {"use": "single"}}, "sampler.n")])
def test_an_ablation_that_leaves_nothing_out_is_refused(tmp_path: Path, change: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError, match=path):
        list(arms(settings(["gsm8k"], tmp_path, {**ARMS, **change})))
