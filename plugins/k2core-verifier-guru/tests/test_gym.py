"""reasoning-gym's own items and verifiers, behind the gate."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from k2core_verifier_guru.gym import junk
from k2core_verifier_guru.gym.client import Gate, Gym
from k2core_verifier_guru.gym.items import ItemRef, parse
from k2core_verifier_guru.gym.tasks import SPLITS, ReasoningGymTasks, ReasoningGymTasksConfig, draw
from k2core_verifier_guru.gym.verifier import ReasoningGym, ReasoningGymConfig

from k2core import Candidate, PipelineConfig, PluginError, Problem, Runtime, Task, Verdict

pytest.importorskip("reasoning_gym", reason="install k2core-verifier-guru[reasoning-gym]")


_SHARED = Gym(workers=2)
_PLUGINS: dict[str, ReasoningGym] = {}


@pytest.fixture(scope="module", autouse=True)
def gym() -> Iterator[Gym]:
    """Processes that most tests share, since each start takes a second or two."""
    yield _SHARED
    _SHARED.close()
    for plugin in _PLUGINS.values():
        asyncio.run(plugin.k2_stop())


def tasks(name: str, split: str = "train", limit: int = 4, seed: int = 0, **options: Any) -> list[Task]:
    config = ReasoningGymTasksConfig(**options)
    return list(itertools.islice(draw(_SHARED, config, name, SPLITS[split], config.size, seed), limit))


def verify(texts: Sequence[str], reference: str | None = None, **options: Any) -> Sequence[Verdict]:
    plugin = _PLUGINS.setdefault(repr(options), ReasoningGym(ReasoningGymConfig(**options)))
    candidates = [Candidate(id=f"c{place}", text=text) for place, text in enumerate(texts)]
    return asyncio.run(plugin.k2_verify(candidates=candidates, reference=reference))


UNSOUND = {
    "boxnet": "stores no answers",
    "graph_color": "stores no answers",
    "propositional_logic": "stores no answers",
    "rubiks_cube": "stores no answers",
    "rush_hour": "stores no answers",
    "game_of_life_halting": "accepts junk",
    "prime_factorization": "raises ValueError on junk",
    "list_functions": "the same seed does not give the same items",
    "number_sorting": "accepts junk: near miss",
    "coin_flip": "accepts junk: always 0",
    "isomorphic_strings": "another process gives other items",
    "no_such_family": "has no family",
}


@pytest.mark.parametrize(("family", "why"), UNSOUND.items())
def test_the_gate_finds_what_is_unsound(gym: Gym, family: str, why: str) -> None:
    gate = gym.gate(family, {})
    assert not gate.sound
    assert why in gate.why


@pytest.mark.parametrize("family", ["chain_sum", "n_queens", "syllogism", "bitwise_arithmetic"])
def test_sound_families_pass(gym: Gym, family: str) -> None:
    gate = gym.gate(family, {})
    assert gate.sound, gate.why
    assert gate.entry


def test_the_gate_runs_once(gym: Gym) -> None:
    first = gym.gate("gcd", {})
    assert gym.gate("gcd", {}) is first
    assert Gym().known("gcd", {}) is first
    assert Gym().known("gcd", {"max_numbers": 3}) is None


def test_junk_is_never_the_answer() -> None:
    for gold in ("", "0", "-1.00", "Yes", "[]", "918273645", "I do not know the answer to this."):
        assert all(not junk.alike(text, gold) for _, text in junk.never("question?", gold))
        assert all(not junk.alike(text, gold) for _, text in junk.likely(gold, ["0", "yes", "7"], junk.random.Random(1)))
    assert junk.near_miss("8.27243551523", junk.random.Random(0)) == "8.37243551523"
    assert junk.near_miss("0.0031", junk.random.Random(0)) == "0.0032"
    assert junk.near_miss("7", junk.random.Random(0)) == "8"
    assert junk.near_miss("?!", junk.random.Random(0)) is None


@pytest.mark.parametrize("family", ["chain_sum", "n_queens", "spiral_matrix", "knights_knaves"])
def test_stored_answers_are_right_and_others_wrong(family: str) -> None:
    for one, other in itertools.pairwise(tasks(family, limit=3, seed=1)):
        gold, wrong = (json.loads(str(task.reference))["answer"] for task in (one, other))
        texts = [
            f"<think>hm</think> <answer>\n{gold}\n</answer>",
            f"<answer>{wrong}</answer>",
            "<answer></answer>",
            "It is so.\nReally.",
        ]
        verdicts = verify(texts, one.reference)
        assert [verdict.status for verdict in verdicts] == ["correct", "incorrect", "unparsed", "unparsed"]
        assert [verdict.score for verdict in verdicts] == [1, 0, 0, 0]


def test_a_reference_may_hold_the_entry() -> None:
    import reasoning_gym

    [entry] = reasoning_gym.create_dataset("gcd", seed=3, size=1)
    for reference in (
        {"family": "gcd", "entry": entry},
        {"task": "gcd", "entry": json.dumps(entry)},
        entry,
        {"dataset": "gcd", **entry},
    ):
        [right, wrong] = verify([f"<answer>{entry['answer']}</answer>", "<answer>77</answer>"], json.dumps(reference))
        assert (right.status, wrong.status) == ("correct", "incorrect")


def test_an_entry_that_json_breaks_is_refused() -> None:
    plugin, broken = ReasoningGym(), Gate("rearc", (), entry=False)
    assert "does not survive JSON" in plugin._refusal(broken, ItemRef("rearc", entry={"answer": "1"}))
    assert not plugin._refusal(broken, ItemRef("rearc", seed=1, index=2))


@pytest.mark.parametrize(
    "reference",
    ["7", "[]", "{", "{}", '{"family": "gcd"}', '{"family": "gcd", "seed": -1, "index": 0}', '{"seed": 1, "index": 1}', '"x"'],
)
def test_a_reference_that_names_no_item_is_an_error(reference: str) -> None:
    [verdict] = verify(["<answer>1</answer>"], reference)
    assert verdict.status == "error"
    assert verdict.reason


def test_an_unsound_family_is_refused() -> None:
    [verdict] = verify(["<answer>True</answer>"], ItemRef("game_of_life_halting").dumps("True"))
    assert verdict.status == "error"
    assert "refused as unsound: accepts junk" in verdict.reason


def test_an_item_that_has_changed_is_an_error() -> None:
    [verdict] = verify(["<answer>1</answer>"], ItemRef("gcd", seed=5, index=2, digest="0" * 16).dumps("1"))
    assert verdict.status == "error"
    assert "not the one" in verdict.reason


def test_code_is_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "run"
    attacks = [f"__import__('pathlib').Path({str(trace)!r}).touch()", f"open({str(trace)!r}, 'w')", "().__class__.__bases__[0]"]
    for family in ("n_queens", "spiral_matrix"):
        [task] = tasks(family, limit=1)
        for verdict in verify([f"<answer>{attack}</answer>" for attack in attacks], task.reference):
            assert verdict.status == "unparsed"
            assert "as code" in verdict.reason
    assert not trace.exists()


def test_an_answer_that_takes_for_ever_is_killed_and_others_are_judged() -> None:
    [task] = tasks("n_queens", limit=1)
    gold = json.loads(str(task.reference))["answer"]
    begun = time.monotonic()
    verdicts = verify(["<answer>[9**9**9**9]</answer>", f"<answer>{gold}</answer>"], task.reference, timeout=2.0)
    assert [verdict.status for verdict in verdicts] == ["undecided", "correct"]
    assert "took more than 2 s" in verdicts[0].reason
    assert time.monotonic() - begun < 30


def test_an_answer_that_takes_all_memory_is_undecided() -> None:
    [task] = tasks("n_queens", limit=1)
    [verdict] = verify(["<answer>['a' * 10**11]</answer>"], task.reference)
    assert verdict.status in ("undecided", "incorrect")


def test_a_box_may_hold_text_in_latex() -> None:
    [task] = tasks("syllogism", limit=1)
    gold = json.loads(str(task.reference))["answer"]
    verdicts = verify([rf"\boxed{{\text{{{gold}}}}}", rf"\boxed{{{gold}}}", r"\boxed{\text{Maybe}}"], task.reference)
    assert [verdict.status for verdict in verdicts] == ["correct", "correct", "incorrect"]


def test_a_megabyte_is_judged() -> None:
    [task] = tasks("chain_sum", limit=1)
    verdicts = verify(["<answer>" + "7" * 10**6 + "</answer>", "[" * 10**6, "\x00" * 1000], task.reference)
    assert {verdict.status for verdict in verdicts} <= {"incorrect", "unparsed"}


def test_partial_credit() -> None:
    [task] = tasks("tower_of_hanoi", limit=1)
    gold = json.loads(str(task.reference))["answer"]
    half = "\n".join(gold.splitlines()[:1])
    [verdict] = verify([f"<answer>{half}</answer>"], task.reference, partial=True)
    assert verdict.status == "incorrect"
    assert 0 < verdict.score < 1
    [junky] = tasks("rectangle_count", limit=1)
    [verdict] = verify(["<answer>1</answer>"], junky.reference, partial=True)
    assert verdict.status == "error"
    assert "partial credit to junk" in verdict.reason


def test_without_a_reference_equal_answers_vote_together() -> None:
    verdicts = verify(["<answer>1 2\n3 4</answer>", r"\boxed{1 2 3 4}", "<answer>X</answer>", "\n"])
    assert [verdict.score for verdict in verdicts] == [0.5, 0.5, 0.25, 0]


def test_from_several_loops_and_after_a_stop() -> None:
    [task] = tasks("gcd", limit=1)
    gold = json.loads(str(task.reference))["answer"]
    plugin = ReasoningGym()
    found: list[str] = []

    def judge() -> None:
        candidates = [Candidate(id="a", text=f"<answer>{gold}</answer>")]
        found.append(asyncio.run(plugin.k2_verify(candidates=candidates, reference=task.reference))[0].status)

    threads = [threading.Thread(target=judge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["correct"] * 4
    asyncio.run(plugin.k2_stop())
    judge()
    asyncio.run(plugin.k2_stop())
    assert found == ["correct"] * 5


def test_splits_share_no_problem_whatever_the_seeds() -> None:
    texts = {split: {task.problem.text for task in tasks("count_bits", split, 30)} for split in ("train", "test")}
    assert len(texts["train"]) == len(texts["test"]) == 30
    others = {task.problem.text for seed in (1, 2) for task in tasks("count_bits", "validation", 30, seed=seed)}
    assert not texts["train"] & texts["test"]
    assert not others & (texts["train"] | texts["test"])


def test_tasks_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    assert tasks("chain_sum", seed=5) == tasks("chain_sum", seed=5)
    assert {task.problem.text for task in tasks("chain_sum", seed=5)}.isdisjoint(
        task.problem.text for task in tasks("chain_sum", seed=6)
    )


def test_tasks_hold_no_answer_in_the_problem() -> None:
    for task in tasks("chain_sum,syllogism", limit=6):
        answer = json.loads(str(task.reference))["answer"]
        assert task.problem.answer_format == "tag"
        assert task.problem.domain == {"chain_sum": "math", "syllogism": "logic"}[task.problem.meta["family"]]
        assert set(task.problem.meta) == {"family", "category"}
        assert answer not in str(task.problem.meta)
        ref = parse(str(task.reference))
        assert (ref.family, ref.digest != "") == (task.problem.meta["family"], True)


def test_families_come_in_turn_with_their_options() -> None:
    options = {"config": {"chain_sum": {"min_terms": 7, "max_terms": 7}}, "separate": "seed"}
    found = tasks("chain_sum, gcd", limit=6, **options)
    assert [task.meta["family"] for task in found] == ["chain_sum", "gcd"] * 3
    assert all(task.problem.text.count("+") + task.problem.text.count(" - ") == 6 for task in found[::2])
    assert parse(str(found[0].reference)).config == {"min_terms": 7, "max_terms": 7}


def test_a_family_with_few_problems_ends() -> None:
    options = {"config": {"largest_island": {"min_rows": 5, "max_rows": 5}}, "size": 5}
    assert len(tasks("largest_island", limit=10**9, **options)) == 5
    small = {"config": {"count_bits": {"min_n": 1, "max_n": 40}}}
    found = [tasks("count_bits", split, limit=10**9, **small) for split in ("train", "validation", "test")]
    assert sum(map(len, found)) == len({task.problem.text for part in found for task in part}) == 40


class Few(Gym):
    """A reasoning-gym with five families."""

    def names(self) -> list[str]:
        return ["boxnet", "gcd", "coin_flip", "chain_sum", "syllogism"]


def test_all_sound_leaves_the_others_out() -> None:
    gym = Few(workers=1)
    try:
        found = list(itertools.islice(draw(gym, ReasoningGymTasksConfig(), "all-sound", 0, 10, 3), 6))
    finally:
        gym.close()
    assert [task.meta["family"] for task in found[:3]] == [task.meta["family"] for task in found[3:]]
    assert {task.meta["family"] for task in found} == {"gcd", "chain_sum", "syllogism"}


def test_all_families_have_names(gym: Gym) -> None:
    assert len(gym.names()) == 106
    assert gym.names() == sorted(gym.names())


def test_a_configuration_has_a_gate_of_its_own(gym: Gym) -> None:
    assert "stored answer: scores 0" in gym.gate("base_conversion", {}).why
    assert gym.gate("base_conversion", {"min_value": 1}).sound


def test_errors_name_the_family_and_the_split() -> None:
    with pytest.raises(ValueError, match="no split 'eval'"):
        ReasoningGymTasks().k2_tasks(name="gcd", split="eval", limit=1, seed=0)
    with pytest.raises(ValueError, match=r"no family 'chain_sums'; did you mean chain_sum"):
        tasks("chain_sums")
    with pytest.raises(ValueError, match="boxnet is refused as unsound: it stores no answers"):
        tasks("boxnet")
    with pytest.raises(ValueError, match="min_terms"):
        tasks("chain_sum", config={"chain_sum": {"min_terms": 0}})


def test_in_a_runtime() -> None:
    tables = {"decoders": {"solver": {"use": "recorded", "path": "unused"}}, "tasks": {"reasoning-gym": {}}}
    runtime = Runtime(PipelineConfig.from_dict(tables))
    found = list(runtime.tasks("reasoning-gym", "gcd", split="test", limit=2))
    assert [task.problem.meta["family"] for task in found] == ["gcd", "gcd"]
    with pytest.raises((PluginError, ValueError), match="boxnet"):
        list(runtime.tasks("reasoning-gym", "boxnet"))


def test_nothing_is_left_behind() -> None:
    before = threading.active_count()
    iterator = ReasoningGymTasks().k2_tasks(name="gcd", split="train", limit=None, seed=0)
    assert isinstance(next(iter(iterator)).problem, Problem)
    del iterator
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_the_card_of_a_family_names_its_grader_and_format() -> None:
    card = ReasoningGymTasks().benchmark("chain_sum")
    (task,) = tasks("chain_sum", limit=1)
    assert (card.name, card.grader.use, card.grader.options) == ("reasoning-gym:chain_sum", "reasoning-gym", {})
    assert card.answer_format == task.problem.answer_format
