"""What topics remember: the latest states and the latest trades, each bounded."""

from __future__ import annotations

import json
from typing import Any

from o2trio.streams import StateMemory, TradeLedger
from o2trio.streams._topics import BEHAVIOURS
from o2trio.streams._trades import LEDGER_SIZE
from o2trio.wire import Kind, decode
from tests.streams.world import orders, trades


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
