"""A simulated connection: its two ends as Trio streams, and what a fault does to both. No network.

How bytes travel is in ``_lane``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from operator import index
from random import Random
from typing import Literal

import trio

from ..simulator._memory import OneAtATime
from ._lane import Conditions, Lane

__all__ = ["Connection", "Direction", "HostileStream"]

Direction = Literal["up", "down"]
"""``"up"`` goes from the client to the server, ``"down"`` from the server to the client."""

_RECEIVE_BYTES = 64 * 1024


class HostileStream(trio.abc.HalfCloseableStream):
    """One end of a :class:`Connection`.

    Attributes:
      is_closed: whether its owner has closed it.
    """

    def __init__(self, incoming: Lane, outgoing: Lane, on_close: Callable[[], None]) -> None:
        self.is_closed = False
        self._incoming = incoming
        self._outgoing = outgoing
        self._on_close = on_close
        self._broken = False
        self._eof_sent = False
        self._sending, self._receiving = OneAtATime("send"), OneAtATime("receive")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`; waits while too much is under way. Cancelled, it may have sent a part."""
        lane, view = self._outgoing, memoryview(data)
        with self._sending:
            await self._check_send()
            while view:
                room = lane.room()
                if room > 0:
                    lane.send(view[:room], trio.current_time())
                    view = view[room:]
                else:
                    await self._wait_for_room()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until something more may be under way."""
        with self._sending:
            await self._check_send()
            while self._outgoing.room() <= 0:
                await self._wait_for_room()

    async def send_eof(self) -> None:
        """Say that no more data will be sent."""
        with self._sending:
            self._check_open()
            await trio.lowlevel.checkpoint()
            self._check_open()
            self._eof_sent = True
            self._outgoing.end(trio.current_time())
            self._outgoing.readable.unpark_all()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return some data, or nothing at the end."""
        limit = _RECEIVE_BYTES if max_bytes is None else index(max_bytes)
        if limit < 1:
            raise ValueError("max_bytes must be >= 1")
        lane = self._incoming
        with self._receiving:
            self._check_open()
            await trio.lowlevel.checkpoint()
            while True:
                self._check_whole()
                now = trio.current_time()
                data = lane.receive(limit, now)
                if data or lane.has_ended(now):
                    return data
                await _park(lane.readable, lane.next_at())

    def is_readable(self) -> bool:
        """Whether there is something to receive, be it the end or a failure."""
        now = trio.current_time()
        return self._broken or self._incoming.next_at() <= now or self._incoming.has_ended(now)

    async def aclose(self) -> None:
        """Close this end at once; the peer reads what is under way and then the end."""
        if not self.is_closed:
            self.is_closed = True
            if not self._broken:
                self._outgoing.leave(trio.current_time())
            self._on_close()
        await trio.lowlevel.checkpoint()

    def break_off(self) -> None:
        """Let everything here fail from now on; who waits must be woken."""
        self._broken = True

    def _check_open(self) -> None:
        if self.is_closed:
            raise trio.ClosedResourceError

    def _check_whole(self) -> None:
        self._check_open()
        if self._broken:
            raise trio.BrokenResourceError("the connection was reset")

    async def _check_send(self) -> None:
        self._check_open()
        if self._eof_sent:
            raise trio.ClosedResourceError("send after send_eof")
        await trio.lowlevel.checkpoint()
        self._check_sendable()

    def _check_sendable(self) -> None:
        self._check_whole()
        if trio.current_time() >= self._incoming.gone_at():
            raise trio.BrokenResourceError("the peer has closed the connection")

    async def _wait_for_room(self) -> None:
        await _park(self._outgoing.writable, self._incoming.gone_at())
        self._check_sendable()


async def _park(lot: trio.lowlevel.ParkingLot, until: float) -> None:
    if until == inf:
        await lot.park()
    else:
        with trio.move_on_at(until):
            await lot.park()


class Connection:
    """A connection of the network, for tests to look at; made by dialling.

    Attributes:
      host, port: as dialled.
      number: counts the connections to this host from 1.
      time: when it was made, on Trio's clock.
      client, server: its ends.
      is_broken: whether a fault has ended it, for one end at least.
      is_dead: whether nothing will ever come through again, and nobody was told.
    """

    def __init__(self, host: str, port: int, number: int, seed: int, conditions: Conditions) -> None:
        self.host, self.port, self.number, self.time = host, port, number, trio.current_time()
        self.is_broken = self.is_dead = False

        def lane(direction: Direction) -> Lane:
            # Draws of its own, so that what happens elsewhere changes nothing here.
            return Lane(Random(f"hostile network {seed} {host} {number} {direction}"), conditions)

        up, down = lane("up"), lane("down")
        self._lanes: dict[Direction, Lane] = {"up": up, "down": down}
        self.client = HostileStream(down, up, self._wake)
        self.server = HostileStream(up, down, self._wake)

    @property
    def is_held(self) -> bool:
        """Whether an end has not closed its stream yet, so a socket of it would be left."""
        return not (self.client.is_closed and self.server.is_closed)

    # -- what the network does to it ---------------------------------------------------------------

    def set_conditions(self, conditions: Conditions) -> None:
        """Carry as `conditions` say what has not left yet."""
        for lane in self._lanes.values():
            lane.set_conditions(conditions, trio.current_time())

    def throttle(self, rate: float) -> None:
        """Let at most `rate` bytes per second through, each way."""
        for lane in self._lanes.values():
            lane.throttle(rate, trio.current_time())

    def hold(self, direction: Direction, until: float) -> None:
        """Let nothing arrive until then, nor anybody learn of anything."""
        lane = self._lanes[direction]
        lane.held = max(lane.held, until)
        self._wake()

    def die(self) -> None:
        """Let nothing arrive ever again, nor anybody learn of anything."""
        self.is_dead = True
        for direction in self._lanes:
            self.hold(direction, inf)

    def inject(self, direction: Direction, data: bytes) -> None:
        """Put bytes behind what was sent."""
        self._lanes[direction].send(data, trio.current_time())

    def reset(self) -> None:
        """Break both ends at once; what is under way is lost."""
        self._end(self.client, self.server)

    def end_early(self) -> None:
        """Give the client the end of the stream, and the server a broken connection."""
        self._end(self.server)
        # Nobody receives at the other end, and the client may know.
        self._lanes["down"].gone = -inf

    def cut_after(self, direction: Direction, size: int, cut: Callable[[], None]) -> None:
        """Call `cut` when so many more bytes have been received."""
        self._lanes[direction].cut_after(size, cut)

    def heal(self) -> None:
        """Let everything through, unless it is dead, and forget what was to come."""
        for lane in self._lanes.values():
            lane.held = inf if self.is_dead else -inf
            lane.forget_cut()
        self._wake()

    # -- inside ------------------------------------------------------------------------------------

    def _end(self, *broken: HostileStream) -> None:
        self.is_broken = True
        for stream in broken:
            stream.break_off()
        for lane in self._lanes.values():
            lane.held = -inf
            lane.lose()
        self._wake()

    def _wake(self) -> None:
        for lane in self._lanes.values():
            lane.readable.unpark_all()
            lane.writable.unpark_all()
