"""Entries that could not be read: delivered in their place, never doubled, read over REST where possible."""

from __future__ import annotations

import json
from typing import Any, cast

import attrs
import pytest

from o2trio.models import DepthChanges, DepthUpdate, Level, NotUnderstood, OrderUpdate, Origin
from o2trio.streams import (
    EntryNotUnderstood,
    FieldNotUnderstood,
    Mailbox,
    Oddities,
    ServerMessage,
    State,
    StateMemory,
    TopicKey,
)
from o2trio.streams._machine import Event
from o2trio.streams._mailbox import conflate
from o2trio.streams._oddities import MAX_SHAPES, OTHER_SHAPES
from o2trio.streams._topic import LOOK_UPS, LOOK_UPS_LEFT
from o2trio.streams._topics import BEHAVIOURS
from o2trio.streams._trades import LEDGER_SIZE, TradeLedger
from o2trio.wire import Kind, OddField, decode
from tests.streams.world import (
    BALANCES,
    DEPTH,
    MARKET,
    ORDERS,
    TRADES,
    World,
    account,
    balances,
    drain,
    orders,
    snapshot,
    trades,
)


def changed(text: str, field: str, *entries: dict[str, Any] | str) -> str:
    """Return a message whose last entries lack something, or are something else."""
    message = json.loads(text)
    for entry in entries:
        message[field].append(
            entry if isinstance(entry, str) else {**message[field][0], **entry, "price": None}
        )
    return json.dumps(message)


def odd_order(number: int, plain: int = 99) -> str:
    return changed(orders(plain), "orders", {"order_id": f"0x{number:064x}"})


def odd_trade(number: int | str | None, plain: int = 99) -> str:
    return changed(trades(plain), "trades", {"trade_id": None if number is None else str(number)})


def only_odd(text: str, field: str) -> str:
    message = json.loads(text)
    return json.dumps({**message, field: message[field][1:]})


def order_id(number: int) -> str:
    return f"0x{number:064x}"


def backfill(text: str) -> Any:
    update: Any = decode(text).body
    return attrs.evolve(update, origin=Origin.BACKFILL)


def odd_ids(updates: list[Any]) -> list[str | None]:
    return [
        entry.ids.get("order_id") or entry.ids.get("trade_id")
        for update in updates
        for entry in update.not_understood
    ]


# -- in their place --------------------------------------------------------------------------------


def test_an_entry_that_is_not_understood_comes_with_its_neighbors_and_is_reported() -> None:
    world = World()
    (box,) = world.live(ORDERS)
    world.receive(odd_order(1))
    (update,) = drain(box)
    assert [order.order_id for order in update.orders] == [order_id(99)]
    (entry,) = update.not_understood
    assert (entry.index, entry.ids["order_id"]) == (1, order_id(1))
    (event,) = world.host.told(EntryNotUnderstood)
    assert (event.source, event.problem) == (str(ORDERS), entry.problem)
    assert world.host.oddities.entries == 1
    assert world.topic(ORDERS).epoch == 0


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (ORDERS, only_odd(odd_order(1), "orders")),
        (TRADES, only_odd(odd_trade(1), "trades")),
        (BALANCES, changed(balances((account(1), 5)), "balance", "odd")),
    ],
    ids=["orders", "trades", "balances"],
)
def test_an_update_of_such_entries_only_is_delivered(key: TopicKey, text: str) -> None:
    world = World()
    (box,) = world.live(key)
    world.receive(text)
    (update,) = drain(box)
    assert len(update.not_understood) == 1
    assert len(world.host.told(EntryNotUnderstood)) == 1


