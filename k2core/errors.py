"""The error tree, and the one place where plugins' errors enter it.

    K2Error
    ├── ConfigError            a pipeline configuration is wrong; carries the path, such as `sampler.n`
    ├── PluginNotFound         no installed distribution offers that name for that role
    ├── PluginIncompatible     found, but for another version of the role, or it cannot be imported or registered
    ├── PluginError            a plugin failed at work; carries role, name and the original as `__cause__`
    └── LimitExceeded          a time-out or a budget; carries which

`TransientError` is not a `K2Error`: a decoder raises it to say that a second try may succeed, and the kernel tries again.
Everything else that a plugin raises is a plain Python error, and `boundary` turns it into a `PluginError` once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType


class K2Error(Exception):
    """Base of every error that k2core raises on purpose; its message says what, where and what to do."""


class ConfigError(K2Error):
    """A configuration is wrong; `path` is the first wrong place (dotted, empty for the whole file), and in the message."""

    def __init__(self, message: str, path: str = "", faults: Sequence[str] = ()) -> None:
        super().__init__(message if path in message else f"{path}: {message}")
        self.path = path
        self.faults = tuple(faults) or (str(self),)
        """Every fault found, each with its path, for front ends that print them a line each."""


class PluginNotFound(K2Error):
    """No installed plugin of that name and role."""


class PluginIncompatible(K2Error):
    """The plugin exists but cannot serve this kernel; the message says why."""


class PluginError(K2Error):
    """The plugin `name` failed in `role`."""

    def __init__(self, message: str, role: str, name: str) -> None:
        super().__init__(f"{name} ({role}): {message}")
        self.role, self.name = role, name


class LimitExceeded(K2Error):
    """A limit was reached: `limit` is its configuration path, such as `limits.timeout`."""

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(f"{message} ({limit})")
        self.limit = limit


class TransientError(Exception):
    """Raised by a decoder for a failure that may pass; `after` is the server's wish in seconds, if it had one."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


def explain(error: BaseException) -> str:
    """An error in one line: its message, or its type when it has none."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(explain(inner) for inner in error.exceptions))
    text = " ".join(str(error).split())
    return text if text and isinstance(error, K2Error) else f"{type(error).__name__}: {text}".removesuffix(": ")


class boundary:  # used as a function; a class, since every role call passes several and generators cost more
    """Classify what a plugin raises: a `K2Error` passes, alone or out of an exception group; others become a `PluginError`.

    A decoder's `TransientError` passes too, for the kernel to try again. `CancelledError`, `KeyboardInterrupt` and
    `SystemExit` are no `Exception` and pass untouched.
    """

    __slots__ = ("name", "role")

    def __init__(self, role: str, name: str) -> None:
        self.role, self.name = role, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not isinstance(error, Exception) or isinstance(error, K2Error):
            return
        known = next((leaf for leaf in _leaves(error) if isinstance(leaf, K2Error)), None)
        if known:
            raise known from error
        if self.role != "decoder" or not isinstance(error, TransientError):
            raise PluginError(explain(error), self.role, self.name) from error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
