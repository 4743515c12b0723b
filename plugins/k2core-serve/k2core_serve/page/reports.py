"""Reports of evaluations, shown so that nothing in them reaches anything outside them."""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path

SECONDS, MOST = 3600.0, 500
"""How long an address of a report is good for, and how many are at the same time; also how many reports are listed."""
DEPTH = 4
_TITLE = re.compile(r"<title>(.{0,500}?)</title>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """A page in the folder."""

    path: str
    """Relative to the folder."""
    title: str
    written: float
    """Unix time."""


class Reports:
    """The HTML pages in a folder. A browser cannot send a key with a page that it opens, so each is opened by an address of its
    own, which nobody can guess and which soon is good for nothing."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder.expanduser(), clock
        self._addresses: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def listed(self) -> list[Report]:
        """The newest first. Files that cannot be read are left out."""
        found = [report for path in self._files() if (report := self._report(path))]
        return sorted(found, key=lambda report: report.written, reverse=True)[:MOST]

    def address(self, path: str) -> str:
        """What opens this report for the next hour. Raises `KeyError` when it is none of those listed."""
        if path not in {report.path for report in self.listed()}:
            raise KeyError(path)
        token = secrets.token_urlsafe(24)
        self._addresses[token] = (path, self._clock() + SECONDS)
        while len(self._addresses) > MOST:
            self._addresses.popitem(last=False)
        return token

    def opened(self, token: str) -> bytes:
        """The page behind an address. Raises `KeyError` when it is none or no longer one."""
        path, until = self._addresses[token]
        if self._clock() > until:
            raise KeyError(token)
        try:
            return (self._folder / path).read_bytes()
        except OSError as error:
            raise KeyError(token) from error

    def _files(self) -> list[Path]:
        root = self._folder.resolve()
        depths = ["/".join(["*"] * depth + ["*.html"]) for depth in range(DEPTH)]
        found = [path for pattern in depths for path in root.glob(pattern)]
        return [path for path in found if path.resolve().is_relative_to(root) and path.is_file()]

    def _report(self, path: Path) -> Report | None:
        try:
            with path.open("rb") as file:
                head = file.read(20_000).decode("utf-8", "replace")
            written = path.stat().st_mtime
        except OSError:
            return None
        relative = path.relative_to(self._folder.resolve()).as_posix()
        title = _TITLE.search(head)
        text = re.sub(r"<[^>]*>", "", unescape(title[1])) if title else ""
        return Report(relative, " ".join(text.split()) or relative, written)
