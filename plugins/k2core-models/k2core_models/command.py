"""`k2 models list|get|path [NAME]`, `k2 models export FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

from .models import KNOWN, cache_folders, cached, is_path, known

DEFAULT = next(iter(KNOWN))


class ModelsConfig(PluginConfig):
    """No options."""


class Models(Plugin):
    """Lists, fetches and locates the models of the local decoders."""

    config: ModelsConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        parser = app.add_parser("models", help="models of the local decoders: list, get, path, export")
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="known names, sizes, licences, and whether they are here").set_defaults(run=_list)
        for name, run, text in (
            ("get", _get, "fetch a model, unless it is here"),
            ("path", _path, "print where a model's file is"),
        ):
            action = actions.add_parser(name, help=text)
            action.add_argument("name", nargs="?", default=DEFAULT, metavar="NAME", help=f"default: {DEFAULT}")
            action.set_defaults(run=run)
        export = actions.add_parser("export", help="turn what was trained into GGUF: a LoRA adapter, or a whole Llama model")
        export.add_argument(
            "source", type=Path, metavar="FOLDER", help="an adapter as peft saves it, or a model as transformers does"
        )
        export.add_argument(
            "--out", required=True, type=Path, metavar="FILE.gguf", help="of an adapter also a folder: peft's format in 16 bits"
        )
        export.add_argument(
            "--base", default=DEFAULT, metavar="NAME", help=f"model adapted, or whose tokenizer it has (default: {DEFAULT})"
        )
        export.add_argument("--type", default="f16", choices=("f16", "f32", "q8_0"), help="of its numbers (default: f16)")
        export.set_defaults(run=_export)


def _list(options: argparse.Namespace) -> int:
    for model in KNOWN.values():
        path = cached(model)
        print(f"{model.name}  {model.size / 1e6:.0f} MB  {model.licence}  {'cached' if path else 'not cached'}")
        print(f"    {model.about}\n    {path or cache_folders()[0] / model.file}")
    return 0


def _get(options: argparse.Namespace) -> int:
    from .fetch import fetch

    try:
        path = fetch(known(options.name))
    except (OSError, ValueError) as error:
        return _fail(error)
    print(path)
    return 0


def _path(options: argparse.Namespace) -> int:
    """Where the file is; where it would be, and status 1, when it is not here."""
    try:
        path = Path(options.name).expanduser().absolute() if is_path(options.name) else cached(known(options.name))
    except ValueError as error:
        return _fail(error)
    if path is None or not path.is_file():
        wanted = path or cache_folders()[0] / known(options.name).file
        return _fail(FileNotFoundError(f"{options.name} is not here, it would be {wanted}; run `k2 models get {options.name}`"))
    print(path)
    return 0


def _export(options: argparse.Namespace) -> int:
    from .export.command import run

    try:
        run(options.source, options.out, options.base, options.type)
    except (OSError, ValueError, ImportError) as error:
        return _fail(error)
    print(options.out)
    return 0


def _fail(error: Exception) -> int:
    print(f"k2 models: {error}", file=sys.stderr)
    return 1
