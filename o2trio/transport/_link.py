"""One WebSocket: trio-websocket with its known faults repaired.

What each fault is and where its repair sits:

- ``ping()`` never returns once the link is dead: there is no ping here. :attr:`Link.last_inbound` shows
  silence, and the caller acts on it.
- A handshake that meets the end of the stream waits for ever: the stream raises instead, until upgraded.
- A refusal is only seen once its body is complete: it is read from the bytes that came, however it ended.
- An interim response (100, 103) before the upgrade counts as a refusal: it is taken out.
- A cancelled send leaves half a frame on a stream that looks healthy: such a stream is closed on the spot.
- Closing waits without bound, and leaves the socket open if the peer closed first: :meth:`Link.aclose`.
- A queue of one message stops pongs as soon as somebody reads slowly: there is no queue, :meth:`Link.deliver`
  hands the messages over in the reader task.
- A ping during closing, and other errors of the protocol engine, kill the reader task and its nursery: the
  reader's error is kept and raised by :meth:`Link.deliver`, and whoever waits for the reader is woken.
- A message too large looks like an ordinary closure: it becomes :exc:`MessageTooBig`.
- Empty fragments pile up without end, as only the length of a message is bounded: ``_engine`` drops them.
- Reads of 4 KiB are slow for large snapshots: reads are larger.
- Every frame takes 20 us, most of it generic parsing and the queue: ``_engine`` has a short way.

No reconnecting, no heartbeat and no decoding here.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import NoReturn, cast
from urllib.parse import urlsplit

import h11
import trio
import trio_websocket
from wsproto.utilities import ProtocolError

from .._errors import ConnectTimeout, HandshakeRejected, LinkClosed, MessageTooBig
from .._network import NetworkConfig, Options
from .._version import USER_AGENT
from ._backoff import parse_retry_after
from ._dialer import open_stream
from ._engine import MORE, Engine, Inbox, Receiver

__all__ = ["Link", "open_link"]

_log = logging.getLogger("o2trio.transport")

_READ_BYTES = 128 * 1024
_ANSWER_BYTES = 32 * 1024
"""How much of an answer to the handshake is read, interim responses included, before it is nonsense."""
_BODY_CHARACTERS = 200
_UPGRADED = re.compile(rb"HTTP/\d\.\d 101\b.*?\r?\n\r?\n", re.DOTALL)
_INTERIM = re.compile(rb"HTTP/\d\.\d 1(?!01\b)\d\d\b.*?\r?\n\r?\n", re.DOTALL)
_MAYBE_INTERIM = re.compile(rb"HTTP/\d\.\d 1(?!01\b)\d\d\b.*|.{,12}", re.DOTALL)
"""The beginning of an interim response, or too little to know."""
_TOO_BIG = "Exceeded maximum message size"
"""How trio-websocket words its own 1009, which the peer may send too."""

_NONSENSE = (ProtocolError, h11.ProtocolError, trio_websocket.ConnectionRejected, UnicodeError)
"""What the reader dies of when the peer breaks the rules."""


class Link:
    """One open WebSocket. One task may send and one may take what arrives; made by :func:`open_link`."""

    def __init__(
        self,
        connection: trio_websocket.WebSocketConnection,
        wire: _Wire,
        inbox: Inbox,
        reader: _Reader,
        options: Options,
    ) -> None:
        self._connection = connection
        self._wire = wire
        self._inbox = inbox
        self._reader = reader
        self._options = options

    @property
    def last_inbound(self) -> float:
        """When the last bytes arrived, by :func:`trio.current_time`; at first, when the stream was opened."""
        return self._wire.last_inbound

    @property
    def message_began(self) -> float | None:
        """When the first byte of the incomplete message arrived, by :func:`trio.current_time`, or None."""
        return self._wire.engine.began

    async def deliver(self, receiver: Receiver) -> NoReturn:
        """Hand the messages to `receiver` as they arrive, until the link ends.

        Text arrives as such, a binary message as bytes. `receiver` is called in the task that reads from the
        network, with whatever came in one read, in order, first with what came before this call. It must be
        quick; where it stops, and after every read, other tasks have their turn before the next message.
        Pings are answered whatever it does. After this call nothing is handed over any more.

        Raises:
          LinkClosed: the WebSocket ended; the error carries the close code. If the peer closed it or hung up,
            all messages before that have been handed over; if a send failed or was cancelled, what had not
            been handed over by then may be lost.
          MessageTooBig: a message was larger than ``Options.max_message_bytes``.
          Exception: whatever `receiver` raised.
        """
        engine = self._wire.engine
        try:
            engine.listen(receiver)
            await self._inbox.closed.wait()
        finally:
            engine.listen(_ignore)
        raise await self._ending()

    async def send(self, text: str) -> None:
        """Send one text message.

        A call that is cancelled while its bytes are on their way ends the link, because half a frame may be
        out; one that is cancelled before that does no harm.

        Raises:
          LinkClosed, MessageTooBig: as from :meth:`deliver`.
        """
        if self._reader.ended.is_set():
            raise await self._ending()
        with suppress(trio_websocket.ConnectionClosed):
            await self._connection.send_message(text)
            return
        raise await self._ending()

    async def aclose(self) -> None:
        """Close, politely for at most ``Options.close_timeout``; at once if cancelled. Does not raise."""
        try:
            with self._reader.needed(self._options.close_timeout):
                await self._connection.aclose()
        finally:
            # After the peer's own close, and on most errors, trio-websocket leaves the stream open.
            await trio.aclose_forcefully(self._wire)

    async def abort(self) -> None:
        """Close at once, without a word to the peer. Does not raise."""
        await trio.aclose_forcefully(self._wire)

    async def _ending(self) -> Exception:
        """Return the error that tells why there is nothing more."""
        if self._wire.engine.bug is not None:
            return self._wire.engine.bug
        if self._connection.closed is None:
            # Only a reader that dies closes the channel without giving a reason.
            await self._reader.ended.wait()
        closed = self._connection.closed
        if closed is None:
            return self._reader.error()
        if closed.code == 1009 and (closed.reason or "").startswith(_TOO_BIG):
            limit = self._options.max_message_bytes
            return MessageTooBig(
                f"the server sent a message of more than {limit} bytes; raise Options.max_message_bytes"
            )
        error = LinkClosed(closed.code, closed.reason or "")
        error.__cause__ = self._reader.fault
        return error


@asynccontextmanager
async def open_link(config: NetworkConfig, options: Options) -> AsyncGenerator[Link]:
    """Open the WebSocket of `config` and close it on leaving.

    Errors of the body pass through as they are, never in an exception group. Closing is bounded as in
    :meth:`Link.aclose`; a body that fails or is cancelled closes the stream at once.

    Raises:
      OSError: no connection; among them ``ssl.SSLCertVerificationError``.
      ConnectTimeout: not open within ``Options.connect_timeout``.
      HandshakeRejected: the server answered with an HTTP status instead of an upgrade.
      LinkClosed: the server hung up during the handshake or broke the protocol.
    """
    async with _Background() as nursery:
        link = await _connect(config, options, _Reader(nursery))
        try:
            yield link
        except BaseException:
            # A farewell is for a peer that listens; from a dead one its answer would be waited for in vain.
            await link.abort()
            raise
        await link.aclose()


async def _connect(config: NetworkConfig, options: Options, reader: _Reader) -> Link:
    wire: _Wire | None = None
    opened = False
    with reader.needed(options.connect_timeout):
        wire = _Wire(await open_stream(config, config.websocket_url), Engine(options.max_message_bytes))
        host, resource = _target(config.websocket_url)
        try:
            # As ``trio_websocket.wrap_client_stream``, but with an engine and a reader of our own.
            connection = trio_websocket.WebSocketConnection(
                wire,
                wire.engine,
                host=host,
                path=resource,
                client_extra_headers=[(b"User-Agent", USER_AGENT.encode("ascii"))],
                max_message_size=options.max_message_bytes,
                receive_buffer_size=_READ_BYTES,
            )
            inbox = Inbox(wire.engine)
            # Of its channel, trio-websocket sends into one end and closes both.
            connection._send_channel = cast("trio.MemorySendChannel[bytes | str]", inbox)
            connection._recv_channel = cast("trio.MemoryReceiveChannel[bytes | str]", inbox)
            reader.start(connection._reader_task)
            await connection._open_handshake.wait()
            opened = True
        finally:
            if not opened:
                await trio.aclose_forcefully(wire)
    if opened:
        return Link(connection, wire, inbox, reader, options)
    refusal = None if wire is None else _refusal(bytes(wire.answer))
    if refusal is not None:
        raise refusal
    if reader.ended.is_set():
        raise reader.error()
    raise ConnectTimeout(f"no WebSocket to {config.websocket_host} within {options.connect_timeout:g} s")


def _ignore(messages: Iterator[str | bytes]) -> bool:
    deque(messages, maxlen=0)
    return False


def _target(url: str) -> tuple[str, str]:
    """Return the Host header and the request target for `url`."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return parts.netloc.rpartition("@")[2], (parts.path or "/") + query


