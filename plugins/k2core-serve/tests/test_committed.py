"""A client never sees answer text that is taken back, whatever the back end does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_serve.openai.errors import ApiError
from k2core_serve.openai.narrator import Narrator

from k2core.events import Delta
from k2core.types import Candidate, Completion, Result


def result_of(text: str, reasoning: str = "") -> Result:
    candidate = Candidate(id="0", text=text, completion=Completion(text=text, reasoning=reasoning, tokens=3))
    return Result(run_id="r", problem_id="p", answer=text, candidate=candidate, candidates=(candidate,))


TEXTS = st.text(alphabet="ab ", max_size=8)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), TEXTS, st.integers(1, 5)), min_size=1, max_size=3))
def test_what_was_sent_is_always_how_the_answer_begins(attempts: list[tuple[bool, str, int]]) -> None:
    """Attempts of one call, each with reasoning or not, its text in pieces; the last one is the answer."""
    sent: dict[str, str] = {"text": "", "reasoning": "", "progress": ""}

    def put(kind: str, text: str) -> None:
        sent[kind] += text

    narrator = Narrator(put, direct=True)
    for number, (reasons, text, size) in enumerate(attempts):
        if reasons:
            narrator(Delta(call_id=str(number), candidate="0", text="hm", reasoning=True))
        for start in range(0, len(text), size):
            narrator(Delta(call_id=str(number), candidate="0", text=text[start : start + size]))
    reasons, text, _ = attempts[-1]
    try:
        narrator.finish(result_of(text, "hm" if reasons else ""))
    except ApiError:
        assert any(not text.startswith(earlier[: len(text)]) or len(earlier) > len(text) for _, earlier, _ in attempts[:-1])
    else:
        assert sent["text"] == text


def test_competing_candidates_are_not_shown_before_the_decision() -> None:
    told: list[tuple[str, str]] = []
    narrator = Narrator(lambda kind, text: told.append((kind, text)), direct=False)
    for candidate in "01":
        narrator(Delta(call_id=candidate, candidate=candidate, text="no"))
    assert told == []
    narrator.finish(result_of("yes"))
    assert [entry for entry in told if entry[1]] == [("text", "yes")]


class Breaking:
    """A chat server that breaks off its first answer after some words, and then gives another one whole."""

    def __init__(self, first: list[str], second: list[str]) -> None:
        self.first, self.second, self.calls = first, second, 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for word in self.first if self.calls == 1 else self.second:
            await self._send(response, {"content": word}, None)
        if self.calls == 1:
            assert request.transport is not None
            request.transport.close()
        else:
            await self._send(response, {}, "stop")
            await response.write(b"data: [DONE]\n\n")
        return response

    async def _send(self, response: web.StreamResponse, delta: dict[str, str], finish: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        await response.write(b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode())
        await asyncio.sleep(0.02)  # so that words that were sent have arrived

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


async def streamed(url: str, body: dict[str, Any]) -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(**body, stream=True)
        return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])


def test_a_second_attempt_that_begins_alike_goes_on_where_the_first_broke_off(tools: Any) -> None:
    async def main() -> tuple[str, int]:
        upstream = Breaking(["It is ", "42"], ["It ", "is ", "42, ", "surely."])
        async with upstream as url:
            with tools.serve(tools.write(tools.SINGLE, url=url)) as server:
                return await streamed(server.url, tools.ask()), upstream.calls

    assert asyncio.run(main()) == ("It is 42, surely.", 2)


def test_a_second_attempt_that_differs_ends_with_an_error_and_no_other_text(tools: Any) -> None:
    async def main() -> tuple[str, str, str]:
        async with Breaking(["It is ", "42"], ["Maybe ", "43."]) as url:
            with tools.serve(tools.write(tools.SINGLE, url=url)) as server:
                async with httpx.AsyncClient(timeout=20) as client:
                    answer = await client.post(f"{server.url}/v1/chat/completions", json=tools.ask(stream=True))
                async with Breaking(["It is ", "42"], ["Maybe ", "43."]) as second:
                    tools.write(tools.SINGLE, url=second)
                    server.within(lambda: server.services.pipelines.reread("m"))
                    with pytest.raises(openai.APIError) as caught:
                        await streamed(server.url, tools.ask())
                return answer.text, str(caught.value), str(server.services.serving.running)

    text, error, running = asyncio.run(main())
    assert "It is" in text
    assert "Maybe" not in text
    assert "[DONE]" not in text
    assert "answer_interrupted" in text
    assert "second attempt" in error
    assert running == "0"


def test_a_failure_before_and_in_a_stream_has_openais_form(tools: Any) -> None:
    def fails(body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": {"message": "not today"}}, status=400)

    with tools.api_server(fails) as api, tools.serve(tools.write(tools.SINGLE, url=api.base_url)) as server:
        answer = server.post(json=tools.ask())
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "pipeline_failed"
        assert "not today" in answer.json()["error"]["message"]  # without keys, whoever asks runs it
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            with pytest.raises(openai.APIError, match="not today"):
                list(client.chat.completions.create(**tools.ask(), stream=True))
            *_, failed, error = client.responses.create(model="m", input="6 x 7?", stream=True)
            assert failed.type == "response.failed"
            assert failed.response.error
            assert "not today" in failed.response.error.message
            assert error.type == "error"
            assert "not today" in error.message
