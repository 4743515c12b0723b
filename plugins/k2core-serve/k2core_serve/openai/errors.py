"""Errors in OpenAI's form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from k2core.errors import ConfigError, K2Error, LimitExceeded, explain


class ApiError(Exception):
    """What a client is told instead of an answer. `message` must hold nothing secret."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.type, self.param, self.code = status, message, type, param, code
        self.retry_after = retry_after
        """Seconds after which it is worth a second try."""

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> Mapping[str, str]:
        if self.retry_after is None:
            return {}
        return {
            "retry-after": str(math.ceil(self.retry_after) or 1),
            "retry-after-ms": str(math.ceil(self.retry_after * 1000) or 1),
        }


def bad(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that cannot be served as it is."""
    return ApiError(400, message, param=param, code=code)


def overloaded(message: str, after: float = 1.0) -> ApiError:
    return ApiError(503, message, type="server_error", code="overloaded", retry_after=after)


def of_failure(error: Exception, request_id: str, details: bool) -> ApiError:
    """The error of a run that failed. Without `details` it names the request only: the log has the rest."""
    if isinstance(error, ApiError):
        return error
    text = explain(error) if details else f"the pipeline could not answer; the server's log says why under {request_id}"
    if isinstance(error, LimitExceeded):
        return ApiError(504 if error.limit == "limits.timeout" else 429, text, type="server_error", code="limit_exceeded")
    if isinstance(error, ConfigError):
        return ApiError(400, explain(error), code="invalid_problem") if error.path.startswith("problem") else _failed(text)
    return _failed(text) if isinstance(error, K2Error) else ApiError(500, text, type="server_error", code="internal_error")


def _failed(text: str) -> ApiError:
    return ApiError(502, text, type="server_error", code="pipeline_failed")
