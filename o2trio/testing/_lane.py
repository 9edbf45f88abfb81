"""One direction of a simulated connection: bytes under way, when they arrive, and how they may be lost.

Nothing here waits or reads a clock: times come as arguments, in seconds. Who waits is in ``_link``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from random import Random

import attrs
import trio
from attrs.validators import ge, gt, optional

__all__ = ["Conditions", "Lane"]

_TICKS_PER_SECOND = 10
"""A link with a bandwidth delivers at most so many portions a second, of a byte at least."""


@attrs.frozen(slots=True, kw_only=True)
class Conditions:
    """How a connection carries bytes, the same in both directions. Their order is always kept.

    Attributes:
      latency: seconds from one end to the other. Dialling takes twice as long.
      jitter: up to so many seconds more, drawn for everything that is sent, once for what is sent in a row.
      bandwidth: bytes per second, or None for no limit.
      buffer: bytes under way after which the sender must wait for the receiver.
      chop: the most bytes that one receive gives, or None; how many is drawn from 1 to this number.

    Raises:
      ValueError: a number makes no sense.
    """

    latency: float = attrs.field(default=0.0, validator=ge(0))
    jitter: float = attrs.field(default=0.0, validator=ge(0))
    bandwidth: float | None = attrs.field(default=None, validator=optional(gt(0)))
    buffer: int = attrs.field(default=64 * 1024, validator=ge(1))
    chop: int | None = attrs.field(default=None, validator=optional(ge(1)))

    @property
    def rate(self) -> float:
        """Bytes per second; infinite where there is no limit."""
        return inf if self.bandwidth is None else self.bandwidth


@attrs.define(slots=True)
class _Train:
    """Bytes that leave one after the other.

    Attributes:
      data: all of them.
      start: when the first one began to leave.
      delay: how long each takes from one end to the other.
      rate: how many leave in a second.
      arrived: how many have arrived.
    """

    data: bytearray
    start: float
    delay: float
    rate: float
    arrived: int = 0

    def portion(self) -> int:
        """Return how many bytes arrive next, at once."""
        left = len(self.data) - self.arrived
        return left if self.rate == inf else min(left, max(1, int(self.rate / _TICKS_PER_SECOND)))

    def due(self) -> float:
        """Return when they arrive."""
        return self.start + self.delay + (self.arrived + self.portion()) / self.rate

    def left_by(self, now: float) -> int:
        """Return how many bytes have left."""
        if self.rate == inf:
            return len(self.data)
        return max(self.arrived, min(len(self.data), int((now - self.start) * self.rate)))


class Lane:
    """The bytes that go one way.

    Attributes:
      size: bytes under way: sent and not yet received.
      ends: when the receiver learns that no more will come.
      gone: when the receiver learns that the sender does not receive any more either.
      held: until then nothing arrives, nor does anybody learn anything.
      readable, writable: where the receiver and the sender wait. Data and room wake them; whoever changes
        anything else here does so himself.
    """

    def __init__(self, random: Random, conditions: Conditions) -> None:
        self.size = 0
        self.ends = self.gone = inf
        self.held = -inf
        self.readable = trio.lowlevel.ParkingLot()
        self.writable = trio.lowlevel.ParkingLot()
        self._random = random
        self._ready = bytearray()
        self._trains: deque[_Train] = deque()
        self._free_at = -inf
        self._left: float = inf
        self._on_cut: Callable[[], None] | None = None
        self._throttle = inf
        self._conditions = conditions
        self._apply()

    # -- the sender --------------------------------------------------------------------------------

    def room(self) -> int:
        """Return how many bytes may be sent at once; none if it is not positive."""
        return self._conditions.buffer - self.size

    def send(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Put `data` on its way, whatever room there is."""
        self.size += len(data)
        self._enter(data, now)

    def end(self, now: float) -> None:
        """Tell the receiver, behind all data, that no more will come; again changes nothing."""
        if self.ends == inf:
            self.ends = max(now, self._free_at) + self._delay()

    def leave(self, now: float) -> None:
        """Tell the receiver that the sender has closed: no more will come, and nothing is wanted."""
        self.end(now)
        self.gone = max(self.ends, now + self._conditions.latency)

    # -- the receiver ------------------------------------------------------------------------------

    def receive(self, limit: int, now: float) -> bytes:
        """Take at most `limit` bytes of those that have arrived."""
        if now < self.held:
            return b""
        self._arrive(now)
        ready = self._ready
        if not ready:
            return b""
        if self._conditions.chop is not None:
            limit = min(limit, self._random.randint(1, self._conditions.chop))
        if limit > self._left:
            limit = int(self._left)
        data = bytes(ready[:limit])
        del ready[:limit]
        self.size -= len(data)
        self._left -= len(data)
        if self.writable:
            self.writable.unpark_all()
        if self._on_cut is not None and not self._left:
            self._on_cut()
        return data

    def has_ended(self, now: float) -> bool:
        """Return whether the receiver has everything and knows it."""
        return not self.size and now >= self.ends and now >= self.held

    def gone_at(self) -> float:
        """Return when the receiver knows that the sender has closed."""
        return max(self.gone, self.held)

    def next_at(self) -> float:
        """Return when there is something to receive; ask when nothing could be received."""
        if self._ready:
            return self.held
        return max(self.held, self._trains[0].due() if self._trains else self.ends)

    # -- conditions and faults ---------------------------------------------------------------------

    def set_conditions(self, conditions: Conditions, now: float) -> None:
        """Change how bytes are carried that have not left yet."""
        self._conditions = conditions
        self._again(now)

    def throttle(self, rate: float, now: float) -> None:
        """Let at most so many bytes per second leave, even if the conditions allow more."""
        if rate != self._throttle:
            self._throttle = rate
            self._again(now)

    def cut_after(self, size: int, on_cut: Callable[[], None]) -> None:
        """Call `on_cut` when so many more bytes have been received; at once if that is none."""
        self._left, self._on_cut = size, on_cut
        if not size:
            on_cut()

    def forget_cut(self) -> None:
        """Forget :meth:`cut_after`."""
        self._left, self._on_cut = inf, None

    def lose(self) -> None:
        """Lose everything that is under way, and end."""
        self.forget_cut()
        self._trains.clear()
        self._ready.clear()
        self.size, self.ends = 0, -inf

    # -- inside ------------------------------------------------------------------------------------

    def _apply(self) -> None:
        conditions = self._conditions
        self._rate = min(conditions.rate, self._throttle)
        self._is_plain = not conditions.latency and not conditions.jitter and self._rate == inf

    def _delay(self) -> float:
        conditions = self._conditions
        return conditions.latency + (self._random.random() * conditions.jitter if conditions.jitter else 0.0)

    def _enter(self, data: bytes | bytearray | memoryview, now: float) -> None:
        if not data:
            return
        waits = bool(self._trains)
        if self._is_plain and not waits:
            waits = bool(self._ready)
            self._ready += data
        else:
            start = max(now, self._free_at)
            if waits and start > now and self._trains[-1].rate == self._rate:
                # It leaves right behind the last one: one train, or a busy link would be woken for each.
                self._trains[-1].data += data
            else:
                self._trains.append(_Train(bytearray(data), start, self._delay(), self._rate))
            self._free_at = start + len(data) / self._rate
        if not waits:
            self.readable.unpark_all()

    def _arrive(self, now: float) -> None:
        trains = self._trains
        while trains and trains[0].due() <= now:
            head = trains[0]
            first, count = head.arrived, head.portion()
            head.arrived += count
            self._ready += head.data[first : first + count]
            if head.arrived == len(head.data):
                trains.popleft()

    def _again(self, now: float) -> None:
        """Send anew, as things are now, the bytes that have not left yet."""
        self._arrive(now)
        waiting = bytearray()
        under_way: deque[_Train] = deque()
        for train in self._trains:
            left = train.left_by(now)
            waiting += train.data[left:]
            train.data = train.data[:left]
            if train.arrived < left:
                under_way.append(train)
        self._trains, self._free_at = under_way, min(self._free_at, now)
        self._apply()
        self._enter(waiting, now)
        if now < self.ends < inf:
            self.ends = max(now, self._free_at) + self._delay()
            self.gone = self.gone if self.gone == inf else self.ends
        # Everybody may have to wait for another moment than before.
        self.readable.unpark_all()
        self.writable.unpark_all()
