"""The command `k2`: finds commands among the plugins and loads only the one that is asked for.

A command is an entry point `k2core.command.v1`, named like the command; a broken one cannot disturb `k2 --help` or another.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from k2core.spec import PROJECT, ROLE_VERSIONS

GROUP = f"{PROJECT}.command.v{ROLE_VERSIONS['command']}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a locale without UTF-8 must not end in a traceback
    parser = _parser()
    options = parser.parse_args(argv)
    if not options.command:
        parser.print_help()
        return 0
    return _guarded(options.log, [options.command, *options.arguments])


def _parser() -> argparse.ArgumentParser:
    commands = sorted((p.name, _summary(p)) for p in metadata.entry_points(group=GROUP))
    width = max((len(name) for name, _ in commands), default=0)
    listing = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in commands)
    parser = argparse.ArgumentParser(
        prog="k2",
        description="Reason with language models: plan, sample, verify, decide.",
        epilog=f"commands:\n{listing or '  none'}\n\n`k2 COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"k2core {metadata.version(PROJECT)}")
    levels = ["debug", "info", "warning", "error"]
    parser.add_argument("--log", metavar="LEVEL", choices=levels, help="log to stderr from this level up")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="the command's own")
    return parser


def _summary(point: metadata.EntryPoint) -> str:
    """First line of the command's docstring, read without importing anything, else its distribution's summary."""
    try:
        module, _, name = point.value.partition(":")
        classes = [node for node in ast.parse(_source(module)).body if isinstance(node, ast.ClassDef) and node.name == name]
        return (ast.get_docstring(classes[0]) or "").splitlines()[0]
    except (OSError, ImportError, SyntaxError, ValueError, IndexError, AttributeError):
        return f"from {point.dist.name}: {point.dist.metadata['Summary']}" if point.dist else point.value


def _source(module: str) -> bytes:
    """The source of a module, found as an import would find it, but without running its parent packages."""
    path, spec = None, None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), path)
        path = spec.submodule_search_locations if spec else None
    return Path(spec.origin or "").read_bytes() if spec else b""


def _guarded(log: str | None, arguments: Sequence[str]) -> int:
    from k2core.errors import ConfigError, K2Error, PluginIncompatible, PluginNotFound, explain
    from k2core.toolkit.logs import configure

    if log:
        configure(log)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; say nothing more
        return 1
    except OSError as error:  # such as a full disk behind stdout; plugins' own errors have passed a boundary
        print(f"k2: error: {explain(error)}", file=sys.stderr)
        return 1
    except K2Error as error:
        print(f"k2: error: {explain(error)}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError | PluginNotFound | PluginIncompatible) else 1


def _run(arguments: Sequence[str]) -> int:
    from k2core.errors import boundary
    from k2core.registry import Registry

    plugin = Registry().load("command", arguments[0])()
    parser = argparse.ArgumentParser(prog="k2")
    with boundary("command", arguments[0]):
        plugin.k2_commands(app=parser.add_subparsers(required=True))  # type: ignore[attr-defined] # load() has checked it
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    sys.stdout.flush()  # what cannot be written fails here, where it is told, and not at exit
    return status
