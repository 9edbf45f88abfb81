"""The Turbo venue is read, not traded: its markets share their ids with spot markets, and are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from o2trio import Cancel, CreateOrder, InvalidRequest, Market, NewOrder, Session, Settle, Side
from o2trio.models import Id, Markets
from tests.trading._world import ACTIONS, DEEP, FUEL, SESSION, bid, open_world, trading

MESSAGE = "trading the Turbo venue is not supported: fFUEL/fUSDC 0x"


def other_venue(market: Market) -> Market:
    return attrs.evolve(market, turbo=True, contract_id=Id("0x" + "77" * 32))


WAYS: dict[str, Callable[[Session, Market, Any], Awaitable[object]]] = {
    "buy": lambda session, market, _: session.buy(market, price=DEEP, quantity="1000"),
    "sell": lambda session, market, _: session.sell(market, price=DEEP, quantity="1000"),
    "place": lambda session, market, _: session.place(NewOrder(market, "buy", price=DEEP, quantity="1000")),
    "action": lambda session, market, _: session.batch(
        [CreateOrder(market, Side.BUY, price=20_000, quantity=10**12)]
    ),
    "cancel": lambda session, market, order: session.batch([Cancel(order.order_id, market)]),
    "cancel all": lambda session, market, _: session.cancel_all(market),
    "settle": lambda session, market, _: session.batch([Settle(market)]),
}


@pytest.mark.parametrize("act", WAYS.values(), ids=WAYS)
async def test_a_session_refuses_a_market_of_the_other_venue(
    autojump_clock: MockClock, act: Callable[[Session, Market, Any], Awaitable[object]]
) -> None:
    """It has the id of the spot market, which would be traded instead."""
    async with trading() as (world, session):
        order = await bid(session)
        with pytest.raises(InvalidRequest, match=MESSAGE):
            await act(session, other_venue(world.market), order)
        assert world.statuses(ACTIONS) == [200]
        assert order.is_open


async def test_no_session_is_opened_for_the_other_venue(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world:
        turbo = other_venue(world.market)
        several: list[list[str | Market]] = [[turbo], [FUEL, turbo]]
        for markets in several:
            with pytest.raises(InvalidRequest, match=MESSAGE):
                world.o2.session(world.owner, markets)
        # One that is in the list by mistake is not taken by its name either.
        listed = Markets(markets=(turbo,), chain_id=0)

        async def markets_(**_: object) -> Markets:
            return listed

        monkeypatch.setattr(world.o2._runtime, "markets", markets_)
        with pytest.raises(InvalidRequest, match=MESSAGE):
            async with world.o2.session(world.owner, FUEL):
                pass
        assert not world.statuses(SESSION)
