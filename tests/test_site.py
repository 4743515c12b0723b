"""The documentation as a site: it builds without a warning, names everything there is, and asks nothing of another host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from k2core import Registry
from k2core.spec import Specs

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"^(https?:)?//")
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "embed": "src",
}
LINKED = {"stylesheet", "preload", "prefetch", "preconnect", "dns-prefetch", "icon", "manifest", "modulepreload"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="mkdocs-material is not installed: make docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser would fetch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in LOADS and found.get(LOADS[tag]):
            self.urls.append(found[LOADS[tag]] or "")
        if tag == "link" and set((found.get("rel") or "").split()) & LINKED:
            self.urls.append(found.get("href") or "")
        self.urls += re.findall(r"url\(([^)]+)\)", found.get("style") or "")


def test_nothing_is_loaded_from_outside(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text("utf-8"))
        assert [url for url in loaded.urls if OUTSIDE.match(url)] == [], page.name
        if page.name != "404.html":
            local = [url.partition("?")[0] for url in loaded.urls if not url.startswith("data:")]
            assert [url for url in local if not (page.parent / url).exists()] == [], page.name
    for sheet in site.rglob("*.css"):
        urls = re.findall(r"url\(['\"]?([^)'\"]+)|@import ['\"]([^'\"]+)", sheet.read_text("utf-8"))
        assert [url for pair in urls for url in pair if OUTSIDE.match(url)] == [], sheet.name


def test_no_page_names_this_machine(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert str(ROOT) not in page.read_text("utf-8"), page.name


def test_the_search_holds_every_page(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = {str(page.relative_to(site)) for page in site.rglob("*.html")} - {"404.html"}
    assert pages <= found
    assert (site / "search" / "search_index.js").exists(), "for pages that are opened as files"


def test_the_reference_names_every_hook_plugin_option_and_command(site: Path) -> None:
    hooks = (site / "reference" / "hooks.html").read_text("utf-8")
    assert not [name for name in vars(Specs) if name.startswith("k2_") and name not in hooks]
    commands = (site / "reference" / "commands.html").read_text("utf-8")
    registry = Registry()
    for found in registry.find_all():
        if found.why:
            continue
        page = (site / "reference" / "plugins" / f"{found.dist}.html").read_text("utf-8")
        if found.role == "command":
            assert f"k2 {found.name}" in commands, found.name
            continue
        options = registry.load(found.role, found.name).config_type().model_fields
        assert not [option for option in options if f"<code>{option}</code>" not in page], found


def test_every_page_of_the_sources_is_on_the_site(site: Path) -> None:
    for source in (ROOT / "docs").rglob("*.md"):
        relative = source.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / str(relative).replace("README.html", "index.html")).exists(), relative


def test_a_page_that_the_index_does_not_name_fails_the_build(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    code = (
        "import sys; sys.path.insert(0, 'docs/site'); import building\n"
        "building._made.update({}); text = open('docs/README.md').read()\n"
        "building.navigation(text)\n"
        "building.navigation(text.replace('(howto/solve.md)', '()'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "docs/README.md does not name howto/solve.md" in done.stderr


def test_in_a_browser_without_a_server_or_a_network(site: Path) -> None:
    """Opened as a file: the search finds, the page looks as it should in the dark, and nothing is asked of anybody."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        pytest.skip("no chromium")
    asked: list[str] = []
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(color_scheme="dark")
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.keyboard.press("/")
        page.keyboard.type("soft_deadline")
        page.wait_for_selector(".md-search-result__item a", timeout=20_000)
        assert page.locator(".md-search-result__item").count() > 0
        assert page.evaluate("document.body.dataset.mdColorScheme") == "slate"
        page.goto((site / "architecture.html").as_uri())
        assert page.locator('img[src="design.svg"]').evaluate("image => image.naturalWidth") > 0
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
