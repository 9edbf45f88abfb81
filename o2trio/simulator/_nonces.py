"""Parallel nonces as the account contract keeps them: windows of used slots. Pure values, no I/O.

A nonce is packed into one number: bits 0 to 7 the bitmap position, 8 to 135 the word position, 136 to 167
the expiry, 168 to 175 the lane, and nothing above.
"""

from __future__ import annotations

import attrs

__all__ = ["LANES", "NonceRefused", "NonceWindow", "use_nonce"]

LANES = 5
"""Lanes of parallel nonces, each with a window of its own."""

_WORDS, _SLIDE, _BITS = 8, 4, 128
_EMPTY = (0,) * _WORDS


class NonceRefused(Exception):
    """A parallel nonce cannot be used; nothing has changed.

    Attributes:
      reason: as the exchange says it after ``Parallel nonce is not usable:``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@attrs.frozen(slots=True)
class NonceWindow:
    """The slots of one lane that can still be used: 8 words of 128 bits each.

    Attributes:
      base: position of the first word.
      bitmaps: the used slots of each word.
    """

    base: int = 0
    bitmaps: tuple[int, ...] = _EMPTY

    def use(self, word: int, bit: int) -> NonceWindow:
        """Return the window after a slot was used; it slides once that lies beyond its middle.

        Raises:
          NonceRefused: the slot is out of the window or used already.
        """
        at = word - self.base
        if not 0 <= at < _WORDS:
            raise NonceRefused("word position out of sliding window")
        if self.bitmaps[at] >> bit & 1:
            raise NonceRefused("nonce already used")
        bitmaps = (*self.bitmaps[:at], self.bitmaps[at] | 1 << bit, *self.bitmaps[at + 1 :])
        if at < _SLIDE:
            return NonceWindow(self.base, bitmaps)
        return NonceWindow(self.base + _SLIDE, (*bitmaps[_SLIDE:], *_EMPTY[:_SLIDE]))

    def slots(self) -> tuple[tuple[int, int], ...]:
        """Return (word position, bitmap) of every word of the window."""
        return tuple(enumerate(self.bitmaps, self.base))


def use_nonce(windows: tuple[NonceWindow, ...], packed: int, now: int) -> tuple[NonceWindow, ...]:
    """Return the windows of all lanes after a packed nonce was used.

    Args:
      windows: one for each lane.
      packed: the nonce.
      now: seconds since 1970.

    Raises:
      NonceRefused: it cannot be used.
    """
    bit, word = packed & 0xFF, packed >> 8 & (1 << 128) - 1
    expiry, lane = packed >> 136 & 0xFFFF_FFFF, packed >> 168 & 0xFF
    if packed < 0 or packed >> 176:
        raise NonceRefused("reserved bits set")
    if bit >= _BITS:
        raise NonceRefused("bitmap position out of range")
    if lane >= len(windows):
        raise NonceRefused("nonce session id out of range")
    if expiry < now:
        raise NonceRefused("nonce expired")
    return (*windows[:lane], windows[lane].use(word, bit), *windows[lane + 1 :])
