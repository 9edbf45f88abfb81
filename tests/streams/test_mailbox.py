"""The consumer's buffer: what happens when it is full, and that no loss goes unmarked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

from o2trio import ConsumerTooSlow
from o2trio.models import BalanceUpdate, Gap, NonceUpdate, OrderUpdate, Origin
from o2trio.streams import ConnectionUp, DepthBook, EventFeed, EventsMissed, Mailbox
from o2trio.streams import Event as LifeCycleEvent
from o2trio.streams._mailbox import conflate
from o2trio.streams._topics import BEHAVIOURS
from o2trio.streams._trades import TradeLag
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


def numbers(items: list[Any]) -> list[int]:
    return [int(trade.trade_id) for update in items for trade in update.trades]


def history(first: int, last: int) -> list[Any]:
    return [trade for number in range(first, last + 1) for trade in body(trades(number)).trades]


def overflown(count: int = 100) -> tuple[World, Mailbox[AnyUpdate], TradeLag]:
    world = World(buffer_size=4)
    (box,) = world.live(TRADES)
    world.receive(*[trades(number) for number in range(1, count + 1)])
    ((lagging, lag),) = world.host.lags
    assert lagging is box
    return world, box, lag


def test_missed_trades_are_read_until_live_ones_follow() -> None:
    world, box, lag = overflown(10)
    # Of the live ones 5 to 10, four fit, and then the next two.
    assert len(box) == 4
    assert lag.ledger.last is not None
    assert lag.ledger.last.trade_id == "4"
    assert not box.room.is_set()
    assert numbers([box.pop(), box.pop()]) == [1, 2]
    assert box.room.is_set()
    box.give(lag.take(history(5, 7)))
    assert not lag.is_over
    assert box.room.is_set() is False
    box.give(lag.take(history(8, 20)))
    assert lag.is_over, "what is held begins with 9"
    box.caught_up(lag.release())
    told = drain(box)
    world.receive(trades(11))
    told += drain(box)
    assert numbers(told) == list(range(3, 12))
    assert origins(told) == ["live"] * 2 + ["backfill"] * 2 + ["live"] * 2
    assert (box.gaps, box.backfilled) == (0, 2)


def test_of_held_updates_only_trades_that_were_read_are_left_out() -> None:
    world, box, lag = overflown(5)
    drain(box)
    world.receive(trades(6, 7, 8))
    box.give(lag.take(history(5, 5)))
    assert lag.is_over
    lag.ledger.fresh(history(6, 7))
    box.caught_up(lag.release())
    assert numbers(drain(box)) == [5, 8]


def test_missed_trades_that_cannot_be_read_are_a_gap_before_the_live_ones() -> None:
    world, box, lag = overflown(10)
    world.host.advance(3)
    box.caught_up(lag.abandon("no answer"))
    items = drain(box)
    assert origins(items) == ["live"] * 4 + ["gap"] + ["live"] * 2
    assert numbers(items) == [1, 2, 3, 4, 9, 10]
    mark = items[4]
    assert mark.gap == Gap(
        since=0.0, until=3.0, after="4", before="9", reason="the consumer was too slow; no answer"
    )
    assert (mark.trades, mark.market_id) == ((), TRADES.market_id)
    world.receive(trades(11))
    assert numbers(drain(box)) == [11]


def test_a_gap_that_the_reading_closed_is_not_told() -> None:
    world, box, lag = overflown(5)
    world.down()
    world.back()
    world.receive(trades(8))
    world.topic(TRADES).repaired(1, [], problem="no answer")
    drain(box)
    box.give(lag.take(history(5, 5)))
    assert lag.is_over
    assert origins(lag.release()) == ["gap", "live"]
    world, box, lag = overflown(8)
    world.down()
    world.back()
    world.receive(trades(11), trades(12))
    world.topic(TRADES).repaired(1, [], problem="no answer")
    assert origins(lag._held) == ["gap", "live", "live"], "the live ones before it were forgotten"
    drain(box)
    box.give(lag.take(history(5, 20)))
    assert lag.is_over
    box.caught_up(lag.release())
    told = drain(box)
    assert origins(told) == ["backfill", "live"]
    assert numbers(told) == list(range(5, 13))


def test_epochs_of_missed_trades_do_not_run_ahead_of_held_ones() -> None:
    world, box, lag = overflown(5)
    world.down()
    world.back()
    world.topic(TRADES).repaired(1, [])
    drain(box)
    box.give(lag.take(history(5, 5)))
    box.caught_up(lag.release())
    world.receive(trades(6))
    assert [update.epoch for update in drain(box)] == [0, 1]


def test_a_consumer_that_leaves_or_ends_while_it_lags() -> None:
    world, box, lag = overflown(6)
    world.hub.detach(box)
    box.clear()
    assert box.lag is None
    assert box.room.is_set()
    world, box, lag = overflown(6)
    world.hub.close()
    assert origins(drain(box)) == ["live"] * 4 + ["gap"] + ["live"] * 2
    assert box.lag is None
    assert lag.release() == []


def test_without_a_trade_in_the_buffer_there_is_nothing_to_read_on_from() -> None:
    world = World(buffer_size=4)
    (box,) = world.live(TRADES)
    for epoch in range(1, 7):
        world.down()
        world.back()
        world.topic(TRADES).repaired(epoch, [], problem="no answer")
    assert world.host.lags == []
    assert origins(drain(box)) == ["gap"] * 5
    assert box.conflated == 2


def test_a_strict_consumer_ends_when_it_is_too_slow() -> None:
    world = World(buffer_size=4)
    box: Mailbox[AnyUpdate] = Mailbox(4, strict=True)
    world.hub.attach(box, [TRADES])
    world.back()
    world.receive(*[trades(number) for number in range(1, 10)])
    assert numbers(drain(box)) == [1, 2, 3, 4]
    with pytest.raises(ConsumerTooSlow, match="more than 4 items"):
        raise box.failure()


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
    assert mark == EventsMissed(time=9.0), "the mark is made when it is read: the last one missed"
    assert feed.current() == EventsMissed(time=9.0)
    feed.close()
    assert isinstance(box.failure(), trio.EndOfChannel)


# -- all at once -----------------------------------------------------------------------------------


def marked() -> Mailbox[Any]:
    world = World(buffer_size=4)
    (box,) = world.live(NONCE)
    world.receive(*[nonce(number, account(number)) for number in range(9)])
    world.host.advance(3)
    return box


def replaced() -> Mailbox[Any]:
    world = World(buffer_size=4)
    (box,) = world.live(DEPTH)
    world.receive(*[change([(10, 1)])] * 9)
    return box


def lagging() -> Mailbox[Any]:
    _world, box, lag = overflown(10)
    box.pop()
    box.give(lag.take(history(5, 7)))
    return box


def caught_up() -> Mailbox[Any]:
    _world, box, lag = overflown(10)
    box.give(lag.take(history(5, 20)))
    box.caught_up(lag.release())
    return box


def behind_a_gap() -> Mailbox[Any]:
    _world, box, lag = overflown(10)
    box.caught_up(lag.abandon("no answer"))
    return box


@pytest.mark.parametrize("fill", [marked, replaced, lagging, caught_up, behind_a_gap])
def test_all_at_once_is_as_one_by_one(fill: Callable[[], Mailbox[Any]]) -> None:
    def state(box: Mailbox[Any]) -> tuple[Any, ...]:
        return box._mark, box.room.is_set(), len(box), box.delivered, box.backfilled, box.gaps

    one_by_one, at_once = fill(), fill()
    items = drain(one_by_one)
    assert items
    assert at_once.pop_all() == items
    assert state(at_once) == state(one_by_one)


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


def test_snapshots_of_different_accounts_all_stay() -> None:
    def first(update: AnyUpdate) -> AnyUpdate:
        return attrs.evolve(update, origin=Origin.SNAPSHOT)

    seeds = [first(body(nonce(number, account(number)))) for number in range(5)]
    changes = [body(nonce(10, account(1))), body(nonce(11, account(1)))]
    assert conflate(BEHAVIOURS[Kind.NONCE], [*seeds, *changes], 100) == [*seeds, changes[1]]
    items = [
        first(body(orders(1, 2))),
        body(orders(1, filled=5)),
        first(body(orders(3))),
        body(orders(3, 1, filled=7)),
    ]
    whole, changed = conflate(BEHAVIOURS[Kind.ORDERS], items, 100) or []
    assert (told(whole), whole.origin) == ([(1, 0), (2, 0), (3, 0)], Origin.SNAPSHOT)
    assert (told(changed), changed.origin) == ([(3, 7), (1, 7)], Origin.LIVE)


def test_a_snapshot_of_nothing_stays() -> None:
    nothing = OrderUpdate(origin=Origin.SNAPSHOT)
    items = [nothing, body(orders(1)), GAP, nothing]
    result = conflate(BEHAVIOURS[Kind.ORDERS], items, 100) or []
    assert origins(result) == ["snapshot", "live", "gap", "snapshot"]


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
    world = World(buffer_size=4, conflation_limit=2)
    slow, marked = world.live(DEPTH, ORDERS)
    source = world.topic(ORDERS)
    world.receive(*[change([(10, 1)])] * 9)
    world.receive(*[orders(number) for number in range(9)])
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


def test_of_views_the_latest_is_enough_whatever_they_say_of_themselves() -> None:
    views = [attrs.evolve(body(view([(10, size)])), origin=Origin.LIVE) for size in (1, 2, 3)]
    assert conflate(BEHAVIOURS[Kind.DEPTH_VIEW], views, 100) == views[-1:]
