"""The consumer's buffer: what happens when it is full, and that no loss goes unmarked."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from o2trio.models import BalanceUpdate, NonceUpdate, OrderUpdate, Origin
from o2trio.streams import ConnectionUp, DepthBook, EventFeed, EventsMissed, Mailbox
from o2trio.streams import Event as LifeCycleEvent
from o2trio.streams._mailbox import conflate
from o2trio.streams._topics import BEHAVIOURS
from o2trio.wire import AnyUpdate, Kind, decode
from tests.streams.world import (
    BALANCES,
    DEPTH,
    NONCE,
    ORDERS,
    TRADES,
    VIEW,
    World,
    account,
    balances,
    change,
    drain,
    nonce,
    orders,
    origins,
    snapshot,
    trades,
    view,
)


def body(text: str, origin: Origin = Origin.LIVE, epoch: int = 0) -> Any:
    update = decode(text).body
    object.__setattr__(update, "origin", origin)
    object.__setattr__(update, "epoch", epoch)
    return update


def told(update: AnyUpdate) -> list[Any]:
    """Return (what, how much) of an orders or balances update."""
    if isinstance(update, OrderUpdate):
        return [(int(order.order_id, 16), order.quantity_fill) for order in update.orders]
    assert isinstance(update, BalanceUpdate)
    return [(int(entry.identity.id, 16), entry.total_unlocked) for entry in update.balance]


# -- the rule of each kind -------------------------------------------------------------------------


def test_a_depth_backlog_becomes_the_book_of_the_moment_it_is_read() -> None:
    world = World(buffer_size=4)
    slow, fast = world.live(DEPTH, DEPTH)
    world.receive(*[change([(10, 1)])] * 4)
    assert len(slow) == 4
    drain(fast)
    world.receive(*[change([(10, 1)])] * 10_000)
    drain(fast)
    assert len(slow) == 1
    assert slow.conflated == 10_004
    (book,) = drain(slow)
    assert book.origin is Origin.SNAPSHOT
    assert book.changes.best_bid.quantity == 5 + 10_004
    world.receive(change([(10, 1)]))
    assert origins(drain(slow)) == ["live"]


def test_a_snapshot_ends_a_backlog_by_itself() -> None:
    world = World(buffer_size=4)
    (box,) = world.live(DEPTH)
    world.receive(*[change([(10, 1)])] * 5, snapshot([(7, 7)]), change([(7, 1)]))
    assert origins(drain(box)) == ["snapshot", "live"]


def test_the_book_of_a_backlog_is_made_before_it_stops_being_true() -> None:
    world = World(buffer_size=4)
    (box,) = world.live(DEPTH)
    world.receive(*[change([(10, 1)])] * 5)
    world.down()
    world.up()
    world.receive(snapshot([(7, 7)]))
    old, new = drain(box)
    assert (old.epoch, old.changes.best_bid.price, old.changes.best_bid.quantity) == (0, 10, 10)
    assert (new.epoch, new.changes.best_bid.price) == (1, 7)


def test_a_view_keeps_the_latest() -> None:
    world = World(buffer_size=4)
    (box,) = world.live(VIEW)
    world.receive(*[view([(10, number)]) for number in range(1, 1001)])
    assert len(box) <= 4
    assert drain(box)[-1].changes.best_bid.quantity == 1000


def test_a_nonce_keeps_the_latest_of_each_account() -> None:
    world = World(buffer_size=4)
    (box,) = world.live(NONCE)
    world.receive(*[nonce(number, account(number % 2)) for number in range(1000)])
    assert len(box) <= 4
    last = {update.contract_id: update.nonce for update in drain(box)}
    assert last == {account(0).id: 998, account(1).id: 999}


def test_orders_and_balances_keep_the_latest_of_each_thing() -> None:
    world = World(buffer_size=4)
    by_order, by_asset = world.live(ORDERS, BALANCES)
    world.receive(*[orders(number % 3, filled=number) for number in range(1000)])
    world.receive(*[balances((account(number % 3), number)) for number in range(1000)])
    for box in (by_order, by_asset):
        assert len(box) <= 4
        last: dict[int, int] = {}
        for update in drain(box):
            assert update.origin is Origin.LIVE
            last.update(told(update))
        assert last == {0: 999, 1: 997, 2: 998}
        assert box.conflated > 900


def test_trades_end_in_one_mark_and_go_on_behind_it() -> None:
    world = World(buffer_size=4)
    (box,) = world.live(TRADES)
    world.receive(*[trades(number) for number in range(1, 101)])
    assert len(box) == 5
    assert box.conflated == 96
    items = drain(box)
    assert origins(items) == ["live"] * 4 + ["gap"]
    assert items[-1].trades == ()
    assert items[-1].market_id == TRADES.market_id
    world.receive(trades(101))
    assert [update.trades[0].trade_id for update in drain(box)] == ["101"]
    assert (box.delivered, box.gaps) == (6, 1)


def test_too_many_things_to_conflate_are_a_gap() -> None:
    world = World(buffer_size=4, conflation_limit=5)
    (box,) = world.live(ORDERS)
    world.receive(*[orders(number) for number in range(100)])
    assert origins(drain(box)) == ["live"] * 4 + ["gap"]


def test_more_accounts_than_room_are_a_gap() -> None:
    world = World(buffer_size=4)
    (box,) = world.live(NONCE)
    world.receive(*[nonce(number, account(number)) for number in range(9)])
    assert origins(drain(box)) == ["live"] * 4 + ["gap"]


def test_events_end_in_a_mark() -> None:
    feed = EventFeed()
    box: Mailbox[LifeCycleEvent] = Mailbox(4)
    feed.listeners.append(box)
    for number in range(10):
        feed.emit(ConnectionUp(time=float(number), connection=number, attempt=1))
    *known, mark = drain(box)
    assert [event.connection for event in known] == [0, 1, 2, 3]
    assert mark == EventsMissed(time=4.0)
    assert feed.current() == EventsMissed(time=9.0)
    feed.close()
    assert isinstance(box.failure(), trio.EndOfChannel)


# -- conflation around marks -----------------------------------------------------------------------

GAP = OrderUpdate(origin=Origin.GAP, epoch=1)
LATER_GAP = OrderUpdate(origin=Origin.GAP, epoch=2)


def test_a_gap_stays_where_it_is() -> None:
    items = [body(orders(1, 2)), body(orders(1, filled=5)), GAP, body(orders(1, filled=7), epoch=1)]
    before, mark, after = conflate(BEHAVIOURS[Kind.ORDERS], items, 100) or []
    assert told(before) == [(2, 0), (1, 5)]
    assert mark is GAP
    assert (told(after), after.epoch) == ([(1, 7)], 1)


@pytest.mark.parametrize("front", [[GAP], [GAP, GAP], []])
def test_of_several_gaps_the_last_counts_and_no_gap_carries_orders(front: list[AnyUpdate]) -> None:
    items = [*front, body(orders(1)), GAP, body(orders(2), epoch=1), GAP, LATER_GAP]
    result = conflate(BEHAVIOURS[Kind.ORDERS], items, 100) or []
    before, mark = result
    assert (told(before), before.origin) == ([(1, 0), (2, 0)], Origin.LIVE)
    assert mark is LATER_GAP


def test_gaps_alone_leave_two_at_most() -> None:
    assert conflate(BEHAVIOURS[Kind.ORDERS], [GAP, GAP, LATER_GAP], 100) == [GAP, LATER_GAP]
    assert conflate(BEHAVIOURS[Kind.ORDERS], [GAP], 100) == [GAP]
    nonces = [NonceUpdate(origin=Origin.GAP), body(nonce(1)), body(nonce(2))]
    assert conflate(BEHAVIOURS[Kind.NONCE], nonces, 100) == [nonces[0], nonces[2]]


def test_the_limit_counts_each_side_of_the_mark() -> None:
    items = [body(orders(1, 2)), GAP, body(orders(3, 4))]
    assert conflate(BEHAVIOURS[Kind.ORDERS], items, 2) is not None
    assert conflate(BEHAVIOURS[Kind.ORDERS], items, 1) is None
    assert conflate(BEHAVIOURS[Kind.TRADES], [body(trades(1))], 100) is None


def test_the_backlog_keeps_the_order_of_the_last_changes() -> None:
    items = [
        body(balances((account(1), 1))),
        body(balances((account(2), 2))),
        body(balances((account(1), 3))),
    ]
    (update,) = conflate(BEHAVIOURS[Kind.BALANCES], items, 100) or []
    assert told(update) == [(2, 2), (1, 3)]


# -- the end ---------------------------------------------------------------------------------------


def test_the_end_comes_behind_what_is_buffered() -> None:
    world = World(buffer_size=4)
    slow, marked = world.live(DEPTH, TRADES)
    source = world.topic(TRADES)
    world.receive(*[change([(10, 1)])] * 9)
    world.receive(*[trades(number) for number in range(9)])
    world.hub.close()
    assert len(drain(slow)) == 1
    assert len(drain(marked)) == 5
    for box in (slow, marked):
        assert box.ended
        assert not box.failed
        assert isinstance(box.failure(), trio.EndOfChannel)
        box.end(ValueError)
        assert not box.failed, "the first end counts"
        box.push(body(trades(1)), source, 0.0)
        assert not box.ready, "nothing comes after the end"


def test_reset_makes_a_mailbox_new() -> None:
    box: Mailbox[AnyUpdate] = Mailbox(4)
    box.end(ValueError)
    box.reset()
    assert not box.ended
    assert not box.failed
    assert not box.opened.is_set()


def test_a_pausing_consumer_ends_with_the_exact_book_in_bounded_memory() -> None:
    world = World(buffer_size=16)
    pausing, eager = world.live(DEPTH, DEPTH)
    truth, copy = DepthBook(), DepthBook()
    for book in (truth, copy):
        book.apply(body(snapshot([(10, 5)], [(20, 5)]), Origin.SNAPSHOT))
    for number in range(10_000):
        text = change([(number % 15 + 1, 1)], [(number % 15 + 20, 1)])
        truth.apply(body(text))
        world.receive(text)
        for update in drain(eager):
            copy.apply(update)
        assert len(pausing) <= 17
    assert copy.changes() == truth.changes()
    replayed = DepthBook()
    for update in drain(pausing):
        replayed.apply(update)
    assert replayed.changes() == truth.changes()
