"""Signers that are somewhere else: slow, failing, wrong or cancelled, they hold up nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import EvmWallet, FuelWallet, SignerFailed, SignerKind, SigningRequest
from o2trio.models import Id
from tests.trading._world import (
    ACTIONS,
    FUEL,
    QUICK,
    SESSION,
    World,
    bid,
    check_same,
    open_world,
    raises_soon,
)

Answer = Callable[["External", SigningRequest], Awaitable[object]]


class External:
    """A key that somebody else holds; `answer` says how it behaves, None is well."""

    def __init__(self, digit: int, kind: SignerKind = SignerKind.FUEL) -> None:
        key = f"{digit}" * 64
        self.wallet = FuelWallet.from_key(key) if kind is SignerKind.FUEL else EvmWallet.from_key(key)
        self.kind = kind
        self.answer: Answer | None = None
        self.asked: list[SigningRequest] = []
        self.cancelled = 0

    @property
    def address(self) -> Id:
        return self.wallet.address

    async def sign(self, request: SigningRequest) -> bytes:
        self.asked.append(request)
        try:
            if self.answer is not None:
                return await self.answer(self, request)  # type: ignore[return-value]
            return await self.wallet.sign(request)
        except trio.Cancelled:
            self.cancelled += 1
            raise


async def slow(signer: External, request: SigningRequest) -> bytes:
    await trio.sleep(20)
    return await signer.wallet.sign(request)


async def stuck(signer: External, request: SigningRequest) -> bytes:
    await trio.sleep_forever()
    raise AssertionError(signer, request)


async def failing(signer: External, request: SigningRequest) -> bytes:
    await trio.lowlevel.checkpoint()
    raise OSError("the device is not plugged in", signer, request)


async def another(_: External, request: SigningRequest) -> bytes:
    return await FuelWallet.from_key("9" * 64).sign(request)


async def another_message(signer: External, request: SigningRequest) -> bytes:
    return await signer.wallet.sign(attrs.evolve(request, digest=bytes(32)))


async def garbage(_: External, __: SigningRequest) -> bytes:
    await trio.lowlevel.checkpoint()
    return b"\xff" * 64


async def short(_: External, __: SigningRequest) -> bytes:
    await trio.lowlevel.checkpoint()
    return b"\x01" * 65


async def text(_: External, __: SigningRequest) -> str:
    await trio.lowlevel.checkpoint()
    return "0x" + "01" * 64


BAD: list[Answer] = [stuck, failing, another, another_message, garbage, short, text]
NAMES = [answer.__name__ for answer in BAD]


@pytest.mark.parametrize("kind", list(SignerKind))
@pytest.mark.parametrize("answer", BAD, ids=NAMES)
async def test_bad_owner(autojump_clock: MockClock, answer: Answer, kind: SignerKind) -> None:
    owner = External(1, kind)
    async with open_world(owner=owner) as world:
        owner.answer = answer
        with raises_soon(SignerFailed, owner.address, QUICK.signer_timeout) as caught:
            async with world.o2.session(owner, FUEL):
                raise AssertionError("not reached")
        with pytest.raises(SignerFailed):
            await world.o2.withdraw(owner, "fUSDC", amount="1")
        with pytest.raises(SignerFailed):
            await world.o2.withdraw(owner, "fUSDC", amount="1", lane=0)
        assert "1" * 64 not in str(caught.value)
        assert world.account.nonce == 0
        assert not world.statuses(SESSION), "nothing was sent"
        assert not world.desk.unresolved
        owner.answer = None
        async with world.o2.session(owner, FUEL) as session:
            await bid(session)
        await world.o2.withdraw(owner, "fUSDC", amount="1", lane=0)
        typed = [request.typed for request in owner.asked]
        assert typed == [False, False, True, False, True]


@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
@pytest.mark.parametrize("answer", BAD, ids=NAMES)
async def test_bad_session_key(autojump_clock: MockClock, answer: Answer, lane: int | None) -> None:
    key = External(2)
    async with open_world() as world, world.o2.session(world.owner, FUEL, key=key, lane=lane) as session:
        first = await bid(session)
        key.answer = answer
        with raises_soon(SignerFailed, "session actions|sign", QUICK.signer_timeout):
            await bid(session)
        key.answer = None
        second = await bid(session)
        check_same(world, [first, second])
        assert world.statuses(ACTIONS) == [200, 200], "nothing was sent, and no nonce is missed"
        assert not session.unresolved


async def test_cause_is_the_signers_own_error(autojump_clock: MockClock) -> None:
    owner = External(1)
    owner.answer = failing
    async with open_world(owner=owner) as world:
        with pytest.raises(SignerFailed, match="withdraw") as caught:
            await world.o2.withdraw(owner, "fUSDC", amount="1")
        assert isinstance(caught.value.__cause__, OSError)


async def test_slow_is_waited_for(autojump_clock: MockClock) -> None:
    owner, key = External(1), External(2)
    owner.answer = key.answer = slow
    async with open_world(owner=owner) as world, world.o2.session(owner, FUEL, key=key) as session:
        check_same(world, [await bid(session)])


async def _other_accounts_session(world: World) -> tuple[FuelWallet, object]:
    other = FuelWallet.from_key("4" * 64)
    return other, await world.o2.setup_account(other)


@pytest.mark.parametrize("answer", [slow, stuck], ids=["slow", "stuck"])
async def test_holds_up_nothing_else(autojump_clock: MockClock, answer: Answer) -> None:
    """Other accounts, parallel nonces, reads and streams go on while somebody looks for his token."""
    owner = External(1)
    async with open_world(owner=owner) as world:
        other, _ = await _other_accounts_session(world)
        async with (
            world.o2.session(owner, FUEL, lane=0) as session,
            world.o2.session(other, FUEL) as others,
            trio.open_nursery() as nursery,
        ):
            owner.answer = answer
            nursery.start_soon(partial(world.o2.withdraw, owner, "fUSDC", amount="1"))
            await trio.sleep(1)
            began = trio.current_time()
            await bid(others)
            await bid(session)
            await session.cancel_all()
            await world.o2.get_balances(world.account.identity)
            async with world.o2.stream_orders(world.account.identity, seed=True) as updates:
                await anext(aiter(updates))
            assert trio.current_time() - began < 10
            assert len(owner.asked) == 2
            nursery.cancel_scope.cancel()
        assert not world.desk.unresolved


@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
async def test_cancelled_while_signing(autojump_clock: MockClock, lane: int | None) -> None:
    """Nothing has left, so nothing is unknown; and the next in turn gets it at once."""
    key = External(2)
    async with open_world() as world, world.o2.session(world.owner, FUEL, key=key, lane=lane) as session:
        key.answer = stuck
        with trio.move_on_after(3) as scope:
            await bid(session)
        assert scope.cancelled_caught
        assert key.cancelled == 1
        assert not session.unresolved
        key.answer = None
        began = trio.current_time()
        check_same(world, [await bid(session)])
        assert trio.current_time() - began < 1
        assert world.statuses(ACTIONS) == [200]


async def test_many_slow_signatures_in_parallel(autojump_clock: MockClock) -> None:
    key = External(2)
    async with open_world() as world, world.o2.session(world.owner, FUEL, key=key, lane=0) as session:
        key.answer = slow
        began = trio.current_time()
        orders = []

        async def one() -> None:
            orders.append(await bid(session))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
        check_same(world, orders)
        assert trio.current_time() - began < 20 + 20 / 5 * 1.1 + 1


async def test_slow_owner_in_a_queue_can_be_left(autojump_clock: MockClock) -> None:
    """Submissions of the counter wait for each other; those that wait can be cancelled."""
    owner = External(1)
    async with open_world(owner=owner) as world, world.o2.session(owner, FUEL) as session:
        owner.answer = stuck
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(world.o2.withdraw, owner, "fUSDC", amount="1"))
            await trio.sleep(1)
            with trio.move_on_after(2) as scope:
                await bid(session)
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()
        assert not session.unresolved
        check_same(world, [await bid(session)])
