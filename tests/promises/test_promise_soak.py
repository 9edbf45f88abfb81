"""A seeded storm: consumers come, go, sleep and are cancelled while the network does its worst."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import Options, Origin, RequestFailed, SubscriptionTimeout, open_o2
from o2trio.simulator import Simulator, open_simulator
from o2trio.simulator._websocket import text_frame
from tests.promises._support import BTC, ETH, FUEL, DepthWatcher, TradeWatcher, own_tasks, settle, subscribed

MARKETS = (FUEL, ETH, BTC)
RUBBISH = (
    "broken {",
    '{"action":"subscribe_depth_update","changes":{"bu',
    "[]",
    '{"action":"subscribe_trades","t',
)
TEN_MINUTES = 600.0
SEEDS = (1,)


@attrs.define
class _Consumer:
    """Follows one stream, sleeping now and then; `late` holds what was buffered when it fell asleep."""

    market: str
    watcher: Any
    stream: Any
    random: random.Random

    async def run(self) -> None:
        async with self.stream as items:
            while True:
                self.watcher.take(await items.receive())
                if self.random.random() < 0.02:
                    await trio.sleep(self.random.uniform(0, 60))

    def finish(self) -> None:
        while self.stream.statistics().buffered:
            self.watcher.take(self.stream.receive_nowait())


async def _weather(sim: Simulator, chance: random.Random) -> None:
    """Cut, mute and spoil."""
    while True:
        await trio.sleep(chance.uniform(1, 40))
        fault = chance.randrange(6)
        if fault == 0:
            sim.drop_connections()
        elif fault == 1 and sim.connections:
            chance.choice(sim.connections).drop()
        elif fault == 2:
            sim.mute()
            await trio.sleep(chance.choice([1, 30, 70]))
            sim.unmute()
        elif fault == 3:
            sim.refuse_handshakes(503, retry_after=chance.choice([None, 2]), count=2)
            sim.drop_connections()
        elif fault == 4:
            sim.accept_and_drop(chance.randrange(3))
            sim.drop_connections()
        else:
            for connection in sim.connections:
                connection.send(text_frame(chance.choice(RUBBISH)))


async def _passer_by(o2: Any, chance: random.Random) -> None:
    """Come, stay a while or not at all, leave in any way."""
    while True:
        await trio.sleep(chance.uniform(0, 5))
        market = chance.choice(MARKETS)
        streams = (
            partial(o2.stream_depth, market, chance.choice([1, 2, 3])),
            partial(o2.stream_depth_view, market),
            partial(o2.stream_trades, market),
            partial(o2.stream_nonce, f"0x{chance.randrange(3):064x}"),
        )
        # In such weather a newcomer may be told that there is no snapshot, or no answer.
        with (
            suppress(SubscriptionTimeout, RequestFailed),
            trio.move_on_after(chance.choice([0, 0.001, 0.1, 1, 10, 30])),
        ):
            if chance.random() < 0.5:
                async for _item in chance.choice(streams)():
                    if chance.random() < 0.2:
                        break
            else:
                async with chance.choice(streams)() as items:
                    await items.receive()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_storm_of_ten_minutes_leaves_every_book_exact(autojump_clock: MockClock, seed: int) -> None:
    """At rest all books equal the truth; trades came in order, none twice, none missing between marks."""
    chance = random.Random(seed)
    options = Options(jitter=chance.random, buffer_size=32, stable_after=1.0, max_connections=30)
    with own_tasks() as tasks:
        async with open_simulator(seed=seed, rate=1) as sim, open_o2(sim.network, options=options) as o2:
            consumers = [
                _Consumer(market, DepthWatcher(precision), o2.stream_depth(market, precision), chance)
                for market, precision in [(FUEL, 1), (FUEL, 1), (FUEL, 3), (ETH, 1), (BTC, 2)]
            ] + [
                _Consumer(market, TradeWatcher(), o2.stream_trades(market), chance)
                for market in (FUEL, FUEL, ETH)
            ]
            async with trio.open_nursery() as consuming:
                for consumer in consumers:
                    consuming.start_soon(consumer.run)
                async with trio.open_nursery() as storm:
                    storm.start_soon(_weather, sim, random.Random(seed + 1))
                    for number in range(4):
                        storm.start_soon(_passer_by, o2, random.Random(seed + 10 + number))
                    await trio.sleep(TEN_MINUTES)
                    storm.cancel_scope.cancel()
                sim.unmute()
                sim.accept_handshakes()
                # Everything is back after the longest wait, and the sleepers are awake.
                await trio.sleep(200)
                await settle(sim, 100)
                for consumer in consumers:
                    consumer.finish()
                    consumer.watcher.check(sim, consumer.market)
                kinds = Counter(subscribed(sim))
                assert kinds == {"depth": 4, "trades": 2}
                origins = Counter(item.origin for consumer in consumers for item in consumer.watcher.items)
                assert origins[Origin.SNAPSHOT] > 10
                assert origins[Origin.BACKFILL] > 5
                assert origins[Origin.GAP] == 0
                for consumer in consumers:
                    if isinstance(consumer.watcher, TradeWatcher):
                        last = sim.exchange.trades(sim.market(consumer.market).market_id)[-1]
                        assert last in consumer.watcher.trades
                consuming.cancel_scope.cancel()
        assert not tasks.alive
