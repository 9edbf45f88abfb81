"""What all consumers of a scenario have in common: their life over several clients, and consuming one stream.

What is consumed is in ``_sources``, what is true of it in ``_judges_market`` and ``_judges_account``, which
kinds there are in ``_consumers``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import NoReturn

import attrs
import trio

from .._client import O2Client
from .._errors import CallerError, O2ConnectionLost, O2Error, SubscriptionRejected, TooManyConnections
from .._nursery import BareNursery
from ..models import Origin, Update
from ..streams import Subscription
from ._judges_market import Judge
from ._sources import Source, Supply
from ._truth import FOLLOW_SECONDS, books_of, moment
from ._watch import watch_of
from ._world import BrokenPromise, Phase, Promise, World

__all__ = ["LATE_SECONDS", "LIVENESS_SECONDS", "Manner", "StreamUser", "User", "is_calm"]

LIVENESS_SECONDS = 270.0
"""So long after the last fault everything must work again: the longest silence, dial, backoff and repair."""

LATE_SECONDS = 2.0
"""How late a live item may come then to one who waits for it."""

_BUFFERED_BESIDES = 16
"""More than twice the size of a buffer it never holds: half of it, what a repair held back, and its marks."""

_PAUSE_SECONDS = 20.0
"""How long at most somebody waits before subscribing again."""


def is_calm(world: World) -> bool:
    """Tell whether nothing has gone wrong for so long that everything must work."""
    return world.now() > world.plan.fault_seconds + LIVENESS_SECONDS


@attrs.frozen(slots=True, kw_only=True)
class Manner:
    """How somebody consumes. Times are in seconds and drawn evenly from 0 to these; 0 means never.

    Attributes:
      delay: before coming at all.
      nap, nap_chance: between two items, and how often; not while everything rests.
      patience: of one receive before it is cancelled and tried again.
      poll: between two looks without waiting.
      stay: before leaving in the middle, to come again later.
      is_bare: loops over the stream without entering it.
      in_batches: takes everything that is there at once.
    """

    delay: float = 0.0
    nap: float = 0.0
    nap_chance: float = 0.03
    patience: float = 0.0
    poll: float = 0.0
    stay: float = 0.0
    is_bare: bool = False
    in_batches: bool = False

    @property
    def is_eager(self) -> bool:
        """Whether it takes every item at once."""
        return not (self.nap or self.poll)


class User:
    """A consumer: uses one client after the other until the scenario is over.

    Attributes:
      name, updates, backfilled, gaps, recoveries: see ``Consumer``.
      subscriptions: how many consumers of server subscriptions it is at rest.
    """

    subscriptions = 1

    def __init__(self, random: Random, manner: Manner | None = None) -> None:
        self.name = type(self).__name__
        self.updates = self.backfilled = self.gaps = 0
        self.recoveries: list[float] = []
        self._random = random
        self._manner = manner or Manner()
        self._opened = False

    async def run(self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Use clients until the world is over.

        Raises:
          BrokenPromise: at once when one is broken.
        """
        task_status.started()
        async with BareNursery() as nursery:
            nursery.start_soon(_follow_books, world, name="scenario truth")
            await self._come(world)
            ended: O2Client | None = None
            while (client := await world.client(after=ended)) is not None:
                watch_of(world, client)
                ended = client if await self._use(world, client) else None

    def check(self, world: World) -> None:
        """Compare with the truth at rest.

        Raises:
          BrokenPromise: something is not true.
        """
        raise NotImplementedError

    async def _live(self, world: World, client: O2Client) -> None:
        """Use a client until it ends or until one has enough of it; set `_opened` once it works."""
        raise NotImplementedError

    async def _come(self, world: World) -> None:
        delay = self._random.uniform(0, self._manner.delay)
        await trio.sleep(min(delay, max(world.plan.fault_seconds - world.now(), 0)))

    async def _use(self, world: World, client: O2Client) -> bool:
        """Use a client; return whether it has ended."""
        try:
            await self._live(world, client)
        except (trio.EndOfChannel, trio.ClosedResourceError) as end:
            if world.is_open(client):
                what = f"{type(end).__name__} although the client is open"
                raise BrokenPromise(Promise.OWN_ERRORS, what, self.name) from end
            return True
        except O2ConnectionLost as error:
            world.lost(client, self.name, error)
            return True
        except O2Error as error:
            if not world.is_open(client):
                return True
            self._refused(world, error)
        finally:
            self._opened = False
        await self._pause(world, client, self._random.uniform(0.1, _PAUSE_SECONDS))
        return False

    def _refused(self, world: World, error: O2Error) -> None:
        world.note(self.name, "refused", type(error).__name__)
        text = f"{type(error).__name__}: {error}"
        if self._opened and not isinstance(error, SubscriptionRejected):
            raise BrokenPromise(
                Promise.OWN_ERRORS, f"in the middle of a stream: {text}", self.name
            ) from error
        if isinstance(error, CallerError) and not isinstance(error, TooManyConnections):
            raise BrokenPromise(Promise.OWN_ERRORS, f"blamed on the caller: {text}", self.name) from error
        if is_calm(world):
            raise BrokenPromise(Promise.LIVENESS, f"nothing goes wrong, but {text}", self.name) from error

    def _broken(self, promise: Promise, detail: str) -> NoReturn:
        raise BrokenPromise(promise, detail, self.name)

    async def _pause(self, world: World, client: O2Client, seconds: float) -> None:
        """Wait, but not beyond the end of the client."""
        with trio.move_on_after(seconds):
            await world.client(after=client)


