"""The stages of a message's way, one at a time: how each is set up, what it is compared with, what it does.

A stage is set up for a number of messages and gives the work on them, to be carried out once; nothing of the
set-up belongs to it. So do the references: a few steps of plain Python, plain JSON of the same bytes, and
msgspec's own typed decoding of them. The benchmark measures the work's time, the guard counts its steps.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from unittest import mock

import attrs
import msgspec
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request

from o2trio import DepthBook, DepthUpdate, Options
from o2trio.models import NotUnderstood
from o2trio.simulator._ws_frames import text_frame
from o2trio.streams import Event as LifeCycleEvent
from o2trio.streams import Hub, Mailbox, Oddities, Port, Subscription, Topic, TopicKey, TradeLag, _port
from o2trio.transport._engine import Engine
from o2trio.wire import AnyUpdate, Frame, Kind, decode

from ._samples import BACK, CHANGE, DEPTH, MARKET, OTHERS, SNAPSHOT, SNAPSHOT_10, TRADES

__all__ = ["STAGES", "Setup", "Stage", "Work"]

Work = Callable[[], Awaitable[None]]
"""Carries out the messages that it was set up for."""
Setup = Callable[[int], AbstractAsyncContextManager[Work]]
"""Makes ready for a number of messages, a multiple of 64, or of 2 where a message is large."""

_MANY, _FEW = 640, 2
_LONG = 10_000
_READ_BYTES = 16 * 1024
_BATCH = 64


@attrs.frozen
class Stage:
    """One stage, and what its time is told in.

    Attributes:
      setup: makes it ready.
      reference: makes ready what it is compared with.
      unit: what that is.
      messages: how many are one round.
    """

    setup: Setup
    reference: Setup
    unit: str
    messages: int = _MANY


class _Host:
    """A world in which nothing happens by itself."""

    def __init__(self) -> None:
        self.options = Options()
        self.now = trio.current_time
        self.oddities = Oddities(self.emit, self.now)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        """Forget it."""

    def backoff(self) -> Iterator[float]:
        """Return a wait that never changes."""
        return itertools.repeat(1.0)

    def repair(self, topic: Topic) -> None:
        """Repair nothing."""

    def learn(self, topic: Topic) -> None:
        """Learn nothing."""

    def look_up(self, topic: Topic, entries: tuple[NotUnderstood, ...]) -> None:
        """Read nothing."""

    def catch_up(self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag) -> None:
        """Read nothing."""

    def run_connection(self, port: Port) -> None:
        """Connect nothing."""

    def emit(self, event: LifeCycleEvent) -> None:
        """Tell nobody."""


def _live(mailbox: Mailbox[AnyUpdate], key: TopicKey) -> tuple[Port, Topic]:
    """Return a subscribed topic with this one consumer, and its connection."""
    hub = Hub(_Host())
    hub.attach(mailbox, [key])
    (port,) = hub.ports
    port.link_up()
    while (outgoing := port.next_outgoing()) is not None:
        if outgoing[1] is not None:
            port.sent(outgoing[1])
    return port, hub.topics[0]


def _live_trades(mailbox: Mailbox[AnyUpdate]) -> tuple[Port, Topic]:
    port, topic = _live(mailbox, TopicKey(Kind.TRADES, MARKET))
    # It would find that it has seen the one trade of the sample before.
    topic.ledger = None
    return port, topic


def _filled(count: int) -> Mailbox[AnyUpdate]:
    """Return a buffer with one update, many times."""
    mailbox: Mailbox[AnyUpdate] = Mailbox(2 * count)
    update = decode(CHANGE).body
    assert isinstance(update, DepthUpdate)
    mailbox.give([update] * count)
    return mailbox


def _subscription(mailbox: Mailbox[AnyUpdate]) -> Subscription[AnyUpdate]:
    """Return a subscription to what is in a buffer, open as soon as it is entered."""

    async def subscribe() -> None:
        await trio.lowlevel.checkpoint()
        mailbox.opened.set()

    return Subscription(mailbox, subscribe, lambda: None, lambda call: call())


def _body(text: str) -> DepthUpdate:
    """Return the depth update of a frame."""
    update = decode(text).body
    assert isinstance(update, DepthUpdate)
    return update


# -- references ------------------------------------------------------------------------------------


@attrs.frozen
class _Level:
    """A level as msgspec reads it."""

    price: int
    quantity: int


@attrs.frozen
class _Sides:
    """Both sides."""

    buys: tuple[_Level, ...]
    sells: tuple[_Level, ...]


@attrs.frozen(kw_only=True)
class _Depth:
    """A change or a snapshot: what must be made of it at the least, and nothing checked."""

    market_id: str
    changes: _Sides | None = None
    view: _Sides | None = None
    onchain_timestamp: int | None = None
    seen_timestamp: int | None = None


def _each(*calls: Callable[[], object]) -> Setup:
    """Return a set-up of calls that are made in turn, one for each message."""

    @asynccontextmanager
    async def setup(count: int) -> AsyncGenerator[Work]:
        turns = range(count // len(calls))

        async def work() -> None:
            for _ in turns:
                for call in calls:
                    call()

        yield work

    return setup


@asynccontextmanager
async def _loop(count: int) -> AsyncGenerator[Work]:
    """Take a few steps of plain Python."""
    told: dict[tuple[int, int], int] = {}

    async def work() -> None:
        for number in range(count):
            key = (number & 63, number & 7)
            told[key] = told.get(key, 0) + len(str(number))

    yield work


def _json(text: str) -> Setup:
    return _each(partial(msgspec.json.Decoder().decode, text))


def _typed(text: str) -> Setup:
    return _each(partial(msgspec.json.Decoder(_Depth, strict=False).decode, text))


# -- stages ----------------------------------------------------------------------------------------


@asynccontextmanager
async def _frame(count: int) -> AsyncGenerator[Work]:
    """Make whole messages of the bytes of reads."""
    engine, server = Engine(1 << 24), WSConnection(ConnectionType.SERVER)
    server.receive_data(engine.send(Request(host="host.test", target="/")))
    list(server.events())
    engine.receive_data(server.send(AcceptConnection()))
    list(engine.events())
    got = itertools.count()

    def take(messages: Iterator[str | bytes]) -> bool:
        for _ in messages:
            next(got)
        return False

    engine.listen(take)
    data = text_frame(CHANGE) * count
    reads = [data[start : start + _READ_BYTES] for start in range(0, len(data), _READ_BYTES)]

    async def work() -> None:
        for read in reads:
            engine.receive_data(read)
            for _ in engine.events():
                raise AssertionError("there is nothing but text")

    yield work
    assert next(got) == count


def _decoded(text: str) -> Setup:
    """Make of a text what it means."""
    return _each(partial(decode, text))


@asynccontextmanager
async def _route(count: int) -> AsyncGenerator[Work]:
    """Lead a decoded frame to the one buffer of its topic, which keeps no book."""
    mailbox: Mailbox[AnyUpdate] = Mailbox(2 * count)
    port, _ = _live_trades(mailbox)
    decoded = decode(TRADES)

    def known(_message: str | bytes) -> Frame:
        return decoded

    async def work() -> None:
        texts = itertools.repeat(TRADES, count)
        while port.receive(texts):
            pass

    with mock.patch.object(_port, "decode", known):
        yield work
    assert len(mailbox) == count


@asynccontextmanager
async def _buffer(count: int) -> AsyncGenerator[Work]:
    """Put an update into one consumer's buffer."""
    mailbox: Mailbox[AnyUpdate] = Mailbox(2 * count)
    _, topic = _live_trades(mailbox)
    update = decode(TRADES).body
    assert isinstance(update, AnyUpdate)

    async def work() -> None:
        for _ in range(count):
            mailbox.push(update, topic, 0.0)

    yield work
    assert len(mailbox) == count


