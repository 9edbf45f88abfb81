"""One order: its states in any sequence, its fills each once, and waiting for what becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from o2trio import O2ConnectionLost, UnknownMarket
from o2trio._trading_errors import OrderClosed
from o2trio.models import (
    Asset,
    Fill,
    Id,
    Identity,
    IdentityKind,
    Market,
    Order,
    OrderState,
    OrderTransaction,
    OrderType,
    Side,
)
from o2trio.trading._orders import SessionOrder, merge, new_fills
from tests.promises._support import cancelled_at

ID = Id("0x" + "1" * 64)
MARKET = Market(
    contract_id=Id("0x" + "c" * 64),
    market_id=Id("0x" + "a" * 64),
    base=Asset(symbol="fFUEL", asset=Id("0x" + "b" * 64), decimals=3, max_precision=3),
    quote=Asset(symbol="fUSDC", asset=Id("0x" + "d" * 64), decimals=2, max_precision=2),
)
OWNER = Identity(IdentityKind.CONTRACT_ID, Id("0x" + "e" * 64))


def state(filled: int = 0, *, price_fill: int = 0, **more: Any) -> Order:
    blank = Order(order_id=ID, side=Side.BUY, order_type=OrderType("Spot"), price=100, quantity=100)
    return attrs.evolve(blank, quantity_fill=filled, price_fill=price_fill, **more)


def fill(quantity: int, price: int = 100, timestamp: int | None = None) -> Fill:
    return Fill(order_id=ID, price=price, quantity=quantity, timestamp=timestamp)


def handle(order: Order, failure: Callable[[], Exception | None] = lambda: None) -> SessionOrder:
    return SessionOrder(order, {MARKET.market_id: MARKET}, failure, 0.0)


def told(*states: Order) -> SessionOrder:
    result = handle(states[0])
    for each in states[1:]:
        result._absorb(each)
    return result


# -- states in any sequence ------------------------------------------------------------------------

CREATED, TRADED = (OrderTransaction(tx_id=ID, type=name, status="confirmed") for name in ("created", "trade"))
PENDING = attrs.evolve(TRADED, status="pending")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (state(), state(10), state(10)),
        (state(10, price_fill=90), state(20, price_fill=95), state(20, price_fill=95)),
        (state(10), state(10, close=True), state(10, close=True)),
        (state(20), state(10, close=True, cancel=True), state(20, close=True, cancel=True)),
        (state(10, partially_filled=True), state(100, close=True), state(100, close=True)),
        (state(10, price_fill=90), state(10), state(10, price_fill=90)),
        (state(owner=OWNER), state(10, market_id=ID), state(10, owner=OWNER, market_id=ID)),
        (state(timestamp=0, base_decimals=0), state(10), state(10, timestamp=0, base_decimals=0)),
        (state(10, desired_quantity={"Base": 90}), state(20), state(20)),
        (state(20, desired_quantity={"Base": 80}), state(20), state(20, desired_quantity={"Base": 80})),
        (
            state(10, desired_quantity={"Base": 90}),
            state(10, close=True, desired_quantity={"Base": 0}),
            state(10, close=True, desired_quantity={"Base": 0}),
        ),
        (state(10, partially_filled=True), state(10), state(10, partially_filled=True)),
        (state(10, fills=(fill(10),)), state(20), state(20, fills=(fill(10),))),
        (
            state(20, fills=(fill(10, 1, 1), fill(10, 2, 2))),
            state(30, fills=(fill(10, 3, 3),)),
            state(30, fills=(fill(10, 1, 1), fill(10, 2, 2), fill(10, 3, 3))),
        ),
        (state(20, fills=(fill(10),) * 2), state(10, fills=(fill(10),)), state(20, fills=(fill(10),) * 2)),
        (state(history=(CREATED,)), state(1, history=(CREATED, TRADED)), state(1, history=(CREATED, TRADED))),
        (state(history=(PENDING,)), state(history=(TRADED,)), state(history=(TRADED,))),
    ],
)
def test_two_states_say_together_what_is_newer(one: Order, other: Order, both: Order) -> None:
    assert merge(one, other) == both
    assert merge(other, one) == both
    assert merge(both, one) == both
    assert merge(both, other) == both


@attrs.frozen
class Life:
    """What really happened to an order, and what was told of it: any states, any number of times."""

    fills: list[Fill]
    states: list[Order]
    last: Order


@st.composite
def lives(draw: st.DrawFn, names: Sequence[str] = ("all", "last", "none")) -> Life:
    sizes = draw(st.lists(st.integers(1, 10**6), max_size=6))
    fills = [fill(size, draw(st.integers(1, 10**6)), draw(st.integers(1, 9))) for size in sizes]
    fills.sort(key=lambda each: each.timestamp or 0)
    rest = draw(st.integers(0, 10))
    close = draw(st.booleans())
    cancel = close and draw(st.booleans())
    chains = []
    for count in range(len(fills) + 1):
        done = fills[:count]
        filled = sum(each.quantity for each in done)
        average = sum(each.quantity * each.price for each in done) // filled if filled else 0
        base = state(filled, price_fill=average, quantity=sum(sizes) + rest, partially_filled=bool(filled))
        chains += [base] if count < len(fills) else [base, attrs.evolve(base, close=close, cancel=cancel)]
        chains[-1] = attrs.evolve(chains[-1], history=(CREATED,) + (TRADED,) * count)
        for index in range(-2 if count == len(fills) else -1, 0):
            name = draw(st.sampled_from(names))
            named = {"all": tuple(done), "last": tuple(done[-1:]), "none": ()}[name]
            where = draw(st.sampled_from([None, MARKET.market_id]))
            chains[index] = attrs.evolve(chains[index], fills=named, market_id=where)
    heard = draw(st.lists(st.sampled_from(chains), max_size=8))
    return Life(fills, [*heard, chains[-1]], chains[-1])


@given(lives(), st.data())
def test_states_in_any_sequence_and_number_give_the_same(life: Life, data: st.DataObject) -> None:
    again = data.draw(st.permutations(life.states + data.draw(st.lists(st.sampled_from(life.states)))))
    one, other = told(*life.states), told(*again)
    assert one.order == other.order
    last = life.last
    flags = (last.quantity_fill, last.price_fill, last.close, last.cancel, last.partially_filled)
    found = one.order
    assert flags == (
        found.quantity_fill,
        found.price_fill,
        found.close,
        found.cancel,
        found.partially_filled,
    )
    for order in (one, other):
        assert sum(each.quantity for each in order._fills) == last.quantity_fill


@given(lives(), st.data())
def test_an_order_never_goes_back(life: Life, data: st.DataObject) -> None:
    order = handle(life.states[0])
    for each in data.draw(st.permutations(life.states)):
        before, fills = order.order, list(order._fills)
        order._absorb(each)
        assert order.order.quantity_fill >= before.quantity_fill
        assert order.order.close >= before.close
        assert order.order.cancel >= before.cancel
        assert order._fills[: len(fills)] == fills
        assert not order._absorb(each)


@given(st.lists(st.builds(state, st.integers(0, 9), close=st.booleans(), cancel=st.booleans())), st.data())
def test_even_lies_are_taken_in_any_sequence(states: list[Order], data: st.DataObject) -> None:
    one, other = told(state(), *states), told(state(), *data.draw(st.permutations(states)))
    assert one.order == other.order
    assert one.order.quantity_fill == sum(each.quantity for each in one._fills)


# -- fills -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "what", "added"),
    [
        # Nothing new.
        ([], state(), []),
        ([fill(10)], state(10, fills=(fill(10),)), []),
        ([fill(10)], state(5, fills=(fill(5),)), []),
        # All are named, and none but the new ones are told.
        ([], state(30, fills=(fill(10, 1), fill(20, 2))), [fill(10, 1), fill(20, 2)]),
        ([fill(10, 1)], state(30, fills=(fill(10, 1), fill(20, 2))), [fill(20, 2)]),
        ([fill(10, 1)], state(20, fills=(fill(10, 1), fill(10, 1))), [fill(10, 1)]),
        # Newest first.
        ([fill(9, 1, 1)], state(19, fills=(fill(10, 2, 2), fill(9, 1, 1))), [fill(10, 2, 2)]),
        ([fill(9, 7)], state(19, fills=(fill(10, 2, 2), fill(9, 1, 1))), [fill(10, 2, 2)]),
        # Those that are named are known already.
        ([fill(10, 90)], state(30, fills=(fill(10, 90),)), [fill(20, 100)]),
        # Only the last is named; what is between is made up.
        ([fill(10, 90)], state(20, price_fill=95, fills=(fill(10, 100),)), [fill(10, 100)]),
        (
            [fill(10, 90)],
            state(30, price_fill=95, fills=(fill(10, 100),)),
            [fill(10, 97), fill(10, 100)],
        ),
        # None is named: the difference of value.
        ([], state(10, price_fill=95), [fill(10, 95)]),
        ([fill(10, 90)], state(20, price_fill=93), [fill(10, 97)]),
        # ... which leaves room, in which the order's own price is nearest.
        ([fill(1000, 100)], state(1001, price_fill=100), [fill(1, 100)]),
        ([fill(1000, 200)], state(1001, price_fill=200), [fill(1, 200)]),
        # An average that cannot be true.
        ([fill(10, 1000)], state(20, price_fill=1), [fill(10, 0)]),
        # Without an average, the order's own price.
        ([], state(10), [fill(10)]),
        # One that was made up covers part of what is named later.
        ([fill(15, 90)], state(30, fills=(fill(10, 1), fill(20, 2))), [fill(15, 2)]),
        # More is named than was filled.
        ([], state(10, fills=(fill(10, 1), fill(20, 2))), [fill(10, 2)]),
        ([], state(10, fills=(fill(10, 1), fill(0, 2))), [fill(10, 1)]),
    ],
)
def test_what_a_state_adds_to_the_fills(known: list[Fill], what: Order, added: list[Fill]) -> None:
    assert new_fills(what, known) == added


@given(lives(), st.data())
def test_made_up_prices_fit_the_average_that_is_told(life: Life, data: st.DataObject) -> None:
    order = told(*data.draw(st.permutations(life.states)))
    filled = life.last.quantity_fill
    if filled:
        value = sum(each.price * each.quantity for each in order._fills)
        assert abs(value // filled - life.last.price_fill) <= 1
    assert all(each.price >= 0 and each.quantity > 0 for each in order._fills)


@given(lives(names=("all",)))
def test_named_fills_are_told_as_they_are(life: Life) -> None:
    assert told(*life.states)._fills == life.fills


# -- waiting ---------------------------------------------------------------------------------------

FULL = state(100, close=True, price_fill=100)
CANCELLED = state(40, close=True, cancel=True)
RAN_OUT = state(40, close=True)


async def collect(order: SessionOrder) -> list[int]:
    return [each.quantity async for each in order.fills()]


@pytest.mark.parametrize("last", [FULL, CANCELLED, RAN_OUT])
async def test_every_wait_ends_when_the_order_is_closed(last: Order) -> None:
    order = handle(state())
    seen: dict[str, object] = {}

    async def wait(name: str, what: Callable[[], Awaitable[object]]) -> None:
        try:
            seen[name] = await what()
        except OrderClosed as error:
            seen[name] = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "filled", order.filled)
        nursery.start_soon(wait, "closed", order.closed)
        nursery.start_soon(wait, "fills", lambda: collect(order))
        await trio.testing.wait_all_tasks_blocked()
        order._absorb(state(30))
        await trio.testing.wait_all_tasks_blocked()
        assert not seen
        order._absorb(last)
    assert seen["closed"] == last
    assert seen["fills"] == [30, last.quantity_fill - 30]
    if last is FULL:
        assert seen["filled"] == FULL
    else:
        error = seen["filled"]
        assert isinstance(error, OrderClosed)
        assert error.order == last
        assert f"{last.state}: 40 of 100 chain units" in str(error)
    # Afterwards all is said at once, as often as it is asked for.
    assert await order.closed() == last
    assert await collect(order) == [30, last.quantity_fill - 30]


async def test_an_order_is_filled_before_it_is_told_to_be_closed() -> None:
    assert (await handle(state(100)).filled()).is_open


async def test_iterators_are_independent_and_two_tasks_may_share_one() -> None:
    order = handle(state(10))
    late: list[int] = []
    shared = order.fills()

    async def take() -> None:
        late.append((await anext(shared)).quantity)

    assert (await anext(order.fills())).quantity == 10
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        order._absorb(state(30))
        await trio.testing.wait_all_tasks_blocked()
        order._absorb(state(60))
    assert late == [10, 20, 30]


async def test_cancelling_any_wait_anywhere_loses_nothing() -> None:
    """The consumer is cancelled at its n-th checkpoint, for every n, and goes on with the same iterator."""
    for step in range(1, 20):
        order = handle(state())
        fills, got = order.fills(), list[int]()

        async def consume(
            step: int, order: SessionOrder = order, fills: Any = fills, got: list[int] = got
        ) -> None:
            with cancelled_at(step) as scope:
                async for each in fills:
                    got += [each.quantity]
                await order.closed()
                await order.filled()
            if scope.cancelled_caught:
                await consume(999)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume, step)
            for filled in (10, 30, 60, 100):
                await trio.testing.wait_all_tasks_blocked()
                order._absorb(state(filled, close=filled == 100))
        assert got == [10, 20, 30, 40]
        assert not order._news


@pytest.mark.parametrize("over", [trio.ClosedResourceError, O2ConnectionLost])
async def test_waits_end_with_the_tracker_but_what_is_known_is_told_first(over: type[Exception]) -> None:
    ended = False
    order = handle(state(10), lambda: over("over") if ended else None)
    errors: list[Exception] = []

    async def wait(what: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(over) as caught:
            await what()
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        for what in (order.filled, order.closed, lambda: collect(order)):
            nursery.start_soon(wait, what)
        await trio.testing.wait_all_tasks_blocked()
        ended = True
        order._wake()
    assert len(set(map(id, errors))) == 3
    assert (await anext(order.fills())).quantity == 10
    order._absorb(FULL)
    assert await order.filled() == await order.closed()


@pytest.mark.parametrize("what", ["filled", "closed", "fills"])
async def test_every_wait_is_a_checkpoint(what: str) -> None:
    order = handle(FULL)
    waits: dict[str, Callable[[], Awaitable[object]]] = {
        "filled": order.filled,
        "closed": order.closed,
        "fills": lambda: anext(order.fills()),
    }
    with trio.testing.assert_checkpoints():
        await waits[what]()
    with trio.CancelScope() as scope:
        scope.cancel()
        await waits[what]()
    assert scope.cancelled_caught


# -- looking at it ---------------------------------------------------------------------------------


def test_it_shows_whole_units_of_its_market() -> None:
    order = handle(state(50, market_id=MARKET.market_id))
    assert order.market is MARKET
    assert order.order_id == ID
    assert (order.side, order.state, order.is_open) == (Side.BUY, OrderState.PARTIALLY_FILLED, True)
    assert (order.price, order.quantity, order.filled_quantity) == (
        Decimal("1.00"),
        Decimal("0.100"),
        Decimal("0.050"),
    )
    assert repr(order) == "<SessionOrder buy 0.100 @ 1.00 on fFUEL/fUSDC: partially filled>"


@pytest.mark.parametrize("market_id", [None, ID])
def test_without_a_market_it_says_so(market_id: Id | None) -> None:
    order = handle(state(market_id=market_id))
    assert order.market is None
    for name in ("price", "quantity", "filled_quantity"):
        with pytest.raises(UnknownMarket, match="fFUEL/fUSDC"):
            getattr(order, name)
    assert repr(order) == "<SessionOrder buy 100 @ 100 (chain units): open>"
