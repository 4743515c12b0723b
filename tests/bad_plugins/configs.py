"""Configurations, each wrong in one way, of planners that are right."""

import math
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, field_serializer

from k2core import Plan, Plugin, PluginConfig, hookimpl


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")


class LenientConfig(PluginConfig):
    model_config = ConfigDict(extra="ignore")


class AcceptsUnknownOptions(Planner):
    config: LenientConfig


class SecretConfig(PluginConfig):
    key: SecretStr = SecretStr("s3cret")
    """Key of the service."""


class WritesNoSecret(Planner):
    config: SecretConfig


class LossyConfig(PluginConfig):
    temperature: float = 0.75
    """Of sampling."""

    @field_serializer("temperature")
    def _rounded(self, value: float) -> float:
        return round(value, 1)


class Lossy(Planner):
    config: LossyConfig


class WrongDefaultConfig(PluginConfig):
    n: int = "three"  # type: ignore[assignment] # the fault
    """How many."""


class WrongDefault(Planner):
    config: WrongDefaultConfig


class InfiniteConfig(PluginConfig):
    steps: tuple[int | None, ...] = (1, None)
    """Sizes."""


class NullInAList(Planner):
    config: InfiniteConfig


class SilentConfig(PluginConfig):
    depth: int = 3


class Undocumented(Planner):
    config: SilentConfig


class DemandingConfig(PluginConfig):
    depth: int
    """Levels of the plan."""


class NoDefault(Planner):
    config: DemandingConfig


class OpenConfig(PluginConfig):
    model_config = ConfigDict(frozen=False)
    depth: int = 3
    """Levels of the plan."""


class NotFrozen(Planner):
    config: OpenConfig


class PlainConfig(BaseModel):
    depth: int = 3


class NoPluginConfig(Planner):
    config: PlainConfig  # type: ignore[assignment] # the fault


class PatternConfig(PluginConfig):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    match: Any = math.pi
    """Anything goes."""
    pattern: re.Match[str] | None = None
    """No JSON type is like this."""


class NoSchema(Planner):
    config: PatternConfig


class PickyConfig(PluginConfig):
    depth: int
    """Levels; required, as nobody can guess it."""


class Picky(Plugin):
    """Nothing is wrong with it, once it is configured."""

    config: PickyConfig

    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add. " * self.config.depth)
