"""The verifier in a pipeline: grading, voting, what is unparsed, and hostile answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from k2core_verifier_math.plugin import MathConfig, MathVerifier

from k2core import Candidate, Completion, PipelineConfig, Problem, Registry, Runtime, Verdict
from k2core.testing import assert_conforms, fake_decoder
from k2core.types import ToolCall

PROBLEM = Problem(prompt="What is it?")
PAIRS = Path(__file__).parents[3].parent / "shared" / "data" / "open" / "pairs_unit_tests.jsonl"


def candidates(*texts: str) -> list[Candidate]:
    return [Candidate(id=f"c{place}", text=text) for place, text in enumerate(texts)]


def verify(
    texts: Sequence[str], reference: str | None = None, problem: Problem = PROBLEM, config: MathConfig | None = None
) -> list[Verdict]:
    async def main() -> list[Verdict]:
        verifier = MathVerifier(config)
        try:
            async with asyncio.timeout(100):
                return list(await verifier.k2_verify(problem, candidates(*texts), reference))
        finally:
            await verifier.k2_stop()

    return asyncio.run(main())


def test_grading() -> None:
    right, wrong, other, none = verify([r"\boxed{0.5}", r"\boxed{2}", r"\boxed{\frac{x}{2x}}", "who knows"], "1/2")
    assert (right.status, right.score, right.key, right.answer) == ("correct", 1.0, "1/2", "0.5")
    assert (wrong.status, wrong.score) == ("incorrect", 0.0)
    assert other.status == "correct"
    assert (none.status, none.score, none.key) == ("unparsed", 0.0, None)
    assert r"\boxed{}" in none.reason


def test_truncated_text_says_so() -> None:
    async def main() -> None:
        cut = Candidate(id="c", text="so 3 and 4", completion=Completion(text="so 3 and 4", finish="length"))
        [verdict] = await MathVerifier().k2_verify(PROBLEM, [cut], "4")
        assert verdict.status == "unparsed"
        assert "truncated" in verdict.reason

    asyncio.run(main())


def test_a_given_answer_counts_as_it_is() -> None:
    async def main() -> None:
        given = Candidate(id="c", text="no box here", answer="4")
        [verdict] = await MathVerifier().k2_verify(PROBLEM, [given], "4.0")
        assert verdict.status == "correct"

    asyncio.run(main())


def test_votes_by_equivalence() -> None:
    texts = [r"\boxed{1}", r"\boxed{x+1}", r"\boxed{1+x}", "no idea", r"\boxed{1.0}", r"\boxed{x + 1}"]
    verdicts = verify(texts)
    assert [round(verdict.score * 6) for verdict in verdicts] == [2, 3, 3, 0, 2, 3]
    assert [verdict.key for verdict in verdicts] == ["1", "x+1", "x+1", None, "1", "x+1"]
    assert {verdict.status for verdict in verdicts} == {"undecided", "unparsed"}
    assert verify(texts) == verdicts


def test_votes_for_choices() -> None:
    problem = Problem(prompt="Which?", answer_format="choice")
    verdicts = verify([r"\boxed{B}", "The answer is (b).", r"\boxed{A}"], problem=problem)
    assert [verdict.key for verdict in verdicts] == ["B", "B", "A"]
    assert verify([r"\boxed{B}"], "(B) two", problem)[0].status == "correct"


def test_strict_takes_only_what_the_format_asks_for() -> None:
    assert verify(["the answer is 4"], "4")[0].status == "correct"
    assert verify(["the answer is 4"], "4", config=MathConfig(strict=True))[0].status == "unparsed"


def test_text_is_compared_as_text() -> None:
    problem = Problem(prompt="Who?", answer_format="text")
    assert [verdict.status for verdict in verify(["Ada  Lovelace", "Lovelace Ada"], "ada lovelace", problem)] == [
        "correct",
        "incorrect",
    ]


def test_simple_answers_start_no_worker() -> None:
    async def main() -> None:
        verifier = MathVerifier()
        await verifier.k2_verify(PROBLEM, candidates(r"\boxed{1}", r"\boxed{\frac12}", r"\boxed{3,000}"), "0.5")
        await verifier.k2_verify(PROBLEM, candidates(r"\boxed{1}", r"\boxed{2}"), None)
        assert not verifier._pool.pids
        await verifier.k2_stop()

    asyncio.run(main())


def test_in_a_pipeline() -> None:
    registry = Registry()
    replies = [r"\boxed{7}", r"\boxed{\frac{84}{2}}", r"\boxed{42}"]
    registry.add("decoder", "fake", fake_decoder(lambda request, index: replies.pop(0)))
    registry.add("verifier", "math", MathVerifier)
    config = PipelineConfig.from_dict(
        {
            "sampler": {"use": "best-of-n", "n": 3},
            "decoders": {"solver": {"use": "fake"}},
            "verifiers": {"math": {"timeout": 2.0}},
        }
    )

    async def main() -> None:
        async with Runtime(config, registry=registry) as runtime:
            result = await runtime.solve(Problem(prompt="6 * 7?"), seed=1)
        assert result.verdicts
        assert max(result.scores.values()) == pytest.approx(2 / 3)
        assert result.answer in (r"\frac{84}{2}", "42")

    asyncio.run(main())


@pytest.mark.skipif(not PAIRS.is_file(), reason="the labelled pairs are not next to this checkout")
def test_no_false_accept_among_the_unit_tests_of_others() -> None:
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    rows = [row for row in rows if row["kind"] == "math" and not row.get("debatable") and len(row["prediction"]) < 60]
    assert len(rows) > 50

    async def main() -> list[Verdict]:
        verifier = MathVerifier(MathConfig(timeout=10))
        try:
            graded = [
                verifier.k2_verify(PROBLEM, [Candidate(id="c", text="", answer=row["prediction"])], row["gold"]) for row in rows
            ]
            return [verdict for [verdict] in await asyncio.gather(*graded)]
        finally:
            await verifier.k2_stop()

    verdicts = asyncio.run(main())
    decided = [(row["expected"], verdict.status == "correct") for row, verdict in zip(rows, verdicts, strict=True)]
    assert (False, True) not in decided
    assert decided.count((True, True)) / sum(expected for expected, _ in decided) > 0.85


def test_conforms() -> None:
    assert_conforms("verifier", MathVerifier)


def test_calls_of_tools_vote_as_they_are_beside_answers() -> None:
    """They are no mathematics: arguments in another order are another call, and none of them is looked into."""

    def calling(id: str, a: int, b: int) -> Candidate:
        call = ToolCall(id=id, name="add", arguments=f'{{"a": {a}, "b": {b}}}')
        return Candidate(id=id, text="", completion=Completion(text="", tool_calls=(call,), finish="tool"))

    async def main() -> Sequence[Verdict]:
        made = [calling("0", 1, 2), calling("1", 2, 1), calling("2", 2, 1), Candidate(id="3", text=r"\boxed{3}")]
        return await MathVerifier().k2_verify(PROBLEM, made, None)

    verdicts = asyncio.run(main())
    assert [verdict.score for verdict in verdicts] == [0.25, 0.5, 0.5, 0.25]
    assert len({verdict.key for verdict in verdicts}) == 3
