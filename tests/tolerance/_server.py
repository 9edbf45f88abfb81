"""A server written by hand that sends exactly what a test says: WebSocket frames and REST answers.

It shares no code with the library, and checks nothing. What it sends is decided by its `script` and its
`rest`; what a client of it should conclude is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import attrs
import h11
import trio
import trio.testing
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from o2trio import NetworkConfig

__all__ = ["Asked", "RawServer", "RawSocket", "Reply", "coded", "reply", "spelled"]

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)

Message: TypeAlias = Any
"""Text is sent as it is, bytes as a binary frame, ``{"binary": ...}`` as JSON in one, the rest as JSON."""


@attrs.frozen
class Asked:
    """One REST request."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]
    target: str


Reply: TypeAlias = tuple[int, dict[str, str], bytes]


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    """Return an answer in JSON."""
    return status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode()


def coded(status: int, code: int, message: str) -> Reply:
    """Return an error in the exchange's envelope."""
    return reply({"code": code, "message": message}, status)


def spelled(message: Message) -> str | bytes:
    """Return the content of the frame that a message is sent in."""
    if isinstance(message, (str, bytes)):
        return message
    if isinstance(message, dict) and list(message) == ["binary"]:
        inner = message["binary"]
        return (inner if isinstance(inner, str) else json.dumps(inner)).encode()
    return json.dumps(message)


class RawSocket:
    """The server's end of one WebSocket; `requests` holds what the client sent, without its heartbeats."""

    def __init__(self, stream: trio.abc.Stream, engine: WSConnection) -> None:
        self.requests: list[dict[str, Any]] = []
        self.pings = 0
        self._stream = stream
        self._engine = engine
        self._turn = trio.StrictFIFOLock()

    async def send(self, *messages: Message) -> None:
        """Send messages, each in a frame of its own; a client that is gone gets none."""
        for message in messages:
            content = spelled(message)
            event = TextMessage(content) if isinstance(content, str) else BytesMessage(content)
            await self.send_event(event)

    async def send_event(self, event: Event) -> None:
        async with self._turn:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, LocalProtocolError):
                await self._stream.send_all(self._engine.send(event))

    async def cut(self) -> None:
        """Break the connection without a word."""
        await trio.aclose_forcefully(self._stream)


Script: TypeAlias = Callable[[RawSocket, dict[str, Any]], Iterable[Message]]
"""What to send when a request came: (socket, request) -> messages."""


class RawServer:
    """Serves WebSocket and REST on streams in memory, or on any stream given to :meth:`serve`.

    Attributes:
      script: what to send for each request of a socket.
      rest: what to answer to each REST request.
      pong: what to send for each text ``PING``.
      refusals: answers to the next handshakes, instead of an upgrade.
      sockets: every WebSocket so far.
      asked: every REST request so far.
      handshakes: how many handshakes came, refused ones included.
    """

    def __init__(self, script: Script, rest: Callable[[Asked], Reply]) -> None:
        self.script = script
        self.rest = rest
        self.pong: Sequence[Message] = ("PONG",)
        self.refusals: list[Reply] = []
        self.sockets: list[RawSocket] = []
        self.asked: list[Asked] = []
        self.handshakes = 0
        self._nursery: trio.Nursery | None = None

    @property
    def socket(self) -> RawSocket:
        """The latest WebSocket."""
        return self.sockets[-1]

    def requested(self) -> Counter[str]:
        """Return how often each action was requested, on all sockets."""
        return Counter(request["action"] for socket in self.sockets for request in socket.requests)

    def network(self, nursery: trio.Nursery, **more: Any) -> NetworkConfig:
        """Return the network in which this server is everything."""
        self._nursery = nursery
        values: dict[str, Any] = {"rest_url": "http://raw.test", "websocket_url": "ws://raw.test/v1/ws"}
        return NetworkConfig(name="raw", dialer=self._dial, **{**values, **more})

    async def _dial(self, host: str, port: int) -> trio.abc.Stream:
        assert self._nursery is not None
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.serve, theirs)
        return ours

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until it ends."""
        async with stream:
            with contextlib.suppress(*_GONE):
                await self._serve(stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        engine = h11.Connection(h11.SERVER)
        while True:
            request, body = None, b""
            while True:
                event = engine.next_event()
                if event is h11.NEED_DATA:
                    engine.receive_data(bytes(await stream.receive_some()))
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    return
            assert request is not None
            headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
            if headers.get("upgrade", "").lower() == "websocket":
                self.handshakes += 1
                if not self.refusals:
                    await self._upgrade(stream, request, engine.trailing_data[0])
                    return
                answer = self.refusals.pop(0)
            else:
                answer = self._answer(request, headers, body)
            await stream.send_all(_written(engine, answer))
            if engine.our_state is not h11.DONE:
                return
            engine.start_next_cycle()

    def _answer(self, request: h11.Request, headers: dict[str, str], body: bytes) -> Reply:
        target = request.target.decode()
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        asked = Asked(request.method.decode(), parts.path, query, body, headers, target)
        self.asked.append(asked)
        return self.rest(asked)

    async def _upgrade(self, stream: trio.abc.Stream, request: h11.Request, early: bytes) -> None:
        engine = WSConnection(ConnectionType.SERVER)
        engine.initiate_upgrade_connection(list(request.headers), request.target.decode())
        list(engine.events())
        await stream.send_all(engine.send(AcceptConnection()))
        socket = RawSocket(stream, engine)
        self.sockets.append(socket)
        if early:
            engine.receive_data(early)
        parts: list[str] = []
        while True:
            for event in engine.events():
                if isinstance(event, TextMessage):
                    parts.append(event.data)
                    if event.message_finished:
                        await self._heard(socket, "".join(parts))
                        parts.clear()
                elif isinstance(event, Ping):
                    await socket.send_event(event.response())
                elif isinstance(event, CloseConnection):
                    await socket.send_event(event.response())
                    return
            data = bytes(await stream.receive_some())
            if not data:
                return
            engine.receive_data(data)

    async def _heard(self, socket: RawSocket, text: str) -> None:
        if text == "PING":
            socket.pings += 1
            await socket.send(*self.pong)
        elif text != "PONG":
            request = json.loads(text)
            socket.requests.append(request)
            await socket.send(*self.script(socket, request))


def _written(engine: h11.Connection, answer: Reply) -> bytes:
    status, headers, body = answer
    headers = {"Content-Length": str(len(body)), **headers}
    if status == 304 or status < 200:
        headers.pop("Content-Length")
        body = b""
    head = engine.send(h11.Response(status_code=status, headers=list(headers.items()))) or b""
    return head + (engine.send(h11.Data(data=body)) or b"") + (engine.send(h11.EndOfMessage()) or b"")
