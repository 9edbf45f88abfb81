"""One time for a repair, however many accounts and markets there are and however often it is interrupted.

The naive repair gives each of its reads that time, one after the other, and holds live items until all have
ended: it takes minutes, or never ends where connections live for less.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import O2Client, Options, Origin, TopicRestored, open_o2
from o2trio.models import Id, OrderUpdate
from o2trio.simulator import Account, Listing, Simulator, default_listings, listing, open_simulator

FUEL = "fFUEL/fUSDC"
OPTIONS = Options(jitter=lambda: 0.5)
HEARTBEAT_SLACK = 0.5
"""Before a state is delivered, one more heartbeat is answered, and looked for every tenth of a second."""
BOUND = OPTIONS.indexer_lag + OPTIONS.repair_timeout + HEARTBEAT_SLACK
QUICK = OPTIONS.indexer_lag + 2.0
"""A live order waits until its own part of the state has been read, not for the rest of it."""


def many_markets(count: int) -> tuple[Listing, ...]:
    """Return so many markets with one quote asset; the first is fFUEL/fUSDC."""
    first, *_ = default_listings()
    base, quote = first.market.base, first.market.quote
    others = [
        attrs.evolve(base, symbol=f"f{number}", asset=Id(f"0x{number:064x}")) for number in range(1, count)
    ]
    return (first, *(listing(other, quote, price="0.0251", value=150) for other in others))


class Scene:
    """Accounts of a simulator, and all that the stream of their orders brings, with its time."""

    def __init__(self, sim: Simulator, o2: O2Client, accounts: Sequence[Account]) -> None:
        self.sim, self.o2, self.accounts = sim, o2, accounts
        self.updates: list[tuple[float, OrderUpdate]] = []
        self.restored: list[TopicRestored] = []

    async def follow(self, *, seed: bool, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with self.o2.stream_orders([each.info for each in self.accounts], seed=seed) as stream:
            task_status.started()
            async for update in stream:
                self.updates.append((trio.current_time(), update))

    async def hear(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with self.o2.events() as events:
            task_status.started()
            async for event in events:
                if isinstance(event, TopicRestored):
                    self.restored.append(event)

    def place(self, account: Account, pair: str = FUEL) -> str:
        """Place an order that rests on the book; return its id."""
        return self.sim.place(account, pair, "buy", price="0.0100", quantity="2000").order_id

    def came(self, order_id: str) -> tuple[float, Origin]:
        """Return when and how the news of an order came first."""
        return next(
            (time, update.origin)
            for time, update in self.updates
            if any(order.order_id == order_id for order in update.orders)
        )

    def word_of(self, order_id: str, placed: float) -> float:
        """Return when the news of an order came, or a mark of what was missed at the time."""
        return next(
            time
            for time, update in self.updates
            if any(order.order_id == order_id for order in update.orders)
            or (update.gap is not None and update.gap.since <= placed <= update.gap.until)
        )

    def marks(self) -> list[Any]:
        return [update.gap for _, update in self.updates if update.gap is not None]

    async def until(self, is_so: Callable[[], object], seconds: float = 200.0) -> float:
        """Wait until something is so; return when that was."""
        with trio.fail_after(seconds):
            while True:
                if is_so():
                    return trio.current_time()
                await trio.sleep(0.05)

    async def break_off(self, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Lose the connection for so many seconds and a little more."""
        self.sim.refuse_handshakes(503)
        self.sim.drop_connections()
        await trio.sleep(0.1)
        meanwhile()
        await trio.sleep(seconds)
        self.sim.accept_handshakes()
        await self.until(lambda: any(self.o2.statistics().connections.values()))


