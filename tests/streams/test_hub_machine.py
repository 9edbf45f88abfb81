"""Random lives of a hub: an oracle that knows the server's truth watches what each consumer is told."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from o2trio.models import DepthUpdate, NonceUpdate, Origin, Trade, TradeUpdate
from o2trio.streams import DepthBook, Mailbox, Port, State, Topic, TopicKey
from o2trio.wire import AnyUpdate, Kind, decode
from tests.streams.world import (
    DEPTH,
    MARKET,
    NONCE,
    OTHER,
    TRADES,
    VIEW,
    Wire,
    World,
    account,
    change,
    drain,
    nonce,
    snapshot,
    trades,
    view,
)

KEYS = [
    DEPTH,
    TopicKey(Kind.DEPTH, MARKET, 3),
    TopicKey(Kind.DEPTH, OTHER, 1),
    VIEW,
    TRADES,
    NONCE,
    TopicKey(Kind.NONCE, identities=(account(2),)),
]
BOOKS = [key for key in KEYS if key.kind is Kind.DEPTH]
Book = dict[int, int]


class Socket:
    """One connection as the server sees it; frames to the client wait in ``inbound``."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.inbound: deque[str] = deque()
        self.subscribed: set[TopicKey] = set()


class Consumer:
    """One mailbox, and what its reader has concluded so far."""

    def __init__(self, key: TopicKey, box: Mailbox[AnyUpdate]) -> None:
        self.key = key
        self.box = box
        self.book: DepthBook | None = None
        self.epoch = 0
        self.last: Any = None
        self.marked = False
        self.due: int | None = None


class HubMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(buffer_size=4, resync_attempts=10**6, snapshot_timeout=10**6)
        self.sockets: dict[Port, Socket] = {}
        self.consumers: list[Consumer] = []
        self.repairs: list[tuple[Topic, int]] = []
        self.newest: list[tuple[Topic, int, Trade | None]] = []
        # What is true: every state that each book ever had, and two counters.
        self.history: dict[TopicKey, list[Book]] = {key: [{50: 5}] for key in KEYS}
        self.trade = 0
        self.nonces: dict[TopicKey, int] = dict.fromkeys(KEYS, 1)

    @initialize(keys=st.lists(st.sampled_from(KEYS), max_size=4))
    def begin(self, keys: list[TopicKey]) -> None:
        for key in keys:
            self.join(key)
        self.link_up()
        if len(keys) % 2:
            self.flow()

    # -- consumers ------------------------------------------------------------------------------

    @rule(key=st.sampled_from(KEYS))
    @precondition(lambda self: len(self.consumers) < 6)
    def join(self, key: TopicKey) -> None:
        self.consumers.append(Consumer(key, self.world.mailbox(key)))

    @rule(choice=st.integers(0, 5))
    @precondition(lambda self: self.consumers)
    def leave(self, choice: int) -> None:
        consumer = self.consumers.pop(choice % len(self.consumers))
        self.world.hub.detach(consumer.box)

    @rule(choice=st.integers(0, 5), count=st.integers(1, 6))
    @precondition(lambda self: self.consumers)
    def receive(self, choice: int, count: int) -> None:
        consumer = self.consumers[choice % len(self.consumers)]
        while count and consumer.box.ready:
            count -= 1
            self.told(consumer, consumer.box.pop())

    # -- the oracle -----------------------------------------------------------------------------

    def told(self, consumer: Consumer, update: AnyUpdate) -> None:
        assert update.epoch >= consumer.epoch
        if isinstance(update, DepthUpdate):
            self.told_depth(consumer, update)
        elif isinstance(update, TradeUpdate):
            self.told_trade(consumer, update)
        else:
            assert isinstance(update, NonceUpdate)
            if update.nonce is not None:
                consumer.last = update.nonce
        consumer.epoch = update.epoch

    def told_depth(self, consumer: Consumer, update: DepthUpdate) -> None:
        history = self.history[consumer.key]
        assert update.precision == consumer.key.precision
        if update.is_snapshot:
            consumer.book = DepthBook()
        assert consumer.book is not None, "the first thing is a snapshot"
        assert update.is_snapshot or update.epoch == consumer.epoch, "a break is followed by a snapshot"
        if not update.is_snapshot:
            version = update.seen_timestamp
            assert version is not None
            assert sizes(consumer.book) == history[version - 1], "no difference is missing"
        consumer.book.apply(update)
        since = consumer.last or 0
        assert sizes(consumer.book) in history[since:], "time does not run backwards"
        consumer.last = history.index(sizes(consumer.book), since)

    def told_trade(self, consumer: Consumer, update: TradeUpdate) -> None:
        if update.origin is Origin.GAP:
            consumer.marked = True
            return
        for trade in update.trades:
            number = int(trade.trade_id)
            if consumer.last is not None:
                assert number > consumer.last
                assert number == consumer.last + 1 or consumer.marked
            else:
                assert consumer.marked or consumer.due is None or number <= consumer.due
            consumer.last, consumer.marked = number, False

    # -- the server -----------------------------------------------------------------------------

    def send(self, key: TopicKey, text: str) -> None:
        for socket in self.sockets.values():
            if key in socket.subscribed:
                socket.inbound.append(text)

    @rule(key=st.sampled_from(BOOKS), prices=st.lists(st.integers(1, 4), min_size=1, max_size=8))
    def move_book(self, key: TopicKey, prices: list[int]) -> None:
        for price in prices:
            self.move_level(key, price)

    def move_level(self, key: TopicKey, price: int) -> None:
        assert key.market_id is not None
        book = dict(self.history[key][-1])
        size = book.pop(price, 0)
        # A level comes, grows and goes; the level of 50 changes as a counter, so that no two books are equal.
        step = 1 if size < 2 else -size
        book[50] += 1
        if size + step:
            book[price] = size + step
        frame = json.loads(change([(price, step), (50, 1)], market=key.market_id))
        self.history[key].append(book)
        self.send(key, json.dumps({**frame, "seen_timestamp": str(len(self.history[key]) - 1)}))

    @rule()
    def show_view(self) -> None:
        book = {50: len(self.history[VIEW]) + 5}
        self.history[VIEW].append(book)
        self.send(VIEW, view(list(book.items())))

    @rule(count=st.integers(1, 6))
    def make_trades(self, count: int) -> None:
        for _ in range(count):
            self.trade += 1
            self.send(TRADES, trades(self.trade))

    @rule(key=st.sampled_from([key for key in KEYS if key.kind is Kind.NONCE]))
    def move_nonce(self, key: TopicKey) -> None:
        self.nonces[key] += 1
        self.send(key, nonce(self.nonces[key], key.identities[0]))

    @rule(count=st.integers(1, 4))
    def read_requests(self, count: int) -> None:
        for port, socket in self.sockets.items():
            for _ in range(count):
                if (outgoing := port.next_outgoing()) is None:
                    break
                text, topic = outgoing
                self.serve(socket, text)
                if topic is not None:
                    port.sent(topic)

    def serve(self, socket: Socket, text: str) -> None:
        socket.wire.read(text)
        if text == "PING":
            socket.inbound.append("PONG")
        for key in KEYS:
            if text == key.unsubscribe_frame():
                socket.subscribed.discard(key)
            elif text == key.subscribe_frame():
                socket.subscribed.add(key)
                levels = list(self.history[key][-1].items())
                if key.kind is Kind.DEPTH:
                    assert key.market_id is not None
                    socket.inbound.append(snapshot(levels, market=key.market_id))
                elif key.kind is Kind.DEPTH_VIEW:
                    socket.inbound.append(view(levels))

    # -- the network ----------------------------------------------------------------------------

    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        for port, socket in self.sockets.items():
            came = iter([socket.inbound.popleft() for _ in range(min(count, len(socket.inbound)))])
            while port.receive(came):
                pass

    @rule()
    def flow(self) -> None:
        """Let everything that is on its way arrive."""
        for _ in range(3):
            self.read_requests(100)
            self.deliver(10_000)

    @rule(cut=st.sampled_from([0, 1, 15, 40]), where=st.integers(0, 5))
    def damage(self, cut: int, where: int) -> None:
        for socket in self.sockets.values():
            damaged = [index for index, text in enumerate(socket.inbound) if text != "PONG"]
            if damaged:
                index = damaged[where % len(damaged)]
                # A frame that is no JSON object at all can only have been a depth message.
                least = 0 if '"subscribe_depth' in socket.inbound[index] else 1
                socket.inbound[index] = socket.inbound[index][: max(cut, least)]

    @rule()
    def link_up(self) -> None:
        for port in self.world.hub.ports:
            if not port.online:
                self.sockets[port] = Socket()
                port.link_up()

    @rule(choice=st.integers(0, 3))
    @precondition(lambda self: self.sockets)
    def link_down(self, choice: int) -> None:
        port = list(self.sockets)[choice % len(self.sockets)]
        del self.sockets[port]
        port.link_down("test")

    @rule()
    def retire(self) -> None:
        for port in list(self.world.hub.ports):
            if self.world.hub.retire(port):
                self.sockets.pop(port, None)
                port.online = False

    @rule(seconds=st.sampled_from([0.3, 1.0, 40.0]))
    def advance(self, seconds: float) -> None:
        self.world.host.advance(seconds)

    @rule()
    def repair(self) -> None:
        waiting, self.repairs = self.repairs, []
        for topic, epoch in waiting:
            if topic.key.kind is Kind.TRADES:
                self.read_trades(topic, epoch)
                continue
            (identity,) = topic.key.identities
            new = NonceUpdate(contract_id=identity.id, nonce=self.nonces[topic.key], origin=Origin.BACKFILL)
            topic.repaired(epoch, [new])

    def read_trades(self, topic: Topic, epoch: int) -> None:
        """Read pages of three, like a repair, or give up where nothing is known."""
        assert topic.ledger is not None
        if not topic.ledger.is_anchored:
            topic.repaired(epoch, [], problem="test")
            return
        while True:
            page = self.page(topic.ledger.last)
            if not topic.backfill(epoch, page):
                return
            if not page:
                topic.repaired(epoch, [])

    def page(self, last: Trade | None) -> list[Trade]:
        first = int(last.trade_id) + 1 if last is not None else 1
        return [made(number) for number in range(first, min(first + 3, self.trade + 1))]

    @rule()
    def learn(self) -> None:
        """Answer what was asked at the beginning of the trades: which one was the newest then."""
        waiting, self.newest = self.newest, []
        for topic, epoch, newest in waiting:
            if topic.ledger is not None and topic.state is State.LIVE and topic.epoch == epoch:
                topic.ledger.anchor(newest)
            topic.learned(epoch, [])

    @rule()
    def catch_up(self) -> None:
        """Read a page for every consumer of trades that was too slow and has room."""
        for box, lag in list(self.world.host.lags):
            if box.lag is lag and box.room.is_set():
                box.give(lag.take(self.page(lag.ledger.last)))
                if lag.is_over:
                    box.caught_up(lag.release())
            if box.lag is not lag:
                self.world.host.lags.remove((box, lag))

    # -- what always holds ----------------------------------------------------------------------

    @invariant()
    def notice(self) -> None:
        self.repairs += [(topic, topic.epoch) for topic in self.world.host.repairs]
        self.world.host.repairs.clear()
        newest = made(self.trade) if self.trade else None
        self.newest += [(topic, topic.epoch, newest) for topic in self.world.host.learning]
        self.world.host.learning.clear()
        for consumer in self.consumers:
            assert not consumer.box.ended
            # At most a page, or what was held, on top of half a buffer.
            assert len(consumer.box) <= 2 + 1 + 4 + 4
            served = any(consumer.key in socket.subscribed for socket in self.sockets.values())
            if consumer.due is None and served and consumer.box.opened.is_set():
                trade_due = self.trade + 1
                consumer.due = trade_due if consumer.key is TRADES else self.nonces[consumer.key]

    @invariant()
    def nobody_is_served_in_vain(self) -> None:
        for port, socket in self.sockets.items():
            if not port._outbox:
                assert socket.subscribed == {topic.key for topic in port.slots.values()}

    def teardown(self) -> None:
        self.link_up()
        for _ in range(6):
            self.notice()
            self.repair()
            self.read_requests(100)
            self.deliver(10_000)
            self.world.host.advance(100)
        self.make_trades(1)
        self.show_view()
        self.deliver(10_000)
        for consumer in self.consumers:
            assert consumer.box.opened.is_set()
            while consumer.box.ready:
                for update in drain(consumer.box):
                    self.told(consumer, update)
                self.catch_up()
            if consumer.book is not None:
                assert sizes(consumer.book) == self.history[consumer.key][-1]
            elif consumer.key is TRADES:
                assert consumer.marked or consumer.last == self.trade
            elif self.nonces[consumer.key] != consumer.due:
                assert consumer.last == self.nonces[consumer.key]


def made(number: int) -> Trade:
    (trade,) = cast(TradeUpdate, decode(trades(number)).body).trades
    return trade


def sizes(book: DepthBook) -> Book:
    return {level.price: level.quantity for level in book.bids}


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=150, stateful_step_count=60)
