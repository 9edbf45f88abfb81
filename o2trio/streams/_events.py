"""Life-cycle events: what the connections and streams of a client go through."""

from __future__ import annotations

import attrs

__all__ = [
    "ConnectionDown",
    "ConnectionGivenUp",
    "ConnectionUp",
    "EntryNotUnderstood",
    "Event",
    "EventsMissed",
    "FieldNotUnderstood",
    "FrameIgnored",
    "ServerMessage",
    "TopicBroken",
    "TopicRefused",
    "TopicRestored",
    "TopicStale",
]


@attrs.frozen(slots=True, kw_only=True)
class Event:
    """Something happened. `time` is on Trio's clock, in seconds."""

    time: float


@attrs.frozen(slots=True, kw_only=True)
class ConnectionUp(Event):
    """A WebSocket is open. `attempt` counts the dials since the last stable connection, from 1."""

    connection: int
    attempt: int


@attrs.frozen(slots=True, kw_only=True)
class ConnectionDown(Event):
    """A WebSocket was lost or could not be opened; the next dial follows in `retry_in` seconds.

    `attempt` counts the failed dials since the last stable connection; 0 if that one was lost just now.
    """

    connection: int
    reason: str
    attempt: int
    retry_in: float


@attrs.frozen(slots=True, kw_only=True)
class ConnectionGivenUp(Event):
    """A connection will not be dialled again; its streams have ended with an error."""

    connection: int
    reason: str


@attrs.frozen(slots=True, kw_only=True)
class TopicBroken(Event):
    """A stream has a break: items may be missing until it is restored. `topic` is readable."""

    topic: str
    epoch: int
    reason: str


@attrs.frozen(slots=True, kw_only=True)
class TopicRestored(Event):
    """A stream goes on after a break; `repaired` tells whether nothing is missing."""

    topic: str
    epoch: int
    repaired: bool


@attrs.frozen(slots=True, kw_only=True)
class TopicStale(Event):
    """A stream had no item for `silent_for` seconds although its connection is alive."""

    topic: str
    silent_for: float


@attrs.frozen(slots=True, kw_only=True)
class TopicRefused(Event):
    """The exchange refused a subscription."""

    topic: str
    code: int | None
    message: str


@attrs.frozen(slots=True, kw_only=True)
class FrameIgnored(Event):
    """A frame could not be understood. `frame` is shortened."""

    connection: int
    problem: str
    frame: str


@attrs.frozen(slots=True, kw_only=True)
class FieldNotUnderstood(Event):
    """A carried field could not be read: it is None in its model, which keeps the raw value in `unread`.

    Comes once for each new shape, which is a field together with a kind of JSON value; how often each shape
    came is in ``statistics()``.

    Attributes:
      field: model and field, for example ``Order.timestamp``.
      problem: what was expected and what came.
    """

    field: str
    problem: str


@attrs.frozen(slots=True, kw_only=True)
class EntryNotUnderstood(Event):
    """An entry of a list lacks something needed; its consumer or caller got it as a ``NotUnderstood``.

    Attributes:
      source: the stream or the request that the entry belongs to.
      problem: what is wrong and where.
      entry: the raw entry as text, shortened.
    """

    source: str
    problem: str
    entry: str


@attrs.frozen(slots=True, kw_only=True)
class ServerMessage(Event):
    """The exchange sent an error that belongs to no subscription."""

    connection: int
    code: int | None
    message: str


@attrs.frozen(slots=True, kw_only=True)
class EventsMissed(Event):
    """Events were dropped here because they were not read in time; `time` is that of the last one."""
