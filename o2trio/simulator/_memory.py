"""A connection inside the process: two byte streams with bounded buffers. No protocol.

Unlike an unbounded in-memory pair it pushes back as a socket does: a peer that does not read makes
`send_all` wait.
"""

from __future__ import annotations

from operator import index

import trio

__all__ = ["BUFFER_BYTES", "MemoryStream", "OneAtATime", "memory_pair"]

BUFFER_BYTES = 256 * 1024
"""What each direction holds before the sender must wait, about what a loopback socket holds."""

_RECEIVE_BYTES = 64 * 1024


class OneAtATime:
    """Is entered for each use of one kind that is made of a stream; two at once are refused."""

    __slots__ = ("_busy", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(f"another task is using this stream to {self._what}")
        self._busy = True

    def __exit__(self, *exception: object) -> None:
        self._busy = False


class _Pipe:
    """One direction: the bytes under way and who is still there."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.no_more = False
        """The sender is done."""
        self.broken = False
        """The receiver is gone."""
        self._waiting = trio.lowlevel.ParkingLot()

    async def changed(self) -> None:
        await self._waiting.park()

    def notify(self) -> None:
        self._waiting.unpark_all()


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection; made by :func:`memory_pair`."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._sending, self._receiving = OneAtATime("send"), OneAtATime("receive")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`; waits while the peer's buffer is full. Cancelled, it may have sent a part."""
        pipe, view = self._outgoing, memoryview(data)
        with self._sending:
            await self._check_send()
            while view:
                room = BUFFER_BYTES - len(pipe.data)
                if room > 0:
                    pipe.data += view[:room]
                    view = view[room:]
                    pipe.notify()
                else:
                    await self._wait_for_room()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the peer's buffer has room."""
        with self._sending:
            await self._check_send()
            while len(self._outgoing.data) >= BUFFER_BYTES:
                await self._wait_for_room()

    async def send_eof(self) -> None:
        """Say that no more data will be sent."""
        with self._sending:
            if self._closed:
                raise trio.ClosedResourceError
            await trio.lowlevel.checkpoint()
            self._outgoing.no_more = True
            self._outgoing.notify()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return some data, or nothing at the end."""
        limit = _RECEIVE_BYTES if max_bytes is None else index(max_bytes)
        if limit < 1:
            raise ValueError("max_bytes must be >= 1")
        pipe = self._incoming
        with self._receiving:
            self._check_open()
            await trio.lowlevel.checkpoint()
            while not pipe.data:
                self._check_open()
                if pipe.no_more:
                    return b""
                await pipe.changed()
            self._check_open()
            data = bytes(pipe.data[:limit])
            del pipe.data[:limit]
            pipe.notify()
            return data

    def is_readable(self) -> bool:
        """Whether there is something to receive, be it the end."""
        return bool(self._incoming.data) or self._incoming.no_more

    async def aclose(self) -> None:
        """Close this end at once; the peer reads what is under way and then the end."""
        self._closed = True
        self._outgoing.no_more = self._incoming.broken = True
        self._outgoing.notify()
        self._incoming.notify()
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError

    async def _check_send(self) -> None:
        self._check_open()
        if self._outgoing.no_more:
            raise trio.ClosedResourceError("send after send_eof")
        await trio.lowlevel.checkpoint()
        self._check_sendable()

    def _check_sendable(self) -> None:
        self._check_open()
        if self._outgoing.broken:
            raise trio.BrokenResourceError

    async def _wait_for_room(self) -> None:
        await self._outgoing.changed()
        self._check_sendable()


def memory_pair() -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a new connection."""
    one, other = _Pipe(), _Pipe()
    return MemoryStream(one, other), MemoryStream(other, one)
