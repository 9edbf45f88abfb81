"""The protocol engine of a link: wsproto, with a short way around it for whole plain text frames.

Nearly every frame of a stream is one unmasked, unfragmented text frame. Such a frame is decoded and handed
out as soon as it is complete. Of everything else (control frames, fragments, binary, very long texts,
whatever breaks a rule) only the length is read here, to find where it ends, and wsproto gets the bytes up to
there. So wsproto sees the stream as it came with some text frames cut out, and all judgement stays with it.
It may come later than from wsproto alone: a header or a plain text that is wrong from its first bytes is
judged when it is whole, or when the stream ends. Nothing here does I/O or knows what a message means.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage

__all__ = ["MORE", "Engine", "Inbox", "Receiver"]

Receiver = Callable[[Iterator[str | bytes]], bool]
"""Takes messages, perhaps none; returns true if it stopped early, for other tasks to have their turn."""

MORE = b"more"
"""Stands for what was left over when the receiver stopped."""

_head_of = struct.Struct(">HH").unpack_from
_SHORT = (2, 0)
_LONG = {126: (4, 126), 127: (10, 1 << 16)}
"""How long a header is, and the least length that it may tell, by what its second byte says."""


class Engine(WSConnection):
    """A client's protocol engine that hands whole messages to a receiver, in the order of their frames.

    It is driven as wsproto's own: bytes into :meth:`receive_data`, then everything out of :meth:`events`. A
    message that went the long way comes back through an :class:`Inbox` before the next frame is looked at.

    Attributes:
      has_more: whether :data:`MORE` is to be given to :meth:`receive_data`, after others have had their turn.
      returned: whole messages that went the long way.
      bug: what the receiver raised, if it did.
      now: when the bytes of the current read arrived; the reader sets it.
      began: when the first byte of a message arrived that is still incomplete, or None.
    """

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(ConnectionType.CLIENT)
        self.has_more = False
        self.returned: deque[str | bytes] = deque()
        self.bug: Exception | None = None
        self.now = 0.0
        self.began: float | None = None
        self._limit = max_message_bytes
        self._kept: list[str | bytes] = []
        self._receiver: Receiver = self._keep
        self._buffer = bytearray()
        self._short_way = True
        self._inside = False  # of a message in fragments
        self._completed = False  # a message, in the present read
        self._missing = 0  # bytes of the buffer, before its first frame is complete
        self._passing = 0  # bytes of the present frame that are still wsproto's

    def listen(self, receiver: Receiver) -> None:
        """Hand messages to `receiver` from now on, first those that came before anybody listened."""
        kept, self._kept, self._receiver = self._kept, [], receiver
        for message in kept:
            receiver(iter((message,)))

    def finish(self) -> bytes:
        """Wait no more for the rest of a frame: return what there is of it, which wsproto is to judge."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._short_way = False
        return rest

    def keep(self, data: bytes) -> None:
        """Take bytes of frames that came along with the handshake, and treat them as left over."""
        self._buffer += data
        self.has_more = bool(data)

    def receive_data(self, data: bytes | None) -> None:
        """Take bytes, or :data:`MORE`. Those of the handshake must come apart from the frames behind it."""
        if self.connection is None or data is None:
            super().receive_data(data)
        elif data is not MORE:
            self._buffer += data

    def events(self) -> Generator[Event]:
        """Yield what is to be acted upon, and hand messages out in between."""
        while True:
            for event in super().events():
                if isinstance(event, (TextMessage, BytesMessage)):
                    self._inside = not event.message_finished
                    self._completed |= event.message_finished
                    if self._inside and not event.data:
                        # Only the length of a message is bounded, and empty fragments would pile up.
                        continue
                elif isinstance(event, CloseConnection):
                    # Whatever comes behind the end, wsproto knows to ignore.
                    self._short_way = False
                yield event
            if not self._advance():
                self._note_progress()
                return

    def _note_progress(self) -> None:
        """Note since when a message is on its way."""
        if not (self._inside or self._passing or self._buffer):
            self.began = None
        elif self.began is None or self._completed:
            self.began = self.now
        self._completed = False

    def _advance(self) -> bool:
        """Hand out what can be, then pass on what comes next; return whether anything was passed on."""
        buffer = self._buffer
        stopped = False
        try:
            while self.returned:
                stopped |= self._receiver(iter((self.returned.popleft(),)))
            if not self._short_way or self.state is not ConnectionState.OPEN:
                self._passing = len(buffer)
            elif not self._passing and len(buffer) >= self._missing:
                if stopped or self._hand_out():
                    self.has_more, self._missing = bool(buffer), 0
                else:
                    self._measure()
        except Exception as bug:
            self.bug = bug
            raise
        data = bytes(buffer[: self._passing])
        del buffer[: self._passing]
        self._passing -= len(data)
        if data and self.state is not ConnectionState.CLOSED:
            super().receive_data(data)
        return bool(data)

    def _hand_out(self) -> bool:
        """Hand out the plain frames at the front; return whether the receiver stopped before their end."""
        size = len(self._buffer)
        with closing(self._texts()) as texts:
            stopped = self._receiver(texts)
        return stopped and len(self._buffer) < size

    def _texts(self) -> Generator[str]:
        """Yield the texts of the plain frames at the front, and take those out that were yielded."""
        buffer, position = self._buffer, 0
        size, limit = len(buffer), -1 if self._inside else self._limit
        try:
            while position + 4 <= size:
                head, length = _head_of(buffer, position)
                if 0x8100 <= head < 0x817E:
                    start, length = position + 2, head & 0x7F
                elif head == 0x817E and length > 125:
                    start = position + 4
                else:
                    break
                end = start + length
                if end > size or length > limit:
                    break
                try:
                    text = buffer[start:end].decode()
                except UnicodeDecodeError:
                    break
                position = end
                yield text
        finally:
            self._completed |= position > 0
            del buffer[:position]

    def _measure(self) -> None:
        """Find out how much is missing of the frame at the front, or how much of it is to be passed on."""
        buffer = self._buffer
        size = len(buffer)
        header, least = _LONG.get(buffer[1] & 0x7F, _SHORT) if size > 1 else _SHORT
        if size < header:
            self._missing = header
            return
        length = int.from_bytes(buffer[2:header], "big") if header > 2 else buffer[1] & 0x7F
        plain = buffer[0] == 0x81 and buffer[1] < 0x80 and least <= length <= self._limit and not self._inside
        # A plain one that is whole and still here is no UTF-8, or very long, or tiny and the last.
        if plain and size < header + length:
            self._missing, self._passing = header + length, 0
        else:
            self._missing, self._passing = 0, header + length

    def _keep(self, messages: Iterator[str | bytes]) -> bool:
        self._kept += messages
        return True


class Inbox(trio.abc.SendChannel[str | bytes]):
    """Stands where trio-websocket wants both ends of its channel of messages: hands them to the engine.

    Attributes:
      closed: set when trio-websocket closes the channel: the WebSocket is over.
    """

    def __init__(self, engine: Engine) -> None:
        self.closed = trio.Event()
        self._engine = engine

    async def send(self, value: str | bytes) -> None:
        """Take a message that is whole, unless the WebSocket is over; let other tasks have their turn."""
        if not self.closed.is_set():
            self._engine.returned.append(value)
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Note the end."""
        self.closed.set()
        await trio.lowlevel.checkpoint()
