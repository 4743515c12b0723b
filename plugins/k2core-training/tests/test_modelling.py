"""The model for training: packed batches against each sample alone, losses against torch's, adapters against peft's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from k2core_training.modelling import head, policy  # noqa: E402
from k2core_training.modelling.config import LoraOptions, ModelOptions  # noqa: E402
from k2core_training.modelling.packed import Packed  # noqa: E402
from k2core_training.packing import TokenSequence  # noqa: E402

SEQUENCES = [
    TokenSequence([5, 6, 7, 8, 9, 10, 11], slice(3, None)),
    TokenSequence([12, 13], slice(1, None)),
    TokenSequence(list(range(20, 90)), [i % 3 == 0 for i in range(70)], 0.5),
    TokenSequence(list(range(100, 195)), slice(40, None)),
    TokenSequence([44, 45, 46, 47, 48, 49, 50], slice(0, None)),
]


@pytest.fixture(scope="module")
def folders(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {kind: tiny.make(base / kind, kind) for kind in tiny.KINDS}


def loaded(folder: Path, **options: Any) -> Any:
    return policy.Policy.load(ModelOptions(model=str(folder), **{"dtype": "float32", **options}))


def plain(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()


def alone(model: Any, sequence: TokenSequence) -> Any:
    """The log-probabilities of a sample's targets by transformers' own forward, by itself."""
    logits = model(torch.tensor([sequence.ids]), use_cache=False).logits[0].float()
    places = list(sequence.places())
    return logits.log_softmax(-1)[[p - 1 for p in places], [sequence.ids[p] for p in places]]


def close(a: Any, b: Any, tolerance: float = 1e-5) -> bool:
    return bool((a - b).abs().max() <= tolerance * (1 + b.abs().max()))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "gpt2"])
def test_a_packed_batch_is_its_samples_alone(folders: dict[str, Path], kind: str, checkpointing: bool) -> None:
    """Log-probabilities and gradients, against transformers' forward of one sample after the other."""
    ours, theirs = loaded(folders[kind], gradient_checkpointing=checkpointing), plain(folders[kind])
    theirs.eval()
    batch = ours.packed(SEQUENCES)
    got = ours.logprobs(batch, entropy=True)
    expected = [alone(theirs, sequence) for sequence in SEQUENCES]
    for mine, yours in zip(got.logprobs.split(batch.counts), expected, strict=True):
        assert close(mine, yours)
    (got.logprobs * batch.weights).sum().backward()
    sum((e * s.weight).sum() for e, s in zip(expected, SEQUENCES, strict=True)).backward()
    named = dict(theirs.named_parameters())
    for name, parameter in ours.trainable:
        assert close(parameter.grad, named[name].grad), name


def test_no_sequence_sees_another(folders: dict[str, Path]) -> None:
    """Changing one sample changes nothing of the others, to the bit, neither scores nor gradients of their embeddings."""
    ours = loaded(folders["llama"])
    changed = [SEQUENCES[0], TokenSequence([299, 298], slice(1, None)), *SEQUENCES[2:]]
    first, second = (
        ours.logprobs(ours.packed(some)).logprobs.split([len(s.places()) for s in some]) for some in (SEQUENCES, changed)
    )
    assert [bool(torch.equal(a, b)) for a, b in zip(first, second, strict=True)] == [True, False, True, True, True]


def test_a_window_is_kept(tiny: Any, tmp_path: Path) -> None:
    import transformers as t

    words = tiny.tokenizer()
    config = t.MistralConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, sliding_window=16, initializer_range=0.3,
    )  # fmt: skip
    t.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    ours, theirs = loaded(tmp_path), plain(tmp_path).eval()
    batch = ours.packed(SEQUENCES)
    for mine, sequence in zip(ours.logprobs(batch).logprobs.split(batch.counts), SEQUENCES, strict=True):
        assert close(mine, alone(theirs, sequence))


