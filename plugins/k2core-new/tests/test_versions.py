"""`docs/plugins/versions.md`, tested: old plugins on a newer core, newer plugins on this one, and what is on its way out.

The newer core is a copy of the kernel with the change that a later version would bring; the packages are built and installed.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from k2core_new.names import Names
from k2core_new.scaffold import project, write
from plugin_dirs import make_distribution

import k2core
from k2core import PipelineConfig, Registry, Runtime
from k2core import types as records
from k2core.spec import ROLE_VERSIONS, Specs
from k2core.testing import assert_conforms, checks_for

PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "versions.md"
SOLVE = """
import asyncio, json, sys, warnings
from k2core import PipelineConfig, Registry, Runtime, __version__
from k2core.testing import FakeDecoder, FakeSampler

async def main(planner):
    registry = Registry()
    registry.add("decoder", "fake", FakeDecoder)
    registry.add("sampler", "fake", FakeSampler)
    tables = {"planner": {"use": planner}, "sampler": {"use": "fake"}, "decoders": {"solver": {"use": "fake"}}}
    async with Runtime(PipelineConfig.from_dict(tables), registry=registry) as runtime:
        result = await runtime.solve("What is 2 + 3?", seed=1)
        print(__version__, "plan:", result.plan and result.plan.prompt, *result.warnings)

asyncio.run(main(sys.argv[1]))
"""
"""Prints the core's version and the plan; the planner is an installed one."""
OUTLINE = "k2_plan(self, run: Run, problem: Problem)"
BUDGET = "    budget: int = 0\n"


def edited(files: dict[str, str], *changes: tuple[str, str]) -> dict[str, str]:
    """The files of a project, changed wherever the text occurs; it must."""
    for before, after in changes:
        assert any(before in text for text in files.values()), before
        files = {path: text.replace(before, after) for path, text in files.items()}
    return files


def fresh(name: str) -> dict[str, str]:
    return project(Names("planner", name, name.capitalize()))


