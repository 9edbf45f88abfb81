"""Joining trades that are read over REST with live ones, each once and in order. No I/O.

A trade has an opaque id and a time stamp; the exchange lists trades in the order in which it streams
them. So whoever remembers the ids it had lately can read on from the last one until it meets a live one.
Streams and REST may spell an id differently, so ids are compared by :func:`trade_key` and kept as sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from ..models import Gap, Id, NotUnderstood, Origin, Trade, TradeUpdate, trade_key
from ..wire import AnyUpdate

__all__ = ["TradeLag", "TradeLedger", "newest", "trade_gap"]

LEDGER_SIZE = 4096
"""Ids that a ledger remembers. Live trades follow those read over REST within far fewer."""


class TradeLedger:
    """Which trades a receiver had lately: nothing comes twice, and it is known where to go on.

    Attributes:
      last: the newest trade, or None if there was none.
      is_anchored: whether it is known where to begin: after `last`, or at the very beginning.
    """

    __slots__ = ("_breaks", "_ids", "_start", "is_anchored", "last")

    def __init__(self) -> None:
        self.last: Trade | None = None
        self.is_anchored = False
        # Each id with the number of breaks before it came.
        self._ids: dict[str, int] = {}
        self._breaks = 0
        self._start: str | None = None

    def fresh(self, trades: Iterable[Trade]) -> tuple[Trade, ...]:
        """Return the trades that were not there before, and remember them."""
        new = self._new(trades)
        if not new:
            return ()
        if self._start is not None:
            self._ids[self._start], self._start = self._breaks, None
        self._ids.update(dict.fromkeys(new, self._breaks))
        fresh = tuple(new.values())
        self.last, self.is_anchored = fresh[-1], True
        self._forget_oldest()
        return fresh

    def _new(self, trades: Iterable[Trade]) -> dict[str, Trade]:
        """Return the trades that were not there before, by their keys.

        Trades are listed in order. So what stands before a known one is older than what was given, and would
        come out of order: it lies before the beginning of the stream, or where a mark says that trades are
        missing. The first message of a subscription may list such trades.
        """
        new: dict[str, Trade] = {}
        for trade in trades:
            key = trade_key(trade.trade_id)
            if key not in self._ids:
                new.setdefault(key, trade)
            elif new:
                new = {name: each for name, each in new.items() if _is_later(each, trade)}
        return new

    def first_new(self, updates: Iterable[AnyUpdate]) -> Trade | None:
        """Return the first trade in `updates` that was not there before."""
        return next((trade for each in updates for trade in self._new(_trades([each])).values()), None)

    def broke(self) -> None:
        """Note a break: trades from now on were read or streamed after it."""
        self._breaks += 1

    def meets(self, held: Iterable[AnyUpdate]) -> bool | None:
        """Return whether nothing is missing before the updates that are held; None if they do not say.

        Nothing is missing if one of their trades was read after the break, or if a message continues with new
        trades after known ones. A message whose last trade was there before the break repeats an old one.
        """
        for update in held:
            breaks = [self._ids.get(trade_key(trade.trade_id)) for trade in _trades([update])]
            if self._breaks in breaks:
                return True
            if breaks and breaks[-1] is None:
                return any(each is not None for each in breaks)
        return None

    def unseen(self, entries: Iterable[NotUnderstood]) -> tuple[NotUnderstood, ...]:
        """Return the entries that were not there before, and remember those whose id could be read."""
        unseen: list[NotUnderstood] = []
        for entry in entries:
            trade_id = entry.ids.get("trade_id")
            if trade_id is None or trade_id not in self:
                unseen.append(entry)
            if trade_id is not None:
                self._ids[trade_key(trade_id)] = self._breaks
        self._forget_oldest()
        return tuple(unseen)

    def news(self, update: TradeUpdate) -> TradeUpdate | None:
        """Return `update` without what was there before, and remember the rest; None if nothing is left."""
        new: list[object] = [*self.fresh(update.trades), *self.unseen(update.not_understood)]
        if len(new) == len(update.trades) + len(update.not_understood):
            return update if new else None
        kept = set(map(id, new))
        return _of_entries(update, [entry for entry in update.entries if id(entry) in kept]) if new else None

    def _forget_oldest(self) -> None:
        ids = self._ids
        while len(ids) > LEDGER_SIZE:
            del ids[next(iter(ids))]

    def anchor(self, newest: Trade | None) -> None:
        """Begin after `newest`, the last trade there is; with None at the very beginning."""
        # It may still be streamed, and is not a repetition then; once a later trade was given, it is.
        if not self.is_anchored:
            self.is_anchored, self.last = True, newest
            self._start = None if newest is None else trade_key(newest.trade_id)

    def __contains__(self, trade_id: object) -> bool:
        return isinstance(trade_id, str) and trade_key(trade_id) in self._ids

    def knows(self, trade: Trade | None) -> bool:
        """Whether the trade was there lately; true of no trade."""
        return trade is None or trade.trade_id in self


def _of_entries(update: TradeUpdate, entries: Sequence[Trade | NotUnderstood]) -> TradeUpdate:
    """Return `update` with these entries only; each that was not understood learns where it stands now."""
    placed = [
        attrs.evolve(entry, index=index)
        for index, entry in enumerate(entries)
        if isinstance(entry, NotUnderstood)
    ]
    trades = tuple(entry for entry in entries if isinstance(entry, Trade))
    return attrs.evolve(update, trades=trades, not_understood=tuple(placed))


def _is_later(trade: Trade, other: Trade) -> bool:
    """Whether the times of two trades prove that `trade` is the later one."""
    return trade.timestamp is not None and other.timestamp is not None and trade.timestamp > other.timestamp


def _trades(updates: Iterable[AnyUpdate]) -> Iterator[Trade]:
    return (trade for update in updates if isinstance(update, TradeUpdate) for trade in update.trades)


def first_trade(updates: Iterable[AnyUpdate]) -> Trade | None:
    """Return the first trade in `updates`."""
    return next(_trades(updates), None)


def newest(updates: list[AnyUpdate], limit: int) -> list[AnyUpdate]:
    """Return the last update with a readable trade and what follows it; nothing if that is too much."""
    last = max((at for at, each in enumerate(updates) if first_trade([each])), default=len(updates))
    return updates[last:] if len(updates) - last <= limit else []


def trade_gap(gap: Gap, ledger: TradeLedger, held: Iterable[AnyUpdate]) -> Gap:
    """Return `gap` with the ids of the trades on both sides of it."""
    last, first = ledger.last, ledger.first_new(held)
    return attrs.evolve(
        gap, after=None if last is None else last.trade_id, before=None if first is None else first.trade_id
    )


class TradeLag:
    """What one slow consumer of trades still has to be given.

    Attributes:
      ledger: the trades that it had, and has been given since.
    """

    def __init__(
        self,
        market_id: Id,
        had: Iterable[AnyUpdate],
        newest: TradeLedger,
        epoch: int,
        describe: Callable[[str], Gap],
        limit: int,
    ) -> None:
        self.ledger = TradeLedger()
        self._market_id = market_id
        self._newest = newest
        self._epoch = epoch
        self._describe = describe
        self._limit = limit
        self._held: list[AnyUpdate] = []
        self.ledger.fresh(_trades(had))

    def hold(self, item: AnyUpdate) -> None:
        """Keep a live update. If they become too many, forget them: the reading reaches them too."""
        if len(self._held) >= self._limit:
            self._held.clear()
        self._held.append(item)

    @property
    def is_over(self) -> bool:
        """Whether what was given meets the first trade that is held, or the newest if none is."""
        return self.ledger.knows(first_trade(self._held) or self._newest.last)

    def take(self, trades: Sequence[Trade], not_understood: Sequence[NotUnderstood] = ()) -> list[AnyUpdate]:
        """Return what to give of trades that were read: up to the one where live ones take over.

        Args:
          trades: as read.
          not_understood: the entries among them that could not be read.
        """
        goal = first_trade(self._held) or self._newest.last
        ids = [trade_key(trade.trade_id) for trade in trades]
        if goal is not None and (key := trade_key(goal.trade_id)) in ids:
            trades = trades[: ids.index(key) + 1]
        # Where the others stood in the answer is not exact here, so none of them is left to the live ones.
        update = TradeUpdate(
            market_id=self._market_id,
            trades=tuple(trades),
            not_understood=tuple(not_understood),
            origin=Origin.BACKFILL,
            epoch=self._epoch,
        )
        fresh = self.ledger.news(update)
        return [] if fresh is None else [fresh]

    def release(self) -> list[AnyUpdate]:
        """Return the held updates without the trades that were given already."""
        held, self._held = self._held, []
        result: list[AnyUpdate] = []
        for update in held:
            if isinstance(update, TradeUpdate) and (update.trades or update.not_understood):
                fresh = self.ledger.news(update)
                if fresh is not None:
                    result.append(fresh)
            elif update.gap is None or update.gap.before not in self.ledger:
                # A gap that the reading has closed is none for this consumer.
                result.append(update)
        return result

    def abandon(self, reason: str = "the stream ended") -> list[AnyUpdate]:
        """Return what to deliver if nothing more can be read: a gap mark, then what is held."""
        gap = trade_gap(self._describe(reason), self.ledger, self._held)
        mark = TradeUpdate(market_id=self._market_id, origin=Origin.GAP, epoch=self._epoch, gap=gap)
        return [mark, *self.release()]
