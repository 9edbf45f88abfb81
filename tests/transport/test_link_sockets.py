"""The link over real sockets, with and without TLS, against trio-websocket's server."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio_websocket
import trustme

from o2trio._errors import LinkClosed
from o2trio._network import NetworkConfig, Options
from o2trio.transport._link import open_link
from tests.transport.listener import listening

BIG = "x" * 300_000


async def serve(request: trio_websocket.WebSocketRequest) -> None:
    connection = await request.accept()
    assert await connection.get_message() == "hello"
    await connection.send_message(BIG)
    await connection.aclose(1001, "done")


@pytest.mark.parametrize("secure", [False, True])
async def test_over_a_socket(nursery: trio.Nursery, secure: bool) -> None:
    theirs = ours = None
    if secure:
        authority = trustme.CA()
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(theirs)
        ours = ssl.create_default_context()
        authority.configure_trust(ours)
    server = await nursery.start(partial(trio_websocket.serve_websocket, serve, "127.0.0.1", 0, theirs))
    scheme = "https" if secure else "http"
    config = NetworkConfig.from_url(f"{scheme}://127.0.0.1:{server.port}")
    async with open_link(attrs.evolve(config, ssl_context=ours), Options()) as bare, listening(bare) as link:
        await link.send("hello")
        assert await link.receive() == BIG
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        assert (caught.value.code, caught.value.reason) == (1001, "done")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("secure", [False, True])
async def test_a_connection_that_is_cut(nursery: trio.Nursery, secure: bool) -> None:
    async def handle(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as inner:
            request = await trio_websocket.wrap_server_stream(inner, stream)
            await request.accept()
            await trio.aclose_forcefully(stream)

    ours = None
    start: Callable[..., Awaitable[Any]]
    if secure:
        authority = trustme.CA()
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(theirs)
        ours = ssl.create_default_context()
        authority.configure_trust(ours)
        start = partial(trio.serve_ssl_over_tcp, handle, 0, theirs, host="127.0.0.1", https_compatible=True)
    else:
        start = partial(trio.serve_tcp, handle, 0, host="127.0.0.1")
    listener = (await nursery.start(start))[0]
    port = getattr(listener, "transport_listener", listener).socket.getsockname()[1]
    config = NetworkConfig.from_url(f"{'https' if secure else 'http'}://127.0.0.1:{port}")
    async with open_link(attrs.evolve(config, ssl_context=ours), Options()) as bare, listening(bare) as link:
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        assert caught.value.code == 1006
    nursery.cancel_scope.cancel()
