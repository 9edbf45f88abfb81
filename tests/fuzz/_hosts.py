"""Hostile clients of the embedded exchange: nothing escapes, and others are served exactly as ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import trio
from hypothesis import strategies as st
from trio.testing import MockClock

from o2trio.models import Id
from o2trio.simulator import Exchange, Flavor, Simulator, default_listings, open_simulator
from o2trio.simulator._feeds import Feeds
from tests.fuzz._mutations import DAMAGES, damaged, mutated_json
from tests.fuzz._samples import Heard, Trader, default_market, flavors, heard, requests
from tests.simulator.conftest import RawSocket, dial_stream

UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(head: int, payload: bytes) -> bytes:
    """Return a client's frame whose mask is zero."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 2**16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([head]) + length + bytes(4) + payload


# -- requests on a socket, without I/O -------------------------------------------------------------

REQUESTS = st.deferred(
    lambda: st.tuples(
        st.sampled_from(flavors()), st.lists(mutated_json(requests(), 2), min_size=1, max_size=6)
    )
)


def check_requests(case: tuple[Flavor, list[str]]) -> None:
    """Every mutated request is answered in JSON or not at all, and subscriptions stay few."""
    flavor, texts = case
    feeds = Feeds(Exchange(default_listings(), lambda: 0), flavor)
    feed = feeds.open()
    for text in texts:
        for answer in feed.receive(text.encode("utf-8", "replace").decode(), 0.0):
            assert answer in {"PONG", "OK"} or isinstance(json.loads(answer), dict)
    assert len(feed.slots) <= 3 * len(feeds.market_ids) + 3


# -- REST requests, without I/O --------------------------------------------------------------------


@cache
def _asked() -> tuple[Heard, ...]:
    return tuple({(one.target, one.body): one for one in heard()}.values())


@st.composite
def _calls(draw: Callable[..., Any]) -> tuple[Flavor, list[tuple[str, str, bytes, int, str]]]:
    calls = []
    for _ in range(draw(st.integers(1, 4))):
        one = draw(st.sampled_from(_asked()))
        method = draw(
            st.sampled_from((one.method, one.method, one.method, "GET", "POST", "PUT", "DELETE", "\xe9"))
        )
        target = damaged(one.target.encode(), draw(DAMAGES)).decode("latin-1")
        body = one.body
        if body:
            body = draw(mutated_json((json.loads(body),), 2)).encode("utf-8", "surrogatepass")
            body = damaged(body, draw(st.just([]) | DAMAGES))
        owner = draw(st.sampled_from((one.owner, one.owner, "", "\xff", "0x" + one.owner.upper())))
        calls.append((method, target, body, draw(st.sampled_from((0, 0, 1, 10**18))), owner))
    return draw(st.sampled_from(flavors())), calls


CALLS = st.deferred(_calls)


def check_calls(case: tuple[Flavor, list[tuple[str, str, bytes, int, str]]]) -> None:
    """Every mutated request of an account with a session is answered with a status and JSON."""
    flavor, calls = case
    trader = Trader(flavor)
    trader.set_up()
    for call in calls:
        answer = trader.api.respond(*call)
        assert 200 <= answer.status <= 599
        json.loads(answer.body)


# -- whole connections -----------------------------------------------------------------------------

Step = tuple[str, Any]
"""What a hostile client does: ``send`` bytes, ``sleep``, ``read``, ``eof`` or ``leave``."""

