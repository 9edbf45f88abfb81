"""An order book that keeps itself: the book of a live depth stream, looked at in place.

Nothing is kept twice and no task runs: the stream maintains the book anyhow. How a book is kept is in
``streams._book``, how a stream heals in ``streams._topic``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from decimal import Context, Decimal
from fractions import Fraction
from functools import partial
from types import TracebackType
from typing import Self

import attrs
import trio

from ._errors import InvalidRequest
from ._latest import all_live, subscribe_latest
from ._runtime import Runtime
from .models import DepthChanges, DepthUpdate, Level, Market, Rounding, Side
from .streams import DepthBook, Mailbox, State, Topic, TopicKey
from .streams._book import ReadOnlyBook
from .wire import AnyUpdate, Kind

__all__ = ["VERIFY_INTERVAL", "VERIFY_READS", "BookDifference", "BookLevel", "BookReport", "OrderBook"]

VERIFY_READS = 5
"""How often :meth:`OrderBook.verify` reads at most."""
VERIFY_INTERVAL = 0.5
"""Seconds between two of its reads: time for the slower of both pipelines to catch up."""

_AVERAGE = Context(prec=28)
_EXACT = Context(prec=400)
"""Wide enough to halve any price."""


@attrs.frozen(slots=True)
class BookLevel:
    """One price level in whole units.

    Attributes:
      price: quote per base.
      quantity: size in whole base units.
    """

    price: Decimal
    quantity: Decimal


@attrs.frozen(slots=True)
class BookDifference:
    """A level on which the book and REST disagree. All numbers are chain units; size 0: no such level.

    Attributes:
      side: of the book.
      price: of the level.
      book: its size here.
      rest: its size in the answer.
    """

    side: Side
    price: int
    book: int
    rest: int


@attrs.frozen(slots=True, kw_only=True)
class BookReport:
    """What a comparison of the book with REST found.

    Attributes:
      differences: the levels that disagreed in every read, as the last read found them.
      reads: how many answers were compared.
      is_stale: whether the book was stale at the last one, so that differences prove nothing.
    """

    differences: tuple[BookDifference, ...]
    reads: int
    is_stale: bool

    @property
    def agrees(self) -> bool:
        """Whether a book that is not stale agreed with REST on every level."""
        return not self.differences and not self.is_stale


class OrderBook:
    """The bids and asks of one market, kept up to date, made by ``o2.order_book()``. Use ``async with``.

    Prices and quantities are :class:`~decimal.Decimal` in whole units, exact; :attr:`raw` has the integers.
    Between two ``await`` of yours nothing changes, so several looks fit together. While the connection is
    down or the book is fetched afresh, the last known book stays and :attr:`is_stale` says so.

    Looking at it never waits and never raises, except :exc:`InvalidRequest` before it is entered. A book
    that nobody looks at costs nothing beyond the stream itself.
    """

    def __init__(
        self, runtime: Runtime, market: str | Market, precision: int, *, turbo: bool = False
    ) -> None:
        self._rest = runtime.rest
        self._buffer_size = runtime.options.buffer_size
        self._precision = precision
        self._turbo = turbo
        self._market: list[Market] = []
        find = partial(_find, runtime, market, precision, self._market, turbo=turbo)
        self._subscription, self._topics = subscribe_latest(runtime, find)
        self._awaited = False
        self._closed = False

    async def __aenter__(self) -> Self:
        """Subscribe; return once the book is there.

        Raises, and behaves when cancelled, as entering a :class:`Subscription` does.
        """
        await self._subscription.__aenter__()
        # The book is new to its user: that it came is no change of it.
        with suppress(trio.WouldBlock):
            self._subscription.receive_nowait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the stream at once. What was seen last may stay visible, as stale."""
        self._closed = True
        self._subscription.close()

    async def aclose(self) -> None:
        """Do as :meth:`close`, then let other tasks run."""
        self.close()
        await trio.lowlevel.checkpoint()

    # -- its state ------------------------------------------------------------------------------

    @property
    def market(self) -> Market:
        """The market."""
        self._topic()
        return self._market[0]

    @property
    def raw(self) -> ReadOnlyBook:
        """The book in chain units. It follows the market; several readers share it and none can change it."""
        book = self._topic().book
        assert book is not None
        return book.read_only()

    @property
    def is_stale(self) -> bool:
        """Whether the book is not known to be the present one: no connection, resynchronising, or over."""
        return self._closed or not all_live(self._topics)

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid lies above the best ask, which grouping may cause; the spread is negative."""
        return self.raw.is_crossed

    @property
    def epoch(self) -> int:
        """How many breaks the stream had; each one ends with a fresh book."""
        return self._topic().epoch

    async def changed(self) -> None:
        """Return when something happened since the last call, or since entering: at once if it already has.

        That is a change of the book, or that it became stale or fresh. Several changes at once are one; none
        is ever missed. Cancellation loses nothing. For one task; another can have a book of its own, which
        costs no second subscription.

        Raises:
          trio.EndOfChannel: the client was closed.
          trio.ClosedResourceError: this book was closed.
          trio.BusyResourceError: another task is waiting.
          O2ConnectionLost, SubscriptionRejected: the stream is over; so says every further call.
        """
        self._topic()
        if self._awaited:
            raise trio.BusyResourceError("another task is waiting for this book to change")
        self._awaited = True
        try:
            await self._subscription.receive()
        finally:
            self._awaited = False

    # -- views ----------------------------------------------------------------------------------

    @property
    def best_bid(self) -> BookLevel | None:
        """The highest bid, or None."""
        return self._level(self.raw.best_bid)

    @property
    def best_ask(self) -> BookLevel | None:
        """The lowest ask, or None."""
        return self._level(self.raw.best_ask)

    @property
    def mid(self) -> Decimal | None:
        """Half way between best bid and best ask, exact; None if a side is empty."""
        return self._price(self.raw.mid, _EXACT)

    @property
    def spread(self) -> Decimal | None:
        """Best ask minus best bid; None if a side is empty."""
        return self._price(self.raw.spread, _EXACT)

    @property
    def bids(self) -> tuple[BookLevel, ...]:
        """All bids, best first."""
        return self.levels(Side.BUY)

    @property
    def asks(self) -> tuple[BookLevel, ...]:
        """All asks, best first."""
        return self.levels(Side.SELL)

    def levels(self, side: Side, count: int | None = None) -> tuple[BookLevel, ...]:
        """Return the best `count` levels (None: all) of the bids (``buy``) or asks (``sell``), best first."""
        price, quantity = self.market.price, self.market.quantity
        return tuple(
            BookLevel(price(level.price), quantity(level.quantity)) for level in self.raw.levels(side, count)
        )

    def volume_to(self, price: str | int | Decimal) -> Decimal:
        """Return what rests between the middle of the book and `price`, that included, in base units.

        Below the middle these are bids, above it asks.

        Raises:
          InvalidRequest: no price, negative, or a float.
        """
        market, raw = self.market, self.raw
        lowest = market.raw_price(price, Rounding.CEILING)
        highest = market.raw_price(price, Rounding.FLOOR)
        return market.quantity(raw.volume_to(Side.BUY, lowest) + raw.volume_to(Side.SELL, highest))

    def vwap(self, side: Side, quantity: str | int | Decimal) -> Decimal | None:
        """Return the average price, weighted by size, of the best `quantity` (base units) of one side.

        Ask for ``sell`` to learn what buying would cost. The average is rounded to 28 digits;
        ``book.raw.vwap`` is exact. None if the side does not hold so much.

        Raises:
          InvalidRequest: no quantity above zero, a float, or finer than a chain unit.
        """
        return self._price(self.raw.vwap(side, self.market.raw_quantity(quantity)), _AVERAGE)

    # -- verification ---------------------------------------------------------------------------

    async def verify(self) -> BookReport:
        """Compare the book with what REST says, level by level.

        The two come by different ways and have no common clock. So a level counts as different only if in
        each of up to ``VERIFY_READS`` reads, ``VERIFY_INTERVAL`` seconds apart, REST gave a size that the
        book has not had since the comparison began; reading stops when none is left. Changes nothing. May
        be cancelled.

        Raises:
          ApiError, RequestFailed, DecodeError: REST could not be read.
        """
        market, book = self.market, self.raw
        suspects: set[tuple[Side, int]] | None = None
        reads = 0
        with _recorded(self._topic(), self._buffer_size) as had:
            while True:
                answer = await self._rest.depth(market, self._precision, turbo=self._turbo)
                reads += 1
                found = tuple(
                    entry
                    for entry in _differences(book, answer.changes)
                    if not had(entry.side, entry.price, entry.rest)
                    and (suspects is None or (entry.side, entry.price) in suspects)
                )
                if reads == VERIFY_READS or not (found or self.is_stale):
                    return BookReport(differences=found, reads=reads, is_stale=self.is_stale)
                suspects = None if self.is_stale else {(entry.side, entry.price) for entry in found}
                await trio.sleep(VERIFY_INTERVAL)

    # -- inside ---------------------------------------------------------------------------------

    def _topic(self) -> Topic:
        if not self._topics:
            raise InvalidRequest("the book is not there yet: enter it first, with 'async with'")
        return self._topics[0]

    def _price(self, value: Fraction | int | None, context: Context) -> Decimal | None:
        if value is None:
            return None
        return context.divide(self.market.price(value.numerator), value.denominator)

    def _level(self, level: Level | None) -> BookLevel | None:
        if level is None:
            return None
        return BookLevel(self.market.price(level.price), self.market.quantity(level.quantity))


async def _find(
    runtime: Runtime, name: str | Market, precision: int, found: list[Market], *, turbo: bool
) -> list[TopicKey]:
    """Find the market, keep it in `found`, and return the topic of its depth."""
    market = name if isinstance(name, Market) else await runtime.market(name, turbo=turbo)
    found[:] = [market]
    return [TopicKey(Kind.DEPTH, market.market_id, precision, turbo=turbo)]


def _differences(book: ReadOnlyBook, answer: DepthChanges) -> Iterator[BookDifference]:
    """Yield where the two differ, bids first, best level first."""
    for side, ours, theirs in ((Side.BUY, book.bids, answer.bids), (Side.SELL, book.asks, answer.asks)):
        here, there = ({level.price: level.quantity for level in levels} for levels in (ours, theirs))
        for price in sorted(here.keys() | there.keys(), reverse=side is Side.BUY):
            if here.get(price) != there.get(price):
                yield BookDifference(side, price, here.get(price, 0), there.get(price, 0))


@contextmanager
def _recorded(topic: Topic, buffer_size: int) -> Generator[Callable[[Side, int, int], bool]]:
    """Listen to `topic`; give a function that tells whether a level of its book had a size since then."""
    mailbox: Mailbox[AnyUpdate] = Mailbox(buffer_size)
    book = DepthBook()
    sizes: dict[tuple[Side, int], set[int]] = {}

    def had(side: Side, price: int, size: int) -> bool:
        while mailbox.ready:
            update = mailbox.pop()
            assert isinstance(update, DepthUpdate)
            sides = ((Side.BUY, update.changes.bids), (Side.SELL, update.changes.asks))
            levels = [(at, level.price) for at, told in sides for level in told]
            for key in levels:
                # What a snapshot replaces is not known to have been true.
                sizes.setdefault(key, set() if update.is_snapshot else {book.size(*key)})
            book.apply(update)
            for key in levels:
                sizes[key].add(book.size(*key))
        return size in sizes.get((side, price), ())

    if topic.state is not State.CLOSED:
        topic.join(mailbox)
    try:
        yield had
    finally:
        topic.leave(mailbox)
