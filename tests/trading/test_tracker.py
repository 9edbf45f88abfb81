"""All orders of an account: what is known of them, gaps of their stream, and the end of it."""

from __future__ import annotations

import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from o2trio import (
    DecodeError,
    InvalidRequest,
    O2ConnectionLost,
    Options,
    RequestFailed,
    SubscriptionRejected,
    UnknownMarket,
)
from o2trio._api_errors import OrderNotFound, RateLimitExceeded
from o2trio.models import (
    Asset,
    Id,
    Market,
    Markets,
    NotUnderstood,
    Order,
    OrderType,
    OrderUpdate,
    Origin,
    Side,
)
from o2trio.trading import _tracker
from o2trio.trading._tracker import OrderTracker
from tests.promises._support import cancelled_at

OPTIONS = Options(indexer_lag=2.0, backoff_initial=1.0, backoff_cap=8.0, jitter=lambda: 1.0)


def number(value: int) -> Id:
    return Id(f"0x{value:064x}")


def market(value: int, base: str) -> Market:
    assets = (Asset(symbol=name, asset=number(0), decimals=0, max_precision=0) for name in (base, "fUSDC"))
    return Market(contract_id=number(value), market_id=number(value), base=next(assets), quote=next(assets))


FUEL, BTC = market(0xF, "fFUEL"), market(0xB, "fBTC")


def state(order: int, filled: int = 0, *, close: bool = False, at: Market | None = FUEL) -> Order:
    return Order(
        order_id=number(order),
        side=Side.BUY,
        order_type=OrderType("Spot"),
        price=1,
        quantity=100,
        quantity_fill=filled,
        close=close,
        market_id=None if at is None else at.market_id,
    )


