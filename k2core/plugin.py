"""What a plugin author derives from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict

from .errors import PluginIncompatible
from .spec import hookimpl

__all__ = ["DecoderName", "Plugin", "PluginConfig", "VerifierName", "hookimpl"]


class _Names(NamedTuple):
    table: str


DecoderName: TypeAlias = Annotated[str, _Names("decoders")]
"""A configuration field that names an entry of `[decoders]`, or none when empty; the kernel checks it before anything starts."""

VerifierName: TypeAlias = Annotated[str, _Names("verifiers")]
"""The same for `[verifiers]`. A sampler's field says which verifier it consults, see `Candidate.score`."""


class PluginConfig(BaseModel):
    """Options of a plugin: its table in the pipeline without `use`. Give every field a default and a docstring."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)

    def named(self, table: Literal["decoders", "verifiers"]) -> dict[str, str]:
        """The entries of `table` that options of type `DecoderName` or `VerifierName`, or tuples of those, name: by option."""
        found: dict[str, str] = {}
        for option, info in type(self).model_fields.items():
            if _Names(table) in _metadata(info.annotation, info.metadata):
                value = getattr(self, option)
                found |= {option: value} if isinstance(value, str) else {f"{option}.{i}": name for i, name in enumerate(value)}
        return {option: name for option, name in found.items() if name}


def _metadata(annotation: Any, known: Iterable[Any] = ()) -> list[Any]:
    """What `Annotated` adds to a type, at any depth."""
    return [*known, *getattr(annotation, "__metadata__", ()), *(m for part in get_args(annotation) for m in _metadata(part))]


class Plugin:
    """Base class of plugins: `config` is annotated with the plugin's own `PluginConfig` and set by the kernel.

    The constructor must be cheap and touch nothing outside: resources belong into `k2_start` and `k2_stop`.
    """

    config: PluginConfig

    path: str = ""
    """Where it stands in the pipeline, such as `hooks.budget`; the kernel sets it after construction, for messages."""

    listwise: ClassVar[bool] = True
    """Verifiers: True when a verdict depends on the other candidates, so it is remembered for that set only."""

    calls_tools: ClassVar[bool] = False
    """Decoders: True when it offers `DecodeRequest.tools` to its model and reads the calls; others are never asked to."""

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
