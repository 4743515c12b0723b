"""Samplers for k2core: one candidate, or N of them concurrently."""

from .prompt import INSTRUCTIONS, Example, solver_messages
from .samplers import BestOfN, BestOfNConfig, SamplingConfig, Single

__all__ = ["INSTRUCTIONS", "BestOfN", "BestOfNConfig", "Example", "SamplingConfig", "Single", "solver_messages"]
