"""The guide's pipeline, run by `k2 think` against a server that plays planner and solver."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

GUIDE = (Path(__file__).parents[3] / "docs" / "howto" / "cerebras.md").read_text(encoding="utf-8")


def test_the_pipeline_of_the_guide(kit: Any, tmp_path: Path) -> None:
    match = re.search(r"```toml\n(# cerebras.toml\n.*?)```", GUIDE, re.S)
    assert match
    (tmp_path / "cerebras.toml").write_text(match[1], encoding="utf-8")
    models: list[str] = []

    def script(wire: Any) -> None:
        model = wire.body["model"]
        models.append(model)
        plan = '{"hard": true, "topics": ["arithmetic"], "plan": "Add the tens, then the units."}'
        text = plan if model == "gpt-oss-120b" else "17 + 25 = \\boxed{42}"
        last = {**kit.chunk(None, "stop"), **kit.usage(7, 925, accepted=80, rejected=40), "model": model}
        wire.stream(kit.events({**kit.chunk(text), "model": model}, last))

    async def main() -> tuple[int | None, str, str]:
        async with kit.Server(script) as server:
            urls = [part for name in ("solver", "planner") for part in ("--set", f"decoders.{name}.base_url={server.url}/v1")]
            command = [
                sys.executable,
                "-m",
                "k2core",
                "think",
                "--config",
                str(tmp_path / "cerebras.toml"),
                *urls,
                "What is 17 + 25?",
            ]
            pipe = asyncio.subprocess.PIPE
            child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=os.environ)
            out, err = await asyncio.wait_for(child.communicate(), 60)
            return child.returncode, out.decode(), err.decode()

    status, out, err = asyncio.run(main())
    assert (status, out) == (0, "42\n"), err
    assert models.count("k2-think") == 3
    assert re.search(r"solve 1 call .*\(240 of 360 drafted accepted\)", err) or re.search(r"solve 3 calls .*\(240 of 360", err), err
    assert "speed: k2-think 1,850 tokens/s per answer" in err
    assert kit.key not in err
