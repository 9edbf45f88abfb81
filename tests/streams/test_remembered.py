"""What topics remember: the latest states and the latest trades, each bounded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import attrs

from o2trio.models import NotUnderstood, OrderUpdate, Origin
from o2trio.streams import StateMemory, TradeLedger, order_part
from o2trio.streams._topics import BEHAVIOURS
from o2trio.streams._trades import LEDGER_SIZE
from o2trio.wire import AnyUpdate, Kind, decode
from tests.streams.world import MARKET, account, orders, trades


def trade(number: int) -> Any:
    update: Any = decode(trades(number)).body
    return update.trades[0]


def order(number: int, *, closed: bool) -> Any:
    frame = json.loads(orders(number))
    frame["orders"][0]["close"] = closed
    return decode(json.dumps(frame)).body


def test_a_ledger_tells_what_is_new_and_forgets_the_oldest() -> None:
    ledger = TradeLedger()
    assert ledger.fresh([trade(1), trade(2), trade(1)]) == (trade(1), trade(2))
    assert ledger.fresh([trade(2)]) == ()
    assert ledger.last == trade(2)
    ledger.fresh(trade(number) for number in range(3, LEDGER_SIZE + 3))
    assert [ledger.knows(trade(number)) for number in (1, 2, 3, LEDGER_SIZE + 2)] == [
        False,
        False,
        True,
        True,
    ]


def test_an_anchor_is_no_trade_that_was_there_and_comes_only_once() -> None:
    ledger = TradeLedger()
    assert not ledger.is_anchored
    ledger.anchor(trade(5))
    assert (ledger.last, ledger.is_anchored) == (trade(5), True)
    assert not ledger.knows(trade(5))
    ledger.anchor(trade(6))
    assert ledger.last == trade(5)
    empty = TradeLedger()
    empty.anchor(None)
    assert (empty.last, empty.is_anchored) == (None, True)


def test_trades_listed_before_a_known_one_are_not_news() -> None:
    ledger = TradeLedger()
    ledger.fresh([trade(5), trade(6)])
    assert ledger.fresh([trade(3), trade(4), trade(5), trade(6), trade(7)]) == (trade(7),)
    assert ledger.last == trade(7)


def test_a_later_trade_that_stands_before_a_known_one_is_news() -> None:
    ledger = TradeLedger()
    known = attrs.evolve(trade(5), timestamp=1_000)
    ledger.fresh([known])
    later, untimed = attrs.evolve(trade(6), timestamp=1_001), attrs.evolve(trade(7), timestamp=None)
    assert ledger.fresh([later, untimed, known]) == (later,)


def test_the_anchor_is_known_once_a_later_trade_was_given() -> None:
    ledger = TradeLedger()
    ledger.anchor(trade(5))
    assert ledger.fresh([trade(6)]) == (trade(6),)
    assert ledger.fresh([trade(5), trade(6), trade(7)]) == (trade(7),)


def held(*numbers: int) -> Any:
    return decode(trades(*numbers)).body


def test_what_is_held_shows_whether_trades_are_missing_before_it() -> None:
    ledger = TradeLedger()
    ledger.fresh([trade(5), trade(6)])
    ledger.broke()
    assert ledger.meets([]) is None
    assert ledger.meets([held(5, 6)]) is None, "an old message, again"
    assert ledger.meets([held(3, 4, 5)]) is None, "an old message from before the stream"
    assert ledger.meets([held(9)]) is False
    assert ledger.meets([held(5, 6), held(9)]) is False, "a repetition proves nothing"
    assert ledger.meets([held(4, 5, 6, 7)]) is True, "the message itself has no hole"
    ledger.fresh([trade(7), trade(8), trade(9)])
    assert ledger.meets([held(5, 6), held(9)]) is True


def test_a_gap_ends_at_the_first_trade_that_is_given() -> None:
    ledger = TradeLedger()
    ledger.fresh([trade(5), trade(6)])
    assert ledger.first_new([held(4, 5, 6), held(7)]) == trade(7)
    assert ledger.first_new([held(5)]) is None


def test_a_memory_forgets_the_oldest_closed_orders_and_no_open_one() -> None:
    memory = StateMemory(BEHAVIOURS[Kind.ORDERS], limit=4)
    for number in range(6):
        memory.note(order(number, closed=False))
    for number in range(10, 20):
        memory.note(order(number, closed=True))
    known: list[Any] = list(memory.latest.values())
    assert [int(entry.order_id, 16) for entry in known] == [0, 1, 2, 3, 4, 5]
    awaiting = StateMemory(BEHAVIOURS[Kind.ORDERS], limit=4)
    for number in range(10, 20):
        awaiting.note(order(number, closed=True), keep_all=True)
    awaiting.learn([order(10, closed=False)])
    kept: list[Any] = list(awaiting.latest.values())
    assert not any(entry.is_open for entry in kept), "what was read is older"
    small = StateMemory(BEHAVIOURS[Kind.ORDERS], limit=4)
    for number in range(10):
        small.note(order(number, closed=number > 0))
    left: list[Any] = list(small.latest.values())
    assert [int(entry.order_id, 16) for entry in left] == [0, 7, 8, 9]


def odd(number: int, note: str = "") -> NotUnderstood:
    raw = {"order_id": f"0x{number:064x}", "note": note}
    return NotUnderstood(index=0, problem="missing at $.price", raw=raw, ids={"order_id": raw["order_id"]})


def raws(updates: Iterable[AnyUpdate]) -> list[object]:
    return [row.raw for update in updates for row in update.not_understood]


def test_a_row_that_was_not_understood_is_news_once_and_part_of_the_state() -> None:
    memory = StateMemory(BEHAVIOURS[Kind.ORDERS], limit=3)
    read = OrderUpdate(origin=Origin.BACKFILL, not_understood=(odd(1), odd(2)))
    assert raws(memory.news([read])) == raws([read])
    memory.learn([read])
    assert memory.news([read]) == []
    (changed,) = memory.news([OrderUpdate(not_understood=(odd(1, "filled"), odd(2)))])
    assert raws([changed]) == [odd(1, "filled").raw]
    (state,) = memory.state(OrderUpdate())
    assert (state.origin, raws([state])) == (Origin.SNAPSHOT, [odd(1).raw, odd(2).raw])
    memory.learn([OrderUpdate(not_understood=tuple(odd(number) for number in range(3, 6)))])
    (state,) = memory.state(OrderUpdate())
    assert raws([state]) == [odd(number).raw for number in (3, 4, 5)], "no more than the limit"
    assert [row.index for row in state.not_understood] == [0, 1, 2]
    memory.forget()
    assert memory.state(OrderUpdate(), Origin.BACKFILL) == []
    nameless = NotUnderstood(index=0, problem="not an object", raw=7)
    assert memory.news([OrderUpdate(not_understood=(nameless,))])
    memory.learn([OrderUpdate(not_understood=(nameless,))])
    assert memory.news([OrderUpdate(not_understood=(nameless,))]) == []


def placed(number: int, time: int, *, closed: bool = False) -> Any:
    update: Any = order(number, closed=closed)
    one = attrs.evolve(update.orders[0], market_id=MARKET, owner=account(1), timestamp=time)
    return OrderUpdate(orders=(one,))


def test_what_was_streamed_until_a_break_need_not_be_read_again() -> None:
    memory = StateMemory(BEHAVIOURS[Kind.ORDERS], limit=100)
    part = order_part(MARKET, account(1))
    memory.note(placed(1, 50))
    memory.broke(was_whole=True)
    assert part not in memory.baseline, "what was there before is not known"
    memory.learn([placed(2, 60)], {part: 60})
    memory.done(is_complete=True)
    memory.note(placed(3, 70))
    memory.note(placed(4, 65))
    memory.note(order(5, closed=False))
    memory.broke(was_whole=True)
    assert (memory.baseline, memory.read_to) == ({part: 70}, {})
    # What comes during a repair says nothing of what was missed before.
    memory.note(placed(6, 80))
    memory.broke(was_whole=False)
    assert memory.baseline == {part: 70}


def test_after_a_gap_what_was_told_or_read_since_the_break_is_still_known() -> None:
    memory = StateMemory(BEHAVIOURS[Kind.ORDERS], limit=2)
    part = order_part(MARKET, account(1))
    for number in range(3):
        memory.note(order(number, closed=False))
    memory.broke(was_whole=True)
    memory.note(order(1, closed=True))
    assert not memory.is_crowded
    assert memory.learn([order(2, closed=False)], {part: 0})
    assert not memory.learn([], {part: 0}), "known already"
    memory.forget()
    memory.done(is_complete=False)
    known: list[Any] = list(memory.latest.values())
    assert [int(entry.order_id, 16) for entry in known] == [2, 1]
    assert memory.read_to == {part: 0}
    memory.broke(was_whole=True)
    for number in range(10, 13):
        memory.note(order(number, closed=True))
    assert memory.is_crowded
    assert len(memory.latest) == 5, "while older state is read nothing closed is forgotten"
