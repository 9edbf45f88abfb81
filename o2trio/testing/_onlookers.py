"""Consumers that look at something kept by the client: an order book, and the client's events."""

from __future__ import annotations

from random import Random

import trio

from .._client import O2Client
from .._errors import O2Error
from .._order_book import OrderBook
from ..models import DepthChanges, Market, Side
from ..streams import Event, EventsMissed, TopicBroken, TopicRestored
from ._judges_market import book_truth
from ._sources import pick_market
from ._truth import BookTruth, Tally
from ._users import Manner, User, is_calm
from ._world import Promise, World

__all__ = ["BookUser", "EventListener"]

_LOOK_SECONDS = 60.0


class BookUser(User):
    """Uses ``order_book()``: looks at it when it changes, and has it verified now and then."""

    def __init__(self, random: Random, manner: Manner | None = None) -> None:
        super().__init__(random, manner)
        self._market: Market | None = None
        self._truth: BookTruth | None = None
        self._precision = random.choice((1, 1, 2))
        self._book: OrderBook | None = None
        self._state = 0

    async def _live(self, world: World, client: O2Client) -> None:
        market = self._market = self._market or pick_market(world, self._random)
        self._truth = book_truth(world, market.market_id, self._precision)
        self._state = 0
        async with client.order_book(market.pair, self._precision) as book:
            self._book, self._opened = book, True
            try:
                while True:
                    self._look(book)
                    world.note(self.name, self._state, book.is_stale)
                    with trio.move_on_after(self._random.uniform(0, _LOOK_SECONDS)):
                        await book.changed()
                        self.updates += 1
                    if self._random.random() < 0.01:
                        await self._verify(world, book)
                    if self._manner.nap and self._random.random() < self._manner.nap_chance:
                        await self._pause(world, client, self._random.uniform(0, self._manner.nap))
            finally:
                self._book = None

    def _look(self, book: OrderBook) -> None:
        assert self._truth is not None
        raw, tally = book.raw, Tally()
        tally.load(DepthChanges(bids=raw.bids, asks=raw.asks))
        found = self._truth.find(tally.mark, self._state)
        if found is None:
            self._broken(Promise.EXACT, f"the book is none the exchange had since state {self._state}")
        self._state = found
        for side, best in ((Side.BUY, book.best_bid), (Side.SELL, book.best_ask)):
            if (best,) != (book.levels(side, 1) or (None,)):
                self._broken(Promise.EXACT, f"the best of side {side} is not its first level")

    async def _verify(self, world: World, book: OrderBook) -> None:
        was_calm = is_calm(world)
        try:
            report = await book.verify()
        except O2Error:
            if was_calm:
                raise
            return
        if was_calm and report.differences and not report.is_stale:
            self._broken(Promise.EXACT, f"REST disagrees with the book: {report.differences[0]}")

    def check(self, world: World) -> None:
        """Compare the book with the exchange's."""
        book, truth = self._book, self._truth
        if book is None or truth is None or book.is_stale:
            self._broken(Promise.LIVENESS, "has no fresh book, long after the last fault")
        real = truth.present()
        if (book.raw.bids, book.raw.asks) != (real.bids, real.asks):
            self._broken(Promise.BOOK, "the kept book is not the exchange's")


class EventListener(User):
    """Listens to ``events()``: breaks and repairs must fit together."""

    subscriptions = 0

    def __init__(self, random: Random, manner: Manner | None = None) -> None:
        super().__init__(random, manner)
        self._broken_epochs: dict[str, int] = {}
        self._time = 0.0

    async def _live(self, world: World, client: O2Client) -> None:
        self._broken_epochs, self._time = {}, 0.0
        async with client.events() as events:
            self._opened = True
            while True:
                self._take(world, await events.receive())
                if self._manner.nap and self._random.random() < self._manner.nap_chance:
                    await self._pause(world, client, self._random.uniform(0, self._manner.nap))

    def _take(self, world: World, event: Event) -> None:
        self.updates += 1
        world.note(self.name, type(event).__name__)
        if event.time < self._time:
            self._broken(Promise.EXACT, f"{event} came after one of {self._time}")
        self._time = event.time
        known = self._broken_epochs
        if isinstance(event, EventsMissed):
            known.clear()
        elif isinstance(event, TopicBroken):
            known[event.topic] = event.epoch
        elif isinstance(event, TopicRestored):
            broken = known.get(event.topic)
            if broken is not None and broken != event.epoch:
                self._broken(
                    Promise.MARKED, f"{event.topic}: epoch {event.epoch} restored, {broken} was broken"
                )

    def check(self, world: World) -> None:
        """Check that it still listens."""
        if not self._opened:
            self._broken(Promise.LIVENESS, "does not listen, long after the last fault")
