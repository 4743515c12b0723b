"""The kernel keeps its promises about itself: size, imports, public names, documented hooks."""

from __future__ import annotations

import ast
import inspect
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import k2core
from k2core.spec import ROLE_HOOKS, ROLE_VERSIONS, Specs

ROOT = Path(__file__).parents[1]
KERNEL = sorted((ROOT / "k2core").glob("*.py"))
ORDER = [
    ["types", "errors"],
    ["events"],
    ["ports", "log", "concurrency"],
    ["spec"],
    ["plugin"],
    ["config"],
    ["registry", "ledger"],
    ["choice", "pipeline", "judging"],
    ["run"],
    ["runtime"],
    ["__init__", "__main__"],
]
"""A module imports from earlier rows, and from its own row only to the left."""


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    source = path.read_text(encoding="utf-8")
    strings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in layout]
    return len({line for t in tokens for line in range(t.start[0], t.end[0] + 1)} - strings)


def test_the_kernel_is_small() -> None:
    assert sum(map(code_lines, KERNEL)) < 1500
    assert {p.name: n for p in KERNEL if (n := len(p.read_text().splitlines())) > 300} == {}


def test_every_distribution_tells_its_types() -> None:
    """Without the marker, checkers of those who build on it see nothing of its types (PEP 561)."""
    packages = [path.parent for path in ROOT.glob("plugins/*/k2core_*/__init__.py")]
    assert len(packages) > 20
    assert [path.name for path in (ROOT / "k2core", *packages) if not (path / "py.typed").is_file()] == []


def test_modules_import_only_what_comes_before_them() -> None:
    rank = {name: (row, column) for row, names in enumerate(ORDER) for column, name in enumerate(names)}
    assert set(rank) == {p.stem for p in KERNEL}
    for path in KERNEL:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level == 1 and n.module]
        late = [name for name in imported if not name.startswith("toolkit.") and rank[name] >= rank[path.stem]]
        assert not late, f"{path.name} imports {late}"


def test_the_kernel_imports_nothing_heavy_and_no_plugin() -> None:
    code = "import sys, k2core; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    heavy = {"torch", "numpy", "transformers", "aiohttp", "httpx", "requests", "urllib3", "rich", "structlog", "stevedore", "sympy"}
    assert not loaded & heavy
    assert not [name for name in loaded if name.startswith(("k2core_", "k2core.testing", "k2core.toolkit"))]


def test_the_public_names_are_these() -> None:
    """Whoever changes this list changes the changelog too."""
    assert set(k2core.__all__) == PUBLIC
    assert not [name for name in k2core.__all__ if not hasattr(k2core, name)]


PUBLIC = set(
    """UNSET Call Candidate Commands Completion ConfigError DecodeRequest DecoderName Delta Event Found K2Error Ledger LimitExceeded
    Limits Message PipelineConfig Plan Plugin PluginConfig PluginError PluginIncompatible PluginNotFound PluginTable Price Problem
    Registry Result Retry Run Runtime Session Task TrainReport TransientError Usage Verdict VerifierName VerifierTable __version__
    get_logger hookimpl solve""".split()
)


NO_CLASSES = {"UNSET", "DecoderName", "VerifierName", "hookimpl"}


def test_every_public_thing_has_a_docstring() -> None:
    undocumented = [
        n
        for n in k2core.__all__
        if not n.startswith("_")
        and n not in {"UNSET", "DecoderName", "VerifierName", "hookimpl"}
        and not inspect.getdoc(getattr(k2core, n))
    ]
    assert not undocumented


@pytest.mark.parametrize("hook", [name for name in vars(Specs) if name.startswith("k2_")])
def test_every_hook_is_specified_in_full(hook: str) -> None:
    """One sentence of summary, and a line for each parameter."""
    function = getattr(Specs, hook)
    doc = inspect.getdoc(function) or ""
    assert doc.splitlines()[0].endswith("."), f"{hook}: the first line is a sentence"
    documented = re.findall(r"^:param (\w+):", doc, re.MULTILINE)
    assert documented == [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("hook", [name for name in vars(Specs) if name.startswith("k2_")])
def test_every_hook_is_in_the_documentation_with_its_arguments(hook: str) -> None:
    function = getattr(Specs, hook)
    arguments = ", ".join(name for name in inspect.signature(function).parameters if name != "self")
    call = f"{'async ' if inspect.iscoroutinefunction(function) else ''}{hook}({arguments})"
    pages = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md"))
    assert f"`{call}`" in pages, f"document `{call}` in docs/plugins"


def test_every_role_has_a_version_a_hook_and_a_page() -> None:
    assert set(ROLE_HOOKS) == set(ROLE_VERSIONS) - {"hook"}
    for role in ROLE_VERSIONS:
        assert (ROOT / "docs" / "plugins" / f"{role}.md").exists(), f"docs/plugins/{role}.md is missing"


def test_the_page_on_runs_names_every_member() -> None:
    page = (ROOT / "docs" / "plugins" / "run.md").read_text(encoding="utf-8")
    members = {name for name in vars(k2core.Run) if not name.startswith("_")}
    assert members == set(re.findall(r"`run\.(\w+)", page))


def test_the_error_tree_is_drawn_as_it_is() -> None:
    from k2core import errors

    drawn = re.findall(r"── (\w+)", errors.__doc__ or "")
    assert set(drawn) == {cls.__name__ for cls in errors.K2Error.__subclasses__() if cls.__module__ == errors.__name__}
