"""Chat templates that open the reasoning themselves."""

from __future__ import annotations

from k2core_decoder_llamacpp.think import opens


def test_templates_that_open_the_block() -> None:
    assert opens("{{ m }}{% if add_generation_prompt %}<|assistant|>\n<think>\n{% endif %}")
    assert not opens("{% if add_generation_prompt %}{% if enable_thinking is false %}<think>\n\n</think>{% endif %}{% endif %}")
    assert not opens("{{ '<think>' }}{% if add_generation_prompt %}<|assistant|>{% endif %}")
    assert not opens("")
