"""What a client holds at a moment, counted."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .streams import Hub, Oddities, State

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
      unrouted: messages among them that no stream was there for, and answers to no heartbeat.
      topics: its server subscriptions.
      fields_not_understood: how often each shape of a field came that could not be read, in streams and REST
        answers; a shape is a field together with a kind of JSON value. Beyond 256 shapes the rest counts as
        one.
      entries_not_understood: entries of messages and answers that were not understood.
    """

    connections: dict[int, bool]
    frames: int
    unrouted: int
    topics: tuple[TopicStatistics, ...]
    fields_not_understood: Mapping[str, int] = attrs.field(factory=dict[str, int])
    entries_not_understood: int = 0


def statistics_of(hub: Hub, oddities: Oddities) -> ClientStatistics:
    """Count what `hub` holds, and what came that was not understood."""
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
        fields_not_understood=dict(oddities.fields),
        entries_not_understood=oddities.entries,
    )
