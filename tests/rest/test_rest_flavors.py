"""Every documented flavor of every answer, and the request that asks for it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import models as m
from o2trio._errors import DecodeError
from o2trio.rest import RestClient
from tests.rest.fake import Fake, json_answer

D = Decimal
MARKET = m.normalize_id("a1" * 32)
OTHER = m.normalize_id("b2" * 32)
ACCOUNT = m.Identity.contract("c3" * 32)
WALLET = m.Identity.address("d4" * 32)
ORDER = m.normalize_id("e5" * 32)

Read = Callable[[RestClient], Awaitable[Any]]


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.fixture
def ask(nursery: trio.Nursery, clock: MockClock) -> Callable[..., Awaitable[Any]]:
    """Ask once; give the result and what was asked."""

    async def ask(read: Read, answer: Any) -> tuple[Any, tuple[str, dict[str, str]]]:
        fake = Fake(nursery, lambda *_: json_answer(answer))
        async with fake.client() as rest:
            result = await read(rest)
        (asked,) = fake.asked
        return result, asked

    return ask


LEVELS = {
    "objects": (
        [{"price": "20", "quantity": "5"}, {"price": "19", "quantity": "7"}],
        [{"price": "21", "quantity": "1"}, {"price": "22", "quantity": "2"}],
    ),
    "numbers": (
        [{"price": 20, "quantity": 5}, {"price": 19, "quantity": 7}],
        [{"price": 21, "quantity": 1}, {"price": 22, "quantity": 2}],
    ),
    "pairs": ([["20", "5"], ["19", "7"]], [["21", "1"], ["22", "2"]]),
    "pairs of numbers": ([[20, 5], [19, 7]], [[21, 1], [22, 2]]),
    "in disorder": ([["19", "7"], ["20", "5"]], [["22", "2"], ["21", "1"]]),
}
BOOK = m.DepthChanges((m.Level(20, 5), m.Level(19, 7)), (m.Level(21, 1), m.Level(22, 2)))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("wrap", ["orders", "view", "bare", "bare, no market", "view, no market"])
async def test_depth(ask: Any, levels: str, wrap: str) -> None:
    bids, asks = LEVELS[levels]
    sides: dict[str, Any] = {"buys": bids, "sells": asks}
    answer = {"action": "depth"} | (
        sides if wrap.startswith("bare") else {wrap.split(",", maxsplit=1)[0]: sides}
    )
    if "no market" not in wrap:
        answer["market_id"] = MARKET[2:].upper()
    update, asked = await ask(lambda rest: rest.depth(MARKET, 3), answer)
    assert update == m.DepthUpdate(market_id=MARKET, changes=BOOK, precision=3, origin=m.Origin.SNAPSHOT)
    assert asked == ("/v1/depth", {"market_id": MARKET, "precision": "1000"})


async def test_depth_with_a_limit_that_the_server_ignores(ask: Any) -> None:
    bids, asks = LEVELS["objects"]
    update, asked = await ask(
        lambda rest: rest.depth(MARKET, limit=1), {"orders": {"buys": bids, "sells": asks}}
    )
    assert update.changes == m.DepthChanges(BOOK.bids[:1], BOOK.asks[:1])
    assert asked[1] == {"market_id": MARKET, "precision": "10", "limit": "1"}


async def test_an_empty_book(ask: Any) -> None:
    several: list[dict[str, Any]] = [{"buys": [], "sells": []}, {"buys": [], "sells": None}]
    for sides in several:
        update, _ = await ask(lambda rest: rest.depth(MARKET), {"orders": sides})
        assert update.changes == m.DepthChanges()


TRADE = {"trade_id": "0xaa/0xbb", "side": "buy", "price": "2", "quantity": "3", "total": "6", "timestamp": 7}
TRADES = [
    TRADE,
    {
        **TRADE,
        "trade_id": 2**60,
        "side": "Sell",
        "timestamp": "8",
        "trader_side": "both",
        "maker": {"ContractId": ACCOUNT.id},
        "taker": None,
    },
]


@pytest.mark.parametrize("wrap", [{"action": "trades", "market_id": MARKET, "trades": TRADES}, TRADES])
async def test_trades(ask: Any, wrap: Any) -> None:
    after = m.Cursor(5, "0xaa/0xbb")
    (first, second), asked = await ask(lambda rest: rest.trades(MARKET, 20, "asc", after), wrap)
    assert first == m.Trade(trade_id="0xaa/0xbb", side=m.Side.BUY, price=2, quantity=3, total=6, timestamp=7)
    assert (second.trade_id, second.side, second.timestamp) == (str(2**60), m.Side.SELL, 8)
    assert (second.maker, second.trader_side) == (ACCOUNT, m.TraderSide.BOTH)
    query = {"market_id": MARKET, "direction": "asc", "count": "20"}
    assert asked == ("/v1/trades", query | {"start_timestamp": "5", "start_trade_id": "0xaa/0xbb"})


@pytest.mark.parametrize(("who", "key"), [(ACCOUNT, "contract"), (WALLET, "account")])
async def test_trades_by_account(ask: Any, who: m.Identity, key: str) -> None:
    trades, asked = await ask(lambda rest: rest.trades_by_account(MARKET, who), {"trades": TRADES})
    assert len(trades) == 2
    query = {"market_id": MARKET, "direction": "desc", "count": "50", key: who.id}
    assert asked == ("/v1/trades_by_account", query)


PRICES = {"open": "1", "high": "4", "low": "1", "close": "3"}
MINUTE = 1_704_067_200_000
BAR: dict[str, Any] = {"timestamp": MINUTE, "open": 1, "high": 4, "low": 1, "close": 3}


@pytest.mark.parametrize(
    ("bar", "volumes"),
    [
        ({"timestamp": MINUTE, "buy_volume": "5", "sell_volume": "6"}, (5, 6, 11)),
        ({"time": str(MINUTE), "volume": "11"}, (None, None, 11)),
        ({"timestamp": MINUTE, "buy_volume": 5, "sell_volume": 6, "volume": "12"}, (5, 6, 12)),
        ({"timestamp": MINUTE, "volume": None}, (None, None, None)),
        ({"timestamp": MINUTE, "buy_volume": "5"}, (5, None, None)),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
async def test_bars(ask: Any, bar: Any, volumes: tuple[int | None, ...], wrapped: bool) -> None:
    bars = [{**PRICES, **bar}]
    answer = {"action": "bars", "market_id": MARKET, "bars": bars} if wrapped else bars
    (got,), asked = await ask(
        lambda rest: rest.bars(MARKET, "1m", start=1_704_000_000_000, end=datetime(2024, 1, 1, tzinfo=UTC)),
        answer,
    )
    assert (got.buy_volume, got.sell_volume, got.volume) == volumes
    assert attrs.evolve(got, buy_volume=None, sell_volume=None, volume=None) == m.Bar(**BAR)
    assert got.time == datetime(2024, 1, 1, tzinfo=UTC)
    times = {"from": "1704000000000", "to": "1704067200000"}
    assert asked == ("/v1/bars", {"market_id": MARKET, "resolution": "1m", **times})


async def test_bars_come_oldest_first_and_can_be_counted_back(ask: Any) -> None:
    bars = [{**PRICES, "timestamp": time} for time in (MINUTE + 60_000, MINUTE)]
    got, asked = await ask(lambda rest: rest.bars(MARKET, m.Resolution.HOUR_1, end=0, count_back=5000), bars)
    assert [bar.timestamp for bar in got] == [MINUTE, MINUTE + 60_000]
    assert asked[1] == {"market_id": MARKET, "resolution": "1h", "count_back": "5000", "to": "0"}


SUMMARY = m.MarketSummary(
    market_id=MARKET, last_price=3, high_price=4, low_price=1, volume_24h=5, change_24h=D("-1.50")
)


@pytest.mark.parametrize(
    "entry",
    [
        {
            "market_id": MARKET,
            "last_price": "3",
            "high_price": "4",
            "low_price": 1,
            "volume_24h": "5",
            "change_24h": "-1.50",
        },
        {"last_price": "3", "high_price": "4", "low_price": "1", "volume_24h": 5, "change_24h": b"-1.50"},
        {
            "market_id": MARKET,
            "price": "3",
            "highest_price_24h": "4",
            "lowest_price_24h": "1",
            "base_volume": "5",
            "price_change_percent_24h": "-1.50",
        },
    ],
)
@pytest.mark.parametrize("listed", [True, False])
async def test_summary(ask: Any, entry: Any, listed: bool) -> None:
    text = raw_numbers([entry] if listed else entry)
    got, asked = await ask(lambda rest: rest.summary(MARKET), text)
    assert got == SUMMARY
    assert str(got.change_24h) == "-1.50"
    assert asked == ("/v1/markets/summary", {"market_id": MARKET})


def raw_numbers(value: Any) -> bytes:
    """Return JSON in which every bytes value stands as it is, unquoted."""
    literals: list[str] = []

    def keep(value: bytes) -> str:
        literals.append(value.decode())
        return f"@{len(literals) - 1}@"

    text = json.dumps(value, default=keep)
    for index, literal in enumerate(literals):
        text = text.replace(f'"@{index}@"', literal)
    return text.encode()


async def test_a_summary_of_nulls_and_of_nothing(ask: Any) -> None:
    nulls = dict.fromkeys(attrs.fields_dict(m.MarketSummary))
    for answer in ([{**nulls, "market_id": MARKET}], [{"market_id": OTHER, "last_price": "1"}], []):
        got, _ = await ask(lambda rest: rest.summary(MARKET), answer)
        assert got == m.MarketSummary(market_id=MARKET)


async def test_summaries(ask: Any) -> None:
    for answer in ([{"market_id": MARKET, "last_price": 1}], {MARKET: {"last_price": "1"}}):
        got, asked = await ask(lambda rest: rest.summaries(), answer)
        assert got == (m.MarketSummary(market_id=MARKET, last_price=1),)
        assert asked == ("/v1/markets/summary", {})


RECORDED = {
    "ask": "22",
    "ask_volume": "3",
    "average": "20.5",
    "base_volume": "100",
    "bid": "20",
    "bid_volume": "4",
    "change": "-2",
    "close": "21",
    "high": "30",
    "last": "21",
    "low": "10",
    "open": "23",
    "previous_close": None,
    "quote_volume": "2100",
    "percentage": "-8.69",
    "timestamp": 1_700_000_000_000,
}


async def test_ticker_as_recorded(ask: Any) -> None:
    for answer in (
        [RECORDED],
        RECORDED,
        [{"market_id": OTHER, "last": "1"}, {**RECORDED, "market_id": MARKET}],
    ):
        got, asked = await ask(lambda rest: rest.ticker(MARKET), answer)
        assert got == m.Ticker(
            market_id=MARKET,
            ask=22,
            ask_volume=3,
            average=D("20.5"),
            base_volume=100,
            bid=20,
            bid_volume=4,
            change=D(-2),
            close=21,
            high=30,
            last=21,
            low=10,
            open=23,
            quote_volume=2100,
            percentage=D("-8.69"),
            timestamp=1_700_000_000_000,
        )
        assert got.time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
        assert asked == ("/v1/markets/ticker", {"market_id": MARKET})


@pytest.mark.parametrize(
    ("name", "value"), [("last", "oops"), ("best_bid", True), ("change", "1.2.3"), ("timestamp", "noon")]
)
async def test_an_odd_number_costs_no_other(ask: Any, name: str, value: Any) -> None:
    got, _ = await ask(lambda rest: rest.ticker(MARKET), [{"ask": "7", name: value}])
    assert (got.ask, got.last, got.bid, got.change, got.timestamp) == (7, None, None, None, None)
    assert {key: str(raw) for key, raw in got.unread.items()} == {name: str(value)}


async def test_ticker_with_the_names_of_other_clients(ask: Any) -> None:
    other = {"last_price": "21", "best_bid": "20", "best_ask": "22"}
    got, _ = await ask(lambda rest: rest.ticker(MARKET), [other])
    assert got == m.Ticker(market_id=MARKET, last=21, bid=20, ask=22)
    assert got.time is None
    got, _ = await ask(lambda rest: rest.ticker(MARKET), {**other, "last": "5", "bid": None})
    assert (got.last, got.bid) == (5, 20)


async def test_fees_and_health(ask: Any) -> None:
    fees, asked = await ask(lambda rest: rest.fees(MARKET), b'{"maker": 0.10, "tiers": [{"a": null}]}')
    assert asked == ("/v1/markets/fees", {"market_id": MARKET})
    assert isinstance(fees, Mapping)
    assert str(fees["maker"]) == "0.10"
    assert fees["tiers"][0] == {"a": None}
    with pytest.raises(TypeError):
        fees["maker"] = 1  # type: ignore[index]  # that it cannot be done is the point
    assert (await ask(lambda rest: rest.fees(), b"null")) == (None, ("/v1/markets/fees", {}))
    assert (await ask(lambda rest: rest.health(), {"status": "ok"})) == ("ok", ("/health", {}))


@pytest.mark.parametrize("nonce", ["7", 7, "0x7"], ids=repr)
async def test_account(ask: Any, nonce: Any) -> None:
    answer = {
        "trade_account_id": ACCOUNT.id,
        "trade_account": {
            "last_modification": 5,
            "nonce": nonce,
            "owner": {"Address": WALLET.id},
            "synced_with_network": True,
            "sync_state": {"V3": [1]},
        },
        "session": {"session_id": {"Address": ORDER}, "expiry": "99", "contract_ids": [MARKET[2:]]},
    }
    got, asked = await ask(lambda rest: rest.account(ACCOUNT.id), answer)
    assert got == m.AccountState(
        trade_account_id=ACCOUNT.id,
        nonce=7,
        owner=WALLET,
        last_modification=5,
        synced_with_network=True,
        sync_state={"V3": (1,)},
        session=m.RegisteredSession(session_id=m.Identity.address(ORDER), expiry=99, contract_ids=(MARKET,)),
    )
    assert asked == ("/v1/accounts", {"trade_account_id": ACCOUNT.id})
    assert isinstance(got, m.AccountInfo)
    hash(got)


async def test_account_window(ask: Any) -> None:
    answer = {
        "nonce_session_id": "2",
        "base": str(2**100),
        "slots": [{"word_position": "5", "bitmap": str(2**127)}],
    }
    got, asked = await ask(lambda rest: rest.account_window(ACCOUNT.id, 2), answer)
    slots = (m.WindowSlot(word_position=5, bitmap=2**127),)
    assert got == m.AccountWindow(nonce_session_id=2, base=2**100, slots=slots)
    assert asked == ("/v1/accounts/window", {"trade_account_id": ACCOUNT.id, "nonce_session_id": "2"})


COMMON = {
    "order_id": ORDER,
    "side": "buy",
    "quantity": "10",
    "quantity_fill": "4",
    "price": "2",
    "price_fill": "2",
    "timestamp": "1700000000",
    "close": False,
    "cancel": False,
}
FLAVORS = [
    COMMON
    | {
        "order_type": {"Limit": [2, 1700000000]},
        "account": {"ContractId": ACCOUNT.id},
        "desired_quantity": {"Base": {"remaining_quantity": 6}},
        "base_decimals": 9,
        "fill": {"order_id": ORDER, "price": "2", "quantity": "4", "timestamp": "1"},
        "order_tx_history": [{"tx_id": ORDER, "status": "confirmed", "type": "created"}],
    },
    COMMON
    | {
        "order_type": "Spot",
        "owner": {"ContractId": ACCOUNT.id},
        "market_id": MARKET,
        "fills": [{"order_id": ORDER, "price": "2", "quantity": "4", "timestamp": "1"}],
        "history": [{"tx_id": ORDER, "status": "confirmed", "type": "created"}],
    },
    COMMON
    | {
        "order_type": "Spot",
        "partially_filled": None,
        "owner": None,
        "fills": [{"order_id": ORDER, "price": 2, "quantity": 4, "timestamp": 1}],
        "history": [{"tx_id": ORDER, "status": "confirmed", "type": "created"}],
    },
]


@pytest.mark.parametrize("order", FLAVORS)
@pytest.mark.parametrize("wrapped", [True, False])
async def test_orders(ask: Any, order: Any, wrapped: bool) -> None:
    answer = {"identity": {"ContractId": ACCOUNT.id}, "market_id": MARKET, "orders": [order]}
    (got,), asked = await ask(
        lambda rest: rest.orders(MARKET, ACCOUNT, 5, "asc", only_open=True),
        answer if wrapped else [order],
    )
    assert (got.order_id, got.owner, got.market_id) == (ORDER, ACCOUNT, MARKET)
    assert got.fills == (m.Fill(order_id=ORDER, price=2, quantity=4, timestamp=1),)
    assert got.history == (m.OrderTransaction(tx_id=ORDER, status="confirmed", type="created"),)
    assert got.state is m.OrderState.PARTIALLY_FILLED
    query = {"market_id": MARKET, "contract": ACCOUNT.id, "direction": "asc", "count": "5", "is_open": "true"}
    assert asked == ("/v1/orders", query)


async def test_orders_after_an_order(ask: Any) -> None:
    after = m.Order(
        order_id=ORDER, side=m.Side.BUY, order_type=m.OrderType("Spot"), price=1, quantity=1, timestamp=9
    )
    got, asked = await ask(lambda rest: rest.orders(MARKET, WALLET, after=after), [])
    assert got == ()
    query = {"market_id": MARKET, "account": WALLET.id, "direction": "desc", "count": "200"}
    assert asked[1] == query | {"start_timestamp": "9", "start_order_id": ORDER}


@pytest.mark.parametrize("order", FLAVORS)
@pytest.mark.parametrize("wrapped", [True, False])
async def test_order(ask: Any, order: Any, wrapped: bool) -> None:
    got, asked = await ask(
        lambda rest: rest.order(MARKET, ORDER.upper()), {"order": order} if wrapped else order
    )
    assert (got.order_id, got.market_id, got.quantity_open) == (ORDER, MARKET, 6)
    assert asked == ("/v1/order", {"market_id": MARKET, "order_id": ORDER})


async def test_active_orders(ask: Any) -> None:
    entries = [
        {"kind": "order", "order_id": ORDER},
        {"kind": "new", "order_id": ORDER, "triggers": [{"a": 1.5}]},
    ]
    for answer in (
        {"identity": {"ContractId": ACCOUNT.id}, "market_id": MARKET, "entries": entries},
        entries,
    ):
        got, asked = await ask(lambda rest: rest.active_orders(MARKET, ACCOUNT), answer)
        assert got == (
            m.ActiveOrder(kind="order", order_id=ORDER),
            m.ActiveOrder(kind="new", order_id=ORDER, triggers=({"a": D("1.5")},)),
        )
        query = {"market_id": MARKET, "contract": ACCOUNT.id, "direction": "desc", "count": "50"}
        assert asked == ("/v1/orders/active", query)


async def test_balances(nursery: trio.Nursery, clock: MockClock) -> None:
    def answer(path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        amount = str(int(query["asset_id"][2:4], 16))
        return json_answer(
            {
                "total_locked": "0",
                "total_unlocked": amount,
                "trading_account_balance": 0,
                "total_fee": "1",
                "block_timestamp": None,
            }
        )

    fake = Fake(nursery, answer)
    async with fake.client() as rest:
        got = await rest.balances(ACCOUNT, ["0c" * 32, "0a" * 32, "0c" * 32])
        assert len(fake.asked) == 2
        assert await rest.balances(ACCOUNT, []) == ()
        await rest.balances(ACCOUNT, [f"{number:064x}" for number in range(9)])
    assert [balance.total_unlocked for balance in got] == [12, 10, 12]
    assert fake.dials == 4  # so many at the same time


async def test_one_failing_balance_is_one_bare_error(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"total_locked": "no"}))
    async with fake.client() as rest:
        with pytest.raises(DecodeError):
            await rest.balances(ACCOUNT, ["0c" * 32, "0a" * 32])


# -- aggregated: exact decimals, maps and lists --------------------------------------------------------

LONG = b"0.1000000000000000055511151231257827"
ASSET = m.AggregatedAsset(
    symbol="FUEL",
    name="Fuel",
    unified_cryptoasset_id=1,
    can_withdraw=True,
    can_deposit=False,
    min_withdraw=D("0.10"),
    min_deposit=D(1),
    maker_fee=D(LONG.decode()),
    taker_fee=D("1E-7"),
)
ASSET_JSON = {
    "name": "Fuel",
    "unified_cryptoasset_id": "1",
    "can_withdraw": True,
    "can_deposit": False,
    "min_withdraw": b"0.10",
    "min_deposit": 1,
    "maker_fee": LONG,
    "taker_fee": "1e-7",
}


@pytest.mark.parametrize("answer", [{"FUEL": ASSET_JSON}, [{"symbol": "FUEL", **ASSET_JSON}]])
async def test_aggregated_assets(ask: Any, answer: Any) -> None:
    got, asked = await ask(lambda rest: rest.aggregated_assets(), raw_numbers(answer))
    assert got == (ASSET,)
    assert str(got[0].min_withdraw) == "0.10"
    assert asked == ("/v1/aggregated/assets", {})
    assert (await ask(lambda rest: rest.aggregated_assets(), {}))[0] == ()


TICKER = {"last_price": b"0.02150", "base_volume": "12.5", "quote_volume": 3}


@pytest.mark.parametrize(
    "answer",
    [
        {"FUEL_USDC": TICKER},
        [{"market_pair": "FUEL_USDC", **TICKER}],
        {"market_pair": "FUEL_USDC", **TICKER},
    ],
)
async def test_aggregated_ticker(ask: Any, answer: Any) -> None:
    got, _ = await ask(lambda rest: rest.aggregated_ticker(), raw_numbers(answer))
    assert got == (
        m.AggregatedTicker(
            market_pair="FUEL_USDC", last_price=D("0.0215"), base_volume=D("12.5"), quote_volume=D(3)
        ),
    )


async def test_aggregated_orderbook(ask: Any) -> None:
    answers = [
        {"timestamp": 5, "bids": [[b"0.10", 2]], "asks": [["0.3", "4.50"]]},
        {
            "time": "5",
            "bids": [{"price": b"0.10", "size": 2}],
            "asks": [{"price": "0.3", "quantity": "4.50"}],
        },
    ]
    for answer in answers:
        got, asked = await ask(lambda rest: rest.aggregated_orderbook("FUEL/USDC", 0), raw_numbers(answer))
        assert got == m.AggregatedBook(
            timestamp=5,
            bids=(m.AggregatedLevel(D("0.1"), D(2)),),
            asks=(m.AggregatedLevel(D("0.3"), D("4.5")),),
        )
        query = {"market_pair": "FUEL_USDC", "depth": "0", "level": "2"}
        assert asked == ("/v1/aggregated/orderbook", query)


async def test_aggregated_summary(ask: Any) -> None:
    entry = {
        "trading_pairs": "FUEL_USDC",
        "base_currency": "FUEL",
        "quote_currency": "USDC",
        "last_price": b"1.5",
        "lowest_ask": 2,
        "highest_bid": "1",
        "price_change_percent_24h": b"-0.5",
    }
    got, _ = await ask(lambda rest: rest.aggregated_summary(), raw_numbers([entry]))
    assert got == (
        m.AggregatedSummary(
            trading_pairs="FUEL_USDC",
            base_currency="FUEL",
            quote_currency="USDC",
            last_price=D("1.5"),
            lowest_ask=D(2),
            highest_bid=D(1),
            price_change_percent_24h=D("-0.5"),
        ),
    )


async def test_aggregated_trades(ask: Any) -> None:
    entry = {
        "trade_id": 2**80 + 1,
        "price": b"0.02",
        "base_volume": 5,
        "quote_volume": b"0.1",
        "timestamp": 1_700_000_000_000,
        "type": "buy",
    }
    for answer in ([entry], {"trades": [entry]}):
        got, asked = await ask(lambda rest: rest.aggregated_trades("FUEL_USDC"), raw_numbers(answer))
        assert got == (
            m.AggregatedTrade(
                trade_id=str(2**80 + 1),
                price=D("0.02"),
                base_volume=D(5),
                quote_volume=D("0.1"),
                timestamp=1_700_000_000_000,
                side=m.Side.BUY,
            ),
        )
        assert asked == ("/v1/aggregated/trades", {"market_pair": "FUEL_USDC"})


async def test_coingecko(ask: Any) -> None:
    entry = {"ticker_id": "FUEL_USDC", "last_price": b"0.02", "bid": "0.01", "high": None}
    got, _ = await ask(lambda rest: rest.coingecko_tickers(), raw_numbers([entry]))
    assert got == (m.CoinGeckoTicker(ticker_id="FUEL_USDC", last_price=D("0.02"), bid=D("0.01")),)
    answer = {"ticker_id": "FUEL_USDC", "timestamp": "5", "bids": [["1", "2"]], "asks": []}
    book, asked = await ask(lambda rest: rest.coingecko_orderbook("FUEL_USDC"), answer)
    assert book == m.AggregatedBook(ticker_id="FUEL_USDC", timestamp=5, bids=(m.AggregatedLevel(D(1), D(2)),))
    assert asked == ("/v1/aggregated/coingecko/orderbook", {"ticker_id": "FUEL_USDC"})


# -- what is no flavor ------------------------------------------------------------------------------

BROKEN: list[tuple[Read, Any, str]] = [
    (lambda rest: rest.trades(MARKET), {"action": "trades"}, "expected a list, not an object"),
    (lambda rest: rest.depth(MARKET), [1], "expected an object, not a list"),
    (lambda rest: rest.depth(MARKET), {"orders": {"buys": [["1"]]}}, "missing at"),
    (lambda rest: rest.depth(MARKET), {"orders": {"buys": [["1", "-1"]]}}, r"quantity"),
    (lambda rest: rest.ticker(MARKET), [{"market_id": "oops"}], r"\$\.market_id"),
    (lambda rest: rest.order(MARKET, ORDER), {"order": None}, "missing at"),
    (lambda rest: rest.aggregated_orderbook("A_B"), {"bids": [[1, []]]}, "size"),
    (lambda rest: rest.health(), "ok", "expected an object"),
]


@pytest.mark.parametrize(("read", "answer", "words"), BROKEN)
async def test_what_is_broken_is_named(ask: Any, read: Read, answer: Any, words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        await ask(read, raw_numbers(answer))
