"""The link against a raw server on an in-memory stream; the clock is virtual.

The tests named ``test_fault_...`` show a fault of plain trio-websocket where that can be shown; the test
after each shows the repair.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice, pairwise
from typing import cast

import attrs
import pytest
import trio
import trio.testing
import trio_websocket
from trio.abc import Clock
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)

import o2trio
from o2trio._errors import ConnectTimeout, HandshakeRejected, LinkClosed, MessageTooBig
from o2trio._network import NetworkConfig, Options
from o2trio._nursery import BareNursery
from o2trio.transport._engine import Engine
from o2trio.transport._link import _Wire, open_link
from tests.transport.listener import Listener, listening

CONFIG = NetworkConfig(name="test", rest_url="http://host.test", websocket_url="ws://host.test/v1/ws?a=b")
OPTIONS = Options(connect_timeout=5, close_timeout=2, max_message_bytes=2048)
Memory = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


class Peer:
    """The server's end: wsproto without any policy of its own."""

    def __init__(self, stream: Memory) -> None:
        self.stream = stream
        self.engine = WSConnection(ConnectionType.SERVER)
        self._events: list[Event] = []

    async def next(self) -> Event | None:
        """Return the next event, or None at the end of the stream."""
        while not self._events:
            data = await self.stream.receive_some()
            if not data:
                return None
            self.engine.receive_data(bytes(data))
            self._events += self.engine.events()
        return self._events.pop(0)

    async def accept(self) -> Request:
        request = await self.next()
        assert isinstance(request, Request)
        await self.send(AcceptConnection())
        return request

    async def send(self, *events: Event) -> None:
        """Send all events as one piece."""
        await self.stream.send_all(b"".join(self.engine.send(event) for event in events))


