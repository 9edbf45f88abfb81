"""Every kind of consumer is content with the honest client, and says what is wrong with another one."""

from __future__ import annotations

import random
from typing import Any, cast

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import RequestFailed, Side
from o2trio.testing._consumers import KINDS, Crowd
from o2trio.testing._fault_kinds import FAULTS
from o2trio.testing._oracle import Oracle
from o2trio.testing._sources import Supply, depth, trades
from o2trio.testing._traders import Attempt, Trader, _Loss, judge_orders
from o2trio.testing._users import Manner, StreamUser
from o2trio.testing._watch import watches_of
from o2trio.testing._world import BrokenPromise, Phase, Promise

from ._lies import FUEL, served, small_world

# -- users against the honest client -------------------------------------------------------------------


@pytest.mark.parametrize("part", range(3))
async def test_nobody_complains_of_the_honest_client(autojump_clock: MockClock, part: int) -> None:
    """Every kind of consumer, while connections break, REST fails and the exchange is mute."""
    names = [name for number, name in enumerate(KINDS) if number % 3 == part]
    async with small_world(seed=part, rate=0.3, buffer_size=8) as world, trio.open_nursery() as nursery:
        async with served(world):
            users = []
            for name in names:
                user = KINDS[name](world.random_for(name))
                user.name = name
                users.append(user)
                await nursery.start(user.run, world)
            for _ in range(3):
                await trio.sleep(60)
                world.sim.rest.fail(503, probability=0.5, count=5)
                world.network.cut_after(world.host("streams"), 100)
                await trio.sleep(30)
                world.sim.mute()
                await trio.sleep(20)
                world.sim.unmute()
            world.sim.rest.heal()
            world.enter(Phase.QUIET)
            await trio.sleep(300)
            world.sim.pause_flow()
            world.enter(Phase.REST)
            await trio.sleep(120)
            Oracle(world).check(world, users)
            for user in users:
                user.check(world)
                assert user.updates or "bare" in user.name, user.name
            assert any(watch.recoveries for watch in watches_of(world))
        nursery.cancel_scope.deadline = trio.current_time() + 30
    assert not nursery.cancel_scope.cancelled_caught, "all have come to their end"
    Oracle(world).check_end(world)


async def _complaint(open_stream: Any) -> BrokenPromise:
    """Return what a user says of a client whose stream is opened in this way."""

    def source(world: Any, random: Any, name: str) -> Supply:
        return attrs.evolve(trades(world, random, name), open=open_stream)

    async with small_world() as world, served(world):
        user = StreamUser(world.random_for("user"), source)
        with pytest.raises(BrokenPromise) as broken, trio.fail_after(900):
            await user.run(world)
        return broken.value


async def test_an_end_without_reason_is_a_foreign_error(autojump_clock: MockClock) -> None:
    def closed(client: Any) -> Any:
        stream = client.stream_trades(FUEL)
        stream.close()
        return stream

    assert (await _complaint(closed)).promise is Promise.OWN_ERRORS


async def test_what_the_caller_did_not_do_is_a_foreign_error(autojump_clock: MockClock) -> None:
    complaint = await _complaint(lambda client: client.stream_trades("A/B"))
    assert complaint.promise is Promise.OWN_ERRORS
    assert "UnknownMarket" in complaint.detail


async def test_a_stream_given_up_without_reason_breaks_liveness(autojump_clock: MockClock) -> None:
    async with small_world(max_attempts=1) as world, served(world):
        user = StreamUser(world.random_for("user"), trades)
        world.network.refuse(world.host("streams"), None)
        await trio.sleep(1)
        with pytest.raises(BrokenPromise) as broken, trio.fail_after(900):
            await user.run(world)
    assert broken.value.promise is Promise.LIVENESS


async def test_who_is_not_subscribed_at_rest_breaks_liveness(autojump_clock: MockClock) -> None:
    async with small_world() as world:
        for name, make in KINDS.items():
            user = make(world.random_for(name))
            if name != "bare trades":
                with pytest.raises(BrokenPromise) as broken:
                    user.check(world)
                assert broken.value.promise is Promise.LIVENESS


