"""The public reads pass on what they are given: each once, by every name a market or an account may have."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio._reads import Reads
from o2trio.models import AccountInfo, Identity, Markets, normalize_id
from o2trio.wire import structure_json
from tests.rest.fake import Answer, Fake, json_answer
from tests.rest.test_rest_arguments import open_reads

MARKET = normalize_id("a1" * 32)
ID = normalize_id("c3" * 32)
ASSET = {"decimals": 9, "max_precision": 6}
MARKETS = {
    "markets": [
        {
            "contract_id": "01" * 32,
            "market_id": MARKET,
            "base": {"symbol": "AA", "asset": "0a" * 32, **ASSET},
            "quote": {"symbol": "QQ", "asset": "0b" * 32, **ASSET},
        }
    ]
}
ORDER = {"order_id": ID, "side": "buy", "order_type": "Spot", "price": 1, "quantity": 1}
BALANCE = {"total_locked": 1, "total_unlocked": 2, "trading_account_balance": 2}

ANSWERS: dict[str, Any] = {
    "/health": {"status": "ok"},
    "/v1/markets": MARKETS,
    "/v1/markets/fees": {},
    "/v1/depth": {"buys": [], "sells": []},
    "/v1/accounts": {"trade_account_id": ID},
    "/v1/accounts/window": {"base": 0},
    "/v1/balance": BALANCE,
    "/v1/order": ORDER,
    "/v1/aggregated/orderbook": {"bids": []},
    "/v1/aggregated/coingecko/orderbook": {"asks": []},
}

Call = Callable[[Any, Any, Any], Awaitable[Any]]
CALLS: dict[str, tuple[str, Call]] = {
    "get_health": ("/health", lambda reads, market, account: reads.get_health()),
    "get_fees": ("/v1/markets/fees", lambda reads, market, account: reads.get_fees(market)),
    "get_summary": ("/v1/markets/summary", lambda reads, market, account: reads.get_summary(market)),
    "get_summaries": ("/v1/markets/summary", lambda reads, market, account: reads.get_summaries()),
    "get_ticker": ("/v1/markets/ticker", lambda reads, market, account: reads.get_ticker(market)),
    "get_depth": ("/v1/depth", lambda reads, market, account: reads.get_depth(market)),
    "get_bars": ("/v1/bars", lambda reads, market, account: reads.get_bars(market, "1m", count_back=9)),
    "get_trades": ("/v1/trades", lambda reads, market, account: reads.get_trades(market)),
    "get_trades_by_account": (
        "/v1/trades_by_account",
        lambda reads, market, account: reads.get_trades_by_account(account, market),
    ),
    "get_account": ("/v1/accounts", lambda reads, market, account: reads.get_account(account)),
    "get_account_window": (
        "/v1/accounts/window",
        lambda reads, market, account: reads.get_account_window(account, 3),
    ),
    "get_balance": ("/v1/balance", lambda reads, market, account: reads.get_balance(account, "0a" * 32)),
    "get_balances": ("/v1/balance", lambda reads, market, account: reads.get_balances(account)),
    "get_orders": ("/v1/orders", lambda reads, market, account: reads.get_orders(account, market)),
    "get_order": ("/v1/order", lambda reads, market, account: reads.get_order(market, ID)),
    "get_active_orders": (
        "/v1/orders/active",
        lambda reads, market, account: reads.get_active_orders(account, market),
    ),
    "get_aggregated_assets": (
        "/v1/aggregated/assets",
        lambda reads, market, account: reads.get_aggregated_assets(),
    ),
    "get_aggregated_orderbook": (
        "/v1/aggregated/orderbook",
        lambda reads, market, account: reads.get_aggregated_orderbook("A_B"),
    ),
    "get_aggregated_summary": (
        "/v1/aggregated/summary",
        lambda reads, market, account: reads.get_aggregated_summary(),
    ),
    "get_aggregated_ticker": (
        "/v1/aggregated/ticker",
        lambda reads, market, account: reads.get_aggregated_ticker(),
    ),
    "get_aggregated_trades": (
        "/v1/aggregated/trades",
        lambda reads, market, account: reads.get_aggregated_trades("A_B"),
    ),
    "get_coingecko_tickers": (
        "/v1/aggregated/coingecko/tickers",
        lambda reads, market, account: reads.get_coingecko_tickers(),
    ),
    "get_coingecko_orderbook": (
        "/v1/aggregated/coingecko/orderbook",
        lambda reads, market, account: reads.get_coingecko_orderbook("A_B"),
    ),
}


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


def answer(path: str, query: dict[str, str]) -> Answer:
    return json_answer(ANSWERS.get(path, []))


def test_every_read_is_here() -> None:
    methods = {name for name, _ in inspect.getmembers(Reads, inspect.iscoroutinefunction)}
    assert set(CALLS) == {name for name in methods if not name.startswith("_")}


@pytest.mark.parametrize("name", CALLS)
async def test_by_every_name(nursery: trio.Nursery, clock: MockClock, name: str) -> None:
    path, call = CALLS[name]
    (market,) = structure_json(repr(MARKETS).replace("'", '"'), Markets)
    fake = Fake(nursery, answer)
    async with open_reads(fake.network) as reads:
        for called in (MARKET, MARKET.upper(), market, "AA/QQ", "aa/qq"):
            for account in (ID, AccountInfo(trade_account_id=ID), Identity.contract(ID)):
                fake.asked.clear()
                await call(reads, called, account)
                asked = [(where, query) for where, query in fake.asked if where != "/v1/markets"]
                assert {where for where, _ in asked} == {path}
                for _, query in asked:
                    assert query.get("market_id", MARKET) == MARKET
                    assert query.get("contract", ID) == ID
                    assert query.get("trade_account_id", ID) == ID


async def test_owners(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, answer)
    async with open_reads(fake.network) as reads:
        for owner in (ID, Identity.address(ID), Identity.contract(ID)):
            await reads.get_account(owner=owner)
    assert [query for _, query in fake.asked] == [{"owner": ID}, {"owner": ID}, {"owner_contract": ID}]


async def test_markets_are_looked_up_once(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, answer)
    async with open_reads(fake.network) as reads:
        pages = reads.iter_trades("AA/QQ")
        assert pages.cursor is None
        assert not fake.asked
        assert [trade async for trade in pages] == []
        assert [order async for order in reads.iter_orders(ID, "AA/QQ")] == []
    assert [path for path, _ in fake.asked] == ["/v1/markets", "/v1/trades", "/v1/orders"]


async def test_every_call_may_be_cancelled(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, answer)
    async with open_reads(fake.network) as reads:
        for _, call in CALLS.values():
            with trio.CancelScope() as scope:
                scope.cancel()
                await call(reads, "AA/QQ", ID)
            assert scope.cancelled_caught
        assert not fake.asked
        for _, call in CALLS.values():
            await call(reads, "AA/QQ", ID)