def test_cross_entropy_is_torchs_with_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one part and in several, with and without a bias; the other way, by log-probabilities, gives the same."""
    torch.manual_seed(0)
    labels, weights = torch.randint(0, 97, (50,)), torch.rand(50)

    def leaves() -> list[Any]:
        torch.manual_seed(1)
        return [torch.randn(50, 8).requires_grad_(), torch.randn(97, 8).requires_grad_(), torch.randn(97).requires_grad_()]

    expected = leaves()
    scores = torch.nn.functional.linear(*expected)
    loss = (torch.nn.functional.cross_entropy(scores, labels, reduction="none") * weights).sum()
    loss.backward()
    for part, kept in ((1 << 20, 1 << 20), (1 << 20, 0), (4 * 97 * 16, 0)):
        monkeypatch.setattr(head, "PART", part)
        monkeypatch.setattr(head, "KEPT", kept)
        one, two = leaves(), leaves()
        first = head.cross_entropy(*one, labels, weights)
        first.loss.backward()
        second = head.scored(*two, labels, entropy=True)
        (-(second.logprobs * weights).sum()).backward()
        assert close(first.loss, loss)
        assert close(second.logprobs, first.logprobs)
        entropy = torch.distributions.Categorical(logits=scores).entropy()
        assert close(second.entropy, entropy)
        assert torch.equal(second.correct, scores.argmax(-1) == labels)
        for mine in (one, two):
            assert all(close(a.grad, b.grad) for a, b in zip(mine, expected, strict=True))


@pytest.mark.parametrize("wanted", ["entropy", "both"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_entropy_has_autograds_gradient(monkeypatch: pytest.MonkeyPatch, temperature: float, wanted: str) -> None:
    """Against a plain log-softmax, in one part and in several; the last token's scores are so low that its probability is zero."""
    torch.manual_seed(2)
    labels, first, second = torch.randint(0, 97, (50,)), torch.randn(50) * (wanted == "both"), torch.rand(50)

    def leaves() -> list[Any]:
        torch.manual_seed(1)
        bias = torch.randn(97)
        bias[-1] = -1e4
        return [torch.randn(50, 8).requires_grad_(), torch.randn(97, 8).requires_grad_(), bias.requires_grad_()]

    expected = leaves()
    logs = (torch.nn.functional.linear(*expected) / temperature).log_softmax(-1)
    entropy = -(logs.exp() * logs).sum(-1)
    ((logs.gather(1, labels.unsqueeze(1)).squeeze(1) * first).sum() + (entropy * second).sum()).backward()
    for part, kept in ((1 << 20, 1 << 20), (1 << 20, 0), (4 * 97 * 16, 0)):
        monkeypatch.setattr(head, "PART", part)
        monkeypatch.setattr(head, "KEPT", kept)
        mine = leaves()
        made = head.scored(*mine, labels, temperature=temperature, entropy=True)
        assert made.entropy is not None
        assert close(made.entropy, entropy)
        total = (made.entropy * second).sum()
        (total + (made.logprobs * first).sum() if wanted == "both" else total).backward()
        assert all(close(a.grad, b.grad) for a, b in zip(mine, expected, strict=True))


def test_temperature_and_no_gradient(folders: dict[str, Path]) -> None:
    ours = loaded(folders["qwen2"])
    batch = ours.packed(SEQUENCES)
    with torch.no_grad():
        hot = ours.logprobs(batch, temperature=2.0).logprobs
        hidden = ours.hidden(batch)
        weight = ours.base.get_output_embeddings().weight
        expected = (hidden @ weight.T / 2).log_softmax(-1).gather(1, batch.labels.unsqueeze(1)).squeeze(1)
        assert close(hot, expected)
        assert not ours.cross_entropy(batch).loss.requires_grad


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, of transformers
@pytest.mark.parametrize("kind", ["llama", "gpt2-not", "qwen3"])
def test_adapters_compute_what_pefts_do(folders: dict[str, Path], kind: str, tmp_path: Path) -> None:
    if kind == "gpt2-not":  # its layers are no plain linear ones
        with pytest.raises(ValueError, match=r"model.lora.targets: .* is no plain linear layer"):
            loaded(folders["gpt2"], lora=LoraOptions(rank=2))
        return
    from peft import PeftModel

    ours = loaded(folders[kind], lora=LoraOptions(rank=4, alpha=8))
    assert {parameter.dtype for _, parameter in ours.trainable} == {torch.float32}
    torch.manual_seed(3)
    for _, parameter in ours.trainable:
        parameter.data.normal_(0, 0.05)
    ours.save(tmp_path / "adapter")
    theirs = PeftModel.from_pretrained(plain(folders[kind]), str(tmp_path / "adapter"), is_trainable=True).eval()
    batch = ours.packed(SEQUENCES)
    got = ours.logprobs(batch).logprobs
    expected = torch.cat([alone(theirs, sequence) for sequence in SEQUENCES])
    assert close(got, expected)
    got.sum().backward()
    expected.sum().backward()
    named = dict(theirs.named_parameters())
    assert all(close(parameter.grad, named[name].grad) for name, parameter in ours.trainable)
    merged = theirs.merge_and_unload().state_dict()
    plainly = ours.merged()
    assert set(plainly) <= set(merged)
    assert all(close(weight, merged[name]) for name, weight in plainly.items())


def test_an_adapter_is_gone_on_with_or_merged(folders: dict[str, Path], tmp_path: Path) -> None:
    first = loaded(folders["llama"], lora=LoraOptions(rank=4))
    for _, parameter in first.trainable:
        parameter.data.normal_(0, 0.05)
    first.save(tmp_path / "adapter")
    batch = first.packed(SEQUENCES)
    with torch.no_grad():
        expected = first.logprobs(batch).logprobs
        further = loaded(folders["llama"], adapter=str(tmp_path / "adapter"))
        assert [name for name, _ in further.trainable] == [name for name, _ in first.trainable]
        assert torch.equal(further.logprobs(batch).logprobs, expected)
        merged = loaded(folders["llama"], adapter=str(tmp_path / "adapter"), adapter_use="merge")
        assert not merged.is_lora
        assert close(merged.logprobs(batch).logprobs, expected)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, of transformers
