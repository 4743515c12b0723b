"""What the SDK's errors mean: which error, whether to try again, and what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from k2core import TransientError

from .config import CerebrasConfig
from .limits import Limits, retry_after

TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which a second try may succeed."""

_CONTEXT = re.compile(r"context[ _](length|size|window)|maximum context|reduce the length|too long", re.I)
_LONGEST_MESSAGE = 400


class ContextLengthExceeded(ValueError):
    """The prompt, with the tokens asked for, does not fit the model's context."""


class BrokenAnswer(Exception):
    """What came is no chat completion."""


class Failures:
    """Makes the errors of the service. No message holds the key, and none is long."""

    def __init__(self, config: CerebrasConfig, limits: Limits, key: str = "") -> None:
        self._config, self._limits, self._key = config, limits, key

    def __repr__(self) -> str:
        return f"Failures({self._config.base_url})"

    def clean(self, text: str) -> str:
        """Some of the service's own words: one line, bounded, the key crossed out."""
        text = " ".join(text.split())
        if self._key:
            text = text.replace(self._key, "[key]")
        return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " …"

    def transient(self, message: str, after: float | None = None) -> TransientError:
        return TransientError(f"Cerebras ({self._config.base_url}) {message}", after)

    def limited(self, kind: str, wait: float) -> TransientError:
        return self.transient(f"has said that nothing is left of {kind} for {wait:.1f} s", wait)

    def status(self, status: int, headers: Mapping[str, str], body: Any) -> Exception:
        """The error for an answer of `status`, or for an error object within a stream (`status` below 400)."""
        said, code, param = _parts(body)
        if status < 400:
            status, headers = (int(code) if code.isdigit() and 400 <= int(code) < 600 else 500), {}
        text = f"answered {status}: {self.clean(said) or 'no message'}"
        wish = headers.get("x-should-retry", "")
        if wish == "true" or (status in TRANSIENT and wish != "false"):
            return self.transient(text, self._after(status, headers))
        if status in (400, 413, 422) and (code == "context_length_exceeded" or _CONTEXT.search(said)):
            return ContextLengthExceeded(f"Cerebras {text} (shorten the prompt or lower max_tokens)")
        kind, advice = self._advice(status, param)
        return kind(f"Cerebras ({self._config.base_url}) {text}{advice and f' ({advice})'}")

    def _after(self, status: int, headers: Mapping[str, str]) -> float | None:
        wish = retry_after(headers)
        if wish is None and status == 429:
            return self._limits.blocked()[1] or None
        return wish

    def _advice(self, status: int, param: str) -> tuple[type[Exception], str]:
        name, model = self._config.api_key_env, self._config.model
        if status == 401:
            return PermissionError, f"check the key in {name}"
        if status == 402:
            return PermissionError, f"the account of the key in {name} has to be paid for"
        if status == 403:
            return PermissionError, f"the key in {name} may not do this"
        if status == 404:
            return LookupError, f"check model {model!r}"
        if status == 413:
            return ValueError, "the request is too large: shorten the prompt"
        if status in (400, 422):
            if param == "prediction":
                return ValueError, f'model {model!r} refuses prediction: set predict = "off"'
            which = f"it refuses {param}; " if param else ""
            return ValueError, f"{which}fields that model {model!r} refuses can be named in omit"
        return RuntimeError, ""


def _parts(body: Any) -> tuple[str, str, str]:
    """Message, code and refused parameter of an error body: an object, one within `error`, HTML or text."""
    if isinstance(body, Mapping):
        inner = body.get("error")
        if isinstance(inner, Mapping):
            return _parts({**{k: body[k] for k in ("status_code",) if k in body}, **inner})
        said = body.get("message") or inner or body.get("detail") or json.dumps(dict(body), default=str)
        code = body.get("status_code") or body.get("code") or body.get("type") or ""
        return said if isinstance(said, str) else json.dumps(said, default=str), str(code), str(body.get("param") or "")
    text = "" if body is None else str(body)
    if "<" in text:
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
        text = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return text, "", ""
