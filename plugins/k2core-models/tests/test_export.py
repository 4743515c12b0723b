"""Exports that need no torch: formats, refusals, names of shipped adapters."""

from __future__ import annotations

import json
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from k2core_models import gguf, shipped
from k2core_models.export import adapter, safetensors, whole
from k2core_models.export.layout import LINEAR, NORMS, rotary_order
from k2core_models.export.writing import Entry, pair, write
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
        (MODULES, {"lora_alpha": 0}, "lora_alpha = 0, with which it changes nothing"),
        (MODULES, {"lora_alpha": None}, "lora_alpha = None, which is no number"),
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


def test_without_an_alpha_it_is_peft_s(tmp_path: Path, base: Path) -> None:
    folder = lora(tmp_path / "lora", MODULES)
    (folder / adapter.CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": RANK}))
    adapter.export(folder, tmp_path / "out.gguf", gguf.read(base))
    assert gguf.read(tmp_path / "out.gguf").meta["adapter.lora.alpha"] == 8.0


def test_the_base_model_keeps_its_name_unless_it_is_given_another(tmp_path: Path) -> None:
    folder, half = lora(tmp_path / "lora", MODULES, base_model_name_or_path="Qwen/Qwen3-4B"), tmp_path / "half"
    assert k2("export", str(folder), "--out", str(half)) == 0
    assert adapter.base_of(half) == "Qwen/Qwen3-4B"
    assert k2("export", str(folder), "--out", str(half), "--base", "smollm2-135m-instruct") == 0
    assert adapter.base_of(half) == "smollm2-135m-instruct"


def test_two_writers_of_one_file_at_once(tmp_path: Path) -> None:
    """Threads of one process, as two decoders of a pipeline that convert the same adapter."""
    failed: list[BaseException] = []
    entries = [Entry("w", "F32", (1 << 18,), bytes(1 << 20))] * 8

    def write_often() -> None:
        try:
            for _ in range(5):
                write(tmp_path / "out.gguf", META, entries)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(gguf.read(tmp_path / "out.gguf").shapes) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]
    if sys.platform != "win32":
        (tmp_path / "usual").touch()
        assert (tmp_path / "out.gguf").stat().st_mode == (tmp_path / "usual").stat().st_mode


def matrix(name: str, *shape: int) -> safetensors.Tensor:
    return safetensors.Tensor(f"{name}.weight", "F32", shape, memoryview(bytes(4 * shape[0] * (shape[1] if shape[1:] else 1))))


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A whole model of two layers in two files, with the vocabulary of `base`."""
    folder = tmp_path / "llama"
    folder.mkdir()
    sizes = {"hidden_size": HIDDEN, "intermediate_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": HEADS}
    other = {"vocab_size": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **sizes, **other}))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 1}}}))
    for layer, outside in enumerate((matrix("model.embed_tokens", 2, HIDDEN), matrix("model.norm", HIDDEN))):
        parts = [matrix(f"model.layers.{layer}.{name}", HIDDEN, HIDDEN) for name in LINEAR]
        parts += [matrix(f"model.layers.{layer}.{name}", HIDDEN) for name in NORMS]
        safetensors.write(folder / f"model-0000{layer + 1}-of-00002.safetensors", [outside, *parts])
    return folder


def options(folder: Path, **changed: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_a_whole_model_of_several_files(llama: Path, base: Path, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    whole.export(llama, tmp_path / "out.gguf", base, "F32")
    assert len(gguf.read(tmp_path / "out.gguf").shapes) == 2 + 2 * (len(LINEAR) + len(NORMS))


def test_a_whole_model_that_lacks_a_file(llama: Path, base: Path, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    (llama / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        ValueError, match=r"lacks model\.norm\.weight, model\.layers\.1\.self_attn\.q_proj\.weight and 8 more; is a file missing"
    ):
        whole.export(llama, tmp_path / "out.gguf", base)
    assert not (tmp_path / "out.gguf").exists()


def test_a_head_of_its_own_must_be_there(llama: Path, base: Path, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    options(llama, tie_word_embeddings=False)
    with pytest.raises(ValueError, match=r"lacks lm_head\.weight; is a file missing"):
        whole.export(llama, tmp_path / "out.gguf", base)


@pytest.mark.parametrize("spelling", ["rope_type", "type"])
def test_scaled_positions_in_either_spelling(llama: Path, base: Path, tmp_path: Path, spelling: str) -> None:
    options(llama, rope_scaling={spelling: "linear", "factor": 4.0})
    with pytest.raises(ValueError, match="scaled positions"):
        whole.export(llama, tmp_path / "out.gguf", base)


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
