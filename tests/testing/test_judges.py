"""Each judge finds each lie, and nothing else: streams that drop, double, go back, alter or forget a mark."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import BalanceUpdate, DepthChanges, Gap, Level, OrderUpdate, Origin, TradeUpdate
from o2trio.testing._judges_market import TradeJudge
from o2trio.testing._sources import accounts, depth, trades, views
from o2trio.testing._world import BrokenPromise
from o2trio.wire import Frequency, Kind

from ._lies import FUEL, Lie, double, drop, small_world, turn_back, verdicts

HONEST = Lie(lambda update, before: [update])


def _altered(**changes: Any) -> Any:
    return lambda update, before: [
        attrs.evolve(update, **{key: make(update) for key, make in changes.items()})
    ]


def _more(update: Any) -> DepthChanges:
    """Every level one unit larger."""
    sides = [
        tuple(Level(each.price, each.quantity + 1) for each in levels)
        for levels in (update.changes.bids, update.changes.asks)
    ]
    return DepthChanges(*sides)


def _is_fresh(update: Any) -> bool:
    return update.origin is Origin.SNAPSHOT and update.epoch > 0


def _kept() -> Any:
    """Tell the first snapshot again instead of the present one."""
    old: list[Any] = []

    def suits(update: Any) -> bool:
        if update.origin is Origin.SNAPSHOT and not old:
            old.append(update)
        return _is_fresh(update)

    return Lie(lambda update, before: [attrs.evolve(old[0], epoch=update.epoch)], suits, skip=0)


async def test_every_lie_about_a_book_is_found(autojump_clock: MockClock) -> None:
    lies = {
        "honest": HONEST,
        "drop": Lie(drop),
        "double": Lie(double),
        "turn back": Lie(turn_back),
        "alter": Lie(_altered(changes=_more)),
        "forget the mark": Lie(_altered(origin=lambda update: Origin.LIVE), _is_fresh, skip=0),
        "forget the snapshot": Lie(drop, _is_fresh, skip=0),
        "altered snapshot": Lie(_altered(changes=_more), _is_fresh, skip=0),
        "stale snapshot": _kept(),
        "epoch": Lie(_altered(epoch=lambda update: update.epoch - 1), lambda update: update.epoch > 0),
        "another market": Lie(_altered(market_id=lambda update: "0x" + "1" * 64)),
        "a gap": Lie(_altered(gap=lambda update: Gap(since=0, until=0))),
    }
    found = await verdicts(depth(1), lies)
    marks = {"forget the mark", "forget the snapshot", "a gap"}
    assert found == {
        name: "not found out"
        if name == "honest"
        else ("marked losses" if name in marks else "order and exactness")
        for name in lies
    }


def _silent(since: float) -> Lie:
    """Tell nothing more from a time on."""
    return Lie(drop, lambda update: trio.current_time() > since, skip=0, lasts=True)


async def test_a_lie_about_the_last_changes_is_found_at_rest(autojump_clock: MockClock) -> None:
    assert await verdicts(depth(1), {"silent": _silent(300)}) == {"silent": "book at quiescence"}


async def test_every_lie_about_views_is_found(autojump_clock: MockClock) -> None:
    lies = {
        "honest": Lie(lambda update, before: [update], lambda update: True),
        "alter": Lie(_altered(changes=_more), lambda update: True),
        "live": Lie(_altered(origin=lambda update: Origin.LIVE), lambda update: True),
    }
    found = await verdicts(views(Frequency.S_3), lies, seconds=60.0)
    assert found == {"honest": "not found out", "alter": "order and exactness", "live": "order and exactness"}


def _invented(update: Any) -> Any:
    return (attrs.evolve(update.trades[0], trade_id="1"),)


def _dearer(update: Any) -> Any:
    return (attrs.evolve(update.trades[0], price=update.trades[0].price + 1), *update.trades[1:])


async def test_every_lie_about_trades_is_found(autojump_clock: MockClock) -> None:
    lies = {
        "honest": HONEST,
        "drop": Lie(drop),
        "drop what was repaired": Lie(drop, lambda update: update.origin is Origin.BACKFILL, skip=0),
        "double": Lie(double),
        "turn back": Lie(turn_back),
        "alter": Lie(_altered(trades=_dearer)),
        "invent": Lie(_altered(trades=_invented)),
        "empty": Lie(_altered(trades=lambda update: ())),
        "snapshot": Lie(_altered(origin=lambda update: Origin.SNAPSHOT)),
        "silent": _silent(300),
    }
    found = await verdicts(trades, lies, seconds=400.0, rate=1.0)
    missing = {"drop", "drop what was repaired", "double", "turn back"}
    expected = {name: "trades once" if name in missing else "order and exactness" for name in lies}
    expected |= {"honest": "not found out", "empty": "marked losses", "silent": "trades once"}
    assert found == expected


async def _gap_verdict(**changes: Any) -> str:
    """Return what is said of a gap mark, which is altered in some way, over trades 3 and 4 of 8."""
    async with small_world(flow=False) as world:
        market = world.market(FUEL)
        judge = TradeJudge(world, "tester", market.market_id)
        judge.open()
        while len(world.audit.trades(market)) < 8:
            await trio.sleep(1)
            world.sim.run_flow(5)
        real = [record.value for record in world.audit.trades(market)]
        times = judge.truth.times
        judge.truth.pull()
        gap = Gap(since=times[2], until=times[4] + 0.01, after=real[2].trade_id, before=real[5].trade_id)
        told = [
            TradeUpdate(market_id=market.market_id, trades=tuple(real[:3])),
            TradeUpdate(market_id=market.market_id, origin=Origin.GAP, epoch=1, gap=gap),
            TradeUpdate(market_id=market.market_id, trades=tuple(real[5:]), epoch=1),
        ]
        mark = attrs.evolve(
            gap, **{key: make(real, times) for key, make in changes.items() if key != "without"}
        )
        told[1] = attrs.evolve(told[1], gap=mark)
        try:
            for update in told:
                if update.gap is None or "without" not in changes:
                    judge.take(update)
            judge.finish()
        except BrokenPromise as broken:
            return broken.promise.value
        return "fine"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "fine"),
        ({"without": True}, "trades once"),
        ({"after": lambda real, times: real[3].trade_id}, "marked losses"),
        ({"after": lambda real, times: None}, "marked losses"),
        ({"before": lambda real, times: real[4].trade_id}, "marked losses"),
        ({"until": lambda real, times: times[3] - 0.5}, "marked losses"),
    ],
)
async def test_exactly_the_marked_trades_may_be_missing(
    autojump_clock: MockClock, changes: dict[str, Any], verdict: str
) -> None:
    assert await _gap_verdict(**changes) == verdict


def _fuller(update: Any) -> Any:
    return tuple(attrs.evolve(order, quantity_fill=order.quantity_fill + 1) for order in update.orders)


def _richer(update: Any) -> Any:
    return tuple(attrs.evolve(entry, total_unlocked=entry.total_unlocked + 1) for entry in update.balance)


_ALTERED: dict[Kind, dict[str, Any]] = {
    Kind.ORDERS: {"orders": _fuller},
    Kind.BALANCES: {"balance": _richer},
    Kind.NONCE: {"nonce": lambda update: update.nonce + 1},
}


@pytest.mark.parametrize("kind", list(_ALTERED), ids=str)
async def test_every_lie_about_accounts_is_found(autojump_clock: MockClock, kind: Kind) -> None:
    lies = {
        "honest": HONEST,
        "alter": Lie(_altered(**_ALTERED[kind])),
        "alter what was read": Lie(_altered(**_ALTERED[kind]), _is_read, skip=0),
        "turn back": _again(lambda update, older: [update, older]),
        "skip": _again(lambda update, older: []),
        "silent": _silent(200),
    }
    found = await verdicts(accounts(kind, 10, seed=True), lies, seconds=240.0, rate=2.0)
    assert found == {
        "honest": "not found out",
        "alter": "order and exactness",
        "alter what was read": "order and exactness",
        "turn back": "order and exactness",
        # An order that was placed and cancelled has no third state that could come too early.
        "skip": "marked losses" if kind is Kind.ORDERS else "order and exactness",
        "silent": "state at quiescence",
    }


async def test_a_restated_order_must_have_been_true_then(autojump_clock: MockClock) -> None:
    lies = {"honest": HONEST, "alter": Lie(_altered(**_ALTERED[Kind.ORDERS]))}
    source = accounts(Kind.ORDERS, 10, seed=True)
    found = await verdicts(source, lies, seconds=180.0, rate=2.0, flavor="first_message=state")
    assert found == {"honest": "not found out", "alter": "order and exactness"}


def _is_read(update: Any) -> bool:
    return update.origin in {Origin.SNAPSHOT, Origin.BACKFILL}


def _again(tell: Any) -> Lie:
    """Lie about an update of something that was told live before in the same epoch; give both to `tell`."""
    told: dict[Any, Any] = {}
    older: list[Any] = []

    def suits(update: Any) -> bool:
        if update.origin is not Origin.LIVE:
            return False
        keys = [(update.epoch, *key) for key in _keys(update)]
        older[:] = [told[key] for key in keys if key in told and told[key] is not update]
        told.update(dict.fromkeys(keys, update))
        return bool(older) and len(keys) == 1

    return Lie(lambda update, before: tell(update, older[0]), suits, skip=0)


def _keys(update: Any) -> list[tuple[Any, ...]]:
    if isinstance(update, OrderUpdate):
        return [(order.order_id,) for order in update.orders]
    if isinstance(update, BalanceUpdate):
        return [(entry.identity, entry.asset_id) for entry in update.balance]
    return [(update.contract_id,)]
