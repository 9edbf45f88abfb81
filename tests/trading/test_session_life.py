"""How a session begins, goes on and ends: registered, renewed, expired, replaced, restored."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    AccountMissing,
    FuelWallet,
    InvalidRequest,
    OnChainRevert,
    OutcomeUnknown,
    RequestFailed,
    Session,
    SessionExpired,
    SessionReplaced,
    SignerFailed,
    open_o2,
)
from tests.trading._world import (
    ACTIONS,
    DEEP,
    ETH,
    FUEL,
    QUICK,
    SESSION,
    Unwilling,
    World,
    bid,
    open_world,
    trading,
)

MINUTE = timedelta(seconds=60)
KEY = FuelWallet.from_key("77" * 32)


def expiry_of(world: World) -> int:
    record = world.account.session
    assert record is not None
    return record.expiry


# -- expiry and renewal ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expiry", [MINUTE, datetime.fromtimestamp(1_790_000_060, UTC)], ids=["life", "moment"]
)
async def test_expires(autojump_clock: MockClock, expiry: Any) -> None:
    async with trading(expiry=expiry, renew=False) as (world, session):
        assert expiry_of(world) == 1_790_000_060 == session.expires_at.timestamp()
        await trio.sleep(59)
        order = await bid(session)
        await trio.sleep(1)
        for _ in range(2):
            with pytest.raises(SessionExpired, match=r"2026-09-21 .* open a new one"):
                await session.cancel(order)
        # Only the first was sent.
        assert world.statuses(ACTIONS) == [200, 401]
        assert not session.unresolved


async def test_is_renewed_before_it_ends(autojump_clock: MockClock) -> None:
    async with trading(expiry=MINUTE) as (world, session):
        for minute in range(1, 6):
            await trio.sleep(60)
            assert world.sim.exchange.now / 1e9 < expiry_of(world) == session.expires_at.timestamp()
            await bid(session)
            renewals = world.statuses(SESSION)[1:]
            assert renewals == [200] * len(renewals)
            assert minute <= len(renewals) <= minute * 60 / 54
        assert world.statuses(ACTIONS) == [200] * 5


async def test_long_ones_are_renewed_an_hour_before(autojump_clock: MockClock) -> None:
    async with trading(expiry=timedelta(hours=11)) as (world, session):
        first = session.expires_at
        await trio.sleep(10 * 3600 - 100)
        assert session.expires_at == first
        await trio.sleep(200)
        assert session.expires_at > first + timedelta(hours=9)
        assert world.statuses(SESSION) == [200, 200]


async def test_slept_through_its_expiry(autojump_clock: MockClock) -> None:
    """The machine was asleep: the clock jumped, and the task that renews comes too late."""
    async with trading(expiry=timedelta(days=30)) as (world, session):
        later = 40 * 86400
        clock = world.sim.exchange._clock
        world.sim.exchange._clock = lambda: clock() + later * 10**9
        assert expiry_of(world) < world.sim.exchange.now / 1e9
        assert (await bid(session)).is_open
        assert expiry_of(world) > world.sim.exchange.now / 1e9
        assert world.statuses(ACTIONS) == [200], "nothing was sent with the expired one"


async def test_clock_that_is_slow(autojump_clock: MockClock) -> None:
    """We think it lives; the exchange says it has expired: it is renewed, and what was refused is sent."""
    async with (
        open_world(clock=lambda: 1_790_000_000.0) as world,
        world.o2.session(world.owner, FUEL, expiry=MINUTE) as session,
    ):
        await trio.sleep(61)
        clock = world.sim.exchange._clock
        with pytest.raises(OnChainRevert, match="SessionInThePast"):
            await bid(session)
        world.sim.exchange._clock = lambda: clock() - 30 * 10**9
        await bid(session)
        assert world.statuses(ACTIONS) == [401, 200]


async def test_many_renew_once(autojump_clock: MockClock) -> None:
    async with trading(expiry=MINUTE, lane=0) as (world, session):
        later = 61 * 10**9
        clock = world.sim.exchange._clock
        world.sim.exchange._clock = lambda: clock() + later
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(bid, session)
        assert len(world.orders()) == 5
        assert world.statuses(SESSION) == [200, 200]


async def test_renewal_refused(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again and again; the session trades until its end, and afterwards says why it cannot."""
    owner = Unwilling()
    with caplog.at_level(logging.WARNING, "o2trio"):
        async with open_world(owner=owner) as world, world.o2.session(owner, FUEL, expiry=MINUTE) as session:
            owner.willing = False
            await trio.sleep(58)
            assert 2 <= owner.asked <= 8, "with backoff"
            await bid(session)
            await trio.sleep(2)
            with pytest.raises(SignerFailed, match="set_session"):
                await bid(session)
            owner.willing = True
            await bid(session)
            asked = owner.asked
            await trio.sleep(30)
            assert owner.asked == asked
    assert "could not be renewed, trying again" in caplog.text


