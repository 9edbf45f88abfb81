"""Nonces in earnest: many at once, other processes, reads that lag, windows that move on, refusals."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ApiError,
    FuelWallet,
    OnChainRevert,
    OutcomeUnknown,
    Session,
    SessionOrder,
    Track,
    Verdict,
    open_o2,
)
from o2trio.models import Id
from o2trio.trading._bytes import ParallelNonce
from o2trio.trading._desk import Desk
from o2trio.trading._submission import Draft
from tests.trading._world import (
    ACTIONS,
    DEAR,
    DEEP,
    FUEL,
    QUICK,
    World,
    bid,
    check_same,
    open_world,
    raises_soon,
    trading,
)


def spy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that every nonce is put into when something signed with it is about to leave."""
    nonces: list[int] = []
    send = desk.rest.submit

    async def submit(method: str, path: str, body: Any, **how: Any) -> Any:
        nonces.append(int(body.get("nonce") or body["parallel_nonce"]))
        return await send(method, path, body, **how)

    monkeypatch.setattr(desk.rest, "submit", submit)
    return nonces


async def many(session: Session, count: int) -> list[SessionOrder]:
    orders: list[SessionOrder] = []

    async def one(number: int) -> None:
        orders.append(await bid(session, f"0.02{number:03}"[:7]))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return orders


def lane_slots(packed: list[int]) -> list[int]:
    nonces = [ParallelNonce.unpack(each) for each in packed]
    return [nonce.word * 128 + nonce.bit for nonce in nonces]


# -- many at once ------------------------------------------------------------------------------------


