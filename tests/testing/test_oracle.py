"""The oracle finds what is left over, out of bounds, dead or dialled too soon, and nothing else."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from o2trio import ConnectionDown, ConnectionUp, Id, O2Client, Options, TopicBroken, TradeUpdate
from o2trio._statistics import ClientStatistics, TopicStatistics
from o2trio.streams import Port, State
from o2trio.testing._oracle import (
    Oracle,
    check_bounds,
    check_consumers,
    check_server,
    check_streams,
    own_tasks,
)
from o2trio.testing._sources import trades
from o2trio.testing._users import StreamUser
from o2trio.testing._watch import DRAWS_JUDGED, DialJudge, Watch, check_draws, watch_of
from o2trio.testing._world import BrokenPromise, Phase, Promise, World
from o2trio.transport import _connection
from o2trio.transport._backoff import backoff_delays

from ._lies import FUEL, served, small_world


def _statistics(
    *, state: State = State.LIVE, consumers: int = 1, is_up: bool = True, streams: int = 1
) -> ClientStatistics:
    topic = TopicStatistics(topic="trades", connection=1, state=state, consumers=consumers, items=0, breaks=0)
    return ClientStatistics(connections={1: is_up}, frames=0, unrouted=0, topics=(topic,) * streams)


@pytest.mark.parametrize("state", [state for state in State if state is not State.LIVE])
def test_a_stream_that_does_not_work_breaks_liveness(state: State) -> None:
    check_streams(_statistics())
    with pytest.raises(BrokenPromise, match=f"liveness: trades is {state.value}"):
        check_streams(_statistics(state=state))


def test_a_connection_that_is_down_breaks_liveness() -> None:
    with pytest.raises(BrokenPromise, match="liveness: connection 1 is down"):
        check_streams(_statistics(is_up=False))


def test_a_client_serves_nobody_but_its_consumers() -> None:
    user = StreamUser(random.Random(1), trades)
    check_consumers(_statistics(), [user])
    for wrong in (_statistics(consumers=0), _statistics(consumers=2)):
        with pytest.raises(BrokenPromise) as broken:
            check_consumers(wrong, [user])
        assert broken.value.promise is Promise.CLEAN


def test_the_server_has_one_subscription_for_each_stream() -> None:
    check_server(_statistics(), [1])
    for count in (0, 2):
        with pytest.raises(BrokenPromise, match=f"nothing left over: the server holds {count} subscr"):
            check_server(_statistics(), [count])
    with pytest.raises(BrokenPromise, match="nothing left over: the server holds 2 connections"):
        check_server(_statistics(), [0, 1])


# -- dials -----------------------------------------------------------------------------------------

FULL = Options(jitter=lambda: 1.0)


def _down(time: float, attempt: int, retry_in: float, connection: int = 1) -> ConnectionDown:
    return ConnectionDown(time=time, connection=connection, reason="", attempt=attempt, retry_in=retry_in)


def _up(time: float, connection: int = 1) -> ConnectionUp:
    return ConnectionUp(time=time, connection=connection, attempt=1)


HONEST: tuple[list[Any], ...] = (
    [_down(0, 1, 1), _down(1, 2, 2), _down(3, 3, 4), _up(7), _down(36, 4, 8), _up(44), _down(80, 0, 1)],
    [_up(0), _down(40, 0, 0.5), _down(41, 1, 2.0), _down(60, 2, 300.0), _down(361, 3, 8)],
    [_down(0, 1, 0.0)],
)
LIES: dict[str, list[Any]] = {
    "reset too early": [_down(0, 1, 1), _up(1), _down(2, 0, 1)],
    "reset not at all": [_down(0, 1, 1), _up(1), _down(40, 2, 2)],
    "one attempt left out": [_down(0, 1, 1), _down(1, 3, 2)],
    "up too soon": [_down(0, 1, 1), _up(0.5)],
    "down too soon": [_down(0, 1, 1), _down(0.5, 2, 1)],
    "longer than anybody may ask": [_down(0, 1, 301.0)],
}


def test_each_connection_has_a_backoff_of_its_own() -> None:
    judge = DialJudge(FULL)
    for event in (_down(0, 1, 1), _down(0.5, 1, 1, connection=2), _down(1, 2, 2), _up(1.5, connection=2)):
        judge.hear(event)
    assert not judge.failure
    judge.hear(_up(1.6))
    assert "connection 1 was dialled 1.400 s too soon" in judge.failure
    judge.hear(_down(2, 7, 1, connection=2))
    assert "connection 1" in judge.failure, "the first one is told"


def test_no_wait_is_beyond_the_cap_unless_it_was_asked_for() -> None:
    judge = DialJudge(FULL)
    now = 0.0
    for attempt in range(1, 30):
        wait = min(2.0 ** (attempt - 1), FULL.backoff_cap)
        judge.hear(_down(now, attempt, wait))
        now += wait
    assert not judge.failure
    assert judge.draws == [1.0] * 29
    judge.hear(_down(now, 30, FULL.retry_after_cap))
    assert not judge.failure
    assert len(judge.draws) == 29, "the exchange asked for it"


@pytest.mark.parametrize("events", HONEST)
def test_a_client_may_dial_within_its_backoff(events: list[Any]) -> None:
    judge = DialJudge(FULL)
    for event in events:
        judge.hear(event)
    assert not judge.failure
    assert all(0 <= draw <= 1 for draw in judge.draws)


@pytest.mark.parametrize("name", LIES)
def test_dialling_beside_the_backoff_is_found(name: str) -> None:
    judge = DialJudge(FULL)
    for event in LIES[name]:
        judge.hear(event)
    assert judge.failure


def test_waits_that_are_too_short_on_average_are_found() -> None:
    chance = random.Random(1)
    check_draws([chance.random() for _ in range(1000)])
    check_draws([0.0] * (DRAWS_JUDGED - 1))
    with pytest.raises(BrokenPromise) as broken:
        check_draws([chance.random() / 3 for _ in range(DRAWS_JUDGED)])
    assert broken.value.promise is Promise.DIAL_RATE


async def test_real_dials_are_judged(autojump_clock: MockClock) -> None:
    async with small_world() as world, served(world) as client:
        watch = watch_of(world, client)
        assert watch_of(world, client) is watch
        async with client.stream_trades(FUEL):
            for _ in range(10):
                world.network.reset(world.host("streams"))
                await trio.sleep(5)
        assert len(watch.dials.draws) >= 5
        Oracle(world).check_dials()
        watch.dials.hear(_down(trio.current_time(), 77, 0.0))
        with pytest.raises(BrokenPromise) as broken:
            Oracle(world).check_dials()
        assert broken.value.promise is Promise.DIAL_RATE


_BACKOFFS: dict[str, Any] = {
    "always the first": lambda options: repeat(options.backoff_initial),
    "never random": lambda options: repeat(options.backoff_initial / 10),
    "far too long": lambda options: repeat(1000.0),
}


@pytest.mark.parametrize("name", [*_BACKOFFS, "as it is"])
async def test_a_client_that_dials_beside_its_backoff_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(_connection, "backoff_delays", _BACKOFFS.get(name, backoff_delays))
    async with small_world(rate=0.1) as world, served(world) as client:
        watch_of(world, client)
        world.network.refuse(world.host("streams"), None)
        with trio.move_on_after(100):
            async with client.stream_trades(FUEL):
                pass
        if name == "always the first":
            # It never waits too long or too often in a row: only all its waits together are too short.
            assert not watch_of(world, client).dials.failure
        if name == "as it is":
            Oracle(world).check_dials()
            return
        with pytest.raises(BrokenPromise) as broken:
            Oracle(world).check_end(world)
        assert broken.value.promise is Promise.DIAL_RATE


async def test_an_attempt_that_is_not_counted_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def honest(self: Any, fault: Any, delay: float, attempt: int) -> Any:
        return wait(self, fault, delay, 1)

    wait = _connection.Connection._wait
    monkeypatch.setattr(_connection.Connection, "_wait", honest)
    async with small_world(rate=0.1) as world, served(world) as client:
        watch_of(world, client)
        world.network.refuse(world.host("streams"), None)
        with trio.move_on_after(100):
            async with client.stream_trades(FUEL):
                pass
        with pytest.raises(BrokenPromise, match="counts attempt 1 instead of 2"):
            Oracle(world).check_dials()


def test_epochs_are_those_that_breaks_began() -> None:
    client: Any = type("Client", (), {})()
    watch = Watch(client, FULL)
    for epoch, time in ((1, 10.0), (2, 20.0), (3, 30.0)):
        watch.hear(TopicBroken(time=time, topic="trades", epoch=epoch, reason=""))
    assert [watch.has_broken("trades", epoch) for epoch in (0, 3, 4)] == [True, True, False]
    assert [watch.has_broken("depth", epoch) for epoch in (0, 3)] == [True, False]


# -- a real client ---------------------------------------------------------------------------------


async def test_the_oracle_is_content_with_an_honest_client(autojump_clock: MockClock) -> None:
    async with small_world() as world:
        async with trio.open_nursery() as nursery:
            user = StreamUser(world.random_for("user"), trades)
            async with served(world):
                nursery.start_soon(user.run, world)
                await trio.sleep(60)
                world.enter(Phase.REST)
                assert own_tasks()
                Oracle(world).check(world, [user])
                with pytest.raises(BrokenPromise) as broken:
                    Oracle(world).check(world, [])
                assert broken.value.promise is Promise.CLEAN
        assert not own_tasks()
        Oracle(world).check_end(world)


async def test_too_much_of_anything_is_found(autojump_clock: MockClock) -> None:
    async with small_world() as world, served(world) as client:
        user = StreamUser(world.random_for("user"), trades)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(user.run, world)
            await trio.sleep(60)
            Oracle(world).check(world, [user])
            (topic,) = client._runtime.hub.topics
            held: Any = [None] * (world.options.buffer_size + 2)
            topic.held, kept = held, topic.held
            await _expect_unbounded(Oracle(world), user)
            topic.held = kept
            assert topic.ledger is not None
            topic.ledger._ids.update((str(number), 0) for number in range(5000))
            await _expect_unbounded(Oracle(world), user)
            topic.ledger._ids.clear()
            for _ in range(30):
                nursery.start_soon(trio.sleep, 1, name="o2trio timer")
            await trio.lowlevel.checkpoint()
            await _expect_unbounded(Oracle(world), user)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def _listening() -> AsyncGenerator[tuple[World, O2Client, StreamUser]]:
    """Give a world where somebody has listened to trades for a minute."""
    async with small_world() as world, served(world) as client, trio.open_nursery() as nursery:
        user = StreamUser(world.random_for("user"), trades)
        nursery.start_soon(user.run, world)
        await trio.sleep(60)
        Oracle(world).check(world, [user])
        yield world, client, user
        nursery.cancel_scope.cancel()


async def _expect(promise: Promise, world: World, user: StreamUser, match: str) -> None:
    with pytest.raises(BrokenPromise, match=match) as broken:
        Oracle(world).check(world, [user])
    assert broken.value.promise is promise


async def test_too_many_connections_are_found(autojump_clock: MockClock) -> None:
    async with _listening() as (world, client, user):
        (port,) = client._runtime.hub.ports
        limit = world.options.max_connections
        for number in range(limit):
            other = Port(2 + number, client._runtime)
            other.online = True
            client._runtime.hub.ports.append(other)
        with pytest.raises(BrokenPromise, match=f"bounded: {limit + 1} connections"):
            check_bounds(client)
        client._runtime.hub.ports[:] = [port]
        Oracle(world).check(world, [user])


async def test_what_is_held_for_a_slow_consumer_is_bounded(autojump_clock: MockClock) -> None:
    async with _listening() as (world, client, user):
        (topic,) = client._runtime.hub.topics
        (mailbox,) = topic.audience.everybody
        assert topic.ledger is not None
        assert topic.ledger.last is not None
        lag: Any = topic.lag(mailbox, [TradeUpdate(market_id=Id(FUEL), trades=(topic.ledger.last,))])
        mailbox.lag = lag
        lag._held = [None] * world.options.buffer_size
        Oracle(world).check(world, [user])
        lag._held = [None] * (world.options.buffer_size + 1)
        await _expect(Promise.BOUNDED, world, user, "for a slow consumer")
        lag._held = []


async def test_a_client_that_does_not_work_is_found(autojump_clock: MockClock) -> None:
    async with _listening() as (world, _client, user):
        world.network.refuse(world.host("streams"), None)
        world.network.reset(world.host("streams"))
        await trio.sleep(30)
        await _expect(Promise.LIVENESS, world, user, "trades of .* is offline")


async def test_a_client_that_does_not_unsubscribe_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Port, "unsubscribe", lambda self, topic: None)
    async with _listening() as (world, client, user):
        async with client.stream_depth(FUEL):
            pass
        await trio.sleep(1)
        await _expect(Promise.CLEAN, world, user, "the server holds 2 subscriptions for 1 streams")


async def test_a_client_that_keeps_a_stream_for_nobody_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _listening() as (world, client, user):
        monkeypatch.setattr(Port, "release", lambda self, topic: None)
        async with client.stream_depth(FUEL):
            await trio.sleep(1)
            await _expect(Promise.CLEAN, world, user, "the client serves 2 consumers, but there are 1")
        topic = client._runtime.hub.topics[-1]
        # As one that is live, and not being ended.
        topic.state = State.LIVE
        await _expect(Promise.CLEAN, world, user, "nobody listens to depth")
        monkeypatch.undo()
        topic.port.release(topic)


async def test_a_client_that_goes_on_after_the_end_is_found(autojump_clock: MockClock) -> None:
    async with small_world() as world:
        async with served(world) as client, client.stream_trades(FUEL):
            await trio.sleep(1)
            with pytest.raises(BrokenPromise, match=r"nothing left over: .* tasks are left"):
                Oracle(world).check_end(world)
        Oracle(world).check_end(world)


async def _expect_unbounded(oracle: Oracle, user: StreamUser) -> None:
    with pytest.raises(BrokenPromise) as broken:
        oracle.check(oracle._world, [user])
    assert broken.value.promise is Promise.BOUNDED


async def test_what_is_left_at_the_end_is_found(autojump_clock: MockClock) -> None:
    async with small_world() as world, trio.open_nursery() as nursery:
        oracle = Oracle(world)
        oracle.check_end(world)
        with trio.CancelScope() as scope:
            nursery.start_soon(trio.sleep, 1, name="o2trio repair of something")
            await trio.lowlevel.checkpoint()
            with pytest.raises(BrokenPromise, match="nothing left over: 1 tasks are left"):
                oracle.check_end(world)
        assert not scope.cancelled_caught
        await trio.sleep(2)
        stream = await world.network.dial(world.host("rest"), 80)
        with pytest.raises(BrokenPromise, match="1 connections are left"):
            oracle.check_end(world)
        await stream.aclose()
        oracle.check_end(world)
