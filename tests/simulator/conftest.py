"""A raw WebSocket client for the simulator's tests, independent of the library's own."""

from __future__ import annotations

import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import attrs
import h11
import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from o2trio.simulator import Exchange, Simulator, default_listings


class RawSocket:
    """One WebSocket by hand; keeps what came besides text."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.texts: deque[str] = deque()
        self.others: list[Event] = []
        self._parts: list[str] = []

    async def handshake(self) -> None:
        await self.stream.send_all(self.ws.send(Request(host="exchange", target="/v1/ws")))
        while not any(isinstance(event, AcceptConnection | RejectConnection) for event in self.others):
            await self.pump()

    async def pump(self) -> None:
        data = await self.stream.receive_some()
        self.ws.receive_data(bytes(data) or None)
        for event in self.ws.events():
            if isinstance(event, TextMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    self.texts.append("".join(self._parts))
                    self._parts.clear()
            else:
                self.others.append(event)
        if not data:
            raise EOFError

    async def send(self, message: object) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        await self.send_event(TextMessage(text))

    async def send_event(self, event: Event) -> None:
        await self.stream.send_all(self.ws.send(event))

    async def text(self) -> str:
        while not self.texts:
            await self.pump()
        return self.texts.popleft()

    async def receive(self) -> Any:
        return json.loads(await self.text())

    async def until_end(self) -> None:
        try:
            while True:
                await self.pump()
        except (EOFError, trio.BrokenResourceError):
            pass

    def seen(self, kind: type[CloseConnection | Pong | Ping | RejectConnection | RejectData]) -> list[Any]:
        return [event for event in self.others if isinstance(event, kind)]


Dial = Callable[..., Awaitable[RawSocket]]


async def dial_stream(
    sim: Simulator, trust: ssl.SSLContext | None = None, url: str | None = None
) -> trio.abc.Stream:
    parts = urlsplit(url or sim.network.websocket_url)
    host, port = parts.hostname or "", parts.port or 80
    if sim.network.dialer is not None:
        return await sim.network.dialer(host, port)
    stream = await trio.open_tcp_stream(host, port)
    return (
        stream
        if trust is None
        else trio.SSLStream(stream, trust, server_hostname=host, https_compatible=True)
    )


@attrs.frozen
class Answer:
    """What came back for one REST request."""

    status: int
    headers: dict[str, str]
    body: bytes


async def get_once(sim: Simulator, target: str) -> Answer:
    stream = await dial_stream(sim, url=sim.network.rest_url)
    async with stream:
        client = h11.Connection(h11.CLIENT)
        request = h11.Request(method="GET", target=target, headers=[("Host", "exchange")])
        await stream.send_all((client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b""))
        head, body = None, b""
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif head is not None and isinstance(event, h11.EndOfMessage):
                headers = {name.decode(): value.decode() for name, value in head.headers}
                return Answer(head.status_code, headers, body)
            else:
                raise AssertionError(event)


@pytest.fixture
def get() -> Callable[[Simulator, str], Awaitable[Answer]]:
    """Give a function that asks a simulator's REST on a connection of its own."""
    return get_once


@pytest.fixture
def open_stream() -> Callable[..., Awaitable[trio.abc.Stream]]:
    """Give a function that opens a byte stream to a simulator."""
    return dial_stream


@pytest.fixture
def dial() -> Dial:
    """Give a function that opens a WebSocket to a simulator."""

    async def open_socket(sim: Simulator, trust: ssl.SSLContext | None = None) -> RawSocket:
        socket = RawSocket(await dial_stream(sim, trust))
        await socket.handshake()
        return socket

    return open_socket


@pytest.fixture
def exchange() -> Exchange:
    """Give an empty exchange whose clock stands still."""
    return Exchange(default_listings(), lambda: 1_790_000_000_123_456_789)
