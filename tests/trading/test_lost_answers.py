"""Submissions that left without an answer: nothing is sent again, and the truth is found out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    Cancel,
    FuelWallet,
    InvalidRequest,
    NewOrder,
    OnChainRevert,
    OutcomeUnknown,
    Raw,
    RequestFailed,
    Resolved,
    Session,
    SessionOrder,
    Verdict,
    open_o2,
)
from o2trio.models import OrderType, Side
from o2trio.simulator import RestFaults
from tests.trading._world import (
    ACTIONS,
    DEAR,
    DEEP,
    FUEL,
    QUICK,
    Unwilling,
    World,
    bid,
    check_same,
    open_world,
    raises_soon,
    trading,
)

LAG = QUICK.indexer_lag
LANES = pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
IMPATIENT = attrs.evolve(QUICK, submit_timeout=5.0)


async def lose(session: Session, **how: Any) -> OutcomeUnknown:
    """Place a bid whose answer is lost."""
    with pytest.raises(OutcomeUnknown) as caught:
        await bid(session, **how)
    assert caught.value in session.unresolved
    return caught.value


async def resolve(session: Session, outcome: OutcomeUnknown) -> Resolved:
    began = trio.current_time()
    resolved = await session.resolve(outcome)
    assert trio.current_time() - began < 4 * LAG
    assert outcome not in session.unresolved
    assert resolved.submission is outcome.submission
    again = await session.resolve(outcome)
    assert (again.verdict, again.orders) == (resolved.verdict, resolved.orders), "asked again, the same"
    return resolved


# -- every way to lose an answer ---------------------------------------------------------------------

AFTER: dict[str, Callable[[RestFaults], None]] = {
    "cut": lambda rest: rest.cut(path=ACTIONS, count=1),
    "time-out": lambda rest: rest.slow(20, path=ACTIONS, count=1),
    "late": lambda rest: rest.defer(2, cut=True, path=ACTIONS, count=1),
    "very late": lambda rest: rest.defer(7, path=ACTIONS, count=1),
}
"""What happens to an answer of what runs."""

BEFORE: dict[str, Callable[[RestFaults], None]] = {
    "cut": lambda rest: rest.cut(before=True, path=ACTIONS, count=1),
    "gateway": lambda rest: rest.fail(502, html=True, path=ACTIONS, count=1),
    "gateway time-out": lambda rest: rest.fail(504, html=True, path=ACTIONS, count=1),
    "page": lambda rest: rest.fail(200, html=True, path=ACTIONS, count=1),
    "internal error": lambda rest: rest.fail(500, code=1000, path=ACTIONS, count=1),
}
"""What happens to what never runs, and looks the same."""


@LANES
@pytest.mark.parametrize("fault", AFTER)
async def test_landed(autojump_clock: MockClock, fault: str, lane: int | None) -> None:
    async with trading(lane=lane, options=IMPATIENT) as (world, session):
        first = await bid(session)
        AFTER[fault](world.sim.rest)
        outcome = await lose(session)
        assert outcome.submission.creates[0].quantity == 10**12
        assert outcome.__cause__ is not None
        await trio.sleep(10)
        sent = len(world.statuses(ACTIONS))
        resolved = await resolve(session, outcome)
        assert resolved.verdict is Verdict.LANDED
        (order,) = resolved.orders
        assert order.is_open
        assert len(world.statuses(ACTIONS)) == sent, "it took no fence to see that it ran"
        check_same(world, [first, order])
        await session.cancel(order)


@LANES
@pytest.mark.parametrize("fault", BEFORE)
async def test_never_ran(autojump_clock: MockClock, fault: str, lane: int | None) -> None:
    async with trading(lane=lane) as (world, session):
        first = await bid(session)
        BEFORE[fault](world.sim.rest)
        outcome = await lose(session)
        resolved = await resolve(session, outcome)
        assert (resolved.verdict, resolved.orders) == (Verdict.NEVER_RAN, ())
        assert world.statuses(ACTIONS)[2:] == [200], "the fence"
        check_same(world, [first])
        check_same(world, [first, await bid(session)])


@LANES
async def test_reverted(autojump_clock: MockClock, lane: int | None) -> None:
    async with trading(lane=lane) as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await session.buy(FUEL, price=DEAR, quantity="1000", order_type="PostOnly")
        resolved = await resolve(session, caught.value)
        assert (resolved.verdict, resolved.orders) == (Verdict.REVERTED, ())
        assert not world.orders()
        check_same(world, [await bid(session)])


@LANES
async def test_late_execution_meets_the_fence(autojump_clock: MockClock, lane: int | None) -> None:
    """It lies on the way when we ask; the fence takes its nonce, and when it arrives it is refused."""
    async with trading(lane=lane) as (world, session):
        world.sim.rest.defer(30, cut=True, path=ACTIONS, count=1)
        outcome = await lose(session)
        resolved = await resolve(session, outcome)
        assert resolved.verdict is Verdict.NEVER_RAN
        await trio.sleep(40)
        assert not world.orders()
        assert len(world.statuses(ACTIONS)) == 2, "it arrived"
        check_same(world, [await bid(session)])


@LANES
async def test_late_execution_before_the_fence(autojump_clock: MockClock, lane: int | None) -> None:
    """It runs while the fence is on the way."""
    async with trading(lane=lane) as (world, session):
        world.sim.rest.defer(4, path=ACTIONS)
        world.sim.rest.defer(3, cut=True, path=ACTIONS, count=1)
        outcome = await lose(session)
        resolved = await resolve(session, outcome)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, list(resolved.orders))


@LANES
@pytest.mark.parametrize("lag", [0, 1900])
@pytest.mark.parametrize("ran", [True, False])
async def test_lagging_reads(autojump_clock: MockClock, lane: int | None, lag: int, ran: bool) -> None:
    async with trading(lane=lane) as (world, session):
        await trio.sleep(3)
        first = await bid(session)
        world.sim.rest.stale(lag)
        world.sim.rest.cut(before=not ran, path=ACTIONS, count=1)
        outcome = await lose(session)
        resolved = await resolve(session, outcome)
        assert resolved.verdict is (Verdict.LANDED if ran else Verdict.NEVER_RAN)
        check_same(world, [first, *resolved.orders])


@LANES
async def test_fence_is_lost_too(autojump_clock: MockClock, lane: int | None) -> None:
    async with trading(lane=lane) as (world, session):
        world.sim.rest.cut(before=True, path=ACTIONS, count=1)
        outcome = await lose(session)
        world.sim.rest.cut(before=True, path=ACTIONS, count=1)
        world.sim.rest.cut(path=ACTIONS, count=1)
        resolved = await session.resolve(outcome)
        # The second fence ran, but nobody knows that it was the fence; the orders tell that it was not ours.
        assert resolved.verdict in {Verdict.NEVER_RAN, Verdict.REVERTED}
        assert not world.orders()
        check_same(world, [await bid(session)])


@LANES
async def test_rest_is_down_meanwhile(autojump_clock: MockClock, lane: int | None) -> None:
    async with trading(lane=lane) as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=1)
        outcome = await lose(session)
        world.sim.rest.go_down()
        async with trio.open_nursery() as nursery:
            found: list[Resolved] = []

            async def ask() -> None:
                found.append(await session.resolve(outcome))

            nursery.start_soon(ask)
            await trio.sleep(20)
            assert not found
            world.sim.rest.come_back()
        assert found[0].verdict is Verdict.LANDED


async def test_cannot_be_found_out(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=1)
        outcome = await lose(session)
        world.sim.rest.go_down()
        began = trio.current_time()
        with pytest.raises(OutcomeUnknown) as caught:
            await session.resolve(outcome)
        assert caught.value is outcome
        assert trio.current_time() - began == pytest.approx(QUICK.resolve_timeout)
        assert isinstance(outcome.__cause__, RequestFailed)
        assert session.unresolved == (outcome,)
        world.sim.rest.come_back()
        assert (await resolve(session, outcome)).verdict is Verdict.LANDED


@LANES
async def test_resolve_cancelled(autojump_clock: MockClock, lane: int | None) -> None:
    async with trading(lane=lane) as (world, session):
        world.sim.rest.cut(before=True, path=ACTIONS, count=1)
        outcome = await lose(session)
        world.sim.rest.slow(2, path=ACTIONS)
        with trio.move_on_after(1) as scope:
            await session.resolve(outcome)
        assert scope.cancelled_caught
        world.sim.rest.heal()
        assert (await session.resolve(outcome)).verdict in {Verdict.NEVER_RAN, Verdict.REVERTED}
        check_same(world, [await bid(session)])


# -- cancelled and left --------------------------------------------------------------------------------


@LANES
@pytest.mark.parametrize("runs", [True, False])
async def test_call_cancelled(autojump_clock: MockClock, lane: int | None, runs: bool) -> None:
    async with trading(lane=lane) as (world, session):
        (world.sim.rest.slow if runs else world.sim.rest.defer)(60, path=ACTIONS, count=1)
        with trio.move_on_after(3) as scope:
            await bid(session)
        assert scope.cancelled_caught
        (outcome,) = session.unresolved
        resolved = await resolve(session, outcome)
        assert resolved.verdict is (Verdict.LANDED if runs else Verdict.NEVER_RAN)
        await trio.sleep(100)
        check_same(world, list(resolved.orders))


async def test_cancelled_before_it_left(autojump_clock: MockClock) -> None:
    """While it waits for its turn or for the rate limit it has not left: nothing is unknown."""
    async with trading() as (world, session):
        for _ in range(5):
            await bid(session)
        with trio.move_on_after(0.5) as scope:
            await bid(session)
        assert scope.cancelled_caught
        assert not session.unresolved
        assert len(world.orders()) == 5


@LANES
async def test_session_left(autojump_clock: MockClock, lane: int | None) -> None:
    """What a cancelled program left behind is resolved by the next session of the same client."""
    async with open_world() as world:
        world.sim.rest.slow(60, path=ACTIONS, count=1)
        async with world.o2.session(world.owner, FUEL, lane=lane) as session, trio.open_nursery() as nursery:
            nursery.start_soon(bid, session)
            await trio.sleep(3)
            nursery.cancel_scope.cancel()
        with pytest.raises(trio.ClosedResourceError):
            await session.resolve_all()
        async with world.o2.session(world.owner, FUEL, lane=lane) as session:
            (outcome,) = session.unresolved
            resolved = await resolve(session, outcome)
            assert resolved.verdict is Verdict.LANDED
            check_same(world, list(resolved.orders))


async def test_connection_refused_is_no_loss(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        world.sim.rest.go_down()
        with pytest.raises(RequestFailed):
            await bid(session)
        world.sim.rest.come_back()
        assert not session.unresolved
        check_same(world, [await bid(session)])


async def test_limit_is_no_loss(autojump_clock: MockClock) -> None:
    """429 says that nothing ran; it is sent again, after the wait that was asked for."""
    async with trading() as (world, session):
        world.sim.rest.fail(429, retry_after=3, path=ACTIONS, count=2)
        began = trio.current_time()
        check_same(world, [await bid(session)])
        assert trio.current_time() - began >= 6
        assert world.statuses(ACTIONS) == [429, 429, 200]


# -- several at once ---------------------------------------------------------------------------------------


@LANES
@pytest.mark.parametrize("lost", [{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}], ids=str)
@pytest.mark.parametrize("runs", [True, False])
async def test_equal_terms(autojump_clock: MockClock, lane: int | None, lost: set[int], runs: bool) -> None:
    """Three equal orders, of which some answers are lost: each is told apart, none is counted twice."""
    async with trading(lane=lane) as (world, session):
        orders: list[SessionOrder] = []
        for number in range(3):
            if number in lost:
                world.sim.rest.cut(before=not runs, path=ACTIONS, count=1)
            try:
                orders.append(await bid(session))
            except OutcomeUnknown:
                assert number in lost
        for resolved in await session.resolve_all():
            orders += resolved.orders
        assert not session.unresolved
        check_same(world, orders)
        await trio.sleep(3)
        assert set(session.orders) == set(orders)


async def test_bigger_one_lost_before_an_equal_part(autojump_clock: MockClock) -> None:
    """Two orders are lost together; then one like the first is sent, and its nonce is refused.

    The order that is found was placed by the lost one.
    """
    async with trading() as (world, session):
        await trio.sleep(3)
        world.sim.rest.stale(1500)
        world.sim.set_latency(5)
        world.sim.rest.cut(path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await session.batch(
                [
                    NewOrder(FUEL, "buy", price=DEEP, quantity="1000"),
                    NewOrder(FUEL, "buy", price=DEEP, quantity="2000"),
                ]
            )
        orders: list[SessionOrder] = []
        try:
            orders.append(await bid(session))
        except OutcomeUnknown as outcome:
            orders += (await session.resolve(outcome)).orders
        resolved = await session.resolve(caught.value)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, [*orders, *resolved.orders])


async def test_landed_and_sent_again_by_the_user(autojump_clock: MockClock) -> None:
    """Who does not ask and simply places the same again has two orders, and knows of both."""
    async with trading() as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=1)
        outcome = await lose(session)
        orders: list[SessionOrder] = []
        try:
            orders.append(await bid(session))
        except OutcomeUnknown as second:
            orders += (await session.resolve(second)).orders
        orders += (await session.resolve(outcome)).orders
        check_same(world, orders)


@LANES
async def test_many_at_once_with_losses(autojump_clock: MockClock, lane: int | None) -> None:
    async with trading(lane=lane, options=IMPATIENT) as (world, session):
        rest = world.sim.rest
        rest.cut(path=ACTIONS, probability=0.2)
        rest.cut(before=True, path=ACTIONS, probability=0.2)
        rest.defer(9, path=ACTIONS, probability=0.2)
        rest.duplicate(path=ACTIONS, probability=0.2)
        orders: list[SessionOrder] = []
        unknown = 0

        async def one(number: int) -> None:
            nonlocal unknown
            try:
                orders.append(await bid(session, f"0.0200{number % 3}"))
            except OutcomeUnknown as outcome:
                unknown += 1
                orders.extend((await session.resolve(outcome)).orders)

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(one, number)
        await trio.sleep(30)
        assert unknown
        assert not session.unresolved
        check_same(world, orders)


# -- what else can be lost ---------------------------------------------------------------------------------


@LANES
@pytest.mark.parametrize("runs", [True, False])
async def test_cancellation_lost(autojump_clock: MockClock, lane: int | None, runs: bool) -> None:
    async with trading(lane=lane) as (world, session):
        order = await bid(session)
        world.sim.rest.cut(before=not runs, path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await session.cancel(order)
        resolved = await resolve(session, caught.value)
        assert resolved.verdict is (Verdict.LANDED if runs else Verdict.NEVER_RAN)
        assert len(world.orders(only_open=True)) == (0 if runs else 1)


@LANES
async def test_cancellation_that_reverted(autojump_clock: MockClock, lane: int | None) -> None:
    async with trading(lane=lane) as (world, session):
        near = await session.sell(FUEL, price=_before_best(world), quantity="1000")
        world.sim.place(
            world.sim.create_account(),
            FUEL,
            "buy",
            price=Raw(near.order.price),
            quantity=Raw(near.order.quantity),
        )
        world.sim.rest.cut(path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await session.cancel(near)
        assert (await resolve(session, caught.value)).verdict is Verdict.REVERTED


def _before_best(world: World) -> Any:
    return world.market.price(world.best(Side.SELL) - world.market.price_step)


@LANES
@pytest.mark.parametrize("runs", [True, False])
async def test_replacement_lost(autojump_clock: MockClock, lane: int | None, runs: bool) -> None:
    async with trading(lane=lane) as (world, session):
        old = await bid(session)
        world.sim.rest.cut(before=not runs, path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await session.replace(old, price="0.0199", quantity="900")
        assert len(caught.value.submission.cancels) == len(caught.value.submission.creates) == 1
        resolved = await resolve(session, caught.value)
        live = {order.order_id for order in world.orders(only_open=True)}
        assert live == ({resolved.orders[0].order_id} if runs else {old.order_id})


async def test_same_order_but_another_one_cancelled(autojump_clock: MockClock) -> None:
    """Two replacements ask for the same new order; the one whose old order is still there did not run."""
    async with trading() as (world, session):
        one, other = await bid(session), await bid(session)
        new = NewOrder(FUEL, "buy", price="0.0199", quantity="900")
        world.sim.rest.cut(before=True, path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as first:
            await session.batch([Cancel(one), new])
        # The nonce is the same: it has not moved.
        world.sim.rest.cut(path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as second:
            await session.batch([Cancel(other), new])
        assert first.value.submission.nonce == second.value.submission.nonce
        assert (await session.resolve(second.value)).verdict is Verdict.LANDED
        assert (await session.resolve(first.value)).verdict is not Verdict.LANDED
        assert {order.order_id for order in world.orders(only_open=True)} > {one.order_id}


@LANES
async def test_settlement_lost(autojump_clock: MockClock, lane: int | None) -> None:
    async with trading(lane=lane) as (world, session):
        for runs, verdict in ((True, Verdict.LANDED), (False, Verdict.NEVER_RAN)):
            world.sim.rest.cut(before=not runs, path=ACTIONS, count=1)
            with pytest.raises(OutcomeUnknown) as caught:
                await session.settle()
            assert (await resolve(session, caught.value)).verdict is verdict


@LANES
async def test_batch_lost(autojump_clock: MockClock, lane: int | None) -> None:
    async with trading(lane=lane) as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=1)
        wishes = [NewOrder(FUEL, "buy", price=f"0.0199{number}", quantity="1000") for number in (3, 1, 2, 1)]
        with pytest.raises(OutcomeUnknown) as caught:
            await session.batch(wishes)
        resolved = await resolve(session, caught.value)
        assert [str(order.price) for order in resolved.orders] == [f"0.0199{n}0" for n in (3, 1, 2, 1)]
        check_same(world, list(resolved.orders))


async def test_order_that_was_filled_meanwhile(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await session.sell(FUEL, price=_before_best(world), quantity="1000", order_type=OrderType("Spot"))
        (true,) = world.orders()
        world.sim.place(
            world.sim.create_account(), FUEL, "buy", price=Raw(true.price), quantity=Raw(true.quantity)
        )
        resolved = await resolve(session, caught.value)
        assert resolved.verdict is Verdict.LANDED
        assert (await resolved.orders[0].filled()).quantity_fill == true.quantity


# -- limits and refusals -------------------------------------------------------------------------------------


async def test_too_many_unresolved(autojump_clock: MockClock) -> None:
    options = attrs.evolve(QUICK, max_unresolved=3)
    async with trading(lane=0, options=options) as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=3)
        for _ in range(3):
            await lose(session)
        with pytest.raises(InvalidRequest, match="3 submissions is unknown: resolve them"):
            await bid(session)
        assert len(world.statuses(ACTIONS)) == 3
        resolved = await session.resolve_all()
        assert [each.verdict for each in resolved] == [Verdict.LANDED] * 3
        await bid(session)


async def test_of_another_account(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        other = FuelWallet.from_key("ab" * 32)
        await world.o2.setup_account(other)
        world.sim.rest.cut(path=ACTIONS, count=1)
        outcome = await lose(session)
        async with world.o2.session(other, FUEL) as others:
            assert others.unresolved == ()
            with pytest.raises(InvalidRequest, match="another account"):
                await others.resolve(outcome)


@LANES
async def test_session_ends_and_is_renewed(autojump_clock: MockClock, lane: int | None) -> None:
    """What an expired session signed can run again once the same key is registered anew."""
    owner = Unwilling()
    async with (
        open_world(owner=owner) as world,
        world.o2.session(owner, FUEL, lane=lane, expiry=timedelta(seconds=60)) as session,
    ):
        owner.willing = False
        await trio.sleep(50)
        world.sim.rest.defer(30, cut=True, path=ACTIONS, count=1)
        outcome = await lose(session)
        await trio.sleep(11)
        found: list[Resolved] = []

        async def ask() -> None:
            found.append(await session.resolve(outcome))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(4)
            owner.willing = True
            await session.settle()
        await trio.sleep(100)
        assert (found[0].verdict is Verdict.LANDED) == bool(world.orders())
        check_same(world, list(found[0].orders))


@asynccontextmanager
async def _unreadable(world: World) -> AsyncGenerator[None]:
    world.sim.rest.fail(500, path="/v1/orders")
    yield
    world.sim.rest.heal()


async def test_repeated_by_a_gateway_and_orders_unreadable(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        world.sim.rest.duplicate(path=ACTIONS, count=1)
        async with _unreadable(world):
            outcome = await lose(session)
        resolved = await resolve(session, outcome)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, list(resolved.orders))


async def test_reverts_are_no_loss(autojump_clock: MockClock) -> None:
    async with trading() as (_, session):
        with pytest.raises(OnChainRevert):
            await session.buy(FUEL, price=DEAR, quantity="1000", order_type="PostOnly")
        assert not session.unresolved


async def test_another_client_resolves_nothing_of_ours(autojump_clock: MockClock) -> None:
    """Unresolved submissions belong to one client; another has not seen what would tell about them."""
    async with trading() as (world, session), open_o2(world.network, options=QUICK) as other:
        world.sim.rest.cut(path=ACTIONS, count=1)
        outcome = await lose(session)
        async with other.restore_session(world.account.identity, session._key) as twin:
            assert twin.unresolved == ()
            with raises_soon(InvalidRequest, "only the client that sent", within=0):
                await twin.resolve(outcome)
        assert (await session.resolve(outcome)).verdict is Verdict.LANDED
