"""The command `k2 new`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands
from k2core.spec import ROLE_VERSIONS


class NewConfig(PluginConfig):
    """There is nothing to set."""


class New(Plugin):
    """Write a plugin to start from: it installs, passes the conformance kit and can be published."""

    config: NewConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = (
            "Write the project of a plugin, small and complete: code, test, pyproject.toml, README and a pipeline that uses it. "
            "It works as it stands; change it into yours, and ask `k2 check` whether it keeps the rules of its role."
        )
        parser = app.add_parser("new", help="write a plugin to start from", description=about)
        parser.add_argument("role", metavar="ROLE", choices=list(ROLE_VERSIONS), help=f"one of {', '.join(ROLE_VERSIONS)}")
        parser.add_argument("name", metavar="NAME", help="what pipelines will call it, such as my-verifier")
        parser.add_argument("--dir", metavar="DIR", help="folder to write to, new or empty; default: k2core-NAME")
        parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Write the project; its folder goes to standard output, what to do next to standard error."""
    from .scaffold import plan, project, write

    names = plan(args.role, args.name)
    folder = Path(args.dir or names.dist)
    files = project(names)
    write(files, folder)
    print(folder)
    steps = [
        f"{', '.join(sorted(files))}",
        f"the {args.role} is {names.cls} in {names.module}.py; then",
        f"  k2 check {_argument(folder)}",
        f"  pip install -e {_argument(folder)}",
    ]
    if "pipeline.toml" in files:
        steps.append(f'  k2 think "What is 17 + 25?" --config {folder / "pipeline.toml"}')
    print("\n".join(steps), file=sys.stderr)
    return 0


def _argument(folder: Path) -> str:
    """A folder so that pip and `k2 check` cannot take it for a name."""
    text = str(folder)
    return text if "/" in text or text.startswith(".") else f"./{text}"
