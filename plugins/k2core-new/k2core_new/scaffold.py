"""Writes a plugin's project from templates, which are the complete examples of the pages for plugin authors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import k2core
from k2core import ConfigError
from k2core.spec import PROJECT

from .names import Names, names_for

SUFFIX = ".in"
_CODE = "plugin.py"
_WORD = re.compile(r"\b[A-Z]\w*\b")
_IGNORED = "__pycache__/\n*.egg-info/\n.pytest_cache/\ndist/\nbuild/\n"


def core_requirement() -> str:
    """What a plugin written today depends on: this minor version of k2core, whose names and hooks stay until the next."""
    major, minor = map(int, k2core.__version__.split(".")[:2])
    following = f"0.{minor + 1}" if major == 0 else f"{major + 1}"
    return f"{PROJECT}>={major}.{minor},<{following}"


@cache
def templates(role: str) -> Mapping[str, str]:
    """The templates of a role by kind: `plugin.py`, `test.py`, `pyproject.toml`, and `pipeline.toml` but for commands."""
    folder = resources.files("k2core_new") / "templates" / role
    return {item.name.removesuffix(SUFFIX): item.read_text("utf-8") for item in folder.iterdir() if item.name.endswith(SUFFIX)}


def plan(role: str, name: str) -> Names:
    """Names that go with the template of the role. Raises `ConfigError`, see `names_for`."""
    return names_for(role, name, reserved=_WORD.findall(templates(role)[_CODE]))


def render(text: str, names: Names) -> str:
    """A template with the names filled in."""
    filled = {
        "__DIST__": names.dist,
        "__MODULE__": names.module,
        "__CLASS__": names.cls,
        "__NAME__": names.name,
        "__GROUP__": names.group,
        "__ROLE__": names.role,
        "__TEST__": names.test,
        "__CORE__": core_requirement(),
    }
    for mark, value in filled.items():
        text = text.replace(mark, value)
    return text


def example(names: Names) -> dict[str, str]:
    """The files that the role's page shows, by path."""
    places = {_CODE: f"{names.module}.py", "test.py": f"tests/{names.test}"}
    return {places.get(kind, kind): render(text, names) for kind, text in templates(names.role).items()}


def project(names: Names) -> dict[str, str]:
    """All files of a new project, by path."""
    readme = (resources.files("k2core_new") / "templates" / f"README.md{SUFFIX}").read_text("utf-8")
    return {
        **example(names),
        "README.md": render(readme.replace("__USE__", _USES.get(names.role, _USE)), names),
        ".gitignore": _IGNORED,
    }


_USES = {
    "command": "Then `k2 __NAME__ --help` tells more.",
    "tasks": "```\nk2 eval run __NAME__:small --config pipeline.toml --limit 10 --out DIR\n```",
    "trainer": "`pipeline.toml` names it under `[trainer]`; from a program, `Runtime.train(tasks)` asks it.",
}
_USE = '`pipeline.toml` is a pipeline with it:\n\n```\nk2 think "What is 17 + 25?" --config pipeline.toml\n```'


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write the files into a folder that is new or empty. Raises `ConfigError` when it is neither, or cannot be written."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is there already, and not empty; nothing was written", "--dir")
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or folder}: {error.strerror}", "--dir") from error
