"""What `serve.toml` may say. No option holds a key: each names an environment variable or a file that does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from k2core.config import read_tables, validated
from k2core.errors import ConfigError

from .store.options import StoreOptions

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


Effort = Annotated[str, Field(pattern="^(none|minimal|low|medium|high|xhigh|max)$")]
"""What OpenAI's clients know as `reasoning_effort`."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelTable(_Table):
    """A pipeline that is served as a model."""

    config: str = ""
    """Its file, TOML or YAML, relative to the file that says so; empty for the embedded pipeline."""
    set: tuple[str, ...] = ()
    """Overrides such as `sampler.n=5`."""
    presets: Mapping[Effort, tuple[str, ...]] = {}
    """Further overrides by the `reasoning_effort` that a request may ask for; what is configured alike is shared."""
    commit: Literal["auto", "decided"] = "auto"
    """When answer tokens are sent: `auto` at once where only one candidate can be made and nothing could veto it, else, and
    under `decided` always, after the decision."""
    answer_format: Literal["boxed", "tag", "choice", "number", "text", "code", "json"] = "boxed"
    """Of every problem that is asked of it; see `Problem.answer_format`."""
    domain: str = "general"
    """The same for `Problem.domain`."""


class KeyTable(_Table):
    """Who may ask, and how much."""

    env: str = ""
    """Environment variable that holds the key."""
    file: str = ""
    """Or a file whose first line is the key."""
    admin: bool = False
    """May use `/admin`."""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """Who waits is served in this order, 0 first."""
    models: tuple[str, ...] = ()
    """The models that it may ask; empty for all."""
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    """A minute's worth may come at once."""
    tokens_per_minute: Annotated[float, Field(gt=0)] | None = None
    """Prompt and completion tokens of all roles, counted when they are spent: a request may overdraw, the next one waits."""
    tokens_per_day: Annotated[float, Field(gt=0)] | None = None
    """The same over a day."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.env) == bool(self.file):
            raise ValueError("name the key's environment variable in `env`, or its file in `file`")
        return self


class LimitsTable(_Table):
    """What protects the server from its clients."""

    running: Annotated[int, Field(ge=1)] = 64
    """Requests at work at the same time."""
    queued: Annotated[int, Field(ge=0)] = 256
    """Requests that wait for that; more are refused with 503."""
    queue_seconds: Annotated[float, Field(gt=0)] = 60
    """How long one waits at most."""
    body_bytes: Annotated[int, Field(ge=1024)] = 4 * 2**20
    """Largest request."""
    body_seconds: Annotated[float, Field(gt=0)] = 20
    """Time for a client to send it."""
    head_seconds: Annotated[float, Field(gt=0)] = 10
    """Time for a client to send a request's headers."""
    stall_seconds: Annotated[float, Field(gt=0)] = 30
    """A client that takes nothing for so long is cut off, and its run cancelled."""
    outbox_bytes: Annotated[int, Field(ge=4096)] = 2**20
    """So much text may wait for a slow client."""
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 15
    """Silence in a stream after which a comment is sent, so that nothing in between closes it."""
    n: Annotated[int, Field(ge=1)] = 8
    """Largest `n` of a request."""
    connections: Annotated[int, Field(ge=1)] = 4096
    """Open connections; further ones are answered 503 by the HTTP server."""


class ShadowTable(_Table):
    """A candidate pipeline that is asked a share of what a model is asked, beside it."""

    config: str = ""
    """Its file."""
    set: tuple[str, ...] = ()
    """Overrides."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Part of the requests."""
    running: Annotated[int, Field(ge=1)] = 2
    """Runs at the same time; what would be more is skipped and counted."""


class Settings(_Table):
    """Everything of a server."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes a free one; the address is printed."""
    models: Mapping[str, ModelTable] = {}
    """By the name that a request asks for; none serves the embedded pipeline as `k2core`."""
    keys: Mapping[str, KeyTable] = {}
    """By a name that appears in logs and metrics."""
    open: bool = False
    """Serve whoever can connect without a key although it is not only this machine, as behind a gateway that checks."""
    limits: LimitsTable = LimitsTable()
    shadow: Mapping[str, ShadowTable] = {}
    """By the name of the model that is shadowed."""
    watch_seconds: Annotated[float, Field(ge=0)] = 0.5
    """How often pipeline files are looked at; 0 never."""
    drain_seconds: Annotated[float, Field(ge=0)] = 30
    """After SIGTERM requests in flight may take so long to finish; then they are cancelled."""
    error_details: bool | None = None
    """Tell clients the whole text of a failure, which may name addresses of back ends; by default only where no keys are."""
    store: str = ""
    """SQLite file in which finished requests are kept; empty keeps none."""
    store_options: StoreOptions = StoreOptions()
    """How long, and how safely."""
    reports: str = ""
    """Folder with reports of `k2 eval report`, shown on the page."""
    page: bool = True
    """Serve the page at `/`."""
    otel: bool = False
    """Trace requests with OpenTelemetry; needs the extra `otel`, and is set up by its own environment variables."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in self.models:
            if not NAME.fullmatch(name):
                raise ValueError(f"models.{name}: a model's name has letters, digits and . _ : / -, and begins with no sign")
        for name in self.shadow:
            if name not in self.served:
                raise ValueError(f"shadow.{name} shadows no model; there are: {', '.join(self.served)}")
        if not self.keys and not self.open and self.host not in LOOPBACK:
            raise ValueError(
                f"{self.host} can be reached from elsewhere: configure [keys.NAME], or bind to 127.0.0.1, "
                "or set open = true where something in front checks who asks"
            )
        return self

    @property
    def served(self) -> Mapping[str, ModelTable]:
        return self.models or {"k2core": ModelTable()}

    @property
    def details(self) -> bool:
        return not self.keys and not self.open if self.error_details is None else self.error_details


def load(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a file, paths in it taken relative to it. Raises `ConfigError` naming every wrong place."""
    data = {**read_tables(path), **(overrides or {})}
    folder = Path(path).expanduser().resolve().parent
    return located(validated(Settings, data, source=str(path)), folder)


def located(settings: Settings, folder: Path) -> Settings:
    """With the files of pipelines, keys and the store below `folder` unless they are absolute."""

    def at(name: str) -> str:
        return str(folder / Path(name).expanduser()) if name else ""

    models = {name: m.model_copy(update={"config": at(m.config)}) for name, m in settings.models.items()}
    shadow = {name: s.model_copy(update={"config": at(s.config)}) for name, s in settings.shadow.items()}
    keys = {name: k.model_copy(update={"file": at(k.file)}) for name, k in settings.keys.items()}
    files = {"store": at(settings.store), "reports": at(settings.reports)}
    return settings.model_copy(update={"models": models, "shadow": shadow, "keys": keys, **files})


def named_files(pairs: Sequence[str]) -> dict[str, ModelTable]:
    """Models by `NAME=FILE`, or by `FILE`, whose name without its ending is the model's. Raises `ConfigError`."""
    found: dict[str, ModelTable] = {}
    for pair in pairs:
        name, sep, file = pair.partition("=")
        if not sep:
            name, file = Path(pair).stem, pair
        if name in found:
            raise ConfigError(f"two pipelines would be served as {name!r}; name them: --config NAME=FILE", "--config")
        found[name] = ModelTable(config=str(Path(file).expanduser().resolve()))
    return found
