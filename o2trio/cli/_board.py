"""What the ladder shows: everything a watcher knows at one moment. No drawing, no I/O."""

from __future__ import annotations

from collections import deque

import attrs

from ..models import DepthUpdate, Market, Origin, Trade, TradeUpdate
from ..streams import (
    ConnectionDown,
    ConnectionGivenUp,
    ConnectionUp,
    DepthBook,
    Event,
    TopicBroken,
    TopicRestored,
    TopicStale,
)
from ._words import describe, topic_name

__all__ = ["Board", "Gap", "Notice"]

_TRADES_KEPT = 200
_NOTICES_KEPT = 5
_TOUCHED_FOR = 700_000_000
"""Nanoseconds for which a change of a level is worth a look."""
_TOUCHED_KEPT = 500


@attrs.frozen(slots=True)
class Gap:
    """Stands among the trades where some may be missing."""

    epoch: int


@attrs.frozen(slots=True)
class Notice:
    """A line about the connection, with the time of its arrival in nanoseconds since 1970."""

    time: int
    text: str


@attrs.define(slots=True, kw_only=True)
class Board:
    """The state of one watched market. Times are in nanoseconds since 1970.

    Attributes:
      market, network, precision: what is watched.
      book: the order book; kept by the watcher.
      trades: the last trades and gaps, newest first.
      notices: the last events, newest first.
      updates, trades_seen, gaps: counters.
      epoch: of the depth stream.
      delay: from the exchange's indexer to here, of the last update that told.
      updated: when the last update came, or None.
      connected: None before the first connection.
      attempt: the dial that comes next while there is no connection.
      interrupted: streams that wait to be restored.
      silent: streams that say nothing although they are connected.
    """

    market: Market
    network: str
    precision: int
    book: DepthBook
    trades: deque[Trade | Gap] = attrs.field(factory=lambda: deque(maxlen=_TRADES_KEPT))
    notices: deque[Notice] = attrs.field(factory=lambda: deque(maxlen=_NOTICES_KEPT))
    updates: int = 0
    trades_seen: int = 0
    gaps: int = 0
    epoch: int = 0
    delay: int | None = None
    updated: int | None = None
    connected: bool | None = None
    given_up: bool = False
    attempt: int = 1
    interrupted: set[str] = attrs.field(factory=set)
    silent: set[str] = attrs.field(factory=set)
    _touched: dict[int, int] = attrs.field(factory=dict)

    @property
    def is_current(self) -> bool:
        """Whether the book is what the exchange has now, as far as one can know."""
        return bool(self.connected) and "depth" not in self.interrupted

    def was_touched(self, price: int, now: int) -> bool:
        """Return whether the level at `price` changed a moment ago."""
        return now - self._touched.get(price, -_TOUCHED_FOR) < _TOUCHED_FOR

    def take_depth(self, update: DepthUpdate, now: int) -> None:
        """Note a depth update that arrived `now`."""
        self._note(update.seen_timestamp, now)
        self.updates += 1
        self.epoch = update.epoch
        self.silent.discard("depth")
        if update.is_snapshot:
            return
        if len(self._touched) > _TOUCHED_KEPT:
            self._touched = {price: at for price, at in self._touched.items() if self.was_touched(price, now)}
        for level in (*update.changes.bids, *update.changes.asks):
            self._touched[level.price] = now

    def take_trades(self, update: TradeUpdate, now: int) -> None:
        """Note trades, or a gap, that arrived `now`."""
        self.silent.discard("trades")
        if update.origin is Origin.GAP:
            self.gaps += 1
            self.trades.appendleft(Gap(update.epoch))
            return
        if update.origin is Origin.LIVE:
            self._note(update.seen_timestamp, now)
        self.trades_seen += len(update.trades)
        self.trades.extendleft(update.trades)

    def take_event(self, event: Event, now: int) -> None:
        """Note an event that arrived `now`."""
        self.notices.appendleft(Notice(now, describe(event)))
        match event:
            case ConnectionUp():
                self.connected = True
                self.silent.clear()
            case ConnectionDown():
                self.connected = False
                self.attempt = event.attempt + 1
            case ConnectionGivenUp():
                self.connected = False
                self.given_up = True
            case TopicBroken():
                self.interrupted.add(topic_name(event.topic))
            case TopicRestored():
                self.interrupted.discard(topic_name(event.topic))
            case TopicStale():
                self.silent.add(topic_name(event.topic))
            case _:
                pass

    def _note(self, seen: int | None, now: int) -> None:
        self.updated = now
        if seen is not None:
            self.delay = now - seen
