"""The rules of the role for the samplers that search, by k2core's own kit."""

from __future__ import annotations

from typing import Any

import pytest
from k2core_sampler.beam import Beam
from k2core_sampler.particle import Particle
from k2core_sampler.refine import Refine
from k2core_sampler.tournament import Tournament

from k2core import Plugin
from k2core.testing import assert_conforms


@pytest.mark.parametrize(
    ("plugin", "config"),
    [
        (Tournament, {"n": 5}),
        (Tournament, {"n": 5, "format": "swiss", "group_by": "math", "batch": "all"}),
        (Beam, {"width": 2, "expand": 2}),
        (Beam, {"width": 2, "expand": 2, "trees": 2, "step_tokens": 4, "max_steps": 4, "step_stop": "", "prefix": "prompt"}),
        (Particle, {"n": 3}),
        (Particle, {"n": 4, "step_tokens": 4, "max_steps": 4, "step_stop": "", "ess": 1.0}),
        (Refine, {"rounds": 1}),
        (Refine, {"n": 2, "rounds": 2, "verifier": "math"}),
    ],
)
def test_conforms(plugin: type[Plugin], config: dict[str, Any]) -> None:
    assert_conforms("sampler", plugin, config)
