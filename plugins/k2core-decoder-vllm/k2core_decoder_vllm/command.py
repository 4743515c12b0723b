"""`k2 engine vllm MODEL`: vLLM's server, started and supervised."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from k2core.errors import ConfigError
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

KEY = "VLLM_API_KEY"
"""Environment variable from which vLLM's server takes its key; an argument would be seen in the list of processes."""


class _Forwarding(argparse.ArgumentParser):
    """Takes what follows `--` as it stands, wherever the positional arguments are; argparse itself does so in some orders only."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        at = words.index("--") if "--" in words else len(words)
        found, rest = super().parse_known_args(words[:at], namespace)
        found.arguments = words[at + 1 :]
        return found, rest


class EngineConfig(PluginConfig):
    """No options."""


class EngineCommand(Plugin):
    """Starts an inference server and keeps it running."""

    config: EngineConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        parser = app.add_parser("engine", help="start an inference server and keep it running: vllm")
        engines = parser.add_subparsers(dest="engine", required=True, parser_class=_Forwarding)
        vllm = engines.add_parser(
            "vllm",
            help="vLLM's OpenAI server",
            usage="k2 engine vllm [OPTIONS] MODEL [-- ARGUMENTS OF VLLM'S SERVER]",
            description="Starts vLLM's OpenAI server, prints the pipeline to use it with, and keeps it running.",
        )
        vllm.add_argument("model", metavar="MODEL", help="folder in Hugging Face's form, or name on the hub")
        vllm.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine only)")
        vllm.add_argument("--port", type=int, default=0, help="port to listen at (default: a free one)")
        vllm.add_argument("--name", default="", help="model name of the API (default: MODEL)")
        vllm.add_argument("--api-key-env", default="", metavar="VARIABLE", help="variable that holds the key (default: a new key)")
        vllm.add_argument("--python", default=sys.executable, help="interpreter of the environment that has vLLM")
        vllm.add_argument("--start-timeout", type=float, default=900.0, metavar="SECONDS", help="until it must be healthy")
        vllm.add_argument("--restarts", type=int, default=5, help="most starts after crashes in a row")
        vllm.add_argument("--drain", type=float, default=30.0, metavar="SECONDS", help="to finish requests when it is ended")
        vllm.add_argument("--dry-run", action="store_true", help="print the command, and start nothing")
        vllm.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Exit status: 0 when ended by a signal, 1 when the server crashed too often, 2 when it cannot be started at all."""
    port = options.port or _free_port(options.host)
    command = command_of(options, port)
    if options.dry_run:
        print(shlex.join(command))
        return 0
    if options.python == sys.executable and importlib.util.find_spec("vllm") is None:
        from .arguments import ABSENT

        raise ConfigError(f"{ABSENT}; or name the interpreter of such an environment with --python", "engine.vllm")
    key, variable = _key(options.api_key_env)
    return asyncio.run(_supervise(options, command, port, key, variable))


def command_of(options: argparse.Namespace, port: int) -> list[str]:
    """The command line of the server; the key is not in it."""
    for argument in options.arguments:
        if argument.split("=")[0] in ("--api-key", "--host", "--port", "--model"):
            raise ConfigError(f"{argument.split('=')[0]} is for `k2 engine vllm` itself, before the --", "engine.vllm")
    name = ["--served-model-name", options.name] if options.name else []
    place = ["--host", options.host, "--port", str(port)]
    module = ["-m", "vllm.entrypoints.openai.api_server"]  # `vllm serve` fails where vLLM is installed under another name
    return [options.python, *module, "--model", options.model, *name, *place, *options.arguments]


def pipeline(base_url: str, model: str, variable: str) -> str:
    """A pipeline for k2core-decoder-openai, as TOML."""
    return (
        '[sampler]\nuse = "best-of-n"\nn = 3\n\n'
        f'[decoders.solver]\nuse = "openai"\nbase_url = {_quoted(base_url)}\nmodel = {_quoted(model)}\n'
        f'api_key_env = "{variable}"\ncontinue_last = "vllm"\ntoken_ids = true\n'
    )


async def _supervise(options: argparse.Namespace, command: Sequence[str], port: int, key: str, variable: str) -> int:
    from .owner import VARIABLE
    from .supervisor import Policy, Supervisor

    host = f"[{options.host}]" if ":" in options.host else options.host
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    url = f"http://{here}:{port}"

    def ready() -> None:
        if supervisor.starts == 1:
            given = "" if options.api_key_env else f"# export {variable}={key}\n"
            print(given + pipeline(f"{url}/v1", options.name or options.model, variable), flush=True)

    def tell(line: str) -> None:
        print(f"k2 engine: {line}", file=sys.stderr, flush=True)

    environment = {KEY: key, VARIABLE: str(os.getpid()), "VLLM_NO_USAGE_STATS": os.environ.get("VLLM_NO_USAGE_STATS", "1")}
    policy = Policy(start_timeout=options.start_timeout, restarts=options.restarts, drain=options.drain)
    supervisor = Supervisor(command, f"{url}/health", tell, environment=environment, policy=policy, ready=ready)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    tell(f"starting {shlex.join(command)}")
    return await supervisor.run()


def _key(variable: str) -> tuple[str, str]:
    """The key and the variable that a pipeline finds it in. Raises `ConfigError` when the one named is not set."""
    if not variable:
        return secrets.token_urlsafe(24), KEY
    if not os.environ.get(variable):
        raise ConfigError(f"the environment variable {variable} is not set; it must hold the key", "engine.vllm.api-key-env")
    return os.environ[variable], variable


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