def test_no_adapter_of_the_vocabulary_head_is_trained(folders: dict[str, Path], tmp_path: Path) -> None:
    """Losses multiply by the head's weight themselves, so an adapter of it would be passed by."""
    from peft import LoraConfig, get_peft_model

    with pytest.raises(ValueError, match=r"model.lora.targets: .*lm_head is the vocabulary head"):
        loaded(folders["llama"], lora=LoraOptions(rank=2, targets=("q_proj", "lm_head")))
    theirs = get_peft_model(plain(folders["llama"]), LoraConfig(r=2, target_modules=["q_proj", "lm_head"]))
    theirs.save_pretrained(str(tmp_path), save_embedding_layers=False)
    with pytest.raises(ValueError, match="vocabulary head"):
        loaded(folders["llama"], adapter=str(tmp_path))


def test_training_leaves_the_files_of_the_model_alone(folders: dict[str, Path]) -> None:
    """Weights may be mapped from a file; what is written to them must not reach it."""
    before = (folders["llama"] / "model.safetensors").read_bytes()
    ours = loaded(folders["llama"])
    for _, parameter in ours.trainable:
        parameter.data.add_(1)
    assert (folders["llama"] / "model.safetensors").read_bytes() == before


def test_a_saved_model_is_the_model(folders: dict[str, Path], tmp_path: Path) -> None:
    ours = loaded(folders["qwen2"])
    for _, parameter in ours.trainable:
        parameter.data.mul_(1.01)
    ours.save(tmp_path / "model")
    again = loaded(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(again.logprobs(again.packed(SEQUENCES)).logprobs, ours.logprobs(ours.packed(SEQUENCES)).logprobs)
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("lora", [None, LoraOptions(rank=2)])
def test_rows_that_fill_up_change_nothing(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, lora: LoraOptions | None
) -> None:
    """In bfloat16 on the CPU batches are filled up to few sizes; in float32 one can see that this is no part of the result."""
    ours, sequences = loaded(folders["qwen2"], lora=lora), SEQUENCES[:3]
    found = []
    for even in (False, True):
        batch = Packed.of(sequences, even=even)
        scores, made = ours.logprobs(batch, entropy=True), ours.cross_entropy(batch)
        made.loss.backward()
        found.append((scores.logprobs, scores.entropy, made.loss, *(parameter.grad for _, parameter in ours.trainable)))
        for _, parameter in ours.trainable:
            parameter.grad = None
    assert (batch.tokens, batch.fill, len(batch.ids)) == (79, 49, 128)
    assert all(close(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("length", [5, 100])
def test_attention_of_short_sequences_is_torchs(length: int) -> None:
    from k2core_training.modelling import short

    torch.manual_seed(0)
    q, k, v = (torch.randn(3 * length, heads, 8, requires_grad=True) for heads in (6, 2, 2))
    got = short.attend(q, k, v, (3, length), 0.3)
    wide, high, deep = (part.view(3, length, -1, 8).transpose(1, 2) for part in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(wide, high, deep, is_causal=True, scale=0.3, enable_gqa=True)
    expected = expected.transpose(1, 2).reshape(got.shape)
    weights = torch.randn(got.shape)
    assert close(got, expected)
    for mine, yours in zip(
        torch.autograd.grad(got, (q, k, v), weights), torch.autograd.grad(expected, (q, k, v), weights), strict=True
    ):
        assert close(mine, yours)


def test_bfloat16_is_near_float32(folders: dict[str, Path]) -> None:
    low, full = loaded(folders["llama"], dtype="bfloat16"), loaded(folders["llama"])
    a, b = (one.cross_entropy(one.packed(SEQUENCES)) for one in (low, full))
    assert low.dtype == torch.bfloat16
    assert a.logprobs.dtype == torch.float32
    assert abs(a.loss.item() / b.loss.item() - 1) < 0.02
    a.loss.backward()
    assert all(parameter.grad is not None for _, parameter in low.trainable)


def test_what_cannot_be_trained_is_refused(tiny: Any, tmp_path: Path) -> None:
    import transformers as t

    words = tiny.tokenizer()
    config = t.Gemma2Config(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=256,
    )  # fmt: skip
    t.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="Gemma2ForCausalLM cannot be trained here"):
        loaded(tmp_path)


def test_nothing_to_pack() -> None:
    with pytest.raises(ValueError, match="nothing to pack"):
        Packed.of([])
