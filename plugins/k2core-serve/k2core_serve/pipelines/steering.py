"""What a request may set of how the solver samples. It travels in `Problem.meta`, so that a trace shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from k2core.ledger import Meter
from k2core.run import Run
from k2core.types import Completion, DecodeRequest

ASKED = "asked"
"""Key in `Problem.meta`; only the server writes it."""
FIELDS = ("temperature", "top_p", "max_tokens", "stop", "json_schema")


class SteeredRun(Run):
    """A run whose solver calls heed what the request asked for, whichever sampler makes them.

    `max_tokens` only ever lowers the pipeline's own limit; `stop` adds to its stop strings; the others replace. Planners and
    judges are not touched. The ledger, the trace and the decoder see the request as it was changed.
    """

    def _scope(self, path: str, meter: Meter | None = None) -> Run:
        scope = super()._scope(path, meter)  # the copy that a plugin gets, which the kernel makes a plain run
        scope.__class__ = SteeredRun
        return scope

    async def decode(self, request: DecodeRequest) -> Sequence[Completion]:
        if request.role == "solve" and (asked := self.problem.meta.get(ASKED)):
            request = steered(request, asked)
        return await super().decode(request)


def steered(request: DecodeRequest, asked: Mapping[str, Any]) -> DecodeRequest:
    """The request as asked for."""
    changes = {name: asked[name] for name in ("temperature", "top_p", "json_schema") if name in asked}
    if "max_tokens" in asked:
        changes["max_tokens"] = min(request.max_tokens, asked["max_tokens"])
    if "stop" in asked:
        changes["stop"] = (*request.stop, *(text for text in asked["stop"] if text not in request.stop))
    return request.model_copy(update=changes)
