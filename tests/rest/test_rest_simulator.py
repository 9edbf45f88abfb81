"""The client and the public reads against the embedded exchange, in several of its flavors."""

from __future__ import annotations

import math

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio._api_errors import MarketNotFound, OrderNotFound
from o2trio._bars import moment_of
from o2trio._errors import UnknownMarket
from o2trio._network import Options
from o2trio.models import Cursor, DepthChanges, Identity, OrderState, Origin, Resolution
from o2trio.rest import RestClient
from o2trio.simulator import Flavor, Simulator, open_simulator
from tests.rest.test_rest_arguments import open_reads

PAIR = "fFUEL/fUSDC"
OPTIONS = Options()
FLAVORS = [
    Flavor(),
    Flavor(
        snapshot_key="orders", ids="upper", order_flavor=1, onchain_timestamp="null",
        seen_timestamp="absent", nonce="hex", trade_parties=False, trade_id="number", cursor_inclusive=True,
    ),
    Flavor(ids="bare", nonce="number", cursor_inclusive=True),
]  # fmt: skip


def ids(simulator: Simulator, flavor: Flavor) -> list[str]:
    """Return the ids of all trades, oldest first, as the client should read them."""
    market = simulator.market(PAIR)
    return [str(flavor.trade_id_value(trade)) for trade in simulator.exchange.trades(market.market_id)]


@pytest.fixture(params=range(len(FLAVORS)))
def flavor(request: pytest.FixtureRequest) -> Flavor:
    chosen: int = request.param
    return FLAVORS[chosen]


async def test_market_data(autojump_clock: MockClock, flavor: Flavor) -> None:
    async with open_simulator(seed=3, flow=False, flavor=flavor) as sim, open_reads(sim.network) as reads:
        sim.run_flow(600)
        market, exchange = sim.market(PAIR), sim.exchange
        assert await reads.get_health() == "ok"
        assert [entry.market_id for entry in await reads.get_summaries()] == [
            each.market_id for each in exchange.markets.markets
        ]
        for precision in (1, 5):
            depth = await reads.get_depth(PAIR, precision)
            assert depth.changes == exchange.book(market.market_id, precision)
            assert (depth.origin, depth.precision, depth.market_id) == (
                Origin.SNAPSHOT, precision, market.market_id,
            )  # fmt: skip
        book = exchange.book(market.market_id, 1)
        top = await reads.get_depth(market, limit=2)
        assert top.changes == DepthChanges(book.bids[:2], book.asks[:2])

        trades = exchange.trades(market.market_id)
        summary, ticker = await reads.get_summary(PAIR), await reads.get_ticker(market)
        assert summary.last_price == ticker.last == trades[-1].price
        assert summary.market_id == ticker.market_id == market.market_id
        exact = exchange.book(market.market_id)
        assert (ticker.bid, ticker.ask) == (exact.bids[0].price, exact.asks[0].price)
        assert summary.volume_24h == ticker.base_volume == sum(trade.quantity for trade in trades)

        end = moment_of(trades[-1]) + 1
        bars = await reads.get_bars(PAIR, Resolution.MINUTE_1, start=moment_of(trades[0]) - 60_000, end=end)
        assert bars
        assert sum(bar.volume or 0 for bar in bars) == sum(trade.quantity for trade in trades)
        assert bars[-1].close == trades[-1].price
        assert await reads.get_bars(PAIR, "1m", end=end, count_back=5000) == bars


async def test_trades_page_by_page(autojump_clock: MockClock, flavor: Flavor) -> None:
    async with open_simulator(seed=5, flow=False, flavor=flavor) as sim, open_reads(sim.network) as reads:
        sim.run_flow(1200)
        truth = ids(sim, flavor)
        assert len(truth) > 120
        assert [trade.trade_id async for trade in reads.iter_trades(PAIR)] == truth
        assert [trade.trade_id async for trade in reads.iter_trades(PAIR, "desc")] == truth[::-1]
        page = await reads.get_trades(PAIR, 7, "asc")
        assert [trade.trade_id for trade in page] == truth[:7]
        rest = [trade.trade_id async for trade in reads.iter_trades(PAIR, after=page[-1])]
        assert rest == truth[7:]
        rest = [trade.trade_id async for trade in reads.iter_trades(PAIR, "desc", Cursor.of(page[-1]))]
        assert rest == truth[:6][::-1]


async def test_account_data(autojump_clock: MockClock, flavor: Flavor) -> None:
    async with open_simulator(seed=7, flow=False, flavor=flavor) as sim, open_reads(sim.network) as reads:
        account, market = sim.create_account(), sim.market(PAIR)
        placed = []
        for number in range(230):
            placed.append(
                sim.place(account, PAIR, "buy", price="0.0001", quantity="100000", order_type="Spot")
            )
            if number % 20 == 0:
                await trio.sleep(1)
        for order in placed[::2]:
            sim.cancel(account, order)

        info = await reads.get_account(account.trade_account_id)
        assert info is not None
        assert (info.nonce, info.owner, info.sync_state) == (account.nonce, account.owner, "V3")
        assert await reads.get_account(owner=account.owner) == info
        assert await reads.get_account(Identity.contract("99" * 32)) is None

        balance = await reads.get_balance(account.info, "FUSDC")
        assert balance == account.balance(market.quote.asset)
        assert await reads.get_balance(account.identity, market.quote) == balance
        balances = await reads.get_balances(account.trade_account_id)
        assert balance in balances
        assert len({entry.asset_id for entry in balances}) == len(balances)

        orders = [order async for order in reads.iter_orders(account.identity, PAIR)]
        assert [order.order_id for order in orders] == [order.order_id for order in placed]
        assert {(order.market_id, order.owner) for order in orders} == {(market.market_id, account.identity)}
        newest = await reads.get_orders(account.info, market, 3)
        assert [order.order_id for order in newest] == [order.order_id for order in placed[:-4:-1]]
        still = [
            order.order_id async for order in reads.iter_orders(account.info, PAIR, "desc", only_open=True)
        ]
        assert still == [order.order_id for order in placed[1::2]][::-1]
        one = await reads.get_order(PAIR, placed[0].order_id)
        assert one.state is OrderState.CANCELLED
        with pytest.raises(OrderNotFound):
            await reads.get_order(PAIR, "77" * 32)


async def test_errors(autojump_clock: MockClock) -> None:
    async with open_simulator(flow=False) as sim, open_reads(sim.network) as reads:
        with pytest.raises(MarketNotFound) as caught:
            await reads.get_ticker("88" * 32)
        assert (caught.value.code, caught.value.status) == (2000, 404)
        with pytest.raises(UnknownMarket, match=PAIR):
            await reads.get_ticker("no/such")


async def test_connections_are_used_again(autojump_clock: MockClock) -> None:
    async with open_simulator(flow=False) as sim:
        dial, dials = sim.network.dialer, 0
        assert dial is not None

        async def count(host: str, port: int) -> trio.abc.Stream:
            nonlocal dials
            dials += 1
            return await dial(host, port)

        network = attrs.evolve(sim.network, dialer=count)
        async with RestClient(network, OPTIONS) as rest:
            for _ in range(2):
                await rest.markets()
        assert dials == 1


async def test_many_pages_keep_to_the_rate(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=5, flow=False) as sim:
        sim.run_flow(600)
        market = sim.market(PAIR)
        async with RestClient(sim.network, Options(reads_per_second=2)) as rest:
            found = [trade async for trade in rest.iter_trades(market, count=4)]
        pages = math.ceil(len(found) / 4) + (len(found) % 4 == 0)
        assert autojump_clock.current_time() >= (pages - 1) // 2