PROJECTS: dict[str, Callable[[], dict[str, str]]] = {
    "old": lambda: fresh("old"),  # as `k2 new` writes them today
    "both": lambda: edited(
        fresh("both"),
        (
            '[project.entry-points."k2core.planner.v1"]\n',
            '[project.entry-points."k2core.planner.v2"]\nboth = "k2core_both:Both"\n\n[project.entry-points."k2core.planner.v1"]\n',
        ),
    ),
    "next": lambda: edited(fresh("next"), ("k2core.planner.v1", "k2core.planner.v2"), ("k2core>=0.1,<0.2", "k2core>=0.2,<0.3")),
    "eager": lambda: edited(fresh("eager"), (OUTLINE, OUTLINE[:-1] + ", budget: int)"), ("k2core>=0.1,<0.2", "k2core>=0.2,<0.3")),
    "ahead": lambda: edited(fresh("ahead"), ("import DecodeRequest,", "import Budget, DecodeRequest,")),
    "field": lambda: edited(fresh("field"), ("Plan(prompt=", "Plan(budget=1, prompt=")),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages, built and installed in one place."""
    pytest.importorskip("hatchling", reason="the packages cannot be built without their build back end")
    sources, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("site")
    for name, make in PROJECTS.items():
        write(make(), sources / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), *(str(sources / name) for name in PROJECTS)], check=True, timeout=300)
    return target


def newer_core(root: Path, **changes: tuple[str, str]) -> Path:
    """A copy of the kernel, installed as 0.2.0, with changes by module: text and what stands in its place."""
    shutil.copytree(Path(k2core.__file__).parent, root / "k2core", ignore=shutil.ignore_patterns("__pycache__"))
    for module, (before, after) in {
        "__init__": (f'__version__ = "{k2core.__version__}"', '__version__ = "0.2.0"'),
        **changes,
    }.items():
        path = root / "k2core" / f"{module}.py"
        text = path.read_text("utf-8")
        assert before in text, f"{module} holds no {before!r}"
        path.write_text(text.replace(before, after), "utf-8")
    return make_distribution(root, "k2core", "0.2.0")


def run(*arguments: str, path: tuple[Path, ...], flags: tuple[str, ...] = ("-W", "error")) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run([sys.executable, "-P", *flags, *arguments], env=env, capture_output=True, text=True, timeout=120)


PLAN_SPEC = "async def k2_plan(self, run: Run, problem: Problem) -> Plan | None:"


def test_an_old_plugin_runs_on_a_newer_core_without_a_warning(site: Path, tmp_path: Path) -> None:
    """A later core has one more argument, one more field and one more hook."""
    more = (
        '    @hookspec\n    def k2_pause(self) -> None:\n        """Later."""\n\n    @hookspec(firstresult=True)\n    ' + PLAN_SPEC
    )
    spec = more.replace("problem: Problem)", "problem: Problem, budget: int)")
    core = newer_core(
        tmp_path,
        spec=("    @hookspec(firstresult=True)\n    " + PLAN_SPEC, spec),
        run=('self._role(slot, "k2_plan", {"problem": problem})', 'self._role(slot, "k2_plan", {"problem": problem, "budget": 7})'),
        types=("class Plan(Record):\n", "class Plan(Record):\n" + BUDGET),
    )
    done = run("-c", SOLVE, "old", path=(core, site))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0.2.0 plan: Follow these steps:")
    eager = run("-c", SOLVE, "eager", path=(core, site))
    assert eager.stdout.startswith("0.2.0 plan: Follow these steps:"), eager.stderr


def test_a_deprecated_argument_names_the_plugins_line_and_goes_on_working(site: Path, tmp_path: Path) -> None:
    note = 'DeprecationWarning("k2_plan: `run` is deprecated since 0.2: use `session`; it goes in 0.3")'
    core = newer_core(tmp_path, spec=("    @hookspec(firstresult=True)\n    " + PLAN_SPEC,
        f"    @hookspec(firstresult=True, warn_on_impl_args={{\"run\": {note}}})\n    " + PLAN_SPEC))  # fmt: skip
    done = run("-c", SOLVE, "old", path=(core, site), flags=("-W", "always::DeprecationWarning"))
    assert done.stdout.startswith("0.2.0 plan: Follow these steps:"), done.stderr
    assert re.search(r"k2core_old\.py:\d+: DeprecationWarning: k2_plan: `run` is deprecated since 0.2", done.stderr)
    quiet = run("-c", SOLVE, "old", path=(core, site), flags=())
    assert quiet.stderr == "", "users cannot mend it"
    skip = "\n".join(f'{check.name} = "not the matter here"' for check in checks_for("planner") if not check.static)
    (tmp_path / "settings.toml").write_text(f"[tool.k2core.check.old.skip]\n{skip}\n")
    told = run("-m", "k2core", "check", "k2core-old", "--settings", str(tmp_path / "settings.toml"), path=(core, site), flags=())
    assert "advice  planner old  nothing_is_deprecated: k2_plan: `run` is deprecated since 0.2" in told.stdout, told.stderr
    assert "failed  package  core_is_required: it needs k2core<0.2,>=0.1, and this k2core is 0.2.0" in told.stdout


def test_a_new_role_version_refuses_the_old_and_takes_its_own(site: Path, tmp_path: Path) -> None:
    core = newer_core(tmp_path, spec=('{"planner": 1,', '{"planner": 2,'))
    old = run("-c", SOLVE, "old", path=(core, site))
    assert "'old' of k2core-old 0.1.0 is made for planner v1, this k2core has v2; upgrade k2core-old" in old.stderr
    for name in ("next", "both"):
        done = run("-c", SOLVE, name, path=(core, site))
        assert done.stdout.startswith("0.2.0 plan: Follow these steps:"), done.stderr


def test_plugins_for_a_newer_core_are_in_nobodys_way(site: Path, tmp_path: Path) -> None:
    for name in ("old", "both"):
        done = run("-c", SOLVE, name, path=(site,))
        assert done.stdout.startswith("0.1.0 plan: Follow these steps:"), done.stderr
    listed = run("-m", "k2core", "plugins", "--json", path=(site,), flags=())
    assert listed.returncode == 0, listed.stderr
    assert "made for planner v2, this k2core has v1; upgrade k2core" in listed.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("next", "planner 'next' of k2core-next 0.1.0 is made for planner v2, this k2core has v1; upgrade k2core"),
        ("eager", r"planner 'eager' cannot be registered: .*budget"),
        ("ahead", r"cannot be imported: ImportError: cannot import name 'Budget' from 'k2core'"),
    ],
)
def test_naming_one_says_what_it_lacks(name: str, message: str, site: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(f'[planner]\nuse = "{name}"\n[decoders.solver]\nuse = "llamacpp"\n')
    done = run("-m", "k2core", "think", "2 + 3?", "--config", str(tmp_path / "pipeline.toml"), path=(site,), flags=())
    assert done.returncode == 2, done.stderr
    [line] = [text for text in done.stderr.splitlines() if text.startswith("k2: error: ")]
    assert re.search(message, line), line


def test_a_field_that_this_core_lacks_costs_the_plan_and_says_so(site: Path) -> None:
    done = run("-c", SOLVE, "field", path=(site,))
    assert done.returncode == 0, done.stderr
    assert "plan: None" in done.stdout
    assert "budget" in done.stdout
    assert "Extra inputs are not permitted" in done.stdout


@pytest.fixture(scope="module")
def shorter(tmp_path_factory: pytest.TempPathFactory) -> types.ModuleType:
    """The module that the page shows."""
    if not PAGE.is_file():
        pytest.skip("the documentation is not part of this checkout")
    found = re.search(r"^```python\n# (k2core_shorter.py)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found
    path = tmp_path_factory.mktemp("shown") / found[1]
    path.write_text(found[2], "utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def assembled(shorter: types.ModuleType, **options: int) -> int:
    registry = Registry()
    registry.add("verifier", "shorter", shorter.Shorter)
    runtime = Runtime(PipelineConfig.from_dict({"verifiers": {"shorter": options}}), registry=registry)
    assert runtime
    config = shorter.ShorterConfig(**options)
    return int(config.words or config.length)


def test_a_deprecated_option_works_and_whoever_sets_it_is_told(shorter: types.ModuleType) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert assembled(shorter) == 200
        assert assembled(shorter, length=3) == 3
    with pytest.warns(FutureWarning, match="the option 'words' is deprecated: say `length`; it goes in 0.4"):
        assert assembled(shorter, words=5) == 5
    properties = shorter.ShorterConfig.model_json_schema()["properties"]
    assert properties["words"]["deprecated"] is True
    assert "deprecated" not in properties["length"]


def test_the_option_is_told_once_in_a_process(shorter: types.ModuleType) -> None:
    code = "from k2core_shorter import ShorterConfig\nfor _ in range(3): ShorterConfig(words=5)"
    done = run("-c", code, path=(Path(str(shorter.__file__)).parent,), flags=())
    assert done.stderr.count("FutureWarning: the option 'words' is deprecated") == 1, done.stderr


def test_a_plugin_with_a_deprecated_option_keeps_the_rules(shorter: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(str(shorter.__file__)).parent))
    assert_conforms("verifier", shorter.Shorter)


V1_HOOKS = {
    "k2_plan": ["run", "problem"],
    "k2_sample": ["run", "problem", "plan"],
    "k2_verify": ["run", "problem", "candidates", "reference"],
    "k2_decode": ["run", "request"],
    "k2_train": ["session", "tasks"],
    "k2_tasks": ["name", "split", "limit", "seed"],
    "k2_around": ["run", "call"],
    "k2_event": ["event"],
    "k2_start": [],
    "k2_stop": [],
    "k2_commands": ["app"],
}
V1_REQUIRED = {
    "Message": {"role", "content"},
    "Tools": {"functions"},
    "ToolCall": {"id", "name", "arguments"},
    "Task": {"problem"},
    "Plan": {"prompt"},
    "DecodeRequest": {"messages"},
    "TokenLogprob": {"token", "logprob"},
    "Completion": {"text"},
    "Candidate": {"id", "text"},
    "Verdict": {"candidate_id", "status"},
    "TrainReport": {"steps"},
}
"""What plugins must give when they make a record."""


def test_version_1_of_each_role_still_holds() -> None:
    """Whoever must change this has changed a role's version, or breaks plugins that others have published."""
    assert set(ROLE_VERSIONS.values()) == {1}
    for hook, arguments in V1_HOOKS.items():
        assert set(arguments) <= set(inspect.signature(getattr(Specs, hook)).parameters), hook
    for cls in vars(records).values():
        if isinstance(cls, type) and issubclass(cls, records.Record):
            required = {name for name, field in cls.model_fields.items() if field.is_required()}
            assert required <= V1_REQUIRED.get(cls.__name__, required if cls.__name__ == "Result" else set()), cls.__name__
