"""The adapter between two."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from k2core_models.export import safetensors
from k2core_models.export.adapter import CONFIG, WEIGHTS, compact
from models_bench import k2, lora


def values(folder: Path) -> dict[str, tuple[float, ...]]:
    found = safetensors.read(folder / WEIGHTS)
    assert {tensor.dtype for tensor in found.values()} == {"F32"}
    return {name: struct.unpack(f"<{len(tensor.data) // 4}f", tensor.data) for name, tensor in found.items()}


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Adapters of the same shapes and other weights: modules in another order have other seeds."""
    one = lora(tmp_path / "one", {"self_attn.q_proj": (8, 8), "self_attn.v_proj": (8, 8)})
    other = lora(tmp_path / "other", {"self_attn.v_proj": (8, 8), "self_attn.q_proj": (8, 8)}, task_type="CAUSAL_LM")
    return one, other


def test_every_number_lies_between(two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = two
    assert k2("blend", str(one), str(other), "--share", "0.25", "--out", str(tmp_path / "out")) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n"
    ours, theirs, made = values(one), values(other), values(tmp_path / "out")
    assert made.keys() == theirs.keys()
    assert ours != theirs
    for name, numbers in made.items():
        assert numbers == pytest.approx([0.75 * a + 0.25 * b for a, b in zip(ours[name], theirs[name], strict=True)], abs=1e-6)
    assert json.loads((tmp_path / "out" / CONFIG).read_text()) == json.loads((other / CONFIG).read_text())


@pytest.mark.parametrize(("share", "end"), [("0", 0), ("1", 1)])
def test_its_ends(two: tuple[Path, Path], tmp_path: Path, share: str, end: int) -> None:
    assert k2("blend", *map(str, two), "--share", share, "--out", str(tmp_path / "out")) == 0
    assert values(tmp_path / "out") == {name: pytest.approx(numbers, abs=1e-6) for name, numbers in values(two[end]).items()}


def test_onto_one_of_them_and_from_16_bits(two: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = two
    compact(other, tmp_path / "half")
    before = values(one)
    assert k2("blend", str(one), str(tmp_path / "half"), "--share", "0.5", "--out", str(one)) == 0
    theirs = values(other)
    for name, numbers in values(one).items():
        assert numbers == pytest.approx([(a + b) / 2 for a, b in zip(before[name], theirs[name], strict=True)], abs=2e-3)


def test_what_peft_has_by_default_may_be_written_or_not(two: tuple[Path, Path], tmp_path: Path) -> None:
    spelt = lora(tmp_path / "spelt", {"self_attn.q_proj": (8, 8), "self_attn.v_proj": (8, 8)}, use_rslora=False, rank_pattern={})
    assert k2("blend", str(two[0]), str(spelt), "--share", "0.5", "--out", str(tmp_path / "out")) == 0


def test_adapters_of_different_models(two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, model in zip(two, ("SmolLM2-135M", "SmolLM2-360M"), strict=True):
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": model}))
    assert k2("blend", *map(str, two), "--share", "0.5", "--out", str(tmp_path / "out")) == 1
    error = capsys.readouterr().err
    assert "belongs to SmolLM2-135M" in error
    assert "to SmolLM2-360M" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("modules", "options", "share", "message"),
    [
        ({"self_attn.q_proj": (8, 8)}, {}, "0.5", "lora_A.weight has the shape [2, 8] in"),
        ({"self_attn.q_proj": (8, 4), "self_attn.v_proj": (8, 8)}, {}, "0.5", "do not fit each other"),
        ({"self_attn.q_proj": (8, 8), "self_attn.v_proj": (8, 8)}, {"lora_alpha": 8}, "0.5", "lora_alpha = 4"),
        ({"self_attn.q_proj": (8, 8), "self_attn.v_proj": (8, 8)}, {"peft_type": "IA3"}, "0.5", "peft's type IA3"),
        ({"self_attn.q_proj": (8, 8), "self_attn.v_proj": (8, 8)}, {}, "1.5", "within 0..1"),
    ],
)
def test_what_cannot_be_blended(
    two: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    modules: dict[str, tuple[int, int]],
    options: dict[str, Any],
    share: str,
    message: str,
) -> None:
    other = lora(tmp_path / "third", modules, **options)
    assert k2("blend", str(two[0]), str(other), "--share", share, "--out", str(tmp_path / "out")) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
