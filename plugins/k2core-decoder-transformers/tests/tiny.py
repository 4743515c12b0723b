"""Tiny random models with a byte-level BPE tokenizer and a chat template, made on the spot: no download, a second each.

`make(folder, "qwen3")` saves one; load it with transformers or with `k2core_decoder_transformers.loading`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

Kind = Literal["llama", "qwen2", "qwen3", "gpt2"]
KINDS: tuple[Kind, ...] = ("llama", "qwen2", "qwen3", "gpt2")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = [
    "The quick brown fox jumps over the lazy dog. A dozen plums cost 12 coins; how many coins do 7 plums cost?",
    '{"answer": 42, "steps": ["add", "multiply"], "ok": true}',
    "Let us think step by step: first the sum, then the product. The answer is \\boxed{42}.",
    "Größe, naïve, Ελληνικά, 日本語, emoji 🙂🚀: unicode is split across tokens.",
]


def tokenizer(vocabulary: int = 400, template: str | None = TEMPLATE) -> Any:
    """A byte-level BPE tokenizer of at most `vocabulary` tokens; every text can be encoded."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS * 3,
        trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=SPECIAL[0], eos_token=SPECIAL[2], pad_token=SPECIAL[0])
    fast.chat_template = template
    return fast


def model(
    kind: Kind, vocabulary: int, seed: int = 0, context: int = 256, layers: int = 2, width: int = 32, spread: float = 0.3
) -> Any:
    """A random model in float32. `spread`: standard deviation of the weights; larger ones make peaked distributions."""
    import torch
    import transformers as t

    if kind == "gpt2":
        config: Any = t.GPT2Config(
            bos_token_id=0,
            eos_token_id=2,
            vocab_size=vocabulary,
            n_positions=context,
            n_embd=width,
            n_layer=layers,
            n_head=4,
            initializer_range=spread,
        )
    else:
        classes = {"llama": t.LlamaConfig, "qwen2": t.Qwen2Config, "qwen3": t.Qwen3Config}
        extra = {"head_dim": width // 4} if kind == "qwen3" else {}
        config = classes[kind](
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=context,
            initializer_range=spread,
            tie_word_embeddings=kind != "llama",
            **extra,
        )
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 0, 2, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return t.AutoModelForCausalLM.from_config(config).eval()


def make(folder: Path, kind: Kind = "llama", seed: int = 0, template: str | None = TEMPLATE, **options: Any) -> Path:
    """Save a model and its tokenizer to `folder` as safetensors; `options` as in `model`. Returns the folder."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        words = tokenizer(template=template)
        model(kind, len(words), seed, **options).save_pretrained(folder)
        words.save_pretrained(folder)
    finally:
        if bars:
            logging.enable_progress_bar()
    return folder
