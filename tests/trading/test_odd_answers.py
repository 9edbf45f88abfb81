"""Answers with parts that cannot be read: what a session does not need costs it nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from o2trio import (
    Cancel,
    DecodeError,
    FuelWallet,
    InvalidSession,
    NewOrder,
    OrderState,
    SessionExpired,
    SessionReplaced,
    Verdict,
)
from o2trio.models import UNKNOWN_TYPE, AccountState, NotUnderstood, Order, Rows
from tests.trading._world import (
    ACTIONS,
    DEEP,
    ETH,
    FUEL,
    SESSION,
    WITHDRAW,
    World,
    answering,
    bid,
    check_same,
    open_world,
    trading,
)

KEY = FuelWallet.from_key("44" * 32)
ODD: dict[str, Any] = {
    "text": "none of your business",
    "bare id": {"session_id": KEY.address, "expiry": None},
    "no expiry": {"session_id": {"Address": KEY.address}, "expiry": "soon", "contract_ids": "all"},
    "list": (1, 2),
    "number": 7,
    "another kind": {"session_id": {"Secp256r1": KEY.address}, "expiry": 1.5},
}


def unreadable(world: World, monkeypatch: pytest.MonkeyPatch, **raw: object) -> None:
    """Let the exchange answer reads of the account with fields that cannot be read."""
    rest = world.o2._runtime.rest
    read = rest.account

    async def account(*args: Any) -> AccountState | None:
        state = await read(*args)
        return None if state is None else attrs.evolve(state, session=None, unread=raw)

    monkeypatch.setattr(rest, "account", account)


# -- the session of an account ----------------------------------------------------------------------


@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
async def test_an_unreadable_session_does_not_matter(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, raw: object, lane: int | None
) -> None:
    """Fault 9: it blocked ``session()`` and ``withdraw()``, which need nothing of it."""
    async with open_world() as world:
        unreadable(world, monkeypatch, session=raw)
        async with world.o2.session(
            world.owner, FUEL, key=KEY, lane=lane, expiry=timedelta(minutes=1)
        ) as session:
            check_same(world, [await bid(session)])
            await trio.sleep(200)
            await session.settle()
            assert len(world.statuses(SESSION)) >= 3, "it is renewed"
        await world.o2.withdraw(world.owner, "fUSDC", amount="5", lane=lane)
        assert world.statuses(WITHDRAW) == [200]
        account = world.account.identity
        async with world.o2.restore_session(account, KEY, lane=lane, markets=FUEL) as session:
            await session.settle()
            assert [market.pair for market in session.markets] == [FUEL]
        async with world.o2.restore_session(account, KEY, lane=lane) as session:
            await session.settle(FUEL)
            assert {market.pair for market in session.markets} == {FUEL, ETH}


@pytest.mark.parametrize("named", ["0x" + "11" * 32, {"Address": "0x" + "11" * 32}], ids=["bare", "identity"])
async def test_what_can_be_read_of_a_session_counts(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, named: object
) -> None:
    async with open_world() as world:
        async with world.o2.session(world.owner, FUEL, key=KEY):
            pass
        account, contract = world.account.identity, world.market.contract_id
        with monkeypatch.context() as patch:
            unreadable(world, patch, session=MappingProxyType({"session_id": named, "expiry": None}))
            with pytest.raises(SessionReplaced):
                async with world.o2.restore_session(account, KEY):
                    pass
        with monkeypatch.context() as patch:
            unreadable(world, patch, session={"expiry": "1000"})
            with pytest.raises(SessionExpired):
                async with world.o2.restore_session(account, KEY):
                    pass
        unreadable(world, monkeypatch, session={"expiry": "1790009999", "contract_ids": (contract, "?")})
        async with world.o2.restore_session(account, KEY) as session:
            assert [market.pair for market in session.markets] == [FUEL]
            assert session.expires_at.timestamp() == 1_790_009_999


async def test_a_refusal_is_not_explained_by_what_cannot_be_read(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether another session replaced this one is unknown, so nobody says so, and the session goes on."""
    async with trading() as (world, session):
        unreadable(world, monkeypatch, session="?")
        world.sim.rest.fail(401, code=4001, path=ACTIONS, count=1)
        with pytest.raises(InvalidSession):
            await bid(session)
        check_same(world, [await bid(session)])