def _refusal(answer: bytes) -> HandshakeRejected | None:
    """Read an HTTP refusal out of what the server sent, complete or not; None if there is none."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "o2")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(answer)
    response: h11.Response | None = None
    body = b""
    try:
        while isinstance(event := parser.next_event(), (h11.Response, h11.Data)):
            if isinstance(event, h11.Response):
                response = event
            else:
                body += event.data
    except h11.RemoteProtocolError:
        _log.debug("the answer to the handshake is no HTTP from some point on")
    if response is None:
        return None
    retry_after = dict(response.headers).get(b"retry-after", b"").decode("latin-1")
    text = " ".join(body.decode("utf-8", "replace").split())
    return HandshakeRejected(
        response.status_code, retry_after=parse_retry_after(retry_after), body=text[:_BODY_CHARACTERS]
    )


class _Background:
    """A nursery for the reader that never touches the error of the body, so it stays bare."""

    async def __aenter__(self) -> trio.Nursery:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        return self._nursery

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Shielded, a cancellation from outside cannot take the place of the body's error. The reader never
        # blocks against cancellation, so this ends at once.
        self._nursery.cancel_scope.shield = True
        self._nursery.cancel_scope.cancel()
        await self._manager.__aexit__(None, None, None)


class _Reader:
    """Runs trio-websocket's reader task and keeps the error it dies of.

    Attributes:
      ended: set when the reader has stopped, for whatever reason.
      fault: what it died of, or None.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.ended = trio.Event()
        self._nursery = nursery
        self.fault: Exception | None = None
        self._scope = trio.CancelScope()

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, task, name="o2trio WebSocket reader")

    async def _run(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except Exception as fault:  # noqa: BLE001 - nothing is hidden: `deliver` raises what is kept here
            self.fault = fault
            _log.debug("the reader of a WebSocket ended with an error", exc_info=fault)
        finally:
            self.ended.set()
            self._scope.cancel()

    @contextmanager
    def needed(self, seconds: float) -> Generator[None]:
        """Leave the block after `seconds`, or when the reader ends: waiting for it is pointless then."""
        with trio.move_on_after(seconds) as self._scope:
            if self.ended.is_set():
                self._scope.cancel()
            yield

    def error(self) -> Exception:
        """Return the reader's end as one of our errors; a bug in it stays what it is."""
        fault = self.fault or LinkClosed(1006)
        if isinstance(fault, _NONSENSE):
            # Reporting a bad answer fails itself, as only a server may report; the first error says more.
            first: BaseException = fault
            while first.__context__ is not None:
                first = first.__context__
            return LinkClosed(1002, f"the server broke the protocol: {first}")
        return fault


class _Wire(trio.abc.Stream):
    """The byte stream below the WebSocket.

    Attributes:
      engine: what the bytes are for; some it wants to be given once more.
      last_inbound: when bytes last arrived.
      answer: what the server sent until the upgrade, without interim responses, for reading a refusal.
    """

    def __init__(self, stream: trio.abc.Stream, engine: Engine) -> None:
        self.engine = engine
        self.last_inbound = trio.current_time()
        self.answer = bytearray()
        self._stream = stream
        self._upgraded = False
        self._answered = 0  # bytes before the upgrade, with interim responses
        self._passed = 0  # bytes of the answer that the handshake has

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        engine = self.engine
        if engine.has_more:
            await trio.lowlevel.checkpoint()
            engine.has_more = False
            engine.now = trio.current_time()
            return MORE
        if not self._upgraded:
            return await self._receive_answer(max_bytes)
        data = await self._stream.receive_some(max_bytes)
        if data:
            self.last_inbound = engine.now = trio.current_time()
            return data
        return engine.finish()

    async def _receive_answer(self, max_bytes: int | None) -> bytes:
        """Receive some of the server's answer; neither an interim response nor what follows an upgrade."""
        while True:
            with self._early_end():
                data = await self._stream.receive_some(max_bytes)
            self.last_inbound = trio.current_time()
            self._answered += len(data)
            self.answer += data
            while interim := _INTERIM.match(self.answer):
                del self.answer[: interim.end()]
            if upgrade := _UPGRADED.match(self.answer):
                self._upgraded = True
                self.engine.keep(bytes(self.answer[upgrade.end() :]))
                del self.answer[upgrade.end() :]
            elif not data or self._answered > _ANSWER_BYTES:
                what = "sent an endless answer to" if data else "hung up during"
                raise LinkClosed(1006, f"the server {what} the handshake")
            if not _MAYBE_INTERIM.fullmatch(self.answer):
                more = bytes(self.answer[self._passed :])
                self._passed = len(self.answer)
                return more

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        # A cancellation that is already there must not count as one that tore a frame.
        await trio.lowlevel.checkpoint_if_cancelled()
        whole = False
        with self._early_end():
            try:
                await self._stream.send_all(data)
                whole = True
            finally:
                if not whole:
                    await trio.aclose_forcefully(self._stream)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()

    @contextmanager
    def _early_end(self) -> Generator[None]:
        # trio-websocket takes a broken stream for an ordinary end, on which its handshake waits for ever;
        # any other error ends its reader, and that is noticed.
        try:
            yield
        except trio.BrokenResourceError as error:
            if self._upgraded:
                raise
            raise LinkClosed(1006, f"the connection broke during the handshake: {error}") from error
