"""Checks of what importing a plugin's module and constructing the plugin do, each observed in a fresh interpreter."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .report import Faults, Skipped, check

if TYPE_CHECKING:
    from .subject import Subject

HEAVY = frozenset(
    "accelerate datasets deepspeed jax llama_cpp numpy pandas pyarrow ray scipy sglang sklearn sympy tensorflow torch torchvision "
    "transformers trl verl vllm xllamacpp".split()
)
"""Modules that take longer to import than a plugin may."""
CONSTRUCT_SECONDS = 0.1
PROBE_SECONDS = 60.0
INTO_START = "do that in k2_start and undo it in k2_stop"


@check(static=True)
def import_is_quiet(subject: Subject) -> Faults:
    """Importing the module works in a fresh interpreter, and prints nothing."""
    found = _probe(subject)["import"]
    if found["error"]:
        yield f"importing {subject.cls.__module__} fails: {found['error']}"
    for stream in ("stdout", "stderr"):
        if found[stream]:
            yield f"importing {subject.cls.__module__} prints {found[stream]!r:.200} to {stream}; log in functions instead"


@check(static=True)
def import_starts_nothing(subject: Subject) -> Faults:
    """Importing the module starts no thread and no process, opens no socket and writes no file."""
    found = _probe(subject)["import"]
    if found["threads"]:
        yield f"importing {subject.cls.__module__} starts {found['threads']} thread(s); {INTO_START}"
    if found["events"]:
        yield f"importing {subject.cls.__module__} does {'; '.join(found['events'][:5])}; {INTO_START}"


@check(static=True)
def import_changes_nothing(subject: Subject) -> Faults:
    """Importing the module leaves the process as it was: environment, signals, logging, warnings, locale, random state and more."""
    if changes := _probe(subject)["import"]["changes"]:
        yield f"importing {subject.cls.__module__} changes {', '.join(changes)}, which belong to the program that embeds it"


@check(static=True)
def import_is_light(subject: Subject) -> Faults:
    """Importing the module imports no heavy library, such as torch or transformers."""
    if heavy := HEAVY.intersection(_probe(subject)["import"]["modules"]):
        yield f"importing {subject.cls.__module__} imports {', '.join(sorted(heavy))}; import in k2_start or where it is used"


@check(static=True)
def import_is_fast(subject: Subject) -> Faults:
    """Importing the module takes, beyond k2core itself, at most `subject.import_seconds`, the fastest of three counted.

    The time is put in relation to that of k2core's own import, so that a busy machine does not count.
    """
    limit = subject.import_seconds
    seconds = [_probe(subject)["import"]["seconds"]]
    while min(seconds) > limit and len(seconds) < 3:
        seconds.append(_run_probe(subject)["import"]["seconds"])
    if min(seconds) > limit:
        yield (
            f"importing {subject.cls.__module__} takes {min(seconds):.2f} s, beyond k2core's own import; {limit} s are allowed. "
            "Find the cause with `python -X importtime`, and import late"
        )


@check(static=True)
def constructor_touches_nothing(subject: Subject) -> Faults:
    """The constructor is cheap, and opens, starts, prints and changes nothing: resources belong into `k2_start`."""
    found = _probe(subject).get("construct")
    if found is None:
        raise Skipped("the class cannot be reached by its qualified name, so it was not constructed in a fresh interpreter")
    if found["error"]:
        yield f"the constructor fails: {found['error']}"
    if found["threads"]:
        yield f"the constructor starts {found['threads']} thread(s); {INTO_START}"
    if found["events"]:
        yield f"the constructor does {'; '.join(found['events'][:5])}; {INTO_START}"
    if found["changes"]:
        yield f"the constructor changes {', '.join(found['changes'])}"
    if found["stdout"] or found["stderr"]:
        yield f"the constructor prints {found['stdout'] + found['stderr']!r:.200}"
    seconds = [found["seconds"]]
    while min(seconds) > CONSTRUCT_SECONDS and len(seconds) < 3:
        seconds.append(_run_probe(subject)["construct"]["seconds"])
    if min(seconds) > CONSTRUCT_SECONDS:
        yield f"the constructor takes {min(seconds):.2f} s; {INTO_START}"


def _probe(subject: Subject) -> dict[str, Any]:
    if "probe" not in subject.memo:
        subject.memo["probe"] = _run_probe(subject)
    found: dict[str, Any] = subject.memo["probe"]
    return found


def _run_probe(subject: Subject) -> dict[str, Any]:
    module, qualname = subject.cls.__module__, subject.cls.__qualname__
    if module == "__main__" or not _findable(module):
        raise Skipped(f"{module} is no module that a fresh interpreter could import")
    if not _reachable(subject.cls):
        qualname = ""
    with tempfile.TemporaryDirectory() as folder:
        config = subject.options().model_dump(mode="json", exclude_none=True)
        return _in_fresh_interpreter(Path(folder), {"module": module, "qualname": qualname, "config": config})


def _in_fresh_interpreter(folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    work = folder / "work"
    work.mkdir()
    task = {**task, "path": [os.path.abspath(part) for part in sys.path], "out": str(folder / "findings.json")}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    command = [sys.executable, "-c", _source(), str(folder / "task.json")]
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        try:
            process.wait(PROBE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"importing {task['module']} did not end within {PROBE_SECONDS:.0f} s") from error
        finally:
            _end(process)
    if not (folder / "findings.json").exists():
        said = (folder / "stderr").read_text("utf-8", "replace").strip()[-500:]
        raise AssertionError(f"importing {task['module']} ended the interpreter (status {process.returncode}): {said}")
    return _with_output(json.loads((folder / "findings.json").read_text("utf-8")), folder)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Also what the probe has left running in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _with_output(found: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Replace the sizes that the output had after each step by what the step has printed."""
    for stream in ("stdout", "stderr"):
        printed, done = (folder / stream).read_bytes(), 0
        for step in found.values():
            done, step[stream] = step[stream], printed[done : step[stream]].decode("utf-8", "replace")
    return found


@functools.cache
def _source() -> str:
    return Path(__file__).with_name("_probe.py").read_text(encoding="utf-8")


def _findable(module: str) -> bool:
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(module) is not None
    return False


def _reachable(cls: type) -> bool:
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls
