"""The forward pass over ragged rows, against transformers' own, at fp32 on tiny random models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from k2core_decoder_transformers.model import forward_for  # noqa: E402 # after the skips
from k2core_decoder_transformers.model.batch import Batch, Rows  # noqa: E402
from k2core_decoder_transformers.model.cache import BLOCK, Cache  # noqa: E402

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
}
LLAMA_LIKE = {
    "llama": ("LlamaConfig", {}),
    "llama, rope of llama 3": (
        "LlamaConfig",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 1e4,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "mistral with a window": ("MistralConfig", {"sliding_window": 7}),
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 16}),
}
OTHERS = {
    "gpt2": ("GPT2Config", {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "gemma2": ("Gemma2Config", {**SMALL, "head_dim": 8, "sliding_window": 7, "attn_logit_softcapping": 5.0}),
    "gpt-neox": (
        "GPTNeoXConfig",
        {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    ),
    "phi": (
        "PhiConfig",
        {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    ),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(name: str, options: dict[str, Any], attention: str = "eager") -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = getattr(transformers, name)(**options, attn_implementation=attention)
        return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


def tokens(seed: int, count: int) -> list[int]:
    return torch.randint(0, 97, (count,), generator=torch.Generator().manual_seed(seed)).tolist()  # type: ignore[no-any-return] # untyped


@torch.no_grad()
def expected(model: Any, ids: list[int]) -> Any:
    return model(torch.tensor([ids]), use_cache=False).logits[0].float()


def check(model: Any, fused: bool) -> None:
    """Three sequences that grow by ragged steps, long prompts in chunks; every logit is transformers' own."""
    texts = [tokens(1, 90), tokens(2, 20), tokens(3, 60)]
    wanted = [expected(model, ids) for ids in texts]
    forward = forward_for(model, fused)
    cache = Cache(torch.device("cpu"), torch.float32)
    cache.fit(3, 40)
    steps = [
        [(0, 40, 1), (1, 3, 3)],
        [(0, 40, 0), (1, 1, 1), (2, 35, 2)],
        [(2, 2, 2), (0, 1, 1), (1, 5, 5)],
        [(0, 1, 1), (1, 1, 1), (2, 1, 1)],
    ]
    at = [0, 0, 0]
    for step in steps:
        cache.fit(3, max(at) + 41)
        rows = [Rows(slot, at[slot], texts[slot][at[slot] : at[slot] + count], want) for slot, count, want in step]
        batch = Batch(rows, cache)
        logits = forward(batch)
        assert len(logits) == sum(row.wanted for row in rows)
        for row, first in zip(rows, batch.first_logit, strict=True):
            at[row.slot] += len(row.ids)
            truth = wanted[row.slot][at[row.slot] - row.wanted : at[row.slot]]
            torch.testing.assert_close(logits[first : first + row.wanted], truth, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("name", LLAMA_LIKE)
def test_the_fused_pass_equals_transformers(name: str) -> None:
    config, extra = LLAMA_LIKE[name]
    model = build(config, {**SMALL, **extra})
    check(model, fused=True)


@pytest.mark.parametrize("name", [*LLAMA_LIKE, *OTHERS])
def test_the_modules_pass_equals_transformers(name: str) -> None:
    config, extra = {**LLAMA_LIKE, **OTHERS}[name]
    check(build(config, {**SMALL, **extra} if name in LLAMA_LIKE else extra), fused=False)


def test_a_model_with_other_state_is_refused() -> None:
    model = build("MambaConfig", {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4})
    with pytest.raises(ValueError, match="MambaForCausalLM cannot be decoded in batches"):
        forward_for(model)


def test_weights_changed_in_place_are_taken_over() -> None:
    model = build("Qwen2Config", SMALL)
    ids = tokens(4, 8)
    forward, cache = forward_for(model), Cache(torch.device("cpu"), torch.float32)
    cache.fit(1, 8)
    with torch.no_grad():
        model.model.layers[0].self_attn.k_proj.weight.mul_(0.5)
        model.model.layers[1].mlp.up_proj.weight.mul_(-0.5)
    forward.refresh()
    torch.testing.assert_close(forward(Batch([Rows(0, 0, ids, 8)], cache)), expected(model, ids), atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_norm_rounds_as_torchs_own(dtype: torch.dtype) -> None:
    from k2core_decoder_transformers.model.fused import Norm

    x = (torch.randn(40, 3, 64, generator=torch.Generator().manual_seed(1)) * torch.logspace(-6, 6, 40)[:, None, None]).to(dtype)
    module = torch.nn.RMSNorm(64, eps=1e-5).to(dtype)
    torch.nn.init.normal_(module.weight, 1.0, 0.3)
    expected = module(x).detach()
    torch.testing.assert_close(Norm(module, 1e-5)(x), expected, atol=1e-6, rtol=1e-6 if dtype == torch.float32 else 2**-7)


def test_the_models_parameters_are_views_of_the_fused_weights() -> None:
    model = build("LlamaConfig", SMALL)
    forward: Any = forward_for(model)
    attention, fused = model.model.layers[0].self_attn, forward.layers[0].qkv.weight
    assert attention.k_proj.weight.untyped_storage().data_ptr() == fused.untyped_storage().data_ptr()


def test_the_cache_keeps_what_it_holds_when_it_grows_and_gives_memory_back() -> None:
    cache = Cache(torch.device("cpu"), torch.float32)
    cache.fit(2, 10)
    at = cache.capacity
    places = torch.tensor([3, at + 3, 2 * at + 4, 3 * at + 4])  # position 3 of slot 0 and 4 of slot 1, two parts each
    held = cache.write(0, places, torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]))
    assert held.shape == (2, 2, BLOCK, 1)
    cache.fit(9, BLOCK + 1)
    assert cache.layers[0].shape == (9, 2, 2 * BLOCK, 1)
    assert cache.layers[0][0, :, 3, 0].tolist() == [1, 2]
    cache.copy(1, 8, 5)
    assert cache.layers[0][8, :, 4, 0].tolist() == [3, 4]
    cache.fit(2, 10)
    assert cache.layers[0].shape[0] == 2
    assert cache.layers[0][1, :, 4, 0].tolist() == [3, 4]
    cache.fit(0, 0)
    assert cache.nbytes == 0


def test_few_numbers_of_rows_reach_the_linear_layers() -> None:
    from k2core_decoder_transformers.model.fused import bucket

    sizes = {bucket(rows) for rows in range(1, 513)}
    assert all(rows <= bucket(rows) < rows + 64 for rows in range(1, 513))
    assert len(sizes) < 25, "each is code that oneDNN keeps"
