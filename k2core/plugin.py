"""What a plugin author derives from."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeAlias, get_type_hints

from pydantic import BaseModel, ConfigDict

from .errors import PluginIncompatible
from .spec import hookimpl

__all__ = ["DecoderName", "Plugin", "PluginConfig", "hookimpl"]

_DECODER = "k2core-decoder-name"

DecoderName: TypeAlias = Annotated[str, _DECODER]
"""A configuration field that names an entry of `[decoders]`; the kernel checks that it exists before anything starts."""


class PluginConfig(BaseModel):
    """Options of a plugin: its table in the pipeline without `use`. Give every field a default and a docstring."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)

    @classmethod
    def decoder_fields(cls) -> list[str]:
        """Names of the fields declared as `DecoderName`."""
        return [name for name, info in cls.model_fields.items() if _DECODER in info.metadata]


class Plugin:
    """Base class of plugins: `config` is annotated with the plugin's own `PluginConfig` and set by the kernel.

    The constructor must be cheap and touch nothing outside: resources belong into `k2_start` and `k2_stop`.
    """

    config: PluginConfig

    path: str = ""
    """Where it stands in the pipeline, such as `hooks.budget`; the kernel sets it after construction, for messages."""

    listwise: ClassVar[bool] = True
    """Verifiers: True when a verdict depends on the other candidates, so it is remembered for that set only."""

    rank: ClassVar[int] = 50
    """Hooks: the lower, the further outside. Safety 10, trace 20, cache 30, others 50, budget 90."""

    def __init__(self, config: Any = None) -> None:
        self.config = config if config is not None else self.config_type()()

    @classmethod
    def config_type(cls) -> type[PluginConfig]:
        """The annotated type of `config`. Raises `PluginIncompatible` when it is no `PluginConfig`."""
        try:
            found = get_type_hints(cls)["config"]
        except NameError as error:
            raise PluginIncompatible(f"{cls.__qualname__}: the annotation of `config` does not resolve: {error}") from error
        if not (isinstance(found, type) and issubclass(found, PluginConfig)):
            raise PluginIncompatible(f"{cls.__qualname__}: `config` must be annotated with a PluginConfig, not {found!r}")
        return found
