"""The verifier keeps the rules of its role, and its verdicts are those that the README promises."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from k2core_verifier_jsonschema import JsonSchema
from k2core_verifier_jsonschema.reading import NoJson, canonical, value_in

from k2core import Candidate, PipelineConfig, PluginError, Problem, Registry, Runtime, Verdict
from k2core.testing import Check, Subject, checks_for

SCHEMA = {
    "type": "object",
    "required": ["name", "born"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string", "minLength": 1}, "born": {"type": "integer"}, "day": {"format": "date"}},
}
RIGHT = '{"name": "Ada", "born": 1815}'
ASKED = Problem(prompt="Who wrote the first program?", answer_format="json")


@pytest.mark.parametrize("check", checks_for("verifier"), ids=lambda check: check.name)
def test_it_conforms(check: Check) -> None:
    check(Subject("verifier", JsonSchema, {"table": SCHEMA}))


def judged(text: str, reference: str | None = None, problem: Problem = ASKED, **options: Any) -> Verdict:
    registry = Registry()
    registry.add("verifier", "jsonschema", JsonSchema)
    options = {"table": SCHEMA, **options} if "table" not in options else options

    async def main() -> Verdict:
        config = PipelineConfig.from_dict({"verifiers": {"jsonschema": options}})
        async with Runtime(config, registry=registry) as runtime, runtime.open(problem, seed=1) as run:
            [verdict] = await run.verify([Candidate(id="c", text=text)], reference)
            return verdict

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "reference", "status", "reason"),
    [
        (RIGHT, None, "undecided", "fits the schema"),
        (f"So:\n```json\n{RIGHT}\n```\nDone.", RIGHT, "correct", "same value"),
        (f'<think>{{"name": "no"}}</think>The answer is {RIGHT}.', RIGHT, "correct", "same value"),
        ('{"born": 1815.0, "name": "Ada"}', RIGHT, "correct", "same value"),
        ('{"name": "Bob", "born": 1815}', RIGHT, "incorrect", "another value"),
        ('{"name": "Ada", "born": "1815"}', RIGHT, "incorrect", "$.born: '1815' is not of type 'integer'"),
        ('{"name": "Ada"}', None, "incorrect", "'born' is a required property"),
        ('{"name": "Ada", "born": 1815, "day": "soon"}', None, "incorrect", "$.day: 'soon' is not a 'date'"),
        ('{"name": "Ada", "name": "Bob", "born": 1}', None, "unparsed", ""),
        ('{"born": NaN, "name": "a"}', None, "unparsed", ""),
        ("I do not know.", None, "unparsed", "no JSON"),
        ("", None, "unparsed", ""),
        ("[" * 100_000, None, "unparsed", ""),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, None, "unparsed", ""),
        ("9" * 5_000, None, "unparsed", ""),
    ],
)
def test_verdicts(text: str, reference: str | None, status: str, reason: str) -> None:
    verdict = judged(text, reference)
    assert verdict.status == status, verdict
    assert reason in verdict.reason


def test_equal_values_vote_together() -> None:
    keys = {judged(text).key for text in (RIGHT, '{"born":1815,"name":"Ada"}', '{"name": "A\\u0064a", "born": 1815.0}')}
    assert len(keys) == 1
    assert canonical(True) != canonical(1)
    assert canonical([1, 2]) != canonical([2, 1])


def test_the_problems_own_schema_goes_first() -> None:
    own = Problem(prompt="A number?", answer_format="json", meta={"json_schema": {"type": "array", "items": {"type": "number"}}})
    assert judged("[1, 2]", problem=own).status == "undecided"
    assert judged(RIGHT, problem=own).status == "incorrect"
    assert judged("[1, 2]", problem=own, meta="").status == "incorrect"


def test_a_file_goes_before_the_table(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps({"type": "array"}))
    assert judged("[1]", file=str(file)).status == "undecided"
    assert judged(RIGHT, file=str(file)).status == "incorrect"


def test_without_a_schema_only_values_count() -> None:
    assert judged("[1]", table={}).reason == "is JSON; there is no schema"
    assert judged("[1]", "[1.0]", table={}).status == "correct"


def test_a_schema_that_is_none_is_told_at_the_start() -> None:
    with pytest.raises(PluginError, match=r"the schema is none: \$.type: 'objekt' is not valid"):
        judged(RIGHT, table={"type": "objekt"})


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **more: Any) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr("urllib.request.urlopen", never)
    verdict = judged(RIGHT, table={"$ref": "http://example.invalid/s.json"})
    assert verdict.status == "error"
    assert "refers to 'http://example.invalid/s.json', which it does not hold" in verdict.reason
    within = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array"}}}
    assert judged("[1]", table=within).status == "undecided"


def test_the_last_value_in_a_text_counts() -> None:
    many = json.dumps({"rows": [[i] for i in range(500)]})
    assert value_in(f"as in [see below] \\boxed{{x}}: {many}.", 10_000) == json.loads(many)
    assert value_in("{a} " * 3_000 + "[1]", 100_000) == [1]
    assert value_in('first {"a": 1}, then {"b": [1, {"c": 2}]} at last', 100) == {"b": [1, {"c": 2}]}
    with pytest.raises(NoJson, match="longer than 3 characters"):
        value_in("[1, 2]", 3)


def test_the_pipeline_beside_the_readme_is_one() -> None:
    registry = Registry()
    registry.add("verifier", "jsonschema", JsonSchema)
    config = PipelineConfig.from_file(Path(__file__).parents[1] / "pipeline.toml")
    assert not [fault for fault in registry.check(config) if "jsonschema" in str(fault)]
