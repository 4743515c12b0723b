"""A model being trained: its weights, its tokenizer, and what it makes of packed sequences."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from k2core_decoder_transformers import LoraAdapter, TransformersConfig
from k2core_decoder_transformers.loading import load
from k2core_decoder_transformers.loading.loaded import Loaded
from k2core_models.quiet import quiet
from torch import Tensor
from torch.nn import Parameter

from ..packing import TokenSequence, pack
from ..saving import replacing
from . import lora
from .config import ModelOptions
from .forward import check, forward_for, head_of, trial
from .head import CrossEntropy, Scored, cross_entropy, scored
from .packed import Packed, filled


class Policy:
    """A causal language model and what of it is trained. Made by `load`; used in one thread at a time.

    Weights are held in the precision of the computation; `Optimizer` keeps float32 masters of those that are trained in
    bfloat16. The factors of a LoRA adapter are float32 themselves.
    """

    def __init__(self, loaded: Loaded, options: ModelOptions) -> None:
        """Raises `ValueError` for an architecture that cannot be trained here."""
        model = loaded.model
        self.tokenizer, self.name, self.eos, self.context = loaded.tokenizer, loaded.name, loaded.eos, loaded.context
        self.options = options
        self.chat = loaded.chat
        """`chat.prompt_ids(request)` are a prompt's tokens as a decoder sees them; `eos` end a turn."""
        self.base = model
        """The model without peft's shell; adapters are within its layers."""
        self.model = model
        """The model, or peft's model around it."""
        self._reference = _references(model)
        self._forward = forward_for(model, options.gradient_checkpointing)
        self._head = head_of(model)
        check(model, self._forward, self._reference)

    @classmethod
    def load(cls, options: ModelOptions, stop: threading.Event | None = None, seed: int = 0) -> Policy:
        """Load the model and make what is to be trained trainable; `seed` is that of a new adapter. Blocks; silent.

        Raises `ValueError` for options, files or architectures that cannot be used, `ConnectionError` for a model that cannot be
        fetched, and `k2core_decoder_transformers.loading.loaded.Stopped` soon after `stop` is set.
        """
        if options.threads:
            torch.set_num_threads(options.threads)
        adapters = (LoraAdapter(path=options.adapter),) if options.adapter and options.adapter_use == "merge" else ()
        config = TransformersConfig(
            model=options.model, revision=options.revision, dtype=options.dtype, device=options.device,
            chat_template=options.chat_template, context=1 << 24, lora=adapters,
        )  # fmt: skip
        loaded = load(config, stop)
        made = cls(loaded, options)
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made._make_trainable()
        return made

    def _make_trainable(self) -> None:
        options = self.options
        if options.adapter and options.adapter_use == "continue":
            self.model = lora.go_on(self.base, options.adapter)
        elif options.lora is not None:
            self.model = lora.add(self.base, options.lora)
        else:
            _writable(self.base)
            self.base.requires_grad_(True)
        self.model.eval()  # no dropout: what is trained on is what decoders see

    @property
    def is_lora(self) -> bool:
        return self.model is not self.base

    @property
    def device(self) -> torch.device:
        return self._head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self._head.weight.dtype

    @property
    def trainable(self) -> list[tuple[str, Parameter]]:
        """What is trained, by name, in a fixed order."""
        return [(name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad]

    # computing

    def packed(self, sequences: list[TokenSequence]) -> Packed:
        """The sequences as one batch on the model's device, as `hidden` and all else here take it."""
        return Packed.of(sequences, self.device, even=self.device.type == "cpu" and self.dtype == torch.bfloat16)

    def packs(self, sequences: Sequence[TokenSequence], most: int) -> Iterator[Packed]:
        """The sequences as batches of at most so many tokens, as they fit."""
        for members in pack([len(sequence.ids) for sequence in sequences], most):
            yield self.packed([sequences[index] for index in members])

    def hidden(self, batch: Packed) -> Tensor:
        """[targets, width]: the hidden states that predict the targets."""
        return self._forward(batch)

    def logprobs(self, batch: Packed, *, temperature: float = 1.0, entropy: bool = False) -> Scored:
        """Of each target its log-probability at a temperature, the entropy there where asked for, and whether it is the likeliest.

        In the order of the sequences given to `packed`, and of positions within; with gradients unless under `torch.no_grad()`.
        """
        head, (hidden, labels), count = self._head, self._scored(batch), len(batch.labels)
        made = scored(hidden, head.weight, head.bias, labels, temperature=temperature, entropy=entropy)
        return Scored(made.logprobs[:count], None if made.entropy is None else made.entropy[:count], made.correct[:count])

    def _scored(self, batch: Packed) -> tuple[Tensor, Tensor]:
        """Hidden states and labels, filled up where the batch is."""
        hidden = self.hidden(batch)
        return (filled(hidden), filled(batch.labels)) if batch.even else (hidden, batch.labels)

    def cross_entropy(self, batch: Packed, weights: Tensor | None = None) -> CrossEntropy:
        """Σ weight · -log p over the targets, weights [targets] or those of the batch; faster than a loss made of `logprobs`."""
        head, (hidden, labels), count = self._head, self._scored(batch), len(batch.labels)
        weights = batch.weights if weights is None else weights
        made = cross_entropy(hidden, head.weight, head.bias, labels, filled(weights) if batch.even else weights)
        return CrossEntropy(made.loss, made.logprobs[:count], made.correct[:count])

    # weights

    @torch.no_grad()
    def merged(self) -> Mapping[str, Tensor]:
        """The plain weights by the model's parameter names, adapters merged. What has no adapter is the weight itself, no copy."""
        if not self.is_lora:
            return {name: parameter.data for name, parameter in self.base.named_parameters()}
        adapted = dict(lora.layers(self.base))
        found: dict[str, Tensor] = {f"{name}.weight": lora.merged(layer) for name, layer in adapted.items()}
        for name, parameter in self.base.named_parameters():
            plain = name.replace(".base_layer.", ".")
            if plain not in found and ".lora_" not in name:
                found[plain] = parameter.data
        return found

    @property
    def product(self) -> str:
        """What `write` writes: `adapter` or `model`."""
        return "adapter" if self.is_lora else "model"

    def save(self, folder: Path) -> None:
        """As `write`, whole or not at all. Raises `DiskError` when that fails; then a folder that was there is as before."""
        with replacing(folder) as scratch:
            self.write(scratch)

    def write(self, folder: Path) -> None:
        """The adapter as peft writes it, or the whole model as transformers does, with the tokenizer. Raises `OSError`."""
        with quiet():
            try:
                self.model.save_pretrained(str(folder))
                self.tokenizer.save_pretrained(str(folder))
            except Exception as error:  # safetensors has errors of its own for a full disk
                raise OSError(0, " ".join(str(error).split())[:300]) from error


def _references(model: Any) -> Any:
    """The model's own answers to the trial, before anything is done to it."""
    device = next(model.parameters()).device
    with torch.no_grad():
        made = [model(torch.tensor([ids], device=device), use_cache=False).logits[0].float() for ids in trial(model)]
    answers = {tuple(ids): logits for ids, logits in zip(trial(model), made, strict=True)}
    return lambda ids: answers[tuple(ids)]


def _writable(model: Any) -> None:
    """Weights that a file is mapped to become ours: what is written to them must not be able to reach it."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