async def _follow_books(world: World) -> None:
    while True:
        await trio.sleep(FOLLOW_SECONDS)
        for book in books_of(world).values():
            book.pull()


class StreamUser(User):
    """Consumes one stream in some manner, and has every item judged."""

    def __init__(self, random: Random, source: Source, manner: Manner | None = None) -> None:
        super().__init__(random, manner)
        self._source = source
        self._supply: Supply | None = None
        self._judge: Judge | None = None
        self._stream: Subscription[Update] | None = None
        self._restored = 0

    async def _live(self, world: World, client: O2Client) -> None:
        if self._supply is None:
            self._supply = self._source(world, self._random, self.name)
        judge = self._judge = self._supply.judge()
        stream = self._stream = self._supply.open(client)
        self._restored = 0
        try:
            if self._manner.is_bare:
                await self._consume(world, client, stream, judge)
            else:
                async with stream:
                    self._begin(judge)
                    await self._consume(world, client, stream, judge)
        finally:
            stream.close()
            self._stream = None

    def _begin(self, judge: Judge) -> None:
        judge.open()
        self._opened = True

    async def _consume(
        self, world: World, client: O2Client, stream: Subscription[Update], judge: Judge
    ) -> None:
        manner, random = self._manner, self._random
        batches = stream.batches() if manner.in_batches else None
        leaves = manner.stay and world.phase is not Phase.REST
        with trio.move_on_after(random.uniform(0, manner.stay) if leaves else float("inf")):
            while True:
                if manner.poll:
                    await self._pause(world, client, random.uniform(0, manner.poll))
                for update in _waiting(stream) if manner.poll else await self._receive(stream, batches):
                    if not self._opened:
                        self._begin(judge)
                    self._take(world, client, stream, judge, update)
                if manner.nap and random.random() < manner.nap_chance and world.phase is not Phase.REST:
                    await self._pause(world, client, random.uniform(0, manner.nap))

    async def _receive(
        self, stream: Subscription[Update], batches: AsyncIterator[list[Update]] | None
    ) -> list[Update]:
        manner = self._manner
        if batches is not None:
            try:
                return await anext(batches)
            except StopAsyncIteration:
                raise trio.EndOfChannel from None
        if not manner.patience:
            return [await stream.receive()]
        with trio.move_on_after(self._random.uniform(0, manner.patience)):
            return [await stream.receive()]
        return []

    def _take(
        self, world: World, client: O2Client, stream: Subscription[Update], judge: Judge, update: Update
    ) -> None:
        statistics = stream.statistics()
        judge.conflated = statistics.conflated
        judge.take(update)
        if statistics.buffered > 2 * world.options.buffer_size + _BUFFERED_BESIDES:
            self._broken(Promise.BOUNDED, f"{statistics.buffered} items are buffered")
        self.updates += 1
        self.backfilled += update.origin is Origin.BACKFILL
        self.gaps += update.origin is Origin.GAP
        world.note(self.name, update.origin.value, update.epoch, *judge.facts())
        if self._manner.is_eager:
            self._time(world, client, update)

    def _time(self, world: World, client: O2Client, update: Update) -> None:
        """Note how long a break lasted; insist that live items are in time when nothing goes wrong."""
        if update.origin is Origin.LIVE:
            stamp = update.seen_timestamp
            if stamp is not None and self._supply is not None and is_calm(world):
                restored = watch_of(world, client).restored_at(self._supply.topic)
                late = trio.current_time() - max(moment(world, stamp), restored)
                if late > LATE_SECONDS + world.plan.latency:
                    raise BrokenPromise(Promise.APART, f"a live item came {late:.3f} s late", self.name)
        if update.origin is not Origin.GAP and update.epoch > self._restored and self._supply is not None:
            topic, watch = self._supply.topic, watch_of(world, client)
            broken = watch.broken_at(topic, self._restored, update.epoch)
            if broken is not None and self._judge is not None and broken >= (self._judge.opened or 0.0):
                # The first item may come long after the stream is whole again: nothing has happened since.
                whole = watch.restored_at(topic)
                self.recoveries.append((whole if whole > broken else trio.current_time()) - broken)
            self._restored = update.epoch

    def check(self, world: World) -> None:
        """Take what is left, and compare all with the truth."""
        stream, judge = self._stream, self._judge
        if stream is None or judge is None or not self._opened:
            if self._manner.is_bare:
                return
            raise BrokenPromise(Promise.LIVENESS, "is not subscribed, long after the last fault", self.name)
        for update in _waiting(stream):
            judge.conflated = stream.statistics().conflated
            judge.take(update)
        judge.finish()


def _waiting(stream: Subscription[Update]) -> list[Update]:
    """Return what is there without waiting."""
    updates: list[Update] = []
    while True:
        try:
            updates.append(stream.receive_nowait())
        except trio.WouldBlock:
            return updates