_HTTP = (
    b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/ws HTTP/1.0\r\nUpgrade: websocket\r\n\r\n",
    UPGRADE.replace(b"Host: x", b"Host: \xff"),
    UPGRADE.replace(b"Connection: Upgrade", b"Connection: \xff"),
    UPGRADE.replace(b"13\r\n", b"13\r\nSec-WebSocket-Extensions: \xff\r\nSec-WebSocket-Protocol: \xff\r\n"),
    UPGRADE.replace(b"GET", b"CONNECT"),
    b"POST /v1/session/actions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
    b"POST /faucet HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
    b"POST /faucet HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"[" * 70_000,
    b"GET /" + b"a" * 20_000,
    b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
    b"HEAD /v1/markets HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
)
_DEEP = masked(0x81, b'{"action":' + b"[" * 60_000)

_FRAMES: st.SearchStrategy[bytes] = st.one_of(
    st.deferred(lambda: mutated_json(requests(), 1)).map(
        lambda text: masked(0x81, text.encode("utf-8", "surrogatepass")[:70_000])
    ),
    st.deferred(lambda: st.sampled_from(requests())).map(lambda one: masked(0x81, json.dumps(one).encode())),
    st.sampled_from((_DEEP, masked(0x81, b"PING") * 200, masked(0x89, b"x") * 200, masked(0x88, b"\x03"))),
    st.sampled_from(
        (masked(0x01, b"") + masked(0x00, b"") * 500, b"\x81\xff\x7f" + b"\xff" * 7 + bytes(500))
    ),
    st.tuples(st.integers(0, 255), st.binary(max_size=130)).map(lambda case: masked(*case)),
    st.binary(max_size=40),
)


@st.composite
def _clients(draw: Callable[..., Any]) -> list[list[Step]]:
    clients: list[list[Step]] = []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            begin = [
                damaged(draw(st.sampled_from(_HTTP)), draw(DAMAGES)) for _ in range(draw(st.integers(1, 3)))
            ]
        else:
            begin = [damaged(UPGRADE, draw(st.just([]) | DAMAGES)), *draw(st.lists(_FRAMES, max_size=6))]
        steps: list[Step] = []
        for data in begin:
            cut = draw(st.integers(0, len(data)))
            steps += [
                ("send", data[:cut]),
                ("sleep", draw(st.sampled_from((0, 0, 0.3)))),
                ("send", data[cut:]),
            ]
        steps.append((draw(st.sampled_from(("eof", "leave", "sleep", "read"))), 1.0))
        clients.append(steps)
    return clients


CLIENTS = st.deferred(_clients)
_SECONDS = 4


def check_clients(clients: Sequence[list[Step]]) -> None:
    """Compare what an honest client is told, and when, with what it is told alone."""
    assert transcript(clients) == _alone()


@cache
def _alone() -> list[tuple[float, str]]:
    told = transcript([])
    assert len(told) > 20
    return told


def transcript(clients: Sequence[list[Step]]) -> list[tuple[float, str]]:
    """Return what an honest client of the exchange was told, and when, while others did this."""
    return trio.run(_transcript, clients, clock=MockClock(autojump_threshold=0))


async def _transcript(clients: Sequence[list[Step]]) -> list[tuple[float, str]]:
    told: list[tuple[float, str]] = []
    start = trio.current_time()
    async with open_simulator(seed=5, rate=6) as sim:
        honest = RawSocket(await dial_stream(sim))
        await honest.handshake()
        market = Id(default_market())
        for kind in ("depth", "trades"):
            await honest.send({"action": f"subscribe_{kind}", "market_id": market, "precision": "10"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, honest, told, start)
            nursery.start_soon(_harass, sim, clients)
            await trio.sleep_until(start + _SECONDS)
            nursery.cancel_scope.cancel()
        heartbeat = len(told)
        with trio.fail_after(5):
            await honest.send("PING")
            while "PONG" not in [text for _, text in told[heartbeat:]]:
                told.append((0.0, await honest.text()))
            # Longer than a connection may take to be closed.
            await trio.sleep(2.5)
        assert len(sim.connections) == len(sim._server._scopes) == len(sim._feeds.feeds) == 1
    return told[:heartbeat]


async def _listen(socket: RawSocket, told: list[tuple[float, str]], start: float) -> None:
    while True:
        text = await socket.text()
        told.append((round(trio.current_time() - start, 6), text))


async def _harass(sim: Simulator, clients: Sequence[list[Step]]) -> None:
    async with trio.open_nursery() as nursery:
        for steps in clients:
            nursery.start_soon(_act, sim, steps)


async def _act(sim: Simulator, steps: list[Step]) -> None:
    async with await dial_stream(sim) as stream:
        try:
            for what, value in steps:
                if what == "send":
                    await stream.send_all(value)
                elif what == "sleep":
                    await trio.sleep(value)
                elif what == "eof":
                    assert isinstance(stream, trio.abc.HalfCloseableStream)
                    await stream.send_eof()
                elif what == "read":
                    while await stream.receive_some():
                        pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
