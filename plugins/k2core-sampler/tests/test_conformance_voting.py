"""The rules of the role, by k2core's own kit, for the samplers that vote."""

from __future__ import annotations

from typing import Any

import pytest
from k2core_sampler.adaptive import Adaptive
from k2core_sampler.majority import Majority

from k2core import Plugin
from k2core.testing import assert_conforms

FAKE = {"verifier": "fake"}


@pytest.mark.parametrize(
    ("plugin", "config"),
    [
        (Majority, FAKE),
        (Majority, {**FAKE, "n": 4, "batch": "all"}),
        (Majority, {**FAKE, "weight_by": "logprob"}),
        (Adaptive, FAKE),
        (Adaptive, {**FAKE, "rule": "learnt", "warm_up": 1}),
        (Adaptive, {**FAKE, "order": "launch", "spare": 1, "n": 5}),
    ],
)
def test_conforms(plugin: type[Plugin], config: dict[str, Any]) -> None:
    assert_conforms("sampler", plugin, config)
