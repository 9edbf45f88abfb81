"""A wrong argument raises InvalidRequest and nothing is dialled, not even to look up a pair."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import models as m
from o2trio._errors import InvalidRequest, UnknownMarket
from o2trio._network import NetworkConfig, Options
from o2trio._nursery import BareNursery
from o2trio._reads import Reads
from o2trio._runtime import Runtime
from o2trio.rest import RestClient
from tests.rest.fake import Fake, json_answer

MARKET = "0x" + "a1" * 32
ACCOUNT = m.Identity.contract("c3" * 32)
NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 - a time without a zone is the mistake
TIMELESS = m.Order(
    order_id=m.normalize_id("e5" * 32), side=m.Side.BUY, order_type=m.OrderType("Spot"), price=1, quantity=1
)
MS = 1_700_000_000_000


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


class Client(Reads):
    """The public reads without the rest of the public client."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime


@asynccontextmanager
async def open_reads(config: NetworkConfig, options: Options | None = None) -> AsyncGenerator[Client]:
    options = options or Options()
    async with RestClient(config, options) as rest, BareNursery() as nursery:
        yield Client(Runtime(config, options, rest, nursery))


async def unreachable(host: str, port: int) -> trio.abc.Stream:
    pytest.fail("the network was touched")


NOWHERE = NetworkConfig(name="n", rest_url="http://n.test", websocket_url="ws://n.test", dialer=unreachable)

