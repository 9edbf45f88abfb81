"""Under which key a parallel submission holds its signature: the other one once, and only after a proof."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

import attrs
import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from o2trio import (
    ApiError,
    InvalidRequest,
    InvalidSignature,
    NetworkConfig,
    OnChainRevert,
    OutcomeUnknown,
    RequestFailed,
    RequestRejected,
    Session,
    Verdict,
)
from o2trio.rest._writes import AnswerLost
from o2trio.simulator import Flavor
from tests.trading._world import (
    ACTIONS,
    DEAR,
    DEEP,
    FUEL,
    WITHDRAW,
    World,
    bid,
    check_same,
    lost,
    open_world,
)

PLAIN, TYPED = "Secp256k1", "TypedSecp256k1"
Key = Literal["Secp256k1", "TypedSecp256k1", "either"]


@asynccontextmanager
async def insisting(
    key: Key, *, lane: int | None = 0, **network: Any
) -> AsyncGenerator[tuple[World, Session, list[Any]]]:
    """Open a session on an exchange that takes one key only; list the bodies of what is submitted."""
    flavor = Flavor(parallel_signature_key=key)
    async with (
        open_world(flavor=flavor, **network) as world,
        world.o2.session(world.owner, FUEL, lane=lane) as session,
    ):
        yield world, session, record(world)


def record(world: World) -> list[Any]:
    """Return a list that the body of each further submission is put into when it is about to leave."""
    bodies: list[Any] = []
    rest = world.desk.rest
    send = rest.submit

    async def submit(method: str, path: str, body: Any, **how: Any) -> Any:
        bodies.append(body)
        return await send(method, path, body, **how)

    rest.submit = submit  # type: ignore[method-assign]
    return bodies


def keys(bodies: list[Any]) -> list[str]:
    return [key for body in bodies for key in body["signature"]]


def refuse(world: World, *refusals: ApiError | None) -> None:
    """Refuse the next submissions, before they reach the exchange, where an error is given."""
    rest, left = world.desk.rest, list(refusals)
    send = rest.submit

    async def submit(*args: Any, **how: Any) -> Any:
        refusal = left.pop(0) if left else None
        if refusal is None:
            return await send(*args, **how)
        how["on_sent"]()
        await trio.lowlevel.checkpoint()
        raise refusal

    rest.submit = submit  # type: ignore[method-assign]


def said(kind: type[ApiError], code: int | None, reason: str = "", status: int = 400) -> ApiError:
    return kind(f"code {code}", status=status, code=code, message="no", reason=reason)


# -- which key -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("insists", "sent"),
    [("Secp256k1", [PLAIN, PLAIN]), ("TypedSecp256k1", [PLAIN, TYPED, TYPED]), ("either", [PLAIN, PLAIN])],
)
async def test_the_key_that_works_is_found_and_remembered(
    autojump_clock: MockClock, insists: Key, sent: list[str]
) -> None:
    """Fault 8: on an exchange that insists on ``TypedSecp256k1`` no session on a lane could trade."""
    async with insisting(insists) as (world, session, bodies):
        orders = [await bid(session), await bid(session)]
        assert keys(bodies) == sent
        check_same(world, orders)
        if len(bodies) == 3:
            first, second, _ = ({**body, "signature": [*body["signature"].values()]} for body in bodies)
            assert first == second, "the same nonce, the same bytes, the same signature"
        assert world.statuses(ACTIONS) == [400] * (len(sent) - 2) + [200, 200]


async def test_the_key_is_remembered_for_the_account_not_for_the_session(autojump_clock: MockClock) -> None:
    async with insisting("TypedSecp256k1") as (world, session, bodies):
        await bid(session)
        async with world.o2.session(world.owner, FUEL, lane=3) as other:
            await bid(other)
        assert keys(bodies) == [PLAIN, TYPED, PLAIN, TYPED], "the one between registers the session"
        assert [body.get("parallel_nonce") is None for body in bodies] == [False, False, True, False]


@pytest.mark.parametrize("insists", ["Secp256k1", "TypedSecp256k1"])
async def test_other_submissions_have_one_key(autojump_clock: MockClock, insists: Key) -> None:
    async with insisting(insists, lane=None) as (world, session, bodies):
        await bid(session)
        await world.o2.withdraw(world.owner, "fUSDC", amount="5")
        await world.o2.withdraw(world.owner, "fUSDC", amount="5", lane=1)
        assert keys(bodies) == [PLAIN, PLAIN, TYPED]
        refuse(world, *[said(InvalidSignature, 4000) for _ in range(9)])
        with pytest.raises(InvalidSignature):
            await world.o2.withdraw(world.owner, "fUSDC", amount="5", lane=1)
        assert world.statuses(WITHDRAW) == [200, 200]
        del bodies[:]
        with pytest.raises(InvalidSignature):
            await bid(session)
        assert keys(bodies) == []


@pytest.mark.parametrize("forced", [PLAIN, TYPED])
async def test_a_chosen_key_is_the_only_one(autojump_clock: MockClock, forced: str) -> None:
    insists: Key = "TypedSecp256k1" if forced == PLAIN else "Secp256k1"
    async with insisting(insists, parallel_signature_key=forced) as (world, session, bodies):
        with pytest.raises(RequestRejected, match=f"must be a {insists} signature"):
            await bid(session)
        assert keys(bodies) == [forced]
        assert not session.unresolved
    async with insisting("either", parallel_signature_key=forced) as (world, session, bodies):
        check_same(world, [await bid(session)])
        assert keys(bodies) == [forced]


def test_a_key_that_nobody_knows_cannot_be_chosen() -> None:
    with pytest.raises(InvalidRequest, match=r"Secp256k1 or TypedSecp256k1 or None, not 'Ed25519'"):
        attrs.evolve(NetworkConfig.from_url("http://x"), parallel_signature_key="Ed25519")


async def test_many_at_once_each_try_the_other_key_once(autojump_clock: MockClock) -> None:
    async with insisting("TypedSecp256k1") as (world, session, bodies):
        orders: list[Any] = []

        async def place(number: int) -> None:
            orders.append(await bid(session, quantity=str(1000 + number)))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(place, number)
        check_same(world, orders)
        nonces = [body["parallel_nonce"] for body in bodies]
        assert len(set(nonces)) == 20
        assert max(nonces.count(nonce) for nonce in nonces) <= 2


# -- only after a proof ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1001, 1002, 4000])
async def test_codes_that_prove_that_nothing_ran(autojump_clock: MockClock, code: int) -> None:
    async with insisting("TypedSecp256k1") as (world, session, bodies):
        world.sim.rest.fail(400, code=code, path=ACTIONS, count=1)
        order = await bid(session)
        assert keys(bodies) == [PLAIN, TYPED]
        check_same(world, [order])


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, 3002, ApiError),
        (400, 7004, ApiError),
        (404, 2000, ApiError),
        (400, 9999, ApiError),
        (401, 4001, ApiError),
        (500, 1000, OutcomeUnknown),
        (503, 1000, OutcomeUnknown),
    ],
)
async def test_no_other_refusal_is_followed_by_a_second_copy(
    autojump_clock: MockClock, status: int, code: int, error: type[Exception]
) -> None:
    async with insisting("either") as (world, session, bodies):
        world.sim.rest.fail(status, code=code, path=ACTIONS)
        with pytest.raises(error):
            await bid(session)
        assert set(keys(bodies)) == {PLAIN}
        assert not world.orders()


@pytest.mark.parametrize(
    "reason",
    [
        "Parallel nonce is not usable: nonce already used",
        "Parallel nonce is not usable: nonce expired",
        "Invalid session address",
    ],
)
async def test_a_refusal_that_names_another_cause(autojump_clock: MockClock, reason: str) -> None:
    async with insisting("either") as (world, session, bodies):
        refuse(world, *[said(RequestRejected, 1001, reason) for _ in range(4)])
        with pytest.raises((OutcomeUnknown, RequestRejected)):
            await bid(session)
        assert set(keys(bodies)) <= {PLAIN}
        assert not world.orders()


async def test_a_revert_is_not_followed_by_a_second_copy(autojump_clock: MockClock) -> None:
    async with insisting("Secp256k1") as (_, session, bodies):
        with pytest.raises(OnChainRevert):
            await bid(session, price=DEAR, order_type="PostOnly")
        assert keys(bodies) == [PLAIN]


async def test_both_keys_refused(autojump_clock: MockClock) -> None:
    """The first refusal is raised: the second may only say that the other key is wrong."""
    async with insisting("Secp256k1") as (world, session, bodies):
        refuse(world, said(InvalidSignature, 4000, "the signature is one of a stranger"))
        with pytest.raises(InvalidSignature, match="4000"):
            await bid(session)
        assert world.statuses(ACTIONS) == [400]
        assert not session.unresolved
        check_same(world, [await bid(session)])
        refuse(world, said(InvalidSignature, 4000))
        with pytest.raises(InvalidSignature):
            await bid(session)
        assert keys(bodies) == [TYPED, PLAIN], "no second copy once one key has worked"


async def test_the_second_refusal_is_raised_if_it_says_more(autojump_clock: MockClock) -> None:
    async with insisting("TypedSecp256k1") as (_, session, bodies):
        with pytest.raises(OnChainRevert, match="OrderPartiallyFilled"):
            await bid(session, price=DEAR, order_type="PostOnly")
        assert keys(bodies) == [PLAIN, TYPED]
        assert not session.unresolved


async def test_the_nonce_is_out_of_the_window_for_the_second_copy(autojump_clock: MockClock) -> None:
    """It is signed with a new nonce then, and each nonce is sent under each key once at most."""
    async with insisting("TypedSecp256k1") as (world, session, bodies):
        void = said(RequestRejected, 1001, "Parallel nonce is not usable: nonce expired")
        refuse(world, None, void)
        check_same(world, [await bid(session)])
        sent = [(body["parallel_nonce"], *body["signature"]) for body in bodies]
        assert len(set(sent)) == len(sent) <= 4


# -- lost answers ----------------------------------------------------------------------------------


async def test_the_first_answer_is_lost(autojump_clock: MockClock) -> None:
    """No answer proves nothing, so there is no second copy; the fence finds its key on its own."""
    async with insisting("TypedSecp256k1") as (world, session, bodies):
        world.sim.rest.cut(path=ACTIONS, count=1, before=True)
        outcome = await lost(bid(session))
        assert keys(bodies) == [PLAIN]
        resolved = await session.resolve(outcome)
        assert resolved.verdict is Verdict.NEVER_RAN
        assert keys(bodies) == [PLAIN, PLAIN, TYPED]
        assert len({body["parallel_nonce"] for body in bodies}) == 1
        check_same(world, [await bid(session)])


@pytest.mark.parametrize("insists", ["Secp256k1", "either"])
async def test_the_first_answer_is_lost_and_it_ran(autojump_clock: MockClock, insists: Key) -> None:
    async with insisting(insists) as (world, session, bodies):
        world.sim.rest.cut(path=ACTIONS, count=1)
        outcome = await lost(bid(session))
        assert keys(bodies) == [PLAIN]
        resolved = await session.resolve(outcome)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, list(resolved.orders))


@pytest.mark.parametrize("ran", [True, False])
async def test_the_answer_to_the_second_copy_is_lost(autojump_clock: MockClock, ran: bool) -> None:
    async with insisting("TypedSecp256k1") as (world, session, bodies):
        world.sim.rest.fail(400, code=4000, path=ACTIONS, count=1)
        world.sim.rest.cut(path=ACTIONS, count=1, before=not ran)
        outcome = await lost(bid(session))
        assert keys(bodies) == [PLAIN, TYPED], "and none after that"
        assert session.unresolved == (outcome,)
        resolved = await session.resolve(outcome)
        assert resolved.verdict is (Verdict.LANDED if ran else Verdict.NEVER_RAN)
        assert len(world.orders()) == len(resolved.orders) == ran


async def test_the_second_copy_finds_its_nonce_used(autojump_clock: MockClock) -> None:
    """Then the refusal of the first was no proof after all, and nobody claims to know: it is resolved."""
    async with insisting("either") as (world, session, bodies):
        rest = world.desk.rest
        send = rest.submit

        async def submit(*args: Any, **how: Any) -> Any:
            answer = await send(*args, **how)
            if len(bodies) == 1:
                raise said(InvalidSignature, 4000)
            return answer

        rest.submit = submit  # type: ignore[method-assign]
        outcome = await lost(bid(session))
        assert keys(bodies) == [PLAIN, TYPED]
        resolved = await session.resolve(outcome)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, list(resolved.orders))


async def test_the_second_copy_does_not_leave(autojump_clock: MockClock) -> None:
    async with insisting("TypedSecp256k1") as (world, session, _):
        rest = world.desk.rest
        send, count = rest.submit, 0

        async def submit(*args: Any, **how: Any) -> Any:
            nonlocal count
            count += 1
            if count == 2:
                raise RequestFailed("no connection")
            return await send(*args, **how)

        rest.submit = submit  # type: ignore[method-assign]
        with pytest.raises(RequestFailed):
            await bid(session)
        assert not session.unresolved
        assert not world.orders()


@pytest.mark.parametrize("during", ["first", "between", "second"])
async def test_cancelled(autojump_clock: MockClock, during: str) -> None:
    async with insisting("TypedSecp256k1") as (world, session, bodies):
        rest = world.desk.rest
        if during == "between":

            async def admit(path: str, owner: Any) -> None:
                if bodies:
                    await trio.sleep_forever()

            rest.admit = admit  # type: ignore[method-assign]
        elif during == "first":
            world.sim.rest.slow(9, path=ACTIONS, count=1)
        else:
            world.sim.rest.fail(400, code=1001, path=ACTIONS, count=1)
            world.sim.rest.slow(9, path=ACTIONS)
        with trio.move_on_after(1 if during != "second" else 12) as scope:
            await bid(session)
        assert scope.cancelled_caught
        assert keys(bodies) == ([PLAIN, TYPED] if during == "second" else [PLAIN])
        unknown = session.unresolved
        assert len(unknown) == (during != "between"), "the first copy is proven not to have run"
        await trio.sleep(30)
        assert len(world.orders()) == (during == "second")


async def test_no_answer_is_ever_followed_by_a_second_copy(autojump_clock: MockClock) -> None:
    async with insisting("either") as (world, session, bodies):
        rest = world.desk.rest
        send = rest.submit

        async def submit(*args: Any, **how: Any) -> Any:
            await send(*args, **how)
            raise AnswerLost("gone")

        rest.submit = submit  # type: ignore[method-assign]
        for _ in range(3):
            await lost(bid(session))
        assert keys(bodies) == [PLAIN] * 3
        rest.submit = partial(send)  # type: ignore[method-assign]
        resolved = await session.resolve_all()
        assert [each.verdict for each in resolved] == [Verdict.LANDED] * 3
        assert len(world.orders()) == 3
        assert {order.price for order in world.orders()} == {world.market.raw_price(DEEP)}
