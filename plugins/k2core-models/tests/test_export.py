"""Exports that need no torch: formats, refusals, names of shipped adapters."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from k2core_models import gguf, shipped
from k2core_models.export import adapter, safetensors
from k2core_models.export.layout import rotary_order
from k2core_models.export.writing import pair
from k2core_models.testing import write_gguf
from models_bench import RANK, floats, k2, lora

HIDDEN, HEADS = 8, 2
META = {
    "general.architecture": "llama",
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": 1,
    "tokenizer.ggml.tokens": ["a", "b"],
    "tokenizer.ggml.add_bos_token": False,
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    shapes = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (HIDDEN, HIDDEN // 2), "ffn_up": (HIDDEN, 16)}
    tensors = [(f"blk.0.{name}.weight", shape, bytes(4 * shape[0] * shape[1])) for name, shape in shapes.items()]
    return write_gguf(tmp_path / "base.gguf", META, tensors)


MODULES = {"self_attn.q_proj": (8, 8), "self_attn.k_proj": (8, 4), "mlp.up_proj": (8, 16)}


def test_pairs_and_shapes_of_a_header(base: Path) -> None:
    header = gguf.read(base)
    assert header.shapes["blk.0.attn_k.weight"] == (8, 4)
    data = base.read_bytes()
    for key in META:
        start, end = header.pairs[key]
        assert data[start:end] == pair(key, META[key])


def test_safetensors_round_trip_and_casts(tmp_path: Path) -> None:
    one = floats(3, 4)
    safetensors.write(tmp_path / "x", [safetensors.Tensor("w", one.dtype, one.shape, one.data)])
    back = safetensors.read(tmp_path / "x")["w"]
    assert (back.dtype, back.shape, bytes(back.data)) == ("F32", (3, 4), bytes(one.data))
    half = safetensors.cast(memoryview(struct.pack("<2f", 1.5, -2.25)), "F32", "F16")
    assert struct.unpack("<2e", half) == (1.5, -2.25)
    brain = memoryview(struct.pack("<2f", 1.5, -2.25)).tobytes()
    brain = brain[2:4] + brain[6:8]
    assert struct.unpack("<2f", safetensors.cast(memoryview(brain), "BF16", "F32")) == (1.5, -2.25)
    with pytest.raises(ValueError, match="too large for F16"):
        safetensors.cast(memoryview(struct.pack("<f", 1e6)), "F32", "F16")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc", "only 3 bytes"),
        (struct.pack("<Q", 1 << 40) + b"{}", "truncated or no safetensors"),
        (struct.pack("<Q", 2) + b"{x", "damaged"),
        (struct.pack("<Q", 57) + b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}  ' + b"1234", "does not lie within"),
        (struct.pack("<Q", 55) + b'{"w":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}  ' + b"1234", "of type I8"),
    ],
)
def test_damaged_safetensors(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        safetensors.read(tmp_path / "x")


def test_an_adapter_as_llama_cpp_wants_it(tmp_path: Path, base: Path) -> None:
    folder = lora(tmp_path / "lora", MODULES)
    adapter.export(folder, tmp_path / "out.gguf", gguf.read(base), "F32")
    header = gguf.read(tmp_path / "out.gguf")
    assert header.is_adapter
    assert header.meta["adapter.lora.alpha"] == 4.0
    assert header.shapes["blk.0.attn_q.weight.lora_a"] == (8, RANK)
    assert header.shapes["blk.0.attn_k.weight.lora_b"] == (RANK, 4)
    assert len(header.shapes) == 6
    # row 2i + k of a head is row i + k d/2 there: heads of four rows here
    assert rotary_order(8, 2) == [0, 2, 1, 3, 4, 6, 5, 7]
    rows = safetensors.read(folder / adapter.WEIGHTS)["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"].data
    wanted = b"".join(bytes(rows[8 * row : 8 * row + 8]) for row in [0, 2, 1, 3, 4, 6, 5, 7])
    assert wanted in (tmp_path / "out.gguf").read_bytes()


@pytest.mark.parametrize(
    ("modules", "options", "message"),
    [
        ({"self_attn.q_proj": (8, 6)}, {}, "q_proj has 6 outputs"),
        ({"self_attn.q_proj": (4, 8)}, {}, "q_proj has 4 inputs"),
        ({"mlp.down_proj": (16, 8)}, {}, "the base model has no blk.0.ffn_down.weight"),
        ({"mlp.router": (8, 8)}, {}, "no module of the Llama architecture"),
        (MODULES, {"use_dora": True}, "use_dora = True"),
        (MODULES, {"modules_to_save": ["lm_head"]}, "modules_to_save"),
        (MODULES, {"peft_type": "IA3"}, "peft's type IA3"),
    ],
)
def test_adapters_that_cannot_be_exported(
    tmp_path: Path, base: Path, modules: dict[str, tuple[int, int]], options: dict[str, Any], message: str
) -> None:
    folder = lora(tmp_path / "lora", modules, **options)
    with pytest.raises(ValueError, match=message):
        adapter.export(folder, tmp_path / "out.gguf", gguf.read(base))
    assert not (tmp_path / "out.gguf").exists()


def test_rank_stabilised_scale(tmp_path: Path, base: Path) -> None:
    adapter.export(lora(tmp_path / "lora", MODULES, use_rslora=True), tmp_path / "out.gguf", gguf.read(base))
    assert gguf.read(tmp_path / "out.gguf").meta["adapter.lora.alpha"] == pytest.approx(4 * RANK**0.5)


def test_the_command(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lora(tmp_path / "lora", MODULES)
    assert k2("export", str(folder), "--out", str(tmp_path / "out.gguf"), "--base", str(base)) == 0
    assert gguf.read(tmp_path / "out.gguf").is_adapter
    assert k2("export", str(folder), "--out", str(tmp_path / "half"), "--base", "smollm2-135m-instruct") == 0
    half = safetensors.read(tmp_path / "half" / adapter.WEIGHTS)
    assert {tensor.dtype for tensor in half.values()} == {"F16"}
    assert json.loads((tmp_path / "half" / adapter.CONFIG).read_text())["base_model_name_or_path"] == "smollm2-135m-instruct"
    capsys.readouterr()
    for words, message in (
        (("export", str(tmp_path / "none"), "--out", "x.gguf"), "is no folder"),
        (("export", str(tmp_path), "--out", "x.gguf"), "neither an adapter_config.json nor a config.json"),
        (("export", str(folder), "--out", str(tmp_path / "x.gguf"), "--type", "q8_0", "--base", str(base)), "f16 or f32"),
    ):
        assert k2(*words) == 1
        assert message in capsys.readouterr().err


def test_shipped_and_converted_once(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K2CORE_CACHE", str(tmp_path / "cache"))
    folder = lora(tmp_path / "lora", MODULES)

    class Point:
        name, dist = "tiny", None

        def load(self) -> Path:
            return folder

    monkeypatch.setattr(shipped, "names", lambda: {"tiny": Point()})
    assert shipped.adapter_folder("tiny") == folder
    assert shipped.adapter_folder(str(folder)) == folder
    with pytest.raises(ValueError, match=r"no LoRA adapter k3-nano: neither .* brings along \(tiny\)"):
        shipped.adapter_folder("k3-nano")
    with pytest.raises(ValueError, match="does not say which model it belongs to"):
        shipped.unfolded("tiny")
    lora(folder, MODULES, base_model_name_or_path="little")
    assert shipped.unfolded("tiny") == ("little", ("tiny",))
    assert shipped.unfolded(str(folder)) == (str(folder), ())
    file = shipped.adapter_file("tiny", base)
    assert gguf.read(file).is_adapter
    written = file.stat().st_mtime_ns
    assert shipped.adapter_file(str(folder), base) == file
    assert file.stat().st_mtime_ns == written
    lora(folder, {"self_attn.q_proj": (8, 8)})
    assert shipped.adapter_file("tiny", base) != file
    assert shipped.adapter_file(str(base), base) == base
    (folder / "adapter_config.json").unlink()
    with pytest.raises(FileNotFoundError, match="tiny is not in this build"):
        shipped.adapter_file("tiny", base)