class World:
    """A tracker, its stream, and what REST answers."""

    def __init__(self) -> None:
        self.rest: dict[Id, Order] = {}
        self.reads: list[tuple[float, Id | None]] = []
        self.failures: list[Exception] = []
        self.unreadable: set[Id] = set()
        self.hang: trio.Event | None = None
        self.send: trio.MemorySendChannel[OrderUpdate | Exception]
        self.send, self.updates = trio.open_memory_channel(1000)
        self.tracker = OrderTracker(Markets(markets=(BTC, FUEL)), self.read_order, self.read_open, OPTIONS)

    async def read_open(self) -> list[Order]:
        self.reads.append((trio.current_time(), None))
        if self.hang is not None:
            await self.hang.wait()
        await trio.lowlevel.checkpoint()
        if self.failures:
            raise self.failures.pop(0)
        return [order for order in self.rest.values() if order.is_open]

    async def read_order(self, market_id: Id, order_id: Id) -> Order:
        self.reads.append((trio.current_time(), order_id))
        await trio.lowlevel.checkpoint()
        found = self.rest.get(order_id)
        if order_id in self.unreadable:
            raise DecodeError("an odd row", path="$", frame="")
        if found is None or found.market_id != market_id:
            raise OrderNotFound("no such order", status=404, code=3000)
        return found

    async def stream(self) -> AsyncIterator[OrderUpdate]:
        async for item in self.updates:
            if isinstance(item, Exception):
                raise item
            yield item

    def tell(self, *orders: Order, origin: Origin = Origin.LIVE) -> None:
        self.send.send_nowait(OrderUpdate(orders=orders, origin=origin))

    def gap(self) -> None:
        self.tell(origin=Origin.GAP)

    @asynccontextmanager
    async def running(self, *seed: Order) -> AsyncIterator[OrderTracker]:
        """Follow the stream, which begins with `seed`, during the block."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            self.tell(*seed, origin=Origin.SNAPSHOT)
            await trio.testing.wait_all_tasks_blocked()
            yield self.tracker
            nursery.cancel_scope.cancel()

    async def run(self) -> None:
        await self.tracker.run(self.stream())


settle = trio.testing.wait_all_tasks_blocked


# -- what is known ---------------------------------------------------------------------------------


async def test_it_holds_the_open_orders_and_remembers_the_closed_ones() -> None:
    tracker = World().tracker
    first, second = tracker.absorb(state(1)), tracker.absorb(state(2, at=BTC))
    third = tracker.absorb(state(3, at=None))
    assert list(tracker) == [first, second, third] == list(tracker.open())
    assert len(tracker) == 3
    assert tracker.open("fbtc/fusdc") == (second,) == tracker.open(BTC) == tracker.open(BTC.market_id)
    assert tracker.absorb(state(1, 100, close=True)) is first
    assert list(tracker) == [second, third]
    assert tracker[number(1)] is first is tracker.get(number(1)[2:].upper())
    assert number(2) in tracker
    assert second in tracker
    assert first not in tracker
    assert number(9) not in tracker
    assert tracker.get(number(9)) is None
    # An old state does not open it again, and where the market was missing it is added.
    assert tracker.absorb(state(1)) is first
    assert len(tracker) == 2
    assert tracker.absorb(state(3)).market is FUEL
    assert tracker.open(FUEL) == (third,)


async def test_what_it_does_not_know_is_an_error() -> None:
    tracker = World().tracker
    with pytest.raises(KeyError):
        tracker[number(1)]
    with pytest.raises(InvalidRequest, match="an order id"):
        tracker.get("1")
    with pytest.raises(UnknownMarket):
        tracker.open("fETH/fUSDC")


async def test_iterating_is_not_disturbed_by_orders_that_close() -> None:
    tracker = World().tracker
    for each in range(10):
        tracker.absorb(state(each))
    for order in tracker:
        tracker.absorb(attrs.evolve(order.order, close=True))
    assert len(tracker) == 0


async def test_of_closed_orders_only_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tracker, "CLOSED_KEPT", 3)
    tracker = World().tracker
    held = tracker.absorb(state(1, close=True))
    opened = tracker.absorb(state(2))
    for each in range(3, 9):
        tracker.absorb(state(each, close=True))
    gc.collect()
    assert [each for each in range(10) if tracker.get(number(each))] == [1, 2, 6, 7, 8]
    assert tracker.statistics().closed == 3
    # What somebody holds is followed, though it was forgotten here.
    assert tracker.absorb(state(1, 50, close=True)) is held
    assert held.order.quantity_fill == 50
    del opened
    gc.collect()
    assert number(2) in tracker


async def test_statistics_count() -> None:
    world = World()
    async with world.running(state(1)) as tracker:
        world.tell(state(1), state(2), state(1, close=True), state(1, 5))
        world.gap()
        await settle()
        found = tracker.statistics()
    assert (found.open, found.closed, found.absorbed, found.redundant) == (1, 1, 5, 1)
    assert (found.gaps, found.failures) == (1, 0)


# -- the stream ------------------------------------------------------------------------------------


async def test_it_follows_the_stream() -> None:
    world = World()
    assert world.tracker.is_stale
    placed = world.tracker.absorb(state(2))
    async with world.running(state(1), state(2)) as tracker:
        assert not tracker.is_stale
        assert len(tracker) == 2
        world.tell(state(2, 40), state(3))
        world.tell(state(1, close=True), origin=Origin.BACKFILL)
        await settle()
        assert [each.order_id for each in tracker] == [number(2), number(3)]
        assert placed.order.quantity_fill == 40
        world.tell(state(2, 100, close=True))
        assert (await placed.filled()).quantity_fill == 100
        assert not world.reads
    assert tracker.is_stale


async def test_an_order_that_closed_before_the_first_snapshot_is_read(autojump_clock: MockClock) -> None:
    world = World()
    placed = world.tracker.absorb(state(2))
    world.rest = {number(1): state(1), number(2): state(2, 100, close=True)}
    async with world.running(state(1)) as tracker:
        assert tracker.is_stale
        assert (await placed.closed()).quantity_fill == 100
        await settle()
        assert not tracker.is_stale
        assert [each.order_id for each in tracker] == [number(1)]


async def test_a_gap_is_mended_over_rest(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(state(1), state(2), state(3, at=None)) as tracker:
        world.rest = {number(1): state(1, 100, close=True), number(2): state(2, 5), number(4): state(4)}
        world.rest[number(3)] = state(3, close=True)
        ended = tracker[number(3)]
        world.gap()
        await settle()
        assert tracker.is_stale
        await ended.closed()
        # Not sooner than REST tells what the gap hid; and what is among the open ones is read once.
        assert trio.current_time() == OPTIONS.indexer_lag
        assert [order_id for _, order_id in world.reads] == [None, number(1), number(3), number(3)]
        await settle()
        assert not tracker.is_stale
        assert [each.order_id for each in tracker] == [number(2), number(4)]
        assert tracker[number(2)].order.quantity_fill == 5
        await trio.sleep(100)
        assert len(world.reads) == 4


async def test_a_stream_that_begins_with_a_gap_is_read_over_rest(autojump_clock: MockClock) -> None:
    world = World()
    world.rest = {number(1): state(1)}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.run)
        world.gap()
        await settle()
        assert world.tracker.is_stale
        await trio.sleep(OPTIONS.indexer_lag + 0.1)
        assert not world.tracker.is_stale
        assert len(world.tracker) == 1
        nursery.cancel_scope.cancel()


async def test_mending_goes_on_with_backoff_until_it_succeeds(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.failures = [RequestFailed("no answer")] * 4
    world.failures.append(RateLimitExceeded("too many", status=429, retry_after=50.0))
    async with world.running() as tracker:
        world.gap()
        await trio.sleep(80)
        assert [time for time, _ in world.reads] == [2, 3, 5, 9, 17, 67]
        assert not tracker.is_stale
        assert tracker.statistics().failures == 5
    assert len(caplog.messages) == 5


async def test_the_stream_is_followed_while_rest_is_silent(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(state(1), state(2)) as tracker:
        world.hang = trio.Event()
        world.gap()
        await trio.sleep(10)
        world.tell(state(1, 100, close=True), state(2, 10))
        await tracker[number(1)].filled()
        assert tracker.is_stale
        # What REST says late is older than what the stream has told, and of what is closed nothing is asked.
        world.rest = {number(2): state(2, 5)}
        world.hang.set()
        await settle()
        assert not tracker.is_stale
        assert number(1) not in tracker
        assert tracker[number(2)].order.quantity_fill == 10


async def test_a_gap_during_mending_is_mended_as_well(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(state(1)) as tracker:
        world.rest = {number(1): state(1)}
        world.hang = trio.Event()
        world.gap()
        await trio.sleep(10)
        world.gap()
        world.hang.set()
        await settle()
        assert tracker.is_stale
        world.rest = {number(1): state(1, 100, close=True)}
        await tracker[number(1)].filled()
        assert [time for time, order_id in world.reads if order_id is None] == [2, 12]
        await settle()
        assert not tracker.is_stale


async def test_an_order_that_rest_does_not_know_keeps_it_stale(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(state(1), state(2)) as tracker:
        world.rest = {number(2): state(2, close=True)}
        world.gap()
        await trio.sleep(30)
        assert tracker.is_stale
        # All others were read; and the order may still appear.
        assert number(2) not in tracker
        assert number(1) in tracker
        world.tell(state(1, close=True))
        await trio.sleep(10)
        assert not tracker.is_stale


async def test_an_order_that_rest_cannot_read_does_not_keep_the_others_unknown(
    autojump_clock: MockClock,
) -> None:
    world = World()
    async with world.running(state(1), state(2)) as tracker:
        world.unreadable.add(number(1))
        world.rest[number(2)] = state(2, close=True)
        world.gap()
        await trio.sleep(30)
        assert number(1) in tracker
        assert number(2) not in tracker
        assert tracker.is_stale
        with pytest.raises(DecodeError, match="an odd row"):
            await tracker.refresh()
        world.unreadable.clear()
        world.rest[number(1)] = state(1, close=True)
        await trio.sleep(30)
        assert not tracker.is_stale


async def test_the_newest_orders_may_be_unknown_to_rest(autojump_clock: MockClock) -> None:
    world = World()
    tracker = world.tracker
    tracker.absorb(state(1))
    await trio.sleep(OPTIONS.indexer_lag / 2)
    await tracker.refresh()
    assert number(1) in tracker
    await trio.sleep(OPTIONS.indexer_lag / 2)
    with pytest.raises(OrderNotFound):
        await tracker.refresh()


async def test_a_refresh_does_not_take_a_gap_for_mended(autojump_clock: MockClock) -> None:
    """Read so soon, REST may not yet tell what the gap hid."""
    world = World()
    async with world.running() as tracker:
        world.gap()
        await settle()
        await tracker.refresh()
        assert tracker.is_stale


async def test_with_a_lagging_exchange_and_gaps_it_comes_to_the_truth(autojump_clock: MockClock) -> None:
    for seed in range(30):
        rng = random.Random(seed)
        world = World()
        truth: dict[Id, Order] = {}
        async with world.running() as tracker:
            held = []
            for _ in range(60):
                key = rng.randrange(12)
                old = truth.get(number(key), state(key))
                filled = min(old.quantity_fill + rng.choice([0, 10, 30]), 100)
                new = state(key, filled, close=not old.is_open or filled == 100 or rng.random() < 0.1)
                if not old.is_open:
                    continue
                truth[number(key)] = new
                match rng.randrange(4):
                    case 0:
                        world.gap()
                    case 1:
                        held.append(tracker.absorb(new))
                    case _:
                        world.tell(new, old)
                await trio.sleep(rng.choice([0.0, 0.0, 1.0, 4.0]))
                if rng.random() < 0.3:
                    world.rest = dict(truth)
                if rng.random() < 0.2:
                    world.failures.append(RequestFailed("no answer"))
            world.gap()
            await trio.sleep(OPTIONS.indexer_lag / 2)
            world.rest = dict(truth)
            await trio.sleep(600)
            assert not tracker.is_stale
            assert {each.order_id for each in tracker} == {key for key, each in truth.items() if each.is_open}
            for each in [*tracker, *held]:
                assert each.order == truth[each.order_id]
                assert sum(fill.quantity for fill in each._fills) == each.order.quantity_fill


# -- news ------------------------------------------------------------------------------------------


async def test_changed_tells_each_change_once_and_misses_none(autojump_clock: MockClock) -> None:
    world = World()
    tracker = world.tracker

    async def news() -> bool:
        with trio.move_on_after(1) as scope:
            await tracker.changed()
        return not scope.cancelled_caught

    assert not await news()
    tracker.absorb(state(1))
    tracker.absorb(state(2))
    assert [await news(), await news()] == [True, False]
    tracker.absorb(state(1))
    assert not await news()
    async with world.running():
        assert [await news(), await news()] == [True, False]
        world.gap()
        assert [await news(), tracker.is_stale] == [True, True]
        await trio.sleep(OPTIONS.indexer_lag)
        # Mending found that REST does not know them.
        assert not await news()
        world.rest = {number(1): state(1), number(2): state(2)}
        await trio.sleep(20)
        assert [await news(), tracker.is_stale] == [True, False]
        tracker.absorb(state(1, 5))
    assert await news()
    with pytest.raises(trio.ClosedResourceError):
        await news()


async def test_only_one_task_may_wait_for_changes() -> None:
    tracker = World().tracker
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tracker.changed)
        await settle()
        with pytest.raises(trio.BusyResourceError):
            await tracker.changed()
        nursery.cancel_scope.cancel()
    tracker.absorb(state(1))
    with trio.testing.assert_checkpoints():
        await tracker.changed()


# -- its end ---------------------------------------------------------------------------------------

LOST = O2ConnectionLost("gave up after 3 attempts")
REFUSED = SubscriptionRejected(6001, "too many")


@pytest.mark.parametrize(
    ("end", "over", "cause"),
    [
        (None, trio.ClosedResourceError, None),
        (trio.ClosedResourceError(), trio.ClosedResourceError, None),
        (LOST, O2ConnectionLost, LOST),
        (REFUSED, O2ConnectionLost, REFUSED),
    ],
)
async def test_when_the_stream_is_over_every_wait_ends(
    end: Exception | None, over: type[Exception], cause: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    tracker = world.tracker
    ended: list[BaseException] = []

    async def wait(what: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(over) as caught:
            await what()
        ended.append(caught.value)

    order = tracker.absorb(state(1))
    await tracker.changed()
    async with trio.open_nursery() as nursery:
        for what in (order.filled, order.closed, order.fills().__anext__, tracker.changed):
            nursery.start_soon(wait, what)
        await settle()
        if end is not None:
            world.send.send_nowait(end)
        world.send.close()
        # It returns; those who wait are told.
        await world.run()
    assert len(ended) == len(set(map(id, ended))) == 4
    assert {each.__cause__ for each in ended} == {cause}
    assert tracker.is_stale
    assert len(tracker) == 1
    assert bool(caplog.records) == (cause is not None)
    # What comes in otherwise is still taken in.
    tracker.absorb(state(1, 100, close=True))
    assert (await order.filled()).quantity_fill == 100


async def test_a_client_that_is_closed_while_it_mends_is_an_orderly_end(autojump_clock: MockClock) -> None:
    world = World()
    world.failures = [trio.ClosedResourceError("the client is closed")]
    world.gap()
    await world.run()
    with pytest.raises(trio.ClosedResourceError):
        await world.tracker.absorb(state(1)).closed()


async def test_a_bug_in_what_reads_is_not_hidden(autojump_clock: MockClock) -> None:
    world = World()
    world.failures = [ZeroDivisionError()]
    world.gap()
    with pytest.raises(ZeroDivisionError):
        await world.run()
    with pytest.raises(trio.ClosedResourceError):
        await world.tracker.absorb(state(1)).closed()


async def test_it_may_be_cancelled_anywhere(autojump_clock: MockClock) -> None:
    """Nothing told before is lost, and those who wait learn that nothing more will come."""
    for step in range(1, 12):
        world = World()
        order = world.tracker.absorb(state(1))
        world.rest = {number(1): state(1, 50)}
        world.tell(origin=Origin.SNAPSHOT)
        world.gap()
        world.tell(state(1, 10))
        with trio.move_on_after(step), cancelled_at(step):
            await world.run()
        told = order.order
        with pytest.raises(trio.ClosedResourceError):
            await order.closed()
        assert order.order is told
        assert sum(each.quantity for each in order._fills) == told.quantity_fill


async def test_a_cancelled_refresh_keeps_what_was_read() -> None:
    for step in range(1, 6):
        world = World()
        tracker = world.tracker
        orders = [tracker.absorb(state(each)) for each in range(3)]
        world.rest = {number(each): state(each, 100, close=True) for each in range(3)}
        with cancelled_at(step):
            await tracker.refresh()
        read = sum(order_id is not None for _, order_id in world.reads)
        known = sum(not order.is_open for order in orders)
        assert known in (read, read - 1)
        await tracker.refresh()
        assert not len(tracker)


# -- entries that were not understood --------------------------------------------------------------


def odd(order: int | None) -> NotUnderstood:
    ids = {} if order is None else {"order_id": str(number(order))}
    return NotUnderstood(index=0, problem="missing at $.price", raw={}, ids=ids)


@pytest.mark.parametrize("origin", [Origin.LIVE, Origin.BACKFILL])
async def test_an_entry_that_was_not_understood_is_read_over_rest(
    autojump_clock: MockClock, origin: Origin
) -> None:
    """It was ignored: a cancelled order stayed open in the session for as long as nothing else came."""
    world = World()
    async with world.running(state(1), state(2)) as tracker:
        first, second = tracker.open()
        world.rest = {number(1): state(1, 30, close=True), number(2): state(2)}
        world.send.send_nowait(OrderUpdate(not_understood=(odd(1),), origin=origin))
        await settle()
        assert tracker.is_stale
        assert first.is_open, "nothing is made up"
        await first.closed()
        assert first.order.quantity_fill == 30
        await trio.sleep(5)
        assert list(tracker) == [second]
        assert not tracker.is_stale
        assert tracker.statistics().gaps == 1


@pytest.mark.parametrize("order", [None, 3], ids=["without an id", "an order that nobody knows"])
async def test_an_entry_that_may_be_a_new_order(autojump_clock: MockClock, order: int | None) -> None:
    world = World()
    async with world.running(state(1)) as tracker:
        world.rest = {number(1): state(1), number(3): state(3)}
        world.send.send_nowait(OrderUpdate(orders=(state(1, 5),), not_understood=(odd(order),)))
        await settle()
        assert tracker.open()[0].order.quantity_fill == 5, "its neighbors count at once"
        assert tracker.is_stale
        await trio.sleep(5)
        assert {each.order_id for each in tracker} == {number(1), number(3)}
        assert not tracker.is_stale


async def test_an_entry_about_a_closed_order_says_nothing_new(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(state(1), state(2, 100, close=True)) as tracker:
        world.send.send_nowait(OrderUpdate(not_understood=(odd(2),)))
        await trio.sleep(10)
        assert not tracker.is_stale
        assert not world.reads


async def test_while_rest_cannot_read_it_either_the_orders_are_stale(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(state(1)) as tracker:
        world.failures = [DecodeError("odd", path="$", frame="{}") for _ in range(3)]
        world.send.send_nowait(OrderUpdate(not_understood=(odd(1),)))
        await trio.sleep(4)
        assert tracker.is_stale
        world.rest = {number(1): state(1, 100, close=True)}
        await trio.sleep(60)
        assert not tracker.is_stale
        assert not list(tracker)
        assert tracker.statistics().failures == 3
