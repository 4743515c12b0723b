"""The hook `certified`: no run without a certificate for the decoders as they are configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from k2core import Call, DecoderName, Event, K2Error, Plugin, PluginConfig, Run, hookimpl
from k2core.events import RunEnded, RunStarted

from .identity import digest, model_of
from .records import Certificate, Identity


class CertifiedConfig(PluginConfig):
    certificates: tuple[str, ...] = ("certificate.json",)
    """Files that `k2 certify` has written."""
    decoders: tuple[DecoderName, ...] = ("solver",)
    """Decoders that need one which says lossless."""


class Certified(Plugin):
    """Refuse runs whose decoders have no certificate that fits."""

    config: CertifiedConfig
    rank = 10

    def __init__(self, config: CertifiedConfig | None = None) -> None:
        super().__init__(config)
        self._certificates: list[Certificate] = []
        self._started: dict[str, RunStarted] = {}
        self._checked: dict[str, str] = {}

    @hookimpl
    async def k2_start(self) -> None:
        self._certificates = await asyncio.to_thread(lambda: [read(path) for path in self.config.certificates])
        self._checked.clear()

    @hookimpl
    async def k2_stop(self) -> None:
        self._started.clear()

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._started[event.run_id] = event
        elif isinstance(event, RunEnded):
            self._started.pop(event.run_id, None)

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        started = self._started.get(run.id)
        return self._admit(started) if started else None

    @asynccontextmanager
    async def _admit(self, started: RunStarted) -> AsyncIterator[None]:
        """Raises `K2Error` before the first call of a run."""
        for name in self.config.decoders:
            table, plugin = started.config["decoders"][name], started.plugins.get(f"decoders.{name}", "")
            key = digest(table, plugin)
            if key not in self._checked:
                self._checked[key] = await asyncio.to_thread(missing, self._certificates, name, table, plugin)
            if self._checked[key]:
                raise K2Error(f"{self.path}: {self._checked[key]}")
        self._started.pop(started.run_id, None)
        yield


def read(path: str) -> Certificate:
    """A certificate's file. Raises `ValueError` where it is none."""
    try:
        return Certificate.model_validate_json(Path(path).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"there is no certificate {path}; {_how('NAME')} --out {path}") from error
    except ValidationError as error:
        raise ValueError(f"{path} is no certificate of this version: {error.errors()[0]['msg']}; {_how('NAME')}") from error


def missing(certificates: list[Certificate], name: str, table: Mapping[str, Any], plugin: str) -> str:
    """Why no certificate covers the decoder; empty when one does. Reads the model's file to hash it."""
    model = model_of(table)
    wrong = [_difference(one, table, plugin, model.sha256) for one in certificates]
    if "" in wrong:
        return ""
    return f"no certificate covers decoders.{name}: {' / '.join(wrong) or 'none is given'}; {_how(name)}"


def _difference(one: Certificate, table: Mapping[str, Any], plugin: str, sha256: str) -> str:
    found: Identity = one.identity
    if found.plugin != table["use"]:
        return f"one is for the plugin {found.plugin!r}, not {table['use']!r}"
    if found.distribution != plugin:
        return f"one is for {found.distribution or 'a plugin in memory'}, here is {plugin or 'a plugin in memory'}"
    options = {key: value for key, value in table.items() if key != "use"}
    names = sorted(key for key in {*found.options, *options} if found.options.get(key) != options.get(key))
    if names:
        return "; ".join(f"{key} is {options.get(key)!r}, certified is {found.options.get(key)!r}" for key in names)
    if found.digest != digest(table, plugin):
        return "one has been changed: its digest does not fit its options"
    if found.model.sha256 != sha256:
        return "the model's file is another one than that certified"
    return "" if one.verdict == "lossless" else f"one says {one.verdict}: {'; '.join(one.reasons)}"


def _how(name: str) -> str:
    return f"make one with: k2 certify --config FILE --decoder {name}"
