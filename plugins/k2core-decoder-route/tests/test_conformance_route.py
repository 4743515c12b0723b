"""The rules of the role, by k2core's own kit."""

from __future__ import annotations

import pytest
from k2core_decoder_route import Route

from k2core.testing import assert_conforms


@pytest.mark.parametrize("options", [{}, {"strategy": "fastest", "hedge_after": 1.0}, {"strategy": "cheapest"}])
def test_the_route_conforms(options: dict[str, object]) -> None:
    skip = {"around_keeps_the_result": "it answers the calls to itself, on purpose"}
    assert_conforms("decoder", Route, {"decoders": ["one", "two"], **options}, skip=skip)
