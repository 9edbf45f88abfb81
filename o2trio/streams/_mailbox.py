"""One consumer's bounded buffer, and what happens when it is full.

The buffer never blocks its producer. When it is full, the kind of stream decides (design, section 6):
a depth backlog becomes one snapshot of the current book, made when it is asked for; views, nonces,
balances and orders keep the latest of each thing; trades that are missed are read over REST when the
consumer has room again; events end in a gap mark, behind which nothing is kept until it is read.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import trio

from .._errors import ConsumerTooSlow
from ..models import Origin, Update
from ..wire import AnyUpdate
from ._topics import Behaviour, EntryKey

__all__ = ["Mailbox", "Source", "conflate"]

T = TypeVar("T")


class Lag(Protocol[T]):
    """Keeps the live items of a mailbox that older ones are still read for."""

    def hold(self, item: T) -> None:
        """Keep a live item."""
        ...

    def abandon(self) -> list[T]:
        """Return what to deliver if nothing more can be read."""
        ...


class Source(Protocol[T]):
    """What a mailbox asks of the stream that fills it."""

    @property
    def has_state(self) -> bool:
        """Whether a backlog may be replaced by the :meth:`current` state."""
        ...

    def current(self) -> T:
        """Return the whole state as one snapshot."""
        ...

    def gap(self, since: float) -> T:
        """Return the empty item that marks a gap from `since` until now."""
        ...

    def lag(self, mailbox: Mailbox[T], items: list[T]) -> Lag[T] | None:
        """Begin to read what `mailbox` misses after `items`, or return None if that cannot be done."""
        ...

    def conflated(self, items: list[T]) -> list[T] | None:
        """Return fewer items that end in the same state, or None if every item matters."""
        ...


# A member of an enumeration takes longer to find than a global.
_LIVE = Origin.LIVE


def conflate(behaviour: Behaviour, items: list[AnyUpdate], limit: int) -> list[AnyUpdate] | None:
    """Return updates that say the latest of each thing in `items`, in the order of its last change.

    The last gap mark stays where it is: nothing from before it is told after it. On either side come first
    the snapshots, as each may be about other things than the next, then what changed since; in each of
    these groups a thing is told once. None if the kind cannot be conflated or more than `limit` entries of
    one group would be left.
    """
    gaps = [index for index, item in enumerate(items) if item.origin is Origin.GAP]
    cut = gaps[-1] if gaps else len(items)
    result: list[AnyUpdate] = []
    for part, mark in ((items[:cut], items[cut : cut + 1]), (items[cut + 1 :], [])):
        snapshots = [item for item in part if item.origin is Origin.SNAPSHOT]
        changes = [item for item in part if item.origin not in (Origin.SNAPSHOT, Origin.GAP)]
        for told in (snapshots, changes):
            fewer = _latest(behaviour, told, limit)
            if fewer is None:
                return None
            result += fewer
        result += mark if snapshots or changes else part[-1:] + mark
    return result


def _latest(behaviour: Behaviour, items: list[AnyUpdate], limit: int) -> list[AnyUpdate] | None:
    """Return updates that say the latest of each thing in `items`; None if that is not possible."""
    if behaviour.entries is None or behaviour.join is None:
        return None
    latest: dict[EntryKey, object] = {}
    for item in items:
        for key, entry in behaviour.entries(item):
            latest.pop(key, None)
            latest[key] = entry
    if len(latest) > limit:
        return None
    # A snapshot may well say that there is nothing.
    return behaviour.join(items[-1], list(latest.values())) if latest else items[-1:]


class Mailbox(Generic[T]):
    """A bounded buffer with one producer side and any number of receiving tasks.

    Attributes:
      opened: set when every topic behind it has its request on the wire and its first snapshot, or
        when it has ended.
      lag: keeps live items while older ones are read, or None.
      is_shared: whether several topics are behind it.
      room: set while the buffer is at most half full; watched by who reads older items.
      delivered, conflated, backfilled, gaps: counters for statistics.
      last_item_time: when the last item was put in, on the Trio clock.
    """

    __slots__ = (
        "_behind",
        "_buffer",
        "_capacity",
        "_error",
        "_gapped",
        "_half",
        "_mark",
        "_strict",
        "arrived",
        "backfilled",
        "conflated",
        "delivered",
        "ended",
        "gaps",
        "is_shared",
        "lag",
        "last_item_time",
        "opened",
        "pending",
        "room",
    )

    def __init__(self, capacity: int, *, strict: bool = False) -> None:
        self._buffer: deque[T] = deque()
        self._capacity = capacity
        self._half = capacity // 2
        self._strict = strict
        self._behind: Source[T] | None = None
        self._mark: T | None = None
        self._gapped: tuple[Source[T], float] | None = None
        self._error: Callable[[], Exception] | None = None
        self.lag: Lag[T] | None = None
        self.ended = False
        self.is_shared = False
        self.arrived = trio.lowlevel.ParkingLot()
        self.room = trio.Event()
        self.opened = trio.Event()
        self.pending = 0
        self.delivered = self.conflated = self.backfilled = self.gaps = 0
        self.last_item_time: float | None = None

    def __len__(self) -> int:
        return len(self._buffer) + (self._behind is not None)

    @property
    def ready(self) -> bool:
        """Whether :meth:`pop` has an item."""
        return bool(self._buffer) or self._behind is not None

    # -- the producer's side --------------------------------------------------------------------

    def push(self, item: T, source: Source[T], now: float) -> bool:
        """Add `item`; if there is no room, apply the overflow rule of `source`.

        Returns:
          whether the buffer is filling up, more than half full: the consumer should have its turn soon.
        """
        if self.ended:
            return False
        self.last_item_time = now
        if self.lag is not None:
            self.lag.hold(item)
            return False
        if self._mark is not None:
            self.conflated += 1
            return False
        if self._behind is not None:
            if not (isinstance(item, Update) and item.origin is Origin.SNAPSHOT):
                self.conflated += 1
                return False
            self._behind = None
        if len(self._buffer) < self._capacity:
            self._buffer.append(item)
        else:
            self._overflow(item, source, now)
        if self.arrived:
            self.arrived.unpark()
        return len(self._buffer) > self._half

    def push_all(self, items: list[T], source: Source[T], now: float) -> bool:
        """Add one or more items as :meth:`push` does."""
        buffer = self._buffer
        if self.is_plain and len(buffer) + len(items) <= self._capacity:
            self.last_item_time = now
            buffer += items
            if self.arrived:
                self.arrived.unpark(count=len(items))
            return len(buffer) > self._half
        crowded = False
        for item in items:
            crowded = self.push(item, source, now)
        return crowded

    @property
    def is_plain(self) -> bool:
        """Whether what comes just goes into the buffer, if there is room."""
        return not self.ended and self.lag is None and self._mark is None and self._behind is None

    @property
    def slack(self) -> int:
        """How many items may be added before the consumer should have its turn; if 1 or less, one.

        0 if several topics are behind it: each item must come at once, or they would change places.
        """
        if self.is_shared:
            return 0
        return self._half - len(self._buffer) + 1 if self.is_plain else sys.maxsize

    def _overflow(self, item: T, source: Source[T], now: float) -> None:
        if self._strict:
            self.end(lambda: ConsumerTooSlow(f"more than {self._capacity} items were left unread"))
            return
        if source.has_state:
            self.conflated += len(self._buffer) + 1
            self._buffer.clear()
            self._behind = source
            return
        fewer = source.conflated([*self._buffer, item])
        if fewer is not None and len(fewer) < self._capacity:
            self.conflated += len(self._buffer) + 1 - len(fewer)
            self._buffer = deque(fewer)
            return
        self.lag = source.lag(self, list(self._buffer))
        if self.lag is not None:
            self.room = trio.Event()
            self.lag.hold(item)
            return
        self.conflated += 1
        self._mark = source.gap(now)
        self._gapped = (source, now)
        self._buffer.append(self._mark)

    def give(self, items: list[T]) -> None:
        """Add items that were read, whatever the room."""
        if self.ended:
            return
        self._buffer.extend(items)
        self.arrived.unpark(count=len(items))
        if self.lag is not None and len(self._buffer) > self._half:
            self.room = trio.Event()

    def burst(self, items: list[T], source: Source[T], now: float) -> None:
        """Add items that come in one moment: no fault of a consumer that has read all before."""
        if self.is_plain and len(self._buffer) <= self._half:
            self.last_item_time = now
            self.give(items)
        else:
            self.push_all(items, source, now)

    def caught_up(self, items: list[T]) -> None:
        """Add the last items that were waited for; live ones follow directly from now on."""
        self.lag = None
        self.give(items)

    def settle(self) -> None:
        """Put the snapshot that a backlog became into the buffer now, while it is still true."""
        if self._behind is not None:
            self._buffer.append(self._behind.current())
            self._behind = None
            self.arrived.unpark()
        if self.lag is not None and self.ended:
            self._buffer.extend(self.lag.abandon())
            self.lag = None
            self.room.set()

    def opened_one(self) -> None:
        """Count one topic as open; with the last one the consumer may go on."""
        self.pending -= 1
        if not self.pending:
            self.opened.set()

    def end(self, error: Callable[[], Exception] | None = None) -> None:
        """Let receivers have what is buffered, then the end of the stream, or `error()` if given."""
        if not self.ended:
            self.ended = True
            self.settle()
            self._error = error
            self.opened.set()
            self.arrived.unpark_all()

    # -- the consumer's side --------------------------------------------------------------------

    def pop(self) -> T:
        """Return the next item. Only if :attr:`ready`."""
        if self._buffer:
            item = self._buffer.popleft()
            if item is self._mark and self._gapped is not None:
                # Made anew, because items were left out until this moment.
                source, since = self._gapped
                item, self._mark, self._gapped = source.gap(since), None, None
            if self.lag is not None and len(self._buffer) <= self._half:
                self.room.set()
        else:
            assert self._behind is not None
            item = self._behind.current()
            self._behind = None
        self.delivered += 1
        if isinstance(item, Update) and item.origin is not _LIVE:
            self.backfilled += item.origin is Origin.BACKFILL
            self.gaps += item.origin is Origin.GAP
        return item

    def pop_all(self) -> list[T]:
        """Return all items that are there."""
        items: list[T] = []
        if self.lag is None and self._mark is None:
            items += self._buffer
            self._buffer.clear()
            self.delivered += len(items)
            told = [item.origin for item in items if isinstance(item, Update)]
            self.backfilled += told.count(Origin.BACKFILL)
            self.gaps += told.count(Origin.GAP)
        while self.ready:
            items.append(self.pop())
        return items

    @property
    def next_is_gap(self) -> bool:
        """Whether :meth:`pop` will return a gap mark."""
        item = self._buffer[0] if self._buffer else None
        return isinstance(item, Update) and item.origin is Origin.GAP

    def failure(self) -> Exception:
        """Return what a receiver gets once the buffer is empty and the mailbox has ended."""
        return trio.EndOfChannel() if self._error is None else self._error()

    @property
    def failed(self) -> bool:
        """Whether the stream ended with an error."""
        return self._error is not None

    def clear(self) -> None:
        """Forget what is buffered."""
        self._buffer.clear()
        self._behind = self._mark = self._gapped = self.lag = None
        self.room.set()

    def reset(self) -> None:
        """Make ready for another try at opening, whatever came of the last one."""
        self.clear()
        self.pending = 0
        self.ended = False
        self._error = None
        self.opened = trio.Event()
