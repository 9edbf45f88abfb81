"""The cost of each stage of a message's way, one at a time, beside a reference loop of the same run.

The stages, in order: frame (bytes of a read to whole messages), route (a decoded frame to the buffers of its
topic's consumers), buffer (one consumer's push), receive (one consumer's ``receive()``), and batch (the same
by ``batches()``). A figure is the best of several rounds; the ratio to the reference, a few steps of
plain Python, is what may be compared between runs and machines.
"""

from __future__ import annotations

import gc
import itertools
import json
import platform
import time
from collections.abc import Awaitable, Callable, Iterator
from unittest import mock

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request

from o2trio import Options
from o2trio.models import normalize_id
from o2trio.simulator._ws_frames import text_frame
from o2trio.streams import Event as LifeCycleEvent
from o2trio.streams import Hub, Mailbox, Port, Subscription, Topic, TopicKey, TradeLag, _port
from o2trio.transport._engine import Engine
from o2trio.wire import AnyUpdate, Frame, Kind, decode

ROUNDS = 9
MESSAGES = 5_000
READ_BYTES = 16 * 1024
MARKET = normalize_id("a1" * 32)
KEY = TopicKey(Kind.TRADES, MARKET)
TEXT = json.dumps(
    {
        "action": "subscribe_trades",
        "trades": [
            {
                "trade_id": str(number),
                "side": "buy",
                "price": "21500",
                "quantity": "1000000",
                "total": "21500",
                "timestamp": "1700000000000",
            }
            for number in range(3)
        ],
        "market_id": MARKET,
    }
)
"""About as long as a change of six levels."""


class Host:
    """A world in which nothing happens by itself."""

    def __init__(self) -> None:
        self.options = Options(buffer_size=2 * MESSAGES)
        self.now = trio.current_time

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        """Forget it."""

    def backoff(self) -> Iterator[float]:
        """Return a wait that never changes."""
        return itertools.repeat(1.0)

    def repair(self, topic: Topic) -> None:
        """Repair nothing."""

    def learn(self, topic: Topic) -> None:
        """Learn nothing."""

    def catch_up(self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag) -> None:
        """Read nothing."""

    def run_connection(self, port: Port) -> None:
        """Connect nothing."""

    def emit(self, event: LifeCycleEvent) -> None:
        """Tell nobody."""


async def reference() -> float:
    """Return seconds of a loop that does nothing of ours."""
    told: dict[tuple[int, int], int] = {}
    start = time.thread_time()
    for number in range(MESSAGES):
        key = (number & 63, number & 7)
        told[key] = told.get(key, 0) + len(str(number))
    return time.thread_time() - start


async def frame() -> float:
    """Return seconds from the bytes of reads to whole messages."""
    engine, server = Engine(1 << 24), WSConnection(ConnectionType.SERVER)
    server.receive_data(engine.send(Request(host="host.test", target="/")))
    list(server.events())
    engine.receive_data(server.send(AcceptConnection()))
    list(engine.events())
    got: list[str | bytes] = []

    def take(message: str | bytes) -> bool:
        got.append(message)
        return False

    engine.listen(take)
    data = text_frame(TEXT) * MESSAGES
    reads = [data[start : start + READ_BYTES] for start in range(0, len(data), READ_BYTES)]
    start = time.thread_time()
    for read in reads:
        engine.receive_data(read)
        for _ in engine.events():
            raise AssertionError("there is nothing but text")
        if engine.unread:
            raise AssertionError("a read is no more than a turn")
    taken = time.thread_time() - start
    assert len(got) == MESSAGES
    return taken


def live(mailbox: Mailbox[AnyUpdate]) -> tuple[Port, Topic]:
    """Return a live topic with this one consumer, and its connection."""
    hub = Hub(Host())
    hub.attach(mailbox, [KEY])
    (port,) = hub.ports
    port.link_up()
    while (outgoing := port.next_outgoing()) is not None:
        if outgoing[1] is not None:
            port.sent(outgoing[1])
    return port, hub.topics[0]


async def route() -> float:
    """Return seconds from decoded frames to a buffer."""
    mailbox: Mailbox[AnyUpdate] = Mailbox(2 * MESSAGES)
    port, topic = live(mailbox)
    topic.ledger = None
    decoded = decode(TEXT)

    def known(_message: str | bytes) -> Frame:
        return decoded

    with mock.patch.object(_port, "decode", known):
        start = time.thread_time()
        for _ in range(MESSAGES):
            port.receive(TEXT)
        taken = time.thread_time() - start
    assert len(mailbox) == MESSAGES
    return taken


def filled() -> tuple[Mailbox[AnyUpdate], float]:
    """Return a buffer with many items, and the seconds that it took to fill it."""
    mailbox: Mailbox[AnyUpdate] = Mailbox(2 * MESSAGES)
    _, topic = live(mailbox)
    update = decode(TEXT).body
    assert isinstance(update, AnyUpdate)
    start = time.thread_time()
    for _ in range(MESSAGES):
        mailbox.push(update, topic, 0.0)
    return mailbox, time.thread_time() - start


async def buffer() -> float:
    """Return seconds of pushes into one buffer."""
    return filled()[1]


async def receive() -> float:
    """Return seconds of receiving what is there, one at a time, with the yields in between."""
    subscription = await subscribed()
    start = time.thread_time()
    for _ in range(MESSAGES):
        await subscription.receive()
    return time.thread_time() - start


async def batch() -> float:
    """Return seconds of receiving what is there, 64 at a time."""
    taken = 0.0
    mailbox, _ = filled()
    items = mailbox.pop_all()
    subscription = await subscribed(mailbox)
    batches = subscription.batches()
    _, topic = live(Mailbox(4))
    for first in range(0, MESSAGES, 64):
        for item in items[first : first + 64]:
            mailbox.push(item, topic, 0.0)
        start = time.thread_time()
        await anext(batches)
        taken += time.thread_time() - start
    return taken


async def subscribed(mailbox: Mailbox[AnyUpdate] | None = None) -> Subscription[AnyUpdate]:
    """Return a subscription to a buffer, by default to one with many items."""
    box = filled()[0] if mailbox is None else mailbox

    async def subscribe() -> None:
        await trio.lowlevel.checkpoint()
        box.opened.set()

    return await Subscription(box, subscribe, lambda: None, lambda call: call()).__aenter__()


STAGES: dict[str, Callable[[], Awaitable[float]]] = {
    "reference": reference,
    "frame": frame,
    "route": route,
    "buffer": buffer,
    "receive": receive,
    "batch": batch,
}


async def measure() -> dict[str, float]:
    """Return the best microseconds per message of each stage; the stages take turns."""
    best = dict.fromkeys(STAGES, float("inf"))
    for _ in range(ROUNDS):
        for name, stage in STAGES.items():
            gc.collect()
            gc.disable()
            best[name] = min(best[name], await stage() / MESSAGES * 1e6)
            gc.enable()
    return best


def main() -> None:
    """Measure and print a table."""
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}")
    print(f"best of {ROUNDS} rounds of {MESSAGES} messages of {len(TEXT)} bytes; microseconds a message")
    best = trio.run(measure)
    print(f"\n{'stage':12} {'us':>8} {'ratio':>8}")
    for name, microseconds in best.items():
        print(f"{name:12} {microseconds:8.3f} {microseconds / best['reference']:8.2f}")


if __name__ == "__main__":
    main()