class MemoryNetwork:
    """A dialer that keeps both ends of its one connection."""

    def __init__(self) -> None:
        self.ours, theirs = trio.testing.memory_stream_pair()
        self.peer = Peer(theirs)
        self.config = attrs.evolve(CONFIG, dialer=self.dial)

    async def dial(self, host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return self.ours

    async def closed(self) -> bool:
        """Tell whether our end is closed, without waiting."""
        with trio.move_on_after(0.001):
            while await self.peer.stream.receive_some():
                pass
            return True
        return False


@pytest.fixture
def clock() -> Clock:
    return MockClock(autojump_threshold=0)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@asynccontextmanager
async def linked(network: MemoryNetwork, options: Options = OPTIONS) -> AsyncIterator[tuple[Listener, Peer]]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        async with open_link(network.config, options) as link, listening(link) as listener:
            yield listener, network.peer


@asynccontextmanager
async def plain(network: MemoryNetwork) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Open trio-websocket as it is, to show a fault."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        yield await wrap(nursery, network)
        nursery.cancel_scope.cancel()


async def wrap(nursery: trio.Nursery, network: MemoryNetwork) -> trio_websocket.WebSocketConnection:
    return await trio_websocket.wrap_client_stream(
        nursery, cast(trio.SocketStream, network.ours), "host.test", "/"
    )


# -- the ordinary course ---------------------------------------------------------------------------


async def test_messages_go_both_ways_and_closing_is_polite(clock: Clock, network: MemoryNetwork) -> None:
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            request = await network.peer.accept()
            assert (request.host, request.target) == ("host.test", "/v1/ws?a=b")
            assert (b"user-agent", f"o2trio/{o2trio.__version__}".encode()) in request.extra_headers
            assert await network.peer.next() == TextMessage(data="hello")
            await network.peer.send(TextMessage(data="welcome"), BytesMessage(data=b"\x00"))
            goodbye = await network.peer.next()
            assert isinstance(goodbye, CloseConnection)
            assert goodbye.code == 1000
            await network.peer.send(goodbye.response())
            await network.peer.stream.aclose()

        nursery.start_soon(serve)
        start = trio.current_time()
        async with open_link(network.config, OPTIONS) as link, listening(link) as listener:
            await link.send("hello")
            assert [await listener.receive(), await listener.receive()] == ["welcome", b"\x00"]
        assert trio.current_time() == start


async def test_the_end_of_the_peer_is_told_with_code_and_reason(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, peer):
        await peer.send(TextMessage(data="last"), CloseConnection(code=1012, reason="restart"))
        assert await link.receive() == "last"
        for call in (link.receive, lambda: link.send("too late"), link.receive):
            with pytest.raises(LinkClosed) as caught:
                await call()
            assert (caught.value.code, caught.value.reason, caught.value.clean) == (1012, "restart", True)
    assert await network.closed()


async def test_a_broken_stream_is_an_abnormal_end(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, peer):
        await peer.stream.aclose()
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        assert (caught.value.code, caught.value.clean) == (1006, False)


async def test_a_send_into_a_broken_stream_is_an_abnormal_end(clock: Clock, network: MemoryNetwork) -> None:
    async def fail() -> None:
        raise trio.BrokenResourceError("reset by peer")

    async with linked(network) as (link, _):
        network.ours.send_stream.send_all_hook = fail
        with pytest.raises(LinkClosed) as caught:
            await link.send("lost")
        assert caught.value.code == 1006


async def test_an_upgrade_and_the_end_in_one_piece_is_no_early_end(
    clock: Clock, network: MemoryNetwork
) -> None:
    async def serve() -> None:
        request = await network.peer.next()
        assert isinstance(request, Request)
        await network.peer.send(AcceptConnection(), TextMessage(data="only"))
        await network.peer.stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_link(network.config, OPTIONS) as link, listening(link) as listener:
            assert await listener.receive() == "only"
            with pytest.raises(LinkClosed) as caught:
                await listener.receive()
            assert "handshake" not in str(caught.value)


async def test_a_cancelled_receive_loses_nothing(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, peer):
        with trio.move_on_after(1) as scope:
            await link.receive()
        assert scope.cancelled_caught
        await peer.send(TextMessage(data="kept"))
        with trio.CancelScope() as scope:
            scope.cancel()
            await link.receive()
        assert await link.receive() == "kept"


async def test_text_that_is_no_utf_8_ends_the_link_with_1007(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, peer):
        await peer.stream.send_all(b"\x81\x02\xff\xfe")
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        assert (caught.value.code, caught.value.clean) == (1007, False)
    assert await network.closed()


async def test_bytes_that_are_no_frame_end_the_link_with_1002(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, peer):
        await peer.stream.send_all(b"\xff\x01x")
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        assert caught.value.code == 1002


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()], ids=repr)
async def test_the_error_of_the_body_arrives_as_it_is(
    clock: Clock, network: MemoryNetwork, error: BaseException
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        with pytest.raises(type(error)) as caught:
            async with open_link(network.config, OPTIONS):
                raise error
        assert caught.value is error
    assert await network.closed()


async def test_the_error_of_the_body_survives_a_dying_reader(clock: Clock, network: MemoryNetwork) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)

        async def fail() -> None:
            await network.peer.stream.aclose()
            await trio.testing.wait_all_tasks_blocked()
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            async with open_link(network.config, OPTIONS):
                await fail()


async def test_a_cancelled_body_closes_at_once(clock: Clock, network: MemoryNetwork) -> None:
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        with trio.move_on_after(1) as scope:
            async with open_link(network.config, OPTIONS) as link, listening(link) as listener:
                await listener.receive()
    assert scope.cancelled_caught
    assert trio.current_time() == start + 1
    assert await network.closed()


async def test_waiting_receivers_learn_of_our_own_close(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, _), trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(LinkClosed):
                await link.receive()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await link.aclose()
        await link.aclose()


async def test_a_bug_in_the_reader_stays_what_it_is(clock: Clock, network: MemoryNetwork) -> None:
    async def bug() -> None:
        raise ZeroDivisionError

    async with linked(network) as (link, _):
        await trio.testing.wait_all_tasks_blocked()
        network.ours.receive_stream.receive_some_hook = bug
        network.ours.receive_stream.put_data(b"\x81\x00")
        assert await link.receive() == ""
        for call in (link.receive, lambda: link.send("to nobody")):
            with pytest.raises(ZeroDivisionError):
                await call()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40, 1000])
async def test_interim_responses_before_the_upgrade_are_skipped(
    clock: Clock, network: MemoryNetwork, size: int
) -> None:
    interim = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nX-Name: 101\r\n\r\n"
        b"HTTP/1.1 102 Processing\n\n"
    )

    async def serve() -> None:
        request = await network.peer.next()
        assert isinstance(request, Request)
        engine = network.peer.engine
        answer = interim + engine.send(AcceptConnection()) + engine.send(TextMessage(data="first"))
        for start in range(0, len(answer), size):
            await network.peer.stream.send_all(answer[start : start + size])
            await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_link(network.config, OPTIONS) as link, listening(link) as listener:
            assert await listener.receive() == "first"


