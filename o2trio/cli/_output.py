"""Standard output that never blocks the program, and the clock on the wall."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable

import trio

__all__ = ["Clock", "StandardOutput", "Write", "wall_clock"]

Write = Callable[[str], Awaitable[None]]
"""Writes one or more whole lines, without the last line's end."""
Clock = Callable[[], int]
"""Tells the time in nanoseconds since 1970."""

wall_clock: Clock = time.time_ns


class StandardOutput:
    """Writes lines to a file descriptor, each call flushed.

    A pipe may be full for as long as its reader likes. So a thread does the waiting, and the
    connections live on; what arrives meanwhile is subject to the streams' own rules for slow consumers.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._turn = trio.Lock()
        self._busy = threading.Lock()

    async def write(self, text: str) -> None:
        """Write `text` and a line end.

        If cancelled, it does not wait for the reader any longer; :meth:`settle` does, a little.

        Raises:
          BrokenPipeError: nobody reads any more.
        """
        data = f"{text}\n".encode(errors="backslashreplace")
        async with self._turn:
            await trio.to_thread.run_sync(self._write, data, abandon_on_cancel=True)

    def settle(self, seconds: float = 1.0) -> None:
        """Give a write that was abandoned the time to finish its line."""
        if self._busy.acquire(timeout=seconds):
            self._busy.release()

    def _write(self, data: bytes) -> None:
        # Not through sys.stdout: a thread that is left behind in it would spoil the interpreter's end.
        with self._busy:
            while data:
                data = data[os.write(self._descriptor, data) :]
