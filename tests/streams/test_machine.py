"""The table of the topic's life: complete, and true of a real topic for every two steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from o2trio.streams import QUIET, SNAPSHOT_FIRST, Action, Port, State, Topic
from o2trio.streams._machine import Event, Table
from o2trio.streams._topic import _ACTIONS
from o2trio.wire import Kind
from tests.streams.world import KEYS, Wire, World, first, item

S, E = State, Event

OFFLINE_STATES = (S.NEW, S.OFFLINE)

IMPOSSIBLE: list[tuple[str, set[tuple[State, Event]]]] = [
    ("a closed topic is in no table any more: nothing finds it", {(S.CLOSED, e) for e in E}),
    (
        "without a socket nothing is sent and nothing arrives",
        {(s, e) for s in OFFLINE_STATES for e in (E.SENT, E.SNAPSHOT, E.ITEM, E.BREAK)},
    ),
    (
        "a confirmation only ends the wait of a repair: without one, nothing follows from it",
        {(s, E.CONFIRMED) for s in S if s is not S.REPAIRING},
    ),
    ("the timer checks the table before it fires", {(s, e) for s in S for e in (E.RETRY, E.TIMEOUT)}),
    ("only a topic that is repairing takes a repair", {(s, E.REPAIRED) for s in S if s is not S.REPAIRING}),
    ("a socket comes up only after it was down", {(s, E.ONLINE) for s in S if s not in OFFLINE_STATES}),
    ("the last consumer has left already", {(S.LEAVING, E.LEAVE)}),
]
FOREIGN = {False: {S.REPAIRING}, True: {S.BROKEN, S.LEAVING}}
"""The states of the other family."""
FAMILY = {
    "snapshot first": {(S.REPAIRING, e) for e in E},
    "quiet": {(s, e) for s in (S.BROKEN, S.LEAVING) for e in E} | {(s, E.SNAPSHOT) for s in S},
}


@pytest.mark.parametrize(("name", "table"), [("snapshot first", SNAPSHOT_FIRST), ("quiet", QUIET)])
def test_every_pair_is_in_the_table_or_impossible(name: str, table: Table) -> None:
    impossible = FAMILY[name].union(*(pairs for _, pairs in IMPOSSIBLE))
    missing = {pair for pair in product(State, Event) if pair not in table and pair not in impossible}
    assert not missing
    ends = {(state, E.FAIL) for state in FOREIGN[table is QUIET]}
    timers = {pair for pair in table if pair[1] in {E.RETRY, E.TIMEOUT}}
    assert not impossible & (set(table) - timers - ends)


def test_every_action_is_used_and_carried_out() -> None:
    used = {step.action for table in (SNAPSHOT_FIRST, QUIET) for step in table.values()}
    assert used == set(Action) == set(_ACTIONS)


_LIVE = [E.ONLINE, E.SENT, E.SNAPSHOT]
SNAPSHOT_PATHS: list[list[Event]] = [
    [],
    [E.ONLINE],
    [E.ONLINE, E.SENT],
    [E.ONLINE, E.LEAVE],
    [E.ONLINE, E.SENT, E.LEAVE],
    [E.ONLINE, E.SNAPSHOT],
    _LIVE,
    [*_LIVE, E.LEAVE],
    [*_LIVE, E.LINK_LOST],
    # The first break asks for a fresh snapshot at once, the second one waits.
    [*_LIVE, E.BREAK],
    [*_LIVE, E.BREAK, E.SNAPSHOT, E.BREAK],
    [*_LIVE, E.BREAK, E.SENT, E.SNAPSHOT, E.BREAK],
    [*_LIVE, E.LINK_LOST, E.ONLINE, E.SENT, E.TIMEOUT, E.SENT, E.TIMEOUT],
]
QUIET_PATHS: list[list[Event]] = [
    [],
    [E.ONLINE],
    [E.ONLINE, E.SENT],
    [E.ONLINE, E.ITEM],
    [E.ONLINE, E.SENT, E.LEAVE],
    [E.ONLINE, E.SENT, E.BREAK],
    [E.ONLINE, E.SENT, E.LINK_LOST],
    [E.ONLINE, E.SENT, E.LINK_LOST, E.ONLINE],
    [E.ONLINE, E.SENT, E.LINK_LOST, E.ONLINE, E.SENT],
]


class Driver:
    """One real topic, moved only by what can really happen around it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.world = World()
        self.boxes = [self.world.mailbox(KEYS[kind])]
        self.topic: Topic = self.world.hub.topics[0]
        self.port: Port = self.world.port
        self.table = SNAPSHOT_FIRST if self.topic.behaviour.starts_with_snapshot else QUIET
        self.failed = False

    def possible(self, event: Event) -> bool:
        if (self.topic.state, event) not in self.table:
            return False
        queued = any(topic is self.topic for _, topic in self.port._outbox)
        if event is E.SENT:
            return queued
        if event is E.TIMEOUT:
            return self.topic.sent_at is not None
        return not (event in {E.ITEM, E.BREAK} and self.kind is Kind.DEPTH_VIEW)

    def do(self, event: Event) -> None:
        before, was_live = self.topic.state, self.topic._was_live
        step = self.table[before, event]
        self._cause(event)
        after = self.topic.state
        if step.action is Action.RESYNCHRONISE and event is E.TIMEOUT and not was_live:
            assert after is S.CLOSED
        elif step.action is Action.RESYNCHRONISE:
            assert after in {S.BROKEN, S.JOINING}
        else:
            assert after is step.state, (before, event)
        self.check()

    def _cause(self, event: Event) -> None:
        world, topic = self.world, self.topic
        options = world.host.options
        causes: dict[Event, Callable[[], object]] = {
            E.ONLINE: self._online,
            E.SENT: world.pump,
            E.CONFIRMED: world.pong,
            E.LINK_LOST: lambda: self.port.link_down("test"),
            E.SNAPSHOT: lambda: self.port.receive([first(self.kind)]),
            E.ITEM: lambda: self.port.receive([item(self.kind)]),
            E.BREAK: lambda: self.port.receive(['{"action": "subscribe_' + self.kind.value + '", ']),
            E.RETRY: lambda: world.host.advance(1.0),
            E.TIMEOUT: lambda: world.host.advance(options.snapshot_timeout),
            E.REPAIRED: lambda: topic.repaired(topic.epoch, [], problem="test"),
            E.JOIN: lambda: self.boxes.append(world.mailbox(KEYS[self.kind])),
            E.LEAVE: self._leave,
            E.FAIL: self._fail,
        }
        causes[event]()

    def _online(self) -> None:
        self.world.wires[self.port] = Wire()
        self.port.link_up()

    def _leave(self) -> None:
        for box in self.boxes:
            self.world.hub.detach(box)
        self.boxes.clear()

    def _fail(self) -> None:
        self.failed = True
        self.topic.fail(lambda: ValueError("test"))

    def check(self) -> None:
        topic, closed = self.topic, self.topic.state is S.CLOSED
        assert closed is (topic.key.slot not in self.port.slots)
        assert all(box in topic.audience.everybody for box in self.boxes)
        assert closed or (topic.state is S.LEAVING) or topic.audience.everybody
        if topic.state is S.LIVE:
            assert len(topic.audience.members) == len(self.boxes), (
                "nobody waits any more for the end of a repair"
            )
        if topic.state is S.LIVE and topic.behaviour.starts_with_snapshot:
            assert all(box.opened.is_set() for box in self.boxes)
        ended = [box.ended for box in self.boxes]
        assert all(ended) if closed else not any(ended)

    def finish(self) -> None:
        """Write everything: the strict server must be content, and must hold no dead topic."""
        self.world.pump()
        if self.port.online and self.topic.state is S.CLOSED and not self.failed:
            assert not self.world.wires[self.port].subscribed


@pytest.mark.parametrize("kind", Kind)
def test_any_two_steps_from_any_state(kind: Kind) -> None:
    paths = SNAPSHOT_PATHS if kind in {Kind.DEPTH, Kind.DEPTH_VIEW} else QUIET_PATHS
    table = SNAPSHOT_FIRST if kind in {Kind.DEPTH, Kind.DEPTH_VIEW} else QUIET
    taken, states = set(), set()
    # What would break a book does nothing to a view: the next one replaces it.
    views = {E.ITEM, E.BREAK} if kind is Kind.DEPTH_VIEW else set()
    for path, one, two in product(paths, Event, Event):
        if views & set(path):
            continue
        driver = Driver(kind)
        for event in (*path, one, two):
            if driver.possible(event):
                taken.add((driver.topic.state, event))
                states.add(driver.topic.state)
                driver.do(event)
        driver.finish()
    reachable = {pair for pair in table if pair[0] in states and pair[1] not in views}
    if views:
        # Both need an item: a view's request is sent before its first message of a broken time.
        reachable -= {(S.BROKEN, E.SENT)}
    assert taken == reachable
    assert states == {state for state, _ in table} - FOREIGN[table is QUIET]
