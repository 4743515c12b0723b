"""Samplers for k2core: how many candidates, drawn how, and which of them are worth their tokens."""

from .config import SamplingConfig
from .drawing import Drawing
from .prompt import INSTRUCTIONS, Example, solver_messages
from .samplers import BestOfN, BestOfNConfig, Single

__all__ = ["INSTRUCTIONS", "BestOfN", "BestOfNConfig", "Drawing", "Example", "SamplingConfig", "Single", "solver_messages"]
