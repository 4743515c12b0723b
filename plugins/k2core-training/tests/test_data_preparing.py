"""Everything before the first step: what is left out is counted, and what is left is the same however often it is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from k2core_training.data.chats import Chat
from k2core_training.data.config import DataOptions, GateOptions
from k2core_training.data.prepared import Prepared
from k2core_training.data.preparing import Sources, Where, prepare
from k2core_training.data.rendering import Renderer
from k2core_training.errors import TrainingError

from k2core.errors import ConfigError

LONG = "Ann buys seven red apples and nine green pears at the market and then gives four of the apples to her brother Tom."


def row(asked: str, answered: str = "4", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}], **more}


@pytest.fixture(scope="module")
def renderer(tiny: Any) -> Renderer:
    return Renderer(tiny.tokenizer(), frozenset({0, 2}))


def file(folder: Path, rows: Sequence[Any], name: str = "rows.jsonl") -> str:
    path = folder / name
    path.write_bytes(b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in rows))
    return str(path)


def sources(renderer: Renderer, files: str, gate: GateOptions | None = None, **options: Any) -> Sources:
    return Sources(DataOptions(files=(files,), **options), gate or GateOptions(), renderer, None)


def made(folder: Path, given: Sources) -> tuple[Prepared, Prepared]:
    return prepare(folder, given, lambda: None)


MIXED = [
    row("2+2?"),
    row("2+2?"),
    b'{"messages": \xff}\n',
    b"{\n",
    row(""),
    {"messages": [{"role": "user", "content": "x"}]},
    row("long", "word " * 200),
    row("3+3?", "6"),
    row("end", "a<|im_end|>b"),
]


def test_rows_that_cannot_be_used_are_counted_with_their_places(renderer: Renderer, tmp_path: Path) -> None:
    path = file(tmp_path, MIXED)
    data, held = made(tmp_path / "data", sources(renderer, path, max_length=128))
    assert (len(data), len(held)) == (2, 0)
    assert list(data.places()) == [f"{path}:1", f"{path}:8"]
    skips = data.about["skips"]
    expected = {"duplicate": 1, "bad UTF-8": 1, "malformed": 2, "empty": 1, "no assistant turn": 1, "over-long": 1}
    assert skips["counts"] == expected
    assert skips["examples"]["bad UTF-8"] == [f"{path}:3: byte 13"]
    assert skips["examples"]["over-long"][0].startswith(f"{path}:7: ")


def test_long_ones_are_cut_or_left_out(renderer: Renderer, tmp_path: Path) -> None:
    path = file(tmp_path, MIXED)
    data, _ = made(tmp_path / "data", sources(renderer, path, max_length=128, over_long="truncate"))
    assert len(data[1].ids) == 128
    assert data[1].targets[-1]  # type: ignore[index]
    assert "over-long" not in data.about["skips"]["counts"]


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6, 8])
def test_strict_ends_at_the_first(renderer: Renderer, tmp_path: Path, at: int) -> None:
    path = file(tmp_path, [MIXED[0], MIXED[at]])
    with pytest.raises(TrainingError, match=r"rows\.jsonl:2"):
        made(tmp_path / "data", sources(renderer, path, max_length=128, strict=True))
    assert not (tmp_path / "data").exists()


def test_nothing_left_says_why(renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^trainer\.data\.files: no row is left: 2 empty, such as .*rows\.jsonl:1"):
        made(tmp_path / "data", sources(renderer, file(tmp_path, [row(""), row(" ")])))


def test_all_held_out_says_by_what(renderer: Renderer, tmp_path: Path) -> None:
    path = file(tmp_path, [row(str(n)) for n in range(3)])
    with pytest.raises(TrainingError, match=r"no row is left: 3 held out by trainer\.validation\.share = 0\.999$"):
        made(tmp_path / "data", replace(sources(renderer, path), held_out=0.999))


def test_errors_name_the_tables_that_the_rows_come_from(renderer: Renderer, tmp_path: Path) -> None:
    where = Where("trainer.replay.files", "trainer.replay", "trainer.replay.gate")
    given = replace(sources(renderer, str(tmp_path / "none.jsonl")), where=where)
    with pytest.raises(ConfigError, match=r"^trainer\.replay\.files: there is no file"):
        made(tmp_path / "data", given)
    path = file(tmp_path, [row(LONG), row("")])
    strict = replace(sources(renderer, path, strict=True), where=where)
    with pytest.raises(TrainingError, match=r"with trainer\.replay\.strict = false"):
        made(tmp_path / "data", strict)
    pytest.importorskip("k2core_eval")
    problems = file(tmp_path, [{"id": "p1", "problem": LONG}], "test.jsonl")
    gated = replace(sources(renderer, path, GateOptions(files=(problems,))), where=where)
    with pytest.raises(TrainingError, match=r'trainer\.replay\.gate\.found = "drop".*trainer\.replay\.gate\.other_numbers'):
        made(tmp_path / "data", gated)


def test_the_same_is_used_again_and_other_data_are_refused(renderer: Renderer, tmp_path: Path) -> None:
    path = file(tmp_path, MIXED)
    first, _ = made(tmp_path / "data", sources(renderer, path))
    stamp = (tmp_path / "data" / "train" / "ids.bin").stat().st_mtime_ns
    again, _ = made(tmp_path / "data", sources(renderer, path))
    assert (tmp_path / "data" / "train" / "ids.bin").stat().st_mtime_ns == stamp
    assert [again[i] for i in range(len(again))] == [first[i] for i in range(len(first))]
    file(tmp_path, [row("other")])
    with pytest.raises(TrainingError, match="not those that"):
        made(tmp_path / "data", sources(renderer, path))
    (tmp_path / "data" / "train" / "ids.bin").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"ids\.bin has 0 bytes"):
        Prepared(tmp_path / "data" / "train")


def test_a_share_is_held_out_by_what_the_chats_are(renderer: Renderer, tmp_path: Path) -> None:
    rows = [row(f"{n}+{n}?", str(2 * n)) for n in range(200)]
    parts = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        given = replace(sources(renderer, file(tmp_path, order, f"{name}.jsonl")), held_out=0.25, seed=3)
        data, held = made(tmp_path / name, given)
        assert len(data) + len(held) == 200
        assert 30 < len(held) < 70
        parts.append({tuple(held[i].ids) for i in range(len(held))})
    assert parts[0] == parts[1]


def test_answers_to_one_question_are_on_one_side(renderer: Renderer, tmp_path: Path) -> None:
    rows = [row(f"{n}+{n}?", f"way {way}") for way in range(4) for n in range(40)]
    data, held = made(tmp_path / "data", replace(sources(renderer, file(tmp_path, rows)), held_out=0.3))
    asked = [{int(place.rpartition(":")[2]) % 40 for place in side.places()} for side in (data, held)]
    assert all(asked)
    assert not asked[0] & asked[1]


@pytest.mark.parametrize("duplicates", ["skip", "keep"])
def test_chats_that_are_elsewhere_are_left_out_also_of_what_was_prepared_before(
    renderer: Renderer, tmp_path: Path, duplicates: str
) -> None:
    path = file(tmp_path, [row("2+2?"), row("long", "word " * 200)])
    first = sources(renderer, path, max_length=128)
    made(tmp_path / "train", first)
    known, _ = made(tmp_path / "train", first)
    other = file(tmp_path, [row("2+2?"), row("2+2?"), row("3+3?", "6")], "other.jsonl")
    data, _ = made(tmp_path / "other", replace(sources(renderer, other, duplicates=duplicates), excluded=known.keys()))
    assert list(data.places()) == [f"{other}:3"]
    assert data.about["skips"]["counts"] == {"in the training data": 2}
    assert len(known.keys()) == 1  # what was over-long is not trained on


def test_a_limit_counts_what_is_usable(renderer: Renderer, tmp_path: Path) -> None:
    data, _ = made(tmp_path / "data", sources(renderer, file(tmp_path, [row(""), *(row(str(n)) for n in range(600))]), limit=300))
    assert len(data) == 300
    path = file(tmp_path, [row("long", "word " * 200), row("2+2?"), row("long", "words " * 200)])
    data, _ = made(tmp_path / "first", sources(renderer, path, limit=1, max_length=128))
    assert list(data.places()) == [f"{path}:2"]
    assert data.about["skips"]["counts"] == {"over-long": 1}


def test_parquet_fields_that_are_no_json_cost_their_rows_only(renderer: Renderer, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"prompt": ["1+1?", "2+2?"], "response": ["2", "4"]}
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({**columns, "answer": [Decimal("2.5"), None], "target": [None, b"4"]}), path)
    good = file(tmp_path, [row("3+3?")])
    data, _ = made(tmp_path / "data", replace(sources(renderer, good), data=DataOptions(files=(good, str(path)))))
    assert data.about["skips"]["counts"] == {"malformed": 2}
    assert [told.split(": ")[0] for told in data.about["skips"]["examples"]["malformed"]] == [f"{path}:1", f"{path}:2"]


def test_contaminated_rows_are_refused_or_left_out(renderer: Renderer, tmp_path: Path) -> None:
    pytest.importorskip("k2core_eval")
    problems = file(
        tmp_path, [{"id": "p1", "problem": LONG}, {"id": "p2", "problem": "Name the capital of the country of Peru."}], "test.jsonl"
    )
    other = LONG.replace("seven", "eight").replace("nine", "five").replace("four", "two")
    path = file(tmp_path, [*(row(f"What is {n} times {n}?") for n in range(20)), row(f"Please solve: {LONG}"), row(other)])
    with pytest.raises(TrainingError, match=r"rows\.jsonl:21 holds a problem of the evaluation: test p1 \((exact|normalised)"):
        made(tmp_path / "refused", sources(renderer, path, GateOptions(files=(problems,))))
    data, _ = made(tmp_path / "dropped", sources(renderer, path, GateOptions(files=(problems,), found="drop")))
    assert data.about["skips"]["counts"] == {"contaminated": 1}
    assert data.about["skips"]["examples"]["contaminated"][0].startswith(f"{path}:21: test p1")
    gate = GateOptions(files=(problems,), found="drop", other_numbers="found")
    data, _ = made(tmp_path / "numbers", sources(renderer, path, gate))
    assert data.about["skips"]["counts"] == {"contaminated": 2}


def test_a_gate_that_cannot_be_set_up_is_an_error_with_its_path(renderer: Renderer, tmp_path: Path) -> None:
    pytest.importorskip("k2core_eval")
    path = file(tmp_path, MIXED)
    with pytest.raises(ConfigError, match=r"^trainer\.gate\.files: .*none\.jsonl: there is no such file") as caught:
        made(tmp_path / "data", sources(renderer, path, GateOptions(files=(str(tmp_path / "none.jsonl"),))))
    assert "--eval-file" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"^trainer\.gate\.tasks: .*no-such-task"):
        made(tmp_path / "data", sources(renderer, path, GateOptions(tasks=("no-such-task",))))


def test_only_what_verifies_is_kept(renderer: Renderer, tmp_path: Path) -> None:
    seen: list[str] = []

    def verify(chats: Sequence[Chat]) -> list[tuple[str, str]]:
        seen.extend(chat.messages[-1].content for chat in chats)
        return [("", "") if chat.messages[-1].content == chat.reference else ("wrong answer", "math: 5 is not 4") for chat in chats]

    path = file(tmp_path, [row("2+2?", "4", answer="4"), row("2 + 2?", "5", answer="4"), row("", "5")])
    data, _ = made(tmp_path / "data", replace(sources(renderer, path, verify=True), verify=verify))
    assert seen == ["4", "5"]
    assert (len(data), data.about["skips"]["counts"]) == (1, {"empty": 1, "wrong answer": 1})
    assert data.about["skips"]["examples"]["wrong answer"] == [f"{path}:2: math: 5 is not 4"]


def test_being_told_to_stop_leaves_nothing_half_made(renderer: Renderer, tmp_path: Path) -> None:
    def stop() -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        prepare(tmp_path / "data", sources(renderer, file(tmp_path, MIXED)), stop)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
