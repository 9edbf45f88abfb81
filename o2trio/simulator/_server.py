"""The simulator's server: HTTP/1.1 with keep-alive on any byte stream, and the faults tests ask for.

One port serves REST and WebSocket. What the answers are is decided in ``_rest`` and ``_feeds``. Nothing
a client sends, or fails to read, can stop the server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from math import inf
from typing import NoReturn

import attrs
import h11
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection
from wsproto.utilities import RemoteProtocolError

from ._exchange import Block
from ._faults import RestFaults, RestRequest, Verdict
from ._feeds import Feed, Feeds
from ._frame_faults import FrameFaults
from ._requests import Response, error
from ._rest import Rest
from ._websocket import CLOSE_SECONDS, MESSAGE_BYTES, Connection, Gate
from ._ws_frames import binary_message, text_frame

__all__ = ["Handshake", "Server"]

REQUEST_SECONDS = 30.0
"""An HTTP connection without a complete request for so long is closed."""

HANDSHAKES_KEPT = 10_000
"""How many of the latest handshakes are remembered for tests."""

WEBSOCKET_PATH = "/v1/ws"

_STATUSES = frozenset(HTTPStatus)

_MALFORMED = (RemoteProtocolError, h11.ProtocolError, UnicodeError)
"""What wsproto raises for a handshake that breaks the rules; not all of it is its own."""


@attrs.frozen(slots=True)
class Handshake:
    """One WebSocket handshake: when (on Trio's clock) and the status it got (101 is accepted)."""

    time: float
    status: int


@attrs.define(slots=True)
class _Refusal:
    status: int
    retry_after: float | None
    left: float


class Server:
    """Serves byte streams, and knows every live connection."""

    def __init__(self, rest: Rest, feeds: Feeds, faults: RestFaults, frames: FrameFaults) -> None:
        self.rest = rest
        self.start_soon: Callable[[Callable[[], Awaitable[None]]], None]
        """Starts what outlives a connection; set by the simulator before anybody connects."""
        self.faults = faults
        faults.on_down = self._drop_rest
        self.frames = frames
        frames.on_close = self._close_all
        self.max_lag: Callable[[], float] = lambda: inf
        """How far REST may look back, nanoseconds."""
        self.gate = Gate()
        self.handshakes: deque[Handshake] = deque(maxlen=HANDSHAKES_KEPT)
        self.drops_left = 0.0
        """So many of the next accepted WebSockets are cut at once."""
        self._refusal: _Refusal | None = None
        self._feeds = feeds
        self._encode = binary_message if feeds.flavor.frames == "binary" else text_frame
        self._sockets: dict[Feed, Connection] = {}
        self._scopes: dict[trio.CancelScope, None] = {}
        self.rest_scopes: dict[trio.CancelScope, None] = {}
        """The connections that have asked for REST."""
        self._count = 0

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Every open WebSocket, oldest first."""
        return tuple(socket for socket in self._sockets.values() if socket.is_open)

    def publish(self, block: Block) -> None:
        """Queue everything a block means for each client; never waits."""
        frames: dict[str, bytes] = {}
        for feed, texts in self._feeds.publish(block):
            socket = self._sockets[feed]
            for text in texts:
                if not socket.is_undisturbed:
                    socket.send_text(text)
                    continue
                frame = frames.get(text)
                if frame is None:
                    frame = frames[text] = self._encode(text)
                socket.send(frame)

    def publish_views(self, now: float) -> None:
        """Queue every depth view that is due; never waits."""
        for feed, text in self._feeds.views(now):
            self._sockets[feed].send_text(text)

    def refuse(self, status: int, retry_after: float | None, count: float) -> None:
        """Answer the next `count` handshakes with an HTTP status."""
        self._refusal = _Refusal(status, retry_after, count)

    def take_refusal(self) -> Response | None:
        """Return the answer to a handshake that shall be refused, or None."""
        refusal = self._refusal
        if refusal is None or refusal.left <= 0:
            return None
        refusal.left -= 1
        headers = () if refusal.retry_after is None else (("Retry-After", f"{refusal.retry_after:g}"),)
        return error(refusal.status, 1000, "handshake refused", headers)

    def drop_all(self) -> None:
        """Cut every connection, HTTP and WebSocket."""
        for scope in self._scopes:
            scope.cancel()

    def restart(self, rest: Rest, max_lag: Callable[[], float]) -> None:
        """Cut every connection and answer from now on for another exchange."""
        self.drop_all()
        self.rest, self.max_lag = rest, max_lag

    def _close_all(self, frame: bytes) -> int:
        closed = self.connections
        for socket in closed:
            socket.close(frame)
        return len(closed)

    def _drop_rest(self) -> None:
        for scope in self.rest_scopes:
            scope.cancel()

    def unmute(self) -> None:
        """Let everything through again; who overflowed meanwhile is disconnected."""
        self.gate.open()
        for socket in self._sockets.values():
            socket.drop_if_overflowed()

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one client until it leaves; returns normally whatever it does."""
        with trio.CancelScope() as scope:
            self._scopes[scope] = None
            try:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await _Http(self, stream, scope).run()
                    await self.gate.passed()
                    with trio.move_on_after(CLOSE_SECONDS):
                        await stream.aclose()
            finally:
                del self._scopes[scope]
                self.rest_scopes.pop(scope, None)
                await trio.aclose_forcefully(stream)

    async def serve_websocket(
        self, stream: trio.abc.Stream, ws: WSConnection, scope: trio.CancelScope, early: bytes
    ) -> None:
        """Serve an accepted WebSocket until either side ends it; `early` came behind the handshake."""
        if self.drops_left > 0:
            self.drops_left -= 1
            scope.cancel()
            return
        self._count += 1
        feed = self._feeds.open()
        connection = self._sockets[feed] = Connection(
            self._count, feed, self.gate, self.frames, scope, self._encode
        )
        try:
            await connection.run(stream, ws, early)
        finally:
            self._feeds.close(feed)
            del self._sockets[feed]


class _Http:
    """One HTTP/1.1 connection, until it ends or becomes a WebSocket."""

    def __init__(self, server: Server, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
        self._server = server
        self._stream = stream
        self._scope = scope
        self._h11 = h11.Connection(h11.SERVER)
        self._bodyless = False

    async def run(self) -> None:
        """Serve requests one by one, and the WebSocket when one asks for it."""
        while True:
            received = None
            with trio.move_on_after(REQUEST_SECONDS):
                try:
                    received = await self._request()
                except h11.RemoteProtocolError as fault:
                    await self._answer(error(fault.error_status_hint, 1001, f"malformed request: {fault}"))
            if received is None:
                return
            request, body = received
            target = request.target.decode("latin-1")
            if (
                target.partition("?")[0] == WEBSOCKET_PATH
                and _header(request, b"upgrade").lower() == b"websocket"
            ):
                if await self._upgrade(request, target):
                    return
            else:
                await self._rest(request, target, body)
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return
            self._h11.start_next_cycle()

    async def _request(self) -> tuple[h11.Request, bytes] | None:
        """Return the next complete request, or None when there is none."""
        request: h11.Request | None = None
        body, self._bodyless = bytearray(), False
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(bytes(await self._stream.receive_some()))
            elif isinstance(event, h11.Request):
                request, self._bodyless = event, event.method == b"HEAD"
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MESSAGE_BYTES:
                    raise h11.RemoteProtocolError("body too large", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                return request, bytes(body)
            else:
                return None

    async def _rest(self, request: h11.Request, target: str, body: bytes) -> None:
        """Answer a REST request, or do to it what a test has asked for."""
        server, method = self._server, request.method.decode("ascii")
        server.rest_scopes[self._scope] = None
        now = trio.current_time()
        if server.faults.is_down:
            server.faults.note(RestRequest(now, method, target, 0))
            await self._cut(b"")
        owner = _header(request, b"o2-owner-id").decode("latin-1")
        verdict = server.faults.judge(method, target.partition("?")[0], owner, now)
        if verdict.unheard:
            server.faults.note(RestRequest(now, method, target, 0))
            await self._cut(b"")

        def respond() -> Response:
            lag = int(min(verdict.lag, server.max_lag()))
            return server.rest.respond(method, target, body, lag, owner)

        def execute() -> Response:
            response = verdict.response
            if response is None or verdict.executes:
                answers = [respond() for _ in range(1 + verdict.repeat)]
                response = response or answers[-1]
            cut = verdict.cut or verdict.gone
            server.faults.note(RestRequest(now, method, target, 0 if cut else response.status))
            return response

        if not verdict.deferred:
            response = execute()
        else:
            response = await self._later(verdict, execute)
        if verdict.delay:
            await trio.sleep(verdict.delay)
        if verdict.cut:
            data = self._encoded(response)
            await self._cut(data[: len(data) - len(response.body) // 2 - 1])
        await self._answer(response)

    async def _later(self, verdict: Verdict, execute: Callable[[], Response]) -> Response:
        """Execute a request after a while; should the client leave meanwhile, it is executed all the same."""
        answers: list[Response] = []
        done = trio.Event()

        async def run() -> None:
            await trio.sleep(verdict.deferred)
            answers.append(execute())
            done.set()

        self._server.start_soon(run)
        if verdict.gone:
            await self._cut(b"")
        await done.wait()
        return answers[0]

    async def _cut(self, data: bytes) -> NoReturn:
        """Send some bytes, then cut the connection."""
        await self._send(data)
        self._scope.cancel()
        await trio.sleep_forever()

    async def _answer(self, response: Response) -> None:
        """Send a whole response, unless the connection is past answering."""
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self._send(self._encoded(response))

    def _encoded(self, response: Response) -> bytes:
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            *response.headers,
        ]
        head = h11.Response(status_code=response.status, headers=headers, reason=_reason(response.status))
        body = b"" if self._bodyless else response.body
        events: list[h11.Event] = [head, h11.Data(data=body), h11.EndOfMessage()]
        return b"".join(self._h11.send(event) or b"" for event in events)

    async def _send(self, data: bytes) -> None:
        await self._server.gate.passed()
        await self._stream.send_all(data)

    async def _upgrade(self, request: h11.Request, target: str) -> bool:
        """Answer a handshake and serve the WebSocket; return whether there was one."""
        ws = WSConnection(ConnectionType.SERVER)
        refusal, accepted = self._server.take_refusal(), b""
        if refusal is None:
            try:
                ws.initiate_upgrade_connection(list(request.headers), target)
                accepted = ws.send(AcceptConnection())
            except _MALFORMED as fault:
                refusal = error(400, 1001, f"malformed handshake: {fault}")
        self._server.handshakes.append(Handshake(trio.current_time(), refusal.status if refusal else 101))
        if refusal is not None:
            await self._answer(refusal)
            return False
        await self._send(accepted)
        early, _ = self._h11.trailing_data
        await self._server.serve_websocket(self._stream, ws, self._scope, early)
        return True


def _header(request: h11.Request, name: bytes) -> bytes:
    return next((value for key, value in request.headers if key == name), b"")


def _reason(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode() if status in _STATUSES else b""