async def test_renewal_while_rest_is_down(autojump_clock: MockClock) -> None:
    async with trading(expiry=MINUTE) as (world, session):
        await trio.sleep(50)
        world.sim.rest.go_down()
        await trio.sleep(20)
        with pytest.raises(RequestFailed):
            await bid(session)
        world.sim.rest.come_back()
        await trio.sleep(20)
        await bid(session)
        assert expiry_of(world) == session.expires_at.timestamp() > world.sim.exchange.now / 1e9


# -- registration --------------------------------------------------------------------------------------


async def test_no_account(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        stranger = FuelWallet.generate()
        with pytest.raises(AccountMissing, match=f"{stranger.address}.*setup_account"):
            async with world.o2.session(stranger, FUEL):
                raise AssertionError("not reached")


@pytest.mark.parametrize("before", [True, False], ids=["never ran", "ran"])
async def test_answer_to_the_registration_is_lost(autojump_clock: MockClock, before: bool) -> None:
    async with open_world() as world:
        world.sim.rest.cut(path=SESSION, count=1, before=before)
        async with world.o2.session(world.owner, FUEL) as session:
            assert not session.unresolved
            await bid(session)
        assert world.statuses(SESSION, "PUT") == ([0, 200] if before else [0])


async def test_all_answers_to_the_registration_are_lost(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        world.sim.rest.cut(path=SESSION, before=True)
        with pytest.raises(OutcomeUnknown, match="set_session"):
            async with world.o2.session(world.owner, FUEL):
                raise AssertionError("not reached")
        assert world.statuses(SESSION, "PUT") == [0, 0, 0]
        world.sim.rest.heal()
        async with world.o2.session(world.owner, FUEL) as session:
            assert not session.unresolved, "whether an older one ran makes no difference to anybody"
            assert world.account.session is not None
            assert world.account.session.session_id == session.session_id


async def test_registration_cancelled(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        world.sim.rest.defer(5, path=SESSION, count=1)
        with trio.move_on_after(2):
            async with world.o2.session(world.owner, FUEL):
                raise AssertionError("not reached")
        async with world.o2.session(world.owner, FUEL) as session:
            await trio.sleep(10)
            await bid(session)
            assert world.account.session is not None
            assert world.account.session.session_id == session.session_id, "the late one came too late"
            await session.resolve_all()
            assert not session.unresolved


async def test_registered_with_an_old_nonce(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        await trio.sleep(3)
        world.sim.rest.stale(1500)
        for _ in range(3):
            world.sim.place(world.account, FUEL, "buy", price=DEEP, quantity="1000")
        async with world.o2.session(world.owner, FUEL) as session:
            await bid(session)
        assert world.statuses(SESSION, "PUT")[-1] == 200


# -- replaced --------------------------------------------------------------------------------------------


async def _another_process(world: World, market: str = FUEL) -> FuelWallet:
    """Open a session of the same account by another client, and leave it."""
    key = FuelWallet.generate()
    async with open_o2(world.network, options=QUICK) as other, other.session(world.owner, market, key=key):
        pass
    return key


@pytest.mark.parametrize("renew", [True, False])
@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
async def test_replaced(autojump_clock: MockClock, renew: bool, lane: int | None) -> None:
    async with trading(renew=renew, lane=lane) as (world, session):
        order = await bid(session)
        key = await _another_process(world)
        began = trio.current_time()
        with pytest.raises(SessionReplaced, match="another session was created") as caught:
            await session.cancel(order)
        assert trio.current_time() - began < 1
        assert caught.value.account is not None
        assert caught.value.account.session is not None
        assert caught.value.account.session.session_id.id == key.address
        sent = len(world.statuses(ACTIONS))
        for act in (
            bid(session),
            session.settle(),
            session.cancel(order),
            session.replace(order, price=DEEP, quantity="900"),
        ):
            with pytest.raises(SessionReplaced):
                await act
        with pytest.raises(SessionReplaced):
            await session.cancel_all()
        assert len(world.statuses(ACTIONS)) == sent, "a dead session sends nothing"
        assert not session.unresolved


async def test_replaced_in_the_same_client(autojump_clock: MockClock) -> None:
    async with trading() as (world, first), world.o2.session(world.owner, FUEL) as second:
        with pytest.raises(SessionReplaced):
            await bid(first)
        order = await bid(second)
        await trio.sleep(5)
        assert first.orders[order.order_id].is_open, "it still follows the account's orders"


async def test_dead_session_does_not_kill_the_other(autojump_clock: MockClock) -> None:
    """It has been told that it was replaced; renewing it would take the account back behind both."""
    async with trading(expiry=MINUTE) as (world, session):
        key = await _another_process(world)
        with pytest.raises(SessionReplaced):
            await bid(session)
        await trio.sleep(200)
        assert world.account.session is not None
        assert world.account.session.session_id.id == key.address
        with pytest.raises(SessionReplaced):
            await bid(session)


async def test_idle_session_does_not_kill_the_other(autojump_clock: MockClock) -> None:
    """Nobody has told it yet that it was replaced; when it is time to renew it, it looks."""
    async with trading(expiry=MINUTE) as (world, session):
        key = await _another_process(world)
        await trio.sleep(200)
        assert world.account.session is not None
        assert world.account.session.session_id.id == key.address
        with pytest.raises(SessionReplaced):
            await bid(session)


async def test_resolves_what_it_lost_before_it_was_replaced(autojump_clock: MockClock) -> None:
    """The submission can run no more: its session is over."""
    async with trading() as (world, session):
        world.sim.rest.cut(path=ACTIONS, count=1, before=True)
        with pytest.raises(OutcomeUnknown) as caught:
            await bid(session)
        await _another_process(world)
        resolved = await session.resolve(caught.value)
        assert resolved.verdict in {"never ran", "reverted"}
        assert not world.orders()


# -- restored --------------------------------------------------------------------------------------------


async def test_restore(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        async with world.o2.session(world.owner, [FUEL, ETH], key=KEY, expiry=MINUTE) as session:
            order, expires = await bid(session), session.expires_at
        async with (
            open_o2(world.network, options=QUICK) as other,
            other.restore_session(world.account.trade_account_id, KEY) as restored,
        ):
            assert {market.pair for market in restored.markets} == {FUEL, ETH}
            assert restored.expires_at == expires
            assert restored.session_id == session.session_id
            await trio.sleep(5)
            assert [each.order_id for each in restored.orders] == [order.order_id]
            await restored.cancel(order.order_id, FUEL)
            await trio.sleep(60)
            with pytest.raises(SessionExpired):
                await bid(restored)
        assert world.statuses(SESSION, "PUT") == [200]


@pytest.mark.parametrize("lane", [None, 1], ids=["sequential", "parallel"])
async def test_restore_with_the_owner(autojump_clock: MockClock, lane: int | None) -> None:
    async with open_world() as world:
        async with world.o2.session(world.owner, FUEL, key=KEY, expiry=MINUTE):
            pass
        account = await world.o2.get_account(world.account.trade_account_id)
        assert account is not None
        async with world.o2.restore_session(account, KEY, owner=world.owner, lane=lane) as restored:
            await trio.sleep(100)
            await bid(restored)
            assert restored.expires_at.timestamp() == expiry_of(world)


async def test_restore_shortly_before_the_end(autojump_clock: MockClock) -> None:
    """It is renewed for as long as any other, not for the seconds that were left."""
    async with open_world() as world:
        async with world.o2.session(world.owner, FUEL, key=KEY, expiry=MINUTE):
            await trio.sleep(50)
        async with world.o2.restore_session(world.account.identity, KEY, owner=world.owner) as restored:
            await trio.sleep(100)
            await bid(restored)
            assert restored.expires_at.timestamp() == expiry_of(world)
        assert world.statuses(SESSION) == [200, 200]


async def test_restore_with_a_wrong_key(autojump_clock: MockClock) -> None:
    account = ""
    async with trading() as (world, session):
        account = world.account.trade_account_id
        with pytest.raises(SessionReplaced, match="not this key's"):
            async with world.o2.restore_session(account, KEY):
                raise AssertionError("not reached")
        await bid(session)


async def test_restore_without_a_session(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        with pytest.raises(SessionReplaced, match="registered for this account is none") as caught:
            async with world.o2.restore_session(world.account.identity, KEY):
                raise AssertionError("not reached")
        assert caught.value.account is not None
        with pytest.raises(AccountMissing, match="ee"):
            async with world.o2.restore_session("0x" + "ee" * 32, KEY):
                raise AssertionError("not reached")
        with pytest.raises(InvalidRequest, match="key must be a Signer"):
            world.o2.restore_session(world.account.identity, "key")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="account"):
            world.o2.restore_session("0x12", KEY)


async def test_restore_an_expired_one(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        async with world.o2.session(world.owner, FUEL, key=KEY, expiry=MINUTE):
            pass
        await trio.sleep(60)
        with pytest.raises(SessionExpired, match="open a new one"):
            async with world.o2.restore_session(world.account.identity, KEY):
                raise AssertionError("not reached")


# -- left ------------------------------------------------------------------------------------------------


async def test_left(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        async with world.o2.session(world.owner, FUEL, expiry=MINUTE) as session:
            order = await bid(session)
        for act in (bid(session), session.cancel(order), session.settle()):
            with pytest.raises(trio.ClosedResourceError):
                await act
        with pytest.raises(trio.ClosedResourceError):
            await order.closed()
        await trio.sleep(100)
        assert world.statuses(SESSION, "PUT") == [200], "nobody renews it any more"
        assert len(world.orders(only_open=True)) == 1, "its orders stay"
        assert len(world.statuses(ACTIONS)) == 1
        await trio.sleep(QUICK.idle_timeout)
        assert not world.sim.connections


async def test_client_left(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        sessions: list[Session] = []
        async with open_o2(world.network, options=QUICK) as other:
            context = other.session(world.owner, FUEL)
            sessions.append(await context.__aenter__())
            await context.__aexit__(None, None, None)
        with pytest.raises(trio.ClosedResourceError):
            await bid(sessions[0])


async def test_error_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with trading():
            raise error
    assert caught.value is error


async def test_streams_are_lost(autojump_clock: MockClock) -> None:
    """Orders are followed no longer, and waits say so; placing goes on."""
    options = attrs.evolve(QUICK, max_attempts=2)
    async with trading(options=options) as (world, session):
        order = await bid(session)
        await trio.sleep(3)
        world.sim.refuse_handshakes(503)
        world.sim.drop_connections()
        await trio.sleep(60)
        assert session.orders.is_stale
        await bid(session)
        await session.cancel(order)
        assert len(world.orders(only_open=True)) == 1


# -- upgrade ---------------------------------------------------------------------------------------------


async def test_upgrade(autojump_clock: MockClock) -> None:
    async with open_world(version=2) as world:
        async with world.o2.session(world.owner, FUEL) as session:
            await bid(session)
            assert await world.o2.upgrade_account(world.owner)
            with pytest.raises(SessionReplaced, match="no longer knows"):
                await bid(session)
        assert not await world.o2.upgrade_account(world.owner)
        async with world.o2.session(world.owner, FUEL, lane=0) as session:
            await bid(session)
        with pytest.raises(AccountMissing):
            await world.o2.upgrade_account(FuelWallet.generate())


async def test_upgrade_answer_lost(autojump_clock: MockClock) -> None:
    async with open_world(version=2) as world:
        world.sim.rest.cut(path="/v1/accounts/upgrade", count=1)
        with pytest.raises(OutcomeUnknown, match="upgrade"):
            await world.o2.upgrade_account(world.owner)
        assert not await world.o2.upgrade_account(world.owner)
