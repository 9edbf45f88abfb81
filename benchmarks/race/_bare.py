"""Peers that speak WebSocket by themselves: what the machine and the libraries allow, and what is naive.

They lose nothing and stop after the last message; none keeps a book. Libraries that only the benchmarks need
are imported at run time: the type checkers do not have them.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from itertools import islice
from typing import Protocol

import attrs
import cattrs
import msgspec
import trio
import trio_websocket

from benchmarks.race._meter import Measure, Meter, Result, Task, delay
from benchmarks.race._traffic import Traffic, market_id

__all__ = ["MEASURES"]

_ANSWER = 0.02
"""Seconds to answer the server's ping in: trio-websocket fails if one comes while it closes."""

_REQUEST = json.dumps({"action": "subscribe_depth", "market_id": market_id(0), "precision": "10"})


@attrs.frozen(slots=True)
class _Level:
    price: int
    quantity: int


@attrs.frozen(slots=True)
class _Levels:
    buys: tuple[_Level, ...]
    sells: tuple[_Level, ...]


@attrs.frozen(slots=True)
class _Depth:
    market_id: str
    changes: _Levels | None = None
    view: _Levels | None = None
    onchain_timestamp: int | None = None
    seen_timestamp: int = 0


# Not strict: numbers come as text.
_decode = msgspec.json.Decoder(_Depth, strict=False).decode


def _trust(task: Task) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=task.authority) if task.scenario.tls else None


# -- without an event loop -------------------------------------------------------------------------


def decode(task: Task) -> Result:
    """Decode the frames, and nothing else."""
    # The payload begins at its first brace.
    payloads = [item[item.index(b"{") :] for item in Traffic(task.scenario).frames]
    began = time.perf_counter(), time.process_time()
    for payload in payloads:
        _decode(payload)
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    each = [seconds / len(payloads) * 1e6 for seconds in (cpu, cpu, wall)]
    return dict(zip(("sent_us", "read_us", "wall_us"), each, strict=True), lost=0.0)


_HANDSHAKE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# A mask of zeros changes nothing.
_SUBSCRIPTION = b"\x81\xfe" + len(_REQUEST).to_bytes(2) + bytes(4) + _REQUEST.encode()


