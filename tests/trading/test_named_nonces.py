"""Refusals and reverts that name the right nonce: it is taken, unless that would be a step back."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import ApiError, OnChainRevert, OutcomeUnknown
from o2trio.simulator import Flavor
from o2trio.trading._refusals import is_stale, right_nonce
from o2trio.trading._tracks import FARTHEST, SequentialTrack
from tests.trading._world import (
    ACCOUNTS,
    ACTIONS,
    DEAR,
    DEEP,
    FUEL,
    QUICK,
    World,
    bid,
    check_same,
    open_world,
    trading,
)

STALE = "Nonce in the request 7 is less than the nonce in the database(8)"
REVERT = (
    'transaction failed with logs: LogResult { results: [Ok("IncrementNonceEvent { nonce: 8 }"),'
    ' Ok("OrderNotFilled")] } and error: transaction reverted: Revert(18446744073709486080)'
)


def said(**where: str) -> ApiError:
    return ApiError("no", status=400, message=where.get("message"), reason=where.get("reason"))


def reads(world: World) -> int:
    return len(world.statuses(ACCOUNTS, "GET"))


def foreign(world: World) -> None:
    """Let another program use a nonce of the account; the client hears of it much later."""
    world.sim.place(world.account, FUEL, "buy", price=DEEP, quantity="777")


# -- the words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["message", "reason"])
@pytest.mark.parametrize(
    ("text", "nonce"),
    [
        (STALE, 8),
        (STALE.upper(), 8),
        ("The nonce 7 is less than the nonce in the database (8).", 8),
        ("less than the nonce in the database: 8", 8),
        ('{"error":"less than the nonce in the database(8)"}', 8),
        (f"less than the nonce in the database({2**64 - 1})", 2**64 - 1),
        (REVERT, 8),
        (REVERT.replace('"', r"\""), 8),
        (REVERT.replace("nonce: 8", 'nonce\\": \\"8'), 8),
        ("IncrementNonceEvent{nonce:8}", 8),
        ("IncrementNonceEvent { nonce: 7 } .. IncrementNonceEvent { nonce: 8 }", 8),
        ("", None),
        ("Nonce in the request is wrong", None),
        ("Nonce in the request 7", None),
        ("less than the nonce in the database", None),
        ("less than the nonce in the database(N)", None),
        ("less than the nonce in the database(-8)", None),
        ("less than the nonce in the database(8.5)", None),
        ("less than the nonce in the database(0x8)", None),
        (f"less than the nonce in the database({2**64})", None),
        (f"less than the nonce in the database({'8' * 5000})", None),
        ("IncrementNonceEvent", None),
        ("IncrementNonceEvent { owner: 7, nonce: 8 }", None),
    ],
)
def test_the_right_nonce_is_found_wherever_it_stands(text: str, nonce: int | None, where: str) -> None:
    """Fault 7: a stale nonce was read again, though the refusal had named the right one."""
    assert right_nonce(said(**{where: text})) == nonce


def test_a_refusal_that_names_the_nonce_is_stale() -> None:
    assert is_stale(said(message="the nonce is less than the nonce in the database(8)"))


# -- the counter -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "believed"),
    [(None, False), (6, False), (7, False), (8, True), (7 + FARTHEST, True), (8 + FARTHEST, False)],
)
async def test_only_a_later_nonce_is_believed(right: int | None, believed: bool) -> None:
    asked = 0

    async def read() -> int:
        nonlocal asked
        asked += 1
        await trio.lowlevel.checkpoint()
        return 7

    track = SequentialTrack(read, 2.0)
    assert await track.next() == 7
    assert track.named(7, right) is believed
    assert await track.next() == (right if believed else 7)
    assert asked == 1
    assert track.floor == (8 if right == 8 else 7), "what is further ahead is a guess"


async def test_a_nonce_named_late_does_not_move_the_counter_back() -> None:
    async def read() -> int:
        await trio.lowlevel.checkpoint()
        return 7

    track = SequentialTrack(read, 2.0)
    assert await track.next() == 7
    track.told(20)
    assert track.named(7, 8)
    assert await track.next() == 20


async def test_a_wrong_named_nonce_is_corrected_by_reads(autojump_clock: MockClock) -> None:
    async def read() -> int:
        await trio.lowlevel.checkpoint()
        return 8

    track = SequentialTrack(read, 2.0)
    track.told(7)
    assert track.named(7, 100)
    assert await track.next() == 100
    assert await track.skip(100)
    assert await track.next() == 8


# -- submissions -----------------------------------------------------------------------------------


async def test_a_stale_nonce_is_replaced_without_a_read(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        await session.settle()
        await trio.sleep(5)
        world.sim.set_latency(60)
        foreign(world)
        before = reads(world)
        await session.settle()
        assert world.statuses(ACTIONS) == [200, 400, 200]
        assert reads(world) == before
        await session.settle()
        assert world.statuses(ACTIONS) == [200, 400, 200, 200]
        assert reads(world) == before


async def test_a_stale_order_is_placed_once(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        await session.settle()
        await trio.sleep(5)
        world.sim.set_latency(60)
        foreign(world)
        order = await bid(session)
        assert world.statuses(ACTIONS) == [200, 400, 200]
        mine = [each.order_id for each in world.orders() if each.quantity == 10**12]
        assert mine == [order.order_id]


@pytest.mark.parametrize("text", [None, 0, 1, FARTHEST + 2])
async def test_without_a_usable_number_the_nonce_is_read(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, text: int | None
) -> None:
    """None is named, one that lies behind, the refused one itself, and one that is out of reach."""
    async with trading() as (world, session):
        await session.settle()
        send, refusals = world.desk.rest.submit, 0

        async def submit(method: str, path: str, body: Any, **how: Any) -> Any:
            nonlocal refusals
            if refusals:
                return await send(method, path, body, **how)
            refusals += 1
            world.account.nonce += 1
            named = "" if text is None else f"database({int(body['nonce']) - 1 + text})"
            raise said(reason=f"Nonce in the request is less than the nonce in the {named}")

        monkeypatch.setattr(world.desk.rest, "submit", submit)
        before = reads(world)
        await session.settle()
        assert reads(world) > before
        assert world.statuses(ACTIONS) == [200, 200]


@pytest.mark.parametrize(("texts", "read"), [("logs", 0), ("receipts", 1)])
async def test_a_revert_names_the_next_nonce(
    autojump_clock: MockClock, texts: Literal["logs", "receipts"], read: int
) -> None:
    """One that names it saves a read; after one that does not, the nonce is read as before."""
    async with (
        open_world(flavor=Flavor(revert_text=texts)) as world,
        world.o2.session(world.owner, FUEL) as session,
    ):
        await session.settle()
        await trio.sleep(5)
        world.sim.set_latency(60)
        before = reads(world)
        with pytest.raises(OnChainRevert) as caught:
            await bid(session, price=DEAR, order_type="PostOnly")
        assert right_nonce(caught.value) == (None if read else world.account.nonce)
        order = await bid(session)
        assert reads(world) == before + read
        assert world.statuses(ACTIONS) == [200, 400, 200]
        check_same(world, [order])


async def test_a_named_nonce_counts_for_more_than_reads_that_lag(autojump_clock: MockClock) -> None:
    """A gateway repeats the request: the first copy runs, the second is refused, and no read shows it yet.

    The order exists, so neither a refusal nor another order is the answer.
    """
    options = attrs.evolve(QUICK, submit_timeout=8.0)
    async with trading(options=options) as (world, session):
        await session.settle()
        await trio.sleep(5)
        world.sim.set_latency(60)
        world.sim.rest.stale(60_000)
        with pytest.raises(OnChainRevert):
            await bid(session, price=DEAR, order_type="PostOnly")
        world.sim.rest.duplicate(path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await bid(session)
        assert len(world.orders()) == 1
        world.sim.rest.heal()
        world.sim.rest.stale(0)
        await trio.sleep(60)
        resolved = await session.resolve(caught.value)
        check_same(world, list(resolved.orders))
