"""A world for the pure streams: a clock that tests turn, a server that keeps the wire honest, frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

from o2trio import Options
from o2trio.models import Id, Identity, NotUnderstood, normalize_id
from o2trio.streams import Event as LifeCycleEvent
from o2trio.streams import Hub, Mailbox, Oddities, Port, Topic, TopicKey, TradeLag
from o2trio.wire import AnyUpdate, Frequency, Kind

MARKET: Id = normalize_id("a1" * 32)
OTHER: Id = normalize_id("b2" * 32)
ASSET: Id = normalize_id("c3" * 32)

Levels = Sequence[tuple[int, int]]


def account(number: int) -> Identity:
    return Identity.contract(f"{number:064x}")


FIRST = account(1)
DEPTH = TopicKey(Kind.DEPTH, MARKET, 1)
VIEW = TopicKey(Kind.DEPTH_VIEW, MARKET, 1, Frequency.MS_500)
TRADES = TopicKey(Kind.TRADES, MARKET)
ORDERS = TopicKey(Kind.ORDERS, identities=(account(1),))
BALANCES = TopicKey(Kind.BALANCES, identities=(account(1),))
NONCE = TopicKey(Kind.NONCE, identities=(account(1),))
KEYS = {key.kind: key for key in (DEPTH, VIEW, TRADES, ORDERS, BALANCES, NONCE)}


# -- inbound frames --------------------------------------------------------------------------------


def _levels(levels: Levels) -> list[dict[str, str]]:
    return [{"price": str(price), "quantity": str(quantity)} for price, quantity in levels]


def _identity(identity: Identity) -> dict[str, str]:
    return {identity.kind.value: identity.id}


def snapshot(bids: Levels, asks: Levels = (), *, market: str = MARKET, precision: int | None = None) -> str:
    view: dict[str, Any] = {"buys": _levels(bids), "sells": _levels(asks)}
    if precision is not None:
        view["precision"] = precision
    return json.dumps({"action": "subscribe_depth", "view": view, "market_id": market})


def view(bids: Levels, asks: Levels = (), *, precision: int | None = None) -> str:
    return snapshot(bids, asks, precision=precision).replace("subscribe_depth", "subscribe_depth_view")


def change(bids: Levels, asks: Levels = (), *, market: str = MARKET) -> str:
    changes = {"buys": _levels(bids), "sells": _levels(asks)}
    return json.dumps({"action": "subscribe_depth_update", "changes": changes, "market_id": market})


def trades(*numbers: int, market: str = MARKET) -> str:
    told = [
        {
            "trade_id": str(n),
            "side": "buy",
            "price": "10",
            "quantity": "1",
            "total": "10",
            "timestamp": "1700000000000",
        }
        for n in numbers
    ]
    return json.dumps({"action": "subscribe_trades", "trades": told, "market_id": market})


def orders(*numbers: int, filled: int = 0, owner: Identity | None = None) -> str:
    told: list[dict[str, Any]] = [
        {
            "order_id": f"0x{n:064x}",
            "side": "buy",
            "order_type": "Spot",
            "quantity": "100",
            "quantity_fill": str(filled),
            "price": "10",
            "timestamp": "1700000000",
            "close": False,
        }
        for n in numbers
    ]
    if owner is not None:
        for order in told:
            order["owner"] = _identity(owner)
    return json.dumps({"action": "subscribe_orders", "orders": told})


def balances(*pairs: tuple[Identity, int], asset: str = ASSET) -> str:
    told = [
        {
            "identity": _identity(identity),
            "asset_id": asset,
            "total_unlocked": str(amount),
            "total_locked": "0",
            "trading_account_balance": str(amount),
            "order_books": {},
        }
        for identity, amount in pairs
    ]
    return json.dumps({"action": "subscribe_balances", "balance": told})


def nonce(number: int, identity: Identity = FIRST) -> str:
    return json.dumps({"action": "subscribe_nonce", "contract_id": identity.id, "nonce": str(number)})


def error(code: int = 6001, message: str = "too many", **fields: Any) -> str:
    return json.dumps({"code": code, "message": message, **fields})


def item(kind: Kind) -> str:
    """Return a live message of this kind that fits a book made by :func:`first`."""
    return {
        Kind.DEPTH: change([(10, 1)]),
        Kind.DEPTH_VIEW: view([(10, 1)]),
        Kind.TRADES: trades(1),
        Kind.ORDERS: orders(1),
        Kind.BALANCES: balances((account(1), 5)),
        Kind.NONCE: nonce(5),
    }[kind]


def first(kind: Kind) -> str:
    """Return the message that opens a stream with a snapshot."""
    return view([(10, 5)]) if kind is Kind.DEPTH_VIEW else snapshot([(10, 5)], [(20, 5)])


# -- the world -------------------------------------------------------------------------------------


class FakeHost:
    """A clock that stands still until a test turns it, and a list of everything asked for."""

    def __init__(self, **options: Any) -> None:
        self.options = Options(**{"jitter": lambda: 0.5, **options})
        self.time = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.repairs: list[Topic] = []
        self.learning: list[Topic] = []
        self.lags: list[tuple[Mailbox[AnyUpdate], TradeLag]] = []
        self.ports: list[Port] = []
        self.events: list[LifeCycleEvent] = []
        self.looking_up: list[tuple[Topic, tuple[NotUnderstood, ...]]] = []
        self.oddities = Oddities(self.emit, self.now)

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.timers.append((self.time + delay, callback))

    def backoff(self) -> Iterator[float]:
        return repeat(1.0)

    def repair(self, topic: Topic) -> None:
        self.repairs.append(topic)

    def learn(self, topic: Topic) -> None:
        self.learning.append(topic)

    def look_up(self, topic: Topic, entries: tuple[NotUnderstood, ...]) -> None:
        self.looking_up.append((topic, entries))

    def catch_up(self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag) -> None:
        self.lags.append((mailbox, lag))

    def run_connection(self, port: Port) -> None:
        self.ports.append(port)

    def emit(self, event: LifeCycleEvent) -> None:
        self.events.append(event)

    def advance(self, seconds: float) -> None:
        end = self.time + seconds
        while due := sorted((timer for timer in self.timers if timer[0] <= end), key=lambda timer: timer[0]):
            self.timers.remove(due[0])
            self.time = due[0][0]
            due[0][1]()
        self.time = end

    def told(self, kind: type[LifeCycleEvent]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


class Wire:
    """What the server has read on one socket; fails on what a strict server would refuse."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.subscribed: dict[tuple[str, str | None], dict[str, Any]] = {}
        self.unanswered_pings = 0

    def read(self, text: str) -> None:
        self.frames.append(text)
        if text in {"PING", "PONG"}:
            self.unanswered_pings += text == "PING"
            return
        frame = json.loads(text)
        verb, kind = frame["action"].split("_", 1)
        slot = kind, frame.get("market_id")
        if verb == "subscribe":
            assert slot not in self.subscribed, f"subscribed twice: {frame}"
            self.subscribed[slot] = frame
        else:
            known = self.subscribed.pop(slot, None)
            assert known is not None, f"never subscribed: {frame}"
            assert kind == "orders" or frame.get("identities") == known.get("identities")

    @property
    def actions(self) -> list[str]:
        return [text if text in {"PING", "PONG"} else json.loads(text)["action"] for text in self.frames]


