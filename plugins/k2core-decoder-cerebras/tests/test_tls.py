"""Over TLS: certificates are checked, and a cancelled stream closes its connection though the server offers HTTP/2."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from k2core import Problem


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 that the client is told to trust."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is needed to make a certificate")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    kind = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=loop", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *kind, "-keyout", key, "-out", cert], check=True, capture_output=True)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(cert, key)
    made.set_alpn_protocols(["h2", "http/1.1"])
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    return made


def test_a_cancelled_stream_closes_its_connection(kit: Any, context: ssl.SSLContext) -> None:
    gone: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = kit.Wire(reader, writer)
        await wire.request()
        wire.head(transfer_encoding="chunked")
        wire.piece(kit.events(kit.chunk("a"), done=False))
        await wire.gone()
        gone.append(1)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, kit.runtime(url) as rt:
            async with rt.open(Problem(prompt="x"), seed=1) as run:
                call = asyncio.create_task(run.decode(kit.request()))
                await asyncio.sleep(0.3)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                await asyncio.sleep(0.1)
            assert (gone, rt.ledger.total.completion_tokens) == ([1], 1)

    asyncio.run(main())


def test_an_unknown_certificate_is_refused(kit: Any, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, kit.runtime(url, attempts=3) as rt, rt.open(Problem(prompt="x"), seed=1) as run:
            with pytest.raises(Exception, match="has no valid certificate"):
                await run.decode(kit.request())
            assert rt.ledger.total.started == 1

    asyncio.run(main())
