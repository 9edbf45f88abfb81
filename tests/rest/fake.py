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

Reply = tuple[int, dict[str, str], bytes]
Answer = Reply | bytes | None
Handler = Callable[[str, dict[str, str]], Answer]

OPTIONS = Options(request_timeout=10, jitter=lambda: 1.0)


def json_answer(value: Any, status: int = 200, **headers: str) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, {"Content-Type": "application/json", **headers}, body


class Fake:
    """A server whose answers are those of `handler`, which gets path and query.

    It returns an answer, raw bytes after which the server hangs up, or None to say nothing for ever.

    `asked` holds (path, query) of each request, `times` when it came, `bodies` its body, `headers` its head
    (with the method as ``:method``), `hosts` whom each dial was for, `streams` the server's ends.
    """

    def __init__(self, nursery: trio.Nursery, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.times: list[float] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.hosts: list[str] = []
        self.streams: list[trio.abc.Stream] = []
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
            faucet_url="http://faucet.test/api/mint",
            dialer=self.dial,
        )

    async def dial(self, host: str, port: int) -> trio.abc.Stream:
        self.dials += 1
        self.hosts.append(host)
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self.streams.append(theirs)
        self._nursery.start_soon(self.serve, theirs)
        return ours

    async def serve(self, stream: trio.abc.Stream) -> None:
        engine = h11.Connection(h11.SERVER)
        target, body = "", b""
        async with stream:
            while True:
                try:
                    event = engine.next_event()
                except h11.RemoteProtocolError:  # half a request
                    return
                if event is h11.NEED_DATA:
                    try:
                        engine.receive_data(bytes(await stream.receive_some()))
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        return
                elif isinstance(event, h11.Request):
                    target, body = event.target.decode(), b""
                    self.headers.append({name.decode(): value.decode() for name, value in event.headers})
                    self.headers[-1][":method"] = event.method.decode()
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self.bodies.append(body)
                    answer = self._answer(engine, target)
                    if answer is None:
                        await trio.sleep_forever()
                    await stream.send_all(answer)
                    if engine.our_state is not h11.DONE:
                        return
                    engine.start_next_cycle()
                else:
                    return

    def _answer(self, engine: h11.Connection, target: str) -> bytes | None:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        self.asked.append((parts.path, query))
        self.times.append(trio.current_time())
        answer = self.handler(parts.path, query)
        if answer is None or isinstance(answer, bytes):
            return answer
        status, headers, body = answer
        headers = {"Content-Length": str(len(body)), **headers}
        data = engine.send(h11.Response(status_code=status, headers=list(headers.items()))) or b""
        return data + (engine.send(h11.Data(data=body)) or b"") + (engine.send(h11.EndOfMessage()) or b"")