def test_what_may_be_a_former_holder_s_stays_if_it_does_not_say_so() -> None:
    world = World()
    old = world.live(ORDERS, BALANCES)
    for box in old:
        world.hub.detach(box)
    keys = [TopicKey(kind, identities=(account(2),)) for kind in (Kind.ORDERS, Kind.BALANCES)]
    by_id, by_asset = (world.mailbox(key) for key in keys)
    world.pump()
    world.pong()
    world.receive(
        changed(orders(1, owner=account(1)), "orders", "odd"),
        changed(balances((account(1), 1)), "balance", "odd"),
    )
    for box in (by_id, by_asset):
        (update,) = drain(box)
        assert [(entry.index, entry.raw) for entry in update.not_understood] == [(0, "odd")]
        assert len(update.entries) == 1


@pytest.mark.parametrize("kind", [Kind.ORDERS, Kind.BALANCES])
def test_conflation_keeps_the_latest_of_each_thing_and_all_that_says_nothing(kind: Kind) -> None:
    texts = {
        Kind.ORDERS: [
            odd_order(1, plain=7),
            orders(2),
            odd_order(2),
            odd_order(1, plain=7),
            orders(2, filled=5),
        ],
        Kind.BALANCES: [changed(balances((account(1), n)), "balance", "odd") for n in (1, 2)],
    }[kind]
    texts.append(changed(texts[0], "orders" if kind is Kind.ORDERS else "balance", "a", "a"))
    items: list[Any] = [decode(text).body for text in texts]
    (one,) = cast(list[Any], conflate(BEHAVIOURS[kind], items, 100))
    assert isinstance(one, (OrderUpdate)) is (kind is Kind.ORDERS)
    raws = [entry.raw for entry in one.not_understood if isinstance(entry.raw, str)]
    assert raws == (["a", "a"] if kind is Kind.ORDERS else ["odd", "odd", "odd", "a", "a"])
    assert [one.entries.index(entry) for entry in one.not_understood] == [
        entry.index for entry in one.not_understood
    ]
    if isinstance(one, OrderUpdate):
        assert odd_ids([one]) == [order_id(1), None, None]
        assert [order.quantity_fill for order in one.orders if order.order_id == order_id(2)] == [5]


# -- orders that are read over REST ----------------------------------------------------------------


def test_an_order_that_is_not_understood_is_looked_up_once() -> None:
    world = World()
    (box,) = world.live(ORDERS)
    world.receive(orders(1), odd_order(1))
    topic, (entry,) = world.host.looking_up.pop()
    assert entry.ids["order_id"] == order_id(1)
    world.receive(odd_order(2))
    assert world.host.looking_up == [], "one at a time"
    drain(box)
    topic.looked_up(topic.epoch, [backfill(orders(1, filled=5))])
    (update,) = drain(box)
    assert (update.origin, update.orders[0].quantity_fill) == (Origin.BACKFILL, 5)
    topic, (entry,) = world.host.looking_up.pop()
    assert entry.ids["order_id"] == order_id(2)
    topic.looked_up(topic.epoch, [])
    assert drain(box) == [], "what cannot be read stays as it was marked"
    assert world.host.looking_up == []
    assert topic.memory is not None
    assert list(topic.memory.unclear) == [order_id(2)]


def test_what_a_live_item_has_said_since_is_not_told_by_a_look_up() -> None:
    world = World()
    (box,) = world.live(ORDERS)
    world.receive(odd_order(1))
    topic, _ = world.host.looking_up.pop()
    world.receive(orders(1, filled=50))
    drain(box)
    topic.looked_up(topic.epoch, [backfill(orders(1, filled=5))])
    assert drain(box) == []


def test_a_look_up_does_not_go_back_behind_what_was_known() -> None:
    world = World()
    (box,) = world.live(ORDERS)
    world.receive(orders(1, filled=50), odd_order(1))
    topic, _ = world.host.looking_up.pop()
    drain(box)
    topic.looked_up(topic.epoch, [backfill(orders(1, filled=5))])
    assert drain(box) == []
    topic._unread.append(decode(odd_order(1)).body.not_understood[0])  # type: ignore[union-attr]
    topic.looked_up(topic.epoch, [backfill(orders(1, filled=50))])
    assert [update.orders[0].quantity_fill for update in drain(box)] == [50], "it is what it was"


