"""The market maker trades through a storm, and knows exactly what it has, owes and won."""

from __future__ import annotations

import logging

import attrs
import pytest
import trio
from trio.testing import MockClock

from examples.market_maker import Accounting, Quoting, main
from o2trio import Fill, FuelWallet, Id, Side
from o2trio.simulator import default_listings, open_simulator
from tests.examples._maker_storm import BITCOIN, MakerStorm


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="o2trio")


@pytest.mark.parametrize("seed", [2, 4])
async def test_all_is_exact_after_a_storm(seed: int, autojump_clock: MockClock) -> None:
    outcome = await MakerStorm(seed=seed, seconds=400).run()
    assert outcome.accounting.fills >= 20
    assert outcome.transactions >= 100
    assert min(outcome.reverts, outcome.doubts, outcome.cuts) >= 5
    assert outcome.limited == 0, "it keeps to the exchange's limits"


async def test_fees_are_exact_too(autojump_clock: MockClock) -> None:
    outcome = await MakerStorm(seed=3, seconds=400, quoting=BITCOIN).run()
    assert outcome.accounting.base_fees > 0
    assert outcome.accounting.quote_fees > 0
    assert outcome.doubts >= 3


async def test_it_makes_a_market_and_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    owner, stop = FuelWallet.from_key("5" * 64), trio.Event()
    async with open_simulator(seed=5) as sim:
        network = attrs.evolve(sim.network, clock=lambda: sim.exchange.now / 1e9)
        market_id = sim.market("fFUEL/fUSDC").market_id
        async with trio.open_nursery() as nursery:
            nursery.start_soon(main, network, owner, Quoting(), stop)
            await trio.sleep(120)
            account = sim.exchange.account_of(owner.identity)
            assert account is not None
            orders = sim.exchange.orders_of(account.trade_account_id, market_id)
            assert {order.side for order in orders if not order.close} == set(Side)
            assert len({order.price for order in orders if order.side is Side.BUY}) > 3, "it follows the book"
            assert any(order.filled for order in orders)
            stop.set()
        orders = sim.exchange.orders_of(account.trade_account_id, market_id)
        assert all(order.close for order in orders)


async def test_a_quote_that_was_just_filled_is_no_harm(autojump_clock: MockClock) -> None:
    # Frames come a second late, so the maker often replaces what is filled already.
    storm = MakerStorm(seed=4, seconds=150, lost=0.0, every=1000.0, latency=1.0)
    outcome = await storm.run()
    assert outcome.reverts >= 3
    assert outcome.doubts == 0
    held = storm.quoting.max_position + storm.quoting.size
    assert abs(outcome.accounting.position) <= held * 10**9


def test_accounting_of_single_fills() -> None:
    market = default_listings()[2].market
    assert market.maker_fee == 20
    accounting = Accounting(market)
    fill = Fill(order_id=Id("0x" + "1" * 64), price=65_000_000_000, quantity=1_234_567)
    accounting.book(Side.BUY, fill)
    # 20 millionths of 1 234 567 are 24.69, of which the exchange takes 24.
    assert (accounting.position, accounting.cash, accounting.base_fees) == (1_234_543, -802_468_550, 24)
    accounting.book(Side.SELL, fill)
    assert (accounting.position, accounting.cash) == (-24, -16_049)
    assert (accounting.base_fees, accounting.quote_fees, accounting.fills) == (24, 16_049, 2)
