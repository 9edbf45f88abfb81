"""The server on in-memory connections and virtual time: HTTP, WebSocket, limits, hostile clients."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import h11
import pytest
import trio
import trio.testing
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage

from o2trio.simulator import Simulator, _websocket, open_simulator

OpenStream = Callable[[Simulator], Awaitable[trio.abc.Stream]]
Dial = Callable[[Simulator], Awaitable[Any]]

HANDSHAKE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def _read_all(stream: trio.abc.Stream) -> bytes:
    data = b""
    try:
        while more := await stream.receive_some():
            data += more
    except trio.BrokenResourceError:
        pass
    return data


async def _http(stream: trio.abc.Stream, *requests: bytes) -> list[tuple[int, bytes]]:
    """Send raw requests at once and read as many responses."""
    client = h11.Connection(h11.CLIENT)
    await stream.send_all(b"".join(requests))
    answers = []
    for request in requests:
        method, target, _ = request.split(b" ", 2)
        client.send(h11.Request(method=method, target=target, headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        status, body = 0, b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                client.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        answers.append((status, body))
        client.start_next_cycle()
    return answers


# -- HTTP ------------------------------------------------------------------------------------------


async def test_keeps_an_http_connection_and_answers_pipelined_requests(
    autojump_clock: trio.testing.MockClock, open_stream: OpenStream
) -> None:
    async with open_simulator(flow=False) as sim:
        stream = await open_stream(sim)
        get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        post = b"POST /v1/markets HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        head = b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n"
        ok = (200, b'{"status":"ok"}')
        assert await _http(stream, get) == [ok]
        assert [status for status, _ in await _http(stream, get, post, head, get)] == [200, 405, 405, 200]


async def test_closes_when_the_client_asks_for_it(
    autojump_clock: trio.testing.MockClock, open_stream: OpenStream
) -> None:
    async with open_simulator(flow=False) as sim:
        stream = await open_stream(sim)
        await stream.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await _read_all(stream)).endswith(b'{"status":"ok"}')


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\xff garbage \r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),  # a TLS greeting
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n", 400),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"POST /v1/markets HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + bytes(100_000), 413),
        (b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
        (HANDSHAKE.replace(b"Version: 13", b"Version: 8"), 400),
        (b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhal", 400),
        (b"GET /heal", 400),
        (b"", None),
        (HANDSHAKE[:-20], 400),
        (HANDSHAKE + bytes(50), 101),
        (HANDSHAKE + b"\x81\x05hello", 101),  # not masked
        (HANDSHAKE + b"\x83\x80abcd", 101),  # no such opcode
        (HANDSHAKE + b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xffabcd", 101),
        (HANDSHAKE + b"\x81\x82\x00\x00\x00\x00\xff\xff", 101),  # not UTF-8
    ],
)
@pytest.mark.parametrize("bytewise", [False, True])
async def test_survives_hostile_clients(
    autojump_clock: trio.testing.MockClock,
    open_stream: OpenStream,
    dial: Dial,
    data: bytes,
    status: int | None,
    *,
    bytewise: bool,
) -> None:
    async with open_simulator(flow=False) as sim:
        stream = await open_stream(sim)
        pieces = [data[at : at + 1] for at in range(min(len(data), 300))] if bytewise else []
        try:
            for piece in [*pieces, data[len(pieces) :]]:
                await stream.send_all(piece)
                if bytewise:
                    await trio.lowlevel.checkpoint()
            assert isinstance(stream, trio.abc.HalfCloseableStream)
            await stream.send_eof()
        except trio.BrokenResourceError:
            pass  # cut while we were talking
        answer = await _read_all(stream)
        assert answer.split(b" ", 2)[1:2] == ([] if status is None else [str(status).encode()])
        await trio.sleep(10)
        assert not sim.connections
        socket = await dial(sim)
        await socket.send("PING")
        assert await socket.text() == "PONG"


async def test_an_unfinished_request_is_cut_after_a_while(
    autojump_clock: trio.testing.MockClock, open_stream: OpenStream
) -> None:
    async with open_simulator(flow=False) as sim:
        stream = await open_stream(sim)
        await stream.send_all(b"GET /health HTTP/1.1\r\n")
        start = trio.current_time()
        assert await _read_all(stream) == b""
        assert trio.current_time() - start == pytest.approx(30)


# -- WebSocket -------------------------------------------------------------------------------------


async def test_answers_protocol_pings_and_joins_fragments(
    autojump_clock: trio.testing.MockClock, dial: Dial
) -> None:
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        await socket.send_event(Ping(b"are you there"))
        await socket.send_event(TextMessage("PI", message_finished=False))
        await socket.send_event(TextMessage("NG"))
        assert await socket.text() == "PONG"
        assert [event.payload for event in socket.seen(Pong)] == [b"are you there"]
        assert list(sim.connections[0].requests) == ["PING"]


async def test_a_binary_message_is_answered_with_an_error(
    autojump_clock: trio.testing.MockClock, dial: Dial
) -> None:
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        await socket.send_event(BytesMessage(b"\x00\x01"))
        assert (await socket.receive())["code"] == 1002
        await socket.send("PING")
        assert await socket.text() == "PONG"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (CloseConnection(code=1000, reason="bye"), 1000),
        (TextMessage("x" * 70_000), 1009),
        (BytesMessage(bytes(70_000)), 1009),
    ],
)
async def test_closes_with_a_handshake(
    autojump_clock: trio.testing.MockClock, dial: Dial, event: Message[str] | CloseConnection, code: int
) -> None:
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        market = sim.market("fFUEL/fUSDC").market_id
        await socket.send({"action": "subscribe_trades", "market_id": market})
        await trio.testing.wait_all_tasks_blocked()
        assert [each.kind for each in sim.connections[0].subscriptions] == ["trades"]
        await socket.send_event(event)
        await socket.until_end()
        assert socket.seen(CloseConnection)[0].code == code
        assert not sim.connections


async def test_a_client_that_vanishes_is_forgotten(
    autojump_clock: trio.testing.MockClock, dial: Dial
) -> None:
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        assert len(sim.connections) == 1
        await trio.aclose_forcefully(socket.stream)
        await trio.testing.wait_all_tasks_blocked()
        assert not sim.connections


async def test_a_client_that_vanishes_while_it_is_sent_to_is_forgotten(
    autojump_clock: trio.testing.MockClock, dial: Dial
) -> None:
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        sim.send_raw("x" * 1_000_000)
        await trio.testing.wait_all_tasks_blocked()
        await trio.aclose_forcefully(socket.stream)
        await trio.testing.wait_all_tasks_blocked()
        assert not sim.connections


async def test_sixty_seconds_without_a_message_end_the_connection(
    autojump_clock: trio.testing.MockClock, dial: Dial
) -> None:
    async with open_simulator(flow=False) as sim:
        quiet, lively = await dial(sim), await dial(sim)
        for _ in range(3):
            await trio.sleep(29)
            await lively.send("PING")
            if quiet.ws.state.name == "OPEN" and sim.connections[0].number == 1:
                await quiet.send_event(Ping())  # not a message
        assert [connection.number for connection in sim.connections] == [2]
        await quiet.until_end()
        assert quiet.seen(CloseConnection)[0].code == 1001


async def test_a_client_that_does_not_read_is_cut_and_nobody_else_notices(
    autojump_clock: trio.testing.MockClock, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_websocket, "OUTBOX_FRAMES", 100)
    async with open_simulator(flow=False) as sim:
        market = sim.market("fFUEL/fUSDC").market_id
        lazy, eager = await dial(sim), await dial(sim)
        for socket in (lazy, eager):
            await socket.send({"action": "subscribe_depth", "market_id": market, "precision": "10"})
            await socket.receive()
        got = 0
        for _ in range(200):
            sim.run_flow(1)
            sim.send_raw(f'"{"x" * 5000}"')
            with trio.move_on_after(0.1):
                while await eager.receive():
                    got += 1
        assert [connection.number for connection in sim.connections] == [2]
        assert got > 220
        await lazy.until_end()
        assert lazy.seen(CloseConnection)[0].code == 1006  # cut, not closed


async def test_views_keep_their_period(autojump_clock: trio.testing.MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        market = sim.market("fETH/fUSDC").market_id
        socket, other = await dial(sim), await dial(sim)
        view = {"action": "subscribe_depth_view", "market_id": market, "precision": "1000000"}
        await socket.send({**view, "frequency": "500ms"})
        first = await socket.receive()
        start = trio.current_time()
        await trio.sleep(0.3)
        await other.send({**view, "frequency": "100ms"})
        assert await other.receive() == first
        for n in range(1, 5):
            assert await socket.receive() == first
            assert trio.current_time() - start == pytest.approx(n * 0.5)
        for _ in range(17):
            await other.receive()
        assert trio.current_time() - start == pytest.approx(2.0)
        await socket.send({"action": "unsubscribe_depth_view", "market_id": market})
        with trio.move_on_after(5) as limit:
            while True:
                await socket.receive()
        assert limit.cancelled_caught


# -- faults ----------------------------------------------------------------------------------------


async def test_a_muted_exchange_is_a_black_hole_and_then_catches_up(
    autojump_clock: trio.testing.MockClock, dial: Dial, open_stream: OpenStream
) -> None:
    async with open_simulator(flow=False) as sim:
        market = sim.market("fFUEL/fUSDC")
        socket = await dial(sim)
        await socket.send({"action": "subscribe_depth", "market_id": market.market_id, "precision": "10"})
        await socket.receive()
        sim.mute()
        sim.run_flow(50)
        await socket.send("PING")
        http = await open_stream(sim)
        await http.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        late = await open_stream(sim)
        await late.send_all(HANDSHAKE)
        with trio.move_on_after(20):
            async with trio.open_nursery() as nursery:
                for stream in (socket.stream, http, late):
                    nursery.start_soon(_expect_nothing, stream)
        assert sim.connections[0].requests[-1] == "PING"
        sim.unmute()
        updates = 0
        while (text := await socket.text()) != "PONG":
            assert json.loads(text)["action"] == "subscribe_depth_update"
            updates += 1
        assert updates > 5
        assert (await http.receive_some()).startswith(b"HTTP/1.1 200")
        assert (await late.receive_some()).startswith(b"HTTP/1.1 101")


async def _expect_nothing(stream: trio.abc.Stream) -> None:
    pytest.fail(f"got {await stream.receive_some()!r}")


async def test_who_overflowed_while_muted_is_cut_when_it_is_heard_again(
    autojump_clock: trio.testing.MockClock, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_websocket, "OUTBOX_BYTES", 1000)
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        sim.mute()
        for _ in range(5):
            sim.send_raw("x" * 500)
        await trio.sleep(10)
        assert len(sim.connections) == 1
        sim.unmute()
        await socket.until_end()
        assert not socket.texts
        assert not sim.connections


async def test_dropping_cuts_without_a_closing_handshake(
    autojump_clock: trio.testing.MockClock, dial: Dial
) -> None:
    async with open_simulator(flow=False) as sim:
        one, other, third = [await dial(sim) for _ in range(3)]
        sim.connections[1].drop()
        await other.until_end()
        assert [connection.number for connection in sim.connections] == [1, 3]
        sim.drop_connections()
        for socket in (one, other, third):
            await socket.until_end()
            assert socket.seen(CloseConnection)[0].code == 1006
        assert not sim.connections


async def test_refuses_handshakes_as_told(
    autojump_clock: trio.testing.MockClock, open_stream: OpenStream, dial: Dial
) -> None:
    async with open_simulator(flow=False) as sim:
        sim.refuse_handshakes(429, retry_after=2.5, count=2)
        stream = await open_stream(sim)
        for _ in range(2):
            await stream.send_all(HANDSHAKE)
            answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            assert b"Retry-After: 2.5\r\n" in answer
            await trio.sleep(1)
        await dial(sim)
        sim.refuse_handshakes(503)
        await stream.send_all(HANDSHAKE)
        assert b"Retry-After" not in await stream.receive_some()
        assert [status for status, _ in await _http(stream, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")] == [
            200
        ]
        sim.accept_handshakes()
        await dial(sim)
        assert [handshake.status for handshake in sim.handshakes] == [429, 429, 101, 503, 101]
        assert [handshake.time - sim.handshakes[0].time for handshake in sim.handshakes[:3]] == [0, 1, 2]


async def test_accepts_and_drops_as_told(autojump_clock: trio.testing.MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        sim.accept_and_drop(count=2)
        for _ in range(2):
            await (await dial(sim)).until_end()
        await dial(sim)
        assert len(sim.connections) == 1
        sim.accept_and_drop()
        await (await dial(sim)).until_end()
        sim.accept_handshakes()
        await dial(sim)
        assert len(sim.connections) == 2


async def test_sends_any_text_to_one_or_all(autojump_clock: trio.testing.MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        one, other = await dial(sim), await dial(sim)
        sim.send_raw("{broken", sim.connections[0])
        big = "x" * 100_000
        sim.send_raw(big)
        assert [await one.text(), await one.text()] == ["{broken", big]
        assert await other.text() == big


async def test_rejects_the_next_subscription(autojump_clock: trio.testing.MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        sim.reject_next_subscription(6001, "Too many subscriptions")
        request = {"action": "subscribe_trades", "market_id": sim.market("fBTC/fUSDC").market_id}
        await socket.send(request)
        assert await socket.receive() == {"code": 6001, "message": "Too many subscriptions"}
        await socket.send(request)
        await socket.send("PING")
        assert await socket.text() == "PONG"
