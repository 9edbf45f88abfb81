"""Several connections where one cannot carry the demand, their limits, events, statistics and names."""

# What raises is the life of a client or a stream, which is more than one statement.
# ruff: noqa: PT012

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ConnectionDown,
    ConnectionGivenUp,
    ConnectionUp,
    Event,
    EventsMissed,
    O2ConnectionLost,
    Options,
    Origin,
    State,
    Subscription,
    TooManyConnections,
    TopicBroken,
    TopicRefused,
    TopicRestored,
    TopicStale,
    open_o2,
)
from o2trio.simulator import open_simulator
from o2trio.simulator._websocket import Connection
from tests.promises._support import BTC, ETH, FUEL, QUICK, UPPER, DepthWatcher, collect, own_tasks, subscribed


def _drain(stream: Subscription[Any]) -> list[Any]:
    items = []
    while stream.statistics().buffered:
        items.append(stream.receive_nowait())
    return items


def _accounts_on(connection: Connection) -> set[str]:
    return {identity.id for item in connection.subscriptions for identity in item.identities}


async def test_more_than_ten_accounts_on_one_stream(autojump_clock: MockClock) -> None:
    """The exchange takes ten accounts per subscription: the rest goes to further connections, unseen."""
    async with open_simulator(seed=61, flow=False) as sim, open_o2(sim.network) as o2:
        accounts = [sim.create_account() for _ in range(23)]
        async with o2.stream_orders([account.info for account in accounts]) as orders:
            await trio.sleep(1)
            sizes = [[len(s.identities) for s in link.subscriptions] for link in sim.connections]
            assert sorted(sizes) == [[3], [10], [10]]
            placed = [
                sim.place(account, FUEL, "buy", price="0.0100", quantity="2000").order_id
                for account in accounts
            ]
            await trio.sleep(1)
            seen = [order.order_id for update in _drain(orders) for order in update.orders]
            assert sorted(seen) == sorted(placed)
            # A cut of one of the connections is one break of the stream, for the accounts on it.
            once = _accounts_on(sim.connections[1])
            sim.connections[1].drop()
            await trio.sleep(10)
            assert _drain(orders) == [], "nothing was missed"
            again = _accounts_on(sim.connections[1])
            sim.connections[1].drop()
            owners = {}
            for account in (*accounts, accounts[-1]):
                resting = sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                owners[resting.order_id] = account.trade_account_id
            await trio.sleep(20)
            told = {order.order_id: update for update in _drain(orders) for order in update.orders}
            assert {order_id: (update.origin, update.epoch) for order_id, update in told.items()} == {
                order_id: (
                    Origin.BACKFILL if owner in again else Origin.LIVE,
                    (owner in once) + (owner in again),
                )
                for order_id, owner in owners.items()
            }
        await trio.sleep(1)
        assert subscribed(sim) == []


async def test_a_second_set_of_accounts_goes_to_a_second_connection(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=61, flow=False) as sim, open_o2(sim.network) as o2:
        one, other = sim.create_account(), sim.create_account()
        async with (
            o2.stream_orders(one.info) as first,
            o2.stream_orders(other.info) as second,
            o2.stream_orders([other.info, one.info]) as both,
            o2.stream_orders([one.info, other.info, one.identity]) as same,
        ):
            await trio.sleep(1)
            assert len(sim.connections) == 3
            sim.place(one, FUEL, "buy", price="0.0100", quantity="2000")
            sim.place(other, FUEL, "buy", price="0.0100", quantity="2000")
            await trio.sleep(1)
            owners = [[o.owner for u in _drain(s) for o in u.orders] for s in (first, second, both, same)]
            pair = [one.identity, other.identity]
            assert owners == [[one.identity], [other.identity], pair, pair]


