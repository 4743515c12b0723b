"""What an answer that is no completion means: which error, and what to do about it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from k2core import TransientError

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which a second try may succeed."""
_HOPELESS = re.compile(r"requires more system memory|out of memory|does not support|unsupported|invalid model", re.IGNORECASE)
_CONTEXT = re.compile(r"context (length|size|window)|exceeds? .*(context|maximum)|too long", re.IGNORECASE)
_LONGEST = 400


def refusal(status: int, headers: Mapping[str, str], body: bytes, url: str, model: str) -> Exception:
    """The error for an answer of a status other than 200."""
    said = message(body)
    if status in TRANSIENT and not _HOPELESS.search(said):
        return TransientError(f"{url} answered {status}: {said}", _retry_after(headers))
    if status == 404:
        return LookupError(f"{url} answered 404: {said} (`ollama pull {model}`, or check base_url)")
    if status in (401, 403):
        return PermissionError(f"{url} answered {status}: {said} (name the variable that holds the key in api_key_env)")
    if _CONTEXT.search(said):
        return ValueError(f"{url} answered {status}: {said} (shorten the prompt, or raise options.num_ctx)")
    if status in (400, 422):
        return ValueError(f"{url} answered {status}: {said}")
    return RuntimeError(f"{url} answered {status}: {said}")


def inside(said: object, url: str) -> Exception:
    """The error for an `error` line within an answer that began well: the runner has crashed, or was told to stop."""
    text = clean(str(said))
    if _HOPELESS.search(text):
        return RuntimeError(f"{url} gave up: {text}")
    return TransientError(f"{url} gave up: {text}")


def message(body: bytes) -> str:
    """The server's own words, from JSON or whatever a proxy sends instead: one line, bounded."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        said = re.sub(r"<[^>]*>", " ", body.decode("utf-8", "replace"))
    return clean(str(said)) or "no message"


def clean(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
