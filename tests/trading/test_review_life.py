"""Sessions that go on: regressions of a review of renewals, waits, limits and refused arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, cast

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ApiError,
    InvalidRequest,
    O2Client,
    OrderType,
    OutcomeUnknown,
    Session,
    Verdict,
    open_o2,
)
from o2trio.models import Side
from o2trio.trading import CancelOrder, CreateOrder, RegisterReferer, SettleBalance
from tests.trading._world import (
    ACTIONS,
    DEEP,
    FUEL,
    QUICK,
    SESSION,
    WITHDRAW,
    Unwilling,
    bid,
    lost,
    open_world,
    raises_soon,
    trading,
)

LANES = pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
HOUR = 3600


# -- how a session lives on -----------------------------------------------------------------------------


async def test_owner_who_is_away(autojump_clock: MockClock) -> None:
    """While the owner is asked, nothing has a nonce; so he is asked rarely, and trading goes on."""
    owner = Unwilling()
    async with (
        open_world(owner=owner) as world,
        world.o2.session(owner, FUEL, expiry=timedelta(hours=10)) as session,
    ):
        order = await bid(session)
        owner.away, owner.asked = True, 0
        await trio.sleep(9 * HOUR + 1)
        end, waits = trio.current_time() + HOUR - 120, list[float]()
        while trio.current_time() < end:
            began = trio.current_time()
            order = await session.replace(order, price=DEEP, quantity="1000")
            waits.append(trio.current_time() - began)
            await trio.sleep(100)
        assert 2 <= owner.asked <= 6
        assert sum(waits) < HOUR / 5
        assert sorted(waits)[len(waits) * 4 // 5] < 1, "most notice nothing"
        owner.away = False
        await trio.sleep(HOUR)
        assert world.statuses(SESSION, "PUT") == [200, 200], "he is asked again"
        await bid(session)


@LANES
async def test_said_to_be_invalid_once(autojump_clock: MockClock, lane: int | None) -> None:
    """As long as the account names our key, one refusal does not end the session for good."""
    async with trading(lane=lane) as (world, session):
        world.sim.rest.fail(401, code=4001, path=ACTIONS, count=1)
        with pytest.raises(ApiError, match="4001"):
            await bid(session)
        await bid(session)
        assert world.statuses(ACTIONS) == [401, 200]
        assert world.statuses(SESSION, "PUT") == [200]
        assert not session.unresolved


@LANES
async def test_client_closed_inside_a_session(autojump_clock: MockClock, lane: int | None) -> None:
    """Another task has the session. What it has under way is remembered, and it can go on and leave."""
    async with open_world() as world, trio.open_nursery() as nursery:
        ready, left = trio.Event(), trio.Event()

        async def trade(o2: O2Client) -> None:
            async with o2.session(world.owner, FUEL, lane=lane) as session:
                order = await bid(session)
                ready.set()
                world.sim.rest.slow(5, path=ACTIONS)
                outcome = await lost(bid(session))
                assert session.unresolved == (outcome,)
                for act in (bid(session), session.cancel(order), order.closed()):
                    with raises_soon(trio.ClosedResourceError, within=0):
                        await act
                await trio.sleep(100)
                assert session.orders.is_stale
            left.set()

        async with open_o2(world.network, options=QUICK) as o2:
            nursery.start_soon(trade, o2)
            await ready.wait()
            await trio.sleep(1)
        with trio.fail_after(200):
            await left.wait()
        assert len(world.statuses(ACTIONS)) == 2


# -- waits -------------------------------------------------------------------------------------------------


async def test_many_resolve_at_once(autojump_clock: MockClock) -> None:
    """Each gives up in time, those that wait for the others too."""
    options = attrs.evolve(QUICK, resolve_timeout=30.0)
    async with trading(lane=0, options=options) as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=10)
        outcomes = [await lost(bid(session)) for _ in range(10)]
        world.sim.rest.go_down()

        async def give_up(outcome: OutcomeUnknown) -> None:
            with raises_soon(OutcomeUnknown, within=options.resolve_timeout):
                await session.resolve(outcome)

        async with trio.open_nursery() as nursery:
            for outcome in outcomes:
                nursery.start_soon(give_up, outcome)
        assert set(session.unresolved) == {*outcomes}
        world.sim.rest.come_back()
        assert {each.verdict for each in await session.resolve_all()} == {Verdict.LANDED}


async def test_one_that_cannot_be_found_out(autojump_clock: MockClock) -> None:
    """All others are looked into nevertheless."""
    options = attrs.evolve(QUICK, resolve_timeout=30.0)
    async with trading(options=options) as (world, session):
        world.sim.rest.cut(before=True, path=WITHDRAW, count=1)
        stuck = await lost(world.o2.withdraw(world.owner, "fUSDC", amount="1", lane=0))
        world.sim.rest.cut(path=ACTIONS, count=1)
        found = await lost(bid(session))
        world.sim.rest.fail(500, path="/v1/accounts/window")
        with pytest.raises(OutcomeUnknown) as caught:
            await session.resolve_all()
        assert caught.value is stuck
        assert session.unresolved == (stuck,)
        assert (await session.resolve(found)).verdict is Verdict.LANDED


async def test_withdrawals_over_their_limit(autojump_clock: MockClock) -> None:
    """Only they wait for the next minute; an order can be cancelled meanwhile."""
    async with trading() as (world, session):
        order = await bid(session)
        for _ in range(10):
            await world.o2.withdraw(world.owner, "fUSDC", amount="1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(world.o2.withdraw, world.owner, "fUSDC", amount="1"))
            await trio.sleep(1)
            with trio.fail_after(1):
                await session.cancel(order)
        assert trio.current_time() > 60
        assert world.statuses(WITHDRAW) == [200] * 11


async def test_parallel_withdrawals_over_their_limit(autojump_clock: MockClock) -> None:
    """They wait before they are signed: their nonces live for two minutes only."""
    async with open_world() as world, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(lambda: world.o2.withdraw(world.owner, "fUSDC", amount="1", lane=0))
    assert trio.current_time() > 240
    assert world.statuses(WITHDRAW) == [200] * 50


# -- what is told ----------------------------------------------------------------------------------------


def _depth(error: BaseException) -> int:
    entry, depth = error.__traceback__, 0
    while entry is not None:
        entry, depth = entry.tb_next, depth + 1
    return depth


async def test_raised_again_and_again(autojump_clock: MockClock) -> None:
    """One exception, raised by each attempt to find out, does not remember them all."""
    options = attrs.evolve(QUICK, resolve_timeout=1.0)
    async with trading(options=options) as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=1)
        outcome = await lost(bid(session))
        world.sim.rest.go_down()
        depths: list[int] = []
        for _ in range(5):
            assert await lost(session.resolve(outcome)) is outcome
            depths.append(_depth(outcome))
        assert len(set(depths)) == 1


async def test_text_of_a_cancelled_one(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        world.sim.rest.slow(5, path=ACTIONS)
        with trio.move_on_after(1):
            await bid(session)
        (outcome,) = session.unresolved
        account = world.account.trade_account_id
        assert str(outcome) == (
            f"nobody knows whether session actions with sequential nonce 1 of account {account} has run"
            " (the call was cancelled); resolve() finds out"
        )


# -- what is refused -------------------------------------------------------------------------------------


def _of(kind: Callable[..., Any], *fields: object) -> Callable[[Session], Awaitable[object]]:
    """Return what sends one action that somebody has made himself."""
    return lambda session: session.batch([kind(session.markets[0], *fields)])


def _create(**changes: object) -> Callable[[Session], Awaitable[object]]:
    right: dict[str, Any] = {"side": Side.BUY, "price": 20_000, "quantity": 10**12}
    return lambda session: session.batch([CreateOrder(session.markets[0], **right | changes)])


SPOT = OrderType("Spot")
WRONG: dict[str, Callable[[Session], Awaitable[object]]] = {
    "side": _create(side="buy"),
    "float price": _create(price=20_000.0),
    "price in text": _create(price="20000"),
    "quantity": _create(quantity="1000"),
    "no quantity": _create(quantity=None),
    "truth as a price": _create(price=True),
    "type": _create(order_type="Spot"),
    "order id": _of(CancelOrder, "junk"),
    "order number": _of(CancelOrder, 7),
    "target": _of(SettleBalance, "0x" + "11" * 32),
    "referer": _of(RegisterReferer, None),
    "market": lambda session: session.batch(
        [CreateOrder(cast("Any", 7), Side.BUY, price=20_000, quantity=10**12, order_type=SPOT)]
    ),
    "replace": lambda session: session.replace(cast("Any", None), price=DEEP, quantity="1000"),
    "replace by id": lambda session: session.replace(
        cast("Any", "0x" + "11" * 32), price=DEEP, quantity="1000"
    ),
    "resolve": lambda session: session.resolve(cast("Any", None)),
    "resolve an error": lambda session: session.resolve(cast("Any", ValueError())),
    "settle first": lambda session: bid(session, settle_first="no"),
    "settle first, split": lambda session: session.split_batch([], settle_first=cast("Any", "no")),
    "no batch": lambda session: session.batch(cast("Any", None)),
    "iterator": lambda session: session.batch(cast("Any", iter([]))),
}


@pytest.mark.parametrize("act", WRONG.values(), ids=WRONG)
async def test_wrong_types(autojump_clock: MockClock, act: Callable[[Session], Awaitable[object]]) -> None:
    async with trading() as (world, session):
        with raises_soon(InvalidRequest, within=0):
            await act(session)
        assert not world.statuses(ACTIONS)
        assert not session.unresolved
