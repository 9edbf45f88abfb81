"""Messages of one read, taken together: the same as one by one, and nobody gets more than has room."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio._latest import _LatestMailbox
from o2trio.models import BalanceUpdate, OrderUpdate, TradeUpdate
from o2trio.streams import Mailbox, State, TopicKey, _port
from o2trio.streams._audience import Audience
from o2trio.streams._machine import QUIET, SNAPSHOT_FIRST, Action, Event, Step
from o2trio.streams._port import _TURN
from o2trio.wire import AnyUpdate, Kind, decode

from .world import (
    BALANCES,
    DEPTH,
    FIRST,
    NONCE,
    ORDERS,
    TRADES,
    VIEW,
    World,
    balances,
    change,
    drain,
    error,
    first,
    nonce,
    orders,
    snapshot,
    trades,
    view,
)

KEYS = (DEPTH, VIEW, TRADES, ORDERS, BALANCES, NONCE)

MESSAGES = st.one_of(
    st.integers(1, 9).map(lambda size: change([(10, size)])),
    st.integers(1, 9).map(lambda size: change([(10, size)])),
    st.integers(1, 40).map(trades),
    st.integers(1, 9).map(orders),
    st.integers(1, 9).map(nonce),
    st.integers(1, 9).map(lambda amount: balances((FIRST, amount))),
    st.integers(1, 9).map(lambda size: view([(10, size)])),
    st.integers(1, 9).map(lambda size: snapshot([(10, size)], [(20, 1)])),
    st.sampled_from(
        [
            change([(10, -1000)]),
            "PONG",
            "nonsense",
            '{"action": "subscribe_trades", "trades": 7}',
            error(1005, "busy"),
        ]
    ),
)


@attrs.define
class Consumer:
    """Takes all there is when it has its turn, or leaves everything to the end."""

    box: Mailbox[AnyUpdate]
    is_lazy: bool
    got: list[AnyUpdate] = attrs.Factory(list)

    def have_turn(self) -> None:
        if not self.is_lazy:
            self.got += drain(self.box)


def _told(messages: list[str], *, together: bool, lazy: set[int], buffer_size: int) -> Any:
    """Return what the consumers of all streams got, two of each; those of some numbers are `lazy`."""
    world = World(buffer_size=buffer_size)
    consumers = [Consumer(box, number in lazy) for number, box in enumerate(world.live(*KEYS, *KEYS))]
    pieces = [iter(messages)] if together else [iter([message]) for message in messages]
    for piece in pieces:
        while world.port.receive(piece):
            for consumer in consumers:
                consumer.have_turn()
    for consumer in consumers:
        consumer.got += drain(consumer.box)
    boxes = [consumer.box for consumer in consumers]
    counts = [(box.delivered, box.conflated, box.gaps) for box in boxes]
    topics = [(topic.state, topic.epoch, topic.items) for topic in world.hub.topics]
    return [consumer.got for consumer in consumers], counts, topics, world.port.frames, world.port.unrouted


@given(
    messages=st.lists(MESSAGES, max_size=80), lazy=st.sets(st.integers(0, 11)), buffer_size=st.integers(4, 12)
)
def test_together_is_as_one_by_one(messages: list[str], lazy: set[int], buffer_size: int) -> None:
    apart = _told(messages, together=False, lazy=lazy, buffer_size=buffer_size)
    assert _told(messages, together=True, lazy=lazy, buffer_size=buffer_size) == apart


def test_a_consumer_that_takes_what_it_gets_never_has_too_much() -> None:
    world = World(buffer_size=10)
    (box,) = world.live(TRADES)
    messages, most, taken = iter([trades(number) for number in range(200)]), 0, 0
    while world.port.receive(messages):
        most = max(most, len(box))
        box.pop()
        taken += 1
    assert (most, taken + len(drain(box))) == (6, 200), "one more than half of the buffer"
    assert box.conflated == 0


@pytest.mark.parametrize("text", ["nonsense", '{"action": "unknown"}', view([(10, 1)])])
def test_others_have_their_turn_whatever_comes(text: str) -> None:
    world = World(buffer_size=10_000)
    world.live(VIEW)
    messages = iter([text] * (2 * _TURN))
    assert world.port.receive(messages)
    assert len(list(messages)) == _TURN


@pytest.mark.parametrize("table", [SNAPSHOT_FIRST, QUIET])
def test_the_quick_way_of_a_live_item_is_that_of_the_table(table: Any) -> None:
    assert table[State.LIVE, Event.ITEM] == Step(State.LIVE, Action.DELIVER)


def test_what_came_before_a_break_is_handed_out_before_it() -> None:
    world = World()
    (box,) = world.live(DEPTH)
    sizes = (1, 2, -1000, 1)
    assert not world.port.receive([change([(10, size)]) for size in sizes])
    assert [update.epoch for update in drain(box)] == [0, 0]
    assert world.topic(DEPTH).epoch == 1


def test_what_was_taken_before_a_bug_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(message: str) -> Any:
        if message == "boom":
            raise RuntimeError("a bug")
        return decode(message)

    monkeypatch.setattr(_port, "decode", broken)
    world = World()
    (box,) = world.live(TRADES)
    with pytest.raises(RuntimeError, match="a bug"):
        world.port.receive([trades(1), trades(2), "boom"])
    assert len(drain(box)) == 2


def test_a_mailbox_of_several_topics_gets_their_items_as_they_came() -> None:
    world = World(buffer_size=16)
    box: Mailbox[AnyUpdate] = Mailbox(16, strict=True)
    world.hub.attach(box, [TRADES, ORDERS, BALANCES])
    world.back()
    came = [item for n in range(8) for item in (trades(n), orders(n), balances((FIRST, n)))]
    messages, got = iter(came), list[AnyUpdate]()
    while world.port.receive(messages):
        got += drain(box)
    got += drain(box)
    assert [type(update) for update in got] == [TradeUpdate, OrderUpdate, BalanceUpdate] * 8


def test_nothing_heard_is_not_heard_later() -> None:
    world = World()
    world.live(TRADES)
    world.port.receive([trades(1)])
    world.host.advance(10)
    assert not world.port.receive([])
    assert world.port.heard_at == world.host.now() - 10


def _runs(world: World, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return how many items come together where 10 of depth and trades take turns."""
    push, runs = Audience.push, set[int]()

    def noted(self: Audience, updates: list[AnyUpdate], source: Any, now: float) -> None:
        runs.add(len(updates))
        push(self, updates, source, now)

    with monkeypatch.context() as patch:
        patch.setattr(Audience, "push", noted)
        world.port.receive([item for n in range(10) for item in (change([(10, 1)]), trades(n))])
    return runs