@asynccontextmanager
async def _receive(count: int) -> AsyncGenerator[Work]:
    """Take what is there, one at a time, with the turns of other tasks in between."""
    async with _subscription(_filled(count)) as subscription:

        async def work() -> None:
            for _ in range(count):
                await anext(subscription)

        yield work


@asynccontextmanager
async def _batches(count: int) -> AsyncGenerator[Work]:
    """Take what is there, 64 at a time."""
    async with AsyncExitStack() as stack:
        subscriptions = [
            await stack.enter_async_context(_subscription(_filled(_BATCH))) for _ in range(count // _BATCH)
        ]
        batches = [subscription.batches() for subscription in subscriptions]

        async def work() -> None:
            for batch in batches:
                assert len(await anext(batch)) == _BATCH

        yield work


def _book(*texts: str) -> Setup:
    """Apply decoded updates, after which the book is as before, to a book of 1,000 levels."""
    book = DepthBook()
    book.apply(_body(SNAPSHOT))
    return _each(*(partial(book.apply, _body(text)) for text in texts))


def _delivered(*texts: str) -> Setup:
    """Make of a text what the consumer gets: decoded, led to its topic, booked, put through a buffer."""

    @asynccontextmanager
    async def setup(count: int) -> AsyncGenerator[Work]:
        mailbox: Mailbox[AnyUpdate] = Mailbox(2 * _BATCH)
        port, _ = _live(mailbox, TopicKey(Kind.DEPTH, MARKET, 1))
        port.receive([SNAPSHOT])
        mailbox.pop()
        turn = texts * min(_BATCH // 2 // len(texts), count // len(texts))

        async def work() -> None:
            for _ in range(count // len(turn)):
                port.receive(turn)
                while mailbox.ready:
                    mailbox.pop()

        yield work
        assert mailbox.delivered == count + 1

    return setup


STAGES: dict[str, Stage] = {
    "frame": Stage(_frame, _loop, "loop"),
    **{
        f"decode {name}": Stage(_decoded(text), _typed(text), "typed", _FEW if len(text) > _LONG else _MANY)
        for name, text in DEPTH.items()
    },
    **{f"decode {name}": Stage(_decoded(text), _json(text), "json") for name, text in OTHERS.items()},
    "book change": Stage(_book(CHANGE, BACK), _loop, "loop"),
    "book snapshot of 1,000": Stage(_book(SNAPSHOT), _json(SNAPSHOT), "json", _FEW),
    "route": Stage(_route, _loop, "loop"),
    "buffer": Stage(_buffer, _loop, "loop"),
    "receive": Stage(_receive, _loop, "loop"),
    "batches": Stage(_batches, _loop, "loop"),
    "whole way of a change": Stage(_delivered(CHANGE, BACK), _typed(CHANGE), "typed"),
    "whole way of 1,000 levels": Stage(_delivered(SNAPSHOT), _typed(SNAPSHOT), "typed", _FEW),
    "whole way of 10,000": Stage(_delivered(SNAPSHOT_10), _typed(SNAPSHOT_10), "typed", _FEW),
}
"""Every stage by name, in the order of a message's way; at the end, several of them together."""
