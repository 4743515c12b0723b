"""The dispatcher `k2`: commands are plugins, loaded one at a time, and their errors become exit statuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_dirs import make_distribution, with_path

COMMAND = """
import argparse, sys
from k2core import ConfigError, K2Error, Plugin, PluginConfig, hookimpl

class C(PluginConfig):
    pass

class Hello(Plugin):
    'Say hello to somebody.'

    config: C

    @hookimpl
    def k2_commands(self, app):
        parser = app.add_parser("hello", help="say hello")
        parser.add_argument("name")
        parser.set_defaults(run=self.run)

    def run(self, args: argparse.Namespace) -> int:
        if args.name == "config":
            raise ConfigError("too small", "sampler.n")
        if args.name == "error":
            raise K2Error("out of luck")
        if args.name == "interrupt":
            raise KeyboardInterrupt
        print("h\\u00e9llo", args.name)
        return 7
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    points = {"k2core.command.v1": {"hello": "acme_hello:Hello", "broken": "acme_missing:X"}}
    return make_distribution(tmp_path, "acme-hello", "1.0", points, {"acme_hello.py": COMMAND}, summary="Says hello.")


def k2(root: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "k2core", *arguments]
    return subprocess.run(command, env=with_path(root) | env, capture_output=True, text=True, errors="replace", timeout=60)


def test_a_command_gets_its_arguments_and_gives_the_exit_status(root: Path) -> None:
    done = k2(root, "--log", "error", "hello", "world")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (7, "héllo world", "")


def test_a_locale_without_utf8_is_no_traceback(root: Path) -> None:
    done = k2(root, "hello", "world", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stdout.strip()) == (7, "h\\xe9llo world")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["hello", "config"], 2, "k2: error: sampler.n: too small"),
        (["hello", "error"], 1, "k2: error: out of luck"),
        (["hello", "interrupt"], 130, ""),
        (["hello"], 2, "the following arguments are required: name"),
        (["helo"], 2, "no command plugin is named 'helo'; did you mean 'hello'"),
        (["broken"], 2, "command 'broken' of acme-hello 1.0 cannot be imported: ModuleNotFoundError"),
        (["--log", "loud", "hello", "x"], 2, "invalid choice: 'loud'"),
        (["--nope"], 2, "usage: k2"),
    ],
)
def test_errors_are_one_line_and_a_status(root: Path, arguments: list[str], status: int, message: str) -> None:
    done = k2(root, *arguments)
    assert done.returncode == status
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_help_and_version_import_no_command(root: Path) -> None:
    done = k2(root, "--help")
    assert done.returncode == 0
    assert re.search(r"hello +Say hello to somebody\.", done.stdout)
    assert re.search(r"broken +from acme-hello: Says hello\.", done.stdout)
    assert k2(root, "--version").stdout.startswith("k2core 0.")
    assert "show this help" in k2(root, "hello", "--help").stdout