def test_after_a_break_items_come_together_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.live(DEPTH, TRADES)
    world.receive(change([(10, -1000)]), first(Kind.DEPTH))
    world.pong()
    assert _runs(world, monkeypatch) == {1}, "some may be of the older subscription"
    world.host.advance(world.host.options.silence_timeout + 1)
    world.port.check_stale(world.host.now())
    assert _runs(world, monkeypatch) == {10}


def test_an_end_that_may_not_be_read_yet_is_not_forgotten() -> None:
    world = World()
    (box,) = world.live(TRADES)
    world.hub.detach(box)
    world.host.advance(world.host.options.silence_timeout + 1)
    world.port.check_stale(world.host.now())
    late = world.mailbox(TRADES)
    world.receive(trades(1))
    assert drain(late) == [], "it is of the older subscription"
    assert world.port.unrouted == 1


@pytest.mark.parametrize("keys", [(DEPTH,), (DEPTH, TRADES)], ids=["one topic", "two topics"])
def test_who_wants_the_latest_only_stops_nobody(keys: tuple[TopicKey, ...]) -> None:
    world = World()
    world.live(DEPTH, TRADES)
    latest = _LatestMailbox()
    world.hub.attach(latest, keys)
    messages = iter([change([(10, 1)])] * 30)
    assert not world.port.receive(messages)
    assert [len(told.changes.bids) for told in drain(latest)] == [1]


def test_the_latest_is_kept_by_who_has_ended() -> None:
    world = World()
    world.live(DEPTH, TRADES)
    latest = _LatestMailbox()
    world.hub.attach(latest, [DEPTH, TRADES])
    drain(latest)
    world.receive(trades(1), '{"action": "subscribe_trades", "trades": 7}', trades(2), trades(3))
    world.topic(DEPTH).fail(lambda: RuntimeError("refused"))
    topic = world.topic(TRADES)
    topic.repaired(topic.epoch, [])
    assert len(drain(latest)) == 1
