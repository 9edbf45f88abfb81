"""The orders of an account, kept true: from their stream, and over REST where that has a gap.

It knows no client: the stream and the two reads are given. What is known of one order is in ``_orders``.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from weakref import WeakValueDictionary

import attrs
import trio

from .._api_errors import OrderNotFound
from .._errors import O2ConnectionLost, O2Error
from .._network import Options
from .._nursery import BareNursery
from ..models import Id, Market, Markets, Order, OrderUpdate, Origin
from ..rest._arguments import check_id
from ..transport import backoff_delays
from ._orders import SessionOrder

__all__ = ["CLOSED_KEPT", "OrderTracker", "OrderTrackerStatistics"]

_log = logging.getLogger("o2trio")

CLOSED_KEPT = 4096
"""Closed orders that a tracker remembers, latest closed ones. Many more than close within the time by which
REST lags behind, so that an old answer never makes one of them look open again."""


@attrs.frozen(slots=True, kw_only=True)
class OrderTrackerStatistics:
    """What a tracker holds and has seen.

    Attributes:
      open: orders that may still trade.
      closed: closed orders that it remembers.
      absorbed: states it was told.
      redundant: those among them that told nothing new.
      gaps: gaps of the stream, and its updates with an entry that was not understood.
      failures: readings over REST after a gap that failed.
    """

    open: int
    closed: int
    absorbed: int
    redundant: int
    gaps: int
    failures: int


class OrderTracker:
    """The account's orders: ``session.orders``. Iterating over it gives the open ones, oldest first.

    It knows every order of the account, whoever placed it, and the ``CLOSED_KEPT`` that were closed last.
    Looking at it never waits, and between two ``await`` of yours nothing changes.

    Args:
      markets: every market of the exchange.
      read_order: reads one order by the ids of its market and its own; raises :exc:`OrderNotFound`.
      read_open: reads all open orders of the account.
      options: backoff and ``indexer_lag``.
      on_order: is shown every state before it is taken in.
    """

    def __init__(
        self,
        markets: Markets,
        read_order: Callable[[Id, Id], Awaitable[Order]],
        read_open: Callable[[], Awaitable[Iterable[Order]]],
        options: Options,
        on_order: Callable[[Order], None] = lambda _order: None,
    ) -> None:
        self._on_order = on_order
        self._markets = markets
        self._by_id = {market.market_id: market for market in markets}
        self._read_order = read_order
        self._read_open = read_open
        self._options = options
        self._all: WeakValueDictionary[Id, SessionOrder] = WeakValueDictionary()
        self._open: dict[Id, SessionOrder] = {}
        self._closed: dict[Id, SessionOrder] = {}
        self._ended = False
        self._error: Exception | None = None
        self._begun = False
        self._gap = trio.Event()
        self._gaps = self._mended = 0
        self._version = self._seen = 0
        self._awaited = False
        self._news = trio.lowlevel.ParkingLot()
        self._absorbed = self._redundant = self._failures = 0

    # -- its state ------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[SessionOrder]:
        return iter(self.open())

    def __len__(self) -> int:
        """How many orders are open."""
        return len(self._open)

    def __contains__(self, order: object) -> bool:
        """Whether this order, or the order with this id, is open."""
        known = order if isinstance(order, SessionOrder) else self.get(str(order))
        return known is not None and known.is_open

    def __getitem__(self, order_id: str) -> SessionOrder:
        """Return the order with this id, as :meth:`get`, or raise ``KeyError``."""
        return self._all[check_id(order_id, "an order id")]

    def get(self, order_id: str) -> SessionOrder | None:
        """Return the order with this id, open or closed, or None if it is not known, or no longer.

        Raises:
          InvalidRequest: this is no id.
        """
        return self._all.get(check_id(order_id, "an order id"))

    def open(self, market: str | Market | None = None) -> tuple[SessionOrder, ...]:
        """Return the open orders of `market` (None: of all), those heard of first in front.

        Raises:
          UnknownMarket: there is no such market.
        """
        if market is None:
            return tuple(self._open.values())
        wanted = (market if isinstance(market, Market) else self._markets.find(market)).market_id
        return tuple(order for order in self._open.values() if order.order.market_id == wanted)

    @property
    def is_stale(self) -> bool:
        """Whether the orders are not known to be the present ones.

        So it is before the stream's first snapshot, from a gap until REST has shown what was missed, and once
        the stream is over. An entry of the stream that was not understood counts as a gap, since it may be
        about an order of the account. Not while the stream repairs a break on its own.
        """
        return self._ended or not self._begun or self._mended < self._gaps

    def statistics(self) -> OrderTrackerStatistics:
        """Return counters of what the tracker holds and has seen."""
        return OrderTrackerStatistics(
            open=len(self._open),
            closed=len(self._closed),
            absorbed=self._absorbed,
            redundant=self._redundant,
            gaps=self._gaps,
            failures=self._failures,
        )

    async def changed(self) -> None:
        """Return when something happened since the last call, or since the beginning: at once if it has.

        That is news of any order, or of :attr:`is_stale` while the stream goes on. Several changes at once
        are one; none is ever missed. Cancellation loses nothing. For one task.

        Raises:
          trio.BusyResourceError: another task is waiting.
          O2ConnectionLost, trio.ClosedResourceError: as :meth:`SessionOrder.closed`.
        """
        if self._awaited:
            raise trio.BusyResourceError("another task is waiting for the orders to change")
        self._awaited = True
        try:
            await trio.lowlevel.checkpoint()
            while self._seen == self._version:
                failure = self._failure()
                if failure is not None:
                    raise failure
                await self._news.park()
            self._seen = self._version
        finally:
            self._awaited = False

    # -- learning -------------------------------------------------------------------------------

    def absorb(self, order: Order) -> SessionOrder:
        """Take in a state of an order, from wherever it comes, and return the order.

        States may come late, repeatedly and in any sequence: an order that is closed stays closed, and fills
        only grow.
        """
        self._absorbed += 1
        self._on_order(order)
        order_id = order.order_id
        known = self._all.get(order_id)
        if known is None:
            known = SessionOrder(order, self._by_id, self._failure, trio.current_time())
            self._all[order_id] = known
        elif not known._absorb(order):
            self._redundant += 1
            return known
        if known.is_open:
            self._open[order_id] = known
        else:
            self._open.pop(order_id, None)
            self._closed[order_id] = known
            if len(self._closed) > CLOSED_KEPT:
                del self._closed[next(iter(self._closed))]
        self._tell()
        return known

    async def refresh(self) -> None:
        """Read over REST which orders are open, and what became of those that were believed so.

        REST lags behind (``Options.indexer_lag``); an old answer harms nothing, but is no news either. If
        cancelled or failed, what was read until then is kept. An order that cannot be read does not keep the
        others from being read; the first such error is raised at the end.

        Raises:
          OrderNotFound: REST does not know an order that is no longer new.
          ApiError, RequestFailed, DecodeError: the list, or an order, could not be read.
        """
        believed = self.open()
        began = trio.current_time()
        listed = {self.absorb(order).order_id for order in await self._read_open()}
        failure: O2Error | None = None
        for known in believed:
            if known.is_open and known.order_id not in listed:
                try:
                    self.absorb(await self._read(known.order))
                except OrderNotFound as error:
                    # The newest may not have reached REST yet.
                    if known.since + self._options.indexer_lag <= began:
                        failure = failure or error
                except O2Error as error:
                    failure = failure or error
        if failure is not None:
            raise failure

    async def run(self, updates: AsyncIterable[OrderUpdate]) -> None:
        """Follow the stream of the account's orders, made with ``seed=True``, until it is over. Run it once.

        Where the stream has a gap, :meth:`refresh` is tried, with backoff, until it succeeds; the stream is
        followed meanwhile. Returns when the stream is over: an error that ended it is raised by those who
        wait for orders, not here. If cancelled, every wait ends, too.
        """
        try:
            async with BareNursery() as nursery:
                nursery.start_soon(self._mend)
                async for update in updates:
                    self._take(update)
        except O2Error as error:
            self._error = error
            _log.error("the orders are no longer followed: %s", error)
        except trio.ClosedResourceError as closed:
            _log.debug("the orders are no longer followed: %s", closed)
        finally:
            self._ended = True
            self._news.unpark_all()
            for order in list(self._all.values()):
                order._wake()

    # -- inside ---------------------------------------------------------------------------------

    def _take(self, update: OrderUpdate) -> None:
        named = {self.absorb(order).order_id for order in update.orders}
        # A snapshot names the open orders: one that was placed and closed before it is not among them.
        is_missing = update.origin is Origin.SNAPSHOT and self._open.keys() - named
        if update.origin is Origin.GAP or is_missing or self._leaves_doubt(update):
            self._gaps += 1
            self._gap.set()
        if update.origin is not Origin.LIVE:
            self._begun = True
            self._tell()

    def _leaves_doubt(self, update: OrderUpdate) -> bool:
        """Whether an entry that was not understood may say something new: any but that of a closed order."""
        ids = (entry.ids.get("order_id") for entry in update.not_understood)
        known = (None if order_id is None else self._all.get(Id(order_id)) for order_id in ids)
        return any(order is None or order.is_open for order in known)

    async def _mend(self) -> None:
        """Read over REST after each gap until nothing is missing."""
        while True:
            await self._gap.wait()
            self._gap = trio.Event()
            gaps = self._gaps
            # What is read must be no older than the gap's end.
            await trio.sleep(self._options.indexer_lag)
            for delay in backoff_delays(self._options):
                try:
                    await self.refresh()
                    break
                except O2Error as error:
                    self._failures += 1
                    _log.warning("the orders could not be read after a gap, trying again: %s", error)
                    await trio.sleep(max(delay, getattr(error, "retry_after", None) or 0.0))
            self._mended = gaps
            self._tell()

    async def _read(self, order: Order) -> Order:
        """Read one order, in every market if it is not known in which it is."""
        *others, last = self._by_id if order.market_id is None else [order.market_id]
        for market_id in others:
            with suppress(OrderNotFound):
                return await self._read_order(market_id, order.order_id)
        return await self._read_order(last, order.order_id)

    def _tell(self) -> None:
        self._version += 1
        self._news.unpark_all()

    def _failure(self) -> Exception | None:
        """Return what a wait raises once nothing more will be learned; a new one for each."""
        if self._error is None:
            over = trio.ClosedResourceError("orders are no longer followed: session or client was closed")
            return over if self._ended else None
        failure = O2ConnectionLost(f"orders are no longer followed: {self._error}")
        failure.__cause__ = self._error
        return failure
