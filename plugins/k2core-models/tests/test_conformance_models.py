"""The rules of the roles, by k2core's own kit."""

from __future__ import annotations

from k2core_models.command import Models

from k2core.testing import assert_conforms


def test_the_command_conforms() -> None:
    assert_conforms("command", Models)
