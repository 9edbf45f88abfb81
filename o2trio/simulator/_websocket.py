"""One WebSocket of the server: its bounded queue, its reader and writer, its end. No HTTP.

What a message means is decided in ``_feeds``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf

import trio
from wsproto import WSConnection
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from ._feeds import Feed, Subscription
from ._frame_faults import FrameFaults
from ._ws_frames import text_frame
from ._ws_requests import is_heartbeat

__all__ = ["CLOSE_SECONDS", "MESSAGE_BYTES", "Connection", "Gate", "text_frame"]

INACTIVITY_SECONDS = 60.0
"""A WebSocket without an inbound message for so long is closed; protocol pings do not count."""

CLOSE_SECONDS = 2.0
"""How long a closing connection may take to send what is left."""

OUTBOX_FRAMES = 50_000
"""A client that leaves so many frames unread is disconnected."""

OUTBOX_BYTES = 16 * 2**20
"""The same in bytes."""

MESSAGE_BYTES = 64 * 1024
"""The largest inbound message."""

REQUESTS_KEPT = 1000
"""How many inbound messages a connection remembers for tests."""

_BINARY_REFUSED = '{"code":1002,"message":"expected a text frame"}'


class Gate:
    """What every byte to a client passes; shut, the network is a black hole.

    Attributes:
      shut: whether everything is held back.
      latency: seconds that a WebSocket's frames take to the client.
    """

    def __init__(self, latency: float = 0.0) -> None:
        self.shut = False
        self.latency = latency
        self._opened = trio.Event()

    def close(self) -> None:
        """Hold back everything from now on."""
        self.shut, self._opened = True, trio.Event()

    def open(self) -> None:
        """Let everything through that was held back."""
        self.shut = False
        self._opened.set()

    async def passed(self) -> None:
        """Wait until the gate is open; no checkpoint when it is."""
        while self.shut:
            await self._opened.wait()


class Connection:
    """One WebSocket, for tests to look at and to meddle with.

    Attributes:
      number: counts the sockets of a simulator from 1.
      requests: the latest inbound messages.
    """

    def __init__(
        self,
        number: int,
        feed: Feed,
        gate: Gate,
        frames: FrameFaults,
        scope: trio.CancelScope,
        encode: Callable[[str], bytes] = text_frame,
    ) -> None:
        self.number = number
        self.requests: deque[str] = deque(maxlen=REQUESTS_KEPT)
        self._feed = feed
        self._gate = gate
        self._frames = frames
        self._scope = scope
        self._encode = encode
        self._outbox: deque[tuple[float, bytes]] = deque()
        self._outbox_bytes = 0
        self._held: str | None = None
        """The stream of the last frame in the outbox, if others may overtake that."""
        self._late: deque[tuple[float, bytes]] = deque()
        """Answers to heartbeats that shall come late."""
        self._due = 0.0
        self._wake = trio.Event()
        self._listening = trio.CancelScope()
        self._closing = False
        self._finished = False
        self._overflowed = False

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What this socket is subscribed to, oldest first."""
        return self._feed.subscriptions

    def drop(self) -> None:
        """Cut the connection without a closing handshake."""
        self._scope.cancel()

    def send_raw(self, text: str) -> None:
        """Send any text as one frame."""
        self.send(text_frame(text))

    @property
    def is_undisturbed(self) -> bool:
        """Whether the next message is sent as it is, behind all others."""
        return self._held is None and self._frames.is_quiet

    def send_text(self, text: str) -> None:
        """Queue a message, or what tests want to be sent instead."""
        if self.is_undisturbed:
            self.send(self._encode(text))
        else:
            self.send(*self._frames.disturb(text))

    def send(self, data: bytes, stream: str | None = None, hold: float = 0.0) -> None:
        """Queue bytes; never waits. A client that does not read is disconnected.

        Args:
          data: whole frames.
          stream: the stream they belong to; None if they must overtake nothing.
          hold: so many seconds the next frames may overtake them, if those are of another stream.
        """
        if self._overflowed or self._closing or self._finished:
            return
        # A frame waits for those before it, so none is due earlier, even if the latency shrinks.
        self._due = max(self._due, trio.current_time() + self._gate.latency)
        if self._held is None:
            self._outbox.append((self._due + hold, data))
            self._held = stream if hold else None
        else:
            until, late = self._outbox.pop()
            pair = [(min(until, self._due), late), (self._due, data)]
            if stream not in {None, self._held}:
                pair.reverse()
                self._frames.swapped()
            self._outbox += pair
            self._held = None
        self._outbox_bytes += len(data)
        self._wake.set()
        if len(self._outbox) > OUTBOX_FRAMES or self._outbox_bytes > OUTBOX_BYTES:
            self._overflowed = True
            self._outbox.clear()
            self.drop_if_overflowed()

    def close(self, frame: bytes) -> None:
        """Send a closing frame and nothing after it; wait for the client's for a bounded time."""
        self.send(frame)
        self._closing = True
        self._listening.deadline = self._due + CLOSE_SECONDS

    def drop_if_overflowed(self) -> None:
        """Disconnect a client that did not read; a muted connection first when it is heard again."""
        if self._overflowed and not self._gate.shut:
            self.drop()

    @property
    def is_open(self) -> bool:
        """Whether the connection still sends and receives."""
        return not self._finished

    async def run(self, stream: trio.abc.Stream, ws: WSConnection, early: bytes) -> None:
        """Serve an accepted WebSocket until either side ends it; `early` data came first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, stream, name=f"simulator writer {self.number}")
            with self._listening:
                await self._read(stream, ws, early)
            self._finished = True
            self._wake.set()
            await self._gate.passed()
            nursery.cancel_scope.deadline = max(self._due, trio.current_time()) + CLOSE_SECONDS

    async def _read(self, stream: trio.abc.Stream, ws: WSConnection, early: bytes) -> None:
        """Handle inbound frames until the connection ends."""
        inbox = _Inbox(ws)
        if early:
            inbox.feed(early)
        deadline = trio.current_time() + INACTIVITY_SECONDS
        while True:
            for message in inbox.messages():
                deadline = trio.current_time() + INACTIVITY_SECONDS
                self._handle(message)
            while inbox.pongs:
                self._answer(inbox.pongs.popleft())
            if inbox.over:
                self.send(inbox.farewell)
                return
            data = b""
            with trio.move_on_at(deadline) as limit:
                data = await self._receive(stream)
            if limit.cancelled_caught:
                self.send(ws.send(CloseConnection(CloseReason.GOING_AWAY, "inactive")))
                return
            if not data:
                return
            inbox.feed(data)

    async def _receive(self, stream: trio.abc.Stream) -> bytes:
        """Return inbound bytes, nothing at the end of the stream or when it broke."""
        try:
            return bytes(await stream.receive_some())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    def _handle(self, message: str | None) -> None:
        if message is None:
            self.send_raw(_BINARY_REFUSED)
            return
        self.requests.append(message)
        answers = self._feed.receive(message, trio.current_time())
        if is_heartbeat(message):
            for text in answers:
                self._answer(text_frame(text))
        else:
            for text in answers:
                self.send_text(text)

    def _answer(self, pong: bytes) -> None:
        """Answer a heartbeat, unless tests want that late or not at all."""
        delay = self._frames.pong()
        if delay:
            due = max(self._late[-1][0] if self._late else 0.0, trio.current_time() + delay)
            self._late.append((due, pong))
            self._wake.set()
        elif delay is not None:
            self.send(pong)

    async def _write(self, stream: trio.abc.Stream) -> None:
        """Send what is queued until the end."""
        try:
            while await self._is_due():
                await self._gate.passed()
                await stream.send_all(self._take())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.drop()

    async def _is_due(self) -> bool:
        """Wait until there is something to send now; return False when nothing more will come."""
        while True:
            while self._late and self._late[0][0] <= trio.current_time():
                self.send(self._late.popleft()[1])
            next_frame = self._outbox[0][0] if self._outbox else inf
            if next_frame <= trio.current_time():
                return True
            if self._finished and not self._outbox:
                return False
            self._wake = trio.Event()
            with trio.move_on_at(min(next_frame, self._late[0][0] if self._late else inf)):
                await self._wake.wait()

    def _take(self) -> bytes:
        """Take everything that is due out of the queue."""
        now, frames = trio.current_time(), list[bytes]()
        while self._outbox and self._outbox[0][0] <= now:
            frames.append(self._outbox.popleft()[1])
        if not self._outbox:
            self._held = None
        data = b"".join(frames)
        self._outbox_bytes -= len(data)
        return data


class _Inbox:
    """Inbound WebSocket data as messages; collects what the protocol itself answers."""

    def __init__(self, ws: WSConnection) -> None:
        self._ws = ws
        self._parts: list[str] = []
        self._size = 0
        self.pongs: deque[bytes] = deque()
        self.farewell = b""
        self.over = False

    def feed(self, data: bytes) -> None:
        self._ws.receive_data(data)

    def messages(self) -> list[str | None]:
        """Return the complete messages so far, None for a binary one."""
        found: list[str | None] = []
        for event in self._ws.events():
            if isinstance(event, TextMessage):
                if event.data:  # of empty fragments there may be any number
                    self._parts.append(event.data)
                self._grow(len(event.data))
                if event.message_finished:
                    found.append("".join(self._parts))
                    self._parts, self._size = [], 0
            elif isinstance(event, BytesMessage):
                self._grow(len(event.data))
                if event.message_finished:
                    found.append(None)
                    self._size = 0
            elif isinstance(event, Ping):
                self.pongs.append(self._ws.send(event.response()))
            elif isinstance(event, CloseConnection):  # the client's, or wsproto's word on a violation
                self._close(event.response())
            if self.over:
                break
        return found

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MESSAGE_BYTES:
            self._close(CloseConnection(CloseReason.MESSAGE_TOO_BIG, "message too big"))

    def _close(self, event: CloseConnection) -> None:
        self.over = True
        with suppress(LocalProtocolError):
            self.farewell = self._ws.send(event)
