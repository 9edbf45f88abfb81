"""The life-cycle events of a client, handed to whoever listens."""

from __future__ import annotations

from ._events import Event, EventsMissed
from ._mailbox import Mailbox

__all__ = ["EventFeed"]


class EventFeed:
    """Hands each event to every listener; a listener that is too slow finds an ``EventsMissed``."""

    has_state = False

    def __init__(self) -> None:
        self.listeners: list[Mailbox[Event]] = []
        self._now = 0.0

    def emit(self, event: Event) -> None:
        """Hand `event` out."""
        self._now = event.time
        for mailbox in self.listeners:
            mailbox.push(event, self, event.time)

    def current(self) -> Event:
        """Return the mark of a gap: events have no state to catch up with."""
        return self.gap(self._now)

    def gap(self, since: float) -> Event:
        """Return the mark of a gap."""
        return EventsMissed(time=self._now)

    def lag(self, mailbox: Mailbox[Event], items: list[Event]) -> None:
        """Return None: events are told once."""

    def conflated(self, items: list[Event]) -> None:
        """Return None: every event matters."""

    def close(self) -> None:
        """End all listeners in good order."""
        for mailbox in self.listeners:
            mailbox.end()
