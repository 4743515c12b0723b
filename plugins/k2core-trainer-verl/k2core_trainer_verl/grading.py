"""The part of the pipeline that grades: its verifiers, and the decoders that they ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from k2core.config import validated
from k2core.errors import ConfigError
from k2core.registry import Registry


def grading_tables(effective: Mapping[str, Any], registry: Registry | None = None) -> dict[str, Any]:
    """A pipeline of verifiers only, as plain JSON types.

    :param effective: the whole pipeline, as `RunStarted.config` holds it.
    :raises ConfigError: the pipeline has no verifier.
    """
    verifiers: Mapping[str, Any] = effective.get("verifiers") or {}
    if not verifiers:
        raise ConfigError(
            "the pipeline has no verifier, so there would be no reward; add one, such as [verifiers.math]", "verifiers"
        )
    tables: dict[str, Any] = {"verifiers": verifiers}
    decoders: Mapping[str, Any] = effective.get("decoders") or {}
    asked = sorted(_asked(verifiers, registry or Registry()) & set(decoders))
    if asked:
        tables["decoders"] = {name: decoders[name] for name in asked}
        tables["sampler"] = {"use": "single", "decoder": asked[0]}  # never asked; a pipeline with decoders has one
        tables |= {name: effective[name] for name in ("retry",) if name in effective}
    return tables


def check_verifiers(by_domain: Mapping[str, str], effective: Mapping[str, Any], path: str) -> None:
    """Raises `ConfigError` where a domain is sent to a verifier that the pipeline does not have.

    :param by_domain: the option `reward.verifier`.
    :param effective: the whole pipeline.
    :param path: of the trainer.
    """
    verifiers: Mapping[str, Any] = effective.get("verifiers") or {}
    for domain, name in by_domain.items():
        if name not in verifiers:
            known = ", ".join(verifiers) or "none"
            raise ConfigError(f"the pipeline has no verifier {name!r}; [verifiers] has {known}", f"{path}.reward.verifier.{domain}")


def _asked(verifiers: Mapping[str, Any], registry: Registry) -> set[str]:
    """Names of the decoders that the verifiers' options name."""
    names: set[str] = set()
    for name, table in verifiers.items():
        own = {key: value for key, value in table.items() if key not in ("use", "weight", "veto", "when", "below")}
        kind = registry.load("verifier", table["use"]).config_type()
        names |= set(validated(kind, own, f"verifiers.{name}").named("decoders").values())
    return names


def grading_json(effective: Mapping[str, Any], registry: Registry | None = None) -> str:
    """The same as JSON, small enough to travel in verl's configuration to every node, and free of what Hydra would fill in."""
    return json.dumps(grading_tables(effective, registry), ensure_ascii=False, sort_keys=True).replace("${", "$\\u007b")
