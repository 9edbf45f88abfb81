"""REST answers: rows are independent, errors keep the server's words, the venue's mark is checked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ApiError,
    InternalError,
    InvalidRequest,
    MarketNotFound,
    MarketPaused,
    O2Client,
    O2Error,
    Options,
    OrderNotFound,
    RateLimitExceeded,
    Trade,
    UnknownMarket,
    open_o2,
)
from tests.tolerance._cases import (
    ACCOUNT,
    CASES,
    GONE,
    MARKET,
    MARKET_2,
    ORDER,
    OTHER_ORDER,
    answering,
    fields_of,
    market_row,
    markets_body,
    merged,
    order,
    other_order,
    second_row,
    trade,
)
from tests.tolerance._server import Asked, RawServer, Reply, reply

PATIENT = Options(jitter=lambda: 0.5, request_timeout=60)

Call = Callable[[O2Client], Awaitable[Any]]


@asynccontextmanager
async def served(rest: Callable[[Asked], Reply]) -> AsyncGenerator[tuple[O2Client, RawServer]]:
    server = RawServer(lambda *_: (), rest)
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=PATIENT) as o2:
            yield o2, server
        nursery.cancel_scope.cancel()


async def asked_for(path: str, answer: Any, call: Call) -> Any:
    """Return what `call` returns where `path` is answered so; its error, if it raises one of ours."""
    async with served(answering(path, answer)) as (o2, _):
        with trio.fail_after(600):
            try:
                return await call(o2)
            except O2Error as error:
                return error


READS: dict[str, tuple[str, Call]] = {
    "depth": ("/v1/depth", lambda o2: o2.get_depth(MARKET)),
    "trades": ("/v1/trades", lambda o2: o2.get_trades(MARKET)),
    "orders": ("/v1/orders", lambda o2: o2.get_orders(ACCOUNT, MARKET)),
    "order": ("/v1/order", lambda o2: o2.get_order(MARKET, ORDER)),
    "markets": ("/v1/markets", lambda o2: o2.get_markets()),
    "account": ("/v1/accounts", lambda o2: o2.get_account(ACCOUNT)),
    "bars": (
        "/v1/bars",
        lambda o2: o2.get_bars(MARKET, "1m", start=1_700_000_000_000, end=1_700_000_600_000),
    ),
}

# -- the words of an error -------------------------------------------------------------------------

WORDS: dict[str, tuple[int, Any]] = {
    "rest-error-key": (
        CASES["rest-error-key"]["messages"]["status"],
        CASES["rest-error-key"]["messages"]["body"],
    ),
    "message": (500, {"message": "boom"}),
    "detail": (400, {"detail": "boom"}),
    "object": (400, {"error": {"code": 1001, "message": "boom"}}),
    "null message": (500, {"message": None, "error": "boom"}),
    "truthy error": (422, {"error": True, "message": "boom"}),
    "code 0": (400, {"code": 0, "message": "boom"}),
    "text": (502, b"boom"),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("name", WORDS)
async def test_an_error_keeps_the_servers_words(autojump_clock: MockClock, name: str, read: str) -> None:
    status, body = WORDS[name]
    answer = (status, {}, body) if isinstance(body, bytes) else reply(body, status)
    path, call = READS[read]
    error = await asked_for(path, answer, call)
    assert isinstance(error, ApiError)
    assert "boom" in str(error)
    assert error.status == status


CODES: dict[str, tuple[int, Any, type[ApiError]]] = {
    "rest-code-text": (404, CASES["rest-code-text"]["messages"]["body"], MarketNotFound),
    "an order": (404, {"code": "3000", "message": "Order not found"}, OrderNotFound),
    "paused": (400, {"code": "2001", "detail": "Market paused"}, MarketPaused),
    "internal": (500, {"code": "1000", "error": "boom"}, InternalError),
    "limit": (429, {"code": "1003", "message": "slow down"}, RateLimitExceeded),
    "with status 200": (200, {"code": "2000", "message": "Market not found"}, MarketNotFound),
    "a number with status 200": (200, {"code": 2000, "error": "Market not found"}, MarketNotFound),
}


@pytest.mark.parametrize("read", ["depth", "trades", "orders", "order", "bars"])
@pytest.mark.parametrize("name", CODES)
async def test_a_code_as_text_is_the_code(autojump_clock: MockClock, name: str, read: str) -> None:
    status, body, kind = CODES[name]
    path, call = READS[read]
    error = await asked_for(path, reply(body, status), call)
    assert type(error) is kind
    assert error.code == int(body["code"])
    assert next(body[key] for key in ("message", "detail", "error") if key in body) in str(error)


@pytest.mark.parametrize("code", [0, "0", 200, "200", None], ids=repr)
@pytest.mark.parametrize("read", ["trades", "order"])
async def test_an_answer_with_a_harmless_code_is_an_answer(
    autojump_clock: MockClock, read: str, code: Any
) -> None:
    path, call = READS[read]
    body = {"code": code, "message": "ok", "error": False, "trades": [trade()], "order": order()}
    found = await asked_for(path, body, call)
    assert not isinstance(found, Exception)
    assert found.order_id == ORDER if read == "order" else [one.trade_id for one in found] == ["11"]


# -- the venue -------------------------------------------------------------------------------------

LEVELS = {"buys": [{"price": "25000", "quantity": "1"}], "sells": []}
FOREIGN: dict[str, tuple[str, Any]] = {
    "rest-turbo-depth": ("depth", CASES["rest-turbo-depth"]["messages"]["body"]),
    "depth with levels": ("depth", {"turbo": True, "orders": LEVELS, "market_id": MARKET}),
    "the view": ("depth", {"view": LEVELS, "turbo": True}),
    "trades": ("trades", {"turbo": True, "trades": [trade()]}),
    "orders": ("orders", {"turbo": True, "orders": [order()]}),
    "order": ("order", {"turbo": True, "order": order()}),
    "bars": ("bars", {"turbo": True, "bars": []}),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_an_answer_of_the_other_venue_is_refused(autojump_clock: MockClock, name: str) -> None:
    read, body = FOREIGN[name]
    path, call = READS[read]
    error = await asked_for(path, body, call)
    assert isinstance(error, O2Error)
    assert "turbo" in str(error).lower()


@pytest.mark.parametrize("mark", [False, None])
async def test_an_answer_that_is_marked_as_spot_is_taken(autojump_clock: MockClock, mark: Any) -> None:
    found = await asked_for("/v1/depth", {"turbo": mark, "orders": LEVELS}, READS["depth"][1])
    assert [level.price for level in found.changes.bids] == [25_000]


@pytest.mark.parametrize("body", [{"orders": {}}, {}, {"view": []}, {"orders": {"buys": None}}, []], ids=repr)
async def test_a_depth_answer_without_sides_is_no_empty_book(autojump_clock: MockClock, body: Any) -> None:
    assert isinstance(await asked_for("/v1/depth", body, READS["depth"][1]), O2Error)


async def test_a_depth_answer_with_bids_and_asks(autojump_clock: MockClock) -> None:
    body = {"orders": {"bids": LEVELS["buys"], "asks": []}}
    found = await asked_for("/v1/depth", body, READS["depth"][1])
    assert [level.price for level in found.changes.bids] == [25_000]


# -- redirects -------------------------------------------------------------------------------------


def redirecting(location: str, status: int = 308, times: int = 1) -> Callable[[Asked], Reply]:
    """Send a read of the markets to `location`, and on from there, so many times."""
    left = [times]

    def rest(asked: Asked) -> Reply:
        if asked.path.startswith("/v1/markets") and left[0]:
            left[0] -= 1
            return status, {"Location": location}, b""
        return reply(markets_body())

    return rest


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("location", ["/v1/markets2", "markets2", "http://raw.test/v1/markets2"])
async def test_rest_redirect(autojump_clock: MockClock, location: str, status: int) -> None:
    """A read follows it on the same host."""
    async with served(redirecting(location, status)) as (o2, server):
        assert len(await o2.get_markets()) == 2
        assert [asked.path for asked in server.asked] == ["/v1/markets", "/v1/markets2"]


@pytest.mark.parametrize("times", [5, 6])
async def test_a_read_follows_five_redirects(autojump_clock: MockClock, times: int) -> None:
    async with served(redirecting("/v1/markets2", times=times)) as (o2, _):
        if times == 5:
            assert len(await o2.get_markets()) == 2
        else:
            with pytest.raises(O2Error, match="/v1/markets2"):
                await o2.get_markets()


@pytest.mark.parametrize(
    "location", ["http://elsewhere.test/v1/markets", "https://raw.test:1/", "//evil.test/x"]
)
async def test_a_read_follows_to_no_other_host(autojump_clock: MockClock, location: str) -> None:
    async with served(redirecting(location)) as (o2, server):
        with pytest.raises(O2Error) as caught:
            await o2.get_markets()
        assert location in str(caught.value)
        assert len(server.asked) == 1


async def test_a_redirect_without_a_location_is_an_error(autojump_clock: MockClock) -> None:
    assert isinstance(await asked_for("/v1/markets", (308, {}, b""), READS["markets"][1]), O2Error)


# -- markets ---------------------------------------------------------------------------------------


async def markets_with(row: Any, call: Call) -> Any:
    return await asked_for("/v1/markets", markets_body(row, second_row()), call)


READABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "market-negative-fee": ({"maker_fee": "-10"}, {"maker_fee": -10}),
    "market-negative-fee: taker": ({"taker_fee": -3}, {"taker_fee": -3}),
    "market-negative-fee: words": ({"taker_fee": "free"}, {}),
    "market-negative-fee: no dust": ({"dust": None, "maker_fee": GONE}, {}),
    "market-price-window-fraction": ({"price_window": 2.5}, {}),
    "market-price-window-fraction: text": ({"price_window": "2.5"}, {}),
    "market-price-window-fraction: null": ({"price_window": None}, {}),
    "market-price-window-fraction: object": ({"price_window": {"percent": 2}}, {}),
    "market-price-window-fraction: whitelist": ({"whitelist_id": "none", "blacklist_id": 0}, {}),
    "market-price-window-fraction: unknown": ({"base_tick": {"a": 1}, "kind": "Spot"}, {}),
}


@pytest.mark.parametrize("name", READABLE)
async def test_a_market_with_an_odd_detail_works(autojump_clock: MockClock, name: str) -> None:
    change, expected = READABLE[name]
    found = await markets_with(market_row(change), lambda o2: o2.get_market("fFUEL/fUSDC"))
    assert not isinstance(found, Exception)
    assert (found.market_id, found.base.decimals) == (MARKET, 9)
    for field, value in expected.items():
        assert getattr(found, field) == value


def asset(**change: Any) -> dict[str, Any]:
    return merged(market_row()["base"], change)


UNREADABLE: dict[str, Any] = {
    "decimals null": market_row({"base": asset(decimals=None)}),
    "decimals with a fraction": market_row({"base": asset(decimals=9.5)}),
    "decimals negative": market_row({"quote": asset(decimals=-1)}),
    "no base": market_row({"base": GONE}),
    "base is text": market_row({"base": "fFUEL"}),
    "no asset": market_row({"base": asset(asset=GONE)}),
    "no contract": market_row({"contract_id": GONE}),
    "contract is short": market_row({"contract_id": "0x12"}),
    "precision null": market_row({"quote": asset(max_precision="all")}),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_row_that_cannot_be_read_costs_no_other_market(autojump_clock: MockClock, name: str) -> None:
    """It is listed as unreadable, with its reason, and asking for it says so."""

    async def call(o2: O2Client) -> Any:
        markets = await o2.get_markets()
        assert [market.market_id for market in markets] == [MARKET_2]
        (row,) = markets.unreadable
        assert row.index == 0
        assert row.problem
        assert fields_of(row.raw)["market_id"] == MARKET
        assert (await o2.get_market("fETH/fUSDC")).market_id == MARKET_2
        with pytest.raises(O2Error) as caught:
            await o2.get_market(MARKET)
        assert row.problem in str(caught.value)
        return markets

    assert not isinstance(await markets_with(UNREADABLE[name], call), Exception)


@pytest.mark.parametrize("row", [None, "fFUEL", 7, [], {}, {"market_id": 5}], ids=repr)
async def test_a_row_that_is_no_market_costs_no_other(autojump_clock: MockClock, row: Any) -> None:
    markets = await markets_with(row, lambda o2: o2.get_markets())
    assert [market.market_id for market in markets] == [MARKET_2]
    assert [entry.index for entry in markets.unreadable] == [0]


@pytest.mark.parametrize("symbol", [None, 7, [], GONE], ids=["null", "number", "list", "missing"])
async def test_market_symbol_null(autojump_clock: MockClock, symbol: Any) -> None:
    """All other markets work, and this one by its id if its name is all that is missing."""

    async def call(o2: O2Client) -> Any:
        assert (await o2.get_market("fETH/fUSDC")).market_id == MARKET_2
        with pytest.raises((UnknownMarket, InvalidRequest)):
            await o2.get_market("fFUEL/fUSDC")
        return await o2.get_markets()

    markets = await markets_with(market_row({"base": asset(symbol=symbol)}), call)
    assert not isinstance(markets, Exception)
    assert len(markets) + len(markets.unreadable) == 2


# -- rows of other lists ---------------------------------------------------------------------------


async def test_a_trade_that_cannot_be_read_costs_no_other(autojump_clock: MockClock) -> None:
    body = {"trades": [trade({"price": "much"}), None, trade({"trade_id": "12", "timestamp": "soon"})]}
    found = await asked_for("/v1/trades", body, READS["trades"][1])
    assert [each.trade_id for each in found] == ["12"]
    assert [entry.index for entry in found.not_understood] == [0, 1]
    assert isinstance(found[0], Trade)


async def test_an_order_that_cannot_be_read_costs_no_other(autojump_clock: MockClock) -> None:
    body = {"orders": [order({"quantity": {"Quantity": "5"}}), other_order({"history": [{"tx_id": None}]})]}
    found = await asked_for("/v1/orders", body, READS["orders"][1])
    assert [each.order_id for each in found] == [OTHER_ORDER]
    assert [entry.ids["order_id"] for entry in found.not_understood] == [ORDER]


# -- bars ------------------------------------------------------------------------------------------

BAR = CASES["bars-in-seconds"]["messages"]["body"][0]


@pytest.mark.parametrize("name", ["timestamp", "time"])
@pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("as_text", [False, True])
async def test_bars_in_seconds(autojump_clock: MockClock, per_second: int, name: str, as_text: bool) -> None:
    """November 2023, never January 1970, in whatever unit it is sent."""
    value: Any = BAR["timestamp"] * per_second
    row = merged(BAR, {"timestamp": GONE}, {name: str(value) if as_text else value})
    found = await asked_for("/v1/bars", {"bars": [row]}, READS["bars"][1])
    assert found[0].time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


async def test_a_bare_list_of_bars(autojump_clock: MockClock) -> None:
    found = await asked_for("/v1/bars", CASES["bars-in-seconds"]["messages"]["body"], READS["bars"][1])
    assert found[0].time.year == 2023
