"""Bars from trades: where a bar begins, how trades add up. Pure; the stream is in ``_bar_stream``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import attrs

from ._errors import InvalidRequest
from .models import Bar, Id, Resolution, Side, Trade, Update
from .models._common import datetime_from

__all__ = ["BarBuilder", "BarUpdate", "bar_of", "bar_start", "joined", "moment_of", "resolution_of"]

_MONDAY_MS = -3 * 86_400_000
"""A Monday: 1970 began on a Thursday."""


@attrs.frozen(slots=True, kw_only=True)
class BarUpdate(Update):
    """How a bar stands now.

    Attributes:
      market_id: the market.
      resolution: the span of the bar.
      bar: prices and volumes so far, chain units.
      is_final: whether the bar is over: a trade of a later one has been seen. The clock alone ends no bar,
        since a trade may still be on its way; a span without a trade has no bar.
      origin: ``LIVE`` or ``BACKFILL`` if trades of the stream were added; ``SNAPSHOT`` if the bar was read
        over REST, at the beginning or after a break; ``GAP`` if trades may be missing in it since that
        failed.
    """

    market_id: Id
    resolution: Resolution
    bar: Bar
    is_final: bool = False


def resolution_of(text: Resolution | str) -> Resolution:
    """Return the resolution that `text` names.

    Raises:
      InvalidRequest: none; the message lists them.
    """
    try:
        return Resolution(text)
    except ValueError:
        known = ", ".join(Resolution)
        raise InvalidRequest(f"resolution must be one of {known}, not {text!r:.40}") from None


def bar_start(resolution: Resolution, timestamp: int) -> int:
    """Return when the bar that contains `timestamp` begins. Both in milliseconds since 1970, UTC.

    Weeks begin on Monday, months and quarters on their first day; spans of three days, like all shorter
    ones, are counted from 1970 on.
    """
    count, unit = int(resolution[:-1]), resolution[-1]
    if unit == "M":
        date = datetime_from(timestamp, 1_000)
        month = (date.month - 1) // count * count + 1
        return int(datetime(date.year, month, 1, tzinfo=UTC).timestamp()) * 1_000
    zero = _MONDAY_MS if unit == "w" else 0
    return timestamp - (timestamp - zero) % resolution.milliseconds


def moment_of(trade: Trade) -> int:
    """Return the time of a trade in milliseconds since 1970.

    Raises:
      ValueError: the trade has no readable time, so it belongs to no bar.
    """
    moment = trade.milliseconds
    if moment is None:
        raise ValueError(f"trade {trade.trade_id} has no readable time")
    return moment


def bar_of(trade: Trade) -> Bar:
    """Return the bar of one trade, at its own moment."""
    bought = trade.quantity if trade.taker_side is Side.BUY else 0
    return Bar(
        timestamp=moment_of(trade),
        open=trade.price,
        high=trade.price,
        low=trade.price,
        close=trade.price,
        buy_volume=bought,
        sell_volume=trade.quantity - bought,
    )


def joined(bar: Bar, later: Bar) -> Bar:
    """Return the bar of both spans, `later` being the later one; it begins where `bar` does."""
    return Bar(
        timestamp=bar.timestamp,
        open=bar.open,
        high=max(bar.high, later.high),
        low=min(bar.low, later.low),
        close=later.close,
        buy_volume=_sum(bar.buy_volume, later.buy_volume),
        sell_volume=_sum(bar.sell_volume, later.sell_volume),
        volume=_sum(bar.volume, later.volume),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


class BarBuilder:
    """Adds parts up to bars, in order of time. Knows no stream and does no I/O.

    Attributes:
      current: the last bar, which may still grow; None before the first part.
    """

    def __init__(self, resolution: Resolution) -> None:
        self.resolution = resolution
        self.current: Bar | None = None

    def add(self, parts: Iterable[Bar]) -> list[Bar]:
        """Add bars of any shorter span, oldest first; return each bar that changed, oldest first.

        All but the last of them are over.

        Raises:
          ValueError: a part belongs to a bar that is over.
        """
        changed: list[Bar] = []
        current = self.current
        for part in parts:
            start = bar_start(self.resolution, part.timestamp)
            if current is not None and start < current.timestamp:
                raise ValueError(f"a part of {start} came after the bar of {current.timestamp} had begun")
            if current is not None and start == current.timestamp:
                current = joined(current, part)
            else:
                if current is not None:
                    changed.append(current)
                current = attrs.evolve(part, timestamp=start)
        if current is not self.current and current is not None:
            self.current = current
            changed.append(current)
        return changed
