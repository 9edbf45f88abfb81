"""The life of a topic as one table: (state, event) -> (next state, action).

Nothing here does anything: :class:`Topic` looks a pair up and carries the action out. Depth and depth
views start with a snapshot; trades, orders, balances and nonce are quiet until something happens. Both
families share the rows of their beginning and end.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["QUIET", "SNAPSHOT_FIRST", "Action", "Event", "State", "Step", "Table"]


class State(Enum):
    """Where a topic stands."""

    # By identity, as members are equal; Enum hashes their names anew for each look-up.
    __hash__ = object.__hash__

    NEW = "new"
    """Wanted, and never yet subscribed."""
    OFFLINE = "offline"
    """Was subscribed; its connection is down. Whatever happens meanwhile is missed."""
    JOINING = "joining"
    """The request is on its way; for depth until the first snapshot comes, else until it is sent."""
    REPAIRING = "repairing"
    """Subscribed again; a live item is held until what was missed before it has been read."""
    LIVE = "live"
    """Items are passed on."""
    BROKEN = "broken"
    """The book does not fit the messages; waits to subscribe afresh."""
    LEAVING = "leaving"
    """Nobody listens; waits for the snapshot under way, so that it cannot be taken for a later one."""
    CLOSED = "closed"
    """Over: released, refused or given up."""


class Event(Enum):
    """What can happen to a topic."""

    __hash__ = object.__hash__

    ONLINE = "online"
    """Its connection is up."""
    SENT = "sent"
    """Its request is on the wire."""
    CONFIRMED = "confirmed"
    """The server has read the request: what happens from now on will be streamed."""
    LINK_LOST = "link lost"
    """Its connection is down."""
    SNAPSHOT = "snapshot"
    """A message with the whole state."""
    ITEM = "item"
    """Any other message."""
    BREAK = "break"
    """A message was lost, broken or does not fit."""
    RETRY = "retry"
    """The wait before a fresh subscription is over."""
    TIMEOUT = "timeout"
    """No snapshot came in time."""
    REPAIRED = "repaired"
    """The repair of a break has ended, well or not."""
    JOIN = "join"
    """A consumer came."""
    LEAVE = "leave"
    """The last consumer left."""
    FAIL = "fail"
    """Refused by the server, given up, or the client closes."""


class Action(Enum):
    """What a topic does on a transition."""

    __hash__ = object.__hash__

    NOTHING = "nothing"
    SUBSCRIBE = "subscribe"
    RESUBSCRIBE = "resubscribe"
    """Unsubscribe and subscribe: the only way to a fresh snapshot."""
    UNSUBSCRIBE = "unsubscribe"
    LOAD = "load"
    """Replace the state and deliver the snapshot."""
    DELIVER = "deliver"
    HOLD = "hold"
    """Keep the item until what was missed before it has been delivered."""
    IGNORE = "ignore"
    """Drop a message of an older subscription, which the coming snapshot contains."""
    MARK = "mark"
    """Count a break."""
    RESYNCHRONISE = "resynchronise"
    """Count a break and arrange a fresh subscription."""
    REPAIR = "repair"
    """Find out what was missed. Not before the request is on the wire: what happens between would be lost."""
    MARK_AND_REPAIR = "mark and repair"
    """Count a break and repair it."""
    RELEASE = "release"
    """Deliver the rest of the repair, then what is held."""
    GREET = "greet"
    """Give a late consumer the current state."""
    END = "end"
    """Tell the consumers why it is over."""


class Step(NamedTuple):
    """One row's right-hand side."""

    state: State
    action: Action


Table = dict[tuple[State, Event], Step]

S, E, A = State, Event, Action

_BEGINNING_AND_END: Table = {
    (S.NEW, E.JOIN): Step(S.NEW, A.NOTHING),
    (S.NEW, E.LINK_LOST): Step(S.NEW, A.NOTHING),
    (S.NEW, E.LEAVE): Step(S.CLOSED, A.NOTHING),
    (S.OFFLINE, E.JOIN): Step(S.OFFLINE, A.NOTHING),
    (S.OFFLINE, E.LINK_LOST): Step(S.OFFLINE, A.NOTHING),
    (S.OFFLINE, E.LEAVE): Step(S.CLOSED, A.NOTHING),
    (S.LIVE, E.LINK_LOST): Step(S.OFFLINE, A.MARK),
    (S.LIVE, E.SENT): Step(S.LIVE, A.NOTHING),
    (S.LIVE, E.JOIN): Step(S.LIVE, A.GREET),
    (S.LIVE, E.LEAVE): Step(S.CLOSED, A.UNSUBSCRIBE),
    **{(state, E.FAIL): Step(S.CLOSED, A.END) for state in State if state is not S.CLOSED},
}

