"""What became of a submission, told truly: regressions of a review of lost answers, verdicts and withdrawals.

Each begins with something that once was placed twice, or judged wrongly.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import o2trio.trading._desk as desk_module
from o2trio import (
    ApiError,
    FuelWallet,
    MessageTooBig,
    NewOrder,
    OutcomeUnknown,
    Raw,
    Session,
    Verdict,
    open_o2,
)
from o2trio.models import Identity
from o2trio.simulator import _rest_writes as writes
from o2trio.simulator._requests import Fault
from tests.trading._world import (
    ACTIONS,
    DEEP,
    ETH,
    FUEL,
    QUICK,
    WITHDRAW,
    World,
    answering,
    bid,
    check_same,
    lost,
    open_world,
    trading,
)

LANES = pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
KEY = FuelWallet.from_key("77" * 32)
UPGRADE = "/v1/accounts/upgrade"
LAG = QUICK.indexer_lag


async def blind(world: World) -> None:
    """Take the streams away: whatever is known comes from REST."""
    world.sim.refuse_handshakes(503)
    world.sim.drop_connections()
    await trio.sleep(0.1)


def moved(world: World) -> int:
    """Return how much of the quote asset has left for the owner's wallet, in chain units."""
    home = Identity.address(world.owner.address), world.market.quote.asset
    return world.sim.exchange.outside.get(home, 0)


async def withdrawal_lost(world: World, *, before: bool = False, lane: int | None = None) -> OutcomeUnknown:
    world.sim.rest.cut(path=WITHDRAW, before=before, count=1)
    return await lost(world.o2.withdraw(world.owner, "fUSDC", amount="5", lane=lane))


# -- refusals that do not prove that nothing ran -----------------------------------------------------


@LANES
async def test_withdrawal_repeated_by_a_gateway(autojump_clock: MockClock, lane: int | None) -> None:
    """Nothing shows whose effect a change of balance is, so it is not signed again."""
    async with trading() as (world, session):
        world.sim.rest.duplicate(path=WITHDRAW, count=1)
        outcome = await lost(world.o2.withdraw(world.owner, "fUSDC", amount="5", lane=lane))
        assert moved(world) == 5_000_000
        assert session.unresolved == (outcome,)
        assert (await session.resolve(outcome)).verdict in {Verdict.LANDED, Verdict.UNDECIDED}
        assert moved(world) == 5_000_000
        assert len(world.statuses(WITHDRAW)) == 1


@pytest.mark.parametrize("lag", [LAG + 0.6, 5 * LAG, 20 * LAG])
async def test_lists_lag_longer_than_they_should(autojump_clock: MockClock, lag: float) -> None:
    """A gateway repeats the order; lists that do not show the first copy yet prove nothing."""
    async with trading() as (world, session):
        await blind(world)
        world.sim.rest.stale(int(lag * 1000))
        world.sim.rest.duplicate(path=ACTIONS, count=1)
        if lag < QUICK.submit_timeout:
            check_same(world, [await bid(session)])
        else:
            outcome = await lost(bid(session))
            check_same(world, list((await session.resolve(outcome)).orders))
        assert len(world.orders()) == 1