async def test_a_live_subscription_is_never_disturbed_to_make_room(autojump_clock: MockClock) -> None:
    options = Options(max_connections=2)
    async with open_simulator(seed=62) as sim, open_o2(sim.network, options=options) as o2:
        watcher = DepthWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.follow, o2.stream_depth(FUEL))
            async with o2.stream_depth(FUEL, 2):
                with pytest.raises(TooManyConnections, match="max_connections"):
                    async with o2.stream_depth(FUEL, 3):
                        pass
                with pytest.raises(TooManyConnections):
                    async with o2.stream_orders([f"0x{number:064x}" for number in range(30)]):
                        pass
                await trio.sleep(1)
                # Nothing of the refused demands stayed behind; there is room for what fits.
                assert subscribed(sim) == ["depth", "depth"]
                async with o2.stream_depth(ETH, 3), o2.stream_orders("0x" + "ab" * 32):
                    assert len(sim.connections) == 2
            async with o2.stream_depth(FUEL, 3):
                pass
            assert watcher.epoch == 0
            nursery.cancel_scope.cancel()


async def test_idle_connections_are_closed_after_idle_timeout(autojump_clock: MockClock) -> None:
    options = Options(idle_timeout=10.0)
    async with open_simulator(seed=62) as sim, open_o2(sim.network, options=options) as o2:
        async with o2.stream_depth(FUEL):
            async with o2.stream_depth(FUEL, 2):
                assert len(sim.connections) == 2
            await trio.sleep(9)
            assert len(sim.connections) == 2
            # Used again just in time: the clock starts anew.
            async with o2.stream_depth(FUEL, 3):
                pass
            await trio.sleep(9)
            assert len(sim.connections) == 2
            await trio.sleep(1.5)
            assert [link.number for link in sim.connections] == [1]
            assert o2.statistics().connections == {1: True}
        await trio.sleep(11)
        assert not sim.connections
        assert o2.statistics().connections == {}
        async with o2.stream_depth(FUEL) as updates:
            assert (await updates.receive()).is_snapshot
        assert [handshake.status for handshake in sim.handshakes] == [101, 101, 101]


async def test_life_cycle_events_come_in_a_sensible_order(autojump_clock: MockClock) -> None:
    options = Options(jitter=lambda: 1.0, max_attempts=3, stale_after=20.0)
    async with (
        open_simulator(seed=63) as sim,
        open_o2(sim.network, options=options) as o2,
        o2.events() as events,
    ):
        with pytest.raises(O2ConnectionLost):
            async with o2.stream_depth(FUEL) as updates, o2.stream_trades(BTC):
                await trio.sleep(1)
                sim.reject_next_subscription(6002, "no")
                async with o2.stream_nonce("0x" + "ab" * 32):
                    await trio.sleep(1)
                sim.drop_connections()
                await trio.sleep(5)
                sim.pause_flow()
                await trio.sleep(45)
                sim.refuse_handshakes(503)
                sim.drop_connections()
                async for _update in updates:
                    pass
        told: list[Event] = _drain(events)
        assert [event.time for event in told] == sorted(event.time for event in told)
        assert [type(event) for event in told] == [
            ConnectionUp,
            TopicRefused,
            TopicBroken,
            TopicBroken,
            ConnectionDown,
            ConnectionUp,
            TopicRestored,
            TopicRestored,
            TopicStale,
            TopicStale,
            TopicBroken,
            TopicBroken,
            ConnectionDown,
            ConnectionDown,
            ConnectionDown,
            ConnectionGivenUp,
        ]
        downs = [event for event in told if isinstance(event, ConnectionDown)]
        assert all(event.reason for event in downs)
        assert not any(isinstance(event, EventsMissed) for event in told)
        up = [event for event in told if isinstance(event, ConnectionUp)]
        assert [event.connection for event in up] == [1, 1]


