"""Any bytes of a server into the link: the whole messages before them, then one of our errors, in time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import trio
from hypothesis import strategies as st
from trio.testing import MockClock, memory_stream_pair
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection

from o2trio._errors import O2Error
from o2trio._network import NetworkConfig, Options
from o2trio.simulator._ws_frames import (
    binary_frame,
    close_frame,
    fragments,
    ping_frame,
    pong_frame,
    text_frame,
)
from o2trio.transport._faults import CONNECTION_ERRORS, classify
from o2trio.transport._link import open_link
from tests.fuzz._mutations import DAMAGES, Damage, damaged, pieces_of
from tests.fuzz._samples import frames

OPTIONS = Options(connect_timeout=5, close_timeout=2, max_message_bytes=20_000)
_CONFIG = NetworkConfig(name="test", rest_url="http://host.test", websocket_url="ws://host.test/v1/ws")
_SILENCE = 30.0
"""Seconds without a message after which the client leaves."""


@attrs.frozen
class Told:
    """What the client got from a server: its messages, and the error that ended it, if it did not leave."""

    messages: list[str | bytes]
    error: O2Error | None


@attrs.frozen
class Server:
    """What the server does once it has the request.

    Attributes:
      stream: its bytes behind the handshake.
      handshake: what is done to the handshake first.
      sizes: of the pieces in which it all is sent.
      hangs_up: whether the stream ends then, or stays silent.
    """

    stream: bytes
    handshake: Sequence[Damage] = ()
    sizes: Sequence[int] = (1 << 20,)
    hangs_up: bool = True

    def told(self) -> Told:
        """Return what a client gets; it must be through within its time limits and leave nothing open."""
        return trio.run(self._run, clock=MockClock(autojump_threshold=0))

    async def _run(self) -> Told:
        ours, theirs = memory_stream_pair()

        async def dial(host: str, port: int) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            return ours

        messages: list[str | bytes] = []
        ended: Exception | None = None

        def take(arrived: Iterator[str | bytes]) -> bool:
            messages.extend(arrived)
            return False

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, theirs)
            with trio.fail_after(OPTIONS.connect_timeout + _SILENCE + OPTIONS.close_timeout + 1):
                try:
                    async with open_link(attrs.evolve(_CONFIG, dialer=dial), OPTIONS) as link:
                        with trio.move_on_after(_SILENCE):
                            await link.deliver(take)
                except CONNECTION_ERRORS as fault:
                    ended = fault
            nursery.cancel_scope.cancel()
        try:
            await ours.send_all(b"x")
        except trio.ClosedResourceError:
            assert ended is None or classify(ended) is not None
            assert ended is None or isinstance(ended, O2Error)
            return Told(messages, ended)
        raise AssertionError("the stream was left open")

    async def _serve(self, stream: trio.StapledStream[Any, Any]) -> None:
        engine = WSConnection(ConnectionType.SERVER)
        try:
            while not list(engine.events()):
                engine.receive_data(bytes(await stream.receive_some()))
            accepted = damaged(engine.send(AcceptConnection()), self.handshake)
            for piece in pieces_of(accepted + self.stream, self.sizes):
                await stream.send_all(piece)
            if self.hangs_up:
                await stream.send_eof()
            while await stream.receive_some():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


# -- strategies ------------------------------------------------------------------------------------

TEXTS = st.deferred(lambda: st.sampled_from([json.dumps(frame) for frame in frames()]))
_LENGTHS = (
    b"\x7e\x00\x05",
    b"\x7e\xff\xff",
    b"\x7f" + bytes(7) + b"\x05",
    b"\x7f\x7f" + b"\xff" * 7,
    b"\x7f" + b"\xff" * 8,
)


def _header(head: int, rest: bytes) -> bytes:
    return bytes([head]) + rest


FRAGMENTS = st.tuples(TEXTS, st.lists(st.integers(0, 60), min_size=1, max_size=4).map(sorted)).map(
    lambda case: b"".join(fragments(case[0], case[1]))
)
ODD: st.SearchStrategy[bytes] = st.one_of(
    TEXTS.map(text_frame),
    st.binary(max_size=200).map(binary_frame),
    st.binary(max_size=125).map(ping_frame),
    st.binary(max_size=125).map(pong_frame),
    FRAGMENTS,
    st.integers(0, 65535).map(close_frame),
    st.sampled_from(
        (close_frame(None), b"\x88\x01\x03", b"\x88\x03\x03\xe8\xff", b"\x88\x7e\x00\x80" + b"a" * 128)
    ),
    st.tuples(st.integers(0, 255), st.sampled_from(_LENGTHS)).map(lambda case: _header(*case)),
    st.tuples(st.integers(0, 255), st.binary(max_size=9)).map(lambda case: _header(*case)),
    st.sampled_from(
        (
            b"\x01\x00" + b"\x00\x00" * 300,
            b"\x81\x02\xff\xfe",
            b"\x81\x03\xed\xa0\x80",
            b"\x01\x01\xe2\x80\x00",
        )
    ),
    st.integers(15_000, 25_000).map(lambda size: text_frame("\u20ac" * size)),
    st.binary(max_size=60),
)
SIZES = st.lists(st.integers(1, 3000), min_size=1, max_size=5) | st.just([1 << 20])

STREAMS = st.tuples(
    st.lists(TEXTS, max_size=5),
    st.lists(ODD, max_size=6),
    DAMAGES,
    st.lists(st.integers(40, 3000), min_size=1),
    st.booleans(),
)


def check_stream(case: tuple[list[str], list[bytes], list[Damage], list[int], bool]) -> None:
    """Honest messages arrive whatever comes behind them; that ends in one of our errors, or in silence."""
    texts, odd, damages, sizes, hangs_up = case
    honest = b"".join(map(text_frame, texts))
    told = Server(honest + damaged(b"".join(odd), damages), (), sizes, hangs_up).told()
    assert told.messages[: len(texts)] == texts
    assert told.error is not None or not hangs_up


HANDSHAKES = st.tuples(DAMAGES, TEXTS, SIZES, st.booleans())
_REFUSALS = (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 3,
    b"HTTP/1.1 429 \xff\r\nRetry-After: \xff\r\nContent-Length: 99999999999999999999\r\n\r\n" + b"\xff" * 100,
    b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
    b"HTTP/1.1 101 Yes\r\nConnection: \xff\r\n\r\n",
    b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: \xff\r\n\r\n",
    b"HTTP/1.1 101 " + b"x" * 40_000,
    b"HTTP/1.1 302 Go\r\nLocation: \xff\r\n\r\n",
    b"HTTP/1.1 1" * 5000,
    b"\x16\x03\x01" * 20_000,
)


def check_handshake(case: tuple[list[Damage], str, list[int], bool]) -> None:
    """Damage a handshake: it still is one, or one of our errors."""
    damages, text, sizes, hangs_up = case
    told = Server(text_frame(text), damages, sizes, hangs_up).told()
    assert told.error is not None or not hangs_up


REFUSALS = st.tuples(st.sampled_from(_REFUSALS) | st.binary(max_size=200), DAMAGES, SIZES, st.booleans())


def check_refusal(case: tuple[bytes, list[Damage], list[int], bool]) -> None:
    """Anything at all in place of the handshake is one of our errors."""
    data, damages, sizes, hangs_up = case
    told = Server(damaged(data, damages), [("cut", 0, b"x")], sizes, hangs_up).told()
    assert told.error is not None
    assert not told.messages