@pytest.mark.parametrize("field", ["nonce", "trade_account"])
async def test_an_unreadable_nonce_is_not_zero(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    async with trading() as (world, session):
        rest = world.desk.rest
        read = rest.account

        async def account(*args: Any) -> Any:
            state = await read(*args)
            assert state is not None
            return attrs.evolve(state, nonce=None, unread={field: "?"})

        monkeypatch.setattr(rest, "account", account)
        with pytest.raises(DecodeError, match="nonce"):
            await session.settle()
        assert not world.statuses(ACTIONS)


# -- the orders of an answer -------------------------------------------------------------------------


def only_ids(orders: tuple[Order, ...], *positions: int) -> Rows[Order]:
    """Return orders of which some cannot be read, apart from their ids."""
    lost = [
        NotUnderstood(index=index, problem="odd", raw={}, ids={"order_id": orders[index].order_id})
        for index in positions
        if orders
    ]
    return Rows([order for index, order in enumerate(orders) if index not in positions], lost)


def unreadable_orders(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise DecodeError("odd", path="$", frame="{}")

    for name in ("order", "orders"):
        monkeypatch.setattr(world.desk.rest, name, fail)
    monkeypatch.setattr(world.desk.rest, "iter_orders", Unreadable)


class Unreadable:
    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __aiter__(self) -> Unreadable:
        return self

    async def __anext__(self) -> Order:
        await trio.lowlevel.checkpoint()
        raise DecodeError("odd", path="$", frame="[]")


@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
@pytest.mark.parametrize("readable", [True, False], ids=["REST shows it", "REST does not"])
async def test_a_success_with_odd_orders_keeps_their_ids(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, readable: bool, lane: int | None
) -> None:
    """Fault 9: its outcome was unknown, or another order of the same terms was taken for it."""
    async with trading(lane=lane) as (world, session):
        answering(world, lambda orders: only_ids(orders, 0), monkeypatch)
        await trio.sleep(5)
        if readable:
            world.sim.set_latency(20)
        else:
            unreadable_orders(world, monkeypatch)
        order = await bid(session)
        check_same(world, [order])
        assert (order.order.price, order.order.quantity) == (20_000, 10**12)
        assert order.market == world.market
        assert not session.unresolved
        assert session.orders[order.order_id] is order
        (true,) = world.orders()
        assert not (await session.batch([Cancel(order)])).orders
        assert true.cancel
        await trio.sleep(120)
        assert order.state is OrderState.CANCELLED


@pytest.mark.parametrize("positions", [(0,), (1,), (0, 1)], ids=str)
@pytest.mark.parametrize("readable", [True, False])
async def test_some_orders_of_a_batch_are_odd(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, positions: tuple[int, ...], readable: bool
) -> None:
    async with trading() as (world, session):
        answering(world, lambda orders: only_ids(orders, *positions), monkeypatch)
        world.sim.set_latency(20)
        if not readable:
            unreadable_orders(world, monkeypatch)
        receipt = await session.batch(
            [NewOrder(FUEL, "buy", price=DEEP, quantity=size) for size in ("1000", "2000")]
        )
        check_same(world, receipt.orders)
        assert [order.order.quantity for order in receipt.orders] == [10**12, 2 * 10**12]
        true = {order.order_id: order.quantity for order in world.orders()}
        assert true == {order.order_id: order.order.quantity for order in receipt.orders}
        assert receipt.tx_id is not None
        assert not session.unresolved


async def test_an_id_counts_for_more_than_an_order_that_looks_the_same(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading() as (world, session):
        world.sim.set_latency(20)

        def change(orders: tuple[Order, ...]) -> Rows[Order]:
            if len(world.orders()) == 1:
                # Another program places the very same order just now, and it is listed first.
                world.sim.place(world.account, FUEL, "buy", price=DEEP, quantity="1000")
            return only_ids(orders, 0)

        answering(world, change, monkeypatch)
        order = await bid(session)
        assert order.order_id == world.orders()[0].order_id


@pytest.mark.parametrize(
    "change",
    [lambda _orders: (), lambda _orders: Rows((), [NotUnderstood(index=0, problem="odd", raw=7)])],
    ids=["no orders", "no ids"],
)
async def test_without_ids_the_orders_are_found_by_their_terms(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
) -> None:
    async with trading() as (world, session):
        answering(world, change, monkeypatch)
        check_same(world, [await bid(session)])
        assert not session.unresolved


async def test_cancelled_while_the_ids_are_read(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading() as (world, session):
        answering(world, lambda orders: only_ids(orders, 0), monkeypatch)
        world.sim.rest.slow(9, path="/v1/order")
        with trio.move_on_after(2) as scope:
            await bid(session)
        assert scope.cancelled_caught
        (outcome,) = session.unresolved
        assert outcome.confirmed
        assert outcome.order_ids == (world.orders()[0].order_id,)
        world.sim.rest.heal()
        resolved = await session.resolve(outcome)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, resolved.orders)


async def test_a_type_that_cannot_be_read_is_no_reason_to_lose_an_order(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_type(orders: tuple[Order, ...]) -> tuple[Order, ...]:
        return tuple(attrs.evolve(order, order_type=UNKNOWN_TYPE) for order in orders)

    async with trading() as (world, session):
        answering(world, without_type, monkeypatch)
        before = len(world.statuses("/v1/orders"))
        check_same(world, [await bid(session)])
        assert len(world.statuses("/v1/orders")) == before, "the answer says enough"


async def test_a_session_reads_an_order_that_a_list_does_not_show(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading() as (world, session):
        order = await bid(session)
        await trio.sleep(5)
        world.sim.set_latency(20)
        hidden = world.sim.place(world.account, FUEL, "buy", price="0.0199", quantity="1000")
        fetch = world.desk.rest.orders

        async def orders(*args: Any, **how: Any) -> Rows[Order]:
            found = await fetch(*args, **how)
            return Rows(
                [each for each in found if each.order_id == order.order_id],
                [
                    NotUnderstood(index=0, problem="odd", raw={}, ids={"order_id": each.order_id})
                    for each in found
                    if each.order_id != order.order_id
                ],
            )

        monkeypatch.setattr(world.desk.rest, "orders", orders)
        await session.orders.refresh()
        assert hidden.order_id in session.orders
