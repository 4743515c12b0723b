"""Pages of reference, written from the code itself: hooks, records, configuration, options of every installed plugin, commands.

`pages()` returns them by path; the site's build takes them from there (`building.py`): never stale, never committed.
To look at them: `python docs/site/generate.py FOLDER`.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import k2core
from k2core import Found, Registry, config, events, types
from k2core.spec import ROLE_HOOKS, ROLE_VERSIONS, Specs

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:[\w.-]*/)+[\w.-]*|[\w.-]+\.md)(#[^)\s]*)?\)")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
NOTE = "*Written from the code when this site was built.*\n"
WIDTH = "100"
REGISTRY = Registry()


def pages() -> dict[str, str]:
    """Markdown by path below `docs/`."""
    found = [one for one in REGISTRY.find_all() if not one.why]
    return {
        "reference/hooks.md": hooks(),
        "reference/records.md": records(),
        "reference/configuration.md": configuration(),
        "reference/python.md": python_names(),
        "reference/commands.md": commands([one for one in found if one.role == "command"]),
        "reference/plugins/index.md": plugin_index(found),
        **{f"reference/plugins/{dist}.md": distribution(dist, offers) for dist, offers in _by_dist(found).items()},
        "changelog.md": relinked((ROOT / "CHANGELOG.md").read_text("utf-8"), ROOT, "changelog.md"),
    }


# hooks


def hooks() -> str:
    """Every hook with its exact arguments, as its specification says them."""
    roles = {hook: role for role, hook in ROLE_HOOKS.items()}
    parts = [
        "# Hooks",
        NOTE,
        "An implementation carries `@hookimpl` and may take fewer arguments than are listed, never others.",
        "",
    ]
    parts += [f"| role | version | hook |\n|---|---|---|\n{''.join(_role_rows())}"]
    for name, function in vars(Specs).items():
        if name.startswith("k2_"):
            what = f"For the role [{roles[name]}](../plugins/{roles[name]}.md)." if name in roles else "For plugins of any role."
            parts += [f"## `{name}`", "", f"```python\n{_signature(name, function)}\n```", "", what, "", *_documented(function), ""]
    return "\n".join(parts)


def _role_rows() -> Iterator[str]:
    for role, version in ROLE_VERSIONS.items():
        hook = f"`{ROLE_HOOKS[role]}`" if role in ROLE_HOOKS else "any of those for every plugin"
        yield f"| [{role}](../plugins/{role}.md) | `k2core.{role}.v{version}` | {hook} |\n"


def _signature(name: str, function: Any) -> str:
    start = "async def" if inspect.iscoroutinefunction(function) else "def"
    return f"{start} {name}{inspect.signature(function)}".replace("'", "")


def _documented(function: Any) -> Iterator[str]:
    text, *params = re.split(r"^:param ", inspect.getdoc(function) or "", flags=re.MULTILINE)
    yield text.strip()
    yield ""
    for param in params:
        name, _, about = param.partition(":")
        yield f"- `{name}`: {' '.join(about.split())}"


# records and configuration


def records() -> str:
    """Every record and event, with its fields."""
    parts = ["# Records and events", NOTE, "All are frozen and refuse unknown fields.", ""]
    for title, module in (("## Records", types), ("## Events", events)):
        parts += [title, ""]
        for cls in _models(module):
            parts += [f"### `{cls.__name__}`", "", *_about(cls, module), ""]
    return "\n".join(parts)


def configuration() -> str:
    """The kernel's own tables of a pipeline."""
    parts = ["# Configuration of a pipeline", NOTE]
    parts += ["Beside `use`, a table of a plugin holds the plugin's [own options](plugins/index.md).", ""]
    for cls in sorted(_models(config), key=lambda cls: cls is not config.PipelineConfig):
        if not cls.__name__.startswith("_"):
            parts += [f"## `{cls.__name__}`", "", *_about(cls, config), ""]
    return "\n".join(parts)


def _models(module: ModuleType) -> list[type[BaseModel]]:
    """The models that a module defines, in the order of the source."""
    found = [
        v for v in vars(module).values() if isinstance(v, type) and issubclass(v, BaseModel) and v.__module__ == module.__name__
    ]
    return sorted(found, key=lambda cls: inspect.getsourcelines(cls)[1])


def _about(cls: type[BaseModel], module: ModuleType) -> Iterator[str]:
    yield inspect.getdoc(cls) or ""
    yield ""
    own = _field_docstrings(module).get(cls.__name__, {})
    yield from options_table(cls, own)


