"""Rows of an answer are independent, and what cannot be read is never lost without a mark."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import models as m
from o2trio._errors import DecodeError, IncompletePages, MarketUnreadable, UnknownMarket
from o2trio.rest import Pages, RestClient
from o2trio.rest._verdicts import Answered
from o2trio.wire import OddField
from tests.rest.fake import OPTIONS, Answer, Fake, json_answer

MARKET = m.normalize_id("a1" * 32)
OTHER = m.normalize_id("b2" * 32)
ACCOUNT = m.Identity.contract("c3" * 32)
ORDER_ID = m.normalize_id("0d" * 32)
TX = "0x" + "7f" * 32
ACTIONS = "/v1/session/actions"
TRADE = {"trade_id": "11", "side": "buy", "price": "2", "quantity": "3", "total": "6", "timestamp": "7"}
ORDER = {
    "order_id": ORDER_ID,
    "side": "buy",
    "order_type": "Spot",
    "price": "5",
    "quantity": "9",
    "quantity_fill": "0",
    "price_fill": "0",
    "timestamp": "1764000000",
    "close": False,
    "cancel": False,
}
BAR = {
    "timestamp": 1_700_000_000_000,
    "open": "1",
    "high": "1",
    "low": "1",
    "close": "1",
    "buy_volume": "0",
    "sell_volume": "0",
}


def asset(symbol: Any, number: int) -> dict[str, Any]:
    return {"symbol": symbol, "asset": f"0x{number:064x}", "decimals": 9, "max_precision": 9}


def listed(base: str, number: int) -> dict[str, Any]:
    return {
        "contract_id": f"0x{number:062x}c1",
        "market_id": f"0x{number:062x}a1",
        "maker_fee": "0",
        "taker_fee": "0",
        "min_order": "1",
        "dust": "0",
        "price_window": 0,
        "base": asset(base, number),
        "quote": asset("USDC", 99),
    }


Read = Callable[[RestClient], Awaitable[Any]]


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.fixture
def ask(nursery: trio.Nursery, clock: MockClock) -> Callable[..., Awaitable[Any]]:
    async def ask(read: Read, answer: Any) -> Any:
        fake = Fake(nursery, lambda *_: json_answer(answer))
        async with fake.client() as rest:
            return await read(rest)

    return ask


# -- every list ----------------------------------------------------------------------------------------

LISTS: dict[str, tuple[Read, Any, Any]] = {
    "trades": (lambda rest: rest.trades(MARKET), TRADE, {**TRADE, "price": {}}),
    "trades by account": (
        lambda rest: rest.trades_by_account(MARKET, ACCOUNT),
        TRADE,
        {key: value for key, value in TRADE.items() if key != "quantity"},
    ),
    "orders": (lambda rest: rest.orders(MARKET, ACCOUNT), ORDER, {**ORDER, "quantity": {"Quantity": "5"}}),
    "active orders": (
        lambda rest: rest.active_orders(MARKET, ACCOUNT),
        {"kind": "order", "order_id": ORDER_ID},
        {"kind": "order", "order_id": "odd"},
    ),
    "bars": (lambda rest: rest.bars(MARKET, "1m", end=0, count_back=1), BAR, {**BAR, "open": "?"}),
    "summaries": (
        lambda rest: rest.summaries(),
        {"market_id": MARKET, "last_price": "1"},
        {"market_id": "odd", "last_price": "1"},
    ),
    "aggregated assets": (lambda rest: rest.aggregated_assets(), {"symbol": "A"}, {"symbol": 5}),
    "aggregated summary": (
        lambda rest: rest.aggregated_summary(),
        {"trading_pairs": "A_B"},
        {"trading_pairs": None},
    ),
    "aggregated ticker": (lambda rest: rest.aggregated_ticker(), {"market_pair": "A_B"}, {"market_pair": 5}),
    "aggregated trades": (
        lambda rest: rest.aggregated_trades("A_B"),
        {"trade_id": "1", "price": 1, "base_volume": 1, "quote_volume": 1, "timestamp": 1, "type": "buy"},
        {"trade_id": "1", "price": 1, "base_volume": 1, "quote_volume": 1, "timestamp": 1, "type": "swap"},
    ),
    "coingecko tickers": (lambda rest: rest.coingecko_tickers(), {"ticker_id": "A_B"}, {"ticker_id": 5}),
}


@pytest.mark.parametrize("bad", ["as it is", "not an object", "null"])
@pytest.mark.parametrize("name", LISTS)
async def test_a_row_that_cannot_be_read_costs_no_other(ask: Any, name: str, bad: str) -> None:
    read, good, broken = LISTS[name]
    broken = {"as it is": broken, "not an object": "odd", "null": None}[bad]
    whole = await ask(read, [good])
    rows = await ask(read, [good, broken, good])
    assert isinstance(rows, m.Rows)
    assert rows == (*whole, *whole)
    (entry,) = rows.not_understood
    assert entry.index == 1
    assert entry.problem
    assert entry.raw == broken


async def test_what_is_unreadable_is_reported(
    nursery: trio.Nursery, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    fake = Fake(nursery, lambda *_: json_answer([TRADE, {**TRADE, "price": None}, 5]))
    heard: list[tuple[str, Sequence[m.NotUnderstood]]] = []
    async with fake.client() as rest:
        with caplog.at_level(logging.WARNING, "o2trio"):
            rows = await rest.trades(MARKET)
        rest.on_unreadable = lambda *said: heard.append(said)
        assert await rest.trades(MARKET) == rows
    assert heard == [("GET /v1/trades", rows.not_understood)]
    assert [entry.index for entry in rows.not_understood] == [1, 2]
    (record,) = caplog.records
    assert "GET /v1/trades: 2 entries were not understood" in record.getMessage()


async def test_what_is_odd_is_reported(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer([TRADE, {**TRADE, "total": "six", "maker": 5}]))
    heard: list[tuple[OddField, ...]] = []
    async with fake.client() as rest:
        rest.on_odd = heard.append
        plain, odd = await rest.trades(MARKET)
    assert (plain.total, odd.total, odd.maker) == (6, None, None)
    assert dict(odd.unread) == {"total": "six", "maker": 5}
    (fields,) = heard
    assert {field.field for field in fields} == {"Trade.total", "Trade.maker"}


async def test_a_list_that_is_none_is_an_error(ask: Any) -> None:
    for name, answer in (("trades", {"trades": None}), ("orders", {}), ("bars", "no"), ("summaries", None)):
        with pytest.raises(DecodeError, match="expected a list"):
            await ask(LISTS[name][0], answer)


async def test_bars_in_seconds(ask: Any) -> None:
    november = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    for time in (1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 1_700_000_000 * 10**9):
        for sent in (time, str(time)):
            (bar,) = await ask(LISTS["bars"][0], [{**BAR, "timestamp": sent}])
            assert (bar.timestamp, bar.time) == (1_700_000_000_000, november)


async def test_bars_of_two_units_are_in_order(ask: Any) -> None:
    times = [1_700_000_120_000, 1_700_000_000, 1_700_000_060_000_000]
    bars = await ask(LISTS["bars"][0], [{**BAR, "timestamp": time} for time in times])
    assert [bar.timestamp % 1_000_000 for bar in bars] == [0, 60_000, 120_000]


# -- markets -------------------------------------------------------------------------------------------


async def read_markets(ask: Any, *rows: Any) -> m.Markets:
    found = await ask(lambda rest: rest.markets(), {"markets": rows, "chain_id": "0x5"})
    assert isinstance(found, m.Markets)
    return found


async def test_market_negative_fee(ask: Any) -> None:
    found = await read_markets(ask, {**listed("A", 1), "maker_fee": "-10"})
    assert found.find("A/USDC").maker_fee == -10
    assert not found.unreadable


async def test_market_symbol_null(ask: Any) -> None:
    found = await read_markets(ask, {**listed("A", 1), "base": asset(None, 1)}, listed("B", 2))
    assert found.find("B/USDC").base.symbol == "B"
    assert len(found) + len(found.unreadable) == 2


async def test_market_price_window_fraction(ask: Any) -> None:
    found = await read_markets(ask, {**listed("A", 1), "price_window": 2.5})
    assert found.find("A/USDC").price_window in (None, Decimal("2.5"))


@pytest.mark.parametrize(
    "change",
    [
        {"market_id": 5},
        {"contract_id": None},
        {"base": None},
        {"quote": "USDC"},
        {"base": {**asset("A", 1), "decimals": "many"}},
        {"base": {**asset("A", 1), "asset": "0x"}},
    ],
)
async def test_an_unreadable_market_costs_no_other(ask: Any, change: dict[str, Any]) -> None:
    odd = {**listed("A", 1), **change}
    found = await read_markets(ask, odd, listed("B", 2), "odd")
    assert [market.pair for market in found] == ["B/USDC"]
    assert (len(found), found.chain_id) == (1, 5)
    assert [entry.index for entry in found.unreadable] == [0, 2]
    assert found.find("B/USDC") is found.markets[0]
    first = found.unreadable[0]
    if "market_id" not in change:
        market_id = listed("A", 1)["market_id"]
        for name in (market_id, market_id[2:].upper()):
            assert name not in found
            with pytest.raises(MarketUnreadable) as caught:
                found.find(name)
            assert (caught.value.name, caught.value.problem) == (name, first.problem)
            assert first.problem in str(caught.value)
        assert set(found.market_ids) == {market_id, found.markets[0].market_id}
    if {"base", "quote"}.isdisjoint(change):
        with pytest.raises(MarketUnreadable):
            found.find("a/usdc")
        assert set(found.asset_ids) == {f"0x{number:064x}" for number in (1, 2, 99)}
    with pytest.raises(UnknownMarket, match="B/USDC, and 2 that could not be read"):
        found.find("C/USDC")


async def test_a_list_of_markets_without_a_list(ask: Any) -> None:
    answers: list[Any] = [{}, {"markets": None}, {"markets": {}}, None, "no"]
    for answer in answers:
        with pytest.raises(DecodeError, match=r"expected a list of markets at \$\.markets"):
            await ask(lambda rest: rest.markets(), answer)


async def test_markets_cannot_be_declared_unreadable_from_outside(ask: Any) -> None:
    answer: Any = {"markets": [listed("A", 1)], "unreadable": [{"index": 0, "problem": "x", "raw": 1}]}
    assert (await ask(lambda rest: rest.markets(), answer)).unreadable == ()
    assert len(await ask(lambda rest: rest.markets(), [listed("A", 1)])) == 1
    assert (
        len(await ask(lambda rest: rest.markets(), {"code": 0, "data": {"markets": [listed("A", 1)]}})) == 1
    )


# -- one entry among several ---------------------------------------------------------------------------


async def test_a_ticker_is_read_although_another_is_odd(ask: Any) -> None:
    rows = ["odd", {"market_id": OTHER, "last": {}}, {"market_id": MARKET, "last": "3"}]
    assert (await ask(lambda rest: rest.ticker(MARKET), rows)).last == 3
    for answer in (
        "odd",
        ["odd"],
        {"market_id": 5, "last": "3"},
        [{"market_id": 5, "last": "1"}, {"market_id": 6, "last": "2"}],
    ):
        with pytest.raises(DecodeError):
            await ask(lambda rest: rest.ticker(MARKET), answer)


async def test_a_book_is_that_of_the_market_it_names(ask: Any) -> None:
    book: Any = {"orders": {"buys": [], "sells": []}}
    for named in (None, MARKET, MARKET[2:].upper(), 5, "odd"):
        assert (await ask(lambda rest: rest.depth(MARKET), {**book, "market_id": named})).market_id == MARKET
    with pytest.raises(DecodeError, match="expected something about market"):
        await ask(lambda rest: rest.depth(MARKET), {**book, "market_id": OTHER})


async def test_a_book_without_sides_is_broken(ask: Any) -> None:
    answers: list[Any] = [{}, {"orders": {}}, {"view": {}}, {"action": "depth"}, {"orders": {"x": []}}]
    for answer in (*answers, {"data": {}}):
        with pytest.raises(DecodeError):
            await ask(lambda rest: rest.depth(MARKET), answer)


async def test_a_book_with_other_names(ask: Any) -> None:
    for sides in ({"bids": [["2", "3"]], "asks": []}, {"buys": [{"price": "2", "quantity": "3"}]}):
        update = await ask(lambda rest: rest.depth(MARKET), {"orders": sides})
        assert update.changes == m.DepthChanges((m.Level(2, 3),), ())


async def test_an_empty_level_is_not_a_level(ask: Any) -> None:
    update = await ask(lambda rest: rest.depth(MARKET), {"buys": [["2", "3"], ["1", "0"]], "sells": []})
    assert update.changes == m.DepthChanges((m.Level(2, 3),), ())


# -- accounts ------------------------------------------------------------------------------------------

STATE = {"last_modification": 1, "nonce": "7", "owner": {"Address": OTHER}, "sync_state": {"V3": 1}}


@pytest.mark.parametrize(
    "session",
    [
        {"session_id": "0x..", "expiry": None},
        {"session_id": OTHER, "expiry": "5"},
        {"session_id": {"Address": OTHER}, "expiry": None},
        {"session_id": {"Address": OTHER}, "expiry": "soon", "contract_ids": 5},
        {"expiry": 1},
        {},
        "odd",
        [],
    ],
)
async def test_account_session_text(ask: Any, session: Any) -> None:
    answer = {"trade_account_id": ACCOUNT.id, "trade_account": STATE, "session": session}
    state = await ask(lambda rest: rest.account(ACCOUNT.id), answer)
    assert (state.nonce, state.owner, state.session) == (7, m.Identity.address(OTHER), None)
    assert "session" in state.unread


@pytest.mark.parametrize("name", ["last_modification", "owner", "nonce", "synced_with_network"])
async def test_parts_of_an_account_are_independent(ask: Any, name: str) -> None:
    session = {"session_id": {"Address": OTHER}, "expiry": "99", "contract_ids": [MARKET]}
    answer = {
        "trade_account_id": ACCOUNT.id,
        "trade_account": {**STATE, name: {"odd": 1}},
        "session": session,
    }
    state = await ask(lambda rest: rest.account(ACCOUNT.id), answer)
    assert getattr(state, name) is None
    assert dict(state.unread) == {name: {"odd": 1}}
    assert (state.session.expiry, state.sync_state) == (99, {"V3": 1})
    others = {"nonce": 7, "owner": m.Identity.address(OTHER)}
    assert all(getattr(state, other) == value for other, value in others.items() if other != name)


@pytest.mark.parametrize("sync_state", [None, "V3", {"V3": [1.5]}, [1], 5, True])
async def test_any_state_of_synchronisation(ask: Any, sync_state: Any) -> None:
    answer = {"trade_account_id": ACCOUNT.id, "trade_account": {"nonce": 1, "sync_state": sync_state}}
    state = await ask(lambda rest: rest.account(ACCOUNT.id), answer)
    assert (state.nonce, dict(state.unread)) == (1, {})


async def test_no_account_is_said_and_not_guessed(ask: Any) -> None:
    nobody = {"trade_account_id": None, "trade_account": None, "session": None}
    assert await ask(lambda rest: rest.account(ACCOUNT.id), nobody) is None
    for sure in ({"trade_account_id": None}, {**nobody, "session": 7}, {"data": nobody}):
        assert await ask(lambda rest: rest.account(ACCOUNT.id), sure) is None
    for odd in (
        {},
        None,
        "none",
        {"account": ACCOUNT.id},
        {"trade_account": STATE},
        {"trade_account_id": "odd", "trade_account": STATE},
        {"trade_account_id": ACCOUNT.id, "trade_account": "odd"},
        {"trade_account_id": ACCOUNT.id, "trade_account": [STATE]},
    ):
        with pytest.raises(DecodeError):
            await ask(lambda rest: rest.account(ACCOUNT.id), odd)


@pytest.mark.parametrize("books", [[], None, "odd", {OTHER: 5}, {"odd": {"locked": "1", "unlocked": "2"}}])
async def test_a_balance_needs_no_books(ask: Any, books: Any) -> None:
    answer = {"total_locked": "5", "total_unlocked": "7", "trading_account_balance": "7"}
    balance = await ask(
        lambda rest: rest.balance(ACCOUNT, OTHER), {**answer, "order_books": books, "identity": "odd"}
    )
    assert (balance.identity, balance.asset_id, balance.total) == (ACCOUNT, OTHER, 12)
    assert dict(balance.order_books) == {}
    assert ("order_books" in balance.unread) or not books


# -- pages ---------------------------------------------------------------------------------------------


def page_server(rows: list[dict[str, Any]], key: str, asked: list[dict[str, str]]) -> Any:
    """Serve `rows` in pages of two, and begin after the row that the cursor names."""
    name = "trade_id" if key == "trades" else "order_id"

    def handler(path: str, query: dict[str, str]) -> Answer:
        asked.append(query)
        start, count = 0, int(query["count"])
        if "start_timestamp" in query:
            wanted = query[f"start_{name}"]
            start = 1 + next(at for at, row in enumerate(rows) if str(row.get(name)) == wanted)
            assert str(rows[start - 1]["timestamp"]) == query["start_timestamp"]
        return json_answer({key: rows[start : start + count]})

    return handler


@pytest.mark.parametrize("bad", range(6))
@pytest.mark.parametrize("key", ["trades", "orders"])
async def test_an_unreadable_row_does_not_confuse_paging(
    nursery: trio.Nursery, clock: MockClock, key: str, bad: int
) -> None:
    good = TRADE if key == "trades" else ORDER
    name = "trade_id" if key == "trades" else "order_id"
    rows = [{**good, name: f"0x{number + 1:064x}", "timestamp": str(number)} for number in range(6)]
    rows[bad]["price"] = "odd"
    asked: list[dict[str, str]] = []
    fake = Fake(nursery, page_server(rows, key, asked))
    async with fake.client() as rest:
        pages: Pages[Any] = (
            rest.iter_trades(MARKET, count=2)
            if key == "trades"
            else rest.iter_orders(MARKET, ACCOUNT, count=2)
        )
        found = [getattr(item, name) async for item in pages]
    assert found == [row[name] for number, row in enumerate(rows) if number != bad]
    (entry,) = pages.not_understood
    assert (entry.index, pages.not_understood_count) == (bad % 2, 1)
    assert entry.ids[name] == rows[bad][name]
    assert [query.get("start_timestamp") for query in asked] == [None, "1", "3", "5"]


async def test_a_last_row_without_a_place_repeats_a_part(nursery: trio.Nursery, clock: MockClock) -> None:
    rows = [{**TRADE, "trade_id": f"{number}", "timestamp": number} for number in range(5)]
    rows[1] = {"side": "buy"}
    asked: list[dict[str, str]] = []
    fake = Fake(nursery, page_server(rows, "trades", asked))
    async with fake.client() as rest:
        pages = rest.iter_trades(MARKET, count=2)
        assert [trade.trade_id async for trade in pages] == ["0", "2", "3", "4"]
    assert pages.not_understood_count == len(pages.not_understood) == 1
    assert [query.get("start_timestamp") for query in asked] == [None, "0", "2", "4"]


async def test_a_full_page_without_any_place_is_not_the_end(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"trades": [{"a": 1}, {"a": 2}]}))
    async with fake.client() as rest:
        pages = rest.iter_trades(MARKET, count=2)
        with pytest.raises(IncompletePages, match="a row without an id has no time stamp to go on from"):
            await anext(pages)
        assert pages.not_understood_count == 2
    fake = Fake(nursery, lambda *_: json_answer({"trades": [{"a": 1}]}))
    async with fake.client() as rest:
        pages = rest.iter_trades(MARKET, count=2)
        assert [trade async for trade in pages] == []
        assert pages.not_understood_count == 1


async def test_unreadable_rows_are_kept_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("o2trio.rest._pages.MAX_NOT_UNDERSTOOD", 3)

    async def fetch(cursor: m.Cursor | None) -> m.Rows[m.Trade]:
        await trio.lowlevel.checkpoint()
        return m.Rows((), [m.NotUnderstood(index=at, problem="odd", raw=at) for at in range(5)])

    pages: Pages[m.Trade] = Pages(fetch, what="it", count=9, max_pages=9)
    assert [trade async for trade in pages] == []
    assert [entry.index for entry in pages.not_understood] == [0, 1, 2]
    assert pages.not_understood_count == 5


async def test_trade_ids_in_two_spellings(nursery: trio.Nursery, clock: MockClock) -> None:
    """A page that repeats the cursor's trade in another letter case repeats nothing to the caller."""
    rows = [{**TRADE, "trade_id": "0x" + "AB" * 32}, {**TRADE, "trade_id": "CD" * 32, "timestamp": 8}]
    fake = Fake(nursery, lambda *_: json_answer(rows))
    async with fake.client() as rest:
        after = m.Cursor(7, "0x" + "ab" * 32)
        known = ["0x" + "cd" * 32]
        assert [trade.trade_id async for trade in rest.iter_trades(MARKET, after=after)] == ["CD" * 32]
        assert [trade async for trade in rest.iter_trades(MARKET, after=after, known=known)] == []


