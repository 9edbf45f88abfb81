"""What happened on one market: trades by time, bars, the last 24 hours. No I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, takewhile
from typing import TypeVar

import attrs

from ..models import Side, Trade
from ._journal import Journal

__all__ = ["DAY_MS", "MAX_BARS", "RESOLUTIONS", "TRADES_KEPT", "Bar", "TradeHistory", "page", "trade_time"]

TRADES_KEPT = 50_000
"""At least this many of a market's latest trades are kept, at most twice as many."""

MAX_BARS = 5000
"""The most bars of one answer."""

DAY_MS = 86_400_000

_MINUTE, _HOUR = 60_000, 3_600_000

RESOLUTIONS = {
    "1s": 1000,
    **{f"{n}m": n * _MINUTE for n in (1, 2, 3, 5, 15, 30)},
    **{f"{n}h": n * _HOUR for n in (1, 2, 4, 6, 8, 12)},
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
    "1M": 30 * DAY_MS,
    "3M": 90 * DAY_MS,
}
"""Milliseconds of each bar resolution; months count as 30 days here."""


@attrs.frozen(slots=True, kw_only=True)
class Bar:
    """Prices and volumes of one span of time; `timestamp` is its start in milliseconds."""

    timestamp: int
    open: int
    high: int
    low: int
    close: int
    buy_volume: int
    sell_volume: int


T = TypeVar("T")


def trade_time(trade: Trade) -> int:
    """Return the time of a trade in milliseconds: every trade of the simulator has one."""
    assert trade.timestamp is not None
    return trade.timestamp


def _bar(start: int, trades: Sequence[Trade]) -> Bar:
    prices = [trade.price for trade in trades]
    bought = sum(trade.quantity for trade in trades if trade.taker_side is Side.BUY)
    return Bar(
        timestamp=start,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        buy_volume=bought,
        sell_volume=sum(trade.quantity for trade in trades) - bought,
    )


class TradeHistory:
    """The trades of one market, oldest first.

    Args:
      trades: to begin with.
      journal: makes every change; one of its own by default.
    """

    def __init__(self, trades: Iterable[Trade] = (), journal: Journal | None = None) -> None:
        self._trades = list(trades)
        self._journal = Journal() if journal is None else journal

    def add(self, trade: Trade) -> None:
        """Append a trade; forget the oldest when there are too many."""
        self._journal.append(self._trades, trade)
        if len(self._trades) > 2 * TRADES_KEPT:
            self._journal.cut(self._trades, 0, TRADES_KEPT)

    @property
    def trades(self) -> Sequence[Trade]:
        """Every trade that is kept, oldest first."""
        return tuple(self._trades)

    @property
    def last_price(self) -> int | None:
        """The price of the latest trade."""
        return self._trades[-1].price if self._trades else None

    def between(self, start: int, end: int) -> Sequence[Trade]:
        """Return the trades with ``start <= timestamp < end`` (milliseconds)."""
        first = bisect_left(self._trades, start, key=trade_time)
        return self._trades[first : bisect_left(self._trades, end, key=trade_time)]

    def bars(self, resolution: int, start: int, end: int) -> list[Bar]:
        """Return the bars of the spans (`resolution` milliseconds) in ``[start, end)`` that saw a trade."""
        trades = self.between(start - start % resolution, end)
        grouped = groupby(trades, key=lambda trade: trade_time(trade) // resolution * resolution)
        return [_bar(begin, list(group)) for begin, group in grouped]


def page(
    items: Sequence[T],
    count: int,
    *,
    key: Callable[[T], tuple[int, str]],
    newest_first: bool,
    cursor: tuple[int, str] | None,
    inclusive: bool,
) -> Sequence[T]:
    """Return up to `count` items after the cursor.

    Args:
      items: in order of time, oldest first.
      key: an item's (timestamp, id).
      newest_first: walk backwards in time.
      cursor: key of the last item of the page before; None starts at the end the walk begins from.
      inclusive: repeat the cursor's own item.
    """
    if cursor is not None:
        cut = bisect_right if newest_first else bisect_left
        at = cut(items, cursor[0], key=lambda item: key(item)[0])
        items = items[:at] if newest_first else items[at:]
    if newest_first:
        items = items[::-1]
    # Items of one moment are told apart by id; a forgotten one leaves the whole moment.
    same = takewhile(lambda item: cursor is not None and key(item)[0] == cursor[0], items)
    skip = next((at for at, item in enumerate(same, not inclusive) if key(item) == cursor), 0)
    return items[skip : skip + count]
