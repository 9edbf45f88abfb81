"""What is judged of repairs: how long anything waits for them, and that they hide nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import Origin, TradeUpdate
from o2trio._nursery import BareNursery
from o2trio.models import NotUnderstood
from o2trio.recovery import Recovery
from o2trio.streams import Topic
from o2trio.streams._patience import Patience
from o2trio.testing._fault_kinds import FAULTS
from o2trio.testing._repairs import RepairJudge, keep_watch
from o2trio.testing._sources import Source, accounts, trades
from o2trio.testing._users import Manner, StreamUser
from o2trio.testing._world import BrokenPromise, World
from o2trio.wire import Kind

from ._lies import Lie, served, small_world, verdicts

SOURCES = [trades, accounts(Kind.ORDERS, 3), accounts(Kind.BALANCES), accounts(Kind.NONCE)]
NAMES = ["trades", "orders", "balances", "nonces"]


async def _verdict(
    source: Source, wrong: Callable[[World], Any], seconds: float = 300.0, manner: Manner | None = None
) -> str:
    """Return which promise is broken, and what was seen, when something goes wrong for so long."""
    async with small_world(rate=0.5) as world, served(world) as client:
        user = StreamUser(world.random_for("user"), source, manner)
        try:
            async with BareNursery() as nursery:
                nursery.start_soon(keep_watch, world, client)
                nursery.start_soon(user.run, world)
                await trio.sleep(60)
                nursery.start_soon(wrong, world)
                await trio.sleep(seconds)
        except BrokenPromise as broken:
            return str(broken)
        return ""


async def _reconnect(world: World) -> None:
    await FAULTS["reconnections"].inject(world, pause=15, count=20)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
async def test_honest_repairs_pass_however_often_they_are_interrupted(
    autojump_clock: MockClock, source: Source
) -> None:
    async def wrong(world: World) -> None:
        world.sim.rest.slow(9.0)
        await _reconnect(world)

    assert not await _verdict(source, wrong)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
async def test_a_repair_that_each_break_begins_again_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    """The former repair: with slow answers and a reconnection every 15 s it never ended."""
    monkeypatch.setattr(Patience, "stop", lambda self, now: None)

    async def wrong(world: World) -> None:
        world.sim.rest.slow(14.9)
        await _reconnect(world)

    assert "is under repair" in await _verdict(source, wrong)


async def test_a_repair_without_an_end_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(self: Any, topic: Topic, epoch: int) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Recovery, "repair", forever)

    async def wrong(world: World) -> None:
        world.sim.drop_connections()
        await trio.lowlevel.checkpoint()

    assert "without progress" in await _verdict(trades, wrong)


async def test_a_consumer_that_waits_for_its_state_for_ever_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(self: Any, topic: Topic, epoch: int) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Recovery, "learn", forever)

    async def wrong(world: World) -> None:
        await trio.lowlevel.checkpoint()

    source = accounts(Kind.ORDERS, seed=True)
    assert "a consumer waits for orders" in await _verdict(source, wrong)


async def test_what_a_repair_hides_is_found_at_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair that claims to have read everything, and did not."""
    repaired = Topic.repaired

    def nothing(self: Any, epoch: int, _updates: Any, **_rest: Any) -> None:
        repaired(self, epoch, [])

    monkeypatch.setattr(Topic, "repaired", nothing)

    async def wrong(world: World) -> None:
        while True:
            world.sim.refuse_handshakes(503, count=3)
            world.sim.drop_connections()
            await trio.sleep(40)

    verdict = await _verdict(accounts(Kind.ORDERS, 3), wrong, seconds=600)
    assert verdict.startswith("marked losses")


async def test_time_without_a_subscription_does_not_count(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        served(world) as client,
        client.stream_nonce(next(iter(world.sim.exchange.accounts))),
    ):
        judge = RepairJudge(world, client)
        world.sim.refuse_handshakes(503)
        world.sim.drop_connections()
        for _ in range(500):
            await trio.sleep(1)
            judge.look()


# -- entries that were not understood ------------------------------------------------------------------


def _unclear(update: Any, **ids: str) -> Any:
    entry = NotUnderstood(index=0, problem="missing at $.price", raw={}, ids=ids)
    what: dict[str, Any] = {"trades": ()} if isinstance(update, TradeUpdate) else {"orders": ()}
    return attrs.evolve(update, not_understood=(entry,), **what)


async def test_an_entry_that_was_not_understood_is_a_mark_of_one_trade(autojump_clock: MockClock) -> None:
    def one(update: Any) -> bool:
        return update.origin is Origin.LIVE and len(update.trades) == 1

    lies = {
        "named": Lie(lambda update, before: [_unclear(update, trade_id=update.trades[0].trade_id)], one),
        "nameless": Lie(lambda update, before: [_unclear(update)], one),
        "another": Lie(lambda update, before: [_unclear(update, trade_id=before.trades[-1].trade_id)], one),
        "of two": Lie(lambda update, before: [_unclear(update)], lambda u: len(u.trades) > 1),
    }
    found = await verdicts(trades, lies, rate=3.0)
    assert found == {
        "named": "not found out",
        "nameless": "not found out",
        "another": "trades once",
        "of two": "trades once",
    }


async def test_an_entry_that_was_not_understood_is_a_mark_of_one_order(autojump_clock: MockClock) -> None:
    def last(update: Any) -> bool:
        return update.origin is Origin.LIVE and len(update.orders) == 1 and not update.orders[0].is_open

    lies = {
        "named": Lie(lambda update, before: [_unclear(update, order_id=update.orders[0].order_id)], last),
        "nameless": Lie(lambda update, before: [_unclear(update)], last),
        # Not at the very beginning, from which not everything is owed.
        "another": Lie(lambda update, before: [_unclear(update, order_id="0x" + "7" * 64)], last, skip=30),
    }
    found = await verdicts(accounts(Kind.ORDERS, 10), lies, rate=2.0)
    assert found == {
        "named": "not found out",
        "nameless": "not found out",
        "another": "marked losses",
    }
