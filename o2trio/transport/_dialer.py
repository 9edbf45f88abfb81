"""Byte streams to a host: the dialer seam and TLS on top of it.

The WebSocket link and REST both come through here, so one dialer (an in-memory network, a network
with faults) serves both. Nothing here knows HTTP or WebSocket.
"""

from __future__ import annotations

import functools
import ssl
from urllib.parse import urlsplit

import trio

from .._network import NetworkConfig

__all__ = ["dial_tcp", "open_stream", "start_tls"]

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_SECURE = frozenset({"https", "wss"})


async def dial_tcp(host: str, port: int) -> trio.abc.Stream:
    """Open a TCP connection: the dialer of a configuration that names none.

    Raises:
      OSError: the host is unknown, unreachable or refuses.
    """
    return await trio.open_tcp_stream(host, port)


async def open_stream(config: NetworkConfig, url: str) -> trio.abc.Stream:
    """Open a byte stream to the host of `url`, with TLS for ``https`` and ``wss``.

    Nothing is left open when this fails or is cancelled. There is no time limit of its own.

    Args:
      config: names the dialer and the TLS context.
      url: absolute, with one of the schemes http, https, ws, wss.

    Raises:
      OSError: no connection.
      ssl.SSLCertVerificationError: the server's certificate is not trusted.
      ssl.SSLError: TLS failed in another way.
      trio.BrokenResourceError: the connection broke during the TLS handshake.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    stream = await (config.dialer or dial_tcp)(host, parts.port or _PORTS[parts.scheme])
    return await start_tls(stream, config, host) if parts.scheme in _SECURE else stream


async def start_tls(stream: trio.abc.Stream, config: NetworkConfig, host: str) -> trio.abc.Stream:
    """Put TLS on `stream` and finish the handshake; raises as :func:`open_stream`.

    `stream` belongs to the result, or is closed when this fails or is cancelled.
    """
    try:
        secure: trio.SSLStream[trio.abc.Stream] = trio.SSLStream(
            stream, config.ssl_context or _system_trust(), server_hostname=host, https_compatible=True
        )
        await secure.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        # Trio says "broken"; what broke it tells an untrusted certificate from a lost connection.
        if isinstance(error, trio.BrokenResourceError) and isinstance(error.__cause__, ssl.SSLError):
            raise error.__cause__ from None
        raise
    return secure


@functools.cache
def _system_trust() -> ssl.SSLContext:
    # Made on first use and kept: reading the trust store takes tens of milliseconds.
    return ssl.create_default_context()
