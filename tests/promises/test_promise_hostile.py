"""Servers that lie, stutter, shout or say goodbye: what no honest exchange does, done to a live client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# What raises is the life of a stream, which is more than one statement.
# ruff: noqa: PT012
import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    MessageTooBig,
    O2Client,
    O2ConnectionLost,
    Options,
    ResynchronisationFailed,
    SubscriptionTimeout,
    open_o2,
)
from o2trio.simulator import Simulator, open_simulator
from o2trio.simulator._websocket import Connection, text_frame
from tests.promises._support import (
    ETH,
    FUEL,
    QUICK,
    UPPER,
    DepthWatcher,
    TradeWatcher,
    settle,
    subscribed,
    truth,
)

Send = Callable[[Connection, bytes], None]


def _tamper(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], list[bytes]]) -> None:
    """Put `change` between the simulator and the wire of every connection."""
    send = Connection.send

    def tampered(self: Connection, data: bytes) -> None:
        for piece in change(data):
            send(self, piece)

    monkeypatch.setattr(Connection, "send", tampered)


async def test_a_depth_stream_without_a_snapshot_times_out_and_is_released(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tamper(monkeypatch, lambda data: [] if b'"subscribe_depth"' in data else [data])
    async with (
        open_simulator(seed=81, rate=2) as sim,
        open_o2(sim.network) as o2,
        o2.stream_trades(FUEL) as trades,
    ):
        start = trio.current_time()
        with pytest.raises(SubscriptionTimeout, match="10 s"):
            async with o2.stream_depth(FUEL):
                pytest.fail("there is no snapshot")
        assert trio.current_time() - start == pytest.approx(10, abs=0.1)
        await trio.sleep(1)
        assert subscribed(sim) == ["trades"]
        assert len(sim.handshakes) == 1
        assert trades.statistics().buffered


async def _watch_both(sim: Simulator, o2: O2Client, act: Callable[[], None], *, redials: bool) -> None:
    """Follow two books and the trades while `act` does harm; all is exact afterwards."""
    fuel, eth, trades = DepthWatcher(), DepthWatcher(), TradeWatcher()
    async with trio.open_nursery() as nursery:
        await nursery.start(fuel.follow, o2.stream_depth(FUEL))
        await nursery.start(eth.follow, o2.stream_depth(ETH))
        await nursery.start(trades.follow, o2.stream_trades(FUEL))
        await trio.sleep(3)
        act()
        await trio.sleep(20)
        await settle(sim)
        fuel.check(sim)
        eth.check(sim, ETH)
        trades.check(sim)
        assert len(sim.handshakes) == 1 + redials
        assert trades.epoch == eth.epoch == redials
        assert trades.gaps == 0
        assert fuel.snapshots > 1
        assert len(sim.connections) == 1
        nursery.cancel_scope.cancel()


def _update(sim: Simulator, side: str, price: int, quantity: int) -> str:
    changes = {"buys": [], "sells": [], side: [{"price": str(price), "quantity": str(quantity)}]}
    market_id = sim.market(FUEL).market_id
    return json.dumps({"action": "subscribe_depth_update", "changes": changes, "market_id": market_id})


@pytest.mark.parametrize("lie", ["crossed", "negative", "negative snapshot"])
async def test_a_book_that_cannot_be_is_resynchronised(autojump_clock: MockClock, lie: str) -> None:
    """The self-check of the book; no other stream is touched and nothing is dialled again."""
    async with open_simulator(seed=82, rate=3) as sim, open_o2(sim.network, options=QUICK) as o2:

        def act() -> None:
            book = truth(sim)
            best = book.asks[0]
            frame = {
                "crossed": _update(sim, "buys", best.price + 10, 5),
                "negative": _update(sim, "sells", best.price, -best.quantity - 1),
                "negative snapshot": _update(sim, "buys", 10, -1),
            }[lie]
            if "snapshot" in lie:
                levels = json.loads(frame)
                levels["action"], levels["view"] = "subscribe_depth", levels.pop("changes")
                levels["view"]["sells"] = [{"price": str(best.price - 10), "quantity": "3"}]
                frame = json.dumps(levels)
            sim.send_raw(frame)

        await _watch_both(sim, o2, act, redials=False)


async def test_a_book_that_breaks_again_and_again_is_asked_for_ever_more_rarely(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version subscribes afresh at each broken update, as fast as they come."""
    async with open_simulator(seed=83, rate=3) as sim, open_o2(sim.network, options=UPPER) as o2:
        bad = sim.market(FUEL).market_id.encode()
        broken, bystander = DepthWatcher(), DepthWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(bystander.follow, o2.stream_depth(ETH))
            await nursery.start(broken.follow, o2.stream_depth(FUEL))
            lie = text_frame(_update(sim, "buys", 10, -(10**30)))
            with monkeypatch.context() as context:
                _tamper(context, lambda data: [data, lie] if bad in data else [data])
                await trio.sleep(25)
                asked = [text for text in sim.connections[0].requests if '"subscribe_depth"' in text]
                # Two streams, then at 0, 1, 3, 7 and 15 seconds after the first break.
                assert 5 <= len(asked) <= 2 + 5
            await trio.sleep(100)
            await settle(sim)
            broken.check(sim)
            bystander.check(sim, ETH)
            assert bystander.epoch == 0
            assert len(sim.handshakes) == 1
            nursery.cancel_scope.cancel()


