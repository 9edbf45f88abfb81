"""Spot and Turbo: what is asked for, and that an answer of the other venue is not taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import models as m
from o2trio._errors import DecodeError, MarketUnreadable, WrongVenue
from o2trio.rest import RestClient
from tests.rest.fake import Fake, json_answer

MARKET = m.normalize_id("a1" * 32)
ACCOUNT = m.Identity.contract("c3" * 32)
ORDER = {
    "order_id": "0x" + "0d" * 32,
    "side": "buy",
    "order_type": "Spot",
    "price": "5",
    "quantity": "9",
    "timestamp": "1764000000",
    "close": False,
}
TRADE = {"trade_id": "11", "side": "buy", "price": "2", "quantity": "3", "total": "6", "timestamp": 1}
BAR = {"timestamp": 1_700_000_000_000, "open": "1", "high": "1", "low": "1", "close": "1"}
BOOK = {"buys": [{"price": "2", "quantity": "3"}], "sells": []}
ASSET = {"symbol": "A", "asset": "0x" + "01" * 32, "decimals": 9, "max_precision": 9}
LISTED = {"market_id": MARKET, "contract_id": "0x" + "c1" * 32, "base": ASSET, "quote": ASSET}

Read = Callable[[RestClient, bool], Awaitable[Any]]


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.fixture
def ask(nursery: trio.Nursery, clock: MockClock) -> Callable[..., Awaitable[Any]]:
    """Ask once; give the result and what was asked."""

    async def ask(read: Read, answer: Any, *, turbo: bool) -> tuple[Any, tuple[str, dict[str, str]]]:
        fake = Fake(nursery, lambda *_: json_answer(answer))
        async with fake.client() as rest:
            result = await read(rest, turbo)
        (asked,) = fake.asked
        return result, asked

    return ask


async def _first_trade(rest: RestClient, turbo: bool) -> m.Trade:
    return await anext(rest.iter_trades(MARKET, account=ACCOUNT, turbo=turbo))


async def _first_order(rest: RestClient, turbo: bool) -> m.Order:
    return await anext(rest.iter_orders(MARKET, ACCOUNT, turbo=turbo))


Row = dict[str, Any]
Wrap = Callable[[Row], Any]
LISTS: dict[str, tuple[str, Read, str, Row]] = {
    "markets": ("/v1/markets", lambda rest, turbo: rest.markets(turbo=turbo), "markets", LISTED),
    "trades": ("/v1/trades", lambda rest, turbo: rest.trades(MARKET, turbo=turbo), "trades", TRADE),
    "trades by account": (
        "/v1/trades_by_account",
        lambda rest, turbo: rest.trades_by_account(MARKET, ACCOUNT, turbo=turbo),
        "trades",
        TRADE,
    ),
    "bars": (
        "/v1/bars",
        lambda rest, turbo: rest.bars(MARKET, "1m", end=0, count_back=1, turbo=turbo),
        "bars",
        BAR,
    ),
    "orders": ("/v1/orders", lambda rest, turbo: rest.orders(MARKET, ACCOUNT, turbo=turbo), "orders", ORDER),
    "active orders": (
        "/v1/orders/active",
        lambda rest, turbo: rest.active_orders(MARKET, ACCOUNT, turbo=turbo),
        "entries",
        {"kind": "order", "order_id": ORDER["order_id"]},
    ),
}
ONES: dict[str, tuple[str, Read, Wrap, Row]] = {
    "depth": (
        "/v1/depth",
        lambda rest, turbo: rest.depth(MARKET, turbo=turbo),
        lambda b: {"orders": b},
        BOOK,
    ),
    "depth, bare": ("/v1/depth", lambda rest, turbo: rest.depth(MARKET, turbo=turbo), lambda b: b, BOOK),
    "order": (
        "/v1/order",
        lambda rest, turbo: rest.order(MARKET, str(ORDER["order_id"]), turbo=turbo),
        lambda order: {"order": order},
        ORDER,
    ),
    "summary": (
        "/v1/markets/summary",
        lambda rest, turbo: rest.summary(MARKET, turbo=turbo),
        lambda row: [row],
        {"market_id": MARKET, "last_price": "1"},
    ),
    "ticker": (
        "/v1/markets/ticker",
        lambda rest, turbo: rest.ticker(MARKET, turbo=turbo),
        lambda row: row,
        {"last": "1"},
    ),
}


async def test_rest_turbo_depth(ask: Any) -> None:
    answer = {"turbo": True, "orders": {"buys": [], "sells": []}}
    with pytest.raises(WrongVenue, match="expected an answer about the spot venue"):
        await ask(lambda rest, _: rest.depth(MARKET), answer, turbo=False)
    assert issubclass(WrongVenue, DecodeError)


ALL: dict[str, tuple[str, Read, str | Wrap, Row]] = {**LISTS, **ONES}


@pytest.mark.parametrize("name", ALL)
async def test_only_turbo_is_named_in_the_query(ask: Any, name: str) -> None:
    path, read, wrap, row = ALL[name]
    for turbo in (False, True):
        row = {**row, "turbo": turbo}
        answer = wrap(row) if callable(wrap) else {wrap: [row]}
        _, (asked, query) = await ask(read, answer, turbo=turbo)
        assert asked == path
        assert query.get("turbo") == ("true" if turbo else None)
        assert query.get("view") == ("demand" if turbo and path == "/v1/depth" else None)


@pytest.mark.parametrize("turbo", [False, True])
@pytest.mark.parametrize("name", ONES)
async def test_one_answer_about_the_other_venue_is_refused(ask: Any, name: str, turbo: bool) -> None:
    _, read, wrap, content = ONES[name]
    row = wrap({**content, "turbo": turbo})
    await ask(read, row, turbo=turbo)
    await ask(read, {"data": row}, turbo=turbo)
    others: list[Any] = [wrap({**content, "turbo": not turbo}), wrap({**content, "turbo": "?"})]
    if isinstance(wrap(content), dict):
        await ask(read, {**wrap(content), "turbo": turbo}, turbo=turbo)
        others.append({**wrap(content), "turbo": not turbo})
        others.append({"turbo": not turbo, "data": wrap(content)})
    if turbo:
        others.append(wrap(content))  # nothing says that it is about Turbo
    for other in others:
        with pytest.raises(WrongVenue, match=r"venue.* at \$"):
            await ask(read, other, turbo=turbo)


def read_rows(result: Any) -> tuple[int, tuple[m.NotUnderstood, ...]]:
    if isinstance(result, m.Markets):
        return len(result), result.unreadable
    return len(result), result.not_understood


@pytest.mark.parametrize("turbo", [False, True])
@pytest.mark.parametrize("name", LISTS)
async def test_rows_of_the_other_venue_are_not_understood(ask: Any, name: str, turbo: bool) -> None:
    _, read, key, row = LISTS[name]
    ours, theirs = {**row, "turbo": turbo}, {**row, "turbo": not turbo}
    result, _ = await ask(read, {key: [theirs, ours, {**row, "turbo": "odd"}]}, turbo=turbo)
    count, unreadable = read_rows(result)
    assert count == 1
    assert [entry.index for entry in unreadable] == [0, 2]
    venue = "Turbo" if turbo else "spot"
    problem = f"it is not marked as one of the {venue} venue at $.turbo"
    assert unreadable[0].problem == problem
    assert unreadable[1].problem.endswith(" at $.turbo")


@pytest.mark.parametrize("turbo", [False, True])
@pytest.mark.parametrize("name", LISTS)
async def test_a_whole_list_of_the_other_venue_is_refused(ask: Any, name: str, turbo: bool) -> None:
    _, read, key, row = LISTS[name]
    result, _ = await ask(read, {key: [row], "turbo": turbo}, turbo=turbo)
    assert read_rows(result) == (1, ())
    for answer in ({key: [row], "turbo": not turbo}, {"turbo": not turbo, "data": [row]}):
        with pytest.raises(WrongVenue):
            await ask(read, answer, turbo=turbo)


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_without_marks_is_one_of_spot(ask: Any, name: str) -> None:
    """An older server ignores ``turbo=true`` and answers about spot."""
    _, read, key, row = LISTS[name]
    assert read_rows((await ask(read, {key: [row]}, turbo=False))[0]) == (1, ())
    with pytest.raises(WrongVenue, match="nothing in the answer says that it is about the Turbo venue"):
        await ask(read, {key: [row]}, turbo=True)
    assert read_rows((await ask(read, {key: []}, turbo=True))[0]) == (0, ())
    # Bare rows of trades and bars have no place for a mark.
    if key in {"trades", "bars"}:
        assert read_rows((await ask(read, [row], turbo=True))[0]) == (1, ())
        assert read_rows((await ask(read, {"data": [row], "turbo": True}, turbo=True))[0]) == (1, ())
    else:
        with pytest.raises(WrongVenue):
            await ask(read, [row], turbo=True)


@pytest.mark.parametrize("read", [_first_trade, _first_order])
async def test_iterators_ask_for_the_venue(ask: Any, read: Read) -> None:
    key, row = ("trades", TRADE) if read is _first_trade else ("orders", ORDER)
    for turbo in (False, True):
        found, (_, query) = await ask(read, {"turbo": turbo, key: [row]}, turbo=turbo)
        assert found.price
        assert query.get("turbo") == ("true" if turbo else None)


async def test_summaries_of_a_venue(ask: Any) -> None:
    rows = [{"market_id": MARKET, "turbo": True}, {"market_id": "b2" * 32}]
    found, (_, query) = await ask(lambda rest, turbo: rest.summaries(turbo=turbo), rows, turbo=True)
    assert read_rows(found)[0] == 1
    assert query == {"turbo": "true"}


async def test_both_venues_in_one_answer(ask: Any) -> None:
    """The same market id on both venues: each read finds its own."""
    rows = [{"market_id": MARKET, "last": "1", "turbo": True}, {"market_id": MARKET, "last": "2"}]
    spot, _ = await ask(lambda rest, turbo: rest.ticker(MARKET, turbo=turbo), rows, turbo=False)
    turbo, _ = await ask(lambda rest, turbo: rest.ticker(MARKET, turbo=turbo), rows, turbo=True)
    assert (spot.last, turbo.last) == (2, 1)
    markets, _ = await ask(
        lambda rest, _: rest.markets(), {"markets": [{**LISTED, "turbo": True}, LISTED]}, turbo=False
    )
    assert markets.find("A/A") is markets.markets[0]
    only, _ = await ask(lambda rest, _: rest.markets(), {"markets": [{**LISTED, "turbo": True}]}, turbo=False)
    with pytest.raises(MarketUnreadable, match="spot venue"):
        only.find("A/A")


# -- the market ------------------------------------------------------------------------------------

OTHER = "0x" + "A2" * 32
MARKET_LISTS = {name: case for name, case in LISTS.items() if name != "markets"}


@pytest.mark.parametrize("name", MARKET_LISTS)
async def test_rest_rows_of_another_market_are_not_taken(ask: Any, name: str) -> None:
    _, read, key, row = MARKET_LISTS[name]
    with pytest.raises(DecodeError, match=r"not about 0xa2a2.* at \$\.market_id"):
        await ask(read, {"market_id": OTHER, key: [row]}, turbo=False)
    same = {**row, "market_id": MARKET.removeprefix("0x").upper()}
    rows, _ = await ask(read, {key: [row, {**row, "market_id": OTHER}, same]}, turbo=False)
    assert len(rows) == 2
    (foreign,) = rows.not_understood
    assert foreign.index == 1
    assert "not about 0xa2a2" in foreign.problem


@pytest.mark.parametrize("name", ["depth", "order"])
async def test_rest_an_answer_about_another_market_is_not_taken(ask: Any, name: str) -> None:
    _, read, wrap, row = ONES[name]
    for answer in (
        {**wrap(row), "market_id": OTHER},
        wrap({**row, "market_id": OTHER}),
        {"data": wrap(row), "market_id": OTHER},
    ):
        with pytest.raises(DecodeError, match=r"not about 0xa2a2.* at \$\.market_id"):
            await ask(read, answer, turbo=False)
    await ask(read, {**wrap(row), "market_id": MARKET.removeprefix("0x").upper()}, turbo=False)
