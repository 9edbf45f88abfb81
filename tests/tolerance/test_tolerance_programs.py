"""Servers with a behavior of their own: odd heartbeats, quick refusals, gateways that fail for a moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from o2trio import (
    ConnectionDown,
    ConnectionUp,
    HandshakeRejected,
    Level,
    O2Client,
    O2ConnectionLost,
    O2Error,
    Subscription,
    SubscriptionRejected,
    TopicBroken,
    TopicRefused,
    open_o2,
)
from tests.tolerance._cases import (
    ACCOUNT,
    MARKET,
    MARKET_2,
    OPTIONS,
    ORDER,
    order,
    orders,
    quiet_rest,
    snapshot,
    trade,
    trades,
    update,
)
from tests.tolerance._server import RawServer, RawSocket, reply

ROOT = Path(__file__).parents[2]


def books_only(_socket: RawSocket, request: dict[str, Any]) -> Iterable[Any]:
    """Serve depth, and say nothing to other requests."""
    return [snapshot({"market_id": request["market_id"]})] if request["action"] == "subscribe_depth" else ()


async def drain(stream: Subscription[Any], into: list[Any]) -> None:
    try:
        async for item in stream:
            into.append(item)  # noqa: PERF401 - an error must not lose what came before it
    except O2Error as error:
        into.append(error)


# -- ping-answered-with-error ----------------------------------------------------------------------

PONGS: dict[str, list[Any]] = {
    "ping-answered-with-error": [{"code": 1002, "message": "parse error"}],
    "named error": [{"action": "error", "code": 1002, "message": "parse error"}],
    "error key": [{"error": "expected value at line 1 column 1"}],
    "success false": [{"success": False, "message": "unknown message PING"}],
    "code as text": [{"code": "1002", "message": "parse error"}],
    "json pong": [{"action": "pong"}],
    "JSON text": ['"PONG"'],
    "type pong": [{"type": "pong", "timestamp": 1}],
    "nothing understood": ["what?"],
    "binary": [b"PONG"],
    "twice": ["PONG", "PONG"],
}


@pytest.mark.parametrize("name", PONGS)
async def test_an_odd_answer_to_the_heartbeat_refuses_nobody(autojump_clock: MockClock, name: str) -> None:
    """Quiet streams stay: the answer is taken for an answer to the heartbeat."""
    server = RawServer(books_only, quiet_rest)
    server.pong = PONGS[name]
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=OPTIONS) as o2, o2.events() as events:
            seen: dict[str, list[Any]] = {"trades": [], "orders": [], "balances": [], "nonce": []}
            nursery.start_soon(drain, o2.stream_trades(MARKET), seen["trades"])
            nursery.start_soon(drain, o2.stream_orders(ACCOUNT), seen["orders"])
            nursery.start_soon(drain, o2.stream_balances(ACCOUNT), seen["balances"])
            nursery.start_soon(drain, o2.stream_nonce(ACCOUNT), seen["nonce"])
            async with o2.order_book(MARKET) as book:
                await trio.sleep(90)
                assert seen == {"trades": [], "orders": [], "balances": [], "nonce": []}
                # Only a text that cannot be understood may cost a book its freshness.
                assert not book.is_stale or name == "nothing understood"
                await server.socket.send(trades(trade()), orders(order()), update())
                # Without a plain answer to any heartbeat the requests stay unconfirmed, which takes a repair.
                await trio.sleep(60 if name == "nothing understood" else 1)
                assert book.is_stale or book.raw.best_bid == Level(25_000, 15)
            assert [item.trades for item in seen["trades"]][-1][0].trade_id == "11"
            assert [item.orders for item in seen["orders"]][-1][0].order_id == ORDER
            if name != "nothing understood":
                assert [len(items) for items in seen.values()] == [1, 1, 0, 0]
            reported = []
            while events.statistics().buffered:
                reported.append(events.receive_nowait())
            assert not [event for event in reported if isinstance(event, (TopicRefused, ConnectionDown))]
            broken = {event.topic for event in reported if isinstance(event, TopicBroken)}
            assert not broken or name == "nothing understood"
        nursery.cancel_scope.cancel()
    assert server.handshakes == 1


async def test_a_refusal_is_still_one_where_heartbeats_are_answered_with_errors(
    autojump_clock: MockClock,
) -> None:
    """The answer to a heartbeat must not hide the refusal of the request before it."""

    def script(_socket: RawSocket, request: dict[str, Any]) -> Iterable[Any]:
        refused = request["action"] == "subscribe_orders"
        return [{"action": "subscribe_orders", "code": 6001, "message": "too many"}] if refused else ()

    server = RawServer(script, quiet_rest)
    server.pong = PONGS["ping-answered-with-error"]
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=OPTIONS) as o2, o2.stream_trades(MARKET):
            await trio.sleep(30)
            with pytest.raises(SubscriptionRejected, match="too many"), trio.fail_after(5):
                async with o2.stream_orders(ACCOUNT) as stream:
                    await stream.receive()
        nursery.cancel_scope.cancel()


# -- refusal-races-the-send ------------------------------------------------------------------------

_QUIET: dict[str, Callable[[O2Client], Subscription[Any]]] = {
    "orders": lambda o2: o2.stream_orders(ACCOUNT),
    "balances": lambda o2: o2.stream_balances(ACCOUNT),
    "nonce": lambda o2: o2.stream_nonce(ACCOUNT),
    "trades": lambda o2: o2.stream_trades(MARKET),
    "depth": lambda o2: o2.stream_depth(MARKET),
}


@pytest.mark.parametrize("kind", ["orders", "nonce", "trades", "depth"])
async def test_refusal_races_the_send(kind: str) -> None:
    """A server in a process of its own refuses at once: 12 of 12 streams say so."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.tolerance._refuser"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    errors = []
    try:
        with trio.fail_after(60):
            port = int(await process.stdout.receive_some())
            for _ in range(12):
                async with open_o2(f"http://127.0.0.1:{port}") as o2:
                    try:
                        with trio.move_on_after(3):
                            async with _QUIET[kind](o2) as stream:
                                await stream.receive()
                    except SubscriptionRejected as error:
                        errors.append(error)
    finally:
        await process.stdin.aclose()
        await process.wait()
        await process.stdout.aclose()
    assert [error.code for error in errors] == [6001] * 12


