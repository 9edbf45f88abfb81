"""Arguments of reads to queries. Whatever is wrong raises InvalidRequest here, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from .._errors import InvalidRequest
from .._integers import as_integer
from ..models import Cursor, Direction, Id, Identity, IdentityKind, Order, Resolution, Trade, normalize_id

__all__ = [
    "LANES",
    "MAX_ACTIVE",
    "MAX_BARS",
    "MAX_LEVELS",
    "MAX_ORDERS",
    "MAX_TRADES",
    "PRECISIONS",
    "bars_query",
    "check_id",
    "check_pair",
    "cursor_of",
    "cursor_query",
    "depth_query",
    "identity_query",
    "page_query",
    "venue_query",
    "whole",
]

MAX_TRADES = 50
"""Trades of one page; the exchange gives no more."""
MAX_ORDERS = 200
"""Orders of one page."""
MAX_ACTIVE = 50
"""Entries of the list of active orders, which has no further pages."""
MAX_BARS = 5000
"""Bars of one answer."""
MAX_LEVELS = 500
"""Levels of an aggregated book."""
PRECISIONS = range(1, 19)
"""Levels of price grouping."""
LANES = range(5)
"""Lanes of parallel nonces."""

_LATEST_MS = 253_402_300_800_000
"""The year 10000."""
_SECONDS_BELOW = 10**11
"""A time below it, read as milliseconds, lies in 1973 or before: it surely was meant in seconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAIR = re.compile(r"[A-Za-z0-9.$-]{1,40}[_/][A-Za-z0-9.$-]{1,40}")

E = TypeVar("E", bound=StrEnum)


def check_id(text: str, what: str = "an id") -> Id:
    """Return `text` normalised."""
    try:
        return normalize_id(text)
    except ValueError as error:
        raise InvalidRequest(f"{what}: {error}") from None


def whole(value: int, least: int, most: int, what: str) -> int:
    """Return `value` if it is a whole number from `least` to `most`."""
    value = as_integer(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidRequest(f"{what} must be a whole number from {least} to {most}, not {value!r:.40}")
    return value


def _member(kind: type[E], value: str, what: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise InvalidRequest(f"{what} must be one of {', '.join(kind)}, not {value!r:.40}") from None


def check_pair(text: str) -> str:
    """Return a pair of symbols as the aggregated endpoints spell it: ``FUEL_USDC``."""
    if not isinstance(text, str) or not _PAIR.fullmatch(text):
        raise InvalidRequest(f"a pair is two symbols such as 'FUEL_USDC', not {text!r:.80}")
    return text.replace("/", "_")


def identity_query(identity: Identity, wallet: str) -> dict[str, str]:
    """Name an account; `wallet` is the endpoint's word for a plain address."""
    if not isinstance(identity, Identity):
        raise InvalidRequest(f"an account must be an Identity, not {identity!r:.80}")
    return {"contract" if identity.kind is IdentityKind.CONTRACT_ID else wallet: identity.id}


def page_query(count: int, most: int, direction: Direction | str) -> dict[str, str | int]:
    """Ask for one page."""
    order = _member(Direction, direction, "direction")
    return {"direction": order.value, "count": whole(count, 1, most, "count")}


def cursor_query(after: Cursor | None, name: str) -> dict[str, str | int]:
    """Name the item after which a page begins; its id goes by the word `name`."""
    return {} if after is None else {"start_timestamp": after.timestamp, name: after.id}


def cursor_of(after: Cursor | Trade | Order | None) -> Cursor | None:
    """Return the place that `after` names."""
    if isinstance(after, (Trade, Order)):
        try:
            return Cursor.of(after)
        except ValueError as error:
            raise InvalidRequest(f"after: {error}") from None
    if after is None:
        return None
    if not isinstance(after, Cursor) or not isinstance(after.id, str) or not after.id:
        raise InvalidRequest(f"after must be a Cursor, a Trade or an Order, not {after!r:.80}")
    whole(after.timestamp, 0, 2**128 - 1, "the timestamp of after")
    return after


def venue_query(query: Mapping[str, str | int], *, turbo: bool | None) -> dict[str, str | int]:
    """Name the venue in a query; spot is what a query without it means."""
    return {**query, "turbo": "true"} if turbo else dict(query)


def depth_query(precision: int, limit: int | None, *, turbo: bool) -> dict[str, str | int]:
    """Ask for a book; a precision level goes out as a power of ten."""
    level = whole(precision, PRECISIONS[0], PRECISIONS[-1], "precision")
    query: dict[str, str | int] = {"precision": str(10**level)}
    if turbo:
        query["view"] = "demand"
    return query if limit is None else {**query, "limit": whole(limit, 1, 2**31, "limit")}


def _milliseconds(value: int | datetime, what: str) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidRequest(f"{what} must be an aware datetime (give it a time zone), not {value!r}")
        value = (value - _EPOCH) // timedelta(milliseconds=1)
    number = whole(value, 0, _LATEST_MS, f"{what} (milliseconds since 1970)")
    if 0 < number < _SECONDS_BELOW:
        raise InvalidRequest(f"{what} is counted in milliseconds since 1970; {number} looks like seconds")
    return number


def bars_query(
    resolution: Resolution | str,
    start: int | datetime | None,
    end: int | datetime | None,
    count_back: int | None,
) -> dict[str, str | int]:
    """Ask for bars: from `start` to `end`, or the last `count_back` before `end`."""
    span = _member(Resolution, resolution, "resolution")
    if (start is None) == (count_back is None):
        raise InvalidRequest("bars need either a start or a count_back")
    to = _milliseconds(datetime.now(UTC) if end is None else end, "end")
    if count_back is not None:
        return {"resolution": span, "count_back": whole(count_back, 1, MAX_BARS, "count_back"), "to": to}
    assert start is not None
    since = _milliseconds(start, "start")
    if since > to:
        raise InvalidRequest(f"start ({since}) lies after end ({to})")
    if to - since > MAX_BARS * span.milliseconds:
        raise InvalidRequest(
            f"from {since} to {to} are more than {MAX_BARS} bars of {span}; ask for less at once"
        )
    return {"resolution": span, "from": since, "to": to}
