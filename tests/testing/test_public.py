"""A trading bot and its test, as a user would write them with ``o2trio.testing``; the documentation shows it.

The bot keeps one bid a little below the best ask and moves it when the market moves. The test lets it trade
through a storm, then asks the exchange what really happened.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal

import pytest
import trio

from o2trio import (
    FuelWallet,
    O2Client,
    OnChainRevert,
    OrderBook,
    OutcomeUnknown,
    RequestFailed,
    Rounding,
    ServerError,
    Session,
    open_o2,
)
from o2trio.testing import FaultPlan, HostileExchange, draw_storm

pytest_plugins = ["o2trio.testing.plugin"]

# -- the bot ---------------------------------------------------------------------------------------

MARKET = "fBTC/fUSDC"
SIZE = Decimal("0.01")
DISTANCE = Decimal("0.01")  # of the best ask
TOLERANCE = Decimal("0.0001")

Step = Callable[[Session, OrderBook], Awaitable[None]]


def wanted_price(book: OrderBook) -> Decimal | None:
    if book.is_stale or book.best_ask is None:
        return None
    market = book.market
    return market.price(market.raw_price(book.best_ask.price * (1 - DISTANCE), Rounding.FLOOR))


async def quote(session: Session, book: OrderBook) -> None:
    """Have one bid, where it belongs; look before every step at what has become of the last one."""
    await session.resolve_all()
    await quote_blindly(session, book)


async def quote_blindly(session: Session, book: OrderBook) -> None:
    price, bids = wanted_price(book), session.orders.open(MARKET)
    if price is None or session.orders.is_stale:
        return
    if not bids:
        await session.buy(MARKET, price=price, quantity=SIZE, order_type="PostOnly")
    elif abs(bids[0].price - price) > price * TOLERANCE:
        await session.replace(bids[0], price=price, quantity=SIZE, order_type="PostOnly")


async def run_bot(
    o2: O2Client,
    owner: FuelWallet,
    key: FuelWallet,
    step: Step = quote,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await o2.setup_account(owner)
    async with o2.session(owner, MARKET, key=key, lane=0) as session, o2.order_book(MARKET) as book:
        task_status.started()
        while True:
            await trio.sleep(1)
            try:
                await step(session, book)
            except OutcomeUnknown:
                pass  # the next step asks what became of it
            except (OnChainRevert, ServerError, RequestFailed):
                await trio.sleep(1)  # nothing happened; look again


# -- its tests -------------------------------------------------------------------------------------

LATE = [FaultPlan(0, 0.0, "submission deferred", {"delay": 10, "cut": 1, "count": 1})]
"""The answer to the first submission is lost, and it runs ten seconds later."""


async def trade(exchange: HostileExchange, faults: Iterable[FaultPlan], step: Step = quote) -> None:
    """Let the bot trade through faults, then wait until everything has become true and stands still."""
    owner, key = exchange.wallet("owner"), exchange.wallet("session")
    async with open_o2(exchange.config, options=exchange.options) as o2, trio.open_nursery() as nursery:
        await nursery.start(run_bot, o2, owner, key, step)
        await exchange.storm(faults, seconds=60)
        await trio.sleep(240)
        exchange.simulator.pause_flow()
        await trio.sleep(60)
        nursery.cancel_scope.cancel()


def open_bids(exchange: HostileExchange) -> tuple[int, list[int]]:
    """Ask the audit, which knows every state of every order: the most bids at a time, and the last ones."""
    sim = exchange.simulator
    account = sim.exchange.account_of(exchange.wallet("owner").identity)
    assert account is not None
    most, bids = 0, dict[str, int]()
    for record in sim.audit.orders(account, sim.market(MARKET)):
        order = record.value
        bids.pop(order.order_id, None)
        if not order.close:
            bids[order.order_id] = order.price
        most = max(most, len(bids))
    return most, list(bids.values())


@pytest.mark.parametrize("o2_seed", range(3))
async def test_one_bid_whatever_happens(hostile_exchange: HostileExchange, o2_seed: int) -> None:
    await trade(hostile_exchange, draw_storm(o2_seed, seconds=600))
    most, (price,) = open_bids(hostile_exchange)
    assert most == 1
    sim = hostile_exchange.simulator
    market = sim.market(MARKET)
    best_ask = sim.exchange.book(market.market_id, 1).best_ask
    assert best_ask is not None
    wanted = market.price(best_ask.price) * (1 - DISTANCE)
    assert market.price(price) == pytest.approx(wanted, rel=2 * TOLERANCE)
    assert hostile_exchange.faults.total() > 5


async def test_a_late_submission_is_no_second_bid(hostile_exchange: HostileExchange) -> None:
    await trade(hostile_exchange, LATE)
    assert open_bids(hostile_exchange)[0] == 1


async def test_who_does_not_look_back_has_two(hostile_exchange: HostileExchange) -> None:
    await trade(hostile_exchange, LATE, quote_blindly)
    assert open_bids(hostile_exchange)[0] == 2
