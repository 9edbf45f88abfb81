"""The smaller examples do what they say, against the embedded exchange in virtual time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from examples import portfolio, quickstart_trader, taker_with_bounds
from examples.portfolio import Portfolio
from examples.taker_with_bounds import Taken, Taking
from o2trio import FuelWallet, Identity, NetworkConfig, Side, open_o2
from o2trio.simulator import Simulator, open_simulator

PAIR = "fFUEL/fUSDC"
ACTIONS = "/v1/session/actions"
PROGRAMS = Path(__file__).parents[2] / "examples"


@asynccontextmanager
async def exchange(*, flow: bool = True) -> AsyncIterator[tuple[Simulator, NetworkConfig]]:
    async with open_simulator(seed=3, flow=flow) as sim:
        yield sim, attrs.evolve(sim.network, clock=lambda: sim.exchange.now / 1e9)


# -- quickstart -------------------------------------------------------------------------------------


async def test_quickstart(autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]) -> None:
    owner = FuelWallet.generate()
    async with exchange(flow=False) as (sim, network):
        await quickstart_trader.main(network, owner)
        account = sim.exchange.account_of(owner.identity)
        assert account is not None
        bid, sale = sim.exchange.orders_of(account.trade_account_id, sim.market(PAIR).market_id)
        assert (bid.side, bid.cancel, bid.filled) == (Side.BUY, True, 0)
        assert (sale.side, sale.close, sale.cancel, sale.filled) == (Side.SELL, True, False, 500 * 10**9)
        usdc = sim.market(PAIR).quote.asset
        assert sim.exchange.outside[owner.identity, usdc] == 1_500_000
        assert account.balance(usdc).total == account.wallet(usdc), "all is settled"
    printed = capsys.readouterr().out
    assert "withdrawn in 0x" in printed
    assert printed.count("sold") == len(sale.fills)


async def test_quickstart_finds_out_about_lost_answers(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = FuelWallet.generate()
    async with exchange(flow=False) as (sim, network):
        # The bid lands, but its answer is lost; so is the answer to its cancellation.
        sim.rest.cut(path=ACTIONS, count=1)
        sim.rest.slow(0.1, path=ACTIONS, count=2)
        await quickstart_trader.main(network, owner)
        account = sim.exchange.account_of(owner.identity)
        assert account is not None
        bid, sale = sim.exchange.orders_of(account.trade_account_id, sim.market(PAIR).market_id)
        assert bid.cancel
        assert sale.filled == sale.quantity
    assert "bid <SessionOrder buy" in capsys.readouterr().out


# -- taker ------------------------------------------------------------------------------------------


async def take(network: NetworkConfig, owner: FuelWallet | None = None, **wishes: Any) -> Taken:
    taking = Taking(**{"quantity": Decimal(5000), **wishes})
    return await taker_with_bounds.main(network, owner or FuelWallet.generate(), taking)


@pytest.mark.parametrize("side", list(Side))
async def test_taker_takes_all_within_the_bound(side: Side, autojump_clock: MockClock) -> None:
    async with exchange() as (sim, network):
        taken = await take(network, side=side, slippage=Decimal("0.01"))
        assert taken.quantity == 5000
        assert [order.quantity for order in taken.orders] == [2000, 2000, 1000], "in pieces"
        bound = sim.market(PAIR).raw_price(taken.bound)
        prices = [fill.price for order in taken.orders for fill in order.order.fills]
        assert prices
        assert all(price <= bound if side is Side.BUY else price >= bound for price in prices)


@pytest.mark.parametrize("side", list(Side))
async def test_taker_leaves_what_is_beyond_the_bound(side: Side, autojump_clock: MockClock) -> None:
    async with exchange(flow=False) as (sim, network):
        market = sim.market(PAIR)
        owner = FuelWallet.generate()
        rich = sim.exchange.open_account(owner.identity)
        for asset in (market.base, market.quote):
            sim.exchange.deposit(rich, asset.asset, 10**6 * 10**asset.decimals)
        before = sim.exchange.book(market.market_id)
        taken = await take(
            network,
            owner,
            side=side,
            quantity=Decimal(10**6),
            piece=Decimal(10**5),
            slippage=Decimal("0.001"),
        )
        bound = market.raw_price(taken.bound)
        levels = before.asks if side is Side.BUY else before.bids
        within = [at for at in levels if (at.price <= bound if side is Side.BUY else at.price >= bound)]
        left = sum(level.quantity for level in within) - market.raw_quantity(taken.quantity)
        assert 0 < len(within) < len(levels)
        # What remains is less than an order may be.
        assert 0 <= left * bound < market.min_order * 10**market.base.decimals
        after = sim.exchange.book(market.market_id)
        best = (after.asks if side is Side.BUY else after.bids)[0].price
        assert best == bound or best not in [level.price for level in within[:-1]]


async def test_taker_all_or_nothing(autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]) -> None:
    async with exchange(flow=False) as (_, network):
        taken = await take(network, whole=True, slippage=Decimal("0.01"))
        assert [order.quantity for order in taken.orders] == [5000]
        assert taken.quantity == 5000
        nothing = await take(network, whole=True, quantity=Decimal(300_000), slippage=Decimal("0.0005"))
        assert nothing.orders == ()
    assert "OrderNotFilled" in capsys.readouterr().out


async def test_taker_never_takes_twice(autojump_clock: MockClock) -> None:
    async with exchange() as (sim, network):
        sim.rest.cut(path=ACTIONS, count=2)
        taken = await take(network, slippage=Decimal("0.01"))
        assert taken.quantity == 5000
        accounts = [account for account in sim.exchange.accounts.values() if account.name.startswith("of 0x")]
        orders = sim.exchange.orders_of(accounts[0].trade_account_id, sim.market(PAIR).market_id)
        assert len(accounts) == 1
        assert sum(order.filled for order in orders) == 5000 * 10**9


# -- portfolio --------------------------------------------------------------------------------------


async def test_portfolio_is_live(autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]) -> None:
    async with exchange(flow=False) as (sim, network):
        account = sim.create_account("rich")
        market = sim.market(PAIR)
        values: list[Decimal] = []
        mending = False

        def report(shown: Portfolio) -> None:
            portfolio.show(shown)
            if mending:
                return
            assert not shown.is_stale()
            values.append(shown.total())
            lines = {line.symbol: line for line in shown.lines()}
            for each in sim.exchange.markets:
                for asset in (each.base, each.quote):
                    real = account.balance(asset.asset)
                    line = lines[asset.symbol]
                    assert (line.total, line.free) == (
                        asset.amount(real.total),
                        asset.amount(real.total_unlocked),
                    )
            bids, asks = (sim.exchange.matching(market.market_id).best(side) for side in Side)
            assert bids is not None
            assert asks is not None
            assert lines["fFUEL"].price == market.price(bids + asks) / 2

        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await portfolio.main(network, account.trade_account_id, report=report)

            nursery.start_soon(watch)
            await trio.sleep(2.5)
            sim.place(account, market, "sell", price="0.01", quantity="1000", order_type="Market")
            await trio.sleep(2)
            mending = True
            sim.drop_connections()
            sim.place(account, market, "buy", price="0.02", quantity="1000")
            await trio.sleep(10)
            mending = False
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
    assert len(values) > 12
    assert len(set(values)) >= 2, "it has moved"
    assert "total" in capsys.readouterr().out


async def test_portfolio_survives_a_gap(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with exchange(flow=False) as (sim, network):
        account = sim.create_account("patient")
        market = sim.market(PAIR)
        shown: list[tuple[bool, Decimal]] = []

        def report(told: Portfolio) -> None:
            fuel = next(line for line in told.lines() if line.symbol == "fFUEL")
            shown.append((told.is_stale(), fuel.total))

        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await portfolio.main(network, account.trade_account_id, report=report)

            nursery.start_soon(watch)
            await trio.sleep(5)
            # While the stream mends its break, REST is away for too long.
            sim.rest.go_down()
            sim.drop_connections()
            sim.place(account, market, "sell", price="0.01", quantity="1000", order_type="Market")
            await trio.sleep(60)
            sim.rest.come_back()
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
    assert shown[0] == (False, Decimal(1_000_000))
    assert any(stale for stale, _ in shown)
    assert shown[-1] == (False, Decimal(999_000))
    assert "cannot be read" in capsys.readouterr().out


async def test_portfolio_by_owner(autojump_clock: MockClock) -> None:
    async with exchange(flow=False) as (sim, network):
        account = sim.create_account("owned")
        assert account.owner == Identity.address(account.owner.id)
        with trio.move_on_after(5):
            await portfolio.main(network, owner=account.owner.id)
            pytest.fail("it goes on until cancelled")
        async with open_o2(network) as o2:
            assert await o2.get_account(owner=account.owner) is not None
        with pytest.raises(SystemExit, match="no such account"):
            await portfolio.main(network, owner="0x" + "9" * 64)


# -- from the command line --------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["quickstart_trader", "market_maker", "taker_with_bounds", "portfolio"])
def test_no_program_takes_a_key_as_an_argument(program: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS.parent)}
    answer = subprocess.run(
        [sys.executable, str(PROGRAMS / f"{program}.py"), "--help"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert "--network" in answer.stdout
    assert "key" not in answer.stdout.lower()


def test_a_program_runs_from_the_command_line() -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS.parent)}
    answer = subprocess.run(
        [sys.executable, str(PROGRAMS / "taker_with_bounds.py"), "sell", "1000", "--network", "simulator"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert "of 1000, none beyond" in answer.stdout