@asynccontextmanager
async def scene(
    markets: int, accounts: int, options: Options = OPTIONS, *, seed: bool = False, quiet: float = 90.0
) -> AsyncIterator[Scene]:
    """Follow the orders of accounts; by default long enough for the beginning to be known."""
    async with (
        open_simulator(seed=5, flow=False, markets=many_markets(markets)) as sim,
        open_o2(sim.network, options=options) as o2,
        trio.open_nursery() as nursery,
    ):
        at = Scene(sim, o2, [sim.create_account() for _ in range(accounts)])
        await nursery.start(at.hear)
        await nursery.start(lambda task_status: at.follow(seed=seed, task_status=task_status))
        await trio.sleep(quiet)
        yield at
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("accounts", [1, 10])
async def test_three_markets_that_answer_in_9_s_are_repaired_in_time(
    autojump_clock: MockClock, accounts: int
) -> None:
    """It took 57 s for one account and 543 s for ten."""
    async with scene(3, accounts) as at:
        missed: list[str] = []
        at.sim.rest.slow(9.0)
        await at.break_off(1.0, lambda: missed.extend(at.place(each) for each in at.accounts))
        start = trio.current_time()
        live = [at.place(each) for each in at.accounts]
        end = await at.until(lambda: at.restored)
        assert end - start <= BOUND
        await trio.sleep(0.1)
        assert all(at.came(order_id)[0] - start <= BOUND for order_id in live)
        assert at.marks() == [], "side by side there is time enough"
        assert {at.came(order_id)[1] for order_id in missed} == {Origin.BACKFILL}
        assert {at.came(order_id)[1] for order_id in live} == {Origin.LIVE}


async def test_a_live_order_of_60_markets_and_10_accounts_does_not_wait_for_all_of_them(
    autojump_clock: MockClock,
) -> None:
    """It came 52 s late, after 1,202 reads."""
    async with scene(60, 10) as at:
        before = len(at.sim.rest.requests)
        missed: list[str] = []
        await at.break_off(1.0, lambda: missed.append(at.place(at.accounts[3])))
        start = trio.current_time()
        live = at.place(at.accounts[-1], at.sim.exchange.markets.markets[-1].pair)
        end = await at.until(lambda: at.restored)
        assert end - start <= BOUND
        assert at.came(live)[0] - start <= QUICK
        assert at.came(live)[1] is Origin.LIVE
        assert at.came(missed[0])[1] is Origin.BACKFILL or at.marks()
        assert len(at.sim.rest.requests) - before <= 600, "one for each account and market at most"


async def test_what_could_not_be_read_in_time_is_named_and_the_rest_delivered(
    autojump_clock: MockClock,
) -> None:
    async with scene(60, 10) as at:
        known = [
            at.place(each, market.pair) for each, market in zip(at.accounts, _markets(at)[7:], strict=False)
        ]
        await trio.sleep(1)
        at.updates.clear()
        missed: list[str] = []
        await at.break_off(
            1.0,
            lambda: missed.extend(
                at.place(each, market.pair)
                for each, market in zip(at.accounts, _markets(at)[7:], strict=False)
            ),
        )
        await at.until(lambda: at.restored)
        await trio.sleep(0.1)
        # Where orders were known to be, it was read first.
        assert {at.came(order_id)[1] for order_id in missed} == {Origin.BACKFILL}
        assert len(known) == len(missed) == 10
        (mark,) = at.marks()
        assert "of 600: fFUEL" in mark.reason or "of 600: f" in mark.reason
        assert " of ContractId(0x" in mark.reason
        assert "more" in mark.reason
        assert len(mark.reason) < 1000


def _markets(at: Scene) -> Any:
    return at.sim.exchange.markets.markets