async def test_statistics_are_right(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=64) as sim, open_o2(sim.network, options=QUICK) as o2:
        seen: list[Any] = []
        assert o2.statistics().connections == {}
        async with trio.open_nursery() as nursery, o2.stream_depth(FUEL) as updates:
            await nursery.start(collect, o2.stream_depth(FUEL), seen)
            async with o2.stream_trades(ETH) as trades:
                await trio.sleep(20)
                sim.pause_flow()
                await trio.sleep(1)
                depth, trade = o2.statistics().topics
                assert (depth.consumers, trade.consumers) == (2, 1)
                assert (depth.breaks, trade.breaks) == (0, 0)
                assert (depth.state, trade.state) == (State.LIVE, State.LIVE)
                assert depth.items == len(seen) == updates.statistics().buffered
                assert trade.items == trades.statistics().buffered
                assert updates.statistics().delivered == 0
                assert updates.statistics().last_item_time == pytest.approx(20, abs=3)
                await updates.receive()
                assert updates.statistics().delivered == 1
                statistics = o2.statistics()
                pongs = 4  # one per topic, one regular, and one behind which the newest trade counts
                assert statistics.frames - depth.items - trade.items in range(1, pongs + 1)
                assert statistics.unrouted == 0
                sim.drop_connections()
                await trio.sleep(0.01)
                assert o2.statistics().connections == {1: False}
                assert {topic.state for topic in o2.statistics().topics} == {State.OFFLINE}
                await trio.sleep(5)
                assert [topic.breaks for topic in o2.statistics().topics] == [1, 1]
            nursery.cancel_scope.cancel()


async def test_what_connections_received_counts_when_they_are_gone(autojump_clock: MockClock) -> None:
    options = attrs.evolve(QUICK, max_attempts=2, idle_timeout=5.0)
    async with open_simulator(seed=64) as sim, open_o2(sim.network, options=options) as o2:
        async with o2.stream_depth(FUEL):
            await trio.sleep(20)
            received = o2.statistics().frames
            # Nobody has subscribed to these.
            (port,) = o2._runtime.hub.ports
            for _ in range(2):
                port.receive(
                    ['{"action": "subscribe_trades", "trades": [], "market_id": "0x' + "7" * 64 + '"}']
                )
        assert (received > 10, port.unrouted) == (True, 2)
        await trio.sleep(10)
        assert o2.statistics().connections == {}, "it was idle"
        received = o2.statistics().frames
        assert (port.frames, port.unrouted) == (received, o2.statistics().unrouted)
        async with o2.stream_depth(FUEL) as updates:
            await trio.sleep(20)
            (second,) = o2._runtime.hub.ports
            sim.refuse_handshakes(503)
            sim.drop_connections()
            with pytest.raises(O2ConnectionLost):
                while True:
                    await updates.receive()
        assert o2.statistics().connections == {}, "it was given up"
        assert second.frames > 10
        assert o2.statistics().frames == received + second.frames


async def test_tasks_are_named(autojump_clock: MockClock) -> None:
    """In a trace or a debugger one can see whose task it is and what it does."""
    with own_tasks() as tasks:
        async with open_simulator(seed=65) as sim, open_o2(sim.network, options=QUICK) as o2:
            account = sim.create_account()
            async with o2.stream_depth(FUEL), o2.stream_depth(FUEL, 2), o2.stream_nonce(account.info):
                sim.drop_connections()
                await trio.sleep(5)
    names = {re.sub(r"repair of .*", "repair", name) for name in tasks.names}
    assert names == {
        "o2trio WebSocket reader",
        "o2trio connection 1",
        "o2trio connection 1 _beat",
        "o2trio connection 1 _read",
        "o2trio connection 1 _write",
        "o2trio connection 2",
        "o2trio connection 2 _beat",
        "o2trio connection 2 _read",
        "o2trio connection 2 _write",
        "o2trio repair",
        "o2trio timer",
    }


async def test_every_task_is_named_and_the_users_nursery_gets_none(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(seed=65) as sim,
        open_o2(sim.network, options=UPPER) as o2,
        trio.open_nursery() as nursery,
        o2.stream_depth(FUEL),
        o2.stream_trades(ETH),
    ):
        await trio.sleep(1)
        assert not nursery.child_tasks
