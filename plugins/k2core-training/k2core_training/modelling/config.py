"""Options of the model that is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class OptionTable(BaseModel):
    """Base of tables of options within a trainer's."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True, allow_inf_nan=False)


class LoraOptions(OptionTable):
    """Train a low-rank change of the weights instead of the weights (Hu et al. 2021, arXiv:2106.09685)."""

    rank: Annotated[int, Field(ge=1, le=4096)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """The change is alpha / rank times the product of its two factors."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the linear layers that are changed, such as `q_proj`; `all-linear`: all but the vocabulary head."""


class ModelOptions(OptionTable):
    """Which model, in which precision, and what of it is trained."""

    model: str = "smollm2-135m-instruct"
    """A name that `k2 models list` knows, a GGUF file, a folder as transformers saves it, or a name on the model hub."""
    revision: str = ""
    """Branch, tag or commit of a model on the hub."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation. What is trained is kept in float32 besides. `auto`: bfloat16 where the device computes with it."""
    device: str = "auto"
    """`auto`: a CUDA device where there is one, otherwise the CPU."""
    lora: LoraOptions | None = None
    """Train a LoRA adapter; without this table the whole model."""
    adapter: str = ""
    """Folder of a LoRA adapter in peft's format to begin with; see `adapter_use`."""
    adapter_use: Literal["continue", "merge"] = "continue"
    """`continue`: train that adapter further, with its own rank. `merge`: add it to the weights and train what `lora` says."""
    gradient_checkpointing: bool = False
    """Keep one activation a layer and compute the others again: less memory, a third more work."""
    chat_template: str = ""
    """A Jinja chat template in place of the model's own: its text, or a file."""
    threads: Annotated[int, Field(ge=0, le=512)] = 0
    """Threads that compute on the CPU; 0 leaves it to torch."""
