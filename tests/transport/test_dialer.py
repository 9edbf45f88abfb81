from __future__ import annotations

import ssl
from functools import partial

import attrs
import pytest
import trio
import trio.testing
import trustme

from o2trio._network import NetworkConfig
from o2trio.transport import _dialer
from o2trio.transport._dialer import open_stream

CONFIG = NetworkConfig(name="test", rest_url="http://host.test", websocket_url="ws://host.test/v1/ws")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def echo(stream: trio.abc.Stream) -> None:
    async with stream:
        async for data in stream:
            await stream.send_all(data)


class MemoryDialer:
    """Keeps both ends of what it opens."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.ours, self.theirs = trio.testing.memory_stream_pair()

    async def __call__(self, host: str, port: int) -> trio.abc.Stream:
        self.asked.append((host, port))
        return self.ours

    async def closed(self) -> bool:
        """Tell whether our end was closed: theirs sees the end of the stream."""
        with trio.move_on_after(1):
            while await self.theirs.receive_some():
                pass
            return True
        return False


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("ws://host.test/v1/ws", ("host.test", 80)),
        ("http://host.test:8080", ("host.test", 8080)),
        ("ws://[::1]:9/x", ("::1", 9)),
    ],
)
async def test_the_configured_dialer_is_asked(url: str, asked: tuple[str, int]) -> None:
    dialer = MemoryDialer()
    stream = await open_stream(attrs.evolve(CONFIG, dialer=dialer), url)
    assert stream is dialer.ours
    assert dialer.asked == [asked]


async def test_tcp_is_the_default(nursery: trio.Nursery) -> None:
    listeners = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    async with await open_stream(CONFIG, f"ws://127.0.0.1:{port}/") as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"


async def test_tls_over_tcp(
    nursery: trio.Nursery, authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    serve = partial(trio.serve_ssl_over_tcp, echo, 0, server_context, host="127.0.0.1", https_compatible=True)
    listeners = await nursery.start(serve)
    port = listeners[0].transport_listener.socket.getsockname()[1]
    config = attrs.evolve(CONFIG, ssl_context=trusting(authority))
    async with await open_stream(config, f"wss://127.0.0.1:{port}/") as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"


async def handshake(stream: trio.abc.Stream, context: ssl.SSLContext) -> None:
    secure: trio.SSLStream[trio.abc.Stream] = trio.SSLStream(stream, context, server_side=True)
    with pytest.raises(trio.BrokenResourceError):
        await secure.do_handshake()


async def test_an_untrusted_certificate_says_so_and_closes(
    nursery: trio.Nursery, server_context: ssl.SSLContext
) -> None:
    dialer = MemoryDialer()
    nursery.start_soon(handshake, dialer.theirs, server_context)
    # No context of our own: the system's trust store does not know the authority.
    with pytest.raises(ssl.SSLCertVerificationError):
        await open_stream(attrs.evolve(CONFIG, dialer=dialer), "wss://localhost/")
    assert await dialer.closed()


async def test_the_wrong_host_name_is_not_trusted(
    nursery: trio.Nursery, authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    dialer = MemoryDialer()
    nursery.start_soon(handshake, dialer.theirs, server_context)
    config = attrs.evolve(CONFIG, dialer=dialer, ssl_context=trusting(authority))
    with pytest.raises(ssl.SSLCertVerificationError, match="other"):
        await open_stream(config, "wss://other.test/")
    await trio.testing.wait_all_tasks_blocked()


async def test_a_server_without_tls_is_an_ssl_error(nursery: trio.Nursery) -> None:
    dialer = MemoryDialer()
    await dialer.theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        await open_stream(attrs.evolve(CONFIG, dialer=dialer), "wss://localhost/")
    assert not isinstance(caught.value, ssl.SSLCertVerificationError)
    assert await dialer.closed()


async def test_a_stream_that_breaks_during_tls_stays_broken() -> None:
    async def fail() -> None:
        dialer.ours.send_stream.get_data_nowait()
        raise trio.BrokenResourceError("reset by peer")

    dialer = MemoryDialer()
    dialer.ours.send_stream.send_all_hook = fail
    with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
        await open_stream(attrs.evolve(CONFIG, dialer=dialer), "wss://localhost/")
    assert await dialer.closed()


async def test_cancelling_the_tls_handshake_leaks_nothing(autojump_clock: trio.testing.MockClock) -> None:
    dialer = MemoryDialer()
    with trio.move_on_after(1) as scope:
        await open_stream(attrs.evolve(CONFIG, dialer=dialer), "wss://localhost/")
    assert scope.cancelled_caught
    assert await dialer.closed()


def test_the_trust_store_is_read_once() -> None:
    assert _dialer._system_trust() is _dialer._system_trust()
