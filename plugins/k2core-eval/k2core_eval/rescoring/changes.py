"""The pipeline and the graders of a rescoring, and what of them cannot be changed for candidates that are there already."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict

from k2core.config import PipelineConfig, VerifierTable, overridden
from k2core.errors import ConfigError
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.registry import Registry, effective
from k2core.types import Completion, DecodeRequest

from ..records import Manifest, TaskRun
from ..running.manifest import differences
from .serving import WITNESS, Stage, decoder_of, live_decoder, witness_of
from .tasks import source_of

DRAWN = ("decoder", "system", "instructions", "examples", "plan_in", "max_tokens", "temperature", "top_p", "stop")
"""Options of samplers that a stored candidate was drawn with."""
_KERNEL = {"use", *VerifierTable.model_fields}
_FORBIDDEN = {
    "planner": "the stored candidates were drawn after the recorded plans",
    "plan": "the stored candidates were drawn after the recorded plans",
    "limits": "stored candidates are served without waiting, so a time limit would mean nothing",
    "seed": "the stored candidates were drawn with their own seeds",
    "trainer": "nothing is trained here",
    "tasks": "the problems are those of the folder",
}
DROPPED_HOOKS = {"trace", "progress"}
SOURCE = "the rescored pipeline"
ADVICE = "draw new ones with k2 eval run"


class AnyConfig(PluginConfig):
    """Whatever options there were."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class Absent(Plugin):
    """Stands for a decoder that is not installed here; its candidates are stored, so it is not needed."""

    config: AnyConfig
    calls_tools: ClassVar[bool] = True

    @hookimpl
    async def k2_decode(self, request: DecodeRequest) -> Sequence[Completion]:
        raise ValueError("this decoder is not installed here")


@dataclass(frozen=True)
class Changed:
    """What the rescoring runs with, and what its manifest says of that."""

    config: PipelineConfig
    """The pipeline as the manifest tells it, with the decoders that have drawn the candidates."""
    registry: Registry
    """That has all its plugins."""
    served: PipelineConfig
    """The same with decoders that serve what is stored."""
    serving: Registry
    grading: Mapping[str, Mapping[str, Any]]
    wanted: int
    """How many candidates the sampler draws at most: its option `n`, else one."""
    clockless: Mapping[str, Any]
    """Options of the sampler that were set as no time passes here."""


def changed(
    manifest: Manifest,
    overrides: Sequence[str],
    without: Sequence[str],
    stage: Stage,
    new_registry: Callable[[], Registry] = Registry,
    *,
    allow_calls: bool = False,
    plan_each: bool = False,
) -> Changed:
    """Raises `ConfigError` with the option and the reason for a change that stored candidates do not allow.

    With `plan_each` every candidate asks for the plan that it was drawn under.
    """
    old, registry, serving = dict(manifest.config), new_registry(), new_registry()
    data = _edited(old, overrides, without, registry)
    _refuse_tables(old, data, allow_calls=allow_calls)
    if plan_each:
        data["plan"] = "sample"
    _stand_in(data, registry, allow_calls=allow_calls)
    config = PipelineConfig.from_dict(data, source=SOURCE)
    sampler = effective(config, registry.assemble(config))["sampler"]
    _refuse_drawn(old.get("sampler", {}), sampler)
    if still := _clockless(sampler):
        data["sampler"] = {**data["sampler"], **still}
        config = PipelineConfig.from_dict(data, source=SOURCE)
    served = PipelineConfig.from_dict(_dressed(data, stage, registry, serving, allow_calls=allow_calls), source=SOURCE)
    return Changed(config, registry, served, serving, grading_of(manifest, overrides), int(sampler.get("n", 1)), still)


