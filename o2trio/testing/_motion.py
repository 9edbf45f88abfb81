"""Notices when tasks keep each other busy for ever while virtual time stands still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

import trio

from ._world import BrokenPromise, Promise

__all__ = ["TURNS", "moving"]

TURNS = 100_000
"""Turns of Trio's loop at one and the same moment after which nothing will come any more."""

_STEPS = 1000
"""Steps of tasks that are looked at then, to tell whose they are."""


class _Clock(trio.abc.Instrument):
    """Cancels a scope when time stands still. It costs next to nothing while time goes on."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self.scope = scope
        self.busy = _Busy(scope)
        self._turns = 0
        self._time = trio.current_time()

    def before_io_wait(self, timeout: float) -> None:
        self._turns += 1
        if self._turns >= TURNS:
            now, self._turns = trio.current_time(), 0
            if now == self._time:
                trio.lowlevel.add_instrument(self.busy)
            self._time = now


class _Busy(trio.abc.Instrument):
    """Counts whose steps those are, then cancels the scope."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self.names: Counter[str] = Counter()
        self._scope = scope
        self._left = _STEPS

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.names[task.name] += 1
        self._left -= 1
        if not self._left:
            self._scope.cancel()
            trio.lowlevel.remove_instrument(self)


@contextmanager
def moving() -> Generator[None]:
    """Watch that time goes on in the block.

    Raises:
      BrokenPromise: it did not; the detail names the tasks that kept each other busy.
    """
    scope = trio.CancelScope()
    clock = _Clock(scope)
    with scope:
        trio.lowlevel.add_instrument(clock)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(clock)
    if scope.cancelled_caught:
        busy = ", ".join(f"{name} ({count})" for name, count in sorted(clock.busy.names.items()))
        raise BrokenPromise(Promise.LIVENESS, f"time stands still; busy are {busy}")