async def test_hundred_at_once_in_parallel(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading(lane=3) as (world, session):
        nonces = spy(world.desk, monkeypatch)
        nonce = world.account.nonce
        orders = await many(session, 100)
        assert len(orders) == 100
        check_same(world, orders)
        assert sorted(lane_slots(nonces)) == list(range(100))
        assert {ParallelNonce.unpack(each).lane for each in nonces} == {3}
        assert world.account.nonce == nonce, "the counter is left alone"
        assert sum(bits.bit_count() for bits in world.account.windows[3].bitmaps) == 100


async def test_fifty_at_once_in_sequence(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with trading() as (world, session):
        nonces = spy(world.desk, monkeypatch)
        nonce = world.account.nonce
        orders = await many(session, 50)
        check_same(world, orders)
        assert nonces == list(range(nonce, nonce + 50))
        assert world.account.nonce == nonce + 50
        assert world.statuses(ACTIONS) == [200] * 50, "none was refused"


async def test_both_tracks_at_once(autojump_clock: MockClock) -> None:
    async with (
        trading() as (world, session),
        world.o2.restore_session(world.account.identity, session._key, lane=0) as parallel,
        world.o2.restore_session(world.account.identity, session._key, lane=4) as other_lane,
    ):
        found: list[SessionOrder] = []

        async def some(where: Session) -> None:
            found.extend(await many(where, 10))

        async with trio.open_nursery() as nursery:
            for each in (session, parallel, other_lane):
                nursery.start_soon(some, each)
        check_same(world, found)
        assert world.statuses(ACTIONS) == [200] * 30


async def test_slow_exchange_and_many_at_once(autojump_clock: MockClock) -> None:
    async with trading(lane=0) as (world, session):
        world.sim.rest.slow(8, path=ACTIONS)
        check_same(world, await many(session, 60))


async def test_more_than_a_window(autojump_clock: MockClock) -> None:
    """The window slides under the lane: more than its 1024 slots, most of which never left."""
    async with trading(lane=0) as (world, session):
        lane = world.desk.lane(0)
        orders = [await bid(session)]
        for _ in range(4):
            for _ in range(300):
                await lane.next()
            orders.append(await bid(session))
        check_same(world, orders)
        assert world.account.windows[0].base > 0


async def test_more_wasted_than_the_window_holds(autojump_clock: MockClock) -> None:
    async with trading(lane=0) as (world, session):
        lane = world.desk.lane(0)
        for _ in range(1100):
            await lane.next()
        check_same(world, [await bid(session), await bid(session)])
        assert world.statuses(ACTIONS) == [400, 200, 200], "one resync"


# -- others move it --------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 1500])
async def test_nonce_moved_by_another_process(autojump_clock: MockClock, lag: int) -> None:
    async with trading() as (world, session):
        first = await bid(session)
        await trio.sleep(3)
        world.sim.rest.stale(lag)
        # It learns of it from the stream only after this.
        world.sim.set_latency(5)
        foreign = {
            world.sim.place(world.account, FUEL, "buy", price=DEEP, quantity="1001").order_id
            for _ in range(3)
        }
        second = await bid(session)
        third = await bid(session)
        assert {order.order_id for order in world.orders()} == {
            first.order_id,
            second.order_id,
            third.order_id,
            *foreign,
        }
        assert len(world.orders()) == 6
        assert not foreign & {second.order_id, third.order_id}


async def test_nonce_is_learned_from_the_stream(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        await bid(session)
        await trio.sleep(3)
        world.sim.place(world.account, FUEL, "buy", price=DEEP, quantity="1000")
        await trio.sleep(1)
        reads = len(world.statuses("/v1/accounts", "GET"))
        await bid(session)
        assert world.statuses(ACTIONS) == [200, 200]
        assert len(world.statuses("/v1/accounts", "GET")) == reads


async def test_two_clients_with_one_session(autojump_clock: MockClock) -> None:
    """They fight for the counter; whoever is refused tries again, and nothing is placed twice."""
    async with (
        trading() as (world, session),
        open_o2(world.network, options=QUICK) as other,
        other.restore_session(world.account.identity, session._key) as twin,
    ):
        found: list[SessionOrder] = []

        async def some(where: Session, price: str) -> None:
            for _ in range(5):
                found.append(await bid(where, price))
                await trio.sleep(0.3)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(some, session, "0.02")
            nursery.start_soon(some, twin, "0.019")
        check_same(world, found)
        assert len(found) == 10


async def test_lagging_reads_never_move_it_back(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading() as (world, session):
        await trio.sleep(3)
        nonces = spy(world.desk, monkeypatch)
        world.sim.rest.stale(1900)
        start = world.account.nonce
        orders = []
        for number in range(6):
            # Each failure makes it read again.
            with pytest.raises(OnChainRevert):
                await session.buy(FUEL, price=DEAR, quantity="1000", order_type="PostOnly")
            orders.append(await bid(session, f"0.0200{number}"))
        check_same(world, orders)
        assert nonces == list(range(start, start + 12))
        assert all(status in {200, 400} for status in world.statuses(ACTIONS))
        assert world.account.nonce == start + 12


async def test_renewal_and_orders_share_the_counter(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(bid, session)
                nursery.start_soon(partial(world.o2.withdraw, world.owner, "fUSDC", amount="1"))
        assert len(world.orders()) == 3
        assert world.account.nonce == 1 + 6
        assert world.statuses(ACTIONS) == [200] * 3


# -- refusals of parallel nonces -------------------------------------------------------------------


def _use_up(world: World, lane: int, slots: int) -> None:
    """Let somebody else use so many slots of a lane."""
    for slot in range(slots):
        word, bit = divmod(slot, 128)
        packed = ParallelNonce(lane=lane, expiry=1_790_009_999, word=word, bit=bit).pack()
        world.sim.exchange.transact(world.account, lambda: None, parallel=packed)
    world.sim._publish()


async def test_window_moved_on(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with trading(lane=1) as (world, session):
        await world.desk.lane(1).next()
        _use_up(world, 1, 1300)
        nonces = spy(world.desk, monkeypatch)
        check_same(world, [await bid(session), await bid(session)])
        assert lane_slots(nonces) == [1, 1300, 1301]
        assert world.statuses("/v1/accounts/window") == [200, 200], "one resync"


async def test_expired_once(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten requests lie somewhere until their nonces have expired; each is signed anew, once."""
    options = attrs.evolve(QUICK, submit_timeout=300.0)
    async with trading(lane=0, options=options, expiry=timedelta(days=1)) as (world, session):
        nonces = spy(world.desk, monkeypatch)
        # The second attempts are slow too: they are still under way when the next one is refused.
        world.sim.rest.defer(5, path=ACTIONS)
        world.sim.rest.defer(125, path=ACTIONS, count=10)
        check_same(world, await many(session, 10))
        assert sorted(lane_slots(nonces)) == list(range(20))
        assert sorted(world.statuses(ACTIONS)) == [200] * 10 + [400] * 10


async def test_expired_always(autojump_clock: MockClock) -> None:
    """With a clock that is far too slow one resync does not help, and there is no second."""
    clock = 1_790_000_000 - 500.0
    async with (
        open_world(clock=lambda: clock) as world,
        world.o2.session(world.owner, FUEL, lane=0, expiry=timedelta(days=1)) as session,
    ):
        with pytest.raises(ApiError, match="nonce expired"):
            await bid(session)
        assert len(world.statuses(ACTIONS)) == 2
        assert not session.unresolved
        assert not world.orders()


@pytest.mark.parametrize("answer", ["text", "variant"])
async def test_already_used(autojump_clock: MockClock, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whom is open: perhaps by a first copy of this very submission. It is never sent again."""
    async with trading(lane=0) as (world, session):
        await bid(session)
        if answer == "variant":
            error = OnChainRevert("failed", status=400)
            error.enum, error.variant = "ExtendedNonceError", "AlreadyUsed"

            async def refuse(*_: Any, **__: Any) -> Any:
                await trio.lowlevel.checkpoint()
                raise error

            monkeypatch.setattr(world.desk.rest, "submit", refuse)
        else:
            _use_up_next(world)
        with raises_soon(OutcomeUnknown, "nobody knows", within=1) as caught:
            await bid(session)
        if answer == "text":
            assert world.statuses(ACTIONS) == [200, 400]
        assert session.unresolved == (caught.value,)
        assert len(world.orders()) == 1
        if answer == "text":
            assert (await session.resolve(caught.value)).verdict is Verdict.REVERTED


def _use_up_next(world: World) -> None:
    packed = ParallelNonce(lane=0, expiry=1_790_009_999, word=0, bit=1).pack()
    world.sim.exchange.transact(world.account, lambda: None, parallel=packed)


async def test_repeated_by_a_gateway_in_parallel(autojump_clock: MockClock) -> None:
    """The first copy runs, the second is told that the nonce is used: its orders are found."""
    async with trading(lane=0) as (world, session):
        world.sim.rest.duplicate(path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await bid(session)
        resolved = await session.resolve(caught.value)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, list(resolved.orders))


async def test_repeated_by_a_gateway_in_sequence(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        world.sim.rest.duplicate(path=ACTIONS)
        orders = [await bid(session) for _ in range(3)]
        check_same(world, orders)
        assert len(world.orders()) == 3


async def test_account_too_old(autojump_clock: MockClock) -> None:
    async with open_world(version=2) as world:
        async with world.o2.session(world.owner, FUEL, lane=0) as session:
            with pytest.raises(OnChainRevert) as caught:
                await bid(session)
            assert caught.value.revert_code == 123
            assert not session.unresolved
            assert world.statuses(ACTIONS) == [400]
        async with world.o2.session(world.owner, FUEL) as session:
            await bid(session)


# -- what a wrong signature means ------------------------------------------------------------------------


async def test_signature_of_an_old_nonce(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who checks signatures first says 4000 to a stale nonce; reading that tells the difference."""
    async with trading() as (world, session):
        await bid(session)
        await trio.sleep(3)
        world.sim.set_latency(5)
        world.sim.place(world.account, FUEL, "buy", price=DEEP, quantity="1001")
        world.sim.rest.fail(401, code=4000, path=ACTIONS, count=1)
        await bid(session)
        assert world.statuses(ACTIONS) == [200, 401, 200]
        world.sim.rest.fail(401, code=4000, path=ACTIONS, count=1)
        with pytest.raises(ApiError, match="4000"):
            await bid(session)
        assert len(world.orders()) == 3


async def test_stale_for_ever(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that refuses every nonce is not asked for ever."""
    async with trading() as (world, session):

        async def refuse(*_: Any, **__: Any) -> Any:
            await trio.lowlevel.checkpoint()
            world.account.nonce += 1
            raise ApiError("no", status=400, reason="Nonce in the request is wrong")

        monkeypatch.setattr(world.desk.rest, "submit", refuse)
        with pytest.raises(ApiError, match="no"), trio.fail_after(30):
            await bid(session)


async def test_track_of_a_session(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        assert session.track is Track.SEQUENTIAL
        key = FuelWallet.generate()
        async with world.o2.session(world.owner, FUEL, key=key, lane=2) as parallel:
            assert parallel.track is Track.PARALLEL
            receipt = await parallel.settle()
            assert receipt.submission.track is Track.PARALLEL
            assert receipt.submission.session_id == Id(key.address)


def test_draft_has_no_secret() -> None:
    assert "signature" not in {field.name for field in attrs.fields(Draft)}
