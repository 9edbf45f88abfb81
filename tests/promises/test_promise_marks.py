"""After a break each stream says so in its next item, and restores the state."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ConnectionDown,
    ConnectionUp,
    Event,
    Options,
    Origin,
    Subscription,
    TopicBroken,
    TopicRestored,
    open_o2,
)
from o2trio.simulator import Simulator, open_simulator
from tests.promises._support import FUEL, DepthWatcher, Dialling, TradeWatcher, settle

SLOW = Options(jitter=lambda: 1.0, backoff_initial=5.0, backoff_cap=5.0)
"""A break lasts five seconds."""


def _drain(stream: Subscription[Any]) -> list[Any]:
    items = []
    while stream.statistics().buffered:
        items.append(stream.receive_nowait())
    return items


async def test_each_streams_next_item_after_a_break_carries_the_next_epoch_and_its_mark(
    autojump_clock: MockClock,
) -> None:
    async with open_simulator(seed=51) as sim, open_o2(sim.network, options=SLOW) as o2:
        account = sim.create_account()
        async with (
            o2.stream_depth(FUEL) as depth,
            o2.stream_depth_view(FUEL) as view,
            o2.stream_trades(FUEL) as trades,
            o2.stream_orders(account.info) as orders,
            o2.stream_balances(account.info) as balances,
            o2.stream_nonce(account.info) as nonces,
        ):
            streams: dict[str, Subscription[Any]] = {
                "depth": depth,
                "view": view,
                "trades": trades,
                "orders": orders,
                "balances": balances,
                "nonce": nonces,
            }
            watcher = DepthWatcher()
            for cut in range(3):
                await trio.sleep(3)
                sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                await trio.sleep(1)
                before = {name: _drain(stream) for name, stream in streams.items()}
                for name, items in before.items():
                    assert items, name
                    assert {item.epoch for item in items} == {cut}, name
                for item in before["depth"]:
                    watcher.take(item)
                sim.drop_connections()
                await trio.sleep(1)
                # What happens while nobody listens.
                made = len(sim.exchange.trades(sim.market(FUEL).market_id))
                missed = sim.place(account, FUEL, "buy", price="0.0101", quantity="3000")
                kept = sim.place(account, FUEL, "buy", price="0.0102", quantity="2000")
                sim.cancel(account, kept)
                sim.settle(account, FUEL)
                # The dial, and the first try of REST on a connection that was cut too.
                await trio.sleep(12)
                sim.pause_flow()
                await trio.sleep(1)
                first = {name: stream.receive_nowait() for name, stream in streams.items()}
                assert {name: item.epoch for name, item in first.items()} == dict.fromkeys(streams, cut + 1)
                assert {name: item.origin for name, item in first.items()} == {
                    "depth": Origin.SNAPSHOT,
                    "view": Origin.SNAPSHOT,
                    "trades": Origin.BACKFILL,
                    "orders": Origin.BACKFILL,
                    "balances": Origin.BACKFILL,
                    "nonce": Origin.BACKFILL,
                }
                told_trades = first["trades"].trades
                real = sim.exchange.trades(sim.market(FUEL).market_id)
                start = real.index(told_trades[0])
                assert start <= made
                assert told_trades == tuple(real[start : start + len(told_trades)])
                assert first["trades"].market_id == sim.market(FUEL).market_id
                known = {order.order_id: order for order in first["orders"].orders}
                assert known[missed.order_id].quantity_fill == missed.filled
                assert known[kept.order_id].is_open is False
                told = {entry.asset_id: entry for entry in first["balances"].balance}
                quote = sim.market(FUEL).quote.asset
                assert told[quote] == sim.exchange.balance(account, quote)
                assert first["nonce"].contract_id == account.trade_account_id
                assert first["nonce"].nonce == account.nonce
                watcher.take(first["depth"])
                for item in _drain(depth):
                    watcher.take(item)
                watcher.check(sim)
                for name in ("trades", "orders", "balances", "nonce"):
                    assert all(item.origin is Origin.LIVE for item in _drain(streams[name])), name
                _drain(view)
                sim.resume_flow()


async def test_a_backfill_names_only_what_changed(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=52, flow=False) as sim, open_o2(sim.network, options=SLOW) as o2:
        one, other = sim.create_account(), sim.create_account()
        both = [one.info, other.info]
        async with o2.stream_balances(both) as balances, o2.stream_nonce(both) as nonces:
            await trio.sleep(1)
            for account in (one, other):
                sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
            await trio.sleep(1)
            # Nothing changes during the first break after which every entry is known.
            for _ in range(2):
                _drain(balances)
                _drain(nonces)
                sim.drop_connections()
                await trio.sleep(20)
            assert balances.statistics().buffered == nonces.statistics().buffered == 0
            sim.drop_connections()
            sim.place(other, FUEL, "buy", price="0.0101", quantity="2000")
            await trio.sleep(20)
            (update,) = _drain(balances)
            quote = sim.market(FUEL).quote.asset
            assert [(entry.identity, entry.asset_id) for entry in update.balance] == [(other.identity, quote)]
            assert update.balance[0] == sim.exchange.balance(other, quote)
            assert update.origin is Origin.BACKFILL
            (nonce,) = _drain(nonces)
            assert (nonce.contract_id, nonce.nonce) == (other.trade_account_id, other.nonce)
            assert (update.epoch, nonce.epoch) == (3, 3)
            assert balances.statistics().backfilled >= 1


async def test_a_live_item_during_the_repair_is_newer_than_the_read(autojump_clock: MockClock) -> None:
    """Whatever the two interleave to, the last word of each stream is the truth."""
    async with open_simulator(seed=53, flow=False) as sim, open_o2(sim.network, options=SLOW) as o2:
        account = sim.create_account()
        async with o2.stream_balances(account.info) as balances, o2.stream_nonce(account.info) as nonces:
            for wait in range(12):
                sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                await trio.sleep(0.1)
                sim.drop_connections()
                sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                await _back(sim, 2)
                for _ in range(wait):
                    await trio.lowlevel.checkpoint()
                sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                await trio.sleep(12)
                last: dict[Any, Any] = {}
                for update in _drain(balances):
                    last |= {entry.asset_id: entry for entry in update.balance}
                quote = sim.market(FUEL).quote.asset
                assert last[quote] == sim.exchange.balance(account, quote)
                numbers = [update.nonce for update in _drain(nonces)]
                assert numbers == sorted(set(numbers))
                assert numbers[-1] == account.nonce


async def _back(sim: Simulator, subscriptions: int) -> None:
    """Wait for the connection that follows a cut, to the checkpoint."""
    await trio.sleep(SLOW.backoff_initial)
    while not sim.connections or len(sim.connections[0].subscriptions) < subscriptions:
        await trio.lowlevel.checkpoint()


class _RestDown(Dialling):
    """WebSockets can be dialled; every dial that REST makes fails or hangs while `down` says so."""

    down: str | None = None

    async def __call__(self, host: str, port: int) -> trio.abc.Stream:
        if self.down and not trio.lowlevel.current_task().name.startswith("o2trio connection"):
            await trio.lowlevel.checkpoint()
            if self.down == "fails":
                raise ConnectionRefusedError("no REST today")
            await trio.sleep_forever()
        return await super().__call__(host, port)


@pytest.mark.parametrize("down", ["fails", "hangs"])
async def test_a_repair_without_rest_becomes_a_gap_within_the_repair_timeout(
    autojump_clock: MockClock, down: str
) -> None:
    async with open_simulator(seed=54, flow=False) as sim:
        dialling = _RestDown(sim.network)
        async with open_o2(dialling.network, options=SLOW) as o2:
            account = sim.create_account()
            async with o2.stream_balances(account.info) as balances, o2.stream_nonce(account.info) as nonces:
                async with o2.events() as events:
                    await trio.sleep(1)
                    dialling.down = down
                    broken = trio.current_time()
                    sim.drop_connections()
                    sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                    await _until(events, ConnectionUp)
                    start = trio.current_time()
                    # Live items of the time are held back, and not lost.
                    await trio.sleep(0.5)
                    sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                    with trio.fail_after(SLOW.indexer_lag + SLOW.repair_timeout + 1):
                        restored = [await _until(events, TopicRestored) for _ in range(2)]
                    bound = SLOW.indexer_lag + SLOW.repair_timeout
                    assert trio.current_time() - start <= bound + 0.1
                    assert {event.repaired for event in restored} == {False}
                last: dict[Any, Any] = {}
                for stream in (balances, nonces):
                    items = _drain(stream)
                    last[stream] = items[-1]
                    assert [item.origin for item in items] == [Origin.GAP, Origin.LIVE]
                    assert {item.epoch for item in items} == {1}
                    assert stream.statistics().gaps == 1
                    assert items[0].gap.since <= broken
                    assert items[0].gap.until == restored[0].time
                    assert "no answer in time" in items[0].gap.reason
                assert last[nonces].nonce == account.nonce
                # The next break is repaired again.
                dialling.down = None
                sim.drop_connections()
                sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                await trio.sleep(20)
                assert [item.origin for item in _drain(nonces)] == [Origin.BACKFILL]


async def _until(events: Subscription[Event], kind: type[Any]) -> Any:
    while True:
        event = await events.receive()
        if isinstance(event, kind):
            return event


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8, 13, 21, 34])
async def test_a_second_break_during_a_repair(autojump_clock: MockClock, after: int) -> None:
    """The repair of the first break comes too late; the one of the second counts."""
    async with open_simulator(seed=55, flow=False) as sim, open_o2(sim.network, options=SLOW) as o2:
        account = sim.create_account()
        async with (
            o2.stream_balances(account.info) as balances,
            o2.stream_nonce(account.info) as nonces,
            o2.stream_trades(FUEL) as trades,
            o2.stream_depth(FUEL) as depth,
        ):
            await trio.sleep(1)
            watcher = DepthWatcher()
            for item in _drain(depth):
                watcher.take(item)
            sim.drop_connections()
            sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
            await _back(sim, 4)
            for _ in range(after):
                await trio.lowlevel.checkpoint()
            sim.drop_connections()
            sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
            await trio.sleep(20)
            items = _drain(nonces)
            assert items[-1].nonce == account.nonce
            assert items[-1].epoch == 2
            assert [item.nonce for item in items] == sorted({item.nonce for item in items})
            told: dict[Any, Any] = {}
            for update in _drain(balances):
                told |= {entry.asset_id: entry for entry in update.balance}
            quote = sim.market(FUEL).quote.asset
            assert told[quote] == sim.exchange.balance(account, quote)
            assert _drain(trades) == [], "nobody traded: nothing is missing"
            for item in _drain(depth):
                watcher.take(item)
            watcher.check(sim)
            # Live items go on.
            sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
            await trio.sleep(1)
            (update,) = _drain(nonces)
            assert (update.origin, update.epoch, update.nonce) == (Origin.LIVE, 2, account.nonce)


async def test_a_consumer_that_sleeps_through_several_breaks_misses_nothing(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_simulator(seed=56) as sim,
        open_o2(sim.network, options=SLOW) as o2,
        o2.stream_trades(FUEL) as trades,
        o2.stream_depth(FUEL) as depth,
    ):
        for _ in range(4):
            await trio.sleep(20)
            sim.drop_connections()
        await trio.sleep(20)
        await settle(sim)
        tape = TradeWatcher()
        for item in _drain(trades):
            tape.take(item)
        tape.check(sim)
        assert {item.epoch for item in tape.items if item.origin is Origin.BACKFILL} == {1, 2, 3, 4}
        assert tape.gaps == 0
        watcher = DepthWatcher()
        for update in _drain(depth):
            watcher.take(update)
        watcher.check(sim)
        assert watcher.snapshots == 5


async def test_a_break_is_told_in_good_order(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(seed=57) as sim,
        open_o2(sim.network, options=SLOW) as o2,
        o2.events() as events,
        o2.stream_depth(FUEL),
        o2.stream_trades(FUEL),
    ):
        await trio.sleep(5)
        sim.drop_connections()
        await trio.sleep(20)
        told = [type(event) for event in _drain(events)]
        assert told[0] is ConnectionUp
        assert told[1:4] == [TopicBroken, TopicBroken, ConnectionDown]
        assert told[4] is ConnectionUp
        assert told[5:] == [TopicRestored, TopicRestored]


async def test_subscriptions_wanted_during_a_break_come_with_the_next_connection(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_simulator(seed=58) as sim,
        open_o2(sim.network, options=SLOW) as o2,
        o2.stream_trades(FUEL),
        o2.stream_depth(FUEL, 3),
    ):
        sim.drop_connections()
        await trio.sleep(0.1)
        start = trio.current_time()
        async with o2.stream_depth(FUEL, 3) as late, o2.stream_trades(FUEL) as fresh:
            # The trades are being repaired for others; whoever comes goes on when that is over.
            assert trio.current_time() - start == pytest.approx(4.9 + SLOW.indexer_lag, abs=0.2)
            assert (await late.receive()).is_snapshot
            # The first read of a repair meets a connection that was cut too.
            await trio.sleep(10)
            assert fresh.statistics().buffered
