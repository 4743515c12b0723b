"""What all parts of a server share."""

from __future__ import annotations

from dataclasses import dataclass

from .admission.gate import Gate
from .pipelines.live import Pipelines
from .pipelines.serving import Serving
from .pipelines.shadow import Shadows
from .records import Recorder
from .settings import Settings
from .watching.metrics import Metrics


@dataclass
class Services:
    """One server's."""

    settings: Settings
    gate: Gate
    pipelines: Pipelines
    serving: Serving
    shadows: Shadows
    recorder: Recorder
    metrics: Metrics
    ready: bool = False
    """Every pipeline has started, and nothing asks the server to end."""

    @property
    def trouble(self) -> str:
        """Why requests are not recorded, if there is a store and it cannot be written."""
        return str(getattr(self.recorder, "trouble", ""))