# Each is tried with the REST client and a market id, and with the public client and a pair.
Call = Callable[[Any, Any], Awaitable[object]]
PAGES: list[dict[str, Any]] = [
    {"count": 0},
    {"count": -1},
    {"count": True},
    {"count": 1.5},
    {"count": "10"},
    {"count": None},
    {"direction": "up"},
    {"direction": "DESC"},
    {"direction": None},
]
CURSORS: list[Any] = [m.Cursor(-1, "x"), m.Cursor(1, ""), m.Cursor(True, "x"), (1, "x"), "x", TIMELESS]
BARS: list[tuple[Any, dict[str, Any]]] = [
    ("1x", {"start": 0, "end": MS}),
    ("7m", {"count_back": 5}),
    (60, {"count_back": 5}),
    ("1m", {}),
    ("1m", {"start": MS, "count_back": 5}),
    ("1m", {"count_back": 0}),
    ("1m", {"count_back": 5001}),
    ("1m", {"count_back": 2.0}),
    ("1m", {"start": MS, "end": MS - 1}),
    ("1m", {"start": MS, "end": MS + 5000 * 60_000 + 1}),
    ("1m", {"start": -1, "end": MS}),
    ("1m", {"start": MS // 1000, "end": MS}),
    ("1m", {"start": float(MS), "end": MS}),
    ("1m", {"start": MS, "end": MS * 1000}),
    ("1m", {"start": NAIVE, "end": MS}),
    ("1m", {"start": datetime(1960, 1, 1, tzinfo=UTC), "end": MS}),
]
DEPTHS: list[dict[str, Any]] = [
    {"precision": 0}, {"precision": 19}, {"precision": "10"}, {"precision": True},
    {"limit": 0}, {"limit": -1}, {"limit": 1.0},
]  # fmt: skip


@pytest.mark.parametrize("bad", [*PAGES, {"count": 51}], ids=repr)
async def test_pages_of_trades(clock: MockClock, bad: dict[str, Any]) -> None:
    async with RestClient(NOWHERE, Options()) as rest, open_reads(NOWHERE) as reads:
        calls: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: rest.trades(MARKET, **bad),
            lambda: rest.trades_by_account(MARKET, ACCOUNT, **bad),
            lambda: reads.get_trades("A/B", **bad),
            lambda: reads.get_trades_by_account(ACCOUNT, "A/B", **bad),
        )
        for call in calls:
            with pytest.raises(InvalidRequest):
                await call()
        with pytest.raises(InvalidRequest):
            rest.iter_trades(MARKET, **bad)


@pytest.mark.parametrize("bad", [*PAGES, {"count": 201}], ids=repr)
async def test_pages_of_orders(clock: MockClock, bad: dict[str, Any]) -> None:
    async with RestClient(NOWHERE, Options()) as rest, open_reads(NOWHERE) as reads:
        with pytest.raises(InvalidRequest):
            await rest.orders(MARKET, ACCOUNT, **bad)
        with pytest.raises(InvalidRequest):
            await reads.get_orders(ACCOUNT, "A/B", **bad)
        with pytest.raises(InvalidRequest):
            rest.iter_orders(MARKET, ACCOUNT, **bad)


@pytest.mark.parametrize("bad", CURSORS, ids=lambda bad: repr(bad)[:30])
async def test_cursors(clock: MockClock, bad: Any) -> None:
    async with RestClient(NOWHERE, Options()) as rest, open_reads(NOWHERE) as reads:
        for call in (
            lambda: rest.trades(MARKET, after=bad),
            lambda: rest.orders(MARKET, ACCOUNT, after=bad),
            lambda: reads.get_trades("A/B", cursor=bad),
            lambda: reads.get_orders(ACCOUNT, "A/B", cursor=bad),
        ):
            with pytest.raises(InvalidRequest):
                await call()
        # Iterations refuse when they are made, not when they begin.
        for make in (
            lambda: rest.iter_trades(MARKET, after=bad),
            lambda: reads.iter_trades("A/B", after=bad),
            lambda: reads.iter_orders(ACCOUNT, "A/B", after=bad),
        ):
            with pytest.raises(InvalidRequest):
                make()


@pytest.mark.parametrize(("resolution", "bad"), BARS, ids=repr)
async def test_bars(clock: MockClock, resolution: Any, bad: dict[str, Any]) -> None:
    async with RestClient(NOWHERE, Options()) as rest, open_reads(NOWHERE) as reads:
        with pytest.raises(InvalidRequest):
            await rest.bars(MARKET, resolution, **bad)
        with pytest.raises(InvalidRequest):
            await reads.get_bars("A/B", resolution, **bad)


@pytest.mark.parametrize("bad", DEPTHS, ids=repr)
async def test_depth(clock: MockClock, bad: dict[str, Any]) -> None:
    async with RestClient(NOWHERE, Options()) as rest, open_reads(NOWHERE) as reads:
        with pytest.raises(InvalidRequest):
            await rest.depth(MARKET, **bad)
        with pytest.raises(InvalidRequest):
            await reads.get_depth("A/B", **bad)


IDS: list[Call] = [
    lambda rest, bad: rest.summary(bad),
    lambda rest, bad: rest.ticker(bad),
    lambda rest, bad: rest.depth(bad),
    lambda rest, bad: rest.trades(bad),
    lambda rest, bad: rest.fees(bad),
    lambda rest, bad: rest.account(bad),
    lambda rest, bad: rest.account_window(bad),
    lambda rest, bad: rest.balance(ACCOUNT, bad),
    lambda rest, bad: rest.balances(ACCOUNT, [MARKET, bad]),
    lambda rest, bad: rest.order(MARKET, bad),
    lambda rest, bad: rest.order(bad, MARKET),
    lambda rest, bad: rest.balance(bad, MARKET),
    lambda rest, bad: rest.orders(MARKET, bad),
    lambda rest, bad: rest.active_orders(MARKET, bad),
    lambda rest, bad: rest.trades_by_account(MARKET, bad),
]


@pytest.mark.parametrize("call", range(len(IDS)))
async def test_ids(clock: MockClock, call: int) -> None:
    async with RestClient(NOWHERE, Options()) as rest:
        for bad in ("", "0x12", "A/B", "g" * 64, 5, b"a" * 64, MARKET + "0"):
            with pytest.raises(InvalidRequest):
                await IDS[call](rest, bad)


async def test_lanes_levels_and_pairs(clock: MockClock) -> None:
    async with RestClient(NOWHERE, Options()) as rest:
        lane: Any
        for lane in (-1, 5, "0", True):
            with pytest.raises(InvalidRequest, match="lane"):
                await rest.account_window(MARKET, lane)
        bad: Any
        for bad in ("", "FUEL", "FUEL_", "A_B_C", "A B_C", None, "A_B&x=1"):
            for read in (rest.aggregated_orderbook, rest.aggregated_trades, rest.coingecko_orderbook):
                with pytest.raises(InvalidRequest, match="pair"):
                    await read(bad)
        for depth in (-1, 501):
            with pytest.raises(InvalidRequest, match="depth"):
                await rest.aggregated_orderbook("A_B", depth)
        with pytest.raises(InvalidRequest, match="level"):
            await rest.aggregated_orderbook("A_B", 5, 1)


PUBLIC: list[Call] = [
    lambda reads, bad: reads.get_summary(bad),
    lambda reads, bad: reads.get_ticker(bad),
    lambda reads, bad: reads.get_depth(bad),
    lambda reads, bad: reads.get_bars(bad, "1m", count_back=5),
    lambda reads, bad: reads.get_trades(bad),
    lambda reads, bad: reads.get_orders(ACCOUNT, bad),
    lambda reads, bad: reads.get_order(bad, MARKET),
    lambda reads, bad: reads.get_active_orders(ACCOUNT, bad),
    lambda reads, bad: reads.get_balance(ACCOUNT, bad),
    lambda reads, bad: reads.get_account(bad),
    lambda reads, bad: reads.get_account(owner=bad),
    lambda reads, bad: reads.get_account_window(bad),
    lambda reads, bad: reads.get_balance(bad, "A"),
    lambda reads, bad: reads.get_balances(bad),
    lambda reads, bad: reads.get_orders(bad, "A/B"),
    lambda reads, bad: reads.get_trades_by_account(bad, "A/B"),
    lambda reads, bad: reads.get_active_orders(bad, "A/B"),
]


@pytest.mark.parametrize("call", range(len(PUBLIC)))
async def test_public_names(clock: MockClock, call: int) -> None:
    async with open_reads(NOWHERE) as reads:
        for bad in ("", 5, None, b"x", ["A/B"]):
            with pytest.raises(InvalidRequest):
                await PUBLIC[call](reads, bad)


async def test_an_account_or_its_owner(clock: MockClock) -> None:
    async with open_reads(NOWHERE) as reads:
        with pytest.raises(InvalidRequest, match="either"):
            await reads.get_account(ACCOUNT, owner=ACCOUNT)
        with pytest.raises(InvalidRequest, match="owner"):
            await reads.get_account(owner="me")


async def test_a_closed_client(clock: MockClock) -> None:
    async with open_reads(NOWHERE) as reads:
        reads._runtime.close()
        with pytest.raises(trio.ClosedResourceError):
            await reads.get_health()
        with pytest.raises(trio.ClosedResourceError):
            reads.iter_trades("A/B")


async def test_unknown_symbols(nursery: trio.Nursery, clock: MockClock) -> None:
    asset = {"decimals": 9, "max_precision": 6}
    first = {"contract_id": "01" * 32, "market_id": "02" * 32}
    base, other = {"symbol": "AA", "asset": "0a" * 32, **asset}, {"symbol": "aa", "asset": "0b" * 32, **asset}
    quote = {"symbol": "QQ", "asset": "0c" * 32, **asset}
    markets = [{**first, "base": base, "quote": quote}, {**first, "base": other, "quote": quote}]
    fake = Fake(nursery, lambda *_: json_answer({"markets": markets}))
    async with open_reads(fake.network) as reads:
        with pytest.raises(InvalidRequest, match="several assets"):
            await reads.get_balance(ACCOUNT, "AA")
        with pytest.raises(InvalidRequest, match="the markets trade: AA, QQ, aa"):
            await reads.get_balance(ACCOUNT, "nope")
        with pytest.raises(UnknownMarket):
            await reads.get_ticker("AA/ZZ")
