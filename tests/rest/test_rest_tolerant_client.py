"""The public client in front of unusual answers: what it asks for, what it returns, what raises."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import models as m
from o2trio import open_o2
from o2trio._errors import InvalidRequest, MarketUnreadable, UnknownMarket, WrongVenue
from tests.rest.fake import OPTIONS, Answer, Fake, json_answer

MARKET = m.normalize_id("a1" * 32)
OTHER = m.normalize_id("b2" * 32)
ACCOUNT = m.normalize_id("c3" * 32)
BALANCE = {"total_locked": "1", "total_unlocked": "2", "trading_account_balance": "2"}


def asset(symbol: str, number: int) -> dict[str, Any]:
    return {"symbol": symbol, "asset": f"{number:064x}", "decimals": 9, "max_precision": 6}


ROWS = [
    {"contract_id": "01" * 32, "market_id": MARKET, "base": asset("A", 1), "quote": asset("Q", 9)},
    {"contract_id": "none", "market_id": OTHER, "base": asset("B", 2), "quote": asset("Q", 9)},
]


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


def answer(path: str, query: dict[str, str]) -> Answer:
    turbo = query.get("turbo") == "true"
    if path == "/v1/markets":
        return json_answer({"markets": [{**row, "turbo": turbo} for row in ROWS[: 2 - turbo]]})
    if path == "/v1/balance":
        return json_answer(BALANCE)
    if path == "/v1/depth":
        return json_answer({"orders": {"buys": [["2", "3"]], "sells": []}, "turbo": turbo})
    return json_answer([])


async def test_only_asking_for_the_unreadable_market_raises(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, answer)
    async with open_o2(fake.network, options=OPTIONS) as o2:
        assert (await o2.get_market("A/Q")).market_id == MARKET
        assert (await o2.get_depth("a/q")).changes.best_bid == m.Level(2, 3)
        for name in ("B/Q", OTHER, OTHER[2:]):
            with pytest.raises(MarketUnreadable, match=r"contract_id"):
                await o2.get_market(name)
        with pytest.raises(MarketUnreadable, match="could not be read"):
            await o2.get_depth("B/Q")
        with pytest.raises(UnknownMarket, match="and 1 that could not be read"):
            await o2.get_market("C/Q")
        # Its id is enough where nothing else of it is needed.
        assert (await o2.get_depth(OTHER)).market_id == OTHER


async def test_balances_of_the_assets_of_unreadable_markets(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, answer)
    async with open_o2(fake.network, options=OPTIONS) as o2:
        found = {balance.asset_id for balance in await o2.get_balances(ACCOUNT)}
        assert found == {f"0x{number:064x}" for number in (1, 2, 9)}
        with pytest.raises(InvalidRequest, match="1 markets could not be read"):
            await o2.get_balance(ACCOUNT, "B")


async def test_each_venue_has_its_list_of_markets(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, answer)
    async with open_o2(fake.network, options=OPTIONS) as o2:
        spot, turbo = await o2.get_markets(), await o2.get_markets(turbo=True)
        assert [market.turbo for market in (*spot, *turbo)] == [False, True]
        assert (await o2.get_markets(), await o2.get_markets(turbo=True)) == (spot, turbo)
        assert len(fake.asked) == 2
        assert (await o2.get_market("A/Q", turbo=True)).turbo
        assert (await o2.get_depth("A/Q", turbo=True)).changes.best_bid
        assert fake.asked[2:] == [
            ("/v1/depth", {"market_id": MARKET, "precision": "10", "view": "demand", "turbo": "true"})
        ]
        with pytest.raises(UnknownMarket):
            await o2.get_depth("B/Q", turbo=True)


async def test_every_read_of_a_venue_names_it(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, answer)
    async with open_o2(fake.network, options=OPTIONS) as o2:
        await o2.get_summary(MARKET, turbo=True)
        await o2.get_summaries(turbo=True)
        await o2.get_ticker(MARKET, turbo=True)
        await o2.get_bars(MARKET, "1m", end=0, count_back=1, turbo=True)
        await o2.get_trades(MARKET, turbo=True)
        await o2.get_trades_by_account(ACCOUNT, MARKET, turbo=True)
        await o2.get_orders(ACCOUNT, MARKET, turbo=True)
        await o2.get_active_orders(ACCOUNT, MARKET, turbo=True)
        assert [trade async for trade in o2.iter_trades(MARKET, turbo=True)] == []
        assert [trade async for trade in o2.iter_trades(MARKET, account=ACCOUNT, turbo=True)] == []
        assert [order async for order in o2.iter_orders(ACCOUNT, MARKET, turbo=True)] == []
        assert {query.get("turbo") for _, query in fake.asked} == {"true"}
        fake.handler = lambda *_: json_answer({"order": {"order_id": MARKET, "turbo": False}})
        with pytest.raises(WrongVenue):
            await o2.get_order(MARKET, MARKET, turbo=True)
