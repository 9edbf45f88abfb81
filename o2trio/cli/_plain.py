"""Plain lines for pipes and files: snapshots, changes of the best prices, trades, events."""

from __future__ import annotations

from ..models import DepthUpdate, Level, Market, Origin, TradeUpdate
from ..streams import DepthBook, Event
from ._output import Clock, Write, wall_clock
from ._watch import View
from ._words import Numbers, describe, time_of_day

__all__ = ["PlainView"]


class PlainView(View):
    """Writes one line for each thing that a reader wants to know, with the UTC time it arrived.

    Args:
      write: takes a line.
      precision: level of price grouping.
      clock: tells the time.
    """

    def __init__(self, write: Write, precision: int = 1, clock: Clock = wall_clock) -> None:
        self._write = write
        self._precision = precision
        self._clock = clock
        self._best: tuple[Level | None, Level | None] = (None, None)

    def begin(self, market: Market, book: DepthBook) -> None:
        """Learn what is watched."""
        super().begin(market, book)
        self._numbers = Numbers(market, self._precision)

    async def depth(self, update: DepthUpdate) -> None:
        """Write a line for a snapshot, and for a change of the best bid or ask."""
        best = (self.book.best_bid, self.book.best_ask)
        if update.is_snapshot:
            sizes = f"{len(update.changes.bids)} bids, {len(update.changes.asks)} asks, epoch {update.epoch}"
            await self._line("snapshot", f"{self._both(*best)}  {sizes}")
        elif best != self._best:
            await self._line("best", self._both(*best))
        self._best = best

    async def trades(self, update: TradeUpdate) -> None:
        """Write a line for each trade, or for the gap."""
        if update.origin is Origin.GAP:
            await self._line("gap", f"trades may be missing here, epoch {update.epoch}")
        for trade in update.trades:
            late = "  (read later)" if update.origin is Origin.BACKFILL else ""
            quantity, price = self._numbers.quantity(trade.quantity), self._numbers.price(trade.price)
            await self._line("trade", f"{trade.taker_side:4} {quantity} at {price}{late}")

    async def event(self, event: Event) -> None:
        """Write a line for the event."""
        await self._line("event", describe(event))

    async def _line(self, what: str, text: str) -> None:
        await self._write(f"{time_of_day(self._clock())}  {what:8}  {text}")

    def _both(self, bid: Level | None, ask: Level | None) -> str:
        text = f"bid {self._level(bid)}  ask {self._level(ask)}"
        return f"{text}  spread {self._numbers.spread(bid, ask)}" if bid and ask else text

    def _level(self, level: Level | None) -> str:
        if level is None:
            return "none"
        return f"{self._numbers.quantity(level.quantity)} at {self._numbers.price(level.price)}"