SNAPSHOT_FIRST: Table = {
    **_BEGINNING_AND_END,
    (S.NEW, E.ONLINE): Step(S.JOINING, A.SUBSCRIBE),
    (S.OFFLINE, E.ONLINE): Step(S.JOINING, A.SUBSCRIBE),
    (S.JOINING, E.SENT): Step(S.JOINING, A.NOTHING),
    (S.JOINING, E.SNAPSHOT): Step(S.LIVE, A.LOAD),
    (S.JOINING, E.ITEM): Step(S.JOINING, A.IGNORE),
    (S.JOINING, E.BREAK): Step(S.BROKEN, A.RESYNCHRONISE),
    (S.JOINING, E.TIMEOUT): Step(S.BROKEN, A.RESYNCHRONISE),
    (S.JOINING, E.LINK_LOST): Step(S.OFFLINE, A.NOTHING),
    (S.JOINING, E.JOIN): Step(S.JOINING, A.NOTHING),
    (S.JOINING, E.LEAVE): Step(S.LEAVING, A.NOTHING),
    (S.LIVE, E.SNAPSHOT): Step(S.LIVE, A.LOAD),
    (S.LIVE, E.ITEM): Step(S.LIVE, A.DELIVER),
    (S.LIVE, E.BREAK): Step(S.BROKEN, A.RESYNCHRONISE),
    (S.BROKEN, E.SENT): Step(S.BROKEN, A.NOTHING),
    (S.BROKEN, E.RETRY): Step(S.JOINING, A.RESUBSCRIBE),
    (S.BROKEN, E.SNAPSHOT): Step(S.BROKEN, A.IGNORE),
    (S.BROKEN, E.ITEM): Step(S.BROKEN, A.IGNORE),
    (S.BROKEN, E.BREAK): Step(S.BROKEN, A.NOTHING),
    (S.BROKEN, E.LINK_LOST): Step(S.OFFLINE, A.NOTHING),
    (S.BROKEN, E.JOIN): Step(S.BROKEN, A.NOTHING),
    (S.BROKEN, E.LEAVE): Step(S.CLOSED, A.UNSUBSCRIBE),
    (S.LEAVING, E.SENT): Step(S.LEAVING, A.NOTHING),
    (S.LEAVING, E.SNAPSHOT): Step(S.CLOSED, A.UNSUBSCRIBE),
    (S.LEAVING, E.ITEM): Step(S.LEAVING, A.IGNORE),
    (S.LEAVING, E.BREAK): Step(S.CLOSED, A.UNSUBSCRIBE),
    (S.LEAVING, E.TIMEOUT): Step(S.CLOSED, A.UNSUBSCRIBE),
    (S.LEAVING, E.LINK_LOST): Step(S.CLOSED, A.NOTHING),
    (S.LEAVING, E.JOIN): Step(S.JOINING, A.NOTHING),
}

QUIET: Table = {
    **_BEGINNING_AND_END,
    (S.NEW, E.ONLINE): Step(S.JOINING, A.SUBSCRIBE),
    (S.OFFLINE, E.ONLINE): Step(S.REPAIRING, A.SUBSCRIBE),
    (S.JOINING, E.SENT): Step(S.LIVE, A.NOTHING),
    (S.JOINING, E.ITEM): Step(S.LIVE, A.DELIVER),
    (S.JOINING, E.BREAK): Step(S.JOINING, A.NOTHING),
    (S.JOINING, E.LINK_LOST): Step(S.NEW, A.NOTHING),
    (S.JOINING, E.JOIN): Step(S.JOINING, A.NOTHING),
    (S.JOINING, E.LEAVE): Step(S.CLOSED, A.UNSUBSCRIBE),
    (S.LIVE, E.ITEM): Step(S.LIVE, A.DELIVER),
    (S.LIVE, E.BREAK): Step(S.REPAIRING, A.MARK_AND_REPAIR),
    (S.REPAIRING, E.SENT): Step(S.REPAIRING, A.NOTHING),
    (S.REPAIRING, E.CONFIRMED): Step(S.REPAIRING, A.REPAIR),
    (S.REPAIRING, E.ITEM): Step(S.REPAIRING, A.HOLD),
    (S.REPAIRING, E.BREAK): Step(S.REPAIRING, A.MARK_AND_REPAIR),
    (S.REPAIRING, E.REPAIRED): Step(S.LIVE, A.RELEASE),
    (S.REPAIRING, E.LINK_LOST): Step(S.OFFLINE, A.MARK),
    (S.REPAIRING, E.JOIN): Step(S.REPAIRING, A.NOTHING),
    (S.REPAIRING, E.LEAVE): Step(S.CLOSED, A.UNSUBSCRIBE),
}
