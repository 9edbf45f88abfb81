"""The REST reads about accounts and in human numbers, cursors with ties, and the flavors of REST."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlencode

import pytest

from o2trio.models import OrderType, Side
from o2trio.simulator import Account, Exchange, Flavor, default_listings
from o2trio.simulator._encode import dump
from o2trio.simulator._flow import Flow
from o2trio.simulator._markets import make_id
from o2trio.simulator._rest import Rest

MARKET = make_id("market", "fFUEL/fUSDC")
NOW_MS = 1_790_000_000_123
SPOT = OrderType("Spot")


def get(rest: Rest, path: str, **query: object) -> Any:
    response = rest.respond("GET", f"{path}?{urlencode(query)}")
    assert response.status == 200, response.body
    return json.loads(response.body, parse_float=Decimal)


def account(exchange: Exchange, name: str) -> Account:
    assets = {asset.asset for market in exchange.markets.markets for asset in (market.base, market.quote)}
    return exchange.create_account(name, dict.fromkeys(assets, 10**18))


def place(exchange: Exchange, who: Account, side: Side, price: int) -> str:
    return exchange.place(who, MARKET, side, price=price, quantity=10**12, order_type=SPOT).order_id


@pytest.fixture
def traded(exchange: Exchange) -> Exchange:
    """Give a market with three trades: one sells to two, two sells to one, one sells to itself."""
    one, two = account(exchange, "one"), account(exchange, "two")
    for maker, taker, price in ((one, two, 25_000), (two, one, 25_100), (one, one, 24_900)):
        place(exchange, maker, Side.SELL, price)
        place(exchange, taker, Side.BUY, price)
    return exchange


def test_trades_of_an_account(traded: Exchange) -> None:
    rest, asked = Rest(traded, Flavor()), {"market_id": MARKET, "direction": "asc", "count": 50}
    for name, roles in (("one", ["maker", "taker", "both"]), ("two", ["taker", "maker"]), ("three", [])):
        answer = get(rest, "/v1/trades_by_account", **asked, contract=make_id("account", name))
        assert answer["market_id"] == MARKET
        assert [trade["trader_side"] for trade in answer["trades"]] == roles
    first = get(rest, "/v1/trades_by_account", **{**asked, "count": 1}, contract=make_id("account", "two"))
    (trade,) = first["trades"]
    assert trade["price"] == "25000"
    after = {"start_timestamp": trade["timestamp"], "start_trade_id": trade["trade_id"]}
    rest_of = get(rest, "/v1/trades_by_account", **asked, **after, contract=make_id("account", "two"))
    assert [trade["price"] for trade in rest_of["trades"]] == ["25100"]
    assert rest.respond("GET", f"/v1/trades_by_account?{urlencode(asked)}").status == 400


def test_active_orders(exchange: Exchange) -> None:
    one = account(exchange, "one")
    orders = [place(exchange, one, Side.BUY, price) for price in (24_000, 24_100, 24_200)]
    exchange.cancel(one, exchange.orders[next(iter(exchange.orders))].order_id)
    answer = get(
        Rest(exchange, Flavor()), "/v1/orders/active", market_id=MARKET, contract=one.trade_account_id
    )
    assert answer == {
        "identity": {"ContractId": one.trade_account_id},
        "market_id": MARKET,
        "entries": [{"kind": "order", "order_id": order_id} for order_id in orders[1:]],
    }


def test_the_window_is_empty(exchange: Exchange) -> None:
    rest, one = Rest(exchange, Flavor()), account(exchange, "one")
    asked = {"trade_account_id": one.trade_account_id, "nonce_session_id": 3}
    assert get(rest, "/v1/accounts/window", **asked) == {"nonce_session_id": "3", "base": "0", "slots": []}
    for wrong, status, code in (
        ({"nonce_session_id": 5}, 400, 1001),
        ({"nonce_session_id": ""}, 400, 1001),
        ({"trade_account_id": MARKET}, 404, 4002),
    ):
        response = rest.respond("GET", f"/v1/accounts/window?{urlencode({**asked, **wrong})}")
        assert (response.status, json.loads(response.body)["code"]) == (status, code)


def test_fees(exchange: Exchange) -> None:
    rest = Rest(exchange, Flavor())
    entry = {"market_id": MARKET, "maker_fee": "0", "taker_fee": "100"}
    assert get(rest, "/v1/markets/fees")[0] == entry
    assert get(rest, "/v1/markets/fees", market_id=MARKET) == [entry]


# -- cursors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("ids", ["prefixed", "bare", "upper"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("unit", ["seconds", "milliseconds"])
def test_pages_over_ties_are_exact(
    exchange: Exchange, inclusive: bool, ids: Any, direction: str, unit: Any
) -> None:
    """Everything happens in one moment, so that only the ids tell items apart."""
    one = account(exchange, "one")
    placed = [place(exchange, one, Side.SELL if n % 2 == 0 else Side.BUY, 25_000) for n in range(24)]
    flavor = Flavor(cursor_inclusive=inclusive, ids=ids, order_timestamp=unit)
    rest = Rest(exchange, flavor)
    trades = [str(flavor.trade_id_value(trade)) for trade in exchange.trades(MARKET)]
    orders = [order_id if ids == "prefixed" else order_id[2:] for order_id in placed]
    for kind, name, truth, query in (
        ("trades", "trade_id", trades, {}),
        ("orders", "order_id", orders, {"contract": one.trade_account_id}),
    ):
        seen: list[str] = []
        cursor: dict[str, object] = {}
        while True:
            asked = {"market_id": MARKET, "direction": direction, "count": 5, **query, **cursor}
            page = get(rest, f"/v1/{kind}", **asked)[kind]
            assert not cursor or (page[0][name] == cursor[f"start_{name}"] if inclusive else True)
            fresh = page[1:] if inclusive and cursor else page
            if not fresh:
                break
            seen += [item[name] for item in fresh]
            cursor = {"start_timestamp": fresh[-1]["timestamp"], f"start_{name}": fresh[-1][name]}
        expected = truth if direction == "asc" else truth[::-1]
        assert [item.lower() for item in seen] == [item.lower() for item in expected]


def test_an_order_cursor_in_any_spelling(exchange: Exchange) -> None:
    one = account(exchange, "one")
    placed = [place(exchange, one, Side.BUY, 24_000) for _ in range(3)]
    whose = {"market_id": MARKET, "contract": one.trade_account_id, "direction": "asc", "count": 9}
    rest = Rest(exchange, Flavor(ids="upper"))
    for spelled in (placed[0], placed[0][2:].upper()):
        cursor = {"start_timestamp": NOW_MS // 1000, "start_order_id": spelled}
        assert len(get(rest, "/v1/orders", **whose, **cursor)["orders"]) == 2
    wrong = {**whose, "start_timestamp": 1, "start_order_id": "zz"}
    response = rest.respond("GET", f"/v1/orders?{urlencode(wrong)}")
    assert (response.status, json.loads(response.body)["code"]) == (400, 7002)


# -- human numbers ---------------------------------------------------------------------------------


def test_aggregated_book(exchange: Exchange) -> None:
    one = account(exchange, "one")
    for price in (24_000, 24_100):
        place(exchange, one, Side.BUY, price)
    rest = Rest(exchange, Flavor())
    answer = get(rest, "/v1/aggregated/orderbook", market_pair="ffuel_fusdc", depth=1)
    assert answer == {"timestamp": NOW_MS, "bids": [[Decimal("0.0241"), 1000]], "asks": []}
    everything = get(rest, "/v1/aggregated/orderbook", market_pair="fFUEL_fUSDC", depth=0, level=3)
    assert len(everything["bids"]) == 2
    gecko = get(rest, "/v1/aggregated/coingecko/orderbook", ticker_id="fFUEL_fUSDC")
    assert gecko == {"ticker_id": "fFUEL_fUSDC", **everything}
    as_text = get(
        Rest(exchange, Flavor(human_numbers="text")), "/v1/aggregated/orderbook", market_pair="fFUEL_fUSDC"
    )
    assert as_text["bids"][0][0] == "0.024100"
    for wrong in ({"depth": 501}, {"level": 4}, {"market_pair": "fFUEL_fEUR"}):
        query = urlencode({"market_pair": "fFUEL_fUSDC", **wrong})
        assert rest.respond("GET", f"/v1/aggregated/orderbook?{query}").status in {400, 404}


def test_aggregated_day(traded: Exchange) -> None:
    rest = Rest(traded, Flavor())
    ticker = get(rest, "/v1/aggregated/ticker")
    numbers = {"last_price": Decimal("0.0249"), "base_volume": 3000, "quote_volume": 75}
    assert ticker["fFUEL_fUSDC"] == numbers
    assert ticker["fBTC_fUSDC"] == {"last_price": None, "base_volume": 0, "quote_volume": 0}
    listed = get(Rest(traded, Flavor(catalogue="list")), "/v1/aggregated/ticker")
    assert listed[0] == {"market_pair": "fFUEL_fUSDC", **numbers}
    first, _, quiet = get(rest, "/v1/aggregated/summary")
    assert first == {
        "trading_pairs": "fFUEL_fUSDC", "base_currency": "fFUEL", "quote_currency": "fUSDC", **numbers,
        "lowest_ask": None, "highest_bid": None, "highest_price_24h": Decimal("0.0251"),
        "lowest_price_24h": Decimal("0.0249"), "price_change_percent_24h": Decimal("-0.40"),
    }  # fmt: skip
    assert quiet["price_change_percent_24h"] is None
    gecko = get(rest, "/v1/aggregated/coingecko/tickers")[0]
    assert gecko == {
        "ticker_id": "fFUEL_fUSDC", "base_currency": "fFUEL", "target_currency": "fUSDC", "bid": None,
        "ask": None, "last_price": Decimal("0.0249"), "base_volume": 3000, "target_volume": 75,
        "high": Decimal("0.0251"), "low": Decimal("0.0249"),
    }  # fmt: skip


def test_aggregated_trades_and_assets(traded: Exchange) -> None:
    rest = Rest(traded, Flavor())
    trades = get(rest, "/v1/aggregated/trades", market_pair="fFUEL_fUSDC")
    assert [trade["price"] for trade in trades] == [Decimal("0.0249"), Decimal("0.0251"), Decimal("0.025")]
    assert {trade["type"] for trade in trades} == {"buy"}
    assert (trades[0]["base_volume"], trades[0]["quote_volume"]) == (1000, Decimal("24.9"))
    assert all(trade["trade_id"] > 2**53 and trade["timestamp"] == NOW_MS for trade in trades)
    assets = get(rest, "/v1/aggregated/assets")
    assert list(assets) == ["fFUEL", "fUSDC", "fETH", "fBTC"]
    assert (assets["fUSDC"]["taker_fee"], assets["fBTC"]["min_deposit"]) == (Decimal("0.0001"), "0.00000001")
    listed = get(Rest(traded, Flavor(catalogue="list")), "/v1/aggregated/assets")
    assert [asset["symbol"] for asset in listed] == list(assets)


# -- flavors --------------------------------------------------------------------------------------


def test_flavors_of_market_data(traded: Exchange) -> None:
    plain = Rest(traded, Flavor())
    other = Rest(
        traded,
        Flavor(
            trades_envelope=False, rest_levels="pairs", heeds_limit=False, bars="sum", single="object",
            ticker_names="long", trade_id="hex",
        ),
    )  # fmt: skip
    where: dict[str, object] = {"market_id": MARKET}
    paged = {**where, "direction": "asc", "count": 9}
    trades = get(other, "/v1/trades", **paged)
    assert isinstance(trades, list)
    assert [trade["price"] for trade in trades] == [
        trade["price"] for trade in get(plain, "/v1/trades", **paged)["trades"]
    ]
    assert all(trade["trade_id"].startswith("0x") for trade in trades)

    one = traded.accounts[make_id("account", "one")]
    for price in (24_000, 24_100):
        place(traded, one, Side.BUY, price)
    depth = get(other, "/v1/depth", **where, precision=10, limit=1)["orders"]
    assert depth["buys"] == [["24100", str(10**12)], ["24000", str(10**12)]]

    (ticker,) = get(plain, "/v1/markets/ticker", **where)
    long = get(other, "/v1/markets/ticker", **where)
    assert (long["last_price"], long["best_bid"]) == (ticker["last"], ticker["bid"])
    assert not {"last", "bid", "ask"} & set(long)
    assert [get(other, "/v1/markets/summary", **where)] == get(plain, "/v1/markets/summary", **where)
    assert len(get(other, "/v1/markets/summary")) == 3

    span = {**where, "resolution": "1m", "from": NOW_MS - 60_000, "to": NOW_MS + 1}
    (bar,), (summed,) = (get(rest, "/v1/bars", **span)["bars"] for rest in (plain, other))
    assert summed["volume"] == str(3 * 10**12)
    assert summed["time"] == bar["timestamp"]
    assert not {"buy_volume", "sell_volume", "timestamp"} & set(summed)


def test_flavors_of_accounts(exchange: Exchange) -> None:
    one = account(exchange, "one")
    orders = [place(exchange, one, Side.BUY, 24_000) for _ in range(2)]
    exchange.cancel(one, exchange.orders[next(iter(exchange.orders))].order_id)
    whose = {"market_id": MARKET, "contract": one.trade_account_id, "direction": "asc", "count": 9}
    everything = Flavor(order_timestamp="milliseconds")
    closed = Flavor(order_timestamp="milliseconds", is_open_false="closed")
    for flavor, expected in ((everything, orders), (closed, orders[:1])):
        answer = get(Rest(exchange, flavor), "/v1/orders", **whose, is_open="false")["orders"]
        assert [order["order_id"] for order in answer] == expected
        assert {order["timestamp"] for order in answer} == {str(NOW_MS)}
        still = get(Rest(exchange, flavor), "/v1/orders", **whose, is_open="true")["orders"]
        assert [order["order_id"] for order in still] == orders[1:]
    held = {"asset_id": exchange.markets.markets[0].quote.asset, "contract": one.trade_account_id}
    for fee in (True, False):
        answer = get(Rest(exchange, Flavor(book_fee=fee)), "/v1/balance", **held)
        (book,) = answer["order_books"].values()
        assert ("fee" in book) is fee


def test_every_read_survives_a_busy_exchange() -> None:
    """Every account and pair can be asked in every flavor without an error."""
    exchange = Exchange(default_listings(), lambda: NOW_MS * 1_000_000)
    flow = Flow(exchange, default_listings(), rate=1.0, seed=2)
    for _ in range(500):
        flow.step()
    rest = Rest(exchange, Flavor(ids="upper", human_numbers="text", catalogue="list", single="object"))
    for market in exchange.markets.markets:
        pair = f"{market.base.symbol}_{market.quote.symbol}"
        for path in ("orderbook", "trades"):
            assert get(rest, f"/v1/aggregated/{path}", market_pair=pair)
        for who in exchange.accounts:
            asked = {"market_id": market.market_id, "contract": who, "direction": "desc", "count": 50}
            for path in ("orders", "trades_by_account", "orders/active"):
                assert get(rest, f"/v1/{path}", **asked)
    for path in ("assets", "summary", "ticker", "coingecko/tickers"):
        assert get(rest, f"/v1/aggregated/{path}")


AGGREGATED = (
    "/v1/aggregated/assets",
    "/v1/aggregated/summary",
    "/v1/aggregated/ticker",
    "/v1/aggregated/orderbook?market_pair=fFUEL_fUSDC",
    "/v1/aggregated/trades?market_pair=fFUEL_fUSDC",
    "/v1/aggregated/coingecko/tickers",
    "/v1/aggregated/coingecko/orderbook?ticker_id=fFUEL_fUSDC",
)


@pytest.mark.parametrize("numbers", ["number", "text"])
def test_no_number_is_written_with_an_exponent(
    exchange: Exchange, numbers: Literal["number", "text"]
) -> None:
    """Seen here: ``1E-9``, which parsers of decimals in other languages refuse."""
    flavor = Flavor(human_numbers=numbers)
    assert dump([flavor.human(Decimal(text)) for text in ("1E-9", "1E+3", "-0E-8", "0.025")]) == (
        "[0.000000001,1000,-0.00000000,0.025]"
        if numbers == "number"
        else '["0.000000001","1000","-0.00000000","0.025"]'
    )
    exchange.place(account(exchange, "one"), MARKET, Side.BUY, price=100, quantity=10**17, order_type=SPOT)
    rest = Rest(exchange, flavor)
    for path in AGGREGATED:
        body = rest.respond("GET", path).body.decode()
        written = re.findall(r"[\d.]+[eE][+-]?\d+", re.sub(r'"0x\w+"', "", body))
        assert written == [], path
