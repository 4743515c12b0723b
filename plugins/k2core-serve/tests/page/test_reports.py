"""Reports: listed, opened by an address that stands for the key, and kept from everything else."""

from __future__ import annotations

import os
import re

import pytest

REPORT = """<!doctype html><html><head><title>Tiny &amp; neat</title><style>p { color: red }</style></head>
<body><p id="said">waiting</p><script>
const said = [];
try { sessionStorage.getItem("k2core.key"); said.push("storage"); } catch { said.push("no storage"); }
try { parent.document.title; said.push("parent"); } catch { said.push("no parent"); }
fetch("/api/traces").then(() => said.push("api"), () => said.push("no api"))
  .then(() => { document.getElementById("said").textContent = said.join(", "); });
try { top.location = "about:blank"; } catch { /* not allowed */ }
</script></body></html>"""


@pytest.fixture
def server(kit, tmp_path):
    folder = tmp_path / "reports"
    (folder / "first" / "deep").mkdir(parents=True)
    (folder / "first" / "report.html").write_text(REPORT)
    (folder / "first" / "deep" / "other.html").write_text("<p>no title")
    (folder / "first" / "notes.md").write_text("not a page")
    (tmp_path / "secret.html").write_text("<title>secret</title>")
    os.symlink(tmp_path / "secret.html", folder / "link.html")
    os.utime(folder / "first" / "deep" / "other.html", (1, 1))
    with kit.Server(tmp_path, reports=str(folder)) as running:
        yield running


def test_they_are_listed_and_opened(server):
    found = server.get("/api/reports").json()["reports"]
    assert [(r["path"], r["title"]) for r in found] == [
        ("first/report.html", "Tiny & neat"),
        ("first/deep/other.html", "first/deep/other.html"),
    ]
    url = server.post("/api/reports/open", params={"path": "first/report.html"}).json()["url"]
    response = server.get(f"/{url}")
    assert response.text == REPORT
    policy = response.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "same-origin" not in policy.partition(";")[0]
    for path in ("../secret.html", "link.html", "/etc/passwd", "first", "first/notes.md", ""):
        assert server.post("/api/reports/open", params={"path": path}).status_code == 404
    assert server.get("/reports/view/guess").status_code == 404
    assert server.post("/api/reports/open").status_code == 400


def test_an_address_is_good_for_an_hour(tmp_path):
    from k2core_serve.page.reports import Reports

    (tmp_path / "report.html").write_text(REPORT)
    now = [0.0]
    reports = Reports(tmp_path, lambda: now[0])
    token = reports.address("report.html")
    assert reports.opened(token) == REPORT.encode()
    now[0] = 3601
    with pytest.raises(KeyError):
        reports.opened(token)


def test_a_report_in_its_frame_reaches_nothing(kit, server, browser):
    with kit.reading(browser, f"{server.url}/reports") as reader:
        page = reader.page
        page.get_by_role("link", name="Tiny & neat").click()
        said = page.frame_locator("iframe").locator("#said")
        said.filter(has_text="no storage, no parent, no api").wait_for()
        assert page.url.endswith("/reports/first/report.html"), "it has not taken the page elsewhere"
        api = [url for url in reader.requests if re.search("/api/traces", url)]
        assert not api or all("no api" in said.inner_text() for _ in api)
        page.get_by_role("link", name="All reports").click()
        page.get_by_role("heading", name="Evaluation reports").wait_for()
