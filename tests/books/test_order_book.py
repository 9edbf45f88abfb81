"""Order books that keep themselves, against the simulator's own books."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal, localcontext
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ApiError,
    DepthBook,
    DepthChanges,
    InvalidRequest,
    O2Client,
    O2ConnectionLost,
    Options,
    Side,
    SubscriptionRejected,
    UnknownMarket,
    open_o2,
)
from o2trio._order_book import VERIFY_READS, BookDifference, BookLevel, OrderBook
from o2trio.simulator import Simulator, default_listings, open_simulator
from tests.streams.world import change

FUEL = "fFUEL/fUSDC"
FUEL_ONLY = default_listings()[:1]


@asynccontextmanager
async def world(
    *, flow: bool = False, options: Options | None = None
) -> AsyncGenerator[tuple[Simulator, O2Client]]:
    options = options or Options(jitter=lambda: 0.5)
    async with (
        open_simulator(markets=FUEL_ONLY, flow=flow, rate=50.0) as sim,
        open_o2(sim.network, options=options) as o2,
    ):
        yield sim, o2


def is_true(book: OrderBook, sim: Simulator, precision: int = 1) -> bool:
    # A plain answer: explaining how two whole books differ would take minutes.
    return book.raw.changes() == truth(sim, precision)


def truth(sim: Simulator, precision: int = 1) -> DepthChanges:
    return sim.exchange.book(sim.market(FUEL).market_id, precision)


async def test_the_book_follows_the_exchange(autojump_clock: MockClock) -> None:
    async with world(flow=True) as (sim, o2), o2.order_book(FUEL) as book:
        assert book.market == sim.market(FUEL)
        for _ in range(5):
            await trio.sleep(3)
            sim.pause_flow()
            await trio.sleep(1)
            assert is_true(book, sim)
            assert not book.is_stale
            sim.resume_flow()
        assert book.epoch == 0


async def test_views_are_decimals_in_whole_units(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL, precision=2) as book:
        market, real = sim.market(FUEL), truth(sim, 2)
        level = real.bids[0]
        assert book.best_bid == BookLevel(market.price(level.price), market.quantity(level.quantity))
        assert book.best_ask is not None
        assert [entry.price for entry in book.bids] == [market.price(level.price) for level in real.bids]
        assert book.levels(Side.SELL, 2) == book.asks[:2]
        assert book.spread == book.best_ask.price - book.best_bid.price
        assert book.mid == (book.best_ask.price + book.best_bid.price) / 2
        third = book.bids[2]
        assert book.volume_to(third.price) == sum(entry.quantity for entry in book.bids[:3])
        assert book.volume_to(book.asks[1].price) == sum(entry.quantity for entry in book.asks[:2])
        assert book.volume_to(book.mid) == 0
        assert book.volume_to("0") == sum(entry.quantity for entry in book.bids)
        first, second = book.asks[:2]
        average = book.vwap(Side.SELL, first.quantity + second.quantity)
        assert average is not None
        cost = first.quantity * first.price + second.quantity * second.price
        assert average == pytest.approx(cost / (first.quantity + second.quantity), rel=Decimal("1e-25"))
        assert book.vwap(Side.BUY, "1e15") is None


async def test_an_empty_side_has_no_best_no_middle_and_no_spread(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as book:
        gone = [(level.price, -level.quantity) for level in truth(sim).asks]
        sim.send_raw(change([], gone, market=sim.market(FUEL).market_id))
        await book.changed()
        assert (book.best_ask, book.mid, book.spread) == (None, None, None)
        assert book.asks == ()
        assert book.best_bid is not None


async def test_numbers_are_exact_whatever_the_users_decimal_context(autojump_clock: MockClock) -> None:
    async with world() as (_sim, o2), o2.order_book(FUEL) as book:
        seen = book.mid, book.spread, book.vwap(Side.BUY, "12345.678")
        with localcontext(prec=2):
            assert (book.mid, book.spread, book.vwap(Side.BUY, "12345.678")) == seen


async def test_two_looks_without_an_await_between_them_fit_together(autojump_clock: MockClock) -> None:
    async with world(flow=True) as (_sim, o2), o2.order_book(FUEL) as book:
        for _ in range(50):
            await book.changed()
            bids, asks = book.bids, book.asks
            assert book.best_bid == bids[0]
            assert book.best_ask == asks[0]
            assert len(book.raw) == len(bids) + len(asks)


async def test_the_book_is_the_one_that_the_stream_keeps_and_nobody_can_change_it(
    autojump_clock: MockClock,
) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as one, o2.order_book(FUEL) as other:
        raw = one.raw
        assert not hasattr(raw, "apply")
        sim.place(sim.create_account(), FUEL, "buy", price="0.0100", quantity="2000")
        await other.changed()
        assert is_true(other, sim)
        assert raw.best_bid == other.raw.best_bid
        assert [item.kind for item in sim.connections[0].subscriptions] == ["depth"]


# -- changed() -------------------------------------------------------------------------------------


async def test_changed_waits_for_a_change_and_never_misses_one(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as book:
        account = sim.create_account()
        with trio.move_on_after(5) as scope:
            await book.changed()
        assert scope.cancelled_caught, "entering the book is no change of it"
        before = book.volume_to("0.0100")
        for _ in range(3):
            sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
            await trio.sleep(1)
        # Three changes while nobody waited are one, and it is told at once.
        start = trio.current_time()
        await book.changed()
        assert trio.current_time() == start
        assert book.volume_to("0.0100") == before + 6000
        with trio.move_on_after(5) as scope:
            await book.changed()
        assert scope.cancelled_caught


async def test_a_cancelled_wait_loses_no_change(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as book:
        sim.place(sim.create_account(), FUEL, "buy", price="0.0100", quantity="2000")
        await trio.sleep(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await book.changed()
        assert scope.cancelled_caught
        start = trio.current_time()
        await book.changed()
        assert trio.current_time() == start


async def test_whoever_sees_every_change_sees_the_book_of_every_moment(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as book:
        account, seen = sim.create_account(), list[Decimal]()

        async def watch() -> None:
            while True:
                await book.changed()
                seen.append(book.volume_to("0.0100"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            start = book.volume_to("0.0100")
            for _ in range(5):
                sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
                await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        assert seen == [start + 2000 * n for n in range(1, 6)]


async def test_a_second_waiter_is_refused(autojump_clock: MockClock) -> None:
    async with world() as (_sim, o2), o2.order_book(FUEL) as book, trio.open_nursery() as nursery:
        nursery.start_soon(book.changed)
        await trio.sleep(1)
        with pytest.raises(trio.BusyResourceError, match="another task"):
            await book.changed()
        nursery.cancel_scope.cancel()


async def test_a_sleeper_costs_one_place_and_makes_no_copies(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(flow=True) as (_sim, o2), o2.order_book(FUEL) as book:
        monkeypatch.setattr(DepthBook, "changes", lambda self: pytest.fail("copied the book"))
        await trio.sleep(60)
        statistics = book._subscription.statistics()
        assert statistics.buffered == 1
        assert statistics.conflated > 500
        await book.changed()


# -- breaks ----------------------------------------------------------------------------------------


async def test_a_lost_connection_makes_the_book_stale_until_it_is_there_again(
    autojump_clock: MockClock,
) -> None:
    async with world(flow=True) as (sim, o2), o2.order_book(FUEL) as book:
        await trio.sleep(1)
        sim.pause_flow()
        await trio.sleep(1)
        await book.changed()
        last = book.bids[:5]
        sim.accept_and_drop(2)
        sim.drop_connections()
        sim.run_flow(50)
        with trio.fail_after(1):
            await book.changed()
        assert book.is_stale, "going stale is news"
        assert book.bids[:5] == last, "what was known last stays"
        assert book.epoch == 1
        with trio.fail_after(30):
            await book.changed()
        assert not book.is_stale
        assert is_true(book, sim)
        assert book.epoch == 1


async def test_a_broken_book_is_stale_while_it_is_fetched_afresh(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as book:
        sim.send_raw(change([(1, -5)], market=sim.market(FUEL).market_id))
        await book.changed()
        assert (book.is_stale, book.epoch) == (True, 1)
        await book.changed()
        assert (book.is_stale, book.epoch) == (False, 1)
        assert is_true(book, sim)


async def test_under_load_and_drops_every_book_ends_at_the_truth(autojump_clock: MockClock) -> None:
    async with world(flow=True) as (sim, o2), o2.order_book(FUEL) as fine, o2.order_book(FUEL, 4) as coarse:
        for _ in range(10):
            await trio.sleep(7)
            sim.drop_connections()
        sim.pause_flow()
        await trio.sleep(60)
        for book, precision in ((fine, 1), (coarse, 4)):
            assert is_true(book, sim, precision)
            assert not book.is_stale
            assert book.epoch > 5


async def test_the_streams_error_is_raised_when_it_is_over(autojump_clock: MockClock) -> None:
    options = Options(jitter=lambda: 0.5, max_attempts=2)
    async with world(options=options) as (sim, o2), o2.order_book(FUEL) as book:
        sim.refuse_handshakes(503)
        sim.drop_connections()
        await book.changed()
        for _ in range(2):
            with pytest.raises(O2ConnectionLost):
                await book.changed()
        assert book.is_stale
        assert book.best_bid is not None


async def test_closing_the_client_or_the_book_ends_the_wait(autojump_clock: MockClock) -> None:
    async with open_simulator(flow=False) as sim:
        async with open_o2(sim.network) as o2:
            stays = o2.order_book(FUEL)
            await stays.__aenter__()
            async with o2.order_book(FUEL) as book, trio.open_nursery() as nursery:

                async def wait() -> None:
                    with pytest.raises(trio.ClosedResourceError):
                        await book.changed()

                nursery.start_soon(wait)
                await trio.sleep(1)
                await book.aclose()
            assert book.is_stale
            with pytest.raises(trio.ClosedResourceError):
                await book.changed()
        with pytest.raises(trio.EndOfChannel):
            await stays.changed()
        assert stays.is_stale
        with pytest.raises(trio.ClosedResourceError):
            await book.__aenter__()


# -- entering --------------------------------------------------------------------------------------


async def test_what_cannot_be_raises_before_anything_is_sent(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2):
        nothing: Any = None
        with pytest.raises(InvalidRequest, match="a market is"):
            o2.order_book(nothing)
        with pytest.raises(InvalidRequest, match="precision"):
            o2.order_book(FUEL, precision=0)
        assert not sim.handshakes


async def test_a_book_that_was_not_entered_says_so(autojump_clock: MockClock) -> None:
    async with world() as (_sim, o2):
        book = o2.order_book(FUEL)
        assert book.is_stale
        for look in (lambda: book.best_bid, lambda: book.market, lambda: book.epoch, lambda: book.raw):
            with pytest.raises(InvalidRequest, match="enter it first"):
                look()
        with pytest.raises(InvalidRequest, match="enter it first"):
            await book.changed()


async def test_refusals_come_out_of_entering(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2):
        with pytest.raises(UnknownMarket):
            await o2.order_book("no/such").__aenter__()
        sim.reject_next_subscription(6002, "no")
        with pytest.raises(SubscriptionRejected):
            await o2.order_book(FUEL).__aenter__()


async def test_a_cancelled_entry_leaves_no_trace_and_can_be_repeated(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2):
        book = o2.order_book(sim.market(FUEL).market_id)
        sim.mute()
        with trio.move_on_after(1) as scope:
            await book.__aenter__()
        assert scope.cancelled_caught
        assert all(topic.consumers == 0 for topic in o2.statistics().topics)
        sim.unmute()
        async with book:
            assert is_true(book, sim)
            assert book.market.pair == FUEL


async def test_leaving_ends_the_server_subscription(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2):
        async with o2.order_book(FUEL):
            assert len(sim.connections[0].subscriptions) == 1
        await trio.sleep(1)
        assert not sim.connections[0].subscriptions


async def test_a_book_that_is_dropped_is_released(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2):
        book = o2.order_book(FUEL)
        await book.__aenter__()
        del book
        await trio.sleep(1)
        assert not sim.connections[0].subscriptions


# -- verify() --------------------------------------------------------------------------------------


def reads(sim: Simulator) -> int:
    return sum(request.target.startswith("/v1/depth") for request in sim.rest.requests)


async def test_a_still_book_agrees_at_the_first_read(autojump_clock: MockClock) -> None:
    async with world() as (_sim, o2), o2.order_book(FUEL, precision=3) as book:
        report = await book.verify()
        assert report.agrees
        assert (report.reads, report.differences, report.is_stale) == (1, (), False)


async def test_a_moving_book_agrees_although_rest_lags(autojump_clock: MockClock) -> None:
    async with world(flow=True) as (sim, o2), o2.order_book(FUEL) as book:
        sim.rest.stale(400, path="/v1/depth")
        await trio.sleep(5)
        reports = [await book.verify() for _ in range(10)]
        assert all(report.agrees for report in reports)
        assert max(report.reads for report in reports) > 1, "a single read would have cried wolf"


async def test_a_wrong_level_is_found_and_named(autojump_clock: MockClock) -> None:
    async with world(flow=True) as (sim, o2), o2.order_book(FUEL) as book:
        market = sim.market(FUEL)
        price = market.raw_price("0.0100")
        sim.place(sim.create_account(), FUEL, "buy", price="0.0100", quantity="2000")
        await trio.sleep(1)
        before = reads(sim)
        # A lie of the stream: it takes 7 from a level that nobody touches.
        sim.send_raw(change([(price, -7)], market=market.market_id))
        await trio.sleep(1)
        report = await book.verify()
        assert not report.agrees
        (found,) = report.differences
        assert (found.side, found.price, found.book) == (Side.BUY, price, found.rest - 7)
        assert report.reads == VERIFY_READS == reads(sim) - before


async def test_a_level_too_many_has_size_zero_on_the_other_side(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as book:
        sim.send_raw(change([(10, 3)], market=sim.market(FUEL).market_id))
        await book.changed()
        assert (await book.verify()).differences == (BookDifference(Side.BUY, 10, 3, 0),)


async def test_a_stale_book_never_agrees(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as book:
        sim.refuse_handshakes(503)
        sim.drop_connections()
        await book.changed()
        report = await book.verify()
        assert report.is_stale
        assert not report.agrees
        sim.accept_handshakes()


async def test_a_book_that_comes_back_during_the_comparison_is_compared_afresh(
    autojump_clock: MockClock,
) -> None:
    async with world(options=Options(jitter=lambda: 0.5)) as (sim, o2), o2.order_book(FUEL) as book:
        sim.drop_connections()
        sim.run_flow(200)
        await book.changed()
        report = await book.verify()
        assert report.agrees
        assert report.reads > 1


async def test_an_error_of_rest_is_raised(autojump_clock: MockClock) -> None:
    async with world() as (sim, o2), o2.order_book(FUEL) as book:
        sim.rest.fail(400, path="/v1/depth")
        with pytest.raises(ApiError):
            await book.verify()