def test_a_look_up_that_a_break_overtook_is_left_to_the_repair() -> None:
    world = World()
    (box,) = world.live(ORDERS)
    world.receive(odd_order(1))
    topic, _ = world.host.looking_up.pop()
    drain(box)
    world.down()
    world.back()
    topic.looked_up(0, [backfill(orders(1))])
    assert drain(box) == []
    world.receive(odd_order(3))
    assert world.host.looking_up == []
    topic.repaired(1, [backfill(orders(1))])
    assert topic.state is State.LIVE
    assert [entry.ids["order_id"] for _, entries in world.host.looking_up for entry in entries] == [
        order_id(3)
    ]


def test_look_ups_are_bounded() -> None:
    world = World()
    world.live(ORDERS)
    world.receive(odd_order(0))
    topic, _ = world.host.looking_up.pop()
    for number in range(LOOK_UPS_LEFT + 5):
        world.port.receive([odd_order(number)])
    topic.looked_up(0, [])
    _, entries = world.host.looking_up.pop()
    assert [entry.ids["order_id"] for entry in entries] == [order_id(5 + n) for n in range(LOOK_UPS)]


def test_a_state_says_what_is_unclear_instead_of_what_is_out_of_date() -> None:
    memory = StateMemory(BEHAVIOURS[Kind.ORDERS], 2)
    for text in (orders(1, 2), odd_order(1, plain=3)):
        memory.note(body(text))
    (state,) = memory.state(OrderUpdate())
    assert isinstance(state, OrderUpdate)
    assert {order.order_id for order in state.orders} == {order_id(2), order_id(3)}
    assert odd_ids([state]) == [order_id(1)]
    memory.note(body(orders(1)))
    assert odd_ids(list(memory.state(OrderUpdate()))) == []
    for number in range(5):
        memory.note(body(odd_order(number)))
    assert list(memory.unclear) == [order_id(3), order_id(4)]


def test_rows_that_a_read_could_not_understand_are_told_once() -> None:
    world = World()
    (box,) = world.live(ORDERS)
    odd, nameless = odd_order(5, plain=6), only_odd(changed(orders(1), "orders", "odd"), "orders")
    topic = world.topic(ORDERS)
    for epoch, told in ((1, [order_id(5), None]), (2, [])):
        world.down()
        world.back()
        topic.repaired(epoch, [backfill(odd), backfill(nameless)])
        assert odd_ids(drain(box)) == told
    assert topic.memory is not None
    assert odd_ids(list(topic.memory.state(OrderUpdate()))) == [order_id(5), None]
    world.down()
    world.back()
    world.receive(orders(5, filled=1))
    topic.repaired(3, [backfill(odd)])
    assert odd_ids(drain(box)) == [], "a live item has said more"
    assert order_id(5) not in topic.memory.unclear


def test_a_repair_brings_what_was_unclear_though_nothing_has_changed() -> None:
    world = World()
    (box,) = world.live(ORDERS)
    world.receive(orders(1), odd_order(1))
    world.down()
    world.back()
    drain(box)
    world.topic(ORDERS).repaired(1, [backfill(orders(1))])
    assert [update.orders[0].order_id for update in drain(box)] == [order_id(1)]


def body(text: str) -> Any:
    return decode(text).body


# -- trades ----------------------------------------------------------------------------------------

SPELLED = "0x" + "ab" * 32
OTHERWISE = "AB" * 32


def test_a_trade_that_is_not_understood_counts_as_seen() -> None:
    world = World()
    (box,) = world.live(TRADES)
    world.receive(trades(1), odd_trade(2, plain=3), odd_trade(2, plain=3))
    first, second = drain(box)
    assert odd_ids([first, second]) == ["2"]
    world.down()
    world.back()
    topic = world.topic(TRADES)
    world.receive(odd_trade(4, plain=5))
    page: Any = body(trades(2, 3, 4, 5))
    assert topic.backfill(1, page.trades)
    topic.repaired(1, [])
    told = drain(box)
    assert [trade.trade_id for update in told for trade in update.trades] == ["4", "5"], (
        "2 was there, 4 is new"
    )
    assert odd_ids(told) == []