@pytest.mark.parametrize(("every", "count"), [(45.0, 80), (15.0, 20), (4.0, 20)])
@pytest.mark.parametrize("size", [(12, 5), (3, 1)], ids=["more than can be read", "little"])
async def test_reconnections_for_an_hour_leave_no_order_without_a_word(
    autojump_clock: MockClock, size: tuple[int, int], every: float, count: int
) -> None:
    """With one every 45 s, 1 of 80 orders was delivered, and none marked."""
    # As 60 markets and 10 accounts with 20 reads a second, which takes half of this for an age.
    options = attrs.evolve(OPTIONS, reads_per_second=2, backoff_cap=2.0)
    dice = random.Random(3)
    placed: dict[str, float] = {}
    async with scene(*size, options) as at:

        async def trade() -> None:
            while len(placed) < count:
                await trio.sleep(43 * (0.5 + dice.random()))
                order = at.place(dice.choice(at.accounts), dice.choice(at.sim.exchange.markets.markets).pair)
                placed[order] = trio.current_time()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trade)
            while len(placed) < count:
                at.sim.drop_connections()
                await trio.sleep(every)
        await trio.sleep(60)
        silence = [at.word_of(order, time) - time for order, time in placed.items()]
        # The connection may be down, the repair be interrupted for as long as it has time in all, and go on.
        assert max(silence) <= 2 * (BOUND + every)
        told = {order.order_id for _, update in at.updates for order in update.orders}
        assert len(told.intersection(placed)) >= count * 0.2


async def test_live_orders_come_at_once_however_often_the_connection_is_lost(
    autojump_clock: MockClock,
) -> None:
    options = attrs.evolve(OPTIONS, backoff_cap=1.0)
    async with scene(3, 2, options) as at:
        for _ in range(30):
            at.sim.drop_connections()
            await at.until(lambda: any(at.o2.statistics().connections.values()))
            await trio.sleep(0.5)
            start = trio.current_time()
            order = at.place(at.accounts[0])
            await trio.sleep(14)
            assert at.came(order)[0] - start <= QUICK


# -- the time of a repair --------------------------------------------------------------------------


async def test_a_repair_whose_epoch_is_over_stops_reading_at_once(autojump_clock: MockClock) -> None:
    async with scene(30, 5) as at:
        at.sim.rest.slow(3.0)
        at.sim.drop_connections()
        await at.until(lambda: any(at.o2.statistics().connections.values()))
        await trio.sleep(6)
        at.sim.refuse_handshakes(503)
        at.sim.drop_connections()
        await trio.sleep(0.1)
        before = len(at.sim.rest.requests)
        await trio.sleep(30)
        assert len(at.sim.rest.requests) == before
        assert at.o2.statistics().topics[0].breaks == 2


async def test_at_most_so_many_reads_are_under_way(autojump_clock: MockClock) -> None:
    async with scene(20, 5, attrs.evolve(OPTIONS, repair_concurrency=3), quiet=150) as at:
        at.sim.rest.slow(2.0)
        before = len(at.sim.rest.requests)
        at.sim.drop_connections()
        await at.until(lambda: any(at.o2.statistics().connections.values()))
        await trio.sleep(OPTIONS.indexer_lag + 7)
        # Each takes two seconds: three waves have gone, and a fourth is under way.
        assert 9 <= len(at.sim.rest.requests) - before <= 12


async def test_the_beginning_of_a_stream_is_there_in_time_with_what_could_be_read(
    autojump_clock: MockClock,
) -> None:
    """A state of which a part is missing: the mark first, then what is known."""
    options = attrs.evolve(OPTIONS, reads_per_second=2)
    async with scene(12, 5, options, seed=True, quiet=0) as at:
        known = {at.place(each) for each in at.accounts}
        await trio.sleep(BOUND)
        assert at.updates
        (_, mark), *rest = at.updates
        assert mark.gap is not None
        assert "of 60" in mark.gap.reason
        assert {update.origin for _, update in rest} <= {Origin.BACKFILL, Origin.LIVE}
        assert known <= {order.order_id for _, update in rest for order in update.orders}
        # The rest is read without anybody waiting for it: the next break heals.
        await trio.sleep(60)
        at.updates.clear()
        requests = len(at.sim.rest.requests)
        await trio.sleep(60)
        assert len(at.sim.rest.requests) == requests, "all is known"
