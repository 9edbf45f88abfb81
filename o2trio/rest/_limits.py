"""Client-side rate limits: a pure token bucket, the exchange's published rates, and a limiter that waits.

What is limited by what is told by the tables here; who asks, and what for, is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import attrs
import trio

__all__ = ["RATES", "Bucket", "Group", "Limiter", "Rate", "read_group", "write_group"]


@attrs.frozen(slots=True)
class Rate:
    """At most `count` requests within any `seconds`."""

    count: int
    seconds: float


class Group(Enum):
    """Requests that share one limit."""

    READS = "reads"
    FEES = "fees"
    AGGREGATED = "aggregated"
    SESSION = "session"
    ACTIONS = "actions"
    ACCOUNT_CREATION = "account creation"
    ACCOUNT_WRITES = "account writes"
    SERVICES = "services"


_MARGIN = 1.1
"""How much longer than published we wait: requests that left evenly may arrive in a bunch."""

RATES: Mapping[Group, Rate] = {
    # The exchange publishes no limit for most reads. One other client counts on 100 a second; a fifth of
    # that is plenty here. Options.reads_per_second replaces it.
    Group.READS: Rate(20, 1.0),
    Group.FEES: Rate(5, 1.0 * _MARGIN),
    Group.AGGREGATED: Rate(5, 1.0 * _MARGIN),
    # From here on the exchange counts by owner, except that accounts are created by address.
    Group.SESSION: Rate(5, 1.0 * _MARGIN),
    Group.ACTIONS: Rate(5, 1.0 * _MARGIN),
    Group.ACCOUNT_CREATION: Rate(1, 1.0 * _MARGIN),
    Group.ACCOUNT_WRITES: Rate(10, 60.0 * _MARGIN),
    # The faucet and the whitelist publish no limit.
    Group.SERVICES: Rate(5, 1.0 * _MARGIN),
}

_READ_GROUPS: tuple[tuple[str, Group], ...] = (
    ("/v1/aggregated/", Group.AGGREGATED),
    ("/v1/markets/fees", Group.FEES),
)


def read_group(path: str) -> Group:
    """Return the group that a read of `path` belongs to."""
    return next((group for prefix, group in _READ_GROUPS if path.startswith(prefix)), Group.READS)


_WRITE_GROUPS: Mapping[str, Group] = {
    "/v1/session": Group.SESSION,
    "/v1/session/actions": Group.ACTIONS,
}


def write_group(path: str) -> Group:
    """Return the group that a signed submission to `path` belongs to: the strictest if it is not listed."""
    return _WRITE_GROUPS.get(path, Group.ACCOUNT_WRITES)


@attrs.frozen(slots=True)
class Bucket:
    """A bucket of tokens, as a value: one for each request; a spent one comes back after `rate.seconds`.

    Because each token is away for the whole time, no window of that length ever sees more than
    `rate.count` requests; a bucket that is filled evenly would allow almost twice as many after a rest.

    Attributes:
      rate: how many tokens there are and how long a spent one is away.
      away: when the spent ones come back, soonest first.
    """

    rate: Rate
    away: tuple[float, ...] = ()

    def wait(self, now: float) -> float:
        """Return how many seconds after `now` a token is there; 0 if there is one."""
        if len(self.away) < self.rate.count:
            return 0.0
        return max(self.away[-self.rate.count] - now, 0.0)

    def take(self, now: float) -> Bucket:
        """Return the bucket after a token was taken, for which :meth:`wait` must have told 0."""
        still = tuple(back for back in self.away if back > now)
        return attrs.evolve(self, away=(*still, now + self.rate.seconds))


class _Lane:
    """One bucket and those who queue for it."""

    def __init__(self, rate: Rate) -> None:
        self.bucket = Bucket(rate)
        self.held_until = 0.0
        self.queue = trio.Lock()

    def wait(self, now: float) -> float:
        return max(self.bucket.wait(now), self.held_until - now)

    def is_idle(self, now: float) -> bool:
        free = not self.queue.locked() and self.held_until <= now
        return free and all(back <= now for back in self.bucket.away)


class Limiter:
    """Lets requests go at their rates, first come, first served.

    Args:
      rates: the rate of each group.
    """

    MAX_KEYS = 1024
    """Keys that are remembered; beyond it, those that have all their tokens are forgotten."""

    def __init__(self, rates: Mapping[Group, Rate] = RATES) -> None:
        self._rates = rates
        self._lanes: dict[tuple[Group, str], _Lane] = {}

    async def acquire(self, group: Group, key: str = "") -> None:
        """Wait for a token and take it.

        A checkpoint. Cancelling it takes no token and keeps the order of the others.

        Args:
          group: what is asked for.
          key: whom the exchange counts by, for example the owner id; nothing where it counts by address.
        """
        lane = self._lane(group, key)
        async with lane.queue:
            while True:
                now = trio.current_time()
                wait = lane.wait(now)
                if wait <= 0:
                    break
                await trio.sleep(wait)
            lane.bucket = lane.bucket.take(now)

    def hold(self, group: Group, seconds: float, key: str = "") -> None:
        """Let nothing of the group go for so many seconds: the exchange has asked for a pause."""
        lane = self._lane(group, key)
        lane.held_until = max(lane.held_until, trio.current_time() + seconds)

    def _lane(self, group: Group, key: str) -> _Lane:
        lane = self._lanes.get((group, key))
        if lane is None:
            if len(self._lanes) >= self.MAX_KEYS:
                now = trio.current_time()
                self._lanes = {name: lane for name, lane in self._lanes.items() if not lane.is_idle(now)}
            lane = self._lanes[group, key] = _Lane(self._rates[group])
        return lane
