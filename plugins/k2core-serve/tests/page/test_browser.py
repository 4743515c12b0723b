"""The page in a real browser: by mouse, by keyboard, on a phone, in the dark."""

from __future__ import annotations

import json
import re
import time

import pytest

QUESTION = "What is the sum of the first hundred odd numbers, $\\sum_{k=1}^{100} (2k-1)$?"

CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const number = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) { const c = number(getComputedStyle(node).backgroundColor); if (c[3] > 250) return c; }
    return [255, 255, 255];
  };
  const bad = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (node.closest(":disabled, script, style, noscript, option")) continue;
    const a = light(number(getComputedStyle(node).color)), b = light(behind(node));
    seen += 1;
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push([ratio.toFixed(2), node.className, walker.currentNode.data.trim().slice(0, 40)]);
  }
  return { seen, bad };
}"""

CHIPS = """() => {
  for (const kind of ["", "good", "bad", "doubt", "busy", "chosen"]) {
    const chip = document.createElement("span");
    chip.className = `chip ${kind}`;
    chip.textContent = kind || "neutral";
    document.querySelector("article.card").append(chip);
  }
  const trouble = document.createElement("p");
  trouble.className = "trouble";
  trouble.textContent = "It failed.";
  document.querySelector(".result").append(trouble);
}"""

STRUCTURE = """() => {
  const problems = [];
  const shown = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility());
  const levels = shown("h1, h2, h3, h4").map((h) => Number(h.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) problems.push("not one h1");
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) problems.push(`heading ${i} skips a level`); });
  if (!document.documentElement.lang || !document.title) problems.push("no language or title");
  for (const name of ["main", "header.top", "nav"]) if (!document.querySelector(name)) problems.push(`no ${name}`);
  for (const box of shown("input, select, textarea")) if (!box.labels.length) problems.push(`no label: ${box.name}`);
  for (const region of shown("[role=region]")) if (!region.getAttribute("aria-label")) problems.push("unnamed region");
  for (const button of shown("button, a[href]")) if (!button.textContent.trim()) problems.push("a button or link without words");
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  if (new Set(ids).size !== ids.length) problems.push("two elements share an id");
  for (const box of shown(".scroll, .card .text")) if (box.tabIndex !== 0) problems.push("a box cannot be scrolled by keyboard");
  return problems;
}"""


def test_ask_watch_and_read(kit, server, browser, tmp_path):
    with kit.reading(browser, server.url) as reader:
        page = reader.page
        reader.ask(QUESTION)
        reader.answered()
        assert page.locator(".answer .final").inner_text() == "10000"
        assert page.locator("article.card").count() == 3
        chosen = page.locator("article.card.chosen")
        assert chosen.count() == 1
        assert chosen.locator(".chip", has_text="Chosen").is_visible()
        assert page.locator(".checks .chip").count() >= 3
        assert page.locator(".plan math").count() >= 1
        formula = page.locator("article.card math[display=block]").first
        assert formula.evaluate("node => node.namespaceURI") == "http://www.w3.org/1998/Math/MathML"
        assert formula.bounding_box()["height"] > 15
        fold = page.locator("article.card details.reasoning").first
        assert fold.get_attribute("open") is None
        fold.locator("summary").click()
        assert "squares" in fold.inner_text()
        assert page.get_by_role("row", name=re.compile("Planning")).count() == 1
        assert page.get_by_role("row", name=re.compile("Solving")).count() == 1
        page.get_by_role("link", name="Link to this request").click()
        page.get_by_role("heading", name="A request and how it was answered").wait_for()
        page.locator("article.card.chosen").wait_for()
        page.get_by_role("button", name="Replay").click()
        page.get_by_text("compared things are the same").wait_for()
        assert {url.split("/")[2] for url in reader.requests} == {server.url.split("/")[2]}
        assert reader.complaints == []
        picture = tmp_path / "trace.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 30_000


def test_text_streams_into_its_own_card_and_stop_stops(kit, server, browser):
    with kit.reading(browser, server.url) as reader:
        page = reader.page
        reader.ask("Sum the odd numbers, slowly and without end.")
        cards = page.locator("article.card")
        cards.nth(2).locator(".chip", has_text="Thinking").wait_for()
        growing = page.locator("article.card").first
        before = growing.locator(".meta").inner_text()
        page.wait_for_function("(before) => document.querySelector('article.card .meta').textContent !== before", arg=before)
        assert page.locator("#news").get_attribute("aria-live") == "polite"
        growing.locator(".chip", has_text="Writing").wait_for()
        assert growing.locator("details.reasoning").is_visible()
        page.get_by_role("button", name="Stop").click()
        page.locator(".answer", has_text="Stopped before it was decided").wait_for()
        assert page.get_by_role("button", name="Ask", exact=True).is_enabled()
        end = time.monotonic() + 10
        while server.running and time.monotonic() < end:
            page.wait_for_timeout(20)
        assert server.running == 0
        assert reader.complaints == []


def test_a_run_goes_on_while_the_history_is_looked_at(kit, server, browser):
    with kit.reading(browser, server.url) as reader:
        page = reader.page
        reader.ask("Sum the odd numbers, gently, while I look elsewhere.", "quick")
        page.locator("article.card").wait_for()
        page.get_by_role("link", name="History").click()
        page.get_by_role("heading", name="History").wait_for()
        page.go_back()
        reader.answered()
        assert page.locator(".answer .final").inner_text() == "10000"


def test_compare_two_pipelines(kit, server, browser):
    with kit.reading(browser, f"{server.url}/compare") as reader:
        page = reader.page
        page.get_by_label("Your problem").fill(QUESTION)
        page.get_by_label("First pipeline").select_option("careful")
        page.get_by_label("Second pipeline").select_option("quick")
        page.get_by_role("button", name="Compare").click()
        page.get_by_text("Same answer", exact=True).wait_for()
        assert page.locator(".side").count() == 2
        assert page.locator(".side").first.locator("article.card").count() == 3
        assert page.locator(".side").last.locator("article.card").count() == 1
        boxes = [page.locator(".side").nth(i).bounding_box() for i in (0, 1)]
        assert boxes[0]["y"] == boxes[1]["y"]
        page.get_by_role("link", name="Link to this comparison").click()
        page.get_by_role("heading", name="Two pipelines compared").wait_for()
        page.get_by_text("Same answer", exact=True).wait_for()
        assert page.evaluate(STRUCTURE) == []
        assert reader.complaints == []


def test_history_search_filter_and_pages(kit, tmp_path, browser):
    with kit.Server(tmp_path) as server:
        for i in range(23):
            server.ask(f"Question number {i} about {'apples' if i % 2 else 'pears'} say: \\boxed{{{i}}}")
        with kit.reading(browser, f"{server.url}/traces") as reader:
            page = reader.page
            rows = page.locator("ol.requests > li")
            rows.nth(19).wait_for()
            assert rows.count() == 20
            page.get_by_role("link", name="Older").click()
            page.wait_for_function("() => document.querySelectorAll('ol.requests > li').length === 3")
            page.get_by_role("link", name="Newest").click()
            page.wait_for_function("() => document.querySelectorAll('ol.requests > li').length === 20")
            page.get_by_label("Search").fill("number 7 apples")
            page.keyboard.press("Enter")
            page.wait_for_function("() => document.querySelectorAll('ol.requests > li').length === 1")
            assert "q=number" in page.url
            page.get_by_label("State").select_option("failed")
            page.get_by_role("button", name="Search").click()
            page.locator("p.empty", has_text="Nothing was found.").wait_for()
            page.go_back()
            rows.first.get_by_role("link").click()
            page.get_by_text("Question number 7").first.wait_for()
            assert "/traces/" in page.url
            assert reader.complaints == []


def test_by_keyboard_alone(kit, server, browser):
    with kit.reading(browser, server.url) as reader:
        page = reader.page
        page.get_by_role("heading", name="Ask a problem").wait_for()
        page.keyboard.press("Tab")
        skip = page.locator("a.skip")
        assert skip.evaluate("node => node === document.activeElement && node.getBoundingClientRect().x >= 0")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == "problem"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.type("What is the sum?")
        order = []
        for _ in range(3):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.labels?.[0]?.textContent || document.activeElement.textContent"))
        assert order == ["Pipeline", "Effort", "Ask"]
        page.keyboard.press("Enter")
        reader.answered()
        page.wait_for_function("() => document.getElementById('news').textContent.includes('Decided')")
        page.get_by_role("link", name="History").focus()
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="History").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "History", "the new page's heading has the focus"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast_in_light_and_dark(kit, server, browser, scheme):
    other = "dark" if scheme == "light" else "light"
    with kit.reading(browser, server.url, scheme=other) as reader:
        page = reader.page
        button = page.locator("#theme-button")
        button.filter(has_text="automatic").wait_for()
        while scheme not in button.inner_text():
            button.click()
        page.reload()
        reader.ask(QUESTION)
        reader.answered()
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in re.findall(r"\d+", paper)[:3]) / 3
        assert brightness > 240 if scheme == "light" else brightness < 40
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        page.evaluate(CHIPS)
        found = page.evaluate(CONTRAST)
        assert found["seen"] > 80
        assert found["bad"] == []
        assert page.evaluate(STRUCTURE) == []


@pytest.mark.parametrize("width", [320, 768])
def test_no_page_scrolls_sideways(kit, server, browser, width):
    id = server.ask(QUESTION, "careful")[0]["id"]
    with kit.reading(browser, server.url, width=width) as reader:
        page = reader.page
        reader.ask(QUESTION)
        reader.answered()
        for path in ("", "compare", "traces", f"traces/{id}", f"compare?a={id}&b={id}"):
            if path:
                page.goto(f"{server.url}/{path}")
                page.locator("main .chip, main form").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            small = page.evaluate(
                "[...document.querySelectorAll('main button, nav a')].filter((b) => b.checkVisibility() && b.offsetHeight < 36)"
                ".map((b) => b.textContent)"
            )
            assert small == [], "large enough for a thumb"


def test_the_key_is_asked_for_kept_in_the_tab_and_sent(kit, browser, tmp_path):
    (tmp_path / "key").write_text("a-key-that-is-long-enough")
    with kit.Server(tmp_path, keys={"ann": {"file": str(tmp_path / "key")}}) as server, kit.reading(browser, server.url) as reader:
        page = reader.page
        field = page.get_by_label("Key", exact=True)
        field.fill("wrong-key-wrong-key")
        page.get_by_role("button", name="Use this key").click()
        page.get_by_text("the key is not known").wait_for()
        field.fill("a-key-that-is-long-enough")
        page.keyboard.press("Enter")
        reader.ask("What is the sum?", "quick")
        reader.answered()
        page.get_by_role("link", name="Link to this request").click()
        page.get_by_text("ann", exact=True).wait_for()
        assert page.get_by_role("button", name="Download trace").count() == 0
        stored = page.evaluate("[JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage}), document.cookie]")
        assert "a-key" not in stored[0] + stored[2]
        assert "a-key" in stored[1]
        assert not any("a-key" in url for url in reader.requests)


def test_downloads_the_trace(kit, server, browser, tmp_path):
    from k2core_hooks.reader import read_trace

    id = server.ask(QUESTION)[0]["id"]
    with kit.reading(browser, f"{server.url}/traces/{id}") as reader:
        with reader.page.expect_download() as download:
            reader.page.get_by_role("button", name="Download trace").click()
        file = tmp_path / "trace.jsonl"
        download.value.save_as(file)
        assert download.value.suggested_filename == f"{id}.jsonl"
        assert read_trace(file).result.answer == "10000"


def test_nothing_that_a_model_wrote_comes_to_life(kit, server, browser):
    from_model = (
        "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'><svg onload=window.hacked=1></svg>"
        "[x](javascript:window.hacked=1) <a href='javascript:window.hacked=1'>y</a> $\\text{<script>window.hacked=1</script>}$"
        " ![](http://127.0.0.1:9/p.png) \\boxed{<b onclick=window.hacked=1>7</b>}"
    )
    with kit.reading(browser, server.url, width=360) as reader:
        page = reader.page
        reader.ask(f"please say:{from_model}", "careful")
        reader.answered()
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        page.wait_for_timeout(200)
        assert "window.hacked" in page.locator("article.card").first.inner_text()
        page.get_by_role("link", name="Link to this request").click()
        page.locator("article.card.chosen").wait_for()
        page.goto(f"{server.url}/traces")
        page.locator("ol.requests > li").first.wait_for()
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main svg, main iframe, main script, main a[href^=javascript]").count() == 0
        assert {url.split("/")[2] for url in reader.requests} == {server.url.split("/")[2]}
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert reader.complaints == []


def test_the_policy_stops_a_script_that_got_in_all_the_same(kit, server, browser):
    """The last line of defence, tried by breaking the first: markup that is put in unlaundered."""
    with kit.reading(browser, server.url) as reader:
        page = reader.page
        page.get_by_role("heading", name="Ask a problem").wait_for()
        page.evaluate("document.querySelector('main').innerHTML = `<img src='x' onerror='window.hacked = 1'>`")
        page.evaluate("const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s)")
        page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
        page.wait_for_timeout(300)
        assert page.evaluate("window.hacked") is None
        assert any("Content Security Policy" in complaint for complaint in reader.complaints)


def test_what_the_server_lays_out_is_still_copied_by_a_list(kit, server, browser):
    """The second line: should the server let something through, the page does not put it in."""
    bad = "<p onclick='x()'>a<script>1</script><img src=x onerror=1><a href='javascript:1'>link</a>"
    bad += "<math><mi href='x'>b</mi></math></p>"
    copied = """async (bad) => {
      const { laidOut } = await import(new URL("page/dom.js", document.baseURI));
      const box = document.createElement("div");
      box.append(laidOut(bad));
      return box.innerHTML;
    }"""
    with kit.reading(browser, server.url) as reader:
        made = reader.page.evaluate(copied, bad)
        assert made == "<p>a1link<math><mi>b</mi></math></p>"


def test_a_server_that_goes_away_is_said(kit, browser, tmp_path):
    with kit.Server(tmp_path) as server, kit.reading(browser, server.url) as reader:
        page = reader.page
        page.get_by_role("heading", name="Ask a problem").wait_for()
        page.route("**/api/ask", lambda route: route.abort())
        reader.ask("What is the sum?", "quick")
        page.locator(".answer", has_text="The server cannot be reached.").wait_for()
        page.unroute("**/api/ask")
        half = json.dumps({"kind": "accepted", "id": "x"})
        page.route("**/api/ask", lambda route: route.fulfill(body=f"data: {half}\n\n", content_type="text/event-stream"))
        reader.ask("What is the sum?", "quick")
        page.locator(".answer", has_text="The connection broke off before the end.").wait_for()


def test_the_page_of_a_real_k2_serve(kit, tools, browser, tmp_path):
    """The command as people start it, a back end that speaks OpenAI's API behind it."""
    said = "Pairing gives $100^2$, so the answer is \\boxed{10000}."
    (tmp_path / "serve.toml").write_text(f'store = "{tmp_path / "traces.db"}"')
    with tools.api_server(lambda body: said) as api:
        file = tools.write(tools.VOTING, "voting.toml", url=api.base_url)
        with (
            tools.process("--config", file, "--serve", str(tmp_path / "serve.toml")) as (_, url),
            kit.reading(browser, url) as reader,
        ):
            page = reader.page
            reader.ask(QUESTION, "voting")
            reader.answered()
            assert page.locator(".answer .final").inner_text() == "10000"
            assert page.locator("article.card").count() == 3
            page.get_by_role("link", name="Link to this request").click()
            page.get_by_role("button", name="Replay").click()
            page.get_by_text("compared things are the same").wait_for()
            assert reader.complaints == []
            picture = tmp_path / "real.png"
            page.screenshot(path=picture, full_page=True)
            assert picture.stat().st_size > 30_000
