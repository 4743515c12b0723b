"""The draft model: a small Llama whose embedding is the target's, in fewer dimensions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from k2core_models.quiet import quiet
from torch import Tensor

from k2core.errors import ConfigError

from .config import ShapeOptions


def size_mb(vocabulary: int, shape: ShapeOptions) -> float:
    """Megabytes of its weights at 16 bits each."""
    layer = 4 * shape.hidden**2 + 3 * shape.hidden * shape.intermediate + 2 * shape.hidden
    return 2 * (vocabulary * shape.hidden + shape.layers * layer + shape.hidden) / 1e6


def projected(embedding: Tensor, width: int) -> Tensor:
    """[vocabulary, width]: the rows of `embedding` [vocabulary, hidden] in the coordinates of its best subspace of that dimension.

    That of the largest singular values (Eckart and Young 1936): inner products of rows, which are what scores are made of, are kept
    as well as so few dimensions can.
    """
    wide = embedding.float()
    _, directions = torch.linalg.eigh((wide.t() @ wide).double())
    made: Tensor = wide @ directions[:, -width:].flip(1).float()
    return made


def made(target: Any, shape: ShapeOptions, most_mb: float, seed: int) -> Any:
    """A new draft model in float32 for a target. Raises `ConfigError` for one that would be too large, or wider than the target."""
    import transformers

    config = target.config.get_text_config()
    embedding = target.get_input_embeddings().weight.detach()
    if (size := size_mb(len(embedding), shape)) > most_mb:
        raise ConfigError(f"the draft model would take {size:.1f} MB, more than most_mb = {most_mb:g}", "trainer.draft")
    if shape.hidden > embedding.shape[1]:
        raise ConfigError(f"the draft model would be wider than the target, which has {embedding.shape[1]}", "trainer.draft.hidden")
    small = transformers.LlamaConfig(
        vocab_size=len(embedding),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=config.max_position_embeddings,
        rms_norm_eps=config.rms_norm_eps,
        tie_word_embeddings=True,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        family: Any = transformers.AutoModelForCausalLM
        model = family.from_config(small, dtype=torch.float32)
    model.generation_config = target.generation_config
    with torch.no_grad():
        rows = projected(embedding, shape.hidden)
        model.get_input_embeddings().weight.copy_(rows)
        # of a normalised hidden state the scores then spread by one or two, as if hardly anything were known yet
        model.model.norm.weight.fill_(1.5 / float(rows.norm(dim=-1).mean()))
    return model.to(embedding.device).eval().requires_grad_(True)


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write it in 16 bits, as transformers does, with the target's tokenizer. Raises `OSError`."""
    weights = {name: tensor.detach().to(torch.float16) for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    with quiet():
        try:
            model.save_pretrained(str(folder), state_dict=weights)
            model.config.to_json_file(str(folder / "config.json"))
            tokenizer.save_pretrained(str(folder))
        except Exception as error:  # safetensors has errors of its own for a full disk
            raise OSError(0, " ".join(str(error).split())[:300]) from error
