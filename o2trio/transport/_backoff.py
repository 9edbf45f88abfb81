"""How long to wait before trying again: backoff delays and ``Retry-After``. No clock, no sleeping."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .._network import Options

__all__ = ["backoff_delays", "parse_retry_after"]

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def backoff_delays(options: Options) -> Iterator[float]:
    """Yield waits in seconds, without end: exponential, capped, with full jitter.

    The n-th wait, counted from 0, is drawn evenly from 0 to ``min(cap, initial * factor**n)``. Start a
    new generator to begin again at the initial wait.
    """
    bound = options.backoff_initial
    while True:
        # The bound is capped at each step, so it never grows towards an overflow.
        bound = min(bound, options.backoff_cap)
        yield options.jitter() * bound
        bound *= options.backoff_factor


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait, or None if it asks nothing readable.

    Args:
      value: the header's text, a number of seconds or an HTTP date.
      now: an aware time to measure a date against; None takes the system's clock.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    seconds = (when - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, math.ceil(seconds))