def _payloads(data: bytearray) -> Iterator[bytearray]:
    """Take the whole frames off what a server said that sends them unmasked, and yield their texts."""
    at = 0
    while len(data) >= at + 10:
        size, head = data[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(data[at + 2 : at + 4]), 4
        elif size == 127:
            size, head = int.from_bytes(data[at + 2 : at + 10]), 10
        end = at + head + size
        if len(data) < end:
            break
        yield data[at + head : end]
        at = end
    del data[:at]


class _Lean:
    """Decodes frames, and nothing else; the first is the snapshot, after which the others may come.

    Attributes:
      left: messages that are still to come.
    """

    def __init__(self, task: Task) -> None:
        self.left = task.scenario.messages + 1
        self._meter, self._delays = Meter(task), list[int]()
        self._messages, self._is_timed = task.scenario.messages, bool(task.scenario.rate)
        self._data = bytearray()

    def feed(self, received: bytes | bytearray) -> None:
        """Take what was received."""
        self._data += received
        for payload in islice(_payloads(self._data), self.left):
            if self.left > self._messages:
                self._meter.start()
            elif self._is_timed:
                self._delays.append(delay(_decode(payload).seen_timestamp))
            else:
                _decode(payload)
            self.left -= 1

    def result(self) -> Result:
        """Return the metrics; nothing is left."""
        self._meter.finish(self._messages, self._delays)
        return self._meter.result()


def floor(task: Task) -> Result:
    """Receive with nothing between the socket and the decoder."""
    lean = _Lean(task)
    with socket.create_connection(("127.0.0.1", task.port)) as plain:
        context = _trust(task)
        sock = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        sock.sendall(_HANDSHAKE)
        sock.recv(4096)
        sock.sendall(_SUBSCRIPTION)
        while lean.left:
            lean.feed(sock.recv(16384))
        return lean.result()


async def trio_floor(task: Task) -> Result:
    """Receive with nothing between a Trio stream and the decoder."""
    lean = _Lean(task)
    async with await trio.open_tcp_stream("127.0.0.1", task.port) as stream:
        await stream.send_all(_HANDSHAKE)
        await stream.receive_some(4096)
        await stream.send_all(_SUBSCRIPTION)
        while lean.left:
            lean.feed(await stream.receive_some(65536))
        return lean.result()


# -- libraries -------------------------------------------------------------------------------------


async def _count(task: Task, receive: Callable[[], Awaitable[str | bytes]]) -> Result:
    """Receive, and decode nothing."""
    meter, delays = Meter(task), list[int]()
    await receive()
    meter.start()
    if task.scenario.rate:
        for _ in range(task.scenario.messages):
            # The time stamp comes last.
            delays.append(delay(int((await receive())[-21:-2])))
    else:
        for _ in range(task.scenario.messages):
            await receive()
    meter.finish(task.scenario.messages, delays)
    await trio.sleep(_ANSWER)
    return meter.result()


async def websockets(task: Task) -> Result:
    """Receive through the Trio client of websockets."""
    connect = import_module("websockets.trio.client").connect
    options = {"compression": None, "proxy": None, "max_size": None, "ssl": _trust(task)}
    async with connect(task.url("ws", "/v1/ws"), **options) as link:
        await link.send(_REQUEST)
        return await _count(task, link.recv)


async def raw_trio(task: Task) -> Result:
    """Receive through trio-websocket."""
    url, trust = task.url("ws", "/v1/ws"), _trust(task)
    async with trio_websocket.open_websocket_url(url, ssl_context=trust) as link:
        await link.send_message(_REQUEST)
        return await _count(task, link.get_message)


async def naive(task: Task) -> Result:
    """Receive as one would write it first: json, cattrs, and a memory channel to the consumer."""
    converter, meter, delays = cattrs.Converter(), Meter(task), list[int]()
    into, updates = trio.open_memory_channel[_Depth](1000)

    async def read() -> None:
        while True:
            await into.send(converter.structure(json.loads(await link.get_message()), _Depth))

    async with (
        trio_websocket.open_websocket_url(task.url("ws", "/v1/ws")) as link,
        trio.open_nursery() as nursery,
    ):
        await link.send_message(_REQUEST)
        nursery.start_soon(read)
        await updates.receive()
        meter.start()
        for _ in range(task.scenario.messages):
            update = await updates.receive()
            if task.scenario.rate:
                delays.append(delay(update.seen_timestamp))
        meter.finish(task.scenario.messages, delays)
        await trio.sleep(_ANSWER)
        nursery.cancel_scope.cancel()
    return meter.result()


class _Frame(Protocol):
    def get_payload_as_memoryview(self) -> memoryview: ...


async def picows(task: Task) -> Result:
    """Receive through picows, whose callback decodes each frame."""
    library, meter, subscribed, delays = import_module("picows"), Meter(task), asyncio.Event(), list[int]()
    left = task.scenario.messages + 1

    def on_frame(_listener: object, _link: object, frame: _Frame) -> None:
        nonlocal left
        message = _decode(frame.get_payload_as_memoryview())
        if task.scenario.rate and subscribed.is_set():
            delays.append(delay(message.seen_timestamp))
        subscribed.set()
        left -= 1
        if not left:
            meter.finish(task.scenario.messages, delays)
            link.disconnect()

    # A class statement with a base that the type checkers do not know is an error to them.
    listener = type("Listener", (library.WSListener,), {"on_ws_frame": on_frame})
    link, _ = await library.ws_connect(listener, task.url("ws", "/v1/ws"), ssl_context=_trust(task))
    link.send(library.WSMsgType.TEXT, _REQUEST.encode())
    await subscribed.wait()
    meter.start()
    await link.wait_disconnected()
    assert left <= 0
    return meter.result()


MEASURES: dict[tuple[str, str], Measure] = {
    ("decode", "stream"): decode,
    ("floor", "stream"): floor,
    ("floor-trio", "stream"): lambda task: trio.run(trio_floor, task),
    ("picows", "stream"): lambda task: asyncio.run(picows(task)),
    ("websockets", "stream"): lambda task: trio.run(websockets, task),
    ("trio-websocket", "stream"): lambda task: trio.run(raw_trio, task),
    ("naive", "stream"): lambda task: trio.run(naive, task),
}
"""By the names of the peer and of the measurement."""
