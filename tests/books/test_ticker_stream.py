"""Streams of the top of a market: told when it changes, and only then."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from o2trio import O2Client, O2ConnectionLost, Options, open_o2
from o2trio._ticker import TickerStream, TickerUpdate
from o2trio.simulator import Simulator, default_listings, open_simulator

FUEL = "fFUEL/fUSDC"
FUEL_ONLY = default_listings()[:1]


@asynccontextmanager
async def world(
    *, flow: bool = True, options: Options | None = None
) -> AsyncGenerator[tuple[Simulator, O2Client]]:
    options = options or Options(jitter=lambda: 0.5)
    async with open_simulator(markets=FUEL_ONLY, rate=20.0, flow=flow) as sim:
        sim.run_flow(100)
        async with open_o2(sim.network, options=options) as o2:
            yield sim, o2


async def collect(tickers: TickerStream, into: list[TickerUpdate]) -> None:
    while True:
        into.append(await tickers.receive())


def truth(sim: Simulator) -> TickerUpdate:
    market_id = sim.market(FUEL).market_id
    book = sim.exchange.book(market_id, 1)
    return TickerUpdate(
        market_id=market_id,
        best_bid=book.bids[0],
        best_ask=book.asks[0],
        last_price=sim.exchange.trades(market_id)[-1].price,
    )


async def test_it_begins_with_how_things_stand_and_then_is_silent(autojump_clock: MockClock) -> None:
    async with world(flow=False) as (sim, o2), o2.stream_ticker(FUEL) as tickers:
        assert await tickers.receive() == truth(sim)
        # The book changes, but not at its top.
        sim.place(sim.create_account(), FUEL, "buy", price="0.0100", quantity="2000")
        with trio.move_on_after(10) as scope:
            await tickers.receive()
        assert scope.cancelled_caught


async def test_each_item_differs_from_the_one_before_and_the_last_is_the_truth(
    autojump_clock: MockClock,
) -> None:
    async with world() as (sim, o2), o2.stream_ticker(FUEL) as tickers:
        seen: list[TickerUpdate] = []
        with trio.move_on_after(60):
            async for ticker in tickers:
                seen.append(ticker)
                if len(seen) == 200:
                    sim.pause_flow()
        assert len(seen) > 150
        assert all(one != following for one, following in pairwise(seen))
        assert len({ticker.last_price for ticker in seen}) > 2
        sim.pause_flow()
        with trio.move_on_after(5):
            await collect(tickers, seen)
        assert seen[-1] == truth(sim)


async def test_a_sleeper_finds_the_latest_only(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.stream_ticker(sim.market(FUEL)) as tickers:
        await tickers.receive()
        await trio.sleep(60)
        sim.pause_flow()
        await trio.sleep(1)
        seen: list[TickerUpdate] = []
        with trio.move_on_after(5):
            await collect(tickers, seen)
        assert seen[-1] == truth(sim)
        assert len(seen) <= 2


async def test_a_break_is_told_and_healed(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.stream_ticker(FUEL) as tickers:
        sim.pause_flow()
        await trio.sleep(1)
        with trio.move_on_after(1):
            while True:
                await tickers.receive()
        sim.drop_connections()
        sim.run_flow(50)
        stale = await tickers.receive()
        assert stale.is_stale
        seen = [stale]
        with trio.move_on_after(30):
            await collect(tickers, seen)
        assert seen[-1] == truth(sim)
        assert not seen[-1].is_stale


async def test_the_streams_error_is_raised_when_it_is_over(autojump_clock: MockClock) -> None:
    options = Options(jitter=lambda: 0.5, max_attempts=2)
    async with world(options=options) as (sim, o2), o2.stream_ticker(FUEL) as tickers:
        sim.refuse_handshakes(503)
        sim.drop_connections()
        with pytest.raises(O2ConnectionLost):
            await collect(tickers, [])
        with pytest.raises(O2ConnectionLost):
            await tickers.receive()


async def test_a_bare_loop_releases_both_subscriptions(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2):
        async for _ in o2.stream_ticker(FUEL):
            assert len(sim.connections[0].subscriptions) == 2
            break
        await trio.sleep(1)
        assert not sim.connections[0].subscriptions


async def test_a_cancelled_receive_loses_nothing(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.stream_ticker(FUEL) as tickers:
        seen: list[TickerUpdate] = []
        for number in range(200):
            with trio.move_on_after(0.01 * (number % 9)):
                seen.append(await tickers.receive())
        sim.pause_flow()
        with trio.move_on_after(5):
            await collect(tickers, seen)
        assert seen[-1] == truth(sim)
