"""Load a model, its tokenizer and its adapters."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core_models import shipped
from k2core_models.merging import merge
from k2core_models.quiet import quiet

from k2core.types import DecodeRequest

from ..config import LoraAdapter
from .chat import Chat, ends
from .converted import folder_for, keep
from .device import device_of, dtype_of

if TYPE_CHECKING:
    from ..config import TransformersConfig

_HUB = re.compile(r"[\w.-]+(/[\w.-]+)?")


class Stopped(Exception):
    """Loading was told to stop."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready. Nothing else refers to it: it goes when this does."""

    model: Any
    tokenizer: Any
    name: str
    eos: frozenset[int]
    context: int
    """Tokens of prompt and completion together: the option, or what the model was trained for, if that is less."""
    chat: Chat

    @property
    def opens_thinking(self) -> bool:
        return self.chat.opens_thinking

    @property
    def vocab(self) -> int:
        """Width of the model's scores; the tokenizer may know fewer tokens."""
        return int(self.model.config.vocab_size)

    def prompt_ids(self, request: DecodeRequest) -> list[int]:
        """The prompt's tokens; raises `ValueError` as `Chat.prompt_ids`."""
        return self.chat.prompt_ids(request)


@dataclass(frozen=True)
class Source:
    """Where `from_pretrained` finds a model."""

    name: str
    place: str
    options: dict[str, Any]
    hub: bool = False


def load(config: TransformersConfig, stop: threading.Event | None = None) -> Loaded:
    """Load what the options name. Blocks; silent; leaves torch's global settings alone.

    Raises `ValueError` for wrong options or files, `ConnectionError` for a model that cannot be fetched, `Stopped` between two
    stages once `stop` is set.
    """
    stop = stop or threading.Event()
    device = device_of(config.device)
    dtype = dtype_of(config.dtype, device)
    asked = shipped.unfolded(config.model)
    source = locate(asked.model, config.revision, stop)
    adapters = (*(LoraAdapter(path=name) for name in asked.adapters), *config.lora)
    with quiet():
        model, tokenizer = _opened(source, dtype, stop)
        for adapter in adapters:
            _check(stop)
            model = merge(model, adapter.path, adapter.scale)
        _check(stop)
        _check_weights(model, source.name)
        model = model.to(device).eval().requires_grad_(False)
        chat = Chat(tokenizer, config.chat_template)
        eos = ends(model, tokenizer, chat.template)
    trained = getattr(model.config.get_text_config(), "max_position_embeddings", None) or config.context
    name = next(iter(asked.adapters), source.name)
    return Loaded(model, tokenizer, name, eos, min(config.context, int(trained)), chat)


def _opened(source: Source, dtype: Any, stop: threading.Event) -> tuple[Any, Any]:
    """Model and tokenizer; those of a GGUF file are converted once and then kept."""
    file = Path(source.place) / source.options["gguf_file"] if "gguf_file" in source.options else None
    kept = folder_for(file, str(dtype).removeprefix("torch.")) if file else None
    if kept and (kept / "config.json").is_file():
        source = Source(source.name, str(kept), {})
    _check(stop)
    tokenizer = _pretrained(source, "AutoTokenizer")
    _check(stop)
    if "gguf_file" not in source.options:
        return _pretrained(source, "AutoModelForCausalLM", dtype=dtype), tokenizer
    from transformers import GgufConfig

    options = {"quantization_config": GgufConfig(dequantize=True)}
    model = _pretrained(source, "AutoModelForCausalLM", dtype=dtype, **options)
    _check(stop)
    if kept and keep(model, tokenizer, kept):  # what was kept is mapped into memory and shared between processes
        del model
        return _pretrained(Source(source.name, str(kept), {}), "AutoModelForCausalLM", dtype=dtype), tokenizer
    return model, tokenizer


def _check(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped("loading was stopped")


def _check_weights(model: Any, name: str) -> None:
    """A model whose weights are not all there would fail at some later time, saying nothing of why."""
    if any(weight.is_meta for weight in model.parameters()):
        raise ValueError(
            f"transformers did not give the model {name!r} all its weights. That happens where two were loaded in one process at "
            "the same time: start that anew, and let whatever else loads models there hold `k2core_models.loading` meanwhile"
        )


def locate(model: str, revision: str, stop: threading.Event) -> Source:
    """What a `model` option means: a known name, a GGUF file, a folder, or a name on the hub. Raises `ValueError`."""
    from k2core_models import KNOWN, gguf, resolve
    from k2core_models.fetch import Stopped as FetchStopped

    if model in KNOWN or model.endswith(".gguf"):
        try:
            path = resolve(model, stop)
        except FetchStopped as error:
            raise Stopped("loading was stopped") from error
        if gguf.read(path).is_adapter:
            raise ValueError(f"{path} is an adapter, not a model")
        return Source(path.stem, str(path.parent), {"gguf_file": path.name})
    folder = shipped.folder(model) or Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder} holds no model: it has no config.json")
        return Source(folder.resolve().name, str(folder), {})
    if not _HUB.fullmatch(model):
        raise ValueError(f"there is no model at {model!r}: neither a folder, a GGUF file, nor a name on the hub (owner/name)")
    return Source(model, model, {"revision": revision} if revision else {}, hub=True)


def _pretrained(source: Source, kind: str, **options: Any) -> Any:
    import transformers

    try:
        return getattr(transformers, kind).from_pretrained(source.place, **source.options, **options)
    except Exception as error:  # whatever it is, the user must learn which model and what to do
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        if source.hub:
            raise ConnectionError(
                f"cannot get the model {source.name!r} from the hub: {reason}. Where there is network, run `hf download "
                f"{source.name} --local-dir FOLDER` (for a gated one after `hf auth login`, or with HF_TOKEN set), and give FOLDER "
                "as `model`"
            ) from error
        raise ValueError(f"cannot load the model {source.name!r}: {reason}") from error
