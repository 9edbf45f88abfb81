"""Lists that are read page by page: cursors, de-duplication, the end. No HTTP: pages come from a callable.

A row that could not be read still counts: a page with one is as full as without, its id is remembered, and if
it is the last of its page and its place is readable, the next page begins after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, Self, TypeVar, cast

import trio

from .._errors import IncompletePages
from ..models import Cursor, NotUnderstood, Order, Rows, Trade, trade_key

__all__ = ["MAX_NOT_UNDERSTOOD", "Pages"]

T = TypeVar("T", Trade, Order)

MAX_NOT_UNDERSTOOD = 1000
"""Rows that could not be read and are kept; more are only counted."""


class Pages(Generic[T]):
    """An asynchronous iterator over trades or orders that reads pages as it goes.

    Each item comes once, in the order the exchange lists them, however items share a time stamp across the
    borders of pages and whether or not a page repeats the item its cursor names. It ends when a page brings
    nothing new. Each page is a checkpoint; items of a page that is there come without one. A cancelled or
    failed read loses nothing: asking again goes on where it stopped. For one task at a time.

    A row that cannot be read does not affect the others; :attr:`not_understood` has it once its page is read.

    Raises:
      IncompletePages: the end was not reached; all items read so far have come before.
    """

    def __init__(
        self,
        fetch: Callable[[Cursor | None], Awaitable[Sequence[T]]],
        *,
        what: str,
        count: int,
        max_pages: int,
        after: Cursor | None = None,
        known: Iterable[str] = (),
    ) -> None:
        self._fetch: Callable[[Cursor | None], Awaitable[Sequence[T]]] = fetch
        self._what = what
        self._count = count
        self._max_pages = max_pages
        self._cursor = after
        self._known = frozenset(map(trade_key, known))
        self._seen: set[str] = set() if after is None else {trade_key(after.id)}
        self._ready: deque[T] = deque()
        self._not_understood: list[NotUnderstood] = []
        self._unreadable = 0
        self._pages = 0
        self._over = False
        self._why: str | None = None
        self._busy = False

    @property
    def cursor(self) -> Cursor | None:
        """Where the next page begins; None at the very beginning."""
        return self._cursor

    @property
    def not_understood(self) -> tuple[NotUnderstood, ...]:
        """The rows so far that could not be read, each once; the first ``MAX_NOT_UNDERSTOOD`` of them.

        Their ``index`` is the position in their page.
        """
        return tuple(self._not_understood)

    @property
    def not_understood_count(self) -> int:
        """How many rows so far could not be read."""
        return self._unreadable

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._busy:
            raise trio.BusyResourceError("another task is waiting for the next page")
        while not self._ready:
            if self._why is not None:
                raise IncompletePages(f"{self._what} could not be read to the end: {self._why}", self._cursor)
            if self._over:
                await trio.lowlevel.checkpoint()
                raise StopAsyncIteration
            self._busy = True
            try:
                page = await self._fetch(self._cursor)
            finally:
                self._busy = False
            self._take(list(_in_order(page)))
        return self._ready.popleft()

    def _take(self, page: list[T | NotUnderstood]) -> None:
        """Keep what is new in `page` and decide how to go on."""
        self._pages += 1
        full = len(page) >= self._count
        fresh = {key: row for row in page if (key := _key(row)) not in self._seen}
        if not fresh:
            why = f"a full page of {len(page)} brought nothing new, so the exchange does not advance"
            self._stop(full, why)
            return
        self._seen.update(fresh)
        for key, row in fresh.items():
            if isinstance(row, NotUnderstood):
                self._unreadable += 1
                if len(self._not_understood) < MAX_NOT_UNDERSTOOD:
                    self._not_understood.append(row)
            elif key not in self._known:
                self._ready.append(row)
        cursor = next((place for row in reversed(page) if (place := _place(row)) is not None), None)
        if cursor is None:
            self._stop(full, f"{_name(page[-1])} has no time stamp to go on from")
            return
        self._cursor = cursor
        if self._pages >= self._max_pages:
            self._why = f"it has more than Options.max_pages = {self._max_pages} pages"

    def _stop(self, full: bool, why: str) -> None:
        """End here: a page that is not full was the last one, a full one cannot be followed by another."""
        self._over, self._why = not full, why if full else None


# -- rows, readable or not -------------------------------------------------------------------------


def _in_order(page: Sequence[T]) -> Iterator[T | NotUnderstood]:
    """Yield the rows of a page as the exchange lists them, also those that could not be read."""
    failed = {row.index: row for row in page.not_understood} if isinstance(page, Rows) else {}
    readable = iter(page)
    for index in range(len(page) + len(failed)):
        yield failed[index] if index in failed else next(readable)


def _id(row: Trade | Order | NotUnderstood) -> str | None:
    if isinstance(row, Trade):
        return row.trade_id
    if isinstance(row, Order):
        return row.order_id
    return row.ids.get("trade_id") or row.ids.get("order_id")


def _key(row: Trade | Order | NotUnderstood) -> str:
    """Return what is equal for two copies of one row; a row without an id is known by its content."""
    name = _id(row)
    return repr(cast("NotUnderstood", row).raw) if name is None else trade_key(name)


def _name(row: Trade | Order | NotUnderstood) -> str:
    return _id(row) or "a row without an id"


def _place(row: Trade | Order | NotUnderstood) -> Cursor | None:
    """Return the place after a row; None if its time or its id is missing."""
    name = _id(row)
    time = _raw_time(row.raw) if isinstance(row, NotUnderstood) else row.timestamp
    return None if name is None or time is None else Cursor(time, name)


def _raw_time(raw: object) -> int | None:
    """Return the time stamp of a row that could not be read, as sent."""
    time = cast("Mapping[str, object]", raw).get("timestamp") if isinstance(raw, Mapping) else None
    if isinstance(time, str) and time.isascii() and time.isdecimal() and len(time) <= _DIGITS:
        return int(time)
    return time if isinstance(time, int) and not isinstance(time, bool) and time >= 0 else None


_DIGITS = 39
"""Digits of the greatest time stamp; 2**128 has as many."""