# -- submissions ---------------------------------------------------------------------------------------


async def submit(nursery: trio.Nursery, content: Any) -> Answered:
    fake = Fake(nursery, lambda *_: json_answer(content))
    async with fake.client(OPTIONS) as rest:
        await rest.admit(ACTIONS, OTHER)
        return await rest.submit("POST", ACTIONS, {}, owner=OTHER, on_sent=lambda: None)


@pytest.mark.parametrize(
    "order",
    [
        {"order_id": ORDER_ID, "fills": [{"strange": 1}]},
        {"order_id": ORDER_ID[2:].upper(), "side": 5},
        {"order": {"order_id": ORDER_ID}},
        ORDER_ID,
    ],
)
async def test_submit_odd_fills(nursery: trio.Nursery, clock: MockClock, order: Any) -> None:
    answered = await submit(nursery, {"tx_id": TX, "orders": [order, {**ORDER, "order_id": OTHER}]})
    assert answered.tx_id == TX
    assert [order.order_id for order in answered.orders] == [OTHER]
    assert answered.order_ids == (ORDER_ID,)


async def test_an_order_with_strange_fills_is_an_order(nursery: trio.Nursery, clock: MockClock) -> None:
    answered = await submit(nursery, {"tx_id": TX, "orders": [{**ORDER, "fills": [{"strange": 1}]}]})
    (order,) = answered.orders
    assert (order.order_id, order.fills, answered.order_ids) == (ORDER_ID, (), ())


@pytest.mark.parametrize("orders", [5, "odd", [5, None, []], {"order_id": 5}])
async def test_orders_without_ids_cost_nothing(nursery: trio.Nursery, clock: MockClock, orders: Any) -> None:
    answered = await submit(nursery, {"tx_id": TX, "orders": orders})
    assert (answered.tx_id, answered.orders, answered.order_ids) == (TX, (), ())


@pytest.mark.parametrize("tx_id", [TX.upper(), TX[2:], TX])
async def test_a_transaction_has_one_spelling(nursery: trio.Nursery, clock: MockClock, tx_id: str) -> None:
    assert (await submit(nursery, {"tx_id": tx_id})).tx_id == TX


async def test_an_odd_transaction_id_is_kept(nursery: trio.Nursery, clock: MockClock) -> None:
    assert (await submit(nursery, {"tx_id": "0x.."})).tx_id == "0x.."
    assert attrs.evolve(await submit(nursery, {"tx_id": "abc/1"}), tx_id="").orders == ()
