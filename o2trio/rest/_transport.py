"""HTTP/1.1 over the dialer seam: an httpx2 transport whose connections come from our dialer.

One failure has one name here, :exc:`RequestFailed`; its ``__cause__`` tells the rest. Time limits are the
caller's cancel scopes, so none of the libraries' own are used. What an answer means is not known here.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Generator, Iterable
from contextlib import aclosing, contextmanager
from functools import cache
from typing import cast

import httpcore2
import httpx2
import trio

from .._errors import RequestFailed
from .._network import NetworkConfig
from ..transport._dialer import dial_tcp, start_tls

__all__ = ["DialerTransport"]

_MAX_CONNECTIONS = 32
"""Submissions are answered when the chain has run them: seconds each, five a second for each owner."""
_IDLE_SECONDS = 20.0
"""How long an idle connection is kept: less than servers keep it."""


class DialerTransport(httpx2.AsyncBaseTransport):
    """Carries the requests of one client; keeps a bounded pool of connections."""

    def __init__(self, config: NetworkConfig) -> None:
        self._backend = _Backend(config)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_stand_in(),
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._backend,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send `request` and return the answer once its headers are there.

        Raises:
          RequestFailed: no connection, or it broke, or the server does not speak HTTP.
        """
        url = request.url
        outgoing = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _one_name():
            answer = await self._pool.handle_async_request(outgoing)
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close every connection at once; one that is still dialled will be as soon as it is there."""
        self._backend.is_closed = True
        await self._pool.aclose()


@cache
def _stand_in() -> ssl.SSLContext:
    """Return a context that is never used; to make one takes longer than all the rest of a client.

    Without it httpcore2 would load a trust store of its own, or change the ALPN list of ours.
    ``_Stream.start_tls`` takes the context from the configuration instead.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _Body(httpx2.AsyncByteStream):
    """The body of an answer, chunk by chunk."""

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _one_name():
            async with aclosing(self._answer.aiter_stream()) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()


_FAILURES = (
    OSError,
    trio.BrokenResourceError,
    trio.TooSlowError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
)


@contextmanager
def _one_name() -> Generator[None]:
    try:
        yield
    except _FAILURES as error:
        raise RequestFailed(f"the request failed: {str(error) or type(error).__name__}") from error


class _Backend(httpcore2.AsyncNetworkBackend):
    """Opens connections through the dialer of the configuration."""

    def __init__(self, config: NetworkConfig) -> None:
        self._config = config
        self.is_closed = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore2's; never used here
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        stream = await (self._config.dialer or dial_tcp)(host, port)
        if self.is_closed:
            await trio.aclose_forcefully(stream)
            raise httpcore2.ConnectError("the client is closed")
        return _Stream(stream, self._config)


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection as httpcore2 wants it."""

    def __init__(self, stream: trio.abc.Stream, config: NetworkConfig) -> None:
        self._stream = stream
        self._config = config
        self._used = trio.current_time()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        data = bytes(await self._stream.receive_some(max_bytes))
        self._used = trio.current_time()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        try:
            await self._stream.send_all(buffer)
        except trio.BrokenResourceError as error:
            # httpcore2 then still reads: a server may answer and hang up before it has the whole request.
            raise httpcore2.WriteError(str(error)) from error

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await start_tls(self._stream, self._config, server_hostname or ""), self._config)

    async def aclose(self) -> None:
        # httpcore2 closes under a shield, so a farewell to a mute peer could take for ever.
        await trio.aclose_forcefully(self._stream)

    def get_extra_info(self, info: str) -> object:
        """Answer the one question that matters here: has the server closed this idle connection?"""
        stream = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = cast("trio.SSLStream[trio.abc.Stream]", stream).transport_stream
        if info != "is_readable":
            return None
        # By Trio's clock: the pool itself looks at another one, which virtual time does not move.
        if trio.current_time() - self._used >= _IDLE_SECONDS:
            return True
        # A stream of a dialer that is no socket may offer the same.
        looked_at = stream.socket if isinstance(stream, trio.SocketStream) else stream
        probe: object = getattr(looked_at, "is_readable", None)
        return bool(probe()) if callable(probe) else False