async def test_endless_interim_responses_are_not_read_to_the_end(
    clock: Clock, network: MemoryNetwork
) -> None:
    async def serve() -> None:
        assert isinstance(await network.peer.next(), Request)
        while not await network.closed():
            await network.peer.stream.send_all(b"HTTP/1.1 103 Hints\r\n\r\n" * 100)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(LinkClosed, match="endless answer"):
            async with open_link(network.config, OPTIONS):
                pytest.fail("it opened")
    assert trio.current_time() < 1


@pytest.mark.parametrize("size", [10, 200, 2000])
async def test_a_binary_message_arrives_as_the_same_bytes_also_in_fragments(
    clock: Clock, network: MemoryNetwork, size: int
) -> None:
    """The exchange may send its JSON in binary frames; what they mean is decided elsewhere."""
    data = b'{"action": "' + "größe".encode() * 100 + b'"}'
    async with linked(network) as (link, peer):
        for start in range(0, len(data), size):
            last = start + size >= len(data)
            await peer.send(BytesMessage(data=data[start : start + size], message_finished=last))
        await peer.send(TextMessage(data="text"), BytesMessage(data=data))
        received = [await link.receive() for _ in range(3)]
    assert received == [data, "text", data]
    assert [type(message) for message in received] == [bytes, str, bytes]


# -- handing over ----------------------------------------------------------------------------------


async def test_what_came_before_anybody_listened_is_kept(clock: Clock, network: MemoryNetwork) -> None:
    async def serve() -> None:
        assert isinstance(await network.peer.next(), Request)
        accepted = network.peer.engine.send(AcceptConnection())
        # The first frame begins in the same piece as the handshake ends.
        await network.peer.stream.send_all(accepted + b"\x81\x02h")
        await network.peer.stream.send_all(b"i")
        await network.peer.send(BytesMessage(data=b"\x00"), TextMessage(data="there"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_link(network.config, OPTIONS) as link:
            await trio.sleep(1)
            async with listening(link) as listener:
                assert [await listener.receive() for _ in range(3)] == ["hi", b"\x00", "there"]


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/2.0"])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"], ids=["crlf", "lf"])
async def test_every_upgrade_that_is_understood_ends_the_handshake(
    clock: Clock, network: MemoryNetwork, version: bytes, line_end: bytes
) -> None:
    async def serve() -> None:
        assert isinstance(await network.peer.next(), Request)
        accepted = network.peer.engine.send(AcceptConnection())
        accepted = accepted.replace(b"HTTP/1.1", version).replace(b"\r\n", line_end)
        # Half a frame comes with it; its other half looks like a whole one.
        await network.peer.stream.send_all(accepted + b"\x82\x05ab")
        await network.peer.stream.send_all(b"\x81\x01x" + b"\x81\x01y")
        await network.peer.stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_link(network.config, OPTIONS) as link, listening(link) as listener:
            assert [await listener.receive(), await listener.receive()] == [b"ab\x81\x01x", "y"]
            with pytest.raises(LinkClosed) as caught:
                await listener.receive()
            assert "handshake" not in str(caught.value)


@pytest.mark.parametrize("event", [TextMessage(data="x"), BytesMessage(data=b"x")], ids=["short", "long"])
@pytest.mark.parametrize(
    "error", [KeyError("mine"), trio.ClosedResourceError("mine"), UnicodeError("mine")], ids=repr
)
async def test_an_error_of_the_receiver_stays_what_it_is(
    clock: Clock, network: MemoryNetwork, event: Event, error: Exception
) -> None:
    """On the long way, trio-websocket itself takes some of them for its own."""

    def fail(_messages: Iterator[str | bytes]) -> bool:
        raise error

    async def use() -> None:
        async with open_link(network.config, OPTIONS) as link, BareNursery() as inner:
            inner.start_soon(link.deliver, fail)
            await trio.testing.wait_all_tasks_blocked()
            await network.peer.send(event)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        with pytest.raises(type(error)) as caught:
            await use()
    assert caught.value is error


