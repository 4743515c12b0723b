"""The CPU rollout's sampling: what it draws is what the model says, whoever is in the batch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the rollout runs in verl's environment: make verl")
from k2core_trainer_verl.cpu.sampling import Answer, Ask, answers, draw, processed  # noqa: E402

PROMPTS = ((5, 6, 7), (8,), (9, 10, 11, 12, 13, 14))
NEVER = frozenset[int]()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoModelForCausalLM

    spec = importlib.util.spec_from_file_location("sampling_tiny_qwen", Path(__file__).with_name("tiny_qwen.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return AutoModelForCausalLM.from_pretrained(module.write(tmp_path_factory.mktemp("tiny"))).eval()


def sampled(model: Any, asks: list[Ask], seed: int = 0, ends: frozenset[int] = NEVER) -> list[Answer]:
    return answers(model, asks, ends, torch.Generator().manual_seed(seed), lambda: False)


def test_log_probabilities_are_the_models(model: Any) -> None:
    """Each of a padded batch against one forward pass over prompt and answer, without padding and without cache."""
    for ask, answer in zip(PROMPTS, sampled(model, [Ask(prompt, 7, temperature=0.7) for prompt in PROMPTS]), strict=True):
        ids = torch.tensor([[*ask, *answer.ids]])
        with torch.no_grad():
            wanted = (model(input_ids=ids).logits[0].float() / 0.7).log_softmax(-1)
        right = [float(wanted[len(ask) - 1 + at, token]) for at, token in enumerate(answer.ids)]
        assert answer.logprobs == pytest.approx(right, abs=1e-4)


def test_greedy_is_greedy_and_the_batch_does_not_matter(model: Any) -> None:
    together = sampled(model, [Ask(prompt, 6, temperature=0) for prompt in PROMPTS])
    alone = [sampled(model, [Ask(prompt, 6, temperature=0)])[0] for prompt in PROMPTS]
    assert [a.ids for a in together] == [a.ids for a in alone]
    generated = model.generate(torch.tensor([PROMPTS[0]]), max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert together[0].ids == generated[0, 3:].tolist()


def test_where_answers_end(model: Any) -> None:
    long, short = sampled(model, [Ask((5,), 6), Ask((6,), 2)])
    assert (len(long.ids), len(short.ids), short.ended) == (6, 2, False)
    end = long.ids[3]
    [ended] = sampled(
        model, [Ask((5,), 6, temperature=0)], ends=frozenset({sampled(model, [Ask((5,), 6, temperature=0)])[0].ids[3]})
    )
    assert ended.ended
    assert len(ended.ids) <= 4
    assert end >= 0
    assert answers(model, [Ask((5,), 6)], NEVER, torch.Generator(), lambda: True) == [Answer([], [], False)]


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(20_000, 1)
    chosen, logprobs = draw(logits, [Ask((1,), 1)] * 20_000, torch.Generator().manual_seed(0))
    shares = torch.bincount(chosen, minlength=4) / 20_000
    assert torch.allclose(shares, logits[0].softmax(-1), atol=0.02)
    assert torch.allclose(logprobs, logits.log_softmax(-1).gather(-1, chosen[:, None]).squeeze(-1))


def test_cuts() -> None:
    """Each row by its own settings; what is left is normalised."""
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]] * 4)
    one = torch.ones(4)
    kept = processed(logits, one, torch.tensor([0, 2, 0, 1]), torch.tensor([1.0, 1.0, 0.6, 0.9])).exp()
    assert (kept > 0).tolist() == [[True] * 4, [True, False, True, False], [True, False, False, False], [True, False, False, False]]
    assert torch.allclose(kept.sum(-1), one)
