"""Tests as calls: a function or a method of `Solution`, arguments, and the value it must return."""

from __future__ import annotations

import copy
from typing import Any

from .asserts import short
from .compare import equal
from .remote import Proxy
from .session import Session, Stopped, described


def run(job: dict[str, Any], session: Session) -> dict[str, Any]:
    """Call after call. The program is started afresh only after one that it did not survive."""
    suite = job["suite"]
    cases, passed = suite["cases"], dict.fromkeys(_readings(suite["cases"]), 0)
    first: dict[str, Any] = {}
    target: _Target | None = None
    for index, case in enumerate(cases):
        failure: dict[str, Any] | None = None
        try:
            if target is None or session.link is None:
                target = _Target(job, session)
            got = target.call(case)
            for unwrapped in passed:
                passed[unwrapped] += equal(got, case["expected"][0] if unwrapped else case["expected"], job["tolerance"])
            if max(passed.values()) <= index and not first:
                failure = {"kind": "failed", "text": _told(suite["entry"], case, got)}
        except Stopped as stop:
            session.close()
            failure = {"kind": stop.kind, "text": stop.text}
        except BaseException as error:
            told = getattr(error, "k2_record", None)
            failure = {"kind": "raised", "text": f"raises {described(told)}" if told else f"{type(error).__name__}: {error}"}
        if failure and not first:
            first = {"test": index, **failure}
        if first and (target is None or not job["partial"]):
            break
    return {"passed": max(passed.values()), "total": len(cases), **first}


def _readings(cases: list[dict[str, Any]]) -> tuple[bool, ...]:
    """Some sets of tests wrap every expected value into a list of one. Such tests have two readings; one must hold for all."""
    wrapped = all(isinstance(case["expected"], list) and len(case["expected"]) == 1 for case in cases)
    return (False, True) if wrapped else (False,)


def _told(entry: str, case: dict[str, Any], got: Any) -> str:
    given = ", ".join([*map(short, case["args"]), *(f"{name}={short(value)}" for name, value in case["kwargs"].items())])
    return f"failed: {entry}({given[:300]}), got {short(got)} instead of {short(case['expected'])}"


class _Target:
    """The function under test in a running program."""

    def __init__(self, job: dict[str, Any], session: Session) -> None:
        self._session, self._entry = session, job["suite"]["entry"]
        session.start()
        session.run()
        self._proxy = Proxy(session)
        found = self._proxy.names([self._entry, "Solution"])
        self._function, self._class = found.get(self._entry), found.get("Solution")
        if self._function is None and self._class is None:
            raise Stopped("missing", f"defines neither {self._entry} nor a class Solution")

    def call(self, case: dict[str, Any]) -> Any:
        """The value of one call. Raises what the program raises, or `Stopped`."""
        self._session.clock.begin()
        function = self._function
        if function is None:
            assert self._class is not None
            function = getattr(self._class(), self._entry)
        args, kwargs = copy.deepcopy(case["args"]), copy.deepcopy(case["kwargs"])
        return self._proxy.request({"name": "call", "await": True}, (function, *args), kwargs)