class _SlowToReturn(trio.abc.Stream):
    """A stream whose ``send_all`` returns long after the peer has the bytes, and its answer is here."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)
        await trio.sleep(0.3)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._inner.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("kind", _QUIET)
async def test_a_refusal_that_comes_before_the_send_has_returned(
    autojump_clock: MockClock, kind: str
) -> None:
    """The same race, each time: the reader runs between the effect on the wire and the note of it."""

    def refuse(_socket: RawSocket, request: dict[str, Any]) -> Iterable[Any]:
        return [{"action": request["action"], "code": 6001, "message": "too many"}]

    server = RawServer(refuse, quiet_rest)
    async with trio.open_nursery() as nursery:
        network = server.network(nursery)
        assert network.dialer is not None
        dial = network.dialer

        async def dialer(host: str, port: int) -> trio.abc.Stream:
            return _SlowToReturn(await dial(host, port))

        async with open_o2(attrs.evolve(network, dialer=dialer), options=OPTIONS) as o2:
            for _ in range(3):
                with pytest.raises(SubscriptionRejected, match="too many"), trio.fail_after(5):
                    async with _QUIET[kind](o2) as stream:
                        await stream.receive()
        nursery.cancel_scope.cancel()


# -- 404-at-reconnection ---------------------------------------------------------------------------

GATEWAYS: dict[str, Any] = {
    "404-at-reconnection": reply({"error": "not found"}, 404),
    "403": reply({"message": "forbidden"}, 403),
    "401": reply({"message": "unauthorized"}, 401),
    "400": reply({"message": "bad request"}, 400),
    "405": reply({"message": "no such method"}, 405),
    "410": reply({"message": "gone"}, 410),
    "200": (200, {"Content-Type": "text/html"}, b"<html>maintenance</html>"),
    "302": (302, {"Location": "/maintenance"}, b""),
    "308": (308, {"Location": "https://elsewhere.test/"}, b""),
    "503": reply({"message": "later"}, 503, **{"Retry-After": "2"}),
    "500": reply({"error": "boom"}, 500),
}


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_refused_reconnection_ends_no_stream(
    autojump_clock: MockClock, name: str, times: int
) -> None:
    """What was served a minute ago is not gone for good because a gateway says so."""
    server = RawServer(books_only, quiet_rest)
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=OPTIONS) as o2, o2.events() as events:
            seen: list[Any] = []
            nursery.start_soon(drain, o2.stream_trades(MARKET), seen)
            async with o2.order_book(MARKET) as book:
                await trio.sleep(60)
                server.refusals = [GATEWAYS[name]] * times
                await server.socket.cut()
                await trio.sleep(60)
                assert not book.is_stale
                await server.socket.send(update(), trades(trade()))
                await trio.sleep(1)
                assert book.raw.best_bid == Level(25_000, 15)
            assert not [item for item in seen if isinstance(item, Exception)]
            assert [entry.trade_id for item in seen for entry in item.trades] == ["11"]
            reported = []
            while events.statistics().buffered:
                reported.append(events.receive_nowait())
            assert len([event for event in reported if isinstance(event, ConnectionDown)]) == times + 1
            assert len([event for event in reported if isinstance(event, ConnectionUp)]) == 2
        nursery.cancel_scope.cancel()
    assert server.handshakes == times + 2


async def test_a_first_dial_may_fail_at_once(autojump_clock: MockClock) -> None:
    server = RawServer(books_only, quiet_rest)
    server.refusals = [GATEWAYS["404-at-reconnection"]] * 3
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=OPTIONS) as o2:
            with pytest.raises(O2ConnectionLost) as caught, trio.fail_after(60):
                async with o2.stream_depth(MARKET_2):
                    pass
            assert isinstance(caught.value.__cause__, HandshakeRejected)
        nursery.cancel_scope.cancel()


async def test_a_region_that_is_refused_stops_also_at_a_reconnection(autojump_clock: MockClock) -> None:
    server = RawServer(books_only, quiet_rest)
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=OPTIONS) as o2:
            seen: list[Any] = []
            nursery.start_soon(drain, o2.stream_depth(MARKET), seen)
            await trio.sleep(60)
            server.refusals = [reply({"code": 1004, "message": "not in your region"}, 451)] * 9
            await server.socket.cut()
            await trio.sleep(120)
            assert isinstance(seen[-1], O2ConnectionLost)
            assert server.handshakes == 2
        nursery.cancel_scope.cancel()


# -- trade-ids-two-spellings -----------------------------------------------------------------------

LOW, HIGH = "0x" + "00" * 31 + "ab", "0x" + "00" * 31 + "ac"


def hexadecimal(text: str) -> str:
    return "0x" + text[2:].upper()


SPELLINGS: dict[str, Callable[[str], Any]] = {
    "trade-ids-two-spellings": hexadecimal,
    "without 0x": lambda text: text[2:],
    "0X": str.upper,
    "with spaces": lambda text: text,
}
PAIRS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    **{name: (LOW, HIGH, spell) for name, spell in SPELLINGS.items() if name != "with spaces"},
    "number": ("918273645", "918273646", int),
    "maker and taker": (f"{LOW}/{HIGH}", f"{HIGH}/{LOW}", lambda text: text.upper().replace("0X", "")),
}


@pytest.mark.parametrize("name", PAIRS)
async def test_trade_ids_in_two_spellings(autojump_clock: MockClock, name: str) -> None:
    """The stream says one spelling, REST another: after a break each trade came once, without a gap."""
    first, second, spell = PAIRS[name]
    later = trade({"trade_id": second, "timestamp": "1764000002000"})
    listed = [trade({"trade_id": first}), later]

    def rest(asked: Any) -> Any:
        if asked.path != "/v1/trades":
            return quiet_rest(asked)
        found = [{**each, "trade_id": spell(each["trade_id"])} for each in listed]
        if asked.query.get("direction") == "desc":
            found.reverse()
        return reply({"market_id": MARKET, "trades": found})

    listed.pop()
    server = RawServer(lambda *_: (), rest)
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=OPTIONS) as o2, o2.events() as events:
            seen: list[Any] = []
            nursery.start_soon(drain, o2.stream_trades(MARKET), seen)
            await trio.sleep(5)
            await server.socket.send(trades(trade({"trade_id": first})))
            await trio.sleep(5)
            listed.append(later)
            await server.socket.cut()
            await trio.sleep(20)
            await server.socket.send(trades(trade({"trade_id": "99", "timestamp": "1764000003000"})))
            await trio.sleep(20)
            reported = []
            while events.statistics().buffered:
                reported.append(events.receive_nowait())
        nursery.cancel_scope.cancel()
    assert [item.gap for item in seen] == [None] * len(seen)
    spelled_ids = [entry.trade_id for item in seen for entry in item.trades]
    assert len(spelled_ids) == 3, spelled_ids
    assert spelled_ids[0] == first
    assert spelled_ids[2] == "99"
    assert len([event for event in reported if isinstance(event, TopicBroken)]) == 1
