"""One JSON object per update. The help of ``o2trio watch`` documents the fields; they stay as they are."""

from __future__ import annotations

import json

import attrs

from ..models import DepthUpdate, Level, Market, Trade, TradeUpdate
from ..models import Update as AnyUpdate
from ..streams import Event
from ._output import Clock, Write, wall_clock
from ._watch import View

__all__ = ["JsonView", "level_object", "trade_object"]


class JsonView(View):
    """Writes each update as one line of JSON.

    Args:
      write: takes a line.
      clock: tells the time.
    """

    def __init__(self, write: Write, clock: Clock = wall_clock) -> None:
        self._write = write
        self._clock = clock

    async def depth(self, update: DepthUpdate) -> None:
        """Write the changed levels, and the best of the book after them."""
        changes, book, market = update.changes, self.book, self.market
        await self._line(
            "depth",
            **self._common(update),
            precision=update.precision,
            bids=[level_object(market, level) for level in changes.bids],
            asks=[level_object(market, level) for level in changes.asks],
            best_bid=None if book.best_bid is None else level_object(market, book.best_bid),
            best_ask=None if book.best_ask is None else level_object(market, book.best_ask),
        )

    async def trades(self, update: TradeUpdate) -> None:
        """Write the trades; none where the origin is ``gap``."""
        trades = [trade_object(self.market, trade) for trade in update.trades]
        await self._line("trades", **self._common(update), trades=trades)

    async def event(self, event: Event) -> None:
        """Write the event with its fields; its time is on a clock of our own, and left out."""
        fields = attrs.asdict(event, filter=lambda attribute, _: attribute.name != "time")
        await self._line("event", event=type(event).__name__, **fields)

    def _common(self, update: AnyUpdate) -> dict[str, object]:
        return {
            "market": self.market.pair,
            "market_id": self.market.market_id,
            "origin": update.origin.value,
            "epoch": update.epoch,
            "seen_timestamp": _text(update.seen_timestamp),
            "onchain_timestamp": _text(update.onchain_timestamp),
        }

    async def _line(self, what: str, **fields: object) -> None:
        whole = {"type": what, "received": str(self._clock()), **fields}
        await self._write(json.dumps(whole, separators=(",", ":")))


def level_object(market: Market, level: Level) -> dict[str, str]:
    """Return a level, in decimal numbers and in chain units."""
    return {
        "price": f"{market.price(level.price):f}",
        "quantity": f"{market.quantity(level.quantity):f}",
        "price_raw": str(level.price),
        "quantity_raw": str(level.quantity),
    }


def trade_object(market: Market, trade: Trade) -> dict[str, str | None]:
    """Return a trade, in decimal numbers and in chain units."""
    return {
        "trade_id": trade.trade_id,
        "side": trade.side,
        "taker_side": trade.taker_side,
        **level_object(market, Level(trade.price, trade.quantity)),
        "total": None if trade.total is None else f"{market.total(trade.total):f}",
        "total_raw": _text(trade.total),
        "timestamp": _text(trade.timestamp),
    }


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
