"""The pipeline configuration: what it may say, where it comes from, and errors that name the place.

A plugin's table holds `use`, the entry-point name, beside the plugin's own options; those are checked by the plugin's
`PluginConfig` when the pipeline is assembled (`registry.assemble`).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import ConfigError

M = TypeVar("M", bound=BaseModel)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)


class PluginTable(_Table):
    """Which plugin fills a place, beside the plugin's own options."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, defer_build=True)

    use: str
    """Entry-point name of the plugin; in a named table it defaults to the table's name."""

    @property
    def options(self) -> dict[str, Any]:
        """The plugin's own part of the table."""
        return dict(self.__pydantic_extra__ or {})


class VerifierTable(PluginTable):
    """A verifier and its say in the decision."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its scores count this much; 0 only watches."""
    veto: bool = False
    """A candidate that it calls incorrect is not chosen, unless all are vetoed."""
    when: Literal["always", "undecided"] = "always"
    """`undecided`: after the others, about what none of them called correct or incorrect; there its score replaces theirs."""
    below: Annotated[float, Field(gt=0, le=1)] = 1.0
    """`undecided` without a reference: asked only while the best score so far is below this, so that clear votes need no judge."""


class Limits(_Table):
    """Time for one request."""

    timeout: Annotated[float, Field(gt=0)] | None = None
    """Seconds until the request is cancelled and `LimitExceeded` raised."""
    soft_deadline: Annotated[float, Field(gt=0)] | None = None
    """Seconds until the sampler is asked to answer with what it has."""


class Retry(_Table):
    """How often and when a decoder call that failed with `TransientError` is tried again."""

    attempts: Annotated[int, Field(ge=1)] = 4
    """Most attempts, the first included; each is one call in the ledger."""
    base: Annotated[float, Field(ge=0)] = 0.5
    """Seconds before the second attempt; doubled each time, with up to a quarter added by chance."""
    max: Annotated[float, Field(ge=0)] = 30.0
    """Longest wait in seconds. A server that asks for longer is not tried again."""


class Price(_Table):
    """What tokens of one decoder cost, in any one currency, per million."""

    prompt: Annotated[float, Field(ge=0)] = 0.0
    completion: Annotated[float, Field(ge=0)] = 0.0


