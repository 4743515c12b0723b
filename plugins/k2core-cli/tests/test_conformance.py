"""The commands obey the contract of plugins."""

from __future__ import annotations

import pytest
from k2core_cli.config import Config
from k2core_cli.doctor import Doctor
from k2core_cli.plugins import Plugins
from k2core_cli.think import Think

from k2core import Plugin
from k2core.testing import assert_conforms


@pytest.mark.parametrize("plugin", [Config, Doctor, Plugins, Think])
def test_it_conforms(plugin: type[Plugin]) -> None:
    assert_conforms("command", plugin)
