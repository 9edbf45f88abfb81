"""What a client received and could not understand: events and counts. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ..models import NotUnderstood
from ..wire import OddField
from ._events import EntryNotUnderstood, Event, FieldNotUnderstood

__all__ = ["MAX_SHAPES", "OTHER_SHAPES", "Oddities"]

_log = logging.getLogger("o2trio.streams")

MAX_SHAPES = 256
"""Shapes of fields, and problems of entries, that are distinguished; all further ones count as one."""

OTHER_SHAPES = "other shapes"
"""What counts for all shapes beyond ``MAX_SHAPES``."""

_SHORT = 200
"""Characters of an entry that an event keeps."""


class Oddities:
    """Counts and reports for one client; streams and REST reads feed it.

    Attributes:
      fields: how often each shape of a carried field that could not be read came.
      entries: how many entries were not understood.
    """

    def __init__(self, emit: Callable[[Event], None], now: Callable[[], float]) -> None:
        self.fields: dict[str, int] = {}
        self.entries = 0
        self._emit = emit
        self._now = now
        self._problems: dict[str, int] = {}

    def note_fields(self, fields: Iterable[OddField]) -> None:
        """Count carried fields that could not be read; report each shape when it comes first."""
        for field in fields:
            if _count(self.fields, field.shape) == 1:
                _log.warning("%s could not be read: %s", field.field, field.problem)
                self._emit(FieldNotUnderstood(time=self._now(), field=field.field, problem=field.problem))

    def note_entries(self, source: str, entries: Iterable[NotUnderstood]) -> None:
        """Count and report entries that were not understood.

        Args:
          source: the stream or the request that they belong to.
          entries: in the order in which they came.
        """
        for entry in entries:
            self.entries += 1
            count = _count(self._problems, entry.problem)
            if str(count).strip("0") == "1":
                _log.warning("%s: an entry was not understood (number %d): %s", source, count, entry.problem)
            self._emit(
                EntryNotUnderstood(
                    time=self._now(), source=source, problem=entry.problem, entry=f"{entry.raw!r:.{_SHORT}}"
                )
            )


def _count(counts: dict[str, int], shape: str) -> int:
    """Count one more of `shape`; return how many came so far."""
    known = shape if shape in counts or len(counts) < MAX_SHAPES else OTHER_SHAPES
    counts[known] = counts.get(known, 0) + 1
    return counts[known]