def test_what_rest_could_not_read_is_delivered_and_counts_as_seen() -> None:
    world = World()
    (box,) = world.live(TRADES)
    world.receive(trades(1))
    world.down()
    world.back()
    topic = world.topic(TRADES)
    world.receive(odd_trade(3, plain=4))
    drain(box)
    odd: Any = body(odd_trade(3, plain=2))
    assert topic.backfill(1, odd.trades, odd.not_understood)
    topic.repaired(1, [])
    mended, live = drain(box)
    assert [trade.trade_id for trade in mended.trades] == ["2"]
    assert (mended.origin, odd_ids([mended])) == (Origin.BACKFILL, ["3"])
    assert ([trade.trade_id for trade in live.trades], odd_ids([live])) == (["4"], [])


def test_two_spellings_of_an_id_are_one_trade() -> None:
    """Seen: a break doubled the trade, and marked a gap that was none."""
    world = World()
    (box,) = world.live(TRADES)
    world.receive(trades(1).replace('"trade_id": "1"', f'"trade_id": "{SPELLED}"'))
    world.down()
    world.back()
    topic = world.topic(TRADES)
    page: Any = body(trades(1, 2).replace('"trade_id": "1"', f'"trade_id": "{OTHERWISE}"'))
    assert topic.backfill(1, page.trades)
    topic.repaired(1, [])
    told = drain(box)
    assert [trade.trade_id for update in told for trade in update.trades] == [SPELLED, "2"]
    assert topic.ledger is not None
    assert SPELLED.upper().replace("X", "x") in topic.ledger
    assert OTHERWISE in topic.ledger
    assert 7 not in topic.ledger


def test_a_slow_consumer_meets_live_trades_in_either_spelling() -> None:
    world = World(buffer_size=4)
    (box,) = world.live(TRADES)
    for number in range(5):
        world.port.receive([trades(number)])
    ((mailbox, lag),) = world.host.lags
    odd: Any = body(odd_trade(77, plain=78))
    world.port.receive(
        [trades(9).replace('"trade_id": "9"', f'"trade_id": "{SPELLED}"'), odd_trade(10, plain=11)]
    )
    drain(box)
    pages: Any = body(trades(4, 5, 6).replace('"trade_id": "5"', f'"trade_id": "{OTHERWISE}"'))
    assert [trade.trade_id for update in lag.take(pages.trades) for trade in update.trades] == ["4"]  # type: ignore[union-attr]
    assert odd_ids(lag.take((), odd.not_understood)) == ["77"]
    assert lag.take((), odd.not_understood) == []
    mailbox.caught_up(lag.release())
    told = drain(box)
    assert [trade.trade_id for update in told for trade in update.trades] == [SPELLED, "11"]
    assert odd_ids(told) == ["10"]


def test_a_ledger_is_bounded_though_nothing_can_be_read() -> None:
    ledger = TradeLedger()
    entries = [
        NotUnderstood(index=0, problem="odd", raw=n, ids={"trade_id": str(n)}) for n in range(LEDGER_SIZE + 9)
    ]
    nameless = NotUnderstood(index=0, problem="odd", raw=None)
    assert len(ledger.unseen([nameless, *entries])) == LEDGER_SIZE + 10
    assert "8" not in ledger
    assert "9" in ledger


def test_of_too_many_updates_during_a_repair_the_last_readable_trade_stays() -> None:
    world = World(buffer_size=4)
    world.live(TRADES)
    world.down()
    world.back()
    topic = world.topic(TRADES)
    world.receive(*[trades(n) for n in range(3)])
    odd = [only_odd(odd_trade(n), "trades") for n in range(20, 30)]
    world.receive(*odd[:2])
    held: list[Any] = topic.held
    assert [[trade.trade_id for trade in update.trades] for update in held] == [["2"], [], []]
    world.receive(*odd[2:4])
    assert topic.epoch == 2, "nothing is left to read up to"


