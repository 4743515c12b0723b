"""Named protocols: how a published evaluation was run, as options of any pipeline."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k2core.errors import ConfigError
from k2core.registry import Registry

from ..records import Manifest
from .configuration import applied, value_at


@dataclass(frozen=True)
class Preset:
    """Options of the pipeline by their paths, and how often each problem is run."""

    repeats: int
    options: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = {
    # the protocol of the K2 Think report, section 4: 16 independent runs, temperature 1.0, top-p 0.95, 64 k tokens
    "k2-think": Preset(
        16,
        {"sampler.temperature": 1.0, "sampler.top_p": 0.95, "sampler.max_tokens": 65536, "sampler.stop": ["</answer>"]},
    ),
    "greedy": Preset(1, {"sampler.temperature": 0.0}),
}


def preset(name: str) -> Preset:
    """Raises `ConfigError` with the names there are."""
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(PRESETS)}"
    raise ConfigError(f"there is no preset {name!r}; {hint}", "--preset")


def with_preset(
    data: Mapping[str, Any], name: str, overrides: Sequence[str], repeats: int | None, registry: Registry | None = None
) -> tuple[dict[str, Any], int, str]:
    """The pipeline's tables with the preset's options and over them the `overrides`; the repeats; and the preset's name with
    every departure from it. Raises `ConfigError` where the sampler has no such option."""
    chosen = preset(name)
    _check(chosen, data, overrides, registry or Registry())
    merged = applied(data, chosen.options)
    for override in overrides:
        merged = applied(merged, {}, [override])
    count = chosen.repeats if repeats is None else repeats
    departures = [f"{path} = {_plain(found)}" for path, due in chosen.options.items() if (found := value_at(merged, path)) != due]
    if count != chosen.repeats:
        departures.append(f"repeats = {count}")
    return merged, count, f"{name}, but {', '.join(departures)}" if departures else name


def departures(name: str, manifest: Manifest) -> list[str]:
    """In sentences, where an evaluation departs from the preset of that name. Raises `ConfigError` when there is none."""
    chosen, found = preset(name), list[str]()
    for path, due in chosen.options.items():
        if (there := value_at(manifest.config, path)) != due:
            found.append(f"{path} is {_plain(there)}; {name} has {_plain(due)}.")
    repeats = sorted({task.repeats for task in manifest.tasks} - {chosen.repeats})
    return found + [f"Problems are run {count} times; {name} runs them {chosen.repeats} times." for count in repeats]


def _check(chosen: Preset, data: Mapping[str, Any], overrides: Sequence[str], registry: Registry) -> None:
    use = value_at(applied(data, {}, overrides), "sampler.use") or "single"
    options = registry.load("sampler", use).config_type().model_fields
    for path in chosen.options:
        option = path.removeprefix("sampler.")
        if option not in options:
            raise ConfigError(f"the sampler {use!r} has no option {option!r}, which the preset sets; choose another sampler", path)


def _plain(value: Any) -> str:
    return "unset" if value is None else repr(value)
