"""`k2 models list|get|path [NAME]`, `k2 models export FOLDER`, `k2 models blend ONE OTHER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

from . import shipped
from .models import DEFAULT, KNOWN, cache_folders, cached, is_path, known


class ModelsConfig(PluginConfig):
    """No options."""


class Models(Plugin):
    """Lists, fetches and locates the models of the local decoders."""

    config: ModelsConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        parser = app.add_parser("models", help="models of the local decoders: list, get, path, export, blend")
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="known names, sizes, licences, and whether they are here").set_defaults(run=_list)
        for name, run, text in (
            ("get", _get, "fetch a model, unless it is here"),
            ("path", _path, "print where a model's file is, or the folder of what a distribution brings along"),
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
            "--base",
            default="",
            metavar="NAME",
            help=f"model adapted, or whose tokenizer it has (default: {DEFAULT}; an adapter exported to a folder keeps its own)",
        )
        export.add_argument("--type", default="f16", choices=("f16", "f32", "q8_0"), help="of its numbers (default: f16)")
        export.set_defaults(run=_export)
        blend = actions.add_parser("blend", help="make the LoRA adapter between one and what was trained on from it")
        blend.add_argument("one", type=Path, metavar="ONE", help="an adapter as peft saves it")
        blend.add_argument("other", type=Path, metavar="OTHER", help="one that was trained on from it")
        blend.add_argument("--share", required=True, type=float, metavar="S", help="of OTHER, 0..1")
        blend.add_argument("--out", required=True, type=Path, metavar="FOLDER")
        blend.set_defaults(run=_blend)


def _list(options: argparse.Namespace) -> int:
    for model in KNOWN.values():
        path = cached(model)
        print(f"{model.name}  {model.size / 1e6:.0f} MB  {model.licence}  {'cached' if path else 'not cached'}")
        print(f"    {model.about}\n    {path or cache_folders()[0] / model.file}")
    for name in sorted(shipped.names()):
        try:
            where = str(shipped.folder(name))
        except Exception as error:  # another's distribution is broken, or does not hold it
            where = f"cannot be used: {error}"
        print(f"{name}  comes with {_bringer(name)}\n    {where}")
    return 0


def _bringer(name: str) -> str:
    """The distribution that a shipped model or adapter comes with."""
    dist = shipped.names()[name].dist
    return dist.name if dist else "an installed distribution"


def _get(options: argparse.Namespace) -> int:
    from .fetch import fetch

    try:
        wanted = shipped.unfolded(options.name)
        whole = None if options.name in KNOWN or wanted.adapters else shipped.folder(options.name)
        path = whole or fetch(known(wanted.model))
    except (OSError, ValueError) as error:
        return _fail(error)
    if whole:
        print(f"k2 models: {options.name} comes with {_bringer(options.name)}, there is nothing to fetch", file=sys.stderr)
    print(path)
    return 0


def _path(options: argparse.Namespace) -> int:
    """Where the file or folder is; where it would be, and status 1, when it is not here; status 2 for a name that nobody knows."""
    try:
        found, wanted = shipped.folder(options.name), shipped.unfolded(options.name)
        path = _place(wanted.model) if wanted.adapters or not found else found
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    if path is None or not path.exists():
        where = path or cache_folders()[0] / known(wanted.model).file
        return _fail(FileNotFoundError(f"{wanted.model} is not here, it would be {where}; run `k2 models get {options.name}`"))
    print(found or path)
    return 0


def _place(model: str) -> Path | None:
    return Path(model).expanduser().absolute() if is_path(model) else cached(known(model))


def _export(options: argparse.Namespace) -> int:
    from .export.command import run

    try:
        run(options.source, options.out, options.base, options.type)
    except (OSError, ValueError, ImportError) as error:
        return _fail(error)
    print(options.out)
    return 0


def _blend(options: argparse.Namespace) -> int:
    from .export.blending import blend

    try:
        blend(options.one, options.other, options.share, options.out)
    except (OSError, ValueError) as error:
        return _fail(error)
    print(options.out)
    return 0


def _fail(error: Exception, status: int = 1) -> int:
    print(f"k2 models: {error}", file=sys.stderr)
    return status
