"""How long a repair may still take, over the breaks that interrupt it. No I/O, no clock of its own."""

from __future__ import annotations

from math import inf

from .._network import Options

__all__ = ["Patience"]


class Patience:
    """Measures a repair from the first break that is not repaired, however often it begins again.

    It runs while a repair does, and stands still while there is no connection: nothing can be read then, and
    no live item waits.
    """

    def __init__(self) -> None:
        self._in_all = self._idle = 0.0
        self._began: float | None = None

    def start(self, now: float) -> None:
        """Note that a repair begins, perhaps again."""
        self._began = now

    def stop(self, now: float) -> None:
        """Note that the repair, if there is one, was interrupted."""
        if self._began is not None:
            self._in_all += now - self._began
            self._idle += now - self._began
            self._began = None

    def advance(self, now: float, options: Options) -> None:
        """Note that the repair made progress."""
        self.stop(now)
        # A repair that has got so far waits for the indexer no more.
        self._began, self._idle = now, options.indexer_lag

    def reset(self) -> None:
        """Note that the topic is whole, or that the gap was marked."""
        self._in_all = self._idle = 0.0
        self._began = None

    def deadline(self, options: Options, *, is_of_trades: bool) -> float:
        """Return until when the repair under way may go on; the bounds are explained in :class:`Options`."""
        assert self._began is not None
        idle = options.repair_timeout - self._idle
        in_all = options.backfill_timeout - self._in_all if is_of_trades else inf
        return self._began + options.indexer_lag + min(idle, in_all)
