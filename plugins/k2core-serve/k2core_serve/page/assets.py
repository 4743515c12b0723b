"""The page's own files, read once; there is no build step and nothing from elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    body: bytes
    kind: str
    tag: str


class Assets:
    """By file name."""

    def __init__(self) -> None:
        folder = files(__package__) / "assets"
        self._assets = {item.name: _asset(item.name, item.read_bytes()) for item in folder.iterdir() if _known(item.name)}

    async def index(self, request: Request) -> Response:
        """The page, told where it is mounted."""
        asset = self._assets["index.html"]
        root = escape(request.scope.get("root_path", "").rstrip("/") + "/", quote=True)
        body = asset.body.replace(b'<base href="/">', f'<base href="{root}">'.encode())
        return Response(body, media_type=asset.kind, headers={"cache-control": "no-cache"})

    async def file(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return Response("there is no such file", 404, media_type="text/plain")
        headers = {"etag": asset.tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.kind, headers=headers)


def _known(name: str) -> bool:
    return name.rpartition(".")[2] in KINDS


def _asset(name: str, body: bytes) -> Asset:
    return Asset(body, KINDS[name.rpartition(".")[2]], f'"{hashlib.sha256(body).hexdigest()[:20]}"')