class World:
    """A hub, its connections and their sockets."""

    def __init__(self, **options: Any) -> None:
        self.host = FakeHost(**options)
        self.hub = Hub(self.host)
        self.wires: dict[Port, Wire] = {}

    def mailbox(self, *keys: TopicKey) -> Mailbox[AnyUpdate]:
        box: Mailbox[AnyUpdate] = Mailbox(self.host.options.buffer_size)
        self.hub.attach(box, keys)
        return box

    def up(self) -> None:
        """Open a socket for every port that has none."""
        for port in self.hub.ports:
            if not port.online:
                self.wires[port] = Wire()
                port.link_up()
        self.pump()

    def pump(self) -> None:
        """Write everything that waits in the outboxes."""
        for port in self.hub.ports:
            while port.online and (outgoing := port.next_outgoing()) is not None:
                text, topic = outgoing
                self.wires[port].read(text)
                if topic is not None:
                    port.sent(topic)

    def pong(self) -> None:
        """Answer all heartbeats."""
        for port, wire in self.wires.items():
            for _ in range(wire.unanswered_pings):
                port.receive(["PONG"])
            wire.unanswered_pings = 0

    def back(self) -> None:
        """Open sockets and answer the first heartbeat: the server has read every request."""
        self.up()
        self.pong()

    def down(self) -> None:
        for port in self.hub.ports:
            if port.online:
                port.link_down("test")

    def receive(self, *texts: str) -> None:
        """Let frames arrive on the first connection, and what they cause go out."""
        for text in texts:
            self.port.receive([text])
            self.pump()

    @property
    def port(self) -> Port:
        return self.hub.ports[0]

    @property
    def wire(self) -> Wire:
        return self.wires[self.port]

    def topic(self, key: TopicKey) -> Topic:
        return next(topic for topic in self.hub.topics if topic.key == key)

    def live(self, *keys: TopicKey) -> list[Mailbox[AnyUpdate]]:
        """Open a stream for each key and bring it to life; the mailboxes are empty."""
        boxes = [self.mailbox(key) for key in keys]
        self.up()
        for key in keys:
            if key.kind in {Kind.DEPTH, Kind.DEPTH_VIEW}:
                self.receive(first(key.kind))
        for box in boxes:
            drain(box)
        self.pong()
        return boxes


def drain(box: Mailbox[Any]) -> list[Any]:
    items = []
    while box.ready:
        items.append(box.pop())
    return items


def origins(items: list[Any]) -> list[str]:
    return [update.origin.value for update in items]
