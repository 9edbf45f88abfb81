"""The short way of plain frames beside wsproto alone: the same messages, answers and ends, in one order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError

from o2trio.transport._engine import MORE, Engine

LIMIT = 300
Log = list[tuple[Any, ...]]


def frame(first: int, payload: bytes, *, width: int = 0, masked: bool = False) -> bytes:
    """Return a frame; `width` is that of the length behind the second byte, else as short as it can be."""
    size = len(payload)
    width = width or (0 if size < 126 else 2 if size < 1 << 16 else 8)
    second = {0: size, 2: 126, 8: 127}[width] | masked << 7
    length = size.to_bytes(width, "big") if width else b""
    return bytes((first, second)) + length + b"\0" * 4 * masked + payload


def close(code: int, reason: str = "") -> bytes:
    return frame(0x88, code.to_bytes(2, "big") + reason.encode())


class Player:
    """Drives an engine as trio-websocket does, and notes what comes of it."""

    def __init__(self, engine: WSConnection, limit: int, pauses: Iterator[bool]) -> None:
        self.engine = engine
        self.limit = limit
        self.log: Log = []
        self.over = self.dead = False
        self.parts: list[Any] = []
        self.pauses = pauses
        if isinstance(engine, Engine):
            engine.listen(self.take)
        server = WSConnection(ConnectionType.SERVER)
        server.receive_data(engine.send(Request(host="host.test", target="/")))
        assert isinstance(next(server.events()), Request)
        engine.receive_data(server.send(AcceptConnection()))
        assert isinstance(next(engine.events()), AcceptConnection)

    def take(self, messages: Iterator[str | bytes]) -> bool:
        for message in messages:
            self.log.append(("message", message))
            if next(self.pauses):
                return True
        return False

    def play(self, pieces: Sequence[bytes], *, leaves_after: int | None = None) -> Log:
        """Return what came of these reads and the end of the stream; it may close by itself after so many."""
        for number, piece in enumerate(pieces):
            self.read(piece)
            if number == leaves_after and not self.over:
                self.send(CloseConnection(code=1000))
                self.over = True
        if isinstance(self.engine, Engine):
            self.read(self.engine.finish())
        self.log.append(("state", self.engine.state))
        return self.log

    def read(self, data: bytes) -> None:
        while data and not self.dead and self.engine.state is not ConnectionState.CLOSED:
            self.engine.receive_data(data)
            data = b""
            try:
                for event in self.engine.events():
                    self.handle(event)
            except LocalProtocolError as error:
                # Also a reader task would end here.
                self.log.append(("died", str(error)))
                self.dead = True
            if isinstance(self.engine, Engine) and self.engine.has_more:
                data, self.engine.has_more = MORE, False

    def handle(self, event: object) -> None:
        if isinstance(event, Ping):
            self.log.append(("pong", bytes(event.payload)))
            self.send(event.response())
        elif isinstance(event, CloseConnection):
            # Where in a text it goes wrong is counted from the last read, and so told by chance.
            reason = "no text" if "codec can't decode" in (event.reason or "") else event.reason
            self.log.append(("closed", event.code, reason))
            if self.engine.state is ConnectionState.REMOTE_CLOSING:
                self.send(event.response())
            self.over = True
        elif isinstance(event, (TextMessage, BytesMessage)):
            self.parts.append(event.data)
            if sum(map(len, self.parts)) > self.limit:
                self.log.append(("too big",))
                self.send(CloseConnection(code=1009))
                self.over, self.parts = True, []
                self.dead = True
            elif event.message_finished:
                empty: Any = type(event.data)()
                whole, self.parts = empty.join(self.parts), []
                if isinstance(self.engine, Engine) and not self.over:
                    self.engine.returned.append(whole)
                elif not self.over:
                    self.log.append(("message", whole))

    def send(self, event: Any) -> None:
        self.engine.send(event)


def both(pieces: Sequence[bytes], *, limit: int = LIMIT, pauses: Iterable[bool] = (), **how: Any) -> Log:
    """Return what comes of these reads, which must be the same with wsproto alone."""
    plain = Player(WSConnection(ConnectionType.CLIENT), limit, iter(())).play(pieces, **how)
    answers = iter([*pauses, *[False] * sum(map(len, pieces))])
    ours = Player(Engine(limit), limit, answers).play(pieces, **how)
    if how.get("leaves_after") is not None:
        # A text that is no UTF-8 is found out when its frame is whole; who has left by then does not care.
        ours, plain = ([entry for entry in log if entry[0] in {"message", "pong"}] for log in (ours, plain))
    assert ours == plain
    return ours


def cut(stream: bytes, sizes: Iterable[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    return [piece for piece in (*pieces, stream) if piece]


# -- anything at all -------------------------------------------------------------------------------

_TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from([0, 3, 124, 125, 126, 127, LIMIT - 1, LIMIT, LIMIT + 1]).map("x".__mul__),
    # More bytes than the limit, but not more characters, which is what trio-websocket counts.
    st.sampled_from([42, 100, 101, LIMIT, LIMIT + 1]).map("\u20ac".__mul__),
).map(str.encode)
_BAD_TEXTS = st.tuples(
    _TEXTS, st.sampled_from((b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")), _TEXTS
).map(b"".join)
_PAYLOADS = _TEXTS | st.binary(max_size=LIMIT + 2)
_CONTROLS = st.one_of(
    st.tuples(st.sampled_from((0x89, 0x8A)), st.binary(max_size=125)).map(lambda case: frame(*case)),
    st.builds(close, st.sampled_from((1000, 1001, 1005, 1011, 3000, 999, 65535)), st.text(max_size=5)),
    st.sampled_from((frame(0x88, b""), frame(0x88, b"\x03"), frame(0x88, b"\x03\xe8\xff"))),
)


def _in_fragments(case: tuple[int, bytes, list[int], list[bytes]]) -> bytes:
    kind, payload, sizes, between = case
    parts = cut(payload, sizes) or [b""]
    last = len(parts) - 1
    frames = [
        frame((0x80 if n == last else 0) | (0 if n else kind), part)
        + (between[n] if n < len(between) else b"")
        for n, part in enumerate(parts)
    ]
    return b"".join(frames)


_SIZES = st.lists(st.integers(0, 120), max_size=5)
_FRAMES = st.one_of(
    _TEXTS.map(lambda payload: frame(0x81, payload)),
    _TEXTS.map(lambda payload: frame(0x81, payload)),
    _BAD_TEXTS.map(lambda payload: frame(0x81, payload)),
    _PAYLOADS.map(lambda payload: frame(0x82, payload)),
    st.tuples(
        st.sampled_from((1, 2)),
        _PAYLOADS | _BAD_TEXTS,
        _SIZES,
        st.lists(_CONTROLS | st.just(b""), max_size=3),
    ).map(_in_fragments),
    _CONTROLS,
    st.builds(
        frame,
        st.integers(0, 255),
        _PAYLOADS.filter(lambda payload: len(payload) < 126),
        width=st.sampled_from((0, 2, 8)),
        masked=st.booleans(),
    ),
    st.binary(max_size=20),
    st.just(b"\x81\x7f" + b"\xff" * 8),
)
_STREAMS = st.lists(_TEXTS.map(lambda payload: frame(0x81, payload)) | _FRAMES, max_size=8).map(b"".join)


@settings(max_examples=400)
@given(
    stream=_STREAMS,
    sizes=st.lists(st.integers(1, 200), max_size=12) | st.just([1] * 3000),
    drop=st.integers(0, 10),
    pauses=st.lists(st.booleans(), max_size=8),
    leaves_after=st.none() | st.integers(0, 4),
)
def test_it_makes_no_difference(
    stream: bytes, sizes: list[int], drop: int, pauses: list[bool], leaves_after: int | None
) -> None:
    both(cut(stream[: len(stream) - drop], sizes), pauses=pauses, leaves_after=leaves_after)


@pytest.mark.parametrize("first", [0x81, 0x82], ids=["short way", "long way"])
def test_a_turn_that_the_receiver_asks_for_comes_before_the_next_message(first: int) -> None:
    engine = Engine(LIMIT)
    player = Player(engine, LIMIT, iter([True, False]))
    engine.receive_data(frame(first, b"one") + _TWO)
    for event in engine.events():
        player.handle(event)
    assert [len(entry[1]) for entry in player.log] == [3]
    assert engine.has_more
    player.play([MORE])
    assert player.log[1:] == [*_messages("two"), _CUT]


# -- case by case: what the Autobahn test suite asks of a client -----------------------------------

_HELLO = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!"
_WORD = "\u03ba\u1f79\u03c3\u03bc\u03b5 \U0010ffff"
_ONE, _TWO = frame(0x81, b"one"), frame(0x81, b"two")
_BROKEN = ("closed", 1002)
_NO_TEXT = ("closed", 1007)
_CUT = ("state", ConnectionState.OPEN)


def _messages(*texts: str | bytes) -> Log:
    return [("message", text) for text in texts]


CASES: dict[str, tuple[bytes, Log]] = {
    # Any length, text or binary, in the shortest form of its header.
    **{
        f"{kind} of {size}": (frame(first, b"*" * size), [*_messages(sample * size), _CUT])
        for kind, first, sample in (("text", 0x81, "*"), ("bytes", 0x82, b"*"))
        for size in (0, 1, 125, 126, 127, 128, 65535, 65536)
    },
    "length of 2 bytes for 125": (
        _ONE + frame(0x81, b"*" * 125, width=2) + _TWO,
        [*_messages("one"), _BROKEN],
    ),
    "length of 8 bytes for 125": (
        _ONE + frame(0x81, b"*" * 125, width=8) + _TWO,
        [*_messages("one"), _BROKEN],
    ),
    "length of 8 bytes for 65535": (frame(0x81, b"*" * 65535, width=8) + _TWO, [_BROKEN]),
    "length beyond 63 bits": (b"\x81\x7f\xff" + bytes(7) + _TWO, [_BROKEN]),
    "masked": (_ONE + frame(0x81, b"two", masked=True) + _TWO, [*_messages("one"), _BROKEN]),
    # The limit.
    "more than the limit": (_ONE + frame(0x81, b"*" * 70001) + _TWO, [*_messages("one"), ("too big",)]),
    "more than the limit in parts": (
        frame(0x01, b"*" * 40000) + frame(0x00, b"*" * 30001),
        [("too big",)],
    ),
    # Ping and pong.
    "pings": (
        _ONE + frame(0x89, b"") + _TWO + frame(0x89, b"\x00\xff") + _ONE + frame(0x89, b"*" * 125),
        [
            *_messages("one"),
            ("pong", b""),
            *_messages("two"),
            ("pong", b"\x00\xff"),
            *_messages("one"),
            ("pong", b"*" * 125),
            _CUT,
        ],
    ),
    "ping of 126 bytes": (_ONE + frame(0x89, b"*" * 126) + _TWO, [*_messages("one"), _BROKEN]),
    "ten pings": (
        b"".join(frame(0x89, b"%d" % n) for n in range(10)),
        [*(("pong", b"%d" % n) for n in range(10)), _CUT],
    ),
    "pongs that nobody asked for": (frame(0x8A, b"") + _ONE + frame(0x8A, b"x"), [*_messages("one"), _CUT]),
    # Reserved bits and opcodes.
    **{
        f"first byte {first:02x}": (_ONE + frame(first, b"two") + _TWO, [*_messages("one"), _BROKEN])
        for first in (
            0xC1,
            0xA1,
            0x91,
            0xF1,
            0xD2,
            0xB9,
            0xC8,
            *range(0x83, 0x88),
            *range(0x8B, 0x90),
            0x09,
            0x08,
        )
    },
    # Fragments.
    "two fragments": (frame(0x01, b"o") + frame(0x80, b"ne") + _TWO, [*_messages("one", "two"), _CUT]),
    "binary fragments": (frame(0x02, b"o") + frame(0x80, b"ne") + _TWO, [*_messages(b"one", "two"), _CUT]),
    "empty fragments": (
        frame(0x01, b"") + frame(0x00, b"") + frame(0x80, b"") + _TWO,
        [*_messages("", "two"), _CUT],
    ),
    "a ping between fragments": (
        frame(0x01, b"o")
        + frame(0x89, b"?")
        + frame(0x00, b"n")
        + frame(0x8A, b"")
        + frame(0x80, b"e")
        + _TWO,
        [("pong", b"?"), *_messages("one", "two"), _CUT],
    ),
    "a ping in fragments": (
        _ONE + frame(0x09, b"?") + frame(0x80, b"!") + _TWO,
        [*_messages("one"), _BROKEN],
    ),
    "continues nothing": (_ONE + frame(0x80, b"?") + _TWO, [*_messages("one"), _BROKEN]),
    "continues what has ended": (
        frame(0x01, b"o") + frame(0x80, b"ne") + frame(0x00, b"?") + _TWO,
        [*_messages("one"), _BROKEN],
    ),
    "a text within fragments": (frame(0x01, b"o") + _TWO + frame(0x80, b"ne"), [_BROKEN]),
    "a binary within fragments": (frame(0x01, b"o") + frame(0x82, b"") + frame(0x80, b"ne"), [_BROKEN]),
    # Text.
    "text of many lengths": (frame(0x81, (_HELLO + _WORD).encode()), [*_messages(_HELLO + _WORD), _CUT]),
    "a character per byte": (
        b"".join(frame(0x00 if n else 0x01, bytes((byte,))) for n, byte in enumerate(_WORD.encode()))
        + frame(0x80, b""),
        [*_messages(_WORD), _CUT],
    ),
    **{
        f"no text {bad.hex()}": (_ONE + frame(0x81, b"a" + bad + end) + _TWO, [*_messages("one"), _NO_TEXT])
        for bad, end in (
            (b"\xff", b"z"),
            (b"\x80", b"z"),
            (b"\xc0\x80", b"z"),
            (b"\xe0\x80\xaf", b"z"),
            (b"\xed\xa0\x80", b"z"),
            (b"\xed\xbf\xbf", b"z"),
            (b"\xf4\x90\x80\x80", b"z"),
            (b"\xe2\x82", b""),
        )
    },
    "no text in the second fragment": (
        _ONE + frame(0x01, b"ok") + frame(0x80, b"\xff") + _TWO,
        [*_messages("one"), _NO_TEXT],
    ),
    "binary that is no text": (frame(0x82, b"\xff\xfe"), [*_messages(b"\xff\xfe"), _CUT]),
    # The end.
    **{
        f"close {code}": (
            _ONE + close(code, "bye") + _TWO + frame(0x89, b""),
            [*_messages("one"), ("closed", code)],
        )
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    },
    **{
        f"close {code}": (_ONE + close(code) + _TWO, [*_messages("one"), _BROKEN])
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "close without a code": (_ONE + frame(0x88, b"") + _TWO, [*_messages("one"), ("closed", 1005)]),
    "close of one byte": (_ONE + frame(0x88, b"\x03") + _TWO, [*_messages("one"), _BROKEN]),
    "close with a long reason": (close(1000, "x" * 123) + _TWO, [("closed", 1000)]),
    "close with a reason too long": (close(1000, "x" * 124) + _TWO, [_BROKEN]),
    "close with a reason that is no text": (frame(0x88, b"\x03\xe8\xff") + _TWO, [_NO_TEXT]),
    "two closes": (close(1000) + close(1001), [("closed", 1000)]),
    "close within fragments": (frame(0x01, b"o") + close(1000) + frame(0x80, b"ne"), [("closed", 1000)]),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    stream, expected = CASES[name]
    size = len(stream)
    for sizes in ([size], [1] * min(size, 150), [size // 2], [size - 1], [16384] * (size // 16384)):
        log = both(cut(stream, sizes), limit=70_000)
        told = [entry[:2] for entry in log]
        assert told[: len(expected)] == expected
        assert [entry for entry in told[len(expected) :] if entry[0] != "state"] == []