async def test_nothing_follows_a_message_from_before_that_the_receiver_failed_on(
    clock: Clock, network: MemoryNetwork
) -> None:
    got: list[str | bytes] = []

    def fail(messages: Iterator[str | bytes]) -> bool:
        got.append(next(messages))
        raise KeyError("mine")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        async with open_link(network.config, OPTIONS) as link:
            await network.peer.send(TextMessage(data="early"))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(KeyError, match="mine"):
                await link.deliver(fail)
            await network.peer.send(TextMessage(data="late"))
            await trio.testing.wait_all_tasks_blocked()
    assert got == ["early"]


async def test_other_tasks_have_their_turn_where_the_receiver_stops(
    clock: Clock, network: MemoryNetwork
) -> None:
    got: list[str | bytes] = []
    seen: list[int] = []

    def take(messages: Iterator[str | bytes]) -> bool:
        got.extend(islice(messages, 64))
        return True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        async with open_link(network.config, OPTIONS) as link, trio.open_nursery() as inner:
            inner.start_soon(link.deliver, take)
            await trio.testing.wait_all_tasks_blocked()
            await network.peer.send(*[TextMessage(data=str(number)) for number in range(1000)])
            while len(got) < 1000:
                seen.append(len(got))
                await trio.lowlevel.checkpoint()
            inner.cancel_scope.cancel()
    assert got == [str(number) for number in range(1000)]
    # Trio shuffles the tasks of one tick, so one may run at the end of a tick and the beginning of the next.
    assert max(after - before for before, after in pairwise(seen)) <= 2 * 64


async def test_a_receiver_that_is_filling_up_gets_one_message_at_a_time(
    clock: Clock, network: MemoryNetwork
) -> None:
    waiting = most = taken = 0

    def take(messages: Iterator[str | bytes]) -> bool:
        nonlocal waiting, most
        for _ in messages:
            waiting += 1
            most = max(most, waiting)
            if waiting > 2:
                return True
        return False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        async with open_link(network.config, OPTIONS) as link, trio.open_nursery() as inner:
            inner.start_soon(link.deliver, take)
            await trio.testing.wait_all_tasks_blocked()
            await network.peer.send(*[TextMessage(data="x") for _ in range(500)])
            while taken < 500:
                await trio.lowlevel.checkpoint()
                taken, waiting = taken + min(waiting, 1), max(waiting - 1, 0)
            inner.cancel_scope.cancel()
    assert most < 50


async def test_what_comes_after_our_goodbye_is_not_handed_over(clock: Clock, network: MemoryNetwork) -> None:
    async def serve() -> None:
        await network.peer.accept()
        goodbye = await network.peer.next()
        assert isinstance(goodbye, CloseConnection)
        late = b"\x81\x04late" + b"\x82\x04late"
        await network.peer.stream.send_all(late + network.peer.engine.send(goodbye.response()))

    got: list[str | bytes] = []

    def take(messages: Iterator[str | bytes]) -> bool:
        got.extend(messages)
        return False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_link(network.config, OPTIONS) as link, trio.open_nursery() as inner:

            async def deliver() -> None:
                with pytest.raises(LinkClosed):
                    await link.deliver(take)

            inner.start_soon(deliver)
            await trio.testing.wait_all_tasks_blocked()
            await link.aclose()
    assert got == []


async def test_half_a_text_that_is_none_is_found_out_at_the_end(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, peer):
        await peer.stream.send_all(b"\x81\x04\xff")
        await peer.stream.aclose()
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        assert caught.value.code == 1007


# -- the handshake ---------------------------------------------------------------------------------


async def refuse(network: MemoryNetwork, answer: bytes, *, hang_up: bool = True) -> None:
    assert isinstance(await network.peer.next(), Request)
    await network.peer.stream.send_all(answer)
    if hang_up:
        await network.peer.stream.send_stream.aclose()


async def fail_to_open(network: MemoryNetwork, answer: bytes, *, hang_up: bool = True) -> Exception:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: refuse(network, answer, hang_up=hang_up))
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller looks at it
            async with open_link(network.config, OPTIONS):
                pytest.fail("it opened")
        assert not isinstance(caught.value, BaseExceptionGroup)
    assert await network.closed()
    return caught.value


