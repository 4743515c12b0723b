"""`k2 config`."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugin_dirs import broken_distributions, make_distribution, with_path

from k2core import PipelineConfig

Run = Callable[..., Any]


def test_show_prints_every_default_as_toml_that_reads_back(k2: Run, pipeline: Path, tmp_path: Path) -> None:
    done = k2("config", "show", pipeline, "--set", "sampler.n=7")
    assert (done.status, done.err) == (0, "")
    shown = tomllib.loads(done.out)
    assert shown["sampler"] == {"use": "fake", "n": 7, "decoder": "solver"}
    assert shown["decoders"]["solver"]["delay"] == 0.0
    assert shown["retry"]["attempts"] == 4
    again = tmp_path / "again.toml"
    again.write_text(done.out, encoding="utf-8")
    assert k2("config", "show", again).out == done.out


def test_show_prints_json_too(k2: Run, pipeline: Path) -> None:
    shown = json.loads(k2("config", "show", pipeline, "--json").out)
    assert shown == tomllib.loads(k2("config", "show", pipeline).out)


def test_show_refuses_what_is_wrong(k2: Run, pipeline: Path) -> None:
    done = k2("config", "show", pipeline, "--set", "sampler.n=x")
    assert done.status == 2
    assert "sampler.n: " in done.err


def test_check_says_ok(k2: Run, pipeline: Path) -> None:
    assert k2("config", "check", pipeline) == (0, "ok\n", "")


def test_check_names_every_fault_with_a_hint(k2: Run, tmp_path: Path, fakes: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        '[planner]\nuse = "fkae"\n[sampler]\nuse = "fake"\nm = 3\ndecoder = "solvr"\n'
        '[verifiers.fake]\nright = 42\nwrong = 41\n[decoders.solver]\nuse = "fake"\n',
        encoding="utf-8",
    )
    done = k2("config", "check", path)
    assert (done.status, done.out) == (2, "")
    lines = sorted(done.err.splitlines())
    assert [line.partition(": ")[0] for line in lines] == [
        "planner.use",
        "sampler.m",
        "verifiers.fake.right",
        "verifiers.fake.wrong",
    ]
    assert "did you mean 'fake'?" in lines[0]
    assert "unknown option" in lines[1]
    assert "valid string" in lines[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sampler\n", "is not valid TOML"),
        ("plan = 'never'\n", "plan: "),
        ("[limits]\ntimeout = -1\nsoft = 2\n", "limits.soft: unknown option"),
    ],
)
def test_check_tells_faults_of_the_file_itself(k2: Run, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    done = k2("config", "check", path)
    assert done.status == 2
    assert message in done.err


def test_a_file_that_is_not_there_is_named(k2: Run) -> None:
    done = k2("config", "check", "/nowhere/x.toml")
    assert done.status == 2
    assert "/nowhere/x.toml" in done.err


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Made once, as it imports every plugin in a child process."""
    root = tmp_path_factory.mktemp("dist")
    points = {"k2core.sampler.v1": "FakeSampler", "k2core.planner.v1": "FakePlanner", "k2core.verifier.v1": "FakeVerifier"}
    points["k2core.decoder.v1"] = "FakeDecoder"
    make_distribution(root, "acme-fakes", "1.0", {group: {"fake": f"k2core.testing:{name}"} for group, name in points.items()})
    command = [sys.executable, "-m", "k2core", "config", "schema"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=with_path(root))
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_in_the_schema_use_selects_the_plugins_options(schema: dict[str, Any]) -> None:
    table = schema["$defs"]["sampler.fake"]
    assert table["properties"]["use"]["const"] == "fake"
    assert table["properties"]["n"] == {"default": 1, "description": "How many candidates.", "title": "N", "type": "integer"}
    assert table["additionalProperties"] is False
    assert {"$ref": "#/$defs/sampler.fake"} in schema["$defs"]["sampler"]["oneOf"]
    assert "weight" in schema["$defs"]["verifier.fake"]["properties"]
    assert "from acme-fakes 1.0" in table["properties"]["use"]["description"]


def test_every_reference_of_the_schema_has_its_definition_and_every_definition_its_use(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    for name in schema["$defs"]:
        assert f'"#/$defs/{name}"' in text, f"{name} is never used"
    for used in {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}:
        assert used in schema["$defs"]


def test_the_schema_tells_good_pipelines_from_bad_ones(schema: dict[str, Any], pipeline: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    good = tomllib.loads(pipeline.read_text(encoding="utf-8"))
    assert list(validator.iter_errors(good)) == []
    assert list(validator.iter_errors(PipelineConfig.from_dict(good).model_dump(mode="json", exclude_none=True))) == []
    for path, value in (
        ("sampler.m", 1),
        ("sampler.n", "x"),
        ("sampler.use", "nobody"),
        ("planner", {"prompt": "without use"}),
        ("verifiers.fake.weight", -1),
        ("verifiers.mine", {"right": "a name that is no plugin's needs use"}),
        ("limits.timeouts", 1),
        ("plan", "never"),
    ):
        bad = json.loads(json.dumps(good))
        *tables, last = path.split(".")
        place = bad
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
        assert list(validator.iter_errors(bad)), f"{path} = {value!r} must be refused"


def test_broken_plugins_are_left_out_of_the_schema_with_a_note(k2_process: Run, fakes: Path) -> None:
    broken_distributions(fakes)
    (fakes / "acme_slow.py").write_text("1/0\n", encoding="utf-8")  # waiting for it is tested elsewhere
    done = k2_process("config", "schema")
    assert done.status == 0
    assert "planner.fake" in json.loads(done.out)["$defs"]
    assert "planner.broken" not in json.loads(done.out)["$defs"]
    assert "k2: left out: planner broken: " in done.err
    assert "k2: left out: planner crashing: importing it ends the process" in done.err
