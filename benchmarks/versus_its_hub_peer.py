"""The part of `versus_its_hub.py` that runs in an interpreter with its_hub: prints a JSON line for each of its variants."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import urllib.request
from typing import Any

from its_hub import AdaptiveSelfConsistency, BetaSelfConsistency, OpenAICompatibleLanguageModel, SelfConsistency

VARIANTS = {
    "self-consistency": lambda: SelfConsistency(boxed),
    "beta 0.95": lambda: BetaSelfConsistency(0.95, boxed),
    "beta 0.93": lambda: BetaSelfConsistency(0.93, boxed),
    "adaptive 0.75": lambda: AdaptiveSelfConsistency(0.75, boxed),
}


def boxed(text: str) -> str:
    """The last boxed answer."""
    found = re.findall(r"\\boxed\{([^{}]*)\}", text)
    return found[-1] if found else text.strip()


def stats(url: str) -> Any:
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats?reset=1") as reply:
        return json.load(reply)


async def measured(url: str, algorithm: Any, problems: int, n: int) -> dict[str, Any]:
    """Latencies, what the server saw, and what the results report."""
    stats(url)
    seconds, calls, tokens, answers = [], 0, 0, []
    async with OpenAICompatibleLanguageModel(endpoint=url, api_key="none", model_name="mock") as model:
        for place in range(problems):
            began = time.perf_counter()
            result = await algorithm.ainfer(model, f"Problem {place}: what is the answer?", budget=n, return_response_only=False)
            seconds.append(time.perf_counter() - began)
            calls += len(result.responses)
            tokens += result.usage.prompt_tokens + result.usage.completion_tokens if result.usage else 0
            answers.append(boxed(result.the_one["content"]))
    await asyncio.sleep(0.1)  # the server hears of the last broken connections
    return {"seconds": seconds, "server": stats(url), "booked": calls, "tokens": tokens, "answers": answers}


def main() -> None:
    url, problems, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for name, make in VARIANTS.items():
        print(json.dumps({"name": f"its_hub {name}", **asyncio.run(measured(url, make(), problems, n))}), flush=True)


if __name__ == "__main__":
    main()