@pytest.mark.parametrize(
    ("answer", "status", "retry_after", "body"),
    [
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 30\r\nContent-Length: 4\r\n\r\nwait", 429, 30.0, "wait"),
        (b"HTTP/1.1 503 No\r\nRetry-After: Sat, 01 Aug 2020 12:00:30 GMT\r\n\r\n", 503, 0.0, ""),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>\n <b>Bad", 502, None, "<html> <b>Bad"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\nshort", 403, None, "short"),
        (b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 404, None, ""),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzzz\r\n", 500, None, "abc"),
        (b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 300, 500, None, "x" * 200),
    ],
)
@pytest.mark.parametrize("hang_up", [True, False])
async def test_a_refusal_is_told_with_its_status(
    clock: Clock,
    network: MemoryNetwork,
    answer: bytes,
    status: int,
    retry_after: float | None,
    body: str,
    hang_up: bool,
) -> None:
    error = await fail_to_open(network, answer, hang_up=hang_up)
    assert isinstance(error, HandshakeRejected)
    assert (error.status, error.retry_after, error.body) == (status, retry_after, body)
    assert trio.current_time() <= OPTIONS.connect_timeout


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        b"HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: \xff\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\n\r\nSSH-2.0-OpenSSH\r\n\r\n",
    ],
)
async def test_nonsense_in_the_handshake_is_one_plain_error(
    clock: Clock, network: MemoryNetwork, answer: bytes
) -> None:
    error = await fail_to_open(network, answer)
    assert isinstance(error, LinkClosed)
    assert error.code == 1002
    assert trio.current_time() == 0


async def test_what_was_wrong_with_the_upgrade_is_said(clock: Clock, network: MemoryNetwork) -> None:
    answer = (
        b"HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
    )
    assert "Bad accept token" in str(await fail_to_open(network, answer))


async def test_an_endless_refusal_is_not_read_to_the_end(clock: Clock, network: MemoryNetwork) -> None:
    async def serve() -> None:
        await refuse(network, b"HTTP/1.1 503 No\r\n\r\n", hang_up=False)
        while not await network.closed():
            await network.peer.stream.send_all(b"x" * 4096)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(HandshakeRejected) as caught:
            async with open_link(network.config, OPTIONS):
                pytest.fail("it opened")
    assert caught.value.status == 503
    assert trio.current_time() < 1


async def test_a_mute_server_is_given_up_after_the_connect_timeout(
    clock: Clock, network: MemoryNetwork
) -> None:
    with pytest.raises(ConnectTimeout, match="within 5 s"):
        async with open_link(network.config, OPTIONS):
            pytest.fail("it opened")
    assert trio.current_time() == 5
    assert await network.closed()


async def test_a_dialer_that_hangs_is_given_up_after_the_connect_timeout(
    clock: Clock, network: MemoryNetwork
) -> None:
    async def dial(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(ConnectTimeout):
        async with open_link(attrs.evolve(CONFIG, dialer=dial), OPTIONS):
            pytest.fail("it opened")
    assert trio.current_time() == 5


async def test_a_dialer_that_fails_says_why(clock: Clock, network: MemoryNetwork) -> None:
    async def dial(host: str, port: int) -> trio.abc.Stream:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(ConnectionRefusedError, match="nobody there"):
        async with open_link(attrs.evolve(CONFIG, dialer=dial), OPTIONS):
            pytest.fail("it opened")


async def test_cancelling_the_handshake_closes_the_stream(clock: Clock, network: MemoryNetwork) -> None:
    with trio.move_on_after(1) as scope:
        async with open_link(network.config, OPTIONS):
            pytest.fail("it opened")
    assert scope.cancelled_caught
    assert await network.closed()


# -- faults of trio-websocket, each repaired -------------------------------------------------------


async def test_fault_ping_never_returns_on_a_dead_link(clock: Clock, network: MemoryNetwork) -> None:
    async with plain(network) as connection:
        with trio.move_on_after(1000) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.ping)
                await trio.testing.wait_all_tasks_blocked()
                await network.peer.stream.send_stream.aclose()
        assert scope.cancelled_caught


async def test_silence_of_a_half_open_link_shows_in_last_inbound(
    clock: Clock, network: MemoryNetwork
) -> None:
    async with linked(network) as (link, peer):
        await trio.sleep(3)
        await peer.send(TextMessage(data="PONG"))
        assert await link.receive() == "PONG"
        heard = trio.current_time()
        assert link.last_inbound == heard
        while trio.current_time() < link.last_inbound + 50:
            await link.send("PING")
            with trio.move_on_at(min(trio.current_time() + 20, link.last_inbound + 50)):
                await link.receive()
        assert trio.current_time() == heard + 50


