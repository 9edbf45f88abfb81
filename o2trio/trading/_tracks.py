"""The two kinds of nonces of a trading account: one counter, and lanes of slots. They send nothing.

Who signs with a nonce tells here what became of it. What the exchange says on its own account (an answer
to a read, the nonce stream) arrives here too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

import trio

from .._errors import InvalidRequest
from .._integers import as_integer
from ..models import AccountWindow
from ..rest._arguments import LANES
from ._bytes import ParallelNonce

__all__ = ["Lane", "SequentialTrack", "Track", "check_lane"]

IN_FLIGHT = 64
"""Submissions that one lane has under way at most. Far less than half of the exchange's window of 1024
slots, so that a late one is never overtaken by so many that its slot falls out of the window."""

PARALLEL_LIFE = 120
"""Seconds after which a parallel nonce that was not used is void; the official clients choose the same."""

FARTHEST = 10_000
"""A nonce that an answer names is believed if it is at most so far ahead; otherwise the nonce is read."""

_POLL_SECONDS = 0.25
_BITS = 128
_WORDS = 8


class Track(StrEnum):
    """Which kind of nonce a submission uses."""

    SEQUENTIAL = "sequential"
    """One after the other; works with every account."""
    PARALLEL = "parallel"
    """Any number at once; needs a newer account contract (see :meth:`O2Client.upgrade_account`)."""


def check_lane(lane: int | None) -> int | None:
    """Return a lane as a plain integer, or None; refuse anything else.

    Raises:
      InvalidRequest: `lane` is neither None nor a number of a lane.
    """
    lane = None if lane is None else as_integer(lane)
    if lane is not None and (isinstance(lane, bool) or not isinstance(lane, int) or lane not in LANES):
        raise InvalidRequest(f"lane must be {LANES[0]} to {LANES[-1]} or None, not {lane!r:.40}")
    return lane


class SequentialTrack:
    """The counter that owner operations and session actions of one account share.

    Whoever wants to use a nonce holds :attr:`turn` from :meth:`next` until it is known, or known to be
    unknown, what became of it.

    Args:
      read: reads the nonce from the exchange; its answer may be old, but was true once.
      lag: how old, in seconds.
    """

    def __init__(self, read: Callable[[], Awaitable[int]], lag: float) -> None:
        self.turn = trio.Lock()
        self.floor = 0
        """The nonce is at least this: nonces never go back, so whatever the exchange said stays true."""
        self._read = read
        self._lag = lag
        self._guess = 0
        self._doubt: int | None = -1
        """A nonce of which it is open whether it is used; None while the guess is certain."""

    async def next(self) -> int:
        """Return the nonce to sign with.

        Raises:
          ApiError, RequestFailed, DecodeError: it has to be read, and cannot.
        """
        if self._doubt is not None:
            self.told(await self._read())
            self._doubt = None
        return self._guess

    async def read(self) -> int:
        """Read the nonce from the exchange and return the new floor."""
        self.told(await self._read())
        return self.floor

    def told(self, nonce: int) -> None:
        """Learn a nonce that the exchange has shown, now or a while ago."""
        self.floor = max(self.floor, nonce)
        self._guess = max(self._guess, self.floor)
        if self._doubt is not None and self.floor > self._doubt >= 0:
            self._doubt = None

    def used(self, nonce: int) -> None:
        """Learn that a transaction with this nonce succeeded."""
        self.told(nonce + 1)

    def reverted(self, nonce: int) -> None:
        """Learn that a transaction with this nonce failed on chain; as far as is known it moves the nonce."""
        self._guess = max(self._guess, nonce + 1)
        self._doubt = nonce

    def named(self, nonce: int, right: int | None) -> bool:
        """Learn the right nonce from the answer to a submission with `nonce`; return whether it was believed.

        Only a later one is, since nonces never go back, and none that is very far ahead, since it can be read
        as well. The next one is as good as read. Any other is a guess, so if it is wrong in turn, reads
        correct it.
        """
        if right is None or not nonce < right <= nonce + FARTHEST:
            return False
        if right == nonce + 1:
            self.told(right)
        self._guess = max(self._guess, right)
        self._doubt = None
        return True

    def unknown(self, nonce: int) -> None:
        """Learn that nobody knows whether this nonce is used.

        The next submission may well sign with it again: of all that sign with one nonce, one can run.
        """
        self._doubt = nonce

    def doubt(self) -> None:
        """Learn that somebody else may have used nonces."""
        self._doubt = self._guess if self._doubt is None else self._doubt

    async def passes(self, nonce: int) -> bool:
        """Return whether reads show a higher nonce than this one, as soon as they have caught up."""
        deadline = trio.current_time() + self._lag
        while await self.read() <= nonce:
            if trio.current_time() >= deadline:
                return False
            await trio.sleep(_POLL_SECONDS)
        return True

    async def skip(self, nonce: int) -> bool:
        """Find the right nonce after the exchange has refused this one; return whether there is another.

        It is waited for until reads are no longer old, because the nonce is sometimes ahead of them. If they
        then still show a lower one, that is the right one: what was taken for used never was.
        """
        if not await self.passes(nonce):
            self._guess = self.floor
        self._doubt = None
        return self._guess != nonce


class Lane:
    """One lane of parallel nonces: a counter through the slots of the exchange's sliding window.

    Args:
      number: which lane.
      read: reads the window from the exchange.
      now: the exchange's time in seconds since 1970.
    """

    def __init__(
        self, number: int, read: Callable[[int], Awaitable[AccountWindow]], now: Callable[[], float]
    ) -> None:
        self.number = number
        self.in_flight = trio.CapacityLimiter(IN_FLIGHT)
        self._read = read
        self._now = now
        self._reading = trio.Lock()
        self._first = self._next = 0
        self._is_synced = False

    async def next(self) -> ParallelNonce:
        """Return a nonce that nobody here has used.

        Raises:
          ApiError, RequestFailed, DecodeError: the window has to be read, and cannot.
        """
        if not self._is_synced:
            async with self._reading:
                if not self._is_synced:
                    self._next = self._first = await self._first_free()
                    self._is_synced = True
        slot = self._next
        self._next += 1
        return self._nonce(slot)

    def refused(self, nonce: ParallelNonce) -> None:
        """Learn that a nonce was out of the window or expired: the window will be read again, once.

        Nothing happens if it has been read again since that nonce was given out.
        """
        if nonce.word * _BITS + nonce.bit >= self._first:
            self._is_synced = False

    async def is_used(self, nonce: ParallelNonce) -> bool | None:
        """Ask the exchange whether a nonce is used; None if the window is past it, so that it cannot tell."""
        window = await self._read(self.number)
        if nonce.word < window.base:
            return None
        bitmaps = {slot.word_position: slot.bitmap for slot in window.slots}
        return bool(bitmaps.get(nonce.word, 0) >> nonce.bit & 1)

    async def _first_free(self) -> int:
        window = await self._read(self.number)
        used = [
            slot.word_position * _BITS + slot.bitmap.bit_length()
            for slot in window.slots
            # A slot far from the window is left over from words that have gone by.
            if slot.bitmap and slot.word_position >= window.base
        ]
        first = max(used, default=window.base * _BITS)
        # What was given out may be under way still, and the answer may be old: nothing is given out again,
        # except when so much of it never arrived that the window does not reach to where we are.
        return max(first, self._next) if self._next < (window.base + _WORDS) * _BITS else first

    def _nonce(self, slot: int) -> ParallelNonce:
        word, bit = divmod(slot, _BITS)
        return ParallelNonce(lane=self.number, expiry=int(self._now()) + PARALLEL_LIFE, word=word, bit=bit)
