"""What mkdocs does besides: reference out of the code, navigation out of `docs/README.md`, links that lead out of `docs/`."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_spec = importlib.util.spec_from_file_location("k2core_docs_generate", Path(__file__).with_name("generate.py"))
assert _spec is not None
assert _spec.loader is not None
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)

DOCS = Path(__file__).parents[1]
PLUGINS = "For plugin authors"
WORKER = "javascripts/iframe-worker.js"
"""In the place of a script of that name which the theme would have each page fetch from another host."""
FIXED = {"README.md", "tutorial.md", "architecture.md", "results.md", "limits.md"}
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+\.md)\)")
_HEAD = re.compile(r"^\*\*(.+?)\*\*", re.MULTILINE)
_made: dict[str, str] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the pages of reference, and the navigation. Raises `PluginError` for a page that the index does not name."""
    _made.clear()
    _made.update(generate.pages())
    config.nav = navigation((DOCS / "README.md").read_text("utf-8"))
    return config


def navigation(index: str) -> list[Any]:
    """By user: start, how-tos by the headings of the index, plugins, reference, design, results, limits."""
    sections = {head: _links(text) for head, text in _sections(index).items()}
    plugins = sections.pop(PLUGINS)
    howtos = [{head: links} for head, links in sections.items() if links]
    named = {path for links in [plugins, *sections.values()] for link in links for path in link.values()}
    _complete(named | FIXED)
    reference = [
        {"Commands": "reference/commands.md"},
        {"Configuration": "reference/configuration.md"},
        {"Hooks": "reference/hooks.md"},
        {"Records and events": "reference/records.md"},
        {"Python": "reference/python.md"},
        {"Installed plugins": ["reference/plugins/index.md", *_distributions()]},
    ]
    return [
        {"Start": [{"Documentation": "README.md"}, {"Ten minutes": "tutorial.md"}]},
        {"How-to": howtos},
        {"Plugins": plugins},
        {"Reference": reference},
        {"Design": "architecture.md"},
        {"Results": [{"Measured results": "results.md"}, {"Changes": "changelog.md"}]},
        {"Limits": "limits.md"},
    ]


def _sections(index: str) -> dict[str, str]:
    """The index's text below each heading in bold, up to the next."""
    heads = list(_HEAD.finditer(index))
    ends = [head.start() for head in heads[1:]] + [len(index)]
    return {head[1]: index[head.end() : end].split("\n\n")[0] for head, end in zip(heads, ends, strict=True)}


def _links(text: str) -> list[dict[str, str]]:
    return [{title[0].upper() + title[1:]: path} for title, path in _LINK.findall(text) if path not in FIXED]


def _complete(named: set[str]) -> None:
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    if missing := there - named:
        raise PluginError(f"docs/README.md does not name {', '.join(sorted(missing))}")


def _distributions() -> list[dict[str, str]]:
    paths = sorted(path for path in _made if path.startswith("reference/plugins/") and not path.endswith("index.md"))
    return [{Path(path).stem: path} for path in paths]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that the code has written."""
    for path, text in _made.items():
        files.append(File.generated(config, path, content=text))
    files.append(File.generated(config, WORKER, abs_src_path=str(Path(__file__).with_name("worker.js"))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files that are not on the site, such as examples, become their paths."""
    source = page.file.src_uri
    if source in _made:
        return markdown
    relinked: str = generate.relinked(markdown, (DOCS / source).parent, source)
    return relinked