async def test_a_book_that_never_holds_ends_its_stream_and_no_other(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first snapshot cannot be true, and neither can any further one: entry says so in the end."""
    async with open_simulator(seed=83, rate=3) as sim, open_o2(sim.network, options=UPPER) as o2:
        bad = sim.market(FUEL).market_id.encode()
        bystander = DepthWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(bystander.follow, o2.stream_depth(ETH))
            negative = json.loads(_update(sim, "buys", 10, -1))
            negative["action"], negative["view"] = "subscribe_depth", negative.pop("changes")
            lie = text_frame(json.dumps(negative))
            _tamper(
                monkeypatch, lambda data: [lie] if bad in data and b'"subscribe_depth"' in data else [data]
            )
            with pytest.raises(ResynchronisationFailed, match="understood"), trio.fail_after(100):
                async with o2.stream_depth(FUEL):
                    pytest.fail("there is no book")
            await trio.sleep(1)
            assert subscribed(sim) == ["depth"]
            await settle(sim)
            bystander.check(sim, ETH)
            assert bystander.epoch == 0
            nursery.cancel_scope.cancel()


GOODBYES = {
    "1000": b"\x88\x02\x03\xe8",
    "1001 with words": b"\x88\x09\x03\xe9goodbye",
    "1008": b"\x88\x02\x03\xf0",
    "1011": b"\x88\x02\x03\xf3",
    "no code": b"\x88\x00",
    "unknown opcode": b"\x8b\x00",
    "masked frame": b"\x81\x81abcdx",
    "text that is no UTF-8": b"\x81\x02\xff\xfe",
    "continuation of nothing": b"\x80\x01x",
}


@pytest.mark.parametrize("goodbye", GOODBYES)
async def test_a_goodbye_or_nonsense_on_the_wire_is_a_break_like_any_other(
    autojump_clock: MockClock, goodbye: str
) -> None:
    async with open_simulator(seed=84, rate=3) as sim, open_o2(sim.network, options=QUICK) as o2:
        await _watch_both(sim, o2, lambda: sim.connections[0].send(GOODBYES[goodbye]), redials=True)


CLOSE_CODES = [1003, 1009, 1010, 3000, 3003]


@pytest.mark.parametrize("code", CLOSE_CODES)
async def test_a_final_close_code_of_an_exchange_that_never_served_ends_the_streams(
    autojump_clock: MockClock, code: int
) -> None:
    async with open_simulator(seed=85, flow=False) as sim, open_o2(sim.network, options=QUICK) as o2:
        market = sim.market(FUEL)
        sim.frames.drop_pong()
        with pytest.raises(O2ConnectionLost, match=str(code)), trio.fail_after(10):
            async with o2.stream_trades(market) as trades:
                sim.connections[0].send(b"\x88\x02" + code.to_bytes(2, "big"))
                while True:
                    await trades.receive()
        await trio.sleep(100)
        assert len(sim.handshakes) == 1


@pytest.mark.parametrize("code", CLOSE_CODES)
async def test_a_close_code_that_looks_final_is_a_break_where_the_exchange_has_served(
    autojump_clock: MockClock, code: int
) -> None:
    async with open_simulator(seed=85, rate=3) as sim, open_o2(sim.network, options=QUICK) as o2:
        farewell = b"\x88\x02" + code.to_bytes(2, "big")
        await _watch_both(sim, o2, lambda: sim.connections[0].send(farewell), redials=True)


async def test_one_message_that_is_too_big_is_a_break_and_a_second_one_is_final(
    autojump_clock: MockClock,
) -> None:
    """A single large message passes; a snapshot that is too big comes again with every connection."""
    options = attrs.evolve(QUICK, max_message_bytes=64 * 1024)
    async with open_simulator(seed=86, rate=3) as sim, open_o2(sim.network, options=options) as o2:

        async def once() -> None:
            sim.send_raw("x" * (64 * 1024 + 1))
            await trio.sleep(5)

        async with o2.stream_trades(FUEL) as trades:
            await trades.receive()
            await once()
            assert len(sim.handshakes) == 2
            await trio.sleep(options.stable_after)
            await once()
            assert len(sim.handshakes) == 3
            await once()
            assert len(sim.handshakes) == 3
            with pytest.raises(O2ConnectionLost, match="max_message_bytes"), trio.fail_after(1):
                while True:
                    await trades.receive()


async def test_a_message_that_is_too_big_is_final_and_says_which_option(autojump_clock: MockClock) -> None:
    """The naive version dials again, gets the same snapshot again, and so on without end."""
    options = attrs.evolve(QUICK, max_message_bytes=1024)
    async with open_simulator(seed=86) as sim:
        market = sim.market(FUEL)
        async with open_o2(sim.network, options=options) as o2:
            with pytest.raises(O2ConnectionLost, match="max_message_bytes") as caught, trio.fail_after(10):
                async with o2.stream_depth(market):
                    pytest.fail("the snapshot is larger")
            assert isinstance(caught.value.__cause__, MessageTooBig)
            assert len(sim.handshakes) == 1


def _fragments(data: bytes) -> list[bytes]:
    """Cut a text frame into a first fragment, continuations with pings between, and a last one."""
    if data[0] != 0x81:
        return [data]
    start = {126: 4, 127: 10}.get(data[1], 2)
    payload = data[start:]
    if len(payload) < 30:
        return [data]
    parts = [payload[i : i + 100] for i in range(0, len(payload), 100)]
    frames: list[bytes] = []
    for number, part in enumerate(parts):
        final, opcode = number == len(parts) - 1, 0x1 if number == 0 else 0x0
        frames += [bytes([0x80 * final | opcode, len(part)]) + part, b"\x89\x04ping"]
    return [*frames[:-1], b"\x89\x00"]


async def test_fragments_with_pings_between_them_are_one_message(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tamper(monkeypatch, _fragments)
    async with open_simulator(seed=87, rate=3) as sim, open_o2(sim.network) as o2:
        watcher = DepthWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.follow, o2.stream_depth(FUEL))
            await trio.sleep(20)
            await settle(sim)
            watcher.check(sim)
            assert watcher.snapshots == 1
            assert len(watcher.items) > 10
            assert len(sim.handshakes) == 1
            nursery.cancel_scope.cancel()


SHOUTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "margin venue": lambda update: update | {"turbo": True},
    "market of somebody else": lambda update: update | {"market_id": "0x" + "77" * 32},
    "unknown": lambda update: {"action": "subscribe_dreams", "market_id": update["market_id"], "price": "5"},
    "unknown of another market": lambda update: (
        update | {"action": "subscribe_dreams", "market_id": "0x" + "77" * 32}
    ),
    "acknowledgement": lambda update: {"action": "unsubscribe_depth", "market_id": update["market_id"]},
}


@pytest.mark.parametrize("shout", SHOUTS)
async def test_what_was_not_asked_for_changes_no_book(autojump_clock: MockClock, shout: str) -> None:
    async with open_simulator(seed=88, rate=3) as sim, open_o2(sim.network, options=QUICK) as o2:
        watcher = DepthWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.follow, o2.stream_depth(FUEL))
            # Those that come together are answered together.
            for text in ("ping", " PONG ", "PING"):
                sim.send_raw(text)
            for _ in range(20):
                await trio.sleep(0.5)
                sim.send_raw(json.dumps(SHOUTS[shout](json.loads(_update(sim, "buys", 100, 7)))))
            sim.send_raw("ping")
            await settle(sim)
            watcher.check(sim)
            assert watcher.epoch == 0
            assert sum(text == "PONG" for text in sim.connections[0].requests) == 2
            nursery.cancel_scope.cancel()


async def test_a_server_that_floods_does_not_starve_or_overflow_a_consumer_that_keeps_up(
    autojump_clock: MockClock,
) -> None:
    """The reader gives way before a buffer is full: only who does not take its turns is cut short."""
    options = Options(buffer_size=16)
    async with open_simulator(seed=89, flow=False) as sim, open_o2(sim.network, options=options) as o2:
        watcher = DepthWatcher()
        async with trio.open_nursery() as nursery, o2.stream_depth(FUEL) as updates:

            async def follow() -> None:
                while True:
                    watcher.take(await updates.receive())

            nursery.start_soon(follow)
            await trio.sleep(0.1)
            for _ in range(3):
                sim.run_flow(600)
                await trio.sleep(1)
            watcher.check(sim)
            assert watcher.snapshots == 1
            assert updates.statistics().conflated == 0
            nursery.cancel_scope.cancel()
