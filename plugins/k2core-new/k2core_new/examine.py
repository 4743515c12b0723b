"""The child process of `k2 check`: loads one plugin and puts it through the conformance kit, telling each outcome at once."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k2core import Plugin
    from k2core.testing import Check, Subject
    from k2core.testing.report import Faults

Tell = Callable[[dict[str, Any]], None]
CLIENTS = frozenset("aiohttp httpx requests urllib3 openai grpc".split())
"""Libraries that take a quarter of a second or more to import, and that nothing needs before it starts."""


def main() -> None:
    """Read `{"role", "name", "settings"}` as JSON from stdin; print `{"begin"}`, findings and `{"end"}`, a JSON line each."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints must not mix with our lines

    def tell(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=out, flush=True)

    examine(json.load(sys.stdin), tell)
    os._exit(0)  # threads that a plugin has left running must not keep us


def examine(task: dict[str, Any], tell: Tell) -> None:
    """Load the plugin and check it. A plugin that cannot be loaded is a finding, not an error."""
    from k2core import K2Error, Registry

    began = time.monotonic()
    tell({"begin": "loads"})
    try:
        cls = Registry().load(task["role"], task["name"])
    except K2Error as error:
        tell({"check": "loads", "outcome": "failed", "message": str(error)})
    else:
        tell({"check": "loads", "outcome": "passed", "message": ""})
        _report(task, cls, tell)
    tell({"end": time.monotonic() - began})


def _report(task: dict[str, Any], cls: type[Plugin], tell: Tell) -> None:
    from k2core.testing import Subject, checks_for
    from k2core.testing.report import examine as put_through

    subject = Subject(task["role"], cls, **_settings(task["settings"]))
    checks = [_telling(check, tell) for check in checks_for(task["role"])]
    for finding in put_through(subject, checks).findings:
        tell(dataclasses.asdict(finding))
    tell(_http(subject))
    for message in _deprecated(subject):
        tell({"check": "nothing_is_deprecated", "outcome": "advice", "message": message})


def _settings(table: dict[str, Any]) -> dict[str, Any]:
    """The kit's settings out of those that were written down."""
    from k2core import Problem, Task

    settings = {**table, "config": table["options"]}
    del settings["options"]
    if settings["dataset"]:
        settings["dataset"] = tuple(settings["dataset"])
    if settings["problem"]:
        settings["problem"] = Problem(**settings["problem"])
    tasks = settings["tasks"]
    settings["tasks"] = [Task(problem=Problem(prompt=task["prompt"]), reference=task.get("reference")) for task in tasks]
    return settings


def _telling(check: Check, tell: Tell) -> Check:
    """The check, telling when it begins: should it end the process, or hang, the parent knows which it was."""

    @functools.wraps(check.test)
    def test(subject: Subject) -> Faults:
        tell({"begin": check.name})
        return check.test(subject)

    return dataclasses.replace(check, test=test)


def _http(subject: Subject) -> dict[str, Any]:
    """Whether importing the module brings an HTTP client along, which commands that need none would wait for."""
    if "probe" not in subject.memo:
        return {"check": "import_brings_no_http_client", "outcome": "skipped", "message": "what it imports was not observed"}
    found = sorted(CLIENTS.intersection(subject.memo["probe"]["import"]["modules"]))
    message = f"importing it imports {', '.join(found)}; import in k2_start or where it is used" if found else ""
    return {"check": "import_brings_no_http_client", "outcome": "failed" if found else "passed", "message": message}


def _deprecated(subject: Subject) -> Iterator[str]:
    """What the plugin uses that this core announces to drop."""
    import pluggy

    from k2core.spec import PROJECT, Specs

    manager = pluggy.PluginManager(PROJECT)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        manager.add_hookspecs(Specs)
        try:
            manager.register(subject.make())
        except Exception:
            return  # a check has said so
    for warning in caught:
        if issubclass(warning.category, DeprecationWarning | FutureWarning):
            yield f"{warning.message} ({os.path.basename(warning.filename)}:{warning.lineno})"


if __name__ == "__main__":
    main()
