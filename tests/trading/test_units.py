"""Prices and quantities: passed by name, and never as a number that does not say its unit.

The comments that ignore a type error are half of these tests: both type checkers report one that is not
needed, so each says that a type checker refuses what the test then refuses at run time.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true, reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, cast

import attrs
import pytest
from trio.testing import MockClock

from o2trio import (
    Amount,
    BoundedMarket,
    ChainUnits,
    CreateOrder,
    InvalidRequest,
    Level,
    NewOrder,
    OrderType,
    Raw,
    Session,
    Side,
    TickerUpdate,
)
from o2trio.simulator import default_listings
from tests.trading._world import ACTIONS, DEEP, FUEL, WITHDRAW, World, bid, open_world, trading

AMBIGUOUS = r'price 25110 is ambiguous: did you mean Raw\(25110\), which is 0\.02511, or "25110"\?'
MANY = r'quantity 40000 is ambiguous: did you mean Raw\(40000\), which is 0\.00004, or "40000"\?'


@attrs.frozen
class Foreign:
    """An integer of another library, as numpy's are."""

    value: int

    def __index__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return str(self.value)


# -- by name ---------------------------------------------------------------------------------------


async def test_swapped_price_and_quantity_are_refused_before_anything_is_sent(
    autojump_clock: MockClock,
) -> None:
    """Fault 4: ``buy(M, "500", "0.024")`` was an order, and it filled."""
    async with trading() as (world, session):
        order, account = await bid(session), world.account
        sent = len(world.statuses(ACTIONS))
        with pytest.raises(TypeError, match="positional"):
            await session.buy(FUEL, "500", "0.024")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            await session.sell(FUEL, "500", "0.024")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            await session.replace(order, "500", "0.024")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            NewOrder(FUEL, "buy", "500", "0.024")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            CreateOrder(world.market, Side.BUY, 500, 24_000)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            OrderType("BoundedMarket", None, None, 30_000, 20_000)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            world.sim.place(account, FUEL, "buy", "500", "0.024")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            await world.o2.withdraw(world.owner, "fUSDC", "5")  # type: ignore[call-arg]
        assert len(world.statuses(ACTIONS)) == sent
        assert len(world.orders()) == 1


# -- which unit ------------------------------------------------------------------------------------

Act = Callable[[World, Session, Any], Awaitable[object]]


async def _now(result: object) -> object:
    return result


PRICED: dict[str, Act] = {
    "buy": lambda _w, session, price: session.buy(FUEL, price=price, quantity="100"),
    "sell": lambda _w, session, price: session.sell(FUEL, price=price, quantity="100"),
    "place": lambda _w, session, price: session.place(NewOrder(FUEL, "buy", price=price, quantity="100")),
    "batch": lambda _w, session, price: session.batch([NewOrder(FUEL, "buy", price=price, quantity="100")]),
    "adjusted": lambda _w, session, price: session.buy(FUEL, price=price, quantity="100", adjust=True),
    "lower bound": lambda _w, session, price: session.buy(
        FUEL, price="0.03", quantity="100", order_type=BoundedMarket(min_price=price, max_price="0.03")
    ),
    "upper bound": lambda _w, session, price: session.buy(
        FUEL, price="0.03", quantity="100", order_type=BoundedMarket(min_price="0.02", max_price=price)
    ),
    "simulator": lambda world, _s, price: _now(
        world.sim.place(world.account, FUEL, "buy", price=price, quantity="100")
    ),
    "conversion": lambda world, _s, price: _now(world.market.raw_price(price)),
}
SIZED: dict[str, Act] = {
    "buy": lambda _w, session, size: session.buy(FUEL, price=DEEP, quantity=size),
    "sell": lambda _w, session, size: session.sell(FUEL, price=DEEP, quantity=size),
    "simulator": lambda world, _s, size: _now(
        world.sim.place(world.account, FUEL, "buy", price=DEEP, quantity=size)
    ),
    "conversion": lambda world, _s, size: _now(world.market.raw_quantity(size)),
}


