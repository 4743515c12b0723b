"""What is exported computes the same in llama.cpp as in torch: a tiny model with the embedded model's vocabulary, and adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("k2core_decoder_transformers")
pytest.importorskip("k2core_decoder_llamacpp")

from k2core_models import gguf, shipped  # noqa: E402
from k2core_models.export import adapter, whole  # noqa: E402

from k2core import DecodeRequest, Message, PipelineConfig, Runtime  # noqa: E402

REQUEST = DecodeRequest(
    messages=(Message(role="user", content="What is the capital of Germany?"),), max_tokens=8, temperature=0.0, logprobs=6
)
Top = list[dict[str, float]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def real(model: Path) -> Any:
    """The embedded model in torch."""
    from k2core_decoder_transformers import TransformersConfig
    from k2core_decoder_transformers.loading import load

    return load(TransformersConfig(dtype="float32"))


@pytest.fixture(scope="module")
def tiny(real: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with grouped keys, in float32, with the embedded model's tokenizer."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, initializer_range=0.35, tie_word_embeddings=True, rope_theta=50_000.0,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    real.tokenizer.save_pretrained(folder)
    return folder


def lora(folder: Path, model: Any, rank: int, spread: float, **options: Any) -> Path:
    """A random adapter of all linear modules, as peft saves it."""
    import peft
    from k2core_models.quiet import quiet

    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", **options)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        adapted = peft.get_peft_model(model, config)
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=spread)
        adapted.save_pretrained(str(folder))
        adapted.unload()
    return folder


def tops(**decoder: Any) -> Top:
    """Log-probabilities at each position of a greedy completion."""

    async def main() -> Top:
        tables = {"sampler": {"use": "single"}, "verifiers": {}, "decoders": {"solver": {"context": 512, "threads": 1, **decoder}}}
        async with Runtime(PipelineConfig.from_dict(tables)) as runtime, runtime.open("any", seed=1) as run:
            return [dict(token.top) for token in (await run.decode(REQUEST))[0].logprobs or ()]

    return asyncio.run(main())


def farthest(one: Top, other: Top, least: float = -99.0) -> float:
    """The largest difference between log-probabilities of likely tokens, as long as both went on alike. Tokens that are a part of a
    character have no common text, so those that are not in both are left out, unless it is the likeliest."""
    found: list[float] = []
    for mine, its in zip(one, other, strict=False):
        best = max(mine, key=mine.__getitem__)
        found += [
            abs(mine[token] - its[token]) if token in its else 99.0
            for token in mine
            if (token in its and mine[token] > least) or token == best
        ]
        if best != max(its, key=its.__getitem__):
            break
    assert len(found) > 1
    return max(found)


def test_a_whole_model_matches(tiny: Path, model: Path, tmp_path: Path) -> None:
    ours = tops(use="transformers", model=str(tiny), dtype="float32")
    for dtype, most in (("F32", 0.1), ("Q8_0", 0.6)):  # llama.cpp keeps keys and values in 16 bits
        whole.export(tiny, tmp_path / f"{dtype}.gguf", model, dtype)
        assert farthest(ours, tops(use="llamacpp", model=str(tmp_path / f"{dtype}.gguf"))) < most, dtype
    header = gguf.read(tmp_path / "F32.gguf")
    assert gguf.tokens(tmp_path / "F32.gguf", header) == gguf.tokens(model, gguf.read(model))
    assert header.meta["tokenizer.chat_template"] == gguf.read(model).meta["tokenizer.chat_template"]
    assert header.context_length == 512


def test_an_adapter_matches_on_a_model_in_float(tiny: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    whole.export(tiny, tmp_path / "base.gguf", model, "F32")
    folder = lora(tmp_path / "lora", AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32), 4, 0.1)
    base = tops(use="transformers", model=str(tiny), dtype="float32")
    ours = tops(use="transformers", model=str(tiny), dtype="float32", lora=[{"path": str(folder)}])
    assert farthest(base, ours) > 0.5
    adapter.export(folder, tmp_path / "lora.gguf", gguf.read(tmp_path / "base.gguf"), "F32")
    theirs = tops(use="llamacpp", model=str(tmp_path / "base.gguf"), lora=[{"path": str(tmp_path / "lora.gguf")}])
    assert farthest(ours, theirs) < 0.1
    monkeypatch.setattr(adapter, "rotary_order", lambda rows, heads: list(range(rows)))
    adapter.export(folder, tmp_path / "wrong.gguf", gguf.read(tmp_path / "base.gguf"), "F32")
    wrong = tops(use="llamacpp", model=str(tmp_path / "base.gguf"), lora=[{"path": str(tmp_path / "wrong.gguf")}])
    assert farthest(ours, wrong) > 0.3


def test_an_adapter_of_the_embedded_model_within_its_quantisation(
    real: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its folder: the decoder converts it. The base has four bits a weight there, and activations of eight."""
    monkeypatch.setattr(shipped, "writable_folder", lambda: tmp_path)
    folder = lora(tmp_path / "lora", real.model, 8, 0.02)
    base = tops(use="transformers", dtype="float32")
    ours = tops(use="transformers", dtype="float32", lora=[{"path": str(folder)}])
    assert farthest(base, ours) > 1
    compact = tmp_path / "half"
    adapter.compact(folder, compact, "smollm2-135m-instruct")
    assert farthest(ours, tops(use="llamacpp", lora=[{"path": str(compact)}]), least=-4) < 0.5


def test_another_vocabulary_is_refused(tiny: Path, model: Path, tmp_path: Path) -> None:
    text = (tiny / "tokenizer.json").read_text()
    (tiny / "tokenizer.json").write_text(text.replace('"Ġthe"', '"Ġteh"'))
    try:
        with pytest.raises(ValueError, match="Ġteh"):
            whole.export(tiny, tmp_path / "out.gguf", model)
    finally:
        (tiny / "tokenizer.json").write_text(text)