async def test_fault_early_end_hangs_the_handshake(clock: Clock, network: MemoryNetwork) -> None:
    with trio.move_on_after(1000) as scope:
        async with trio.open_nursery() as nursery:
            await network.peer.stream.send_stream.aclose()
            await wrap(nursery, network)
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 10",
        b"HTTP/1.1 101 Ok\r\nUpgrade: webso",
        b"HTTP/1.1 103 Hints\r\nLink: <",
        b"HTTP/1.1 103 Hints\r\n\r\n",
    ],
)
async def test_an_early_end_fails_the_handshake_at_once(
    clock: Clock, network: MemoryNetwork, answer: bytes
) -> None:
    error = await fail_to_open(network, answer)
    assert isinstance(error, LinkClosed)
    assert (error.code, error.reason) == (1006, "the server hung up during the handshake")
    assert trio.current_time() == 0


@pytest.mark.parametrize("side", ["send_all_hook", "receive_some_hook"])
async def test_a_stream_that_breaks_fails_the_handshake_at_once(
    clock: Clock, network: MemoryNetwork, side: str
) -> None:
    async def fail() -> None:
        raise trio.BrokenResourceError("reset by peer")

    if side == "send_all_hook":
        network.ours.send_stream.send_all_hook = fail
    else:
        network.ours.receive_stream.receive_some_hook = fail
        network.ours.receive_stream.put_data(b"x")
    with pytest.raises(LinkClosed, match="broke during the handshake: reset by peer"):
        async with open_link(network.config, OPTIONS):
            pytest.fail("it opened")
    assert trio.current_time() == 0