def _field_docstrings(module: ModuleType) -> dict[str, dict[str, str]]:
    """The docstrings below fields, by class and field."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            for field, after in zip(node.body, node.body[1:], strict=False):
                text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
                    found[node.name][field.target.id] = text
    return found


def options_table(cls: type[BaseModel], described: dict[str, str] | None = None) -> Iterator[str]:
    """Fields of a model: name, type, default, description."""
    described = described or {}
    if not cls.model_fields:
        yield "No options."
        return
    yield "| name | type | default | |"
    yield "|---|---|---|---|"
    for name, info in cls.model_fields.items():
        default = "" if info.default_factory is not None else info.get_default()
        shown = "" if default is PydanticUndefined or default == "" else f"`{_code(repr(default))}`"
        yield f"| `{name}` | `{_code(_type(info.annotation))}` | {shown} | {_cell(info.description or described.get(name, ''))} |"


def _type(annotation: Any) -> str:
    text = inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:typing|collections\.abc|pydantic\.\w+|k2core(?:_\w+)?(?:\.\w+)*)\.", "", text)
    text = re.sub(r"Annotated\[(\w+), .*\]$", r"\1", text)
    return text.removeprefix("<class '").removesuffix("'>").rpartition("'>")[0] or text


def _code(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# the library's names


def python_names() -> str:
    """What `import k2core` offers."""
    parts = ["# Python", NOTE, "Everything in `k2core.__all__`; whatever else there is may change at any time.", ""]
    for name in sorted(k2core.__all__, key=lambda one: (not one[0].isupper(), one)):
        value = getattr(k2core, name)
        if isinstance(value, type) and not issubclass(value, BaseModel):
            parts += [f"## `{name}`", "", inspect.getdoc(value) or "", "", *_methods(value), ""]
        elif inspect.isfunction(value):
            parts += [f"## `{name}`", "", f"```python\n{_plain(name, value)}\n```", "", inspect.getdoc(value) or "", ""]
    return (
        "\n".join(parts)
        + "\nRecords and events have [a page of their own](records.md), so has [configuration](configuration.md).\n"
    )


def _methods(cls: type) -> Iterator[str]:
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(function) or not inspect.getdoc(function):
            continue
        shown = name if isinstance(member, property) else _plain(name, function)
        yield f"- `{shown}`: {' '.join((inspect.getdoc(function) or '').split())}"


def _plain(name: str, function: Any) -> str:
    start = "async " if inspect.iscoroutinefunction(function) else ""
    return f"{start}{name}{inspect.signature(function)}".replace("'", "").replace("(self, ", "(").replace("(self)", "()")


# plugins


def plugin_index(found: Iterable[Found]) -> str:
    """Every installed plugin, by role."""
    parts = ["# Plugins", NOTE]
    for role in ROLE_VERSIONS:
        parts += [f"## {role}", "", "| `use` | from | |", "|---|---|---|"]
        for one in found:
            if one.role == role:
                cls = REGISTRY.load(one.role, one.name)
                about = (inspect.getdoc(cls) or one.summary).partition("\n")[0]
                parts.append(f"| `{one.name}` | [{one.dist}]({one.dist}.md) | {_cell(about)} |")
        parts.append("")
    return "\n".join(parts)


def distribution(dist: str, offers: Iterable[Found]) -> str:
    """A distribution's README, then the options of each of its plugins."""
    parts = [_readme(dist)]
    for one in offers:
        if one.role != "command":
            cls = REGISTRY.load(one.role, one.name)
            table = options_table(cls.config_type())
            parts += [f"## Options of the {one.role} `{one.name}`", "", "*From the code.*", "", *table, ""]
    return "\n".join(parts)


def _readme(dist: str) -> str:
    for folder in (ROOT / "plugins" / dist, ROOT / "hooks"):
        file = folder / "README.md"
        if file.is_file() and file.read_text("utf-8").startswith(f"# {dist}\n"):
            return relinked(file.read_text("utf-8"), folder, f"reference/plugins/{dist}.md")
    return f"# {dist}\n\n{metadata.metadata(dist)['Summary']}\n"


def _by_dist(found: Iterable[Found]) -> dict[str, list[Found]]:
    grouped: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        grouped[one.dist].append(one)
    return grouped


# commands


def commands(found: Iterable[Found]) -> str:
    """What every command says of itself."""
    os.environ["COLUMNS"] = WIDTH
    parts = ["# Commands", NOTE, "`k2 COMMAND --help` prints the same.", ""]
    for one in found:
        root = argparse.ArgumentParser(prog="k2")
        app = root.add_subparsers()
        REGISTRY.load("command", one.name)().k2_commands(app=app)  # type: ignore[attr-defined] # a command has it
        for parser in app.choices.values():
            parts += list(_helps(parser, 2))
    return "\n".join(parts)


def _helps(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, 4)} `{parser.prog}`\n\n```text\n{parser.format_help().strip()}\n```\n"
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                yield from _helps(inner, level + 1)


# links


def relinked(text: str, folder: Path, page: str) -> str:
    """The links of a file in `folder`, as they must read on the site's `page`; what the site does not hold becomes its path."""

    def replace(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        place = _on_site(target)
        if place is None:
            shown = target.relative_to(ROOT) if target.is_relative_to(ROOT) else match[2]
            return f"{match[1]} (`{shown}`)" if match[1].strip("`") != str(shown) else f"`{shown}`"
        relative = os.path.relpath(place, os.path.dirname(page) or ".")
        return f"[{match[1]}]({relative}{match[3] or ''})"

    return "".join(part if part.startswith("```") else LINK.sub(replace, part) for part in FENCED.split(text))


def _on_site(target: Path) -> str | None:
    """The page of the site that a file of the repository is on."""
    if target.is_relative_to(ROOT / "docs") and target.is_file():
        return str(target.relative_to(ROOT / "docs"))
    if target == ROOT / "CHANGELOG.md":
        return "changelog.md"
    if target.name == "README.md" and target.parent.parent == ROOT / "plugins":
        return f"reference/plugins/{target.parent.name}.md"
    if target == ROOT / "README.md":
        return "README.md"
    return "reference/plugins/k2core-hooks.md" if target == ROOT / "hooks" / "README.md" else None


if __name__ == "__main__":
    for path, text in pages().items():
        file = Path(sys.argv[1], path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file)