# -- errors and odd fields beside data -------------------------------------------------------------


def test_data_that_is_a_refusal_too_is_data_first() -> None:
    """Seen: the difference was dropped without a mark, and the book said that it was fresh."""
    world = World()
    box = world.mailbox(DEPTH)
    ticks = world.mailbox(TRADES)
    world.up()
    for text in (snapshot([(10, 5)]), trades(1)):
        world.receive(json.dumps({**json.loads(text), "code": 6001, "message": "too many"}))
    assert not box.ended
    assert not ticks.ended
    assert [len(drain(each)) for each in (box, ticks)] == [1, 1]
    assert [event.code for event in world.host.told(ServerMessage)] == [6001, 6001]


def test_an_acknowledgement_confirms_the_topic_that_it_names() -> None:
    world = World()
    world.mailbox(TRADES)
    world.mailbox(ORDERS)
    world.up()
    world.receive(json.dumps({"action": "subscribe_trades", "market_id": MARKET, "status": "ok"}), '"OK"')
    assert world.topic(TRADES).is_confirmed
    assert not world.topic(ORDERS).is_confirmed
    world.receive(json.dumps({"code": 6001, "message": "too many"}))
    assert [topic.key for topic in world.hub.topics] == [TRADES], "the other request is the one in question"


def test_an_acknowledgement_may_be_that_of_the_former_holder() -> None:
    world = World()
    (old,) = world.live(TRADES)
    world.hub.detach(old)
    world.mailbox(TRADES)
    world.pump()
    world.receive(json.dumps({"action": "subscribe_trades", "market_id": MARKET, "status": "ok"}))
    assert not world.topic(TRADES).is_confirmed


def test_a_shape_is_reported_once_and_counted() -> None:
    world = World()
    (box,) = world.live(TRADES)
    for number in range(3):
        message = json.loads(trades(number))
        message["trades"][0]["maker_fee"] = "free"
        world.receive(json.dumps(message))
    assert len(drain(box)) == 3
    (event,) = world.host.told(FieldNotUnderstood)
    assert event.field == "Trade.maker_fee"
    assert list(world.host.oddities.fields.values()) == [3]


def test_shapes_are_bounded() -> None:
    events: list[Any] = []
    oddities = Oddities(events.append, lambda: 0.0)
    for number in range(MAX_SHAPES + 9):
        oddities.note_fields([OddField(field="a", problem="b", shape=str(number))])
    assert len(events) == MAX_SHAPES + 1
    assert oddities.fields[OTHER_SHAPES] == 9


def test_a_snapshot_that_names_a_price_twice_is_delivered_as_the_book_has_it() -> None:
    world = World()
    box: Mailbox[Any] = world.mailbox(DEPTH)
    world.up()
    world.receive(snapshot([(10, 5), (10, 2)], [(20, 1)]))
    (whole,) = drain(box)
    assert [(level.price, level.quantity) for level in whole.changes.bids] == [(10, 7)]
    assert world.host.oddities.fields
    world.receive(snapshot([(10, 5)], [(9, 1)]))
    (crossed,) = drain(box)
    assert crossed.is_crossed
    assert world.topic(DEPTH).epoch == 0


def test_a_row_that_a_live_item_overtook_is_not_remembered() -> None:
    memory = StateMemory(BEHAVIOURS[Kind.ORDERS], 9)
    memory.broke(was_whole=True)
    memory.note(body(orders(5)))
    memory.learn([backfill(odd_order(5, plain=6))])
    assert memory.unclear == {}


def test_a_snapshot_that_cannot_be_true_is_asked_for_again() -> None:
    world = World()
    (box,) = world.live(DEPTH)
    update = DepthUpdate(
        market_id=MARKET, changes=DepthChanges(bids=(Level(10, -1),)), origin=Origin.SNAPSHOT
    )
    world.topic(DEPTH).handle(Event.SNAPSHOT, update)
    assert drain(box) == []
    assert world.topic(DEPTH).epoch == 1