def _clockless(sampler: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler must be told that goes by the clock on the wall, which says nothing of stored completions."""
    still: dict[str, Any] = {"spare": 0} if sampler.get("spare") == "auto" else {}
    return {**still, "hedge": 0.0} if sampler.get("hedge") else still


def _stand_in(data: Mapping[str, Any], registry: Registry, *, allow_calls: bool) -> None:
    for use in {table["use"] for table in data.get("decoders", {}).values()}:
        if not allow_calls and use not in registry.names("decoder"):
            registry.add("decoder", use, Absent)


def _edited(old: Mapping[str, Any], overrides: Sequence[str], without: Sequence[str], registry: Registry) -> dict[str, Any]:
    """The recorded configuration with the changes. Another `use` keeps those options of the old one that it has, too."""
    data, mine = copy.deepcopy(dict(old)), [override for override in overrides if not override.startswith("grading.")]
    wanted = overridden({}, [override for override in mine if override.partition("=")[2].strip()])
    _adapt(data, wanted, "sampler", "sampler", registry)
    for name in wanted.get("verifiers", {}):
        _adapt(data.get("verifiers", {}), wanted["verifiers"], name, "verifier", registry)
    data = overridden(data, mine)
    for path in without:
        _remove(data, path)
    return data


def _adapt(old: dict[str, Any], new: Mapping[str, Any], name: str, role: str, registry: Registry) -> None:
    use = new.get(name, {}).get("use") if isinstance(new.get(name), Mapping) else None
    if use and name in old and old[name].get("use") != use:
        known = {*registry.load(role, use).config_type().model_fields, *(_KERNEL if role == "verifier" else ())}
        old[name] = {option: value for option, value in old[name].items() if option in known}


def _remove(data: dict[str, Any], path: str) -> None:
    table: Any = data
    *parts, last = path.split(".")
    for part in parts:
        table = table.get(part) if isinstance(table, dict) else None
    if not isinstance(table, dict) or last not in table:
        raise ConfigError("there is no such table or option to leave out", path)
    del table[last]


def _refuse_tables(old: Mapping[str, Any], new: Mapping[str, Any], *, allow_calls: bool) -> None:
    for name, reason in _FORBIDDEN.items():
        for path, before, after in differences({name: old.get(name)}, {name: new.get(name)}):
            raise ConfigError(f"cannot be changed from {_told(before)} to {_told(after)}: {reason}; {ADVICE}", path)
    mine, theirs = old.get("decoders", {}), new.get("decoders", {})
    for path, _, _ in differences({"decoders": mine}, {"decoders": {name: theirs.get(name) for name in mine}}):
        raise ConfigError(f"cannot be changed: the stored candidates were not drawn so; {ADVICE}", path)
    added = sorted(set(theirs) - set(mine))
    if added and not allow_calls:
        raise ConfigError(
            "a new decoder has nothing stored; --allow-calls lets it be asked, which costs what it costs", f"decoders.{added[0]}"
        )


def _refuse_drawn(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for option in DRAWN:
        if option in old and option in new and old[option] != new[option]:
            raise ConfigError(
                f"the stored candidates were drawn with {_told(old[option])}, and none with {_told(new[option])}; {ADVICE}",
                f"sampler.{option}",
            )


def _told(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _dressed(data: Mapping[str, Any], stage: Stage, registry: Registry, serving: Registry, *, allow_calls: bool) -> dict[str, Any]:
    """The pipeline as it is run: decoders that serve what is stored, no clocks, no watchers."""
    dressed = {name: value for name, value in data.items() if name not in {"trainer", "tasks", "limits"}}
    decoders = data.get("decoders", {})
    dressed["decoders"] = {name: dict(table) if allow_calls else {"use": table["use"]} for name, table in decoders.items()}
    for use in {table["use"] for table in decoders.values()}:
        served = live_decoder(registry.load("decoder", use), stage) if allow_calls else decoder_of(stage)
        serving.add("decoder", use, served)
    dressed["retry"] = {**data.get("retry", {}), "base": 0}
    hooks = {name: table for name, table in data.get("hooks", {}).items() if table["use"] not in DROPPED_HOOKS}
    serving.add("hook", WITNESS, witness_of(stage))
    return {**dressed, "hooks": {**hooks, WITNESS: {"use": WITNESS}}}


def grading_of(manifest: Manifest, overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The tables of `[grading]` that made the graders of that evaluation, with the changes. Raises `ConfigError`."""
    tables: dict[str, dict[str, Any]] = {}
    for task, made in manifest.grading.items():
        tables[task] = dict(next(iter(made["verifiers"].values())))
        if made.get("decoders"):
            tables.setdefault("decoders", {}).update(made["decoders"])
    for override in overrides:
        if override.startswith("grading."):
            name, option = _grader_named(manifest, override.removeprefix("grading."))
            wanted = overridden({}, [option])
            for task in [name] if name == "decoders" else [t.name for t in manifest.tasks if name in _names(t)]:
                tables[task] = _overlaid(tables.get(task, {}), wanted)
    return tables


def _names(task: TaskRun) -> tuple[str, ...]:
    """What a grader's table may be called: as its task, the task's data set, or its source."""
    return task.name, task.card.name, source_of(task.name)


def _grader_named(manifest: Manifest, text: str) -> tuple[str, str]:
    """The name of a grader's table, which may hold dots, and the rest of an override."""
    known = sorted({"decoders", *(name for task in manifest.tasks for name in _names(task))}, key=len, reverse=True)
    for name in known:
        if text.startswith(name + "."):
            return name, text[len(name) + 1 :]
    asked = text.partition("=")[0].rpartition(".")[0]
    raise ConfigError(f"no task of this evaluation has that name; there are: {', '.join(sorted(known))}", f"grading.{asked}")


def _overlaid(table: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options over the table; a table of another `use` has none of the old options."""
    kept = table if options.get("use", table.get("use")) == table.get("use") else {}
    return {**kept, **options}
