"""Consumers do not get in each other's way: precisions, leaving, slow starters, late joiners."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from o2trio import BookInconsistent, O2Client, Options, Origin, open_o2
from o2trio.simulator import Simulator, open_simulator
from o2trio.streams import Hub, Topic
from o2trio.streams import _topic as topics
from o2trio.streams._machine import Action
from tests.promises._support import ETH, FUEL, DepthWatcher, TradeWatcher, settle, subscribed


async def _watch_precisions(sim: Simulator, o2: O2Client) -> None:
    watchers = [DepthWatcher(precision) for precision in (1, 4, 6, 1)]
    async with trio.open_nursery() as nursery:
        for watcher in watchers:
            await nursery.start(watcher.follow, o2.stream_depth(FUEL, watcher.precision))
        await trio.sleep(20)
        await settle(sim)
        for watcher in watchers:
            watcher.check(sim)
            assert watcher.epoch == 0
            assert len(watcher.items) > 10
        assert subscribed(sim) == ["depth"] * 3
        nursery.cancel_scope.cancel()


async def test_two_precisions_of_one_market_stay_apart(autojump_clock: MockClock) -> None:
    """Seen elsewhere: both on one socket, where updates carry no precision, so that both got both books."""
    async with open_simulator(seed=3) as sim, open_o2(sim.network) as o2:
        await _watch_precisions(sim, o2)


async def test_naive_precisions_of_one_market_mix(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: whoever wants the market is fed from the market's one subscription."""
    find = Hub._find

    def by_market(self: Hub, key: Any) -> Topic:
        for port in self.ports:
            if key.slot in port.slots:
                return port.slots[key.slot]
        return find(self, key)

    monkeypatch.setattr(Hub, "_find", by_market)
    with pytest.RaisesGroup(AssertionError, allow_unwrapped=True, flatten_subgroups=True):
        async with open_simulator(seed=3) as sim, open_o2(sim.network) as o2:
            await _watch_precisions(sim, o2)


@pytest.mark.parametrize("order", [(1, 5), (5, 1)])
async def test_a_precision_can_take_the_place_of_another(
    autojump_clock: MockClock, order: tuple[int, int]
) -> None:
    """Late updates of the former precision must not reach the book of the new one."""
    async with open_simulator(seed=3, rate=200) as sim, open_o2(sim.network) as o2:
        for precision in order * 3:
            sim.resume_flow()
            watcher = DepthWatcher(precision)
            async with o2.stream_depth(FUEL, precision) as updates:
                for _ in range(20):
                    watcher.take(await updates.receive())
                await settle(sim)
                while updates.statistics().buffered:
                    watcher.take(updates.receive_nowait())
                watcher.check(sim)
                assert watcher.epoch == 0


async def _one_leaves(sim: Simulator, o2: O2Client) -> None:
    stays, trades = DepthWatcher(), TradeWatcher()
    async with trio.open_nursery() as nursery:
        await nursery.start(stays.follow, o2.stream_depth(FUEL))
        await nursery.start(trades.follow, o2.stream_trades(FUEL))
        for _ in range(3):
            async with o2.stream_depth(FUEL) as updates, o2.stream_trades(FUEL):
                await updates.receive()
            with trio.move_on_after(0.5):
                async for _update in o2.stream_depth(FUEL):
                    pass
            await trio.sleep(1)
        await trio.sleep(10)
        await settle(sim)
        stays.check(sim)
        trades.check(sim)
        assert stays.epoch == 0
        assert trades.gaps == 0
        assert trades.trades[-1] == sim.exchange.trades(sim.market(FUEL).market_id)[-1]
        assert subscribed(sim) == ["depth", "trades"]
        nursery.cancel_scope.cancel()


async def test_one_consumer_leaving_does_not_end_anothers_feed(autojump_clock: MockClock) -> None:
    """Seen elsewhere: the first of two loops that ended unsubscribed the market for both."""
    async with open_simulator(seed=4) as sim, open_o2(sim.network) as o2:
        await _one_leaves(sim, o2)


