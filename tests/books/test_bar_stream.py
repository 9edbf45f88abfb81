"""Streams of bars against the trades of the simulator: none missing, none counted twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    InvalidRequest,
    O2Client,
    Options,
    Origin,
    RequestFailed,
    ServerError,
    UnknownMarket,
    open_o2,
)
from o2trio._bar_stream import BarStream
from o2trio._bars import BarUpdate, resolution_of
from o2trio.models import Bar
from o2trio.simulator import Simulator, default_listings, open_simulator
from tests.books.test_bars import expected
from tests.tolerance import _cases as cases
from tests.tolerance._server import Asked, RawServer, Reply, reply

FUEL = "fFUEL/fUSDC"
FUEL_ONLY = default_listings()[:1]


@asynccontextmanager
async def world(
    *, rate: float = 20.0, warm: float = 0.0, **options: Any
) -> AsyncGenerator[tuple[Simulator, O2Client]]:
    async with open_simulator(markets=FUEL_ONLY, rate=rate) as sim:
        await trio.sleep(warm)
        async with open_o2(sim.network, options=Options(**{"jitter": lambda: 0.5, **options})) as o2:
            yield sim, o2


def bars_of(sim: Simulator, resolution: str) -> dict[int, Bar]:
    trades = list(sim.exchange.trades(sim.market(FUEL).market_id))
    return {bar.timestamp: bar for bar in expected(resolution_of(resolution), trades)}


async def drain(stream: BarStream, seconds: float = 30.0) -> None:
    """Receive until the stream ends, for a while."""
    with trio.move_on_after(seconds):
        async for _ in stream:
            pass


class Watcher:
    """Takes updates and insists on their order."""

    def __init__(self) -> None:
        self.items: list[BarUpdate] = []

    def take(self, update: BarUpdate) -> None:
        if self.items and update.origin is not Origin.SNAPSHOT:
            last = self.items[-1]
            if last.is_final:
                assert update.bar.timestamp > last.bar.timestamp
            else:
                assert update.bar.timestamp == last.bar.timestamp
        self.items.append(update)

    async def follow(self, stream: Any, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with stream as updates:
            task_status.started()
            async for update in updates:
                self.take(update)

    @property
    def final(self) -> dict[int, Bar]:
        return {update.bar.timestamp: update.bar for update in self.items if update.is_final}

    def check(self, sim: Simulator, resolution: str) -> None:
        """Check that every final bar and the present one are the truth; only while nothing is under way."""
        real = bars_of(sim, resolution)
        starts = sorted(real)
        first = self.items[0].bar.timestamp
        assert self.items[-1].bar == real[starts[-1]]
        assert self.final == {start: real[start] for start in starts if first <= start < starts[-1]}


async def take_until(bars: BarStream, watcher: Watcher, wanted: Callable[[BarUpdate], bool]) -> None:
    watcher.take(await bars.receive())
    while not wanted(watcher.items[-1]):
        watcher.take(await bars.receive())


@pytest.mark.parametrize("resolution", ["1s", "1h", "3M"])
async def test_bars_are_those_of_the_exchanges_trades(autojump_clock: MockClock, resolution: str) -> None:
    async with world(rate=8.0, warm=300) as (sim, o2), trio.open_nursery() as nursery:
        watcher = Watcher()
        await nursery.start(watcher.follow, o2.stream_bars(FUEL, resolution))
        await trio.sleep(130)
        sim.pause_flow()
        await trio.sleep(1)
        watcher.check(sim, resolution)
        assert watcher.items[0].origin is Origin.SNAPSHOT
        assert watcher.items[-1].origin is Origin.LIVE
        assert not any(update.origin is Origin.GAP for update in watcher.items)
        nursery.cancel_scope.cancel()


async def test_the_first_bar_is_right_at_once(autojump_clock: MockClock) -> None:
    async with world(warm=95) as (sim, o2):
        sim.pause_flow()
        async with o2.stream_bars(sim.market(FUEL), "5m") as bars:
            first = await bars.receive()
        assert first.bar == list(bars_of(sim, "5m").values())[-1]
        assert (first.origin, first.is_final, first.resolution) == (Origin.SNAPSHOT, False, "5m")
        assert first.market_id == sim.market(FUEL).market_id


@pytest.mark.parametrize("resolution", ["1s", "1m"])
async def test_a_history_that_lags_loses_and_doubles_nothing(
    autojump_clock: MockClock, resolution: str
) -> None:
    async with world(warm=90) as (sim, o2), trio.open_nursery() as nursery:
        sim.rest.stale(1500, path="/v1/trades")
        watcher = Watcher()
        await nursery.start(watcher.follow, o2.stream_bars(FUEL, resolution))
        await trio.sleep(75)
        sim.pause_flow()
        await trio.sleep(5)
        real = bars_of(sim, resolution)
        # What was told before the seam is sewn may lag; each bar that is over then is right.
        sewn = next(i for i, item in enumerate(watcher.items) if i and item.origin is Origin.SNAPSHOT)
        assert watcher.items[-1].bar == real[max(real)]
        assert all(real[item.bar.timestamp] == item.bar for item in watcher.items[sewn:] if item.is_final)
        assert len(watcher.final) > 0
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("resolution", ["1s", "1m", "1M"])
async def test_lost_connections_lose_and_double_nothing(autojump_clock: MockClock, resolution: str) -> None:
    async with world(warm=30) as (sim, o2), trio.open_nursery() as nursery:
        watcher = Watcher()
        await nursery.start(watcher.follow, o2.stream_bars(FUEL, resolution))
        for _ in range(4):
            await trio.sleep(20)
            sim.drop_connections()
        await trio.sleep(40)
        sim.pause_flow()
        await trio.sleep(5)
        watcher.check(sim, resolution)
        assert watcher.items[-1].epoch == 4
        nursery.cancel_scope.cancel()


async def test_a_sleeper_finds_right_bars(autojump_clock: MockClock) -> None:
    async with world(warm=10, buffer_size=8) as (sim, o2):
        watcher = Watcher()
        async with o2.stream_bars(FUEL, "1s") as bars:
            for _ in range(6):
                await trio.sleep(30)
                with trio.move_on_after(0.5):
                    while True:
                        watcher.take(await bars.receive())
            sim.pause_flow()
            with trio.move_on_after(30):
                while True:
                    watcher.take(await bars.receive())
        watcher.check(sim, "1s")


async def test_when_history_stays_away_the_bars_are_marked(autojump_clock: MockClock) -> None:
    async with world(warm=10, buffer_size=4, repair_timeout=3.0) as (sim, o2):
        watcher = Watcher()
        async with o2.stream_bars(FUEL, "1m") as bars:
            for _ in range(3):
                watcher.take(await bars.receive())
            sim.rest.go_down()
            await trio.sleep(30)
            await take_until(bars, watcher, lambda update: update.origin is Origin.GAP)
            gap = len(watcher.items) - 1
            await take_until(bars, watcher, lambda update: update.origin is not Origin.GAP)
            whole = watcher.items[-1].bar.timestamp
            await take_until(bars, watcher, lambda update: update.is_final)
        marked = [update for update in watcher.items[gap:] if update.bar.timestamp < whole]
        assert all(update.origin is Origin.GAP for update in marked), "the mark stays on the bar"
        assert marked[-1].is_final
        last = watcher.items[-1]
        assert last.bar == bars_of(sim, "1m")[whole], "later bars are whole"


async def test_a_cancelled_receive_loses_nothing(autojump_clock: MockClock) -> None:
    async with world(warm=30) as (sim, o2):
        watcher, cancelled = Watcher(), 0
        async with o2.stream_bars(FUEL, "1s") as bars:
            sim.rest.slow(0.7)
            for number in range(400):
                with trio.move_on_after(0.01 * (number % 13)) as scope:
                    watcher.take(await bars.receive())
                cancelled += scope.cancelled_caught
            sim.pause_flow()
            with trio.move_on_after(30):
                while True:
                    watcher.take(await bars.receive())
        assert cancelled > 50
        watcher.check(sim, "1s")


async def test_a_bare_loop_releases_the_stream_when_it_is_left(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2):
        async for update in o2.stream_bars(FUEL, "1s"):
            assert update.bar.volume
            break
        await trio.sleep(1)
        assert not sim.connections[0].subscriptions


async def test_a_failed_beginning_raises_and_can_be_repeated(autojump_clock: MockClock) -> None:
    async with world(warm=10) as (sim, o2):
        bars = o2.stream_bars(sim.market(FUEL), "1m")
        sim.rest.fail(500, path="/v1/trades")
        with pytest.raises((ServerError, RequestFailed)):
            await bars.__aenter__()
        await trio.sleep(1)
        assert all(not connection.subscriptions for connection in sim.connections)
        sim.rest.heal()
        async with bars:
            assert (await bars.receive()).origin is Origin.SNAPSHOT


async def test_ends_are_those_of_a_subscription(autojump_clock: MockClock) -> None:
    async with open_simulator(rate=20.0) as sim:
        async with open_o2(sim.network) as o2:
            with pytest.raises(InvalidRequest):
                o2.stream_bars(FUEL, "7m")
            with pytest.raises(UnknownMarket):
                await o2.stream_bars("no/such", "1m").__aenter__()
            stays = o2.stream_bars(FUEL, "1s")
            await stays.__aenter__()
            async with o2.stream_bars(FUEL, "1s") as bars:
                await bars.receive()
                await bars.aclose()
            with pytest.raises(trio.ClosedResourceError):
                await bars.receive()
        await drain(stays)
        with pytest.raises(trio.EndOfChannel):
            await stays.receive()


NOW = 1_790_000_000_000


async def bars_around(resolution: str, *times: int) -> list[BarUpdate]:
    """Return what a stream gives when trades with such times follow on one of :data:`NOW`."""

    def rest(asked: Asked) -> Reply:
        if asked.path == "/v1/bars":
            return reply({"bars": []})
        if asked.path == "/v1/trades":
            return reply({"trades": [cases.trade({"trade_id": "5", "timestamp": str(NOW)})]})
        return cases.quiet_rest(asked)

    watcher = Watcher()
    server = RawServer(lambda _socket, _request: (), rest)
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=cases.OPTIONS) as o2:
            await nursery.start(watcher.follow, o2.stream_bars(cases.MARKET, resolution))
            await trio.sleep(5)
            for number, time in enumerate(times, 100):
                await server.socket.send(
                    cases.trades(cases.trade({"trade_id": str(number), "timestamp": str(time)}))
                )
                await trio.sleep(10)
        nursery.cancel_scope.cancel()
    return watcher.items


@pytest.mark.parametrize("resolution", ["1m", "1M", "3M"])
@pytest.mark.parametrize("time", [2**127, 0, 12_345])
async def test_a_trade_with_an_absurd_time_marks_the_bar(
    autojump_clock: MockClock, resolution: str, time: int
) -> None:
    first, *others = await bars_around(resolution, time, NOW + 1000)
    assert first.origin is Origin.SNAPSHOT
    assert others
    assert {update.origin for update in others} == {Origin.GAP}
    assert {update.bar.timestamp for update in others} <= {first.bar.timestamp, first.bar.timestamp + 60_000}
