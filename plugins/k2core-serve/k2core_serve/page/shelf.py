"""`/api/about` and `/api/reports`: what there is to choose from."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response

from ..openai.errors import ApiError, bad
from .history import answered, guarded
from .policy import REPORT
from .reports import Reports
from .serving import Serving


class Shelf:
    """What a reader can ask and open."""

    def __init__(self, serving: Serving, reports: Reports | None, store: bool) -> None:
        self._serving, self._reports, self._store = serving, reports, store

    async def about(self, request: Request) -> Response:
        """Without a good key, only that one is needed."""
        has = {"key_needed": self._serving.key_needed, "history": self._store, "reports": self._reports is not None}
        try:
            caller = self._serving.caller(request.headers)
        except ApiError as error:
            return answered({**has, "known": False, "message": error.message, "pipelines": []})
        offers = [{"name": offer.name, "efforts": list(offer.efforts)} for offer in self._serving.offers(caller)]
        return answered({**has, "known": True, "key": caller.key_id, "pipelines": offers, "version": version("k2core")})

    async def listed(self, request: Request) -> Response:
        async def work() -> Response:
            reports = self._opened(request)
            found = await asyncio.to_thread(reports.listed)
            return answered({"reports": [{"path": r.path, "title": r.title, "written": r.written} for r in found]})

        return await guarded(work)

    async def address(self, request: Request) -> Response:
        """An address for a browser to open one at."""

        async def work() -> Response:
            reports = self._opened(request)
            path = request.query_params.get("path")
            if path is None:
                raise bad("say which report: ?path=…", "path")
            try:
                token = await asyncio.to_thread(reports.address, path)
            except KeyError:
                raise ApiError(404, "there is no such report", code="no_report") from None
            return answered({"url": f"reports/view/{token}"})

        return await guarded(work)

    async def opened(self, request: Request) -> Response:
        """A report behind its address, which stands for the key."""
        headers = {"content-security-policy": REPORT, "cache-control": "no-store"}
        try:
            if self._reports is None:
                raise KeyError
            body = await asyncio.to_thread(self._reports.opened, request.path_params["token"])
        except KeyError:
            return Response("This address of a report is good no longer: open it from the list.", 404, headers, "text/plain")
        return Response(body, 200, headers, "text/html; charset=utf-8")

    def _opened(self, request: Request) -> Reports:
        self._serving.caller(request.headers)
        if self._reports is None:
            raise ApiError(404, 'this server shows no reports; set reports = "FOLDER" in serve.toml', code="no_reports")
        return self._reports
