"""A real server with the page, whose pipelines are real but for the model, and a browser to look at it."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from k2core_serve.application import application
from k2core_serve.settings import Settings

from k2core import Completion, DecodeRequest, Registry, Run, hookimpl
from k2core.plugin import Plugin, PluginConfig

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), None)
QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"

CAREFUL = """
seed = 7
[planner]
use = "think"
[sampler]
use = "best-of-n"
n = 3
[verifiers.math]
[decoders.solver]
use = "scripted"
[prices.solver]
prompt = 0.4
completion = 1.6
"""
QUICK = """
seed = 7
[sampler]
use = "single"
[verifiers.math]
[decoders.solver]
use = "scripted"
"""

PLAN = "Write the sum as $\\sum_{k=1}^{n}(2k-1)$ and look for a pattern in the first few values of $n$ before proving it."
THOUGHT = "The first values are 1, 4, 9, 16. They look like squares.\nLet me check: $n^2$ for $n = 4$ is 16. Yes.\n"
RIGHT = (
    "Pair the terms, or use the formula for an arithmetic series:\n\n"
    "$$\\sum_{k=1}^{n} (2k-1) = 2\\cdot\\frac{n(n+1)}{2} - n = n^2.$$\n\n"
    "1. For $n = 100$ the sum is $100^2$.\n2. That is **ten thousand**.\n\nThe answer is $\\boxed{10000}$."
)
WRONG = "The last odd number is 199 and the first is 1, so the mean is $\\bar{x} = 99.5$.\n\nThe answer is $\\boxed{9950}$."


class ScriptedConfig(PluginConfig):
    """There is nothing to set."""


class Scripted(Plugin):
    """Stands in for a model: a plan, a thought, then an answer, word by word. The problem may say how it shall behave."""

    config: ScriptedConfig

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        run.meter(prompt_tokens=sum(len(m.content.split()) for m in request.messages))
        return await asyncio.gather(*(self._choice(run, request, index) for index in range(request.n)))

    async def _choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        asked = request.messages[-1].content
        thought, text = ("", PLAN) if request.role == "plan" else (THOUGHT, self._reply(run, asked, request, index))
        if "please fail" in asked and request.role == "solve":
            raise RuntimeError("the model at http://10.1.2.3/v1 is out of order")
        pace = 0.15 if "slowly" in asked else 0.02 if "gently" in asked else 0.0
        tokens = 0
        for part, reasoning in ((thought, True), (text, False)):
            for word in part.replace(" ", " \0").split("\0"):
                if word:
                    await asyncio.sleep(pace)
                    run.delta(word, index, reasoning=reasoning)
                    tokens += 1
        if "without end" in asked and request.role == "solve":
            await asyncio.Event().wait()  # until it is cancelled, however busy the machine is
        return Completion(text=text, reasoning=thought, tokens=tokens, model="scripted")

    def _reply(self, run: Run, asked: str, request: DecodeRequest, index: int) -> str:
        if "say:" in asked:
            return asked.partition("say:")[2]
        place = request.candidates[index] if index < len(request.candidates) else ""
        return WRONG if place.endswith("1") else RIGHT


class Server:
    """In a thread of this process, on a free port."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        for name, text in (("careful", CAREFUL), ("quick", QUICK)):
            (folder / f"{name}.toml").write_text(text)
        presets = {"low": ("sampler.n=1",), "high": ("sampler.n=5",)}
        models = {
            "careful": {"config": str(folder / "careful.toml"), "presets": presets},
            "quick": {"config": str(folder / "quick.toml")},
        }
        registry = Registry()
        registry.add("decoder", "scripted", Scripted)
        self.folder = folder
        self.settings = Settings.model_validate(
            {"models": models, "store": str(folder / "traces.db"), "watch_seconds": 0, **settings}
        )
        self.app = application(self.settings, registry=registry)
        self._server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_config=None, ws="none", lifespan="on"))
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._server.serve())

    def __enter__(self) -> Server:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)

    @property
    def running(self) -> int:
        return int(self.app.state.services.serving.running)

    def ask(self, problem: str, pipeline: str = "quick", **options: Any) -> list[dict[str, Any]]:
        """The events of one request of the page."""
        body = {"pipeline": pipeline, "problem": problem, "effort": ""}
        with httpx.stream("POST", self.url + "/api/ask", json=body, timeout=30, **options) as response:
            assert response.status_code == 200, response.read()
            lines = [line for line in response.iter_lines() if line.startswith("data: ")]
        return [json.loads(line[6:]) for line in lines]

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=60, **options)


class Reader:
    """A page that is open, with everything that it asked for and complained of."""

    def __init__(self, browser: Any, url: str, width: int = 1280, scheme: str = "light", height: int = 900) -> None:
        viewport = {"width": width, "height": height}
        self._context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        self.page = self._context.new_page()
        self.page.set_default_timeout(15_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def ask(self, problem: str, pipeline: str = "careful") -> None:
        self.page.get_by_label("Your problem").fill(problem)
        self.page.get_by_label("Pipeline", exact=True).select_option(pipeline)
        self.page.get_by_role("button", name="Ask", exact=True).click()

    def answered(self) -> None:
        self.page.locator(".stages li[data-state=done]").nth(3).wait_for()


class Tools:
    """What tests of the page use, as one fixture."""

    Server, Reader, CAREFUL, QUICK = Server, Reader, CAREFUL, QUICK

    @staticmethod
    @contextmanager
    def reading(browser: Any, url: str, **options: Any) -> Iterator[Reader]:
        with Reader(browser, url, **options) as reader:
            yield reader


@pytest.fixture(scope="session")
def kit() -> type[Tools]:
    return Tools


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")  # as long as it is there, no other event loop can run in this thread
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("no chromium or chrome on the PATH")
    with playwright.sync_playwright() as started:
        options: dict[str, Any] = {"executable_path": BROWSER, "headless": True, "args": QUIET.split()}
        try:
            found = started.chromium.launch(**options)
        except playwright.Error:  # containers without user namespaces
            found = started.chromium.launch(**{**options, "args": [*QUIET.split(), "--no-sandbox"]})
        yield found
        found.close()
