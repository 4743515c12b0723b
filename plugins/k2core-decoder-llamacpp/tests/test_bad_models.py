"""Files that llama.cpp must never see, and the words for them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_llamacpp import LlamaCppConfig, engine

from k2core import PluginError

VOCABULARY = {"tokenizer.ggml.tokens": ["a", "bcd"]}
TENSOR = ("w", (8, 2), struct.pack("<16f", *range(16)))


def _start(stand: Any, **options: Any) -> None:
    async def main() -> None:
        async with stand(**options).runtime:
            pytest.fail("it started")

    asyncio.run(main())


def test_what_a_runtime_says_of_a_bad_model(
    stand: Any, write_gguf: Callable[..., Path], tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    adapter = write_gguf("adapter.gguf", {"general.type": "adapter"}, [TENSOR])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": str(tmp_path / "none.gguf")}, "there is no model file .*none.gguf"),
        ({"model": str(tmp_path)}, "is a folder"),
        ({"model": "gpt-9"}, "unknown model 'gpt-9'; known by name: smollm2-135m-instruct"),
        ({"model": "a\0.gguf"}, "NUL character"),
        ({"model": str(adapter)}, "is a LoRA adapter; name it under `lora`"),
        ({"model": str(write_gguf("blind.gguf", {"general.architecture": "clip"}, [TENSOR]))}, "holds no vocabulary"),
        ({"lora": [{"path": str(model)}]}, "is no LoRA adapter"),
        ({"lora": [{"path": str(tmp_path / "none.gguf")}]}, "there is no LoRA adapter .*none.gguf: neither"),
    ]
    for options, message in cases:
        with pytest.raises(PluginError, match=message):
            _start(stand, **options)
    assert capfd.readouterr() == ("", "")


def test_llama_cpp_s_own_reason_is_told(write_gguf: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    strange = write_gguf("strange.gguf", {**VOCABULARY, "general.architecture": "abacus"}, [TENSOR])
    with pytest.raises(RuntimeError, match=r"cannot load .*strange.gguf: .*unknown model architecture: 'abacus'"):
        engine.acquire(strange, LlamaCppConfig(context=256, threads=1))
    assert capfd.readouterr() == ("", "")


def test_lora_changes_the_answer(stand: Any, request_for: Any, write_gguf: Callable[..., Path]) -> None:
    meta = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora", "adapter.lora.alpha": 4.0}
    wave = struct.pack("<2304f", *((i * 7919 % 101) / 50 - 1 for i in range(2304)))
    pair = [
        (f"blk.{i}.attn_output.weight.lora_{half}", shape, wave)
        for i in (3, 9)
        for half, shape in (("a", (576, 4)), ("b", (4, 576)))
    ]
    path = str(write_gguf("adapter.gguf", meta, pair))

    def text(scale: float | None) -> str:
        lora = [] if scale is None else [{"path": path, "scale": scale}]
        at = stand(lora=lora, context=256, parallel=1)
        return str(at.run(lambda run: run.decode(request_for(temperature=0.0)))[0].text)

    assert text(None) == text(0.0) != text(1.0)
