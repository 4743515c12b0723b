"""The page in a real browser, as somebody who reads it: by mouse, by keyboard, on a phone, in the dark."""

import shutil
from contextlib import suppress

import pytest
from hostile_report import hostile_folder
from k2core_eval.reporting import write_reports
from made import Arm, MadeTask, made_folder

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on the PATH")

QUIET = (
    "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
).split()

CONTRAST = """() => {
  const number = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = number(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (["SCRIPT", "STYLE", "OPTION"].includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    const a = light(number(node.closest("svg") ? style.fill : style.color)), b = light(behind(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    if (ratio < 4.5) bad.push([ratio.toFixed(2), node.className, walker.currentNode.data.trim().slice(0, 40)]);
  }
  return { seen, bad };
}"""

STRUCTURE = """() => {
  const problems = [];
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((h) => Number(h.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) problems.push("not one h1");
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) problems.push(`heading ${i} skips a level`); });
  if (!document.documentElement.lang) problems.push("no language");
  if (!document.title) problems.push("no title");
  if (document.querySelectorAll("main").length !== 1) problems.push("not one main");
  for (const box of document.querySelectorAll("input, select")) if (!box.labels.length) problems.push(`no label: ${box.name}`);
  const charts = [...document.querySelectorAll("svg")];
  for (const image of charts.filter((one) => one.matches("[role=img]")))
    if (!image.getAttribute("aria-label")) problems.push("unnamed chart");
  if (charts.some((one) => !one.closest("svg[role=img]"))) problems.push("stray svg");
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption) problems.push("table without caption");
    if (!table.querySelector("th[scope=col]")) problems.push("table without column headings");
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  if (new Set(ids).size !== ids.length) problems.push("two elements share an id");
  for (const link of document.querySelectorAll("a[href^='#']"))
    if (!document.getElementById(decodeURIComponent(link.hash.slice(1)))) problems.push(`dead link ${link.hash}`);
  for (const box of document.querySelectorAll(".scroll"))
    if (box.tabIndex !== 0) problems.push("a wide table cannot be scrolled by keyboard");
  return problems;
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with playwright.sync_playwright() as started:
        with_sandbox = {"executable_path": BROWSER, "headless": True, "args": QUIET}
        try:
            found = started.chromium.launch(**with_sandbox)
        except playwright.Error:  # containers without user namespaces
            found = started.chromium.launch(**{**with_sandbox, "args": [*QUIET, "--no-sandbox"]})
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    base = tmp_path_factory.mktemp("page")
    tasks = (MadeTask("easy", 12, solved=0.8), MadeTask("hard", 8, solved=0.3))
    arms = [
        made_folder(base / "bare", Arm(tasks, label="bare", truncated=0.1)),
        made_folder(
            base / "both", Arm(tasks, label="+ both", planner="planner-32b", candidates=3, judge="judge-70b", lift=1, seed=2)
        ),
    ]
    return write_reports([arm.path for arm in arms], base)[0]


class Reader:
    """A page that is open, with everything that it asked for and complained of."""

    def __init__(self, browser, path, width=1280, scheme="light", script=True):
        self._context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        self.page = self._context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path if isinstance(path, str) else path.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(playwright.Error):
            self._context.close()


def visible(page):
    return page.locator("details.problem:visible").count()


def test_it_asks_nothing_of_any_network_and_complains_of_nothing(browser, report):
    with Reader(browser, report) as reader:
        reader.page.wait_for_timeout(100)
        assert reader.requests == [report.as_uri()]
        assert reader.complaints == []
        assert reader.page.title()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_scheme_with_enough_contrast(browser, report, scheme, tmp_path):
    with Reader(browser, report, scheme=scheme) as reader:
        reader.page.evaluate("document.querySelectorAll('details').forEach((one, i) => { one.open = i < 40 })")
        paper = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in paper[4:-1].split(",")) / 3
        assert brightness > 240 if scheme == "light" else brightness < 40
        found = reader.page.evaluate(CONTRAST)
        assert found["seen"] > 300
        assert found["bad"] == []
        picture = tmp_path / f"{scheme}.png"
        reader.page.screenshot(path=picture)
        assert picture.stat().st_size > 20_000


def test_its_structure_is_one_that_assistive_technology_reads(browser, report):
    with Reader(browser, report) as reader:
        assert reader.page.evaluate(STRUCTURE) == []


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_never_scrolls_sideways(browser, report, width, tmp_path):
    with Reader(browser, report, width=width) as reader:
        reader.page.evaluate("document.querySelectorAll('details').forEach((one, i) => { one.open = i < 60 })")
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
        picture = tmp_path / f"{width}.png"
        reader.page.screenshot(path=picture)
        assert picture.stat().st_size > 10_000


def test_the_first_screen_answers_the_questions(browser, report):
    with Reader(browser, report) as reader:
        for question in (
            "What was evaluated?",
            "By what?",
            "How sure?",
            "How well, how sure, at what cost",
            "What would a sceptic object?",
        ):
            box = reader.page.get_by_text(question, exact=True).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 900


def test_by_keyboard_alone(browser, report):
    with Reader(browser, report) as reader:
        page = reader.page
        page.keyboard.press("Tab")
        skip = page.locator("a.skip")
        assert skip.evaluate("node => node === document.activeElement")
        assert skip.bounding_box()["x"] >= 0, "the skip link is seen once it has the focus"
        page.keyboard.press("Enter")
        assert page.url.endswith("#results")
        page.locator("details.problem > summary").first.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        first = page.locator("details.problem").first
        outline = first.locator("> summary").evaluate("node => getComputedStyle(node).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        assert first.get_attribute("open") is not None
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert first.locator("details.repeat[open] .candidate").count() >= 1


def test_a_problem_shows_its_formulas_laid_out(browser, report):
    with Reader(browser, report) as reader:
        page = reader.page
        page.locator("details.problem > summary").first.click()
        statement = page.locator("details.problem[open] .prose math").first
        assert statement.evaluate("node => node.namespaceURI") == "http://www.w3.org/1998/Math/MathML"
        box = statement.bounding_box()
        assert box["width"] > 20
        assert box["height"] > 8
        page.locator("details.repeat > summary").first.click()
        boxed = page.locator("details.repeat[open] mrow.boxed").first
        assert boxed.evaluate("node => getComputedStyle(node).borderTopWidth") == "1px"
        assert page.locator("details.repeat[open]").first.inner_text().count("tokens") >= 2


def test_filters_and_search(browser, report):
    with Reader(browser, report) as reader:
        page = reader.page
        everything = visible(page)
        assert everything == 20
        page.get_by_role("checkbox", name="truncated").check()
        cut = visible(page)
        assert 0 < cut < everything
        assert page.locator("#shown").inner_text() == f"{cut} of 20 problems"
        assert page.locator("details.problem:visible:not([data-flags~=truncated])").count() == 0
        page.get_by_role("button", name="Show all").click()
        page.wait_for_function("document.querySelectorAll('details.problem[hidden]').length === 0")
        page.get_by_role("checkbox", name="arms disagree").check()
        assert page.locator("details.problem:visible:not([data-flags~=disagree])").count() == 0
        page.get_by_role("button", name="Show all").click()
        page.get_by_role("combobox", name="Task").select_option("hard")
        assert visible(page) == 8
        page.get_by_label("Find").fill("hard/3")
        assert visible(page) == 1


def test_a_link_opens_its_repeat_even_behind_a_filter(browser, report):
    with Reader(browser, f"{report.as_uri()}#hard/3/1/2") as reader:
        page = reader.page
        target = page.locator('[id="hard/3/1/2"]')
        assert target.get_attribute("open") is not None
        assert target.evaluate("node => node.getBoundingClientRect().top >= 0 && node.getBoundingClientRect().top < innerHeight")
        page.get_by_label("Find").fill("no such thing")
        assert visible(page) == 0
        page.evaluate("location.hash = '#easy/2'")
        page.wait_for_function("document.getElementById('easy/2').checkVisibility()")
        assert page.locator('[id="easy/2"]').get_attribute("open") is not None


def test_it_reads_without_scripts(browser, report):
    with Reader(browser, report, script=False) as reader:
        page = reader.page
        assert page.get_by_role("heading", name="Caveats").is_visible()
        assert page.locator("form.filters").is_hidden()
        page.locator("details.problem > summary").first.click()
        assert page.locator("details.problem[open] .prose").first.is_visible()


def test_print_shows_ink_on_paper(browser, report):
    with Reader(browser, report) as reader:
        reader.page.emulate_media(media="print", color_scheme="light")
        assert reader.page.locator("nav.contents").is_hidden()
        assert reader.page.locator("form.filters").is_hidden()


@pytest.mark.parametrize("script", [True, False])
def test_nothing_that_a_model_wrote_comes_to_life(browser, tmp_path, script):
    folder = hostile_folder(tmp_path / "run")
    page_file = write_reports([folder.path], tmp_path)[0]
    with Reader(browser, page_file, width=390, script=script) as reader:
        page = reader.page
        if script:
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
            page.wait_for_timeout(200)
            assert page.evaluate("window.hacked") is None
            assert page.evaluate("document.scripts.length") == 1
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert page.evaluate("document.querySelectorAll('main #problems details.problem').length") == 2
        assert reader.requests == [page_file.as_uri()]
        assert reader.complaints == []
        assert page.locator("img, iframe, object, svg script, math script").count() == 0


def test_the_policy_stops_a_script_that_got_in_all_the_same(browser, report, tmp_path):
    """The last line of defence, tried by breaking the first: a page with a script and an image put into it."""
    broken = tmp_path / "broken.html"
    put_in = "<script>window.hacked = 1</script><img src='http://127.0.0.1:9/x.png' onerror='window.hacked = 1'><main>"
    broken.write_text(report.read_text(encoding="utf-8").replace("<main>", put_in), encoding="utf-8")
    with Reader(browser, broken) as reader:
        reader.page.wait_for_timeout(200)
        assert reader.page.evaluate("window.hacked") is None
        assert any("Content Security Policy" in complaint for complaint in reader.complaints)
