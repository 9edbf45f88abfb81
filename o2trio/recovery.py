"""Find out over REST what a stream missed: at a break, when a consumer was too slow, or at its beginning.

Trades are read on from the last one until live ones are met. Of orders, balances and nonces the present
state is read (``_state_reads``); the topic knows what of it is news. Nothing here delivers anything itself.

Every wait here has a bound, which ``Options`` defines; and what is read for an epoch of a topic ends at once
when that epoch is over.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio

from ._api_errors import OrderNotFound
from ._errors import CallerError, DecodeError
from ._network import Options
from ._nursery import BareNursery
from ._side_by_side import side_by_side
from ._state_reads import MarketLists, Reader, StateReading, unread_rows
from .models import (
    Direction,
    Id,
    NotUnderstood,
    Order,
    OrderUpdate,
    Origin,
    Trade,
    trade_key,
)
from .rest import MAX_TRADES, RestClient
from .streams import Mailbox, Topic, TradeLag
from .wire import AnyUpdate, Kind

__all__ = ["Recovery"]

_log = logging.getLogger("o2trio")

_POLL_SECONDS = 0.5
"""How soon a list of trades that lags behind the stream is read again."""
_PROMPT_SECONDS = 0.1
"""How often to check for an answer to a heartbeat."""
_HAND_OVER_SECONDS = 0.5
"""How often what was read is handed over while more is read."""


class _GaveUp(Exception):
    """Reading did not succeed within its bound."""


class Recovery:
    """Reads what topics and slow consumers of one client missed."""

    def __init__(self, rest: RestClient, markets: MarketLists, options: Options) -> None:
        self._reader = Reader(rest, markets, options)
        self._rest = rest
        self._options = options

    async def repair(self, topic: Topic, epoch: int) -> None:
        """Find out what `topic` missed during the break with which `epoch` began.

        Not sooner than ``Options.indexer_lag`` after the subscription is confirmed, so that what is read is
        no older than what was streamed before. It is given up at :attr:`Topic.repair_by`; what was read until
        then counts, and the topic learns what is missing.
        """
        async with _while_it_lasts(topic, epoch):
            await trio.sleep(self._options.indexer_lag)
            if not topic.wants_repair(epoch):
                return
            if topic.key.kind is not Kind.TRADES:
                await self._repair_state(topic, epoch)
                return
            try:
                await self._read_trades(topic, epoch)
                problem = ""
            except _GaveUp as failure:
                problem = str(failure)
            _warn(topic, problem)
            topic.repaired(epoch, [], problem=problem)

    async def _repair_state(self, topic: Topic, epoch: int) -> None:
        """Read the state, and hand it over while more is read; what waits for it comes out soon."""
        reading, pending = StateReading(topic, self._reader), _Pending()

        async def hand_over() -> None:
            while True:
                await trio.sleep(_HAND_OVER_SECONDS)
                if reading.has_news:
                    pending.add(*reading.take())
                if pending.parts and await self._has_arrived(topic):
                    updates, parts = pending.empty()
                    reading.delivered |= parts.keys()
                    topic.repaired_in_part(epoch, updates, parts, reading.waits)

        async with BareNursery() as nursery:
            nursery.start_soon(hand_over, name=_part_of_this("hand over"))
            await reading.run(topic.repair_by(self._options))
        pending.add(*reading.take())
        problem = reading.problem
        if pending.updates and not await self._has_arrived(topic):
            pending.empty()
            problem = problem or _TOO_FAR_BEHIND
        _warn(topic, problem)
        updates, parts = pending.empty()
        topic.repaired(epoch, updates, read_to=parts, problem=problem)

    async def learn(self, topic: Topic, epoch: int) -> None:
        """Find out the state at the beginning of `topic`, before it needs a repair.

        A state must be no older than the subscription, so it is read no sooner than ``Options.indexer_lag``
        from now.
        """
        async with _while_it_lasts(topic, epoch):
            if topic.ledger is not None:
                await self._find_beginning(topic, epoch)
                return
            await trio.sleep(self._options.indexer_lag)
            reading = StateReading(topic, self._reader)
            await reading.run(trio.current_time() + self._options.repair_timeout)
            updates, parts = reading.take()
            problem = reading.problem
            if updates and not await self._has_arrived(topic):
                updates, parts, problem = [], {}, problem or _TOO_FAR_BEHIND
            _warn(topic, problem)
            topic.learned(epoch, updates, read_to=parts, problem=problem)

    async def _has_arrived(self, topic: Topic) -> bool:
        """Wait until everything has arrived that was under way while REST was read.

        REST may be ahead of the stream: what it said already must not come again as something older. So
        the answer is False if the server does not answer a heartbeat within ``Options.confirm_timeout``.
        """
        heartbeat = topic.port.heartbeat()
        with trio.move_on_after(self._options.confirm_timeout):
            while True:
                if topic.port.has_answered(heartbeat):
                    return True
                await trio.sleep(_PROMPT_SECONDS)
        return False

    async def look_up(self, topic: Topic, epoch: int, entries: Iterable[NotUnderstood]) -> None:
        """Read the orders of `topic` that `entries`, streamed in `epoch`, name unreadably.

        Not sooner than ``Options.indexer_lag`` from now, so that what is read is no older than the entries.
        An order that cannot be read stays as it was marked. Takes at most ``Options.repair_timeout``.
        """
        found: list[Order] = []
        await trio.sleep(self._options.indexer_lag)

        async def one(entry: NotUnderstood) -> None:
            with suppress(CallerError, DecodeError):
                found.extend(await self._order_of(entry, turbo=topic.key.turbo))

        with trio.move_on_after(self._options.repair_timeout):
            await side_by_side(entries, one, self._options.repair_concurrency)
        if found and not await self._has_arrived(topic):
            found.clear()
        topic.looked_up(epoch, [OrderUpdate(orders=tuple(found), origin=Origin.BACKFILL)])

    async def _order_of(self, entry: NotUnderstood, *, turbo: bool) -> list[Order]:
        """Read the order that `entry` names, in its market or in any; nothing if REST knows none."""
        order_id, market_id = Id(entry.ids["order_id"]), entry.ids.get("market_id")
        persist = partial(self._reader.persist, note=_log.debug, odd_answers=0)
        markets = await persist(partial(self._reader.markets, turbo=turbo))
        for each in [market.market_id for market in markets] if market_id is None else [Id(market_id)]:
            with suppress(OrderNotFound):
                read = partial(self._rest.order, each, order_id, turbo=turbo)
                return [await persist(read)]
        return []

    # -- trades ---------------------------------------------------------------------------------

    async def catch_up(self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag) -> None:
        """Read for `mailbox` the trades that it missed, page by page as it has room."""
        try:
            async for items in self._missed(topic, mailbox, lag):
                mailbox.give(items)
            rest = lag.release()
        except _GaveUp as failure:
            _log.warning("a slow consumer of %s could not be given all: %s", topic.key, failure)
            rest = lag.abandon(str(failure))
        if mailbox.lag is lag:
            mailbox.caught_up(rest)

    async def _missed(
        self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag
    ) -> AsyncIterator[list[AnyUpdate]]:
        pages = _TradePages(self._reader, topic)
        while not lag.is_over:
            if not mailbox.room.is_set():
                await mailbox.room.wait()
                # How long that takes is up to the consumer.
                pages.came_further()
            page, odd = await pages.read(lag.ledger.last, pages.progress + self._options.repair_timeout)
            if mailbox.lag is not lag:
                return
            items = lag.take(page, odd)
            if items:
                pages.came_further()
            yield items

    async def _read_trades(self, topic: Topic, epoch: int) -> None:
        ledger = topic.ledger
        assert ledger is not None
        if not ledger.is_anchored:
            raise _GaveUp("it is not known which trade was the last before the break")
        pages = _TradePages(self._reader, topic)
        while True:
            last = ledger.last
            page, odd = await pages.read(last, topic.repair_by(self._options))
            if not topic.backfill(epoch, page, odd):
                return
            met, advanced = ledger.meets(topic.held), ledger.last is not last
            if met or (met is None and not (advanced or pages.is_full)):
                return
            if advanced:
                pages.came_further()

    async def _find_beginning(self, topic: Topic, epoch: int) -> None:
        """Find out after which trade a later repair goes on."""
        pages = _TradePages(self._reader, topic)
        newest = partial(self._rest.trades, pages.market_id, 1, Direction.DESCENDING, turbo=topic.key.turbo)
        try:
            trades = await pages.persist(newest, trio.current_time() + self._options.repair_timeout)
        except _GaveUp as failure:
            _warn(topic, str(failure))
            topic.learned(epoch, [], problem=str(failure))
        else:
            topic.begins_after(epoch, trades[0] if trades else None)


class _Pending:
    """What was read of a state and is not delivered yet: updates, and the parts that they are."""

    def __init__(self) -> None:
        self.updates: list[AnyUpdate] = []
        self.parts: dict[Hashable, int | None] = {}

    def add(self, updates: Iterable[AnyUpdate], parts: Mapping[Hashable, int | None]) -> None:
        self.updates += updates
        self.parts |= parts

    def empty(self) -> tuple[list[AnyUpdate], dict[Hashable, int | None]]:
        was, self.updates, self.parts = (self.updates, self.parts), [], {}
        return was


class _TradePages:
    """Reads pages of the trades of a topic's market, oldest first, each row that was not understood once.

    Attributes:
      market_id: the market.
      is_full: whether there may be more trades after the last page.
      progress: when something was last achieved.
    """

    def __init__(self, reader: Reader, topic: Topic) -> None:
        assert topic.key.market_id is not None
        self.market_id: Id = topic.key.market_id
        self.is_full = False
        self.progress = trio.current_time()
        self._turbo = topic.key.turbo
        self._reader = reader
        self._trouble = ""
        self._is_stuck = self._has_begun = False
        self._odd: set[str] = set()

    def came_further(self) -> None:
        """Note that something was achieved."""
        self._is_stuck, self.progress = False, trio.current_time()

    async def read(self, last: Trade | None, by: float) -> tuple[list[Trade], tuple[NotUnderstood, ...]]:
        """Return the trades after `last`, and rows that were not understood; after a wait if it is stuck.

        Raises:
          _GaveUp: it took until the time `by`.
        """
        read = partial(
            self._reader.rest.trades,
            self.market_id,
            MAX_TRADES,
            Direction.ASCENDING,
            last,
            turbo=self._turbo,
        )
        with trio.CancelScope(deadline=by):
            if self._is_stuck:
                await trio.sleep(_POLL_SECONDS)
        page = await self.persist(read, by)
        odd = unread_rows(page)
        self.is_full, self._is_stuck, self._has_begun = len(page) + len(odd) >= MAX_TRADES, True, True
        known = None if last is None else trade_key(last.trade_id)
        fresh = {row.ids.get("trade_id") or repr(row.raw): row for row in odd}
        unknown = tuple(row for key, row in fresh.items() if key not in self._odd)
        self._odd |= fresh.keys()
        return [trade for trade in page if trade_key(trade.trade_id) != known], unknown

    async def persist(self, read: Callable[[], Awaitable[tuple[Trade, ...]]], by: float) -> tuple[Trade, ...]:
        """Return what `read` returns.

        Raises:
          _GaveUp: it did not succeed until the time `by`, or never will.
        """
        with trio.CancelScope(deadline=by):
            try:
                answer = await self._reader.persist(read, partial(setattr, self, "_trouble"))
            except CallerError as error:
                raise _GaveUp(str(error)) from error
            self._trouble = ""
            return answer
        raise _GaveUp(self._why())

    def _why(self) -> str:
        if self._trouble:
            return f"no answer in time: {self._trouble}"
        if self._is_stuck:
            return f"the list of trades {'does not advance' if self.is_full else 'lags behind the stream'}"
        return "there was more to read than time" if self._has_begun else "no answer in time"


_TOO_FAR_BEHIND = "the stream lags too far behind what was read"


def _warn(topic: Topic, problem: str) -> None:
    if problem:
        _log.warning("%s could not be read as a whole: %s", topic.key, problem)


def _part_of_this(what: str) -> str:
    return f"{trio.lowlevel.current_task().name}: {what}"


@asynccontextmanager
async def _while_it_lasts(topic: Topic, epoch: int) -> AsyncGenerator[None]:
    """Cancel the body when the epoch of the topic is over."""
    async with BareNursery() as nursery:

        async def end() -> None:
            if topic.epoch == epoch:
                await topic.over.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(end, name=_part_of_this("end of its epoch"))
        yield
