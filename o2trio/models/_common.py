"""What all updates share: where an item came from, its epoch, its time stamps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum

import attrs

from ._understanding import NotUnderstood, unread_field

__all__ = [
    "Gap",
    "Origin",
    "Side",
    "Update",
    "datetime_from",
    "milliseconds_from",
    "moment_from",
    "time_from",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def datetime_from(value: int, per_second: int) -> datetime:
    """Return the aware UTC time of `value`, counted in ``1 / per_second`` seconds since 1970.

    Exact to the microsecond (digits below it are cut off); no float is involved.

    Raises:
      OverflowError: the value lies beyond the year 9999.
    """
    return _EPOCH + timedelta(microseconds=value * 1_000_000 // per_second)


_UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6))
"""Times below the first number count so many to the second; larger ones are in nanoseconds."""


def _per_second(value: int) -> int:
    return next((per_second for top, per_second in _UNITS if value < top), 10**9)


def time_from(value: int | None) -> datetime | None:
    """Return the aware UTC time of `value`, whose unit is inferred from its size.

    Below 10**11 it counts seconds since 1970, below 10**14 milliseconds, below 10**17 microseconds, else
    nanoseconds. A value beyond the year 9999 is not a time: None.
    """
    if value is None:
        return None
    try:
        return datetime_from(value, _per_second(value))
    except OverflowError:
        return None


def milliseconds_from(value: int) -> int:
    """Return a time in milliseconds since 1970; see :func:`time_from` for the unit of `value`."""
    return value * 1_000 // _per_second(value)


_YEAR_10000 = 253_402_300_800_000
"""In milliseconds since 1970."""


def moment_from(value: int | None) -> int | None:
    """Return a time in milliseconds since 1970 (:func:`milliseconds_from`); None beyond the year 9999."""
    moment = None if value is None else milliseconds_from(value)
    return moment if moment is not None and moment < _YEAR_10000 else None


class Side(StrEnum):
    """The side of an order, or of the maker in a trade."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Origin(Enum):
    """Where an update came from: the mark that a stream carries in itself."""

    LIVE = "live"
    """Sent by the exchange as it happened."""
    SNAPSHOT = "snapshot"
    """The whole current state; it replaces whatever the consumer has."""
    BACKFILL = "backfill"
    """Read over REST after a break; it closes the gap before it."""
    GAP = "gap"
    """An empty update: something is missing here that could not be recovered."""


@attrs.frozen(slots=True, kw_only=True)
class Gap:
    """What is missing at an update whose origin is ``GAP``.

    Attributes:
      since: when the last message before the break came, on Trio's clock in seconds; what came earlier is
        there.
      until: when it was given up to mend it; what came later is there.
      after: id of the last trade before the gap, for trades; None if there was none.
      before: id of the first trade behind it; None if none had come yet.
      reason: in words.
    """

    since: float
    until: float
    after: str | None = None
    before: str | None = None
    reason: str = ""


@attrs.frozen(slots=True, kw_only=True)
class Update:
    """What every streamed update carries.

    Attributes:
      origin: where this update came from.
      epoch: grows by one at each break (lost connection, broken frame, inconsistent book) of the
        server subscription behind the stream. Two updates of one epoch have nothing missing between
        them, unless one of them says so with its `origin`.
      onchain_timestamp: the block's time in whole **seconds** since 1970, or None.
      seen_timestamp: when the exchange's indexer saw it, in **nanoseconds** since 1970, or None.
      gap: what is missing, where `origin` is ``GAP``; else None.
      not_understood: entries of the message that lack something needed. They belong to the update like its
        other entries: each says by its ``index`` where it stood.
      unread: carried fields of the message that could not be read: wire name to raw value.
    """

    onchain_timestamp: int | None = None
    seen_timestamp: int | None = None
    origin: Origin = Origin.LIVE
    epoch: int = 0
    gap: Gap | None = None
    not_understood: tuple[NotUnderstood, ...] = ()
    unread: Mapping[str, object] = unread_field()

    @property
    def onchain_time(self) -> datetime | None:
        """`onchain_timestamp` as an aware UTC time; a unit other than seconds is inferred from its size."""
        return time_from(self.onchain_timestamp)

    @property
    def seen_time(self) -> datetime | None:
        """`seen_timestamp` as an aware UTC time, cut to microseconds; its unit is inferred from its size."""
        return time_from(self.seen_timestamp)
