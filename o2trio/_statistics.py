"""What a client holds at a moment, counted."""

from __future__ import annotations

import attrs

from .streams import Hub, State

__all__ = ["ClientStatistics", "TopicStatistics", "statistics_of"]


@attrs.frozen(slots=True, kw_only=True)
class TopicStatistics:
    """One server subscription: what it is, where it stands, how many consumers, items and breaks it had."""

    topic: str
    connection: int
    state: State
    consumers: int
    items: int
    breaks: int


@attrs.frozen(slots=True, kw_only=True)
class ClientStatistics:
    """What a client holds at this moment, and what it has received so far.

    Attributes:
      connections: numbers of its WebSockets, with whether each is up.
      frames: messages received since the client was opened, by connections that are gone, too.
      unrouted: data frames among them that no stream was there for.
      topics: its server subscriptions.
    """

    connections: dict[int, bool]
    frames: int
    unrouted: int
    topics: tuple[TopicStatistics, ...]


def statistics_of(hub: Hub) -> ClientStatistics:
    """Count what `hub` holds."""
    return ClientStatistics(
        connections={port.number: port.online for port in hub.ports},
        frames=hub.frames + sum(port.frames for port in hub.ports),
        unrouted=hub.unrouted + sum(port.unrouted for port in hub.ports),
        topics=tuple(
            TopicStatistics(
                topic=str(topic.key),
                connection=topic.port.number,
                state=topic.state,
                consumers=len(topic.audience.everybody),
                items=topic.items,
                breaks=topic.epoch,
            )
            for topic in hub.topics
        ),
    )
