"""Speculation: drafters propose what comes next, the engine's pass decides, the pace sees to it that it pays.

Importing this module loads no torch; `speculation_for` in `.drafters` makes what the engine calls.
"""

from .config import SpeculationConfig
from .pace import Pace
from .records import Draft, Drafter, Step, View
from .speculation import Speculation

__all__ = ["Draft", "Drafter", "Pace", "Speculation", "SpeculationConfig", "Step", "View"]
