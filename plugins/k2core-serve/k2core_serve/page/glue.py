"""The page as part of the server: through the same gate, to the same pipelines, into the same records as all else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from k2core.config import validated
from k2core.events import Event
from k2core.types import Problem, Result

from ..store import TraceReader
from .application import PageOptions, page_routes
from .serving import Ask, Caller, Offer

if TYPE_CHECKING:
    from ..services import Services


def routes(services: Services) -> list[BaseRoute]:
    """The page's part of the server."""
    settings, recorder = services.settings, services.recorder
    options = PageOptions(
        reports=Path(settings.reports) if settings.reports else None,
        limits=settings.limits,
        details=settings.details,
    )
    store = recorder if isinstance(recorder, TraceReader) else None
    return page_routes(Served(services), store, options)


class Served:
    """The `Serving` of the page."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.key_needed = bool(services.settings.keys)

    def offers(self, caller: Caller) -> Sequence[Offer]:
        pipelines = self._services.pipelines
        names = [name for name in pipelines.names() if caller.key.may_ask(name)]
        return [Offer(name, tuple(effort for effort in pipelines.version(name).efforts if effort)) for name in names]

    def caller(self, headers: Mapping[str, str]) -> Caller:
        key = self._services.gate.key_of(headers.get("authorization"))
        return Caller(key.name, key.admin or not self.key_needed, key)

    async def serve(self, ask: Ask, observer: Callable[[Event], None], accepted: Callable[[str], None]) -> Result:
        from ..pipelines.serving import new_id

        serving, key, id = self._services.serving, ask.caller.key, new_id()
        async with self._services.gate.admitted(key):
            lease = serving.choose(ask.pipeline, key, ask.effort)
            with lease.version.leased():
                accepted(id)
                return await serving.run(lease, self._problem(ask), key=key, observer=observer, id=id)

    def _problem(self, ask: Ask) -> Problem:
        """As the pipeline's own table has it; the reader chooses nothing but the text."""
        table = self._services.pipelines.live(ask.pipeline).table
        said = {"prompt": ask.problem, "answer_format": table.answer_format, "domain": table.domain}
        return validated(Problem, said, "problem")
