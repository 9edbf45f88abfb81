"""One WebSocket of the server: its bounded queue, its reader and writer, its end. No HTTP.

What a message means is decided in ``_feeds``.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import trio
from wsproto import WSConnection
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from ._feeds import Feed, Subscription

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


def text_frame(text: str) -> bytes:
    """Return one unmasked, unfragmented WebSocket text frame."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 2**16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class Connection:
    """One WebSocket, for tests to look at and to meddle with.

    Attributes:
      number: counts the sockets of a simulator from 1.
      requests: the latest inbound messages.
    """

    def __init__(self, number: int, feed: Feed, gate: Gate, scope: trio.CancelScope) -> None:
        self.number = number
        self.requests: deque[str] = deque(maxlen=REQUESTS_KEPT)
        self._feed = feed
        self._gate = gate
        self._scope = scope
        self._outbox: deque[tuple[float, bytes]] = deque()
        self._outbox_bytes = 0
        self._due = 0.0
        self._wake = trio.Event()
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

    def send(self, data: bytes) -> None:
        """Queue bytes; never waits. A client that does not read is disconnected."""
        if self._overflowed or self._finished:
            return
        # A frame waits for those before it, so none is due earlier, even if the latency shrinks.
        self._due = max(self._due, trio.current_time() + self._gate.latency)
        self._outbox.append((self._due, data))
        self._outbox_bytes += len(data)
        self._wake.set()
        if len(self._outbox) > OUTBOX_FRAMES or self._outbox_bytes > OUTBOX_BYTES:
            self._overflowed = True
            self._outbox.clear()
            self.drop_if_overflowed()

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
            if inbox.replies:
                self.send(inbox.take_replies())
            if inbox.over:
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
        for text in self._feed.receive(message, trio.current_time()):
            self.send_raw(text)

    async def _write(self, stream: trio.abc.Stream) -> None:
        """Send what is queued until the end."""
        try:
            while True:
                await self._wake.wait()
                if self._outbox and self._outbox[0][0] > trio.current_time():
                    await trio.sleep_until(self._outbox[0][0])
                await self._gate.passed()
                self._wake = trio.Event()
                data = self._take()
                if data:
                    await stream.send_all(data)
                elif self._finished:
                    return
                if self._outbox or self._finished:
                    self._wake.set()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.drop()

    def _take(self) -> bytes:
        """Take everything that is due out of the queue."""
        now, frames = trio.current_time(), list[bytes]()
        while self._outbox and self._outbox[0][0] <= now:
            frames.append(self._outbox.popleft()[1])
        data = b"".join(frames)
        self._outbox_bytes -= len(data)
        return data


class _Inbox:
    """Inbound WebSocket data as messages; collects what the protocol itself answers."""

    def __init__(self, ws: WSConnection) -> None:
        self._ws = ws
        self._parts: list[str] = []
        self._size = 0
        self.replies = bytearray()
        self.over = False

    def feed(self, data: bytes) -> None:
        self._ws.receive_data(data)

    def take_replies(self) -> bytes:
        replies, self.replies = bytes(self.replies), bytearray()
        return replies

    def messages(self) -> list[str | None]:
        """Return the complete messages so far, None for a binary one."""
        found: list[str | None] = []
        for event in self._ws.events():
            if isinstance(event, TextMessage):
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
                self.replies += self._ws.send(event.response())
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
            self.replies += self._ws.send(event)
