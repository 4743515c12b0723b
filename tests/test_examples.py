"""Every example runs: on the real embedded model, or against a loopback server that speaks the API of the remote one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from api_server import Body, api_server

from k2core import PipelineConfig, Result, Runtime, Usage

EXAMPLES = Path(__file__).parents[1] / "examples"


def solve(config: PipelineConfig, problem: str) -> Result:
    with Runtime(config) as runtime:
        result = runtime.solve_sync(problem, seed=1)
        assert runtime.ledger.in_flight == 0
        assert runtime.ledger.total.started == runtime.ledger.total.served
        return result


def test_every_example_has_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [p.name for p in EXAMPLES.iterdir() if p.is_file() and p.name not in source] == []


@pytest.mark.parametrize("file", ["embedded.toml", "smollm2.toml"])
def test_embedded_models(file: str) -> None:
    config = PipelineConfig.from_file(EXAMPLES / file, ["sampler.max_tokens=48", "planner.max_tokens=32"])
    result = solve(config, "What is 2 + 3?")
    assert [c.id for c in result.candidates] == ["0", "1", "2"]
    assert all(c.text and c.completion and c.completion.tokens for c in result.candidates)
    assert result.usage["solve"].completion_tokens == sum(c.completion.tokens for c in result.candidates if c.completion)


def answer(body: Body) -> str:
    """Plays planner, judge and solver, told apart by the model's name and what is asked."""
    text = json.dumps(body["messages"])
    if body["model"].startswith("Qwen") and '"better"' in json.dumps(body):
        return '{"better": "A", "reason": "clearer"}'
    if body["model"].startswith("Qwen"):
        return '{"hard": true, "topics": ["arithmetic"], "plan": "Add the tens, then the units."}'
    return "<think>17 + 25</think> <answer>42</answer>" if "17" in text else "<answer>0</answer>"


def test_k2_think_toml() -> None:
    with api_server(answer) as server:
        urls = [f"decoders.{name}.base_url={server.base_url}" for name in ("solver", "planner", "judge")]
        result = solve(PipelineConfig.from_file(EXAMPLES / "k2-think.toml", urls), "What is 17 + 25?")
        by_model = [body["model"] for body in server.requests]
    assert "42" in str(result.answer)
    assert len(result.candidates) == 3
    # hard problem, three samples: two planner calls for each, as in the script; its judge compares twice
    assert (result.usage["plan"].served, result.usage["solve"].served) == (6, 3)
    assert by_model.count("LLM360/K2-Think") == 3
    solver = next(body for body in server.requests if body["model"] == "LLM360/K2-Think")
    assert (solver["temperature"], solver["top_p"], solver["max_tokens"], solver["stop"]) == (1.0, 0.95, 65536, ["</answer>"])


def test_mixed_toml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_API_KEY", "not-a-real-key")

    def remote(body: Body) -> str:
        if '"better"' in json.dumps(body):
            return '{"better": "tie", "reason": "alike"}'
        return '{"hard": true, "topics": ["sums"], "plan": "Add."}'

    with api_server(remote) as server:
        overrides = [f"decoders.remote.base_url={server.base_url}", "sampler.max_tokens=32"]
        result = solve(PipelineConfig.from_file(EXAMPLES / "mixed.toml", overrides), "What is 2 + 3?")
    assert {v.verifier for v in result.verdicts} == {"math", "judge"}
    assert result.usage["plan"].cost > 0
    assert result.usage["solve"].cost == 0


@pytest.mark.parametrize("answers", [[42], [42, 41, 40]])
def test_scaled_toml(answers: list[int]) -> None:
    """Clear votes stop early and need no judge; where they split, all are drawn and rated, but for one with wrong arithmetic."""
    asked: list[int] = []

    def reply(body: Body) -> str:
        if body["model"].startswith("Qwen"):
            return '{"rating": 7, "reason": "fine"}'
        asked.append(1)
        wrong = "10 + 7 = 18. " if len(asked) == 1 else ""
        return f"17 + 25. {wrong}So \\boxed{{{answers[len(asked) % len(answers)]}}}."

    with api_server(reply) as server:
        urls = [f"decoders.{name}.base_url={server.base_url}" for name in ("solver", "judge")]
        result = solve(PipelineConfig.from_file(EXAMPLES / "scaled.toml", urls), "What is 17 + 25?")
    assert "vetoed: " in result.decision
    used = result.usage["solve"]
    assert used.started == used.served + used.cancelled
    assert result.usage.get("judge", Usage()).started == (len(answers) if len(answers) > 1 else 0), "equal texts are rated once"


def test_own_verifier_py() -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "own_verifier.py"), "What is 1 + 1?"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip()
    assert "brief scores" in done.stderr
