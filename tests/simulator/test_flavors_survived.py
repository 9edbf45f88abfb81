"""A client keeps its promises under every reading of the protocol: its streams, compared with the truth."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import DepthBook, Options, Origin, open_o2
from o2trio.simulator import Account, Flavour, Simulator, open_simulator

PAIR = "fFUEL/fUSDC"
OPTIONS = Options(jitter=lambda: 0.1)

READINGS = [
    (name, choice)
    for name, choices in Flavour.choices().items()
    for choice in choices[1:]
    if choice != "absolute"  # differences are what every current source says, and no frame tells them apart
]


class Watcher:
    """Takes in all streams of a client, and compares what it was told with the exchange."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.account: Account = sim.create_account()
        self.books = [DepthBook(), DepthBook()]
        self.items: dict[str, list[Any]] = {}
        self.events: list[Any] = []

    async def watch(self, o2: Any, nursery: trio.Nursery) -> None:
        account = self.account.trade_account_id
        streams = {
            "depth": o2.stream_depth(PAIR),
            "coarse": o2.stream_depth(PAIR, 3),
            "trades": o2.stream_trades(PAIR),
            "orders": o2.stream_orders(account),
            "balances": o2.stream_balances(account),
            "nonce": o2.stream_nonce(account),
        }
        await nursery.start(self._follow, "events", o2.events())
        for name, stream in streams.items():
            await nursery.start(self._follow, name, stream)

    async def _follow(
        self, name: str, stream: Any, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        items = self.items.setdefault(name, [])
        async with stream as updates:
            task_status.started()
            async for update in updates:
                items.append(update)
                if name in ("depth", "coarse"):
                    self.books[name == "coarse"].apply(update)

    def check(self, breaks: int) -> None:
        sim, market = self.sim, self.sim.market(PAIR)
        for book, precision in zip(self.books, (1, 3), strict=True):
            assert book.changes() == sim.exchange.book(market.market_id, precision)
        self._check_trades()
        told = {order.order_id: order for update in self.items["orders"] for order in update.orders}
        for order in sim.exchange.orders_of(self.account.trade_account_id, market.market_id):
            last = told[order.order_id]
            assert (last.price, last.quantity, last.quantity_fill) == (
                order.price,
                order.quantity,
                order.filled,
            )
            assert (last.side, last.is_open, last.cancel) == (order.side, not order.close, order.cancel)
        for asset in (market.base.asset, market.quote.asset):
            truth = sim.exchange.balance(self.account, asset)
            held = [entry for update in self.items["balances"] for entry in update.balance]
            last = [entry for entry in held if entry.asset_id == asset][-1]
            assert (last.total_unlocked, last.total_locked) == (truth.total_unlocked, truth.total_locked)
        assert self.items["nonce"][-1].nonce == self.account.nonce
        data = {name: items for name, items in self.items.items() if name != "events"}
        assert {name: items[-1].epoch for name, items in data.items()} == dict.fromkeys(data, breaks)
        assert Origin.GAP not in {item.origin for items in data.values() for item in items}

    def _check_trades(self) -> None:
        """Check that no trade since the first one that was seen is missing, repeated or changed."""
        sim = self.sim
        told = [trade for update in self.items["trades"] for trade in update.trades]
        real = sim.exchange.trades(sim.market(PAIR).market_id)
        facts = [(trade.side, trade.price, trade.quantity) for trade in told]
        assert facts
        assert facts == [(trade.side, trade.price, trade.quantity) for trade in real[-len(facts) :]]
        assert len({trade.trade_id for trade in told}) == len(told)


async def live(flavour: Flavour, *, breaks: int = 1) -> None:
    """Watch everything for two minutes, with a quiet one among them and a cut in the middle."""
    async with (
        open_simulator(seed=71, rate=2, flavour=flavour) as sim,
        open_o2(sim.network, options=OPTIONS) as o2,
        trio.open_nursery() as nursery,
    ):
        watcher = Watcher(sim)
        await watcher.watch(o2, nursery)
        await trio.sleep(5)
        kept = sim.place(watcher.account, PAIR, "buy", "0.0100", "2000")
        sim.pause_flow()
        await trio.sleep(70)
        sim.resume_flow()
        if breaks:
            sim.drop_connections()
            await trio.sleep(0.01)
        sim.cancel(watcher.account, kept)
        await trio.sleep(15)
        sim.place(watcher.account, PAIR, "sell", "0.0200", "2000", "Market")
        sim.place(watcher.account, PAIR, "buy", "0.0100", "3000")
        await trio.sleep(5)
        sim.pause_flow()
        await trio.sleep(5)
        watcher.check(breaks)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("name", "choice"), READINGS)
async def test_all_streams_are_true_under_a_reading(
    autojump_clock: MockClock, name: str, choice: Any
) -> None:
    # Without an answer to its PING, a quiet connection is dialled again; the cut is the second break then.
    breaks = 2 if choice == "protocol" else 1
    await live(attrs.evolve(Flavour(), **{name: choice}), breaks=breaks)


@pytest.mark.parametrize("seed", range(12))
async def test_all_streams_are_true_under_several_readings_at_once(
    autojump_clock: MockClock, seed: int
) -> None:
    flavour = Flavour.draw(Random(seed))
    await live(flavour)
