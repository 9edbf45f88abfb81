"""The exchange's rate limits as protocol notes 3.2 list them, without I/O and without a clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs

__all__ = ["LIMITS", "Limit", "Limiter"]

KEYS_KEPT = 1000
"""So many (limit, key) pairs are counted at once; who was idle the longest is forgotten first."""


@attrs.frozen(slots=True)
class Limit:
    """At most `count` requests in any `seconds`, for all paths that begin with one of `paths`.

    Attributes:
      method: only this method counts.
      by_owner: counted for each ``O2-Owner-Id``; otherwise all clients together, who share an address here.
    """

    method: str
    paths: tuple[str, ...]
    count: int
    seconds: float
    by_owner: bool = False


LIMITS: Sequence[Limit] = (
    Limit("PUT", ("/v1/session",), 5, 1.0, by_owner=True),
    Limit("POST", ("/v1/session/actions",), 5, 1.0, by_owner=True),
    Limit(
        "POST",
        tuple(f"/v1/accounts/{name}" for name in ("actions", "call", "upgrade", "withdraw")),
        10,
        60.0,
        by_owner=True,
    ),
    Limit("POST", ("/v1/accounts",), 1, 1.0),
    Limit("GET", ("/v1/markets/fees",), 5, 1.0),
    Limit("GET", ("/v1/aggregated/",), 5, 1.0),
)
"""What the exchange publishes; the first that fits a request counts."""


class Limiter:
    """Counts requests.

    Args:
      limits: the first that fits a request counts.
    """

    def __init__(self, limits: Sequence[Limit] = LIMITS) -> None:
        self._limits = limits
        self._times: dict[tuple[Limit, str], deque[float]] = {}

    def wait(self, method: str, path: str, owner: str, now: float) -> float:
        """Count a request, and return 0; or, if it is one too many, after how many seconds one is free."""
        limit = next(
            (one for one in self._limits if one.method == method and path.startswith(one.paths)), None
        )
        if limit is None:
            return 0.0
        key = (limit, owner if limit.by_owner else "")
        times = self._times.pop(key, None) or deque(maxlen=limit.count)
        self._times[key] = times
        if len(self._times) > KEYS_KEPT:
            del self._times[next(iter(self._times))]
        if len(times) == limit.count and times[0] + limit.seconds > now:
            return times[0] + limit.seconds - now
        times.append(now)
        return 0.0
