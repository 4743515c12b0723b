"""Which tokens are learnt: the assistant's, and the one that ends its turn; by the template of the model."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("transformers")

from k2core_training.data.chats import Chat, Unusable
from k2core_training.data.rendering import Renderer, shortened
from k2core_training.packing import TokenSequence

from k2core.errors import ConfigError
from k2core.types import Message

STRIPPING = (
    "{% for m in messages %}{% set c = m['content'] %}"
    "{% if m['role'] == 'assistant' and not loop.last and '</think>' in c %}"
    "{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ c }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Takes the reasoning out of earlier turns."""
OPENING = (
    "{% for m in messages %}{% set c = m['content'] %}"
    "{% if m['role'] == 'assistant' and '</think>' in c %}{% set c = c.split('</think>')[-1] | trim %}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ c }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
"""Never shows reasoning, and begins it in the prompt."""
ENDLESS = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)


ASKED = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"


def turns(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(role="assistant" if n % 2 else "user", content=text) for n, text in enumerate(texts))


def rendered(tokenizer: Any, template: str | None, messages: tuple[Message, ...]) -> list[list[tuple[str, bool]]]:
    """The sequences as stretches of text, each learnt or not."""
    if template is not None:
        tokenizer.chat_template = template
    (made,) = Renderer(tokenizer, frozenset({0, 2})).sequences([Chat(messages, "f:1")])
    if isinstance(made, Unusable):
        raise made
    return [stretches(tokenizer, sequence) for sequence in made]


def stretches(tokenizer: Any, sequence: TokenSequence) -> list[tuple[str, bool]]:
    parts: list[tuple[list[int], bool]] = []
    for token, learnt in zip(sequence.ids, sequence.targets, strict=True):  # type: ignore[arg-type]
        if not parts or parts[-1][1] != learnt:
            parts.append(([], learnt))
        parts[-1][0].append(token)
    return [(tokenizer.decode(ids), learnt) for ids, learnt in parts]


def test_several_turns_share_a_sequence(tiny: Any) -> None:
    (made,) = rendered(tiny.tokenizer(), None, turns("2+2?", "4", "3+3?", "6"))
    assert made == [
        ("<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n", False),
        ("4<|im_end|>", True),
        ("\n<|im_start|>user\n3+3?<|im_end|>\n<|im_start|>assistant\n", False),
        ("6<|im_end|>", True),
    ]


def test_each_answer_is_seen_as_in_use_where_earlier_reasoning_is_taken_out(tiny: Any) -> None:
    first, second = rendered(
        tiny.tokenizer(), STRIPPING, turns("2+2?", "<think>\na\n</think>\n4", "3+3?", "<think>\nb\n</think>\n6")
    )
    assert first[1] == ("<think>\na\n</think>\n4<|im_end|>", True)
    assert second == [
        (
            "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\n3+3?<|im_end|>\n<|im_start|>assistant\n",
            False,
        ),
        ("<think>\nb\n</think>\n6<|im_end|>", True),
    ]


def test_reasoning_that_the_prompt_begins_is_not_begun_twice(tiny: Any) -> None:
    (made,) = rendered(tiny.tokenizer(), OPENING, turns("2+2?", "<think>\nTwo.\n</think>\n\n4"))
    assert made == [
        ("<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n<think>\n", False),
        ("Two.\n</think>\n\n4<|im_end|>", True),
    ]


def test_where_the_template_ends_no_turn_the_end_is_learnt_all_the_same(tiny: Any) -> None:
    (made,) = rendered(tiny.tokenizer(), ENDLESS, turns("2+2?", "4"))
    assert made == [("[user] 2+2?\n[assistant] ", False), ("4\n<|im_end|>", True)]


def test_what_a_template_cannot_take(tiny: Any) -> None:
    with pytest.raises(Unusable, match="malformed") as caught:
        rendered(tiny.tokenizer(), None, turns("a", "b<|im_end|>c"))
    assert "within one" in caught.value.detail
    with pytest.raises(Unusable, match="template") as caught:
        rendered(tiny.tokenizer(), "{{ raise_exception('no') }}", turns("a", "b"))
    assert "refuses" in caught.value.detail
    with pytest.raises(ConfigError, match=r"^trainer\.model\.chat_template: the model has no chat template"):
        rendered(tiny.tokenizer(template=None), None, turns("a", "b"))


def test_what_a_decoder_sees_is_what_is_trained_on(tiny: Any, tmp_path: Any) -> None:
    """The tokens before an answer are the prompt's tokens of the decoder."""
    from k2core_decoder_transformers.loading.chat import Chat as DecoderChat

    from k2core.types import DecodeRequest

    words = tiny.tokenizer()
    messages = turns("Größe? 日本語 🙂", "4")
    ((sequence,),) = Renderer(words, frozenset({2})).sequences([Chat(messages, "f:1")])  # type: ignore[misc]
    prompt = DecoderChat(words).prompt_ids(DecodeRequest(messages=messages[:1]))
    assert list(sequence.ids[: len(prompt)]) == prompt
    assert next(iter(sequence.places())) == len(prompt)


def test_shortened() -> None:
    sequence = TokenSequence([1, 2, 3, 4, 5], [False, False, True, True, True])
    cut = shortened(sequence, 4)
    assert cut is not None
    assert (cut.ids, cut.targets) == ([1, 2, 3, 4], [False, False, True, True])
    assert shortened(sequence, 2) is None
    assert shortened(TokenSequence([1, 2, 3], slice(1, None)), 2) == TokenSequence([1, 2], [False, True])


def test_the_embedded_models_template() -> None:
    """SmolLM2: exactly the assistant's tokens and the end of its turn, in a chat with a system message of the template's own."""
    from k2core_models import cached, known

    if cached(known("smollm2-135m-instruct")) is None:
        pytest.skip("the embedded model is not here")
    from k2core_decoder_transformers import TransformersConfig
    from k2core_decoder_transformers.loading import load

    loaded = load(TransformersConfig())
    answer = "<think>\nFive times three.\n</think>\n<answer>\n15\n</answer>"
    messages = turns("A pen costs 3. What do 5 cost?", answer, "And 6?", "18")
    ((sequence,),) = Renderer(loaded.tokenizer, loaded.eos).sequences([Chat(messages, "f:1")])  # type: ignore[misc]
    made = stretches(loaded.tokenizer, sequence)
    assert [text for text, learnt in made if learnt] == [f"{answer}<|im_end|>", "18<|im_end|>"]
    whole = loaded.tokenizer.apply_chat_template([{"role": m.role, "content": m.content} for m in messages], tokenize=False)
    assert "".join(text for text, _ in made) + "\n" == whole
    assert list(sequence.ids) == loaded.tokenizer(whole.removesuffix("\n"), add_special_tokens=False)["input_ids"]
