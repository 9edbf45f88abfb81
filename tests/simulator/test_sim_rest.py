"""REST answers: shapes, pages, limits and errors."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from o2trio.models import OrderType, Side
from o2trio.simulator import Account, Exchange, Flavor
from o2trio.simulator._markets import make_id
from o2trio.simulator._rest import Rest

MARKET = make_id("market", "fFUEL/fUSDC")
NOW_MS = 1_790_000_000_123
SPOT = OrderType("Spot")


def get(rest: Rest, path: str, **query: object) -> Any:
    response = rest.respond("GET", f"{path}?{urlencode(query)}" if query else path)
    assert response.status == 200, response.body
    assert response.content_type == "application/json"
    return json.loads(response.body)


def refused(rest: Rest, path: str, **query: object) -> tuple[int, int]:
    response = rest.respond("GET", f"{path}?{urlencode(query)}")
    body = json.loads(response.body)
    assert set(body) == {"code", "message"}
    return response.status, body["code"]


@pytest.fixture
def account(exchange: Exchange) -> Account:
    assets = {asset.asset for market in exchange.markets.markets for asset in (market.base, market.quote)}
    return exchange.create_account("one", dict.fromkeys(assets, 10**18))


@pytest.fixture
def rest(exchange: Exchange) -> Rest:
    return Rest(exchange, Flavor())


def _trade(exchange: Exchange, account: Account, *prices: int) -> None:
    for price in prices:
        exchange.place(account, MARKET, Side.SELL, price=price, quantity=10**12, order_type=SPOT)
        exchange.place(account, MARKET, Side.BUY, price=price, quantity=10**12, order_type=SPOT)


def test_health(rest: Rest) -> None:
    assert get(rest, "/health") == {"status": "ok"}


def test_markets(rest: Rest, exchange: Exchange) -> None:
    answer = get(rest, "/v1/markets")
    assert answer["chain_id"] == "0x0"
    first = answer["markets"][0]
    listed = exchange.markets.markets[0]
    assert first == {
        "contract_id": listed.contract_id,
        "market_id": MARKET,
        "maker_fee": "0",
        "taker_fee": "100",
        "min_order": "1000000",
        "dust": "10000",
        "price_window": 0,
        "base": {"symbol": "fFUEL", "asset": listed.base.asset, "decimals": 9, "max_precision": 3},
        "quote": {"symbol": "fUSDC", "asset": listed.quote.asset, "decimals": 6, "max_precision": 5},
    }
    symbols = [(market["base"]["symbol"], market["base"]["decimals"]) for market in answer["markets"]]
    assert symbols == [("fFUEL", 9), ("fETH", 9), ("fBTC", 8)]
    assert len({market["quote"]["asset"] for market in answer["markets"]}) == 1


def test_depth_groups_and_limits(rest: Rest, exchange: Exchange, account: Account) -> None:
    for price in (25_110, 25_190, 25_050):
        exchange.place(account, MARKET, Side.BUY, price=price, quantity=10**12, order_type=SPOT)
    answer = get(rest, "/v1/depth", market_id=MARKET, precision=100, limit=1)
    assert answer["market_id"] == MARKET
    assert answer["orders"] == {"buys": [{"price": "25100", "quantity": str(2 * 10**12)}], "sells": []}
    assert len(get(rest, "/v1/depth", market_id=MARKET, precision=10)["orders"]["buys"]) == 3


def test_trades_in_both_directions_with_a_cursor(rest: Rest, exchange: Exchange, account: Account) -> None:
    _trade(exchange, account, *range(25_000, 25_070, 10))
    newest = get(rest, "/v1/trades", market_id=MARKET, direction="desc", count=3)["trades"]
    assert [trade["price"] for trade in newest] == ["25060", "25050", "25040"]
    assert newest[0]["timestamp"] == str(NOW_MS)
    assert newest[0]["side"] == "sell"
    cursor = {"start_timestamp": newest[-1]["timestamp"], "start_trade_id": newest[-1]["trade_id"]}
    older = get(rest, "/v1/trades", market_id=MARKET, direction="desc", count=50, **cursor)["trades"]
    assert [trade["price"] for trade in older] == ["25030", "25020", "25010", "25000"]
    newer = get(rest, "/v1/trades", market_id=MARKET, direction="asc", count=50, **cursor)["trades"]
    assert [trade["price"] for trade in newer] == ["25050", "25060"]
    oldest = get(rest, "/v1/trades", market_id=MARKET, direction="asc", count=1)["trades"]
    assert [trade["price"] for trade in oldest] == ["25000"]
    inclusive = Rest(exchange, Flavor(cursor_inclusive=True))
    again = get(inclusive, "/v1/trades", market_id=MARKET, direction="asc", count=50, **cursor)["trades"]
    assert [trade["price"] for trade in again] == ["25040", "25050", "25060"]


def test_bars(rest: Rest, exchange: Exchange, account: Account) -> None:
    _trade(exchange, account, 25_000, 25_100, 24_900)
    span = {"from": NOW_MS - 60_000, "to": NOW_MS + 1}
    answer = get(rest, "/v1/bars", market_id=MARKET, resolution="1m", **span)
    assert answer["bars"] == [
        {
            "timestamp": NOW_MS - NOW_MS % 60_000,
            "open": "25000",
            "high": "25100",
            "low": "24900",
            "close": "24900",
            "buy_volume": str(3 * 10**12),
            "sell_volume": "0",
        }
    ]
    assert get(rest, "/v1/bars", market_id=MARKET, resolution="1m", count_back=2, to=NOW_MS + 1) == answer
    assert (
        get(rest, "/v1/bars", market_id=MARKET, resolution="1s", count_back=2, to=NOW_MS - 2000)["bars"] == []
    )


def test_ticker_and_summary(rest: Rest, exchange: Exchange, account: Account) -> None:
    _trade(exchange, account, 25_000, 25_100, 25_050)
    exchange.place(account, MARKET, Side.BUY, price=24_000, quantity=10**12, order_type=SPOT)
    (ticker,) = get(rest, "/v1/markets/ticker", market_id=MARKET)
    names = "ask ask_volume average base_volume bid bid_volume change close high last low open previous_close"
    assert set(ticker) == {*names.split(), "quote_volume", "percentage", "timestamp", "market_id"}
    assert (ticker["bid"], ticker["ask"], ticker["last"]) == ("24000", None, "25050")
    assert (ticker["open"], ticker["high"], ticker["low"], ticker["change"]) == (
        "25000",
        "25100",
        "25000",
        "50",
    )
    assert (ticker["percentage"], ticker["timestamp"]) == ("0.20", NOW_MS)
    assert ticker["base_volume"] == str(3 * 10**12)
    assert ticker["quote_volume"] == "75150000"
    summaries = get(rest, "/v1/markets/summary")
    assert len(summaries) == 3
    assert summaries[0] == {
        "market_id": MARKET,
        "last_price": "25050",
        "high_price": "25100",
        "low_price": "25000",
        "volume_24h": str(3 * 10**12),
        "change_24h": "50",
    }
    assert summaries[1]["last_price"] is None
    assert get(rest, "/v1/markets/summary", market_id=MARKET) == summaries[:1]


def test_accounts(rest: Rest, exchange: Exchange, account: Account) -> None:
    exchange.place(account, MARKET, Side.BUY, price=24_000, quantity=10**12, order_type=SPOT)
    answer = get(rest, "/v1/accounts", owner=account.owner.id)
    assert answer["trade_account_id"] == account.trade_account_id
    assert answer["trade_account"]["nonce"] == "1"
    assert answer["trade_account"]["owner"] == {"Address": account.owner.id}
    assert answer == get(
        rest, "/v1/accounts", trade_account_id=account.trade_account_id.upper().replace("0X", "")
    )
    nobody = {"trade_account_id": None, "trade_account": None, "session": None}
    assert get(rest, "/v1/accounts", owner=account.trade_account_id) == nobody
    assert get(rest, "/v1/accounts", owner_contract=account.owner.id) == nobody


def test_balance(rest: Rest, exchange: Exchange, account: Account) -> None:
    market = exchange.markets.markets[0]
    exchange.place(account, MARKET, Side.BUY, price=25_000, quantity=10**12, order_type=SPOT)
    contract = account.trade_account_id
    answer = get(rest, "/v1/balance", asset_id=market.quote.asset, contract=contract)
    assert answer == {
        "total_locked": "25000000",
        "total_unlocked": str(10**18 - 25_000_000),
        "trading_account_balance": str(10**18 - 25_000_000),
        "order_books": {market.contract_id: {"locked": "25000000", "unlocked": "0", "fee": "0"}},
    }
    empty = get(rest, "/v1/balance", asset_id=market.quote.asset, address=account.owner.id)
    assert empty["total_unlocked"] == "0"


def test_orders_and_order(rest: Rest, exchange: Exchange, account: Account) -> None:
    orders = [
        exchange.place(account, MARKET, Side.BUY, price=24_000, quantity=10**12, order_type=SPOT)
        for _ in range(4)
    ]
    exchange.cancel(account, orders[1].order_id)
    asked: dict[str, object] = {"market_id": MARKET, "contract": account.trade_account_id, "direction": "asc"}
    answer = get(rest, "/v1/orders", **asked, count=200)
    assert answer["identity"] == {"ContractId": account.trade_account_id}
    assert [order["order_id"] for order in answer["orders"]] == [order.order_id for order in orders]
    still = get(rest, "/v1/orders", **asked, count=200, is_open="true")["orders"]
    assert [order["order_id"] for order in still] == [orders[n].order_id for n in (0, 2, 3)]
    cursor = {"start_timestamp": orders[2].timestamp, "start_order_id": orders[2].order_id}
    rest_of_them = get(rest, "/v1/orders", **asked, count=200, **cursor)["orders"]
    assert [order["order_id"] for order in rest_of_them] == [orders[3].order_id]
    one = get(rest, "/v1/order", market_id=MARKET, order_id=orders[1].order_id)["order"]
    assert (one["close"], one["cancel"]) == (True, True)
    nobody = get(rest, "/v1/orders", market_id=MARKET, account=account.owner.id, direction="asc", count=1)
    assert nobody["orders"] == []


@pytest.mark.parametrize(
    ("status", "code", "path", "query"),
    [
        (400, 1001, "/v1/depth", {"precision": "10"}),
        (400, 1001, "/v1/depth", {"market_id": "0x12", "precision": "10"}),
        (404, 2000, "/v1/depth", {"market_id": make_id("nowhere"), "precision": "10"}),
        (400, 1001, "/v1/depth", {"market_id": MARKET}),
        (400, 1001, "/v1/depth", {"market_id": MARKET, "precision": "5"}),
        (400, 1001, "/v1/depth", {"market_id": MARKET, "precision": "10", "limit": "-1"}),
        (400, 1001, "/v1/trades", {"market_id": MARKET, "direction": "desc"}),
        (400, 1001, "/v1/trades", {"market_id": MARKET, "count": "5"}),
        (400, 1001, "/v1/trades", {"market_id": MARKET, "count": "5", "direction": "up"}),
        (400, 5001, "/v1/trades", {"market_id": MARKET, "count": "51", "direction": "asc"}),
        (400, 5001, "/v1/trades", {"market_id": MARKET, "count": "0", "direction": "asc"}),
        (400, 1001, "/v1/trades", {"market_id": MARKET, "count": "²", "direction": "asc"}),
        (400, 1001, "/v1/trades", {"market_id": MARKET, "count": "9" * 5000, "direction": "asc"}),
        (
            400,
            7002,
            "/v1/trades",
            {"market_id": MARKET, "count": "5", "direction": "asc", "start_timestamp": "1"},
        ),
        (400, 1001, "/v1/bars", {"market_id": MARKET, "resolution": "7m", "from": "0", "to": "1"}),
        (400, 1001, "/v1/bars", {"market_id": MARKET, "resolution": "1m", "from": "0"}),
        (400, 7001, "/v1/bars", {"market_id": MARKET, "resolution": "1m", "from": "2", "to": "1"}),
        (400, 7001, "/v1/bars", {"market_id": MARKET, "resolution": "1s", "from": "0", "to": "5001000"}),
        (400, 1001, "/v1/accounts", {}),
        (400, 1001, "/v1/accounts", {"owner": MARKET, "trade_account_id": MARKET}),
        (400, 1001, "/v1/balance", {"asset_id": MARKET}),
        (400, 1001, "/v1/balance", {"contract": MARKET}),
        (
            400,
            7002,
            "/v1/orders",
            {"market_id": MARKET, "contract": MARKET, "direction": "asc", "count": "201"},
        ),
        (404, 3000, "/v1/order", {"market_id": MARKET, "order_id": MARKET}),
        (404, 1001, "/v1/nothing", {}),
        (404, 1001, "/", {}),
    ],
)
def test_refusals(rest: Rest, status: int, code: int, path: str, query: dict[str, str]) -> None:
    assert refused(rest, path, **query) == (status, code)


@pytest.mark.parametrize(
    "target", ["", "http://[::1", "*", "/v1/markets/", "//", "/v1/depth?%zz=%ff&&=&market_id="]
)
def test_no_target_breaks_it(rest: Rest, target: str) -> None:
    assert rest.respond("GET", target).status in {400, 404}


def test_wrong_method(rest: Rest) -> None:
    response = rest.respond("POST", "/v1/markets")
    assert response.status == 405
    assert ("Allow", "GET") in response.headers
