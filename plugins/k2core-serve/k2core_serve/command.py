"""The command `k2 serve`: pipelines behind one OpenAI-compatible address."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

if TYPE_CHECKING:
    from .settings import Settings


class ServeConfig(PluginConfig):
    """There is nothing to set."""


class Serve(Plugin):
    """Serve pipelines over HTTP."""

    config: ServeConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = "Serve pipelines at an OpenAI-compatible address, with a page to watch them. SIGTERM ends it in order."
        parser = app.add_parser("serve", help="serve pipelines at an OpenAI-compatible address", description=about)
        parser.add_argument(
            "--config",
            metavar="[NAME=]FILE",
            action="append",
            default=[],
            help="a pipeline to serve, as the model NAME or as the file is called; repeatable; by default the embedded one",
        )
        parser.add_argument("--serve", metavar="FILE", help="everything about the server, as TOML; the other options win over it")
        parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (default: 8000)")
        parser.add_argument("--key-env", metavar="NAME", help="environment variable with a key that clients must send")
        parser.add_argument("--drain", type=float, metavar="SECONDS", help="time to finish after SIGTERM (default: 30)")
        parser.add_argument("--log", default="info", help="level of the log on standard error (default: info)")
        parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Serve until told to stop; the exit status is 0 after an orderly end."""
    from k2core.toolkit.logs import configure

    from .application import application
    from .server import serve

    settings = settings_of(args)
    configure(args.log)
    app = application(settings)
    if not settings.keys:
        print("k2: no keys are configured: whoever can connect is served", file=sys.stderr)
    return serve(app, settings)


def settings_of(args: argparse.Namespace) -> Settings:
    """The file's, with the command line's options on top. Raises `ConfigError`."""
    from pathlib import Path

    from k2core.config import read_tables, validated

    from .settings import Settings, located, named_files

    flags: dict[str, Any] = {"host": args.host, "port": args.port, "drain_seconds": args.drain}
    data: dict[str, Any] = dict(read_tables(args.serve)) if args.serve else {}
    folder = Path(args.serve).expanduser().resolve().parent if args.serve else Path.cwd()
    data |= {name: value for name, value in flags.items() if value is not None}
    if args.key_env:
        data["keys"] = {**data.get("keys", {}), "default": {"env": args.key_env}}
    if args.config:
        named = {name: table.model_dump(exclude_defaults=True) for name, table in named_files(args.config).items()}
        data["models"] = {**data.get("models", {}), **named}
    return located(validated(Settings, data, source=args.serve or "the command line"), folder)
