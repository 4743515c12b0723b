"""The pages for plugin authors: what they show works, is packaged as they say, and passes the checks that they name."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k2core import PipelineConfig, Plugin, Registry, Runtime
from k2core.spec import ROLE_HOOKS, ROLE_VERSIONS
from k2core.testing import FakeDecoder, FakeSampler, FakeVerifier, checks_for

PAGES = Path(__file__).parent.parent / "docs" / "plugins"
BLOCK = re.compile(r"^```(?:python|toml)\n# (?P<name>\S+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
STAND_INS: list[tuple[str, str, type[Plugin]]] = [
    ("decoder", "llamacpp", FakeDecoder),
    ("sampler", "single", FakeSampler),
    ("sampler", "best-of-n", FakeSampler),
    ("verifier", "math", FakeVerifier),
]
"""For what the examples' pipelines name, so that they run where nothing else is installed."""


def blocks(page: str) -> dict[str, str]:
    return {match["name"]: match["text"] for match in BLOCK.finditer((PAGES / f"{page}.md").read_text(encoding="utf-8"))}


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The blocks of a page, each in a file of its own; modules among them can be imported."""
    found = blocks(request.param)
    for name, text in found.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield found
    for name in found:
        sys.modules.pop(name.removesuffix(".py"), None)


def entry_point(project: dict[str, Any], role: str) -> tuple[str, type[Plugin]]:
    """Name and class of the one entry point that an example's project declares."""
    (group, points), *others = project["project"]["entry-points"].items()
    assert group == f"k2core.{role}.v{ROLE_VERSIONS[role]}"
    ((name, value),) = points.items()
    module, _, attribute = value.partition(":")
    assert not others
    return name, getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize(("example", "role"), [(role, role) for role in ROLE_VERSIONS], indirect=["example"])
def test_the_example_conforms(example: dict[str, str], role: str, tmp_path: Path) -> None:
    """The page's own test, as it stands there, on the class that the page's project names."""
    name, cls = entry_point(tomllib.loads(example["pyproject.toml"]), role)
    (test,) = [path for path in example if path.startswith("test_")]
    module = importlib.import_module(test.removesuffix(".py"))
    assert cls in vars(module).values(), f"{test} tests another class than {name} names"
    module.test_conforms(tmp_path) if "tmp_path" in example[test] else module.test_conforms()


@pytest.mark.parametrize(("example", "role"), [(role, role) for role in ROLE_VERSIONS if role != "command"], indirect=["example"])
def test_the_examples_pipeline_runs(example: dict[str, str], role: str) -> None:
    registry = Registry()
    for stand_in in STAND_INS:
        registry.add(*stand_in)
    name, cls = entry_point(tomllib.loads(example["pyproject.toml"]), role)
    registry.add(role, name, cls)
    config = PipelineConfig.from_toml(example["pipeline.toml"])

    async def main() -> str | None:
        async with Runtime(config, registry=registry) as runtime:
            return (await runtime.solve("What is 6 * 7?", seed=1)).answer

    assert asyncio.run(main())


@pytest.mark.parametrize("role", ROLE_VERSIONS)
def test_each_page_shows_its_hook_with_its_packaging_and_test(role: str) -> None:
    page = (PAGES / f"{role}.md").read_text(encoding="utf-8")
    assert f"{ROLE_HOOKS.get(role, 'k2_around')}(" in page
    assert "(conformance.md)" in page or "assert_conforms" in page
    assert "## Pitfalls" in page


def test_examples_are_short() -> None:
    for role in ROLE_VERSIONS:
        (module,) = [text for name, text in blocks(role).items() if name.startswith("k2core_")]
        lines = [line for line in module.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert len(lines) <= 40, f"{role}: {len(lines)}"


@pytest.mark.parametrize("example", ["conformance"], indirect=True)
def test_the_kits_own_examples_run(example: dict[str, str]) -> None:
    one_line, each = (importlib.import_module(name.removesuffix(".py")) for name in example)
    one_line.test_conforms()
    (mark,) = each.test_conforms.pytestmark
    for check in mark.args[1][:5]:
        each.test_conforms(check)


def test_every_check_is_described() -> None:
    page = (PAGES / "conformance.md").read_text(encoding="utf-8")
    for role in ROLE_VERSIONS:
        for check in checks_for(role):
            assert f"| `{check.name}` | " in page
            assert f" | {check.summary} |" in page, f"{check.name}: {check.summary}"
