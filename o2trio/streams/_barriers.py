"""The heartbeats of one WebSocket as barriers: an answer to one says that everything before it was read."""

from __future__ import annotations

__all__ = ["Barriers"]


class Barriers:
    """Counts heartbeats and their answers; each answer belongs to the oldest heartbeat without one.

    Attributes:
      queued: the number of the last heartbeat that was made, from 1.
      written: the number of the last one that was handed to the writer.
      answered: the number of the last one that was answered.
      assumed: how many of the answers were assumed, without a PONG; theirs may still come.
      is_due: whether a request was queued that no heartbeat follows yet.
    """

    __slots__ = ("answered", "assumed", "is_due", "queued", "written")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again for a new WebSocket."""
        self.queued = self.written = self.answered = self.assumed = 0
        self.is_due = False

    def make(self) -> int:
        """Count a heartbeat that is queued or about to be written; return its number."""
        self.queued += 1
        self.is_due = False
        return self.queued

    @property
    def outstanding(self) -> int:
        """How many heartbeats the server has yet to answer."""
        return self.written - self.answered
