"""What the search has found, in its shortest form, and hard cases that no search happens upon."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from o2trio._errors import LinkClosed, MessageTooBig, RequestFailed
from o2trio.rest._answers import Answer
from o2trio.simulator import Exchange, Flavor, default_listings, open_simulator
from o2trio.simulator._feeds import Feeds
from o2trio.simulator._ws_frames import ping_frame, text_frame
from o2trio.transport import _link
from o2trio.wire import structure_json
from tests.fuzz._decoders import ALL_KINDS, read_error, read_frame, survived
from tests.fuzz._hosts import UPGRADE, Step, check_clients, masked, transcript
from tests.fuzz._links import OPTIONS, Server, Told
from tests.fuzz._samples import default_market, frames
from tests.rest.fake import Fake
from tests.simulator.conftest import RawSocket, dial_stream

# -- the decoders ----------------------------------------------------------------------------------

LARGE: dict[str, Callable[[], str]] = {
    "deep lists": lambda: "[" * 1_000_000,
    "deep objects": lambda: '{"view":' * 200_000,
    "one huge integer": lambda: f'{{"code":{"9" * 1_000_000},"message":""}}',
    "huge integers": lambda: f'{{"orders":[{",".join(["9" * 4300] * 200)}]}}',
    "a huge text": lambda: json.dumps({"action": "a" * 1_000_000, "market_id": "a" * 1_000_000}),
    "a huge number as text": lambda: json.dumps(
        {"action": "nonce", "contract_id": "a", "nonce": "9" * 1_000_000}
    ),
    "many orders": lambda: json.dumps({"action": "subscribe_orders", "orders": [{}] * 30_000}),
    "many groups": lambda: json.dumps({"tx_id": "a", "orders": [[[[[]] * 20] * 20] * 20]}),
    "many keys": lambda: json.dumps({f"{n}": {} for n in range(10_000)}),
    "many quotes": lambda: json.dumps({"code": 1000, "message": 'Ok("' * 200_000}),
    "many reverts": lambda: json.dumps({"reason": "LogData { data: Some( Revert {" * 30_000}),
    "many receipts": lambda: json.dumps({"reason": "a", "receipts": [{"LogData": {"data": "0"}}] * 10_000}),
    "long exponents": lambda: f'{{"price":[{",".join(["1e999"] * 10_000)}]}}',
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_is_read_or_refused_soon(name: str) -> None:
    text = LARGE[name]()
    begin = time.process_time()
    read_frame(text)
    for kind, shape in ALL_KINDS[::4]:
        survived(partial(structure_json, text, kind, shape))
    for status in (200, 500):
        read_error(Answer("POST /v1/session/actions", status, None, text.encode()))
    # A dozen readings of up to a megabyte take some tenths of a second; what is quadratic takes minutes.
    assert time.process_time() - begin < 8


def _packed_often() -> bytes:
    """Return a few hundred bytes that unpack to nothing, by way of many megabytes."""
    packer = zlib.compressobj(wbits=31)
    return gzip.compress(gzip.compress((b"\x00\x00\x00\xff\xff" * 2_000_000) + packer.flush()))


async def test_an_answer_that_is_compressed_twice_is_refused(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        body = _packed_often()
        fake = Fake(nursery, lambda *_: (200, {"Content-Encoding": "gzip, gzip, gzip"}, body))
        async with fake.client() as rest:
            with pytest.raises(RequestFailed, match="compressed more than once"):
                await rest.markets()
        nursery.cancel_scope.cancel()


# -- the link --------------------------------------------------------------------------------------


def test_a_stream_that_is_cut_anywhere_gives_every_whole_message() -> None:
    texts = [json.dumps(frame) for frame in frames()[:2]]
    parts = [text_frame(texts[0]), ping_frame(b"?"), text_frame("\u20ac"), text_frame(texts[1])]
    stream = b"".join(parts)
    ends = [len(parts[0]), len(b"".join(parts[:3])), len(stream)]
    for cut in (*range(0, len(stream), 7), *(end + step for end in ends[:2] for step in (-1, 0, 1))):
        told = Server(stream[:cut]).told()
        whole = sum(end <= cut for end in ends)
        assert told.messages == [texts[0], "\u20ac", texts[1]][:whole]
        assert isinstance(told.error, LinkClosed)
        assert told.error.code == 1006


@pytest.mark.parametrize("head", [b"\x81\x7f", b"\x82\x7f", b"\x01\x7f"])
def test_the_length_in_a_header_takes_no_memory(head: bytes) -> None:
    start = head + (2**62).to_bytes(8, "big")
    told, peak = _peak(lambda: Server(start + b"x" * 1000, hangs_up=False).told())
    assert told == Told([], None)
    assert peak < 2_000_000
    assert isinstance(Server(start + b"x" * (OPTIONS.max_message_bytes + 1)).told().error, MessageTooBig)


def _peak(act: Callable[[], Told]) -> tuple[Told, int]:
    act()  # whatever is made only once
    tracemalloc.start()
    try:
        return act(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_empty_fragments_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    ending = _link.Link._ending

    async def noting(self: _link.Link) -> Exception:
        held.append(len(self._connection._message_parts))
        return await ending(self)

    monkeypatch.setattr(_link.Link, "_ending", noting)
    flood = text_frame("first") + b"\x01\x01a" + b"\x00\x00" * 20_000
    assert Server(flood, sizes=[1000]).told().messages == ["first"]
    assert held[-1] == 1
    assert Server(flood + b"\x80\x01b", sizes=[1000]).told().messages == ["first", "ab"]


# -- the server ------------------------------------------------------------------------------------

MALFORMED = {
    "no host": b"GET /v1/ws HTTP/1.0\r\nUpgrade: websocket\r\n\r\n",
    "host": UPGRADE.replace(b"Host: x", b"Host: \xff"),
    "connection": UPGRADE.replace(b"Connection: Upgrade", b"Connection: \xff"),
    "extensions": UPGRADE.replace(b"13\r\n", b"13\r\nSec-WebSocket-Extensions: \xff\r\n"),
    "protocol": UPGRADE.replace(b"13\r\n", b"13\r\nSec-WebSocket-Protocol: \xff\r\n"),
    "behind a HEAD": b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\nG!\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_handshake_is_refused(autojump_clock: MockClock, name: str) -> None:
    async with open_simulator(flow=False) as sim:
        stream = await dial_stream(sim)
        await stream.send_all(MALFORMED[name])
        answer = b""
        while b"malformed" not in answer:
            answer += await stream.receive_some()
        assert b"HTTP/1.1 400 Bad Request\r\n" in answer
        await RawSocket(await dial_stream(sim)).handshake()
        assert len(sim.connections) == 1


@pytest.mark.parametrize("acknowledge", [False, True])
def test_deep_requests_are_refused(acknowledge: bool) -> None:
    feeds = Feeds(Exchange(default_listings(), lambda: 0), Flavor(acknowledge_unsubscribe=acknowledge))
    feed = feeds.open()
    for depth in range(900, 1100):
        for inner in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            for action, field in (("unsubscribe_orders", "x"), ("subscribe_depth", "market_id")):
                answers = feed.receive(f'{{"action":"{action}","{field}":{inner}}}', 0.0)
                assert all(answer.startswith(('{"code":', '{"action":')) for answer in answers)


FLOODS: dict[str, list[Step]] = {
    "deep": [("send", UPGRADE + masked(0x81, b'{"a":' + b"[" * 60_000)), ("read", None)],
    "pings": [("send", UPGRADE + masked(0x89, b"x" * 100) * 3000), ("sleep", 1)],
    "heartbeats that are not read": [("send", UPGRADE + masked(0x81, b"PING") * 6_000), ("sleep", 1)],
    "empty fragments": [("send", UPGRADE + masked(0x01, b"") + masked(0x00, b"") * 20_000), ("eof", None)],
    "a giant length": [("send", UPGRADE + b"\x81\xff\x7f" + b"\xff" * 7 + b"x" * 100_000), ("read", None)],
    "subscriptions": [
        ("send", UPGRADE),
        *(
            (
                "send",
                masked(0x81, json.dumps({"action": action, "market_id": default_market(), **more}).encode()),
            )
            for _ in range(300)
            for action in (
                "subscribe_depth_view",
                "unsubscribe_depth_view",
                "subscribe_depth",
                "subscribe_trades",
            )
            for more in ({"precision": "1", "frequency": "100ms"},)
        ),
        ("leave", None),
    ],
    "half a request": [
        ("send", b"POST /faucet HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"),
        ("sleep", 2),
    ],
    "pipelined": [("send", b"GET /v1/markets HTTP/1.1\r\nHost: x\r\n\r\n" * 100), ("sleep", 2)],
    "one byte at a time": [
        step for byte in UPGRADE[:60] for step in (("send", bytes([byte])), ("sleep", 0.05))
    ],
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_do_not_reach_others(name: str) -> None:
    check_clients([FLOODS[name], FLOODS[name]])


def test_the_comparison_sees_a_harmed_client() -> None:
    told = transcript([])
    assert told == transcript([])
    assert any('"subscribe_trades"' in text for _, text in told)


@pytest.mark.parametrize(
    ("first", "drip", "seconds"), [(b"", b"", 30), (b"GET", b"a", 30), (UPGRADE, b"", 60)]
)
async def test_slow_clients_are_let_go(
    autojump_clock: MockClock, first: bytes, drip: bytes, seconds: float
) -> None:
    async with open_simulator(flow=False) as sim:
        stream = await dial_stream(sim)
        start = trio.current_time()
        await stream.send_all(first)
        with suppress(trio.BrokenResourceError):
            for _ in range(25 if drip else 0):
                await trio.sleep(1)
                await stream.send_all(drip)
        with trio.fail_after(100):
            while await stream.receive_some():
                pass
        assert trio.current_time() - start == pytest.approx(seconds, abs=0.5)
        await trio.sleep(3)
        assert not sim.connections
        assert not sim._server._scopes
