"""Lists that are read page by page: cursors, de-duplication, the end. No HTTP: pages come from a callable."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, Self, TypeVar

import trio

from .._errors import IncompletePages
from ..models import Cursor, Order, Trade

__all__ = ["Pages"]

T = TypeVar("T", Trade, Order)


def _id(item: Trade | Order) -> str:
    return item.trade_id if isinstance(item, Trade) else item.order_id


class Pages(Generic[T]):
    """An asynchronous iterator over trades or orders that reads pages as it goes.

    Each item comes once, in the order the exchange lists them, however items share a time stamp across the
    borders of pages and whether or not a page repeats the item its cursor names. It ends when a page brings
    nothing new. Each page is a checkpoint; items of a page that is there come without one. A cancelled or
    failed read loses nothing: asking again goes on where it stopped. For one task at a time.

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
        self._known = frozenset(known)
        self._seen: set[str] = set() if after is None else {after.id}
        self._ready: deque[T] = deque()
        self._pages = 0
        self._over = False
        self._why: str | None = None
        self._busy = False

    @property
    def cursor(self) -> Cursor | None:
        """Where the next page begins; None at the very beginning."""
        return self._cursor

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
            self._take(page)
        return self._ready.popleft()

    def _take(self, page: Sequence[T]) -> None:
        """Keep what is new in `page` and decide how to go on."""
        self._pages += 1
        full = len(page) >= self._count
        fresh = [item for item in page if _id(item) not in self._seen]
        if not fresh:
            self._over = not full
            if full:
                self._why = (
                    f"a full page of {len(page)} brought nothing new, so the exchange does not advance"
                )
            return
        self._ready.extend({_id(item): item for item in fresh if _id(item) not in self._known}.values())
        self._seen.update(map(_id, fresh))
        if page[-1].timestamp is None:
            self._over = not full
            if full:
                self._why = f"{_id(page[-1])} has no time stamp to go on from"
            return
        self._cursor = Cursor.of(page[-1])
        if self._pages >= self._max_pages:
            self._why = f"it has more than Options.max_pages = {self._max_pages} pages"
