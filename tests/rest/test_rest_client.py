"""The REST client against a raw HTTP server on in-memory streams; the clock is virtual."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import attrs
import h11
import pytest
import trio
import trio.testing
import trustme

from o2trio._errors import ApiError, DecodeError, InvalidRequest, MessageTooBig, RequestFailed
from o2trio._network import NetworkConfig, Options
from o2trio.models import Identity, Markets
from o2trio.rest import RestClient

OPTIONS = Options(request_timeout=10, jitter=lambda: 1.0, max_message_bytes=10_000)
ID = "0x" + "ab" * 32
Reply = tuple[int, dict[str, str], bytes] | None
Clock = trio.testing.MockClock


class Server:
    """Answers from a script, one entry for each request; None says nothing for ever."""

    def __init__(self, nursery: trio.Nursery, *replies: Reply | OSError) -> None:
        self.replies = list(replies)
        self.targets: list[str] = []
        self.times: list[float] = []
        self.dials = 0
        self.nursery = nursery

    async def dial(self, host: str, port: int) -> trio.abc.Stream:
        self.dials += 1
        await trio.lowlevel.checkpoint()
        if self.replies and isinstance(self.replies[0], OSError):
            self.times.append(trio.current_time())
            raise self.replies.pop(0)  # type: ignore[misc]  # the line above has looked
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.serve, theirs)
        return ours

    async def serve(self, stream: trio.abc.Stream) -> None:
        engine = h11.Connection(h11.SERVER)
        async with stream:
            while True:
                event = engine.next_event()
                if event is h11.NEED_DATA:
                    try:
                        engine.receive_data(bytes(await stream.receive_some()))
                    except trio.BrokenResourceError:
                        return
                elif isinstance(event, h11.Request):
                    self.targets.append(event.target.decode())
                    self.times.append(trio.current_time())
                elif isinstance(event, h11.EndOfMessage):
                    reply = self.replies.pop(0)
                    if reply is None:
                        await trio.sleep_forever()
                    await stream.send_all(render(engine, reply))
                    if engine.our_state is not h11.DONE:
                        return
                    engine.start_next_cycle()
                else:
                    return


def render(engine: h11.Connection, reply: Reply | OSError) -> bytes:
    assert isinstance(reply, tuple)
    status, headers, body = reply
    if status == 0:
        engine.send_failed()
        return body
    headers = {"Content-Length": str(len(body)), **headers}
    data = engine.send(h11.Response(status_code=status, headers=list(headers.items()))) or b""
    data += engine.send(h11.Data(data=body)) or b""
    return data + (engine.send(h11.EndOfMessage()) or b"")


def ok(value: Any) -> Reply:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


BALANCE = {"order_books": {ID: {"locked": "3", "unlocked": "4"}}, "total_locked": "5", "total_unlocked": "7",
           "trading_account_balance": "7"}  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock(autojump_threshold=0)


@pytest.fixture
def serving(nursery: trio.Nursery) -> Iterator[Callable[..., Server]]:
    yield partial(Server, nursery)
    nursery.cancel_scope.cancel()


def client(server: Server, options: Options = OPTIONS) -> RestClient:
    return RestClient(
        NetworkConfig(
            name="t", rest_url="http://host.test", websocket_url="ws://host.test/v1/ws", dialer=server.dial
        ),
        options,
    )


async def test_markets(clock: Clock, serving: Callable[..., Server]) -> None:
    server = serving(ok({"markets": [], "chain_id": "0x0"}), ok({"markets": [], "chain_id": "9889"}))
    async with client(server) as rest:
        assert await rest.markets() == Markets(markets=(), chain_id=0)
        assert (await rest.markets()).chain_id == 9889
    assert server.targets == ["/v1/markets", "/v1/markets"]
    assert server.dials == 1


@pytest.mark.parametrize(
    ("identity", "key"), [(Identity.contract(ID), "contract"), (Identity.address(ID), "address")]
)
async def test_balance(clock: Clock, serving: Callable[..., Server], identity: Identity, key: str) -> None:
    server = serving(ok(BALANCE))
    async with client(server) as rest:
        balance = await rest.balance(identity, "cd" * 32)
    assert server.targets == [f"/v1/balance?asset_id=0x{'cd' * 32}&{key}={ID}"]
    assert (balance.identity, balance.asset_id) == (identity, "0x" + "cd" * 32)
    assert (balance.total_locked, balance.total_unlocked, balance.trading_account_balance) == (5, 7, 7)
    assert balance.order_books[ID].unlocked == 4  # type: ignore[index]  # an id, as text


@pytest.mark.parametrize(
    ("of", "query"),
    [
        (ID.upper(), "trade_account_id"),
        (Identity.address(ID), "owner"),
        (Identity.contract(ID), "owner_contract"),
    ],
)
async def test_account(clock: Clock, serving: Callable[..., Server], of: str | Identity, query: str) -> None:
    server = serving(
        ok(
            {
                "trade_account_id": ID,
                "trade_account": {"nonce": "0x7", "owner": {"Address": ID}},
                "session": None,
            }
        ),
        ok({"trade_account_id": ID, "trade_account": None}),
        ok({"trade_account_id": None, "trade_account": None, "session": None}),
    )
    async with client(server) as rest:
        account = await rest.account(of)
        assert account is not None
        assert (account.trade_account_id, account.nonce, account.owner) == (ID, 7, Identity.address(ID))
        account = await rest.account(of)
        assert account is not None
        assert (account.nonce, account.owner) == (None, None)
        assert await rest.account(of) is None
    assert server.targets[0] == f"/v1/accounts?{query}={ID}"


async def test_a_wrong_id_is_the_callers_error(clock: Clock, serving: Callable[..., Server]) -> None:
    server = serving()
    async with client(server) as rest:
        with pytest.raises(InvalidRequest):
            await rest.account("nobody")
    assert server.dials == 0


async def test_an_answer_of_another_shape(clock: Clock, serving: Callable[..., Server]) -> None:
    async with client(serving(ok({"markets": 7}))) as rest:
        with pytest.raises(DecodeError, match=r"\$\.markets"):
            await rest.markets()


async def read_error(server: Server, options: Options = OPTIONS) -> Exception:
    async with client(server, options) as rest:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller looks at it
            await rest.markets()
    assert not server.replies
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "code", "reason", "words"),
    [
        (400, b'{"code":1001,"message":"bad"}', 1001, None, "HTTP 400 with code 1001: bad"),
        (200, b'{"code":1004,"message":"region"}', 1004, None, "HTTP 200 with code 1004: region"),
        (400, b'{"message":"m","reason":"r","receipts":null}', None, "r", "failed with HTTP 400: m: r"),
        (404, b'{"code":"x"}', None, None, "failed with HTTP 404: x"),
        (404, b"{}", None, None, "failed with HTTP 404: no explanation"),
        (404, b"[]", None, None, "failed with HTTP 404: no explanation"),
        (301, b"", None, None, "HTTP 301 without JSON: (empty)"),
        (200, b"<html>\n <b>Login\x07</b>", None, None, "HTTP 200 without JSON: <html> <b>Login</b>"),
        (403, b"\xff" + b"y" * 5000, None, None, "HTTP 403 without JSON: \ufffd" + "y" * 199),
    ],
)
async def test_errors_are_readable_and_not_repeated(
    clock: Clock,
    serving: Callable[..., Server],
    status: int,
    body: bytes,
    code: int | None,
    reason: str | None,
    words: str,
) -> None:
    error = await read_error(serving((status, {}, body)))
    assert isinstance(error, ApiError)
    assert (error.status, error.code, error.reason) == (status, code, reason)
    assert str(error).startswith("GET /v1/markets ")
    assert str(error).endswith(words)


DONE = ok({"markets": []})


@pytest.mark.parametrize(
    ("first", "wait"),
    [
        ((502, {}, b"<html>Bad Gateway"), 1.0),
        ((429, {"Retry-After": "4"}, b""), 4.0),
        ((429, {"Retry-After": "0"}, b""), 1.0),
        ((200, {}, b'{"code":1003,"message":"slow down"}'), 1.0),
        ((0, {}, b""), 1.0),
        ((0, {}, b"nonsense\r\n\r\n"), 1.0),
        ((0, {}, b"HTTP/1.1 200 Ok\r\nContent-Length: 50\r\n\r\nshort"), 1.0),
        ((200, {"Content-Encoding": "gzip"}, b"no gzip"), 1.0),
        (ConnectionRefusedError("nobody"), 1.0),
        (None, 11.0),
    ],
)
async def test_reads_are_repeated(
    clock: Clock, serving: Callable[..., Server], first: Reply | OSError, wait: float
) -> None:
    server = serving(first, DONE)
    async with client(server) as rest:
        assert await rest.markets() == Markets(markets=())
    assert server.times == [0.0, wait]


async def test_a_read_is_given_up_after_three_attempts(clock: Clock, serving: Callable[..., Server]) -> None:
    server = serving(*[(503, {}, b"no")] * 3)
    error = await read_error(server)
    assert isinstance(error, ApiError)
    assert error.status == 503
    assert server.times == [0.0, 1.0, 3.0]


async def test_a_mute_server_is_bounded(clock: Clock, serving: Callable[..., Server]) -> None:
    error = await read_error(serving(None, None, None))
    assert isinstance(error, RequestFailed)
    assert str(error) == "GET /v1/markets got no answer within 10 s"
    assert trio.current_time() == 33.0


async def test_a_wait_that_is_too_long_is_not_waited(clock: Clock, serving: Callable[..., Server]) -> None:
    error = await read_error(serving((429, {"Retry-After": "11"}, b"")))
    assert isinstance(error, ApiError)
    assert (error.status, error.retry_after) == (429, 11.0)
    assert trio.current_time() == 0


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
async def test_a_huge_answer_is_refused(
    clock: Clock, serving: Callable[..., Server], headers: dict[str, str]
) -> None:
    body = b" " * 1_000_000
    error = await read_error(serving((200, headers, gzip.compress(body) if headers else body)))
    assert isinstance(error, MessageTooBig)


async def test_a_cancelled_read_leaves_the_client_usable(
    clock: Clock, serving: Callable[..., Server]
) -> None:
    server = serving(None, DONE)
    async with client(server) as rest:
        with trio.move_on_after(1) as scope:
            await rest.markets()
        assert scope.cancelled_caught
        assert await rest.markets() == Markets(markets=())
    assert trio.current_time() == 1


async def test_a_server_that_answers_early_and_hangs_up_is_heard(clock: Clock) -> None:
    async def dial(host: str, port: int) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        ours.send_stream.send_all_hook = fail
        return ours

    async def fail() -> None:
        raise trio.BrokenResourceError

    config = NetworkConfig(name="t", rest_url="http://h.test", websocket_url="ws://h.test", dialer=dial)
    async with RestClient(config, OPTIONS) as rest:
        with pytest.raises(ApiError, match="HTTP 413"):
            await rest.markets()


async def test_a_further_client_makes_no_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    config = NetworkConfig.from_url("https://o2.test")
    async with RestClient(config, OPTIONS):
        pass

    def unwanted(*_: object) -> None:
        pytest.fail("to make a TLS context takes long")

    monkeypatch.setattr(ssl, "SSLContext", unwanted)
    async with RestClient(config, OPTIONS):
        pass


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_over_tcp_without_threads(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    def no_threads(*_: object, **__: object) -> None:
        pytest.fail("a thread was used")

    monkeypatch.setattr(trio.to_thread, "run_sync", no_threads)
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    if trusted:
        authority.configure_trust(ours)
    server = Server(nursery, DONE, DONE)

    async def serve(stream: trio.abc.Stream) -> None:
        try:
            await server.serve(stream)
        except trio.BrokenResourceError:
            assert not trusted

    start = partial(trio.serve_ssl_over_tcp, serve, 0, theirs, host="127.0.0.1", https_compatible=True)
    listeners = await nursery.start(start)
    port = listeners[0].transport_listener.socket.getsockname()[1]
    config = attrs.evolve(NetworkConfig.from_url(f"https://127.0.0.1:{port}"), ssl_context=ours)
    async with RestClient(config, OPTIONS) as rest:
        if trusted:
            await rest.markets()
            await rest.markets()
            assert server.targets == ["/v1/markets"] * 2
        else:
            with pytest.raises(RequestFailed) as caught:
                await rest.markets()
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    nursery.cancel_scope.cancel()