class HalfSender:
    """Makes the next send of a memory stream put out half of its bytes and then block."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.sent = b""
        network.ours.send_stream.send_all_hook = self.block

    async def block(self) -> None:
        stream = self.network.ours.send_stream
        whole = bytes(stream.get_data_nowait())
        self.sent = whole[: len(whole) // 2]
        self.network.peer.stream.receive_stream.put_data(self.sent)
        await trio.sleep_forever()


async def cancel_half_way(send: Callable[[], Awaitable[None]]) -> None:
    with trio.move_on_after(1) as scope:
        await send()
    assert scope.cancelled_caught


async def test_fault_cancelled_send_tears_a_frame_in_silence(clock: Clock, network: MemoryNetwork) -> None:
    async with plain(network) as connection:
        half = HalfSender(network)
        await cancel_half_way(lambda: connection.send_message("cut in half"))
        assert half.sent
        # Nothing tells that every frame from here on is garbage.
        assert connection.closed is None
        network.ours.send_stream.send_all_hook = None
        await connection.send_message("garbage")


async def test_a_cancelled_send_ends_the_link_at_once(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, _):
        half = HalfSender(network)
        await cancel_half_way(lambda: link.send("cut in half"))
        assert half.sent
        for call in (link.receive, lambda: link.send("garbage")):
            with pytest.raises(LinkClosed) as caught:
                await call()
            assert caught.value.code == 1006
        assert trio.current_time() == 1
    assert trio.current_time() == 1


async def test_a_send_cancelled_before_it_began_does_no_harm(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, peer):
        with trio.CancelScope() as scope:
            scope.cancel()
            await link.send("never")
        assert scope.cancelled_caught
        await link.send("after")
        assert await peer.next() == TextMessage(data="after")


async def test_fault_closing_waits_without_bound_for_a_mute_peer(
    clock: Clock, network: MemoryNetwork
) -> None:
    async with plain(network) as connection:
        with trio.move_on_after(1000) as scope:
            await connection.aclose()
        assert scope.cancelled_caught


@pytest.mark.parametrize("blocked", [False, True], ids=["reads", "does not even read"])
async def test_a_mute_peer_cannot_hold_up_closing(
    clock: Clock, network: MemoryNetwork, blocked: bool
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.peer.accept)
        async with open_link(network.config, OPTIONS):
            if blocked:
                network.ours.send_stream.send_all_hook = trio.sleep_forever
    assert trio.current_time() == OPTIONS.close_timeout
    assert await network.closed()


async def feed(peer: Peer, count: int) -> None:
    for number in range(count):
        await peer.send(TextMessage(data=str(number)))
    await peer.send(Ping(payload=b"alive?"))


async def test_fault_unread_messages_stop_pongs(clock: Clock, network: MemoryNetwork) -> None:
    async with plain(network):
        await feed(network.peer, 3)
        with trio.move_on_after(1000) as scope:
            await network.peer.next()
        assert scope.cancelled_caught


async def test_unread_messages_do_not_stop_pongs(clock: Clock, network: MemoryNetwork) -> None:
    async with linked(network) as (link, peer):
        await feed(peer, 500)
        assert await peer.next() == Pong(payload=b"alive?")
        assert [await link.receive() for _ in range(500)] == [str(number) for number in range(500)]


async def ping_during_close(peer: Peer) -> None:
    goodbye = await peer.next()
    assert isinstance(goodbye, CloseConnection)
    # Frames on their way when our goodbye arrived; wsproto itself would not send them any more.
    await peer.stream.send_all(b"\x89\x00" + peer.engine.send(goodbye.response()))


async def test_fault_ping_during_close_crashes_the_reader(clock: Clock, network: MemoryNetwork) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(match="Ping|Pong"), flatten_subgroups=True):
        async with plain(network) as connection, trio.open_nursery() as nursery:
            nursery.start_soon(ping_during_close, network.peer)
            await connection.aclose()


async def test_a_ping_during_close_is_nothing_special(clock: Clock, network: MemoryNetwork) -> None:
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await network.peer.accept()
            await ping_during_close(network.peer)

        nursery.start_soon(serve)
        async with open_link(network.config, OPTIONS):
            pass
    assert trio.current_time() == 0
    assert await network.closed()


async def test_closing_does_not_wait_for_a_reader_that_is_dead(clock: Clock, network: MemoryNetwork) -> None:
    async def bug() -> None:
        raise ZeroDivisionError

    async with linked(network) as (link, _):
        await trio.testing.wait_all_tasks_blocked()
        network.ours.receive_stream.receive_some_hook = bug
        network.ours.receive_stream.put_data(b"\x81\x00")
        assert await link.receive() == ""
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == 0


async def test_fault_an_over_size_message_is_fatal_and_not_an_ordinary_end(
    clock: Clock, network: MemoryNetwork
) -> None:
    async with linked(network) as (link, peer):
        big = TextMessage(data="x" * 2049)
        # More in the same piece: another such message and a ping, which plain trio-websocket trips over.
        await peer.send(TextMessage(data="before"), big, big, Ping(payload=b"x"))
        assert await link.receive() == "before"
        for call in (link.receive, lambda: link.send("x")):
            with pytest.raises(MessageTooBig, match=r"2048 bytes; raise Options\.max_message_bytes"):
                await call()
        goodbye = await peer.next()
        assert isinstance(goodbye, CloseConnection)
        assert goodbye.code == 1009
    assert await network.closed()


async def test_a_message_of_exactly_the_limit_passes_also_in_fragments(
    clock: Clock, network: MemoryNetwork
) -> None:
    async with linked(network) as (link, peer):
        await peer.send(
            Message(data="x" * 1000, message_finished=False),
            Message(data="x" * 1048),
            TextMessage(data="y" * 2048),
        )
        assert await link.receive() == "x" * 2048
        assert await link.receive() == "y" * 2048


async def test_a_peer_that_finds_our_message_too_big_is_told_apart(
    clock: Clock, network: MemoryNetwork
) -> None:
    async with linked(network) as (link, peer):
        await peer.send(CloseConnection(code=1009, reason="yours is too big"))
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        assert caught.value.code == 1009


class Counting(trio.abc.Stream):
    """Notes how much is asked of each read."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.asked: set[int | None] = set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self.asked.add(max_bytes)
        return await self.stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()


async def test_fault_reads_are_of_128_kib_not_4(clock: Clock, network: MemoryNetwork) -> None:
    counting = Counting(network.ours)

    async def dial(host: str, port: int) -> trio.abc.Stream:
        return counting

    network.config = attrs.evolve(CONFIG, dialer=dial)
    async with linked(network) as (link, peer):
        await peer.send(TextMessage(data="x"))
        assert await link.receive() == "x"
    assert counting.asked == {128 * 1024}


async def test_the_stream_below_passes_the_rest_through(clock: Clock, network: MemoryNetwork) -> None:
    wire = _Wire(network.ours, Engine(1000))
    await wire.wait_send_all_might_not_block()
    await wire.aclose()
    assert await network.closed()