def _sign_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the exchange tell a stale nonce as a wrong signature."""
    transact = writes.Write.transact

    def refuse(write: Any, account: Any, work: Any, parallel: Any = None) -> Any:
        if parallel is None and write.body.number("nonce") != account.nonce:
            raise Fault(400, 4000, "Invalid signature")
        return transact(write, account, work, parallel)

    monkeypatch.setattr(writes.Write, "transact", refuse)


async def test_wrong_signature_whose_first_copy_ran(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading() as (world, session):
        await blind(world)
        _sign_first(monkeypatch)
        world.sim.rest.stale(1000, path="/v1/accounts")
        world.sim.rest.duplicate(path=ACTIONS, count=1)
        check_same(world, [await bid(session)])


@pytest.mark.parametrize("cancelled", [False, True], ids=["unreadable", "cancelled"])
async def test_wrong_signature_and_then_nothing_more(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    """Before it is known what the refusal means, reads fail, or the call is cancelled."""
    async with trading() as (world, session):
        before = await bid(session)
        _sign_first(monkeypatch)
        world.sim.rest.duplicate(path=ACTIONS, count=1)
        if cancelled:
            world.sim.rest.slow(3, path="/v1/accounts")
            with trio.move_on_after(1):
                await bid(session)
        else:
            world.sim.rest.fail(500, path="/v1/accounts")
            assert isinstance((await lost(bid(session))).__cause__, ApiError)
        world.sim.rest.heal()
        (resolved,) = await session.resolve_all()
        assert resolved.verdict is Verdict.LANDED
        check_same(world, [before, *resolved.orders])


@pytest.mark.parametrize(
    "error", [MessageTooBig("too big"), trio.ClosedResourceError("closed"), KeyboardInterrupt()], ids=repr
)
async def test_anything_happens_after_a_refusal(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """While the orders of a refused submission are looked for, it is not forgotten."""
    async with trading() as (world, session):

        def fail(*_: object, **__: object) -> None:
            raise error

        world.sim.rest.duplicate(path=ACTIONS, count=1)
        with monkeypatch.context() as patch:
            patch.setattr(world.desk.rest, "iter_orders", fail)
            with pytest.raises((OutcomeUnknown, KeyboardInterrupt)) as caught:
                await bid(session)
        assert isinstance(caught.value, OutcomeUnknown) == isinstance(error, Exception)
        assert caught.value.__cause__ is (error if isinstance(error, Exception) else None)
        (resolved,) = await session.resolve_all()
        check_same(world, list(resolved.orders))
        assert len(world.orders()) == 1


@LANES
async def test_interrupted_while_it_is_under_way(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, lane: int | None
) -> None:
    """Control-C is no Cancelled; what has left has left all the same."""
    async with trading(lane=lane) as (world, session):
        send = world.desk.rest.submit

        async def submit(*args: Any, **kwargs: Any) -> Any:
            await send(*args, **kwargs)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(world.desk.rest, "submit", submit)
            with pytest.raises(KeyboardInterrupt):
                await bid(session)
        (resolved,) = await session.resolve_all()
        check_same(world, list(resolved.orders))
        await bid(session)
        assert len(world.orders()) == 2


# -- verdicts about orders ------------------------------------------------------------------------------


@LANES
async def test_fence_of_another_key(autojump_clock: MockClock, lane: int | None) -> None:
    """That a dead session is refused says nothing about what the living one has signed."""
    async with (
        trading(lane=lane) as (world, old),
        world.o2.session(world.owner, FUEL, lane=lane) as new,
    ):
        world.sim.rest.defer(8, cut=True, path=ACTIONS, count=1)
        outcome = await lost(bid(new))
        resolved = await old.resolve(outcome)
        await trio.sleep(20)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, list(resolved.orders))


async def test_fence_of_a_dead_session_and_a_withdrawal(autojump_clock: MockClock) -> None:
    """What the owner has signed is not over with any session."""
    async with trading() as (world, old), world.o2.session(world.owner, FUEL):
        world.sim.rest.defer(8, cut=True, path=WITHDRAW, count=1)
        outcome = await lost(world.o2.withdraw(world.owner, "fUSDC", amount="5"))
        resolved = await old.resolve(outcome)
        await trio.sleep(20)
        assert resolved.verdict in {Verdict.LANDED, Verdict.UNDECIDED}
        assert moved(world) == 5_000_000


@LANES
async def test_expired_and_opened_again(autojump_clock: MockClock, lane: int | None) -> None:
    """The same key is registered again: what it signed before with a parallel nonce can run then."""
    async with open_world() as world:
        life = timedelta(seconds=20)
        async with world.o2.session(
            world.owner, FUEL, key=KEY, lane=lane, expiry=life, renew=False
        ) as session:
            await trio.sleep(18.5)
            world.sim.rest.defer(15, cut=True, path=ACTIONS, count=1)
            outcome = await lost(bid(session))
            await trio.sleep(2)
            verdict = None
            with trio.move_on_after(6):
                verdict = (await session.resolve(outcome)).verdict
        async with world.o2.session(world.owner, FUEL, key=KEY, lane=lane) as again:
            await trio.sleep(20)
            if lane is None:
                assert (verdict, world.orders()) == (Verdict.NEVER_RAN, []), "registration took its nonce"
            else:
                assert verdict is None
                check_same(world, list((await again.resolve(outcome)).orders))
                assert len(world.orders()) == 1


@LANES
async def test_fence_refused_by_mistake(autojump_clock: MockClock, lane: int | None) -> None:
    """The session is said to be invalid once, but it is the account's still: the lost order can run."""
    async with trading(lane=lane) as (world, session):
        world.sim.rest.defer(8, cut=True, path=ACTIONS, count=1)
        outcome = await lost(bid(session))
        world.sim.rest.fail(401, code=4001, path=ACTIONS, count=1)
        resolved = await session.resolve(outcome)
        await trio.sleep(20)
        assert (resolved.verdict is Verdict.LANDED) == bool(world.orders())
        assert not session.unresolved


