"""Pages against a model of the server: whatever the borders and the times, each item once and in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from o2trio._errors import ApiError, IncompletePages, InvalidRequest
from o2trio.models import Cursor, Identity, Order, OrderType, Side, Trade, normalize_id
from o2trio.rest import Pages
from o2trio.rest._arguments import cursor_of
from tests.rest.fake import OPTIONS, Answer, Fake, json_answer

Fetch = Callable[[Cursor | None], Awaitable[Sequence[Trade]]]


def trade(number: int, timestamp: int) -> Trade:
    return Trade(trade_id=f"m{number}/t", side=Side.BUY, price=1, quantity=1, timestamp=timestamp)


@attrs.frozen
class Server:
    """A list of trades in the order that is asked for, and how the server understands a cursor.

    `exact` finds the very item; otherwise everything of the cursor's moment comes again. `repeats` tells
    whether an exact server repeats the cursor's item. `cap` is the most the server ever sends.
    """

    trades: tuple[Trade, ...]
    count: int
    cap: int
    exact: bool
    repeats: bool

    async def __call__(self, cursor: Cursor | None) -> Sequence[Trade]:
        await trio.lowlevel.checkpoint()
        start = 0
        if cursor is not None:
            place = next(
                at
                for at, item in enumerate(self.trades)
                if item.timestamp == cursor.timestamp and (not self.exact or item.trade_id == cursor.id)
            )
            start = place + (self.exact and not self.repeats)
        return self.trades[start : start + min(self.count, self.cap)]


@st.composite
def servers(draw: st.DrawFn, *, exact: bool) -> Server:
    # Few moments, so that items share them across the borders of pages.
    times = sorted(draw(st.lists(st.integers(0, 6), max_size=40)), reverse=draw(st.booleans()))
    count = draw(st.integers(2, 7))
    return Server(
        trades=tuple(trade(number, time) for number, time in enumerate(times)),
        count=count,
        cap=draw(st.sampled_from([count, 50, 2])),
        exact=exact,
        repeats=draw(st.booleans()),
    )


def read(pages: Pages[Trade]) -> tuple[list[Trade], IncompletePages | None]:
    async def main() -> tuple[list[Trade], IncompletePages | None]:
        found: list[Trade] = []
        try:
            async for item in pages:
                found.append(item)  # noqa: PERF401 - what came before an error counts
        except IncompletePages as error:
            return found, error
        return found, None

    return trio.run(main)


def pages_of(
    server: Server, after: Cursor | None = None, known: Sequence[str] = (), most: int = 1000
) -> Pages[Trade]:
    return Pages(server, what="it", count=server.count, max_pages=most, after=after, known=known)


@given(servers(exact=True))
def test_each_item_comes_once_and_in_order(server: Server) -> None:
    assert read(pages_of(server)) == (list(server.trades), None)


@given(servers(exact=True), st.data())
def test_beginning_after_an_item(server: Server, data: st.DataObject) -> None:
    if server.trades:
        at = data.draw(st.integers(0, len(server.trades) - 1))
        known = data.draw(st.sets(st.sampled_from([item.trade_id for item in server.trades])))
        found, error = read(pages_of(server, Cursor.of(server.trades[at]), sorted(known)))
        assert error is None
        assert found == [item for item in server.trades[at + 1 :] if item.trade_id not in known]


@given(servers(exact=False))
def test_a_server_that_knows_moments_only(server: Server) -> None:
    """Nothing comes twice, and what could not be reached is never passed over in silence."""
    server = attrs.evolve(server, cap=server.count)
    found, error = read(pages_of(server))
    assert found == list(server.trades[: len(found)])
    if error is None:
        assert len(found) == len(server.trades)
    else:
        moments = [item.timestamp for item in server.trades]
        assert max(map(moments.count, moments)) >= server.count


@given(servers(exact=True), st.integers(1, 5))
def test_the_number_of_pages_is_bounded(server: Server, most: int) -> None:
    asked = 0

    async def count(cursor: Cursor | None) -> Sequence[Trade]:
        nonlocal asked
        asked += 1
        return await server(cursor)

    pages: Pages[Trade] = Pages(count, what="it", count=server.count, max_pages=most)
    found, error = read(pages)
    assert asked <= most
    assert found == list(server.trades[: len(found)])
    if error is None:
        assert len(found) == len(server.trades)
    else:
        assert "Options.max_pages" in str(error)
        assert error.cursor == Cursor.of(found[-1])
        # It can be taken up from there.
        assert read(pages_of(server, error.cursor))[0] == list(server.trades[len(found) :])


def test_a_server_that_ignores_the_cursor_is_found_out() -> None:
    items = tuple(trade(number, number) for number in range(5))

    async def first_page(cursor: Cursor | None) -> Sequence[Trade]:
        await trio.lowlevel.checkpoint()
        return items

    found, error = read(Pages(first_page, what="the list", count=5, max_pages=9))
    assert found == list(items)
    assert "the list could not be read to the end: a full page of 5 brought nothing new" in str(error)


async def test_a_failed_or_cancelled_page_is_asked_for_again(autojump_clock: MockClock) -> None:
    server = Server(tuple(trade(n, n // 3) for n in range(9)), 2, 50, exact=True, repeats=False)
    calls = 0

    async def flaky(cursor: Cursor | None) -> Sequence[Trade]:
        nonlocal calls
        calls += 1
        if calls % 3 == 1:
            raise ApiError("no", status=503)
        if calls % 3 == 2:
            await trio.sleep(10)
        return await server(cursor)

    pages: Pages[Trade] = Pages(flaky, what="it", count=2, max_pages=9)
    found: list[Trade] = []
    while True:
        try:
            with trio.move_on_after(1):
                found.append(await anext(pages))
        except ApiError:
            continue
        except StopAsyncIteration:
            break
    assert found == list(server.trades)
    with pytest.raises(StopAsyncIteration):
        await anext(pages)


async def test_one_task_at_a_time(autojump_clock: MockClock) -> None:
    async def slow(cursor: Cursor | None) -> Sequence[Trade]:
        await trio.sleep(1)
        return ()

    pages: Pages[Trade] = Pages(slow, what="it", count=2, max_pages=9)

    async def wait() -> None:
        with pytest.raises(StopAsyncIteration):
            await anext(pages)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(0.5)
        with pytest.raises(trio.BusyResourceError):
            await anext(pages)


def order(number: int, timestamp: int | None) -> Order:
    return Order(
        order_id=normalize_id(f"{number:064x}"), side=Side.BUY, order_type=OrderType("Spot"), price=1,
        quantity=1, timestamp=timestamp,
    )  # fmt: skip


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("items", [1, 2])
async def test_orders_without_a_time(timed: bool, items: int) -> None:
    """They come, and where the list goes on after them that is told."""
    orders = [order(number, number if timed else None) for number in range(items)]

    async def fetch(cursor: Cursor | None) -> Sequence[Order]:
        await trio.lowlevel.checkpoint()
        return orders if cursor is None else []

    pages: Pages[Order] = Pages(fetch, what="it", count=2, max_pages=9)
    assert [await anext(pages) for _ in orders] == orders
    with pytest.raises(StopAsyncIteration if timed or items < 2 else IncompletePages):
        await anext(pages)


def test_places() -> None:
    assert cursor_of(trade(1, 5)) == Cursor(5, "m1/t")
    assert cursor_of(order(1, 5)) == Cursor(5, f"0x{1:064x}")
    with pytest.raises(InvalidRequest, match="without a time"):
        cursor_of(order(1, None))


MARKET = "0x" + "a1" * 32
TRADES = [
    {"trade_id": f"m{n}/t", "side": "buy", "price": 1, "quantity": 1, "timestamp": n // 4} for n in range(11)
]


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_over_http(nursery: trio.Nursery, clock: MockClock, repeats: bool, direction: str) -> None:
    def answer(path: str, query: dict[str, str]) -> Answer:
        trades = TRADES if query["direction"] == "asc" else TRADES[::-1]
        start = 0
        if "start_trade_id" in query:
            place = [item["trade_id"] for item in trades].index(query["start_trade_id"])
            assert query["start_timestamp"] == str(trades[place]["timestamp"])
            start = place + (not repeats)
        return json_answer({"trades": trades[start : start + int(query["count"])]})

    fake = Fake(nursery, answer)
    async with fake.client() as rest:
        ids = [item.trade_id async for item in rest.iter_trades(MARKET, direction, count=3)]
        who = Identity.contract("c3" * 32)
        same = [item.trade_id async for item in rest.iter_trades(MARKET, direction, account=who)]
    assert ids == same == [f"m{n}/t" for n in (range(11) if direction == "asc" else reversed(range(11)))]
    assert {path for path, _ in fake.asked} == {"/v1/trades", "/v1/trades_by_account"}
    assert fake.dials == 1


async def test_the_named_limit(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"trades": TRADES[:2]}))
    async with fake.client(attrs.evolve(OPTIONS, max_pages=1)) as rest:
        with pytest.raises(IncompletePages, match="max_pages = 1 "):
            assert [item async for item in rest.iter_trades(MARKET)] == []
    assert len(fake.asked) == 1
