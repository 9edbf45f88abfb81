"""A REST server on in-memory streams that answers from a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11
import trio
import trio.testing

from o2trio._network import NetworkConfig, Options
from o2trio.rest import RestClient

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, dict[str, str]], Answer]

OPTIONS = Options(request_timeout=10, jitter=lambda: 1.0)


def json_answer(value: Any, status: int = 200, **headers: str) -> Answer:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, {"Content-Type": "application/json", **headers}, body


class Fake:
    """A server; `handler` gets path and query. `asked` holds (path, query) of each request, `times` when."""

    def __init__(self, nursery: trio.Nursery, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.times: list[float] = []
        self.dials = 0
        self._nursery = nursery

    def client(self, options: Options = OPTIONS) -> RestClient:
        return RestClient(self.network, options)

    @property
    def network(self) -> NetworkConfig:
        return NetworkConfig(
            name="fake",
            rest_url="http://fake.test",
            websocket_url="ws://fake.test/v1/ws",
            dialer=self._dial,
        )

    async def _dial(self, host: str, port: int) -> trio.abc.Stream:
        self.dials += 1
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.abc.Stream) -> None:
        engine = h11.Connection(h11.SERVER)
        target = ""
        async with stream:
            while True:
                event = engine.next_event()
                if event is h11.NEED_DATA:
                    try:
                        engine.receive_data(bytes(await stream.receive_some()))
                    except trio.BrokenResourceError:
                        return
                elif isinstance(event, h11.Request):
                    target = event.target.decode()
                elif isinstance(event, h11.EndOfMessage):
                    await stream.send_all(self._answer(engine, target))
                    engine.start_next_cycle()
                else:
                    return

    def _answer(self, engine: h11.Connection, target: str) -> bytes:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        self.asked.append((parts.path, query))
        self.times.append(trio.current_time())
        status, headers, body = self.handler(parts.path, query)
        headers = {"Content-Length": str(len(body)), **headers}
        data = engine.send(h11.Response(status_code=status, headers=list(headers.items()))) or b""
        return data + (engine.send(h11.Data(data=body)) or b"") + (engine.send(h11.EndOfMessage()) or b"")
