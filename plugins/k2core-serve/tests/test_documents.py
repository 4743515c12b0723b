"""What the README and the how-tos say is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from k2core_serve.admin import NewPipeline, NewShadow
from k2core_serve.openai.asked import understood
from k2core_serve.openai.chat_request import ChatBody
from k2core_serve.settings import LimitsTable, Settings, load

from k2core import PipelineConfig

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
README = HERE / "README.md"
PAGES = [README, ROOT / "docs/howto/serve.md", ROOT / "docs/howto/swap.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str = "") -> list[str]:
    return [match[2] for match in BLOCK.finditer(page.read_text(encoding="utf-8")) if match[1] == language]


def test_python_blocks_run(tmp_path: Path) -> None:
    for page in PAGES:
        for text in blocks(page, "python"):
            done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 0, done.stderr


def test_the_settings_shown_are_settings() -> None:
    (text,) = [text for text in blocks(ROOT / "docs/howto/serve.md") if text.startswith("host")]
    settings = Settings.model_validate(tomllib.loads(text))
    assert settings.keys["operator"].admin
    assert list(settings.models["math"].presets) == ["low", "high"]


def test_the_requests_shown_are_requests() -> None:
    said = "\n".join(text for page in PAGES for text in blocks(page))
    bodies = [json.loads(body) for body in re.findall(r"-d '(\{.*\})'", said)]
    forms = {"messages": ChatBody, "name": NewPipeline, "model": NewShadow}
    assert len(bodies) == 3
    for body in bodies:
        form = next(form for field, form in forms.items() if field in body)
        understood(form, body)
        if "toml" in body:
            PipelineConfig.from_toml(body["toml"])


def test_the_limits_in_the_table_are_the_defaults() -> None:
    row = next(line for line in README.read_text().splitlines() if line.startswith("| `limits` |"))
    units = {"": 1, " MiB": 2**20}
    shown = {name: float(value) * units[unit] for name, value, unit in re.findall(r"`(\w+)` ([\d.]+)( MiB)?", row)}
    assert shown == {name: field.default for name, field in LimitsTable.model_fields.items()}


def test_every_option_is_in_the_table() -> None:
    table = README.read_text().partition("| option |")[2].partition("\n\n")[0]
    assert [name for name in Settings.model_fields if not re.search(rf"`{name}[`.]", table)] == []


@pytest.mark.parametrize("field", [name for name in ChatBody.model_fields if name not in ("model", "messages", "stream")])
def test_every_parameter_is_honoured_refused_or_said_to_be_without_effect(field: str) -> None:
    from k2core_serve.openai.chat_request import _ONLY

    text = README.read_text()
    assert f"`{field}" in text or field in _ONLY


def test_the_description_names_every_address_and_every_parameter() -> None:
    from k2core_serve.application import routes, services_for
    from k2core_serve.openapi import description
    from k2core_serve.records import NoRecorder

    found = routes(services_for(Settings(page=False), NoRecorder(), None))
    served = {getattr(route, "path", "").replace(":path", "") for route in found} - {"/metrics", "/openapi.json"}
    assert set(description()["paths"]) == {path for path in served if "{rest" not in path}
    assert set(description()["components"]["schemas"]["ChatBody"]["properties"]) == set(ChatBody.model_fields)
    json.dumps(description(), allow_nan=False)


def test_the_example_loads() -> None:
    settings = load(ROOT / "examples/serve/serve.toml")
    for table in settings.models.values():
        PipelineConfig.from_file(table.config, table.set)
        for overrides in table.presets.values():
            PipelineConfig.from_file(table.config, [*table.set, *overrides])
