"""Decode with whichever of several decoders is healthy, cheapest or fastest."""

from .config import RouteConfig
from .decoder import Route
from .events import BreakerMoved, Routed

__all__ = ["BreakerMoved", "Route", "RouteConfig", "Routed"]
