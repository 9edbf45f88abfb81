"""What the tests of the promises share: consumers that check what they are told, faults of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from o2trio import (
    DepthBook,
    DepthUpdate,
    NetworkConfig,
    Options,
    Origin,
    Subscription,
    Trade,
    TradeUpdate,
)
from o2trio.simulator import Flavor, Simulator

FUEL = "fFUEL/fUSDC"
ETH = "fETH/fUSDC"
BTC = "fBTC/fUSDC"

DEFAULT_FLAVOR = Flavor()
UPPER = Options(jitter=lambda: 1.0)
"""Waits are their upper bounds: 1, 2, 4 ... seconds."""
QUICK = Options(jitter=lambda: 0.1)


def truth(sim: Simulator, market: str = FUEL, precision: int = 1) -> Any:
    return sim.exchange.book(sim.market(market).market_id, precision)


def trades_as_told(sim: Simulator, market: str = FUEL) -> list[Trade]:
    """Return all trades of a market as the simulator's spelling of the protocol tells them."""
    trades = list(sim.exchange.trades(sim.market(market).market_id))
    if sim.flavor != DEFAULT_FLAVOR:
        spell = sim.flavor.trade_id_value
        trades = [attrs.evolve(trade, trade_id=str(spell(trade))) for trade in trades]
    if not sim.flavor.trade_parties:
        nobody: dict[str, Any] = dict.fromkeys(("maker", "taker", "maker_fee", "taker_fee"))
        trades = [attrs.evolve(trade, **nobody) for trade in trades]
    return trades


async def settle(sim: Simulator, seconds: float = 1.0) -> None:
    """Stop the order flow and let everything that is under way arrive."""
    sim.pause_flow()
    await trio.sleep(seconds)


def subscribed(sim: Simulator) -> list[str]:
    """Return the kinds of all subscriptions that the server holds, one entry each."""
    return sorted(item.kind for connection in sim.connections for item in connection.subscriptions)


class DepthWatcher:
    """Keeps a book of its own from what it is told, and insists on the marks."""

    def __init__(self, precision: int = 1) -> None:
        self.precision = precision
        self.book = DepthBook()
        self.items: list[DepthUpdate] = []

    @property
    def epoch(self) -> int:
        return self.items[-1].epoch

    @property
    def snapshots(self) -> int:
        return sum(item.is_snapshot for item in self.items)

    def take(self, update: DepthUpdate) -> None:
        assert update.precision == self.precision
        if not self.items or update.epoch != self.epoch:
            assert update.is_snapshot, "a stream begins, and goes on after a break, with a snapshot"
        assert not self.items or update.epoch >= self.epoch
        self.items.append(update)
        self.book.apply(update)

    async def follow(
        self, stream: Subscription[DepthUpdate], task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with stream as updates:
            task_status.started()
            async for update in updates:
                self.take(update)

    def check(self, sim: Simulator, market: str = FUEL) -> None:
        """Check that the book is the truth; only while nothing is under way."""
        assert self.book.changes() == truth(sim, market, self.precision)


class TradeWatcher:
    """Collects trades and insists that they come in order, once, and without a hole except at marks."""

    def __init__(self) -> None:
        self.items: list[TradeUpdate] = []

    @property
    def trades(self) -> list[Trade]:
        return [trade for item in self.items for trade in item.trades]

    @property
    def epoch(self) -> int:
        return self.items[-1].epoch if self.items else 0

    @property
    def gaps(self) -> int:
        return sum(item.origin is Origin.GAP for item in self.items)

    def take(self, update: TradeUpdate) -> None:
        assert update.epoch >= self.epoch
        assert update.origin is not Origin.SNAPSHOT
        assert bool(update.trades) is (update.gap is None)
        self.items.append(update)

    async def follow(
        self, stream: Subscription[TradeUpdate], task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with stream as updates:
            task_status.started()
            async for update in updates:
                self.take(update)

    def check(self, sim: Simulator, market: str = FUEL) -> None:
        """Check that between two marks no trade is missing, repeated or changed."""
        real = trades_as_told(sim, market)
        place = {trade.trade_id: index for index, trade in enumerate(real)}
        last: int | None = None
        fresh = True
        for item in self.items:
            if item.origin is Origin.GAP:
                fresh = True
            for trade in item.trades:
                index = place[trade.trade_id]
                assert trade == real[index]
                if last is not None:
                    assert index > last if fresh else index == last + 1
                last, fresh = index, False
        assert fresh or last == len(real) - 1, "the last trade is there"


async def collect(
    stream: Subscription[Any], into: list[Any], task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    async with stream as items:
        task_status.started()
        while True:
            try:
                into.append(await items.receive())
            except trio.EndOfChannel:
                return


class Wrapped(trio.abc.Stream):
    """A client's stream that can go dead: nothing passes any more, either way, and nobody is told."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self._dead = trio.Event()
        self.closed = False

    def die(self) -> None:
        self._dead.set()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._dead.is_set():
            await trio.lowlevel.checkpoint()
        else:
            await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._inner.receive_some(max_bytes))
        if self._dead.is_set():
            await trio.sleep_forever()
        return data

    async def aclose(self) -> None:
        self.closed = True
        if self._dead.is_set():
            # The peer does not hear of it.
            await trio.lowlevel.checkpoint()
        else:
            await self._inner.aclose()


class Dialling:
    """A dialer around a simulator's: fails, hangs or wraps as a test tells it to, and counts."""

    def __init__(self, network: NetworkConfig) -> None:
        assert network.dialer is not None
        self._dialer = network.dialer
        self.network = attrs.evolve(network, dialer=self)
        self.calls = 0
        self.failures: list[Callable[[], OSError]] = []
        self.hangs = 0
        self.streams: list[Wrapped] = []

    async def __call__(self, host: str, port: int) -> trio.abc.Stream:
        self.calls += 1
        if self.failures:
            await trio.lowlevel.checkpoint()
            failure = self.failures.pop(0)
            raise failure()
        if self.hangs:
            self.hangs -= 1
            await trio.sleep_forever()
        stream = Wrapped(await self._dialer(host, port))
        self.streams.append(stream)
        return stream

    def die(self) -> None:
        """Let every connection so far go dead without a sign."""
        for stream in self.streams:
            stream.die()


class Steps(trio.abc.Instrument):
    """Cancels a scope when a task has come to its n-th checkpoint."""

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, number: int) -> None:
        self._task = task
        self._scope = scope
        self._left = number

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


@contextmanager
def cancelled_at(step: int) -> Iterator[trio.CancelScope]:
    """Cancel the block at its `step`-th checkpoint, counted from 1."""
    with trio.CancelScope() as scope:
        steps = Steps(trio.lowlevel.current_task(), scope, step)
        trio.lowlevel.add_instrument(steps)
        try:
            yield scope
        finally:
            trio.lowlevel.remove_instrument(steps)


class OwnTasks(trio.abc.Instrument):
    """Knows which of the library's tasks run."""

    def __init__(self) -> None:
        self.alive: list[trio.lowlevel.Task] = []
        self.names: set[str] = set()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if task.name.startswith("o2trio"):
            self.alive.append(task)
            self.names.add(task.name)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        if task in self.alive:
            self.alive.remove(task)


@contextmanager
def own_tasks() -> Iterator[OwnTasks]:
    """Watch the library's tasks during the block."""
    watch = OwnTasks()
    trio.lowlevel.add_instrument(watch)
    try:
        yield watch
    finally:
        trio.lowlevel.remove_instrument(watch)