async def test_a_late_item_breaks_the_peace_when_all_is_calm(autojump_clock: MockClock) -> None:
    async with small_world(rate=1.0) as world, served(world):
        user = StreamUser(world.random_for("user"), depth(1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect, user, world, Promise.APART)
            await trio.sleep(world.plan.fault_seconds + 280)
            world.sim.set_latency(3)


async def _expect(user: Any, world: Any, promise: Promise) -> None:
    with pytest.raises(BrokenPromise) as broken, trio.fail_after(3600):
        await user.run(world)
    assert broken.value.promise is promise


async def test_a_buffer_beyond_its_bound_is_found(autojump_clock: MockClock) -> None:
    async with small_world(rate=5.0) as world, served(world):
        world.options = attrs.evolve(world.options, buffer_size=4)
        user = StreamUser(world.random_for("user"), depth(1), Manner(nap=12.0, nap_chance=0.3))
        await _expect(user, world, Promise.BOUNDED)


def test_crowds_count_as_one() -> None:
    crowd = KINDS["crowd of trades"](random.Random(1))
    assert isinstance(crowd, Crowd)
    crowd.name = "many"
    assert [member.name for member in crowd.members] == [f"many.{n}" for n in range(5)]
    crowd.members[0].updates, crowd.members[1].updates = 3, 4
    assert (crowd.updates, crowd.subscriptions) == (7, 5)


# -- traders -------------------------------------------------------------------------------------------


async def test_every_lie_about_orders_of_a_trader_is_found(autojump_clock: MockClock) -> None:
    async with small_world(rate=0.2) as world, served(world):
        trader = Trader(world.random_for("trader"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trader.run, world)
            for _ in range(4):
                await trio.sleep(100)
                world.sim.rest.cut(path="/v1/session/actions", count=1)
            world.enter(Phase.REST)
            await trio.sleep(300)
            trader.check(world)
            for spoil, promise in _SPOILS.items():
                undo = spoil(trader)
                with pytest.raises(BrokenPromise) as broken:
                    trader.check(world)
                assert broken.value.promise is promise, spoil
                undo()
            trader.check(world)
            nursery.cancel_scope.cancel()


async def test_orders_that_ended_with_a_former_life_of_the_exchange_stay_in_doubt(
    autojump_clock: MockClock,
) -> None:
    async with small_world(rate=0.2) as world, served(world), trio.open_nursery() as nursery:
        trader = Trader(world.random_for("trader"))
        nursery.start_soon(trader.run, world)
        await trio.sleep(300)
        assert trader._session is not None
        assert len(trader._session.orders)
        await FAULTS["fresh start"].inject(world)
        await trio.sleep(100)
        world.enter(Phase.REST)
        await trio.sleep(300)
        session = trader._session
        assert session is not None
        assert session.orders.is_stale
        trader.check(world)
        with pytest.raises(BrokenPromise, match="not fresh"):
            trader._check_open(session, [], set())
        nursery.cancel_scope.cancel()


async def test_only_the_client_that_sent_it_is_asked_what_became_of_a_submission() -> None:
    class Broken:
        async def setup_account(self, owner: Any) -> None:
            raise RequestFailed("not now")

    trader = Trader(random.Random(1))
    loss = _Loss(outcome=cast("Any", None), era=0)
    sender, other = cast("Any", Broken()), cast("Any", Broken())
    trader._client, trader._losses[1] = sender, loss
    for client, is_forsaken in ((sender, False), (other, True)):
        with pytest.raises(RequestFailed):
            await trader._live(cast("Any", None), client)
        assert loss.is_forsaken is is_forsaken


def _forget_wanted(trader: Trader) -> Any:
    """Let more be placed than were asked for."""
    kept = next(each for each in trader._attempts if each.placed is not None and not each.is_twin)
    trader._attempts.remove(kept)
    return lambda: trader._attempts.append(kept)


def _forget_placed(trader: Trader) -> Any:
    """Leave an order of which its trader was never told."""
    kept = next(each for each in trader._attempts if each.placed is not None)
    placed, kept.placed = kept.placed, None
    return lambda: setattr(kept, "placed", placed)


def _credit_twice(trader: Trader) -> Any:
    first, second = [each for each in trader._attempts if each.placed is not None][:2]
    placed, second.placed = second.placed, first.placed
    return lambda: setattr(second, "placed", placed)


def _claim_cancelled(trader: Trader) -> Any:
    kept = next(each for each in trader._attempts if each.placed is not None and each.placed.is_open)
    kept.is_cancelled = True
    return lambda: setattr(kept, "is_cancelled", None)


def _leave_unknown(trader: Trader) -> Any:
    loss = next(iter(trader._losses.values()))
    resolved, loss.resolved = loss.resolved, None
    return lambda: setattr(loss, "resolved", resolved)


def _deny_landed(trader: Trader) -> Any:
    loss = next(
        each for each in trader._losses.values() if each.resolved is not None and each.resolved.orders
    )
    resolved = loss.resolved
    assert resolved is not None
    loss.resolved = attrs.evolve(resolved, orders=())
    return lambda: setattr(loss, "resolved", resolved)


_SPOILS = {
    _forget_wanted: Promise.NOT_TWICE,
    _forget_placed: Promise.OUTCOMES,
    _credit_twice: Promise.OUTCOMES,
    _claim_cancelled: Promise.OUTCOMES,
    _leave_unknown: Promise.LIVENESS,
    _deny_landed: Promise.OUTCOMES,
}


def test_twins_may_be_placed_as_often_as_they_were_wanted() -> None:
    terms = (Side.BUY, 20_000, 10**12, "Spot")
    order: Any = type("Placed", (), {"side": Side.BUY, "price": 20_000, "quantity": 10**12})()
    order.order_type = type("Kind", (), {"name": "Spot"})()
    trader = Trader(random.Random(1))
    judge_orders(trader, [Attempt(terms, True, 0)] * 2, [order] * 2)
    with pytest.raises(BrokenPromise, match="2 orders of"):
        judge_orders(trader, [Attempt(terms, True, 0)], [order] * 2)