@pytest.mark.parametrize("ahead", [600, -200])
async def test_clock_that_is_wrong(autojump_clock: MockClock, ahead: int) -> None:
    """Whether a parallel nonce has expired is for the exchange to say, not for our clock."""
    async with open_world() as world:

        def clock() -> float:
            return world.sim.exchange.now / 1e9 + ahead

        network = attrs.evolve(world.network, clock=clock)
        async with open_o2(network, options=QUICK) as o2, o2.session(world.owner, FUEL, lane=0) as session:
            world.sim.rest.defer(200, cut=True, path=ACTIONS, count=1)
            outcome = await lost(bid(session))
            await trio.sleep(130)
            assert (await session.resolve(outcome)).verdict is Verdict.NEVER_RAN
            await trio.sleep(100)
            assert not world.orders()


async def test_confirmed_but_not_found(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has a transaction and no orders, and lists are very old: it has run for all that."""
    async with trading() as (world, session):
        await blind(world)
        world.sim.rest.stale(50_000, path="/v1/orders")
        with monkeypatch.context() as patch:
            answering(world, lambda _: (), patch)
            outcome = await lost(bid(session))
        assert outcome.confirmed
        assert session.unresolved == (outcome,)
        resolved = await session.resolve(outcome)
        assert resolved.verdict is Verdict.LANDED
        check_same(world, list(resolved.orders))


async def test_confirmed_and_cancelled(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with trading() as (world, session):
        answering(world, lambda _: (), monkeypatch)
        world.sim.rest.slow(1, path="/v1/orders")
        with trio.move_on_after(0.5) as scope:
            await bid(session)
        assert scope.cancelled_caught
        (outcome,) = session.unresolved
        assert outcome.confirmed
        check_same(world, list((await session.resolve(outcome)).orders))
        assert not session.unresolved


async def test_confirmed_and_resolved_meanwhile(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call looks for its orders while somebody resolves the same: both find the same order."""
    async with trading() as (world, session):
        answering(world, lambda _: (), monkeypatch)
        world.sim.rest.slow(1, path="/v1/orders")
        found: list[str] = []

        async def place() -> None:
            found.append((await bid(session)).order_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(place)
            await trio.sleep(0.5)
            (outcome,) = session.unresolved
            found += [order.order_id for order in (await session.resolve(outcome)).orders]
        assert trio.current_time() < 20
        assert found == [world.orders()[0].order_id] * 2
        assert not session.unresolved


async def test_answer_names_more_than_was_placed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replacement may name the old order too, and a settlement any."""
    async with trading() as (world, session):
        old = await bid(session)
        answering(world, lambda orders: (old.order, *orders), monkeypatch)
        new = await session.replace(old, price="0.0199", quantity="500")
        assert [new.order_id] == [order.order_id for order in world.orders(only_open=True)]
        assert (await session.settle()).orders == ()
        assert not session.unresolved


@pytest.mark.parametrize("first", [0, 1])
async def test_part_of_a_lost_batch(autojump_clock: MockClock, first: int) -> None:
    """A batch is lost, but ran. An equal part of it is refused for its nonce: that did not place it."""
    async with trading() as (world, session):
        await blind(world)
        one, other = (
            NewOrder(FUEL, "buy", price=DEEP, quantity="1000"),
            NewOrder(FUEL, "buy", price="0.0199", quantity="777"),
        )
        world.sim.rest.stale(1500, path="/v1/accounts")
        world.sim.rest.cut(path=ACTIONS, count=1)
        batch = await lost(session.batch([one, other]))
        part = await lost(session.batch([one]))
        assert batch.submission.nonce == part.submission.nonce
        for outcome in (batch, part)[:: 1 - 2 * first]:
            resolved = await session.resolve(outcome)
            assert (resolved.verdict is Verdict.LANDED) == (outcome is batch)
            assert len(resolved.orders) == (2 if outcome is batch else 0)
        assert len(world.orders()) == 2


async def test_restored_after_another_program(autojump_clock: MockClock) -> None:
    """What another program placed with the same terms is not taken for ours."""
    async with open_world() as world:
        account = world.account.identity
        async with world.o2.session(world.owner, FUEL, key=KEY):
            pass
        async with open_o2(world.network, options=QUICK) as o2, o2.restore_session(account, KEY) as program:
            theirs = await bid(program)
        await trio.sleep(3600)
        async with world.o2.restore_session(account, KEY) as session:
            check_same(world, [theirs, await bid(session)])


async def test_asked_again_much_later(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict lasts as long as the outcome, whatever the desk has forgotten by then."""
    monkeypatch.setattr(desk_module, "REMEMBERED", 1)
    async with trading() as (world, session):
        outcomes: list[OutcomeUnknown] = []
        verdicts: list[Verdict] = []
        for number in range(4):
            world.sim.rest.cut(path=ACTIONS, before=number % 2 == 1, count=1)
            outcomes.append(await lost(bid(session, quantity=f"{number + 1}000")))
            verdicts.append((await session.resolve(outcomes[-1])).verdict)
        assert verdicts == [Verdict.LANDED, Verdict.NEVER_RAN] * 2
        again = [await session.resolve(outcome) for outcome in outcomes]
        assert [resolved.verdict for resolved in again] == verdicts
        check_same(world, [order for resolved in again for order in resolved.orders])


# -- verdicts about money, and about what the owner signs --------------------------------------------------


async def test_two_withdrawals_with_one_nonce(autojump_clock: MockClock) -> None:
    """The first never arrived, the second has run; nothing shows which of them it was."""
    async with trading() as (world, session):
        never = await withdrawal_lost(world, before=True)
        ran = await withdrawal_lost(world)
        assert never.submission.nonce == ran.submission.nonce
        verdicts = [(await session.resolve(outcome)).verdict for outcome in (never, ran)]
        assert verdicts == [Verdict.UNDECIDED] * 2
        assert moved(world) == 5_000_000


@pytest.mark.parametrize("lag", [0, 1500])
async def test_withdrawal_reverted_behind_an_equal_one(autojump_clock: MockClock, lag: int) -> None:
    """Eight coins, twice five of them: the second fails on chain, though five less are there."""
    async with trading() as (world, session):
        asset = world.market.quote
        await world.o2.withdraw(world.owner, asset, amount=Raw(world.account.wallet(asset.asset) - 8_000_000))
        await trio.sleep(100)
        before = moved(world)
        world.sim.rest.stale(lag)
        await world.o2.withdraw(world.owner, asset, amount="5")
        outcome = await withdrawal_lost(world)
        assert (await session.resolve(outcome)).verdict is Verdict.UNDECIDED
        assert moved(world) - before == 5_000_000


async def test_deposit_after_a_withdrawal(autojump_clock: MockClock) -> None:
    """The balance is what it was: that does not prove that nothing moved."""
    async with trading() as (world, session):
        outcome = await withdrawal_lost(world)
        world.sim.exchange.deposit(world.account, world.market.quote.asset, 5_000_000)
        world.sim._publish()
        assert (await session.resolve(outcome)).verdict is Verdict.UNDECIDED
        assert moved(world) == 5_000_000


async def _fence_is_lost(world: World, session: Session) -> None:
    world.sim.rest.cut(path=ACTIONS, count=1)


async def _order_is_lost(world: World, session: Session) -> None:
    world.sim.rest.cut(path=ACTIONS, count=1)
    await lost(bid(session, settle_first=False))


@pytest.mark.parametrize("taken", [_fence_is_lost, _order_is_lost])
@pytest.mark.parametrize(
    ("path", "act"),
    [
        (UPGRADE, lambda world, _: world.o2.upgrade_account(world.owner)),
        (ACTIONS, lambda _, session: session.settle()),
    ],
    ids=["upgrade", "settlement"],
)
async def test_nonce_taken_by_something_else(
    autojump_clock: MockClock, path: str, act: Callable[[World, Session], Any], taken: Any
) -> None:
    """It never ran. That its nonce is used does not make it so."""
    async with (
        open_world(version=2) as world,
        world.o2.session(world.owner, [FUEL, ETH]) as session,
    ):
        world.sim.rest.cut(before=True, path=path, count=1)
        outcome = await lost(act(world, session))
        await taken(world, session)
        assert (await session.resolve(outcome)).verdict is Verdict.UNDECIDED
        assert world.account.version == 2


@pytest.mark.parametrize(
    ("taken", "verdict"), [(_fence_is_lost, Verdict.LANDED), (_order_is_lost, Verdict.UNDECIDED)]
)
async def test_settlement_like_the_fence(autojump_clock: MockClock, taken: Any, verdict: Verdict) -> None:
    """The fence itself settles this market, but another submission with the same nonce need not."""
    async with trading() as (world, session):
        world.sim.rest.cut(before=True, path=ACTIONS, count=1)
        outcome = await lost(session.settle(FUEL))
        await taken(world, session)
        assert (await session.resolve(outcome)).verdict is verdict
