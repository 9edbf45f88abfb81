"""A consumer that pauses: bounded memory, and an exact end of the story for every kind of stream."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    BookInconsistent,
    DepthBook,
    DepthUpdate,
    Event,
    EventsMissed,
    O2Client,
    Options,
    Origin,
    TradeUpdate,
    open_o2,
)
from o2trio.simulator import Simulator, default_listings, open_simulator
from o2trio.streams import Mailbox
from tests.promises._support import FUEL, DepthWatcher, TradeWatcher, settle, truth

SMALL = Options(buffer_size=64)
FUEL_ONLY = default_listings()[:1]


def _living(kind: type) -> int:
    gc.collect()
    return sum(type(item) is kind for item in gc.get_objects())


async def _flood(sim: Simulator, o2: O2Client, items: int) -> None:
    """Let so many items of the first stream arrive at the client."""
    before = o2.statistics().topics[0].items
    while o2.statistics().topics[0].items < before + items:
        sim.run_flow(500)
        await trio.sleep(0.01)


async def _pause_depth(sim: Simulator, o2: O2Client, updates: int) -> None:
    quick, slow = DepthWatcher(), DepthWatcher()
    async with trio.open_nursery() as nursery, o2.stream_depth(FUEL) as paused:
        await nursery.start(quick.follow, o2.stream_depth(FUEL))
        slow.take(await paused.receive())
        before = _living(DepthUpdate) - len(quick.items)
        await _flood(sim, o2, updates)
        await settle(sim)
        statistics = paused.statistics()
        assert statistics.buffered <= 64
        assert statistics.conflated + statistics.buffered >= updates
        # The quick one keeps all that it got; beyond that nothing piles up.
        assert _living(DepthUpdate) - len(quick.items) <= before + 2 * 64
        while paused.statistics().buffered:
            slow.take(paused.receive_nowait())
        slow.check(sim)
        quick.check(sim)
        assert slow.snapshots <= 2
        assert quick.snapshots == 1
        assert slow.epoch == quick.epoch == 0
        # And it goes on.
        sim.resume_flow()
        while sum(item.origin is Origin.LIVE for item in slow.items) < 70:
            slow.take(await paused.receive())
        await settle(sim)
        while paused.statistics().buffered:
            slow.take(paused.receive_nowait())
        slow.check(sim)
        nursery.cancel_scope.cancel()


async def test_a_consumer_that_pauses_while_10000_updates_arrive_ends_with_the_exact_book(
    autojump_clock: MockClock,
) -> None:
    """Seen elsewhere: beyond 1000 queued messages differences were dropped; only the log said so."""
    async with (
        open_simulator(seed=11, markets=FUEL_ONLY, flow=False) as sim,
        open_o2(sim.network, options=SMALL) as o2,
    ):
        await _pause_depth(sim, o2, 10_000)


@pytest.mark.parametrize("naive", ["drop newest", "drop oldest", "keep all"])
async def test_naive_buffers_lose_differences_or_grow(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, naive: str
) -> None:
    """The naive versions: a full buffer drops what comes, or what is oldest, or is no limit at all."""

    def overflow(self: Mailbox[Any], item: Any, source: object, now: float) -> None:
        self.conflated += naive != "keep all"
        if naive != "drop newest":
            self._buffer.append(item)
        if naive == "drop oldest":
            self._buffer.popleft()

    monkeypatch.setattr(Mailbox, "_overflow", overflow)
    with pytest.RaisesGroup(
        pytest.RaisesExc((AssertionError, BookInconsistent)), allow_unwrapped=True, flatten_subgroups=True
    ):
        async with (
            open_simulator(seed=11, markets=FUEL_ONLY, flow=False) as sim,
            open_o2(sim.network, options=SMALL) as o2,
        ):
            await _pause_depth(sim, o2, 1_000)


async def test_a_pause_of_trades_is_made_up_for_as_they_are_read(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(seed=12, markets=FUEL_ONLY, flow=False) as sim,
        open_o2(sim.network, options=SMALL) as o2,
        o2.stream_trades(FUEL) as trades,
    ):
        market_id = sim.market(FUEL).market_id
        await trio.sleep(0.1)
        before = len(sim.exchange.trades(market_id))
        await _flood(sim, o2, 1000)
        watcher = TradeWatcher()
        most = 0
        for round_ in range(100):
            statistics = trades.statistics()
            most = max(most, statistics.buffered)
            for _ in range(min(statistics.buffered, 20)):
                watcher.take(trades.receive_nowait())
            if round_ == 5:
                await _flood(sim, o2, 100)
            await trio.sleep(1)
        assert not trades.statistics().buffered
        assert most <= 64 + 32, "the buffer, and at most half a buffer more at the end of a page"
        assert _living(TradeUpdate) <= len(watcher.items) + 2 * 64
        watcher.check(sim)
        assert watcher.gaps == 0
        origins = [item.origin for item in watcher.items]
        assert origins[:64] == [Origin.LIVE] * 64
        assert origins[64] is Origin.BACKFILL
        assert origins[-1] is Origin.LIVE
        assert watcher.trades == list(sim.exchange.trades(market_id)[before:])


@pytest.mark.parametrize("frequency", ["100ms", "1s"])
async def test_a_pause_of_views_keeps_the_latest(autojump_clock: MockClock, frequency: str) -> None:
    async with (
        open_simulator(seed=12) as sim,
        open_o2(sim.network, options=Options(buffer_size=4)) as o2,
        o2.stream_depth_view(FUEL, 1, frequency) as views,
    ):
        await trio.sleep(30)
        await settle(sim, 3)
        assert views.statistics().buffered <= 4
        book = DepthBook()
        while views.statistics().buffered:
            view = views.receive_nowait()
            assert view.is_snapshot
            book.apply(view)
        assert book.changes() == truth(sim)


async def test_a_pause_of_account_streams_keeps_the_latest_of_each_thing(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=13, flow=False) as sim, open_o2(sim.network, options=SMALL) as o2:
        account = sim.create_account()
        other = sim.create_account()
        both = [account.info, other.info]
        async with (
            o2.stream_orders(both) as orders,
            o2.stream_balances(both) as balances,
            o2.stream_nonce(both) as nonces,
        ):
            await trio.sleep(0.1)
            placed = []
            for number in range(400):
                who = (account, other)[number % 7 == 0]
                order = sim.place(who, FUEL, "buy", price="0.0010", quantity=str(10_000 + number))
                placed.append(order)
                if number % 20:
                    sim.cancel(who, order)
                if number % 50 == 0:
                    await trio.sleep(0.01)
            await trio.sleep(1)
            for stream in (orders, balances, nonces):
                statistics = stream.statistics()
                assert statistics.buffered <= 64
                assert statistics.conflated
            latest: dict[Any, Any] = {}
            while orders.statistics().buffered:
                update = orders.receive_nowait()
                assert update.origin is Origin.LIVE
                latest |= {order.order_id: order for order in update.orders}
            for real in placed:
                assert latest[real.order_id].is_open == (real.order_id in _open(sim))
            assert len(latest) == len(placed)
            told: dict[Any, Any] = {}
            while balances.statistics().buffered:
                told |= {
                    (entry.identity, entry.asset_id): entry for entry in balances.receive_nowait().balance
                }
            for who in (account, other):
                quote = sim.market(FUEL).quote.asset
                assert told[who.identity, quote] == sim.exchange.balance(who, quote)
            numbers: dict[Any, Any] = {}
            while nonces.statistics().buffered:
                update_ = nonces.receive_nowait()
                numbers[update_.contract_id] = update_.nonce
            assert numbers == {who.trade_account_id: who.nonce for who in (account, other)}


def _open(sim: Simulator) -> set[Any]:
    return {order.order_id for order in sim.exchange.open_orders(sim.market(FUEL).market_id)}


async def test_a_pause_of_events_is_marked(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(seed=13) as sim,
        open_o2(sim.network, options=Options(buffer_size=4)) as o2,
        o2.events() as events,
        o2.stream_trades(FUEL),
    ):
        for _ in range(10):
            await trio.sleep(1)
            sim.send_raw('{"action": "what"}')
        await trio.sleep(1)
        seen: list[Event] = []
        while events.statistics().buffered:
            seen.append(events.receive_nowait())
        assert [isinstance(event, EventsMissed) for event in seen] == [False] * 4 + [True]


async def test_a_slow_consumer_does_not_slow_the_others(autojump_clock: MockClock) -> None:
    """One that never reads at all costs the connection nothing, heartbeat included."""
    async with open_simulator(seed=14, rate=40) as sim, open_o2(sim.network, options=SMALL) as o2:
        quick = DepthWatcher()
        async with trio.open_nursery() as nursery, o2.stream_depth(FUEL), o2.stream_trades(FUEL):
            await nursery.start(quick.follow, o2.stream_depth(FUEL))
            await trio.sleep(15)
            await settle(sim)
            quick.check(sim)
            assert quick.snapshots == 1
            assert len(sim.handshakes) == 1
            nursery.cancel_scope.cancel()
