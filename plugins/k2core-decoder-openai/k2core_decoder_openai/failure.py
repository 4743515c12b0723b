"""What an answer that is no completion means: which error, whether to try again, and what to do about it."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from k2core import TransientError

from .config import OpenAIConfig

TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which a second try may succeed."""

_OUT_OF_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_CONTEXT = re.compile(
    r"context[ _](length|size|window)|maximum (model )?(context|length)|exceeds? the (available )?context|too long", re.I
)
_LONGEST_MESSAGE = 400


class ContextLengthExceeded(ValueError):
    """The prompt, with the tokens asked for, does not fit the model's context."""


class Failures:
    """Makes the errors of one endpoint. No message holds a key, and none is long."""

    def __init__(self, config: OpenAIConfig, secrets: Iterable[str]) -> None:
        self._config = config
        self._secrets = sorted((s for s in secrets if s), key=len, reverse=True)

    def clean(self, text: str | bytes) -> str:
        """Some of the server's own words: one line, bounded, any secret crossed out."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        text = " ".join(text.split())
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " …"

    def transient(self, message: str, after: float | None = None) -> TransientError:
        return TransientError(f"{self._config.base_url} {message}", after)

    def plain(self, message: str) -> ValueError:
        return ValueError(f"{self._config.base_url} {message}")

    def http(self, status: int, headers: Mapping[str, str], body: bytes) -> Exception:
        """The error for an answer of `status`."""
        said, code = _server_error(body)
        if 300 <= status < 400:
            return self.plain(f"redirects to {self.clean(headers.get('Location', 'nowhere'))}; set base_url to where the API is")
        return self._judge(status, said, code, headers)

    def inside(self, error: Any) -> Exception:
        """The error for an `error` object within an answer that began well."""
        said, code = _message(error)
        status = int(code) if code.isdigit() and 400 <= int(code) < 600 else 500
        return self._judge(status, said, code, {})

    def _judge(self, status: int, said: str, code: str, headers: Mapping[str, str]) -> Exception:
        text = f"answered {status}: {self.clean(said) or 'no message'}"
        wish = headers.get("x-should-retry", "")
        if code in _OUT_OF_MONEY:
            return RuntimeError(f"{self._config.base_url} {text} (the account is out of credit; trying again does not help)")
        if wish == "true" or (status in TRANSIENT and wish != "false"):
            return self.transient(text, retry_after(headers))
        if status in (400, 413, 422) and (code == "context_length_exceeded" or _CONTEXT.search(said)):
            return ContextLengthExceeded(f"{self._config.base_url} {text} (shorten the prompt or lower max_tokens)")
        kind, advice = self._advice(status)
        return kind(f"{self._config.base_url} {text}{advice and f' ({advice})'}")

    def _advice(self, status: int) -> tuple[type[Exception], str]:
        name = self._config.api_key_env
        if status == 401:
            return PermissionError, f"check the key in {name}" if name else "set api_key_env to the variable that holds the API key"
        if status == 403:
            return PermissionError, f"the key in {name} may not do this" if name else "set api_key_env"
        if status == 404:
            model = f"model {self._config.model!r}" if self._config.model else "model"
            return LookupError, f"check {model} and base_url, which most often ends in /v1"
        if status in (400, 422):
            return ValueError, "fields that this server refuses can be named in omit"
        return RuntimeError, ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _number(headers.get(name), unit)
        if seconds is not None:
            return seconds
    until = _date(headers.get("retry-after"))
    if until is None:
        return None
    now = _date(headers.get("date"))  # the server's clock, if it says: ours may differ
    return max(0.0, until - (time.time() if now is None else now))


def _number(value: str | None, unit: float) -> float | None:
    try:
        seconds = float(value or "") / unit
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _server_error(body: bytes) -> tuple[str, str]:
    """The message and code in an error page, be it JSON, HTML or text."""
    try:
        return _message(json.loads(body))
    except ValueError:
        text = body.decode("utf-8", "replace")
    if "<" in text:
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
        text = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return text, ""


def _message(error: Any) -> tuple[str, str]:
    """The message and code of an error object in any of the shapes that servers use."""
    if not isinstance(error, Mapping):
        return str(error), ""
    inner = error.get("error")
    if isinstance(inner, Mapping):
        return _message(inner)
    said = error.get("message") or inner or error.get("detail") or json.dumps(dict(error))
    code = error.get("code") or error.get("type") or ""
    return said if isinstance(said, str) else json.dumps(said), str(code)