class PipelineConfig(_Table):
    """A whole pipeline."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Seed of every run that is given none; without one each run draws its own, and its trace records it."""
    plan: Literal["problem", "sample"] = "problem"
    """Plan once a problem, or afresh for each sample."""
    planner: PluginTable | None = None
    sampler: PluginTable = Field(default_factory=lambda: PluginTable(use="single"))
    verifiers: Mapping[str, VerifierTable] = {}
    """Side by side, then in turn those for the undecided; the candidate with the highest weighted mean of scores is chosen."""
    decoders: Mapping[str, PluginTable] = {}
    """Model back ends by the name that planners, samplers and judges call them by."""
    trainer: PluginTable | None = None
    tasks: Mapping[str, PluginTable] = {}
    hooks: Mapping[str, PluginTable] = {}
    limits: Limits = Field(default_factory=Limits)
    retry: Retry = Field(default_factory=Retry)
    prices: Mapping[str, Price] = {}
    """By decoder name; without one its calls cost nothing."""

    @model_validator(mode="before")
    @classmethod
    def _name_tables(cls, data: Any) -> Any:
        """In `[verifiers.math]` and its like, `use` defaults to the table's name."""
        named = {"verifiers", "decoders", "tasks", "hooks"}

        def fill(tables: Any) -> Any:
            if not isinstance(tables, Mapping):
                return tables
            return {name: {"use": name, **t} if isinstance(t, Mapping) else t for name, t in tables.items()}

        return {k: fill(v) if k in named else v for k, v in data.items()} if isinstance(data, Mapping) else data

    @model_validator(mode="after")
    def _prices_fit(self) -> Self:
        for name in self.prices:
            if name not in self.decoders:
                raise ValueError(f"prices.{name} prices no decoder; there are: {', '.join(self.decoders) or 'none'}")
        return self

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], overrides: Sequence[str] = (), source: str = "") -> Self:
        """Validate `data` after applying `overrides` such as `sampler.n=5`. Raises `ConfigError` naming every wrong path."""
        return validated(cls, overridden(data, overrides), source=source)

    @classmethod
    def from_toml(cls, text: str, overrides: Sequence[str] = (), source: str = "") -> Self:
        """Parse TOML, then as `from_dict`."""
        return cls.from_dict(_parse_toml(text, source or "configuration"), overrides, source)

    @classmethod
    def from_file(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read TOML, or YAML where PyYAML is installed. Raises `ConfigError` when the file cannot be read or is wrong."""
        return cls.from_dict(read_tables(path), overrides, str(path))

    @classmethod
    def default(cls, overrides: Sequence[str] = ()) -> Self:
        """The embedded pipeline: a small model in this process, a plan, three samples and votes."""
        return cls.from_dict(read_tables(), overrides, "the default pipeline")


def read_tables(path: str | Path | None = None) -> Mapping[str, Any]:
    """The tables of a file, or of the embedded pipeline, as they stand there. Raises `ConfigError` when it cannot be read."""
    path = Path(path).expanduser() if path else Path(__file__).with_name("default.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    if path.suffix in {".yaml", ".yml"}:
        from .toolkit.yaml_tables import parse_yaml

        return parse_yaml(text, str(path))
    return _parse_toml(text, str(path))


def overridden(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of nested tables with `overrides` applied: `a.b.c=value`, the value as TOML, or else a plain string. `a.b.c=` takes
    what is there out."""
    copied = _deep_copy(data)
    for override in overrides:
        path, sep, text = override.partition("=")
        if not sep or not all(map(str.strip, path.split("."))):
            raise ConfigError(f"an override reads path=value, such as sampler.n=5, not {override!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"] if text.strip() else None
        except tomllib.TOMLDecodeError:
            value = text
        set_at(copied, path, value)
    return copied


def set_at(data: dict[str, Any], path: str, value: Any) -> None:
    """Set the option or table at a dotted path in nested tables, or take it out (None). Raises `ConfigError` where the path leads
    through what is no table, or where nothing is there to take out."""
    *tables, last = (part.strip() for part in path.split("."))
    for part in tables:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"an option cannot be set below {part!r}, which is no table", path)
    if value is not None:
        data[last] = value
    elif data.pop(last, None) is None:
        raise ConfigError("there is nothing to take out", path)


def validated(model: type[M], data: Any, path: str = "", source: str = "") -> M:
    """`data` as a `model`. Raises `ConfigError` with every fault's path below `path`, what is wrong there and what is near it."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_fault(model, item, path) for item in error.errors(include_url=False)]
        first = ".".join(filter(None, [path, *map(str, error.errors()[0]["loc"])]))
        where = f"{source}: " if source else ""
        raise ConfigError(where + "; ".join(faults), first, faults) from error


def _fault(model: type[BaseModel], item: Any, path: str) -> str:
    where = ".".join(filter(None, [path, *map(str, item["loc"])])) or "pipeline"
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(item["loc"][-1]), _names(model, item["loc"]), 1)
        return f"{where}: unknown option" + (f"; did you mean {near[0]!r}?" if near else "")
    got = f" (got {item['input']!r:.80})" if item["type"] not in {"missing", "value_error"} else ""
    return f"{where}: {item['msg'].removeprefix('Value error, ')}{got}"


def _names(model: type[BaseModel], loc: Sequence[Any]) -> list[str]:
    """Option names valid beside the last element of `loc`."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _deep_copy(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _deep_copy(v) if isinstance(v, Mapping) else v for k, v in data.items()}


def _parse_toml(text: str, source: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}") from error