async def test_naive_leaving_ends_the_feed_of_all(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: whoever leaves says unsubscribe, without counting who is left."""
    leave = Topic.leave

    def unsubscribe(self: Topic, mailbox: Any) -> None:
        if mailbox in self.audience.members:
            self.port.unsubscribe(self)
        leave(self, mailbox)

    monkeypatch.setattr(Topic, "leave", unsubscribe)
    with pytest.RaisesGroup(AssertionError, allow_unwrapped=True, flatten_subgroups=True):
        async with open_simulator(seed=4) as sim, open_o2(sim.network) as o2:
            await _one_leaves(sim, o2)


async def test_one_account_set_leaving_does_not_end_anothers_orders(autojump_clock: MockClock) -> None:
    """The unsubscription of orders ends all of its socket: another set must be on another socket."""
    async with open_simulator(seed=4, flow=False) as sim, open_o2(sim.network) as o2:
        one, other = sim.create_account(), sim.create_account()
        async with o2.stream_orders(other.info) as stays:
            async with o2.stream_orders(one.info), o2.stream_orders([one.info, other.info]):
                await trio.sleep(1)
                assert subscribed(sim) == ["orders"] * 3
            await trio.sleep(1)
            assert subscribed(sim) == ["orders"]
            order = sim.place(other, FUEL, "buy", price="0.0100", quantity="2000")
            assert (await stays.receive()).orders[0].order_id == order.order_id


@pytest.mark.parametrize("buffer_size", [4, 1024])
async def test_the_snapshot_cannot_be_missed_by_a_slow_starter(
    autojump_clock: MockClock, buffer_size: int
) -> None:
    """Seen elsewhere: the request went out before the consumer's queue was there."""
    options = Options(buffer_size=buffer_size)
    async with open_simulator(seed=5) as sim, open_o2(sim.network, options=options) as o2:
        watcher = DepthWatcher()
        async with o2.stream_depth(FUEL) as updates:
            await trio.sleep(60)
            watcher.take(await updates.receive())
            assert watcher.items[0].is_snapshot
            await settle(sim)
            while updates.statistics().buffered:
                watcher.take(updates.receive_nowait())
            watcher.check(sim)


async def _join_late(sim: Simulator, o2: O2Client) -> None:
    async with o2.stream_depth(FUEL) as first:
        await first.receive()
        await trio.sleep(30)
        late = DepthWatcher()
        async with o2.stream_depth(FUEL) as updates:
            late.take(updates.receive_nowait())
            assert len(sim.connections[0].subscriptions) == 1
            await trio.sleep(5)
            await settle(sim)
            while updates.statistics().buffered:
                late.take(updates.receive_nowait())
        late.check(sim)
        assert late.snapshots == 1


async def test_a_late_joiner_gets_a_snapshot_of_the_current_book(autojump_clock: MockClock) -> None:
    """It costs no second server subscription, which would only be refused."""
    async with open_simulator(seed=5) as sim, open_o2(sim.network) as o2:
        await _join_late(sim, o2)


async def test_naive_late_joiners_begin_in_the_middle(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: a late joiner gets what comes from now on, differences from an unknown book."""
    monkeypatch.setitem(topics._ACTIONS, Action.GREET, Topic._nothing)
    with pytest.raises((AssertionError, BookInconsistent, trio.WouldBlock)):
        async with open_simulator(seed=5) as sim, open_o2(sim.network) as o2:
            await _join_late(sim, o2)


async def test_updates_before_the_snapshot_are_not_taken_for_changes_of_it(autojump_clock: MockClock) -> None:
    """After leaving and coming back, updates of the former subscription may still be under way."""
    async with open_simulator(seed=6, rate=400) as sim, open_o2(sim.network) as o2:
        for _ in range(30):
            sim.resume_flow()
            watcher = DepthWatcher()
            async with o2.stream_depth(FUEL) as updates:
                for _ in range(3):
                    watcher.take(await updates.receive())
                await settle(sim, 0.1)
                while updates.statistics().buffered:
                    watcher.take(updates.receive_nowait())
                watcher.check(sim)
                assert watcher.epoch == 0


async def test_two_tasks_share_the_items_of_one_subscription(autojump_clock: MockClock) -> None:
    seen: list[list[Any]] = [[], []]
    async with open_simulator(seed=6) as sim, open_o2(sim.network) as o2:

        async def read(mine: list[Any]) -> None:
            async for update in trades:
                mine += update.trades

        async with o2.stream_trades(ETH) as trades, trio.open_nursery() as nursery:
            nursery.start_soon(read, seen[0])
            nursery.start_soon(read, seen[1])
            await trio.testing.wait_all_tasks_blocked()
            start = len(sim.exchange.trades(sim.market(ETH).market_id))
            await trio.sleep(20)
            await settle(sim)
            nursery.cancel_scope.cancel()
        real = [trade.trade_id for trade in sim.exchange.trades(sim.market(ETH).market_id)][start:]
        assert sorted(trade.trade_id for mine in seen for trade in mine) == sorted(real)
        assert all(seen)


async def test_the_origin_of_live_items_is_live(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=6) as sim, open_o2(sim.network) as o2, o2.stream_depth(FUEL) as updates:
        origins = [(await updates.receive()).origin for _ in range(5)]
        assert origins == [Origin.SNAPSHOT] + [Origin.LIVE] * 4


async def test_a_late_message_of_the_former_account_does_not_reach_the_next(
    autojump_clock: MockClock,
) -> None:
    """The server acknowledges no unsubscription: what it sent before it read one arrives afterwards."""
    async with open_simulator(seed=6, flow=False) as sim, open_o2(sim.network) as o2:
        one, other = sim.create_account(), sim.create_account()
        async with o2.stream_nonce(one.info):
            await trio.sleep(1)
        async with o2.stream_nonce(other.info) as nonces:
            await trio.sleep(1)
            assert len(sim.connections) == 1
            for account in (one, other):
                name = account.trade_account_id
                sim.send_raw(f'{{"action":"subscribe_nonce","contract_id":"{name}","nonce":"77"}}')
            await trio.sleep(1)
            assert nonces.receive_nowait().contract_id == other.trade_account_id
            assert not nonces.statistics().buffered