@pytest.mark.parametrize("kind", [int, ChainUnits, Foreign], ids=["int", "chain units", "foreign"])
@pytest.mark.parametrize(
    ("act", "number", "message"),
    [
        *(pytest.param(act, 25_110, AMBIGUOUS, id=f"price: {name}") for name, act in PRICED.items()),
        *(pytest.param(act, 40_000, MANY, id=f"quantity: {name}") for name, act in SIZED.items()),
    ],
)
async def test_a_bare_integer_is_refused_with_both_of_its_readings(
    autojump_clock: MockClock, act: Act, number: int, message: str, kind: Callable[[int], object]
) -> None:
    """Fault 14: an integer was whole units here and chain units in every stream."""
    async with trading() as (world, session):
        with pytest.raises(InvalidRequest, match=f"^{FUEL}: {message}$"):
            await act(world, session, kind(number))
        assert not world.statuses(ACTIONS)
        assert not world.orders()


@pytest.mark.parametrize("act", PRICED.values(), ids=PRICED)
@pytest.mark.parametrize("number", [True, False, 0, -1, 2**64, 10**5000, 0.025, 25110.0], ids=range(8))
async def test_other_numbers_are_refused_too(autojump_clock: MockClock, act: Act, number: object) -> None:
    async with trading() as (world, session):
        with pytest.raises(InvalidRequest, match=r"^fFUEL/fUSDC: price .*Raw"):
            await act(world, session, number)
        assert not world.orders()


async def test_the_asset_gives_the_unit_of_a_withdrawal(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        withdraw, right = world.o2.withdraw, r"did you mean Raw\(5\), which is 0\.000005, or \"5\""
        with pytest.raises(InvalidRequest, match=f"^fUSDC: amount 5 is ambiguous: {right}"):
            await withdraw(world.owner, "fUSDC", amount=5)  # type: ignore[arg-type]
        assert not world.statuses(WITHDRAW)


def spell(value: Amount) -> int:
    """Return what `value` is as a price of a market whose quote has 6 decimals."""
    return default_listings()[0].market.raw_price(value)


def test_both_readings_can_be_written() -> None:
    assert spell(Raw(25_110)) == 25_110
    assert spell("0.02511") == spell(Decimal("0.02511")) == 25_110
    assert spell("25110") == 25_110 * 10**6


# -- what the streams hand out -----------------------------------------------------------------------


async def test_what_streams_hand_out_is_not_an_amount(autojump_clock: MockClock) -> None:
    """Fault 14: the ticker's integer made a limit that was a million times too high; no checker objected."""
    async with trading() as (world, session), world.o2.stream_ticker(FUEL) as tickers:
        ticker: TickerUpdate = await tickers.receive()
        ask = cast("Level", ticker.best_ask)
        market = world.market
        with pytest.raises(InvalidRequest, match="ambiguous"):
            await session.buy(FUEL, price=ask.price, quantity="100")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="ambiguous"):
            await session.buy(FUEL, price=DEEP, quantity=ask.quantity)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="ambiguous"):
            await session.buy(FUEL, price=ask.price + 10, quantity="100")  # type: ignore[arg-type]
        order = NewOrder(FUEL, "buy", price=ask.price, quantity="1")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="ambiguous"):
            await session.place(order)
        with pytest.raises(InvalidRequest, match="ambiguous"):
            market.raw_price(ask.price)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="ambiguous"):
            world.sim.place(world.account, FUEL, "buy", price=ask.price, quantity="1")  # type: ignore[arg-type]
        assert not world.orders()
        # These are right, for people and for type checkers.
        lower: int = ask.price - 100 * market.price_step
        one = await session.buy(FUEL, price=Raw(lower), quantity=Raw(10**9 * 1000))
        two = await session.buy(FUEL, price=market.price(lower), quantity="1000")
        assert (one.order.price, one.order.quantity) == (two.order.price, two.order.quantity)
        assert one.order.price == lower == int(ask.price) - 100 * int(market.price_step)


async def test_every_number_of_an_order_is_in_chain_units(autojump_clock: MockClock) -> None:
    async with trading() as (_, session):
        order = (await bid(session)).order
        numbers: list[ChainUnits] = [
            *(order.price, order.quantity, order.quantity_fill, order.price_fill, order.quantity_open),
        ]
        assert [type(number) for number in numbers] == [int] * 5, "no class of its own, which would cost time"
        for number in numbers:
            with pytest.raises(InvalidRequest, match="ambiguous"):
                spell(number)  # type: ignore[arg-type]
