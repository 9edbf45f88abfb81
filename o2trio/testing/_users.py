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
from ._watch import check_held, watch_of, watches_of
from ._world import BrokenPromise, Phase, Promise, World

__all__ = ["LATE_SECONDS", "LIVENESS_SECONDS", "Manner", "StreamUser", "User", "is_calm"]

LIVENESS_SECONDS = 270.0
"""So long after the last fault everything must work again: the longest silence, dial, backoff and repair."""

LATE_SECONDS = 2.0
"""How late a live item may come then to one who waits for it."""

_BUFFERED_BESIDES = 16
"""More than twice the size of a buffer it never holds: half of it, what a repair held back, and its marks."""

_GIVES_UP = 3
"""How often somebody impatient gives up subscribing."""

_PAUSE_SECONDS = 20.0
"""How long at most somebody waits before subscribing again."""


def is_calm(world: World, ago: float = 0.0) -> bool:
    """Tell whether, so many seconds ago, nothing had gone wrong for so long that everything must work."""
    return world.now() - ago > world.plan.fault_seconds + LIVENESS_SECONDS


@attrs.frozen(slots=True, kw_only=True)
class Manner:
    """How somebody consumes. Times are in seconds and drawn evenly from 0 to these; 0 means never.

    Attributes:
      delay: before coming at all.
      nap, nap_chance: between two items, and how often; not while everything rests.
      patience: of subscribing, and of one receive, before it is cancelled and tried again.
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


class User:
    """A consumer: uses one client after the other until the scenario is over.

    Attributes:
      name, updates, backfilled, gaps: see ``Consumer``.
      subscriptions: how many consumers of server subscriptions it is at rest.
    """

    subscriptions = 1

    def __init__(self, random: Random, manner: Manner | None = None) -> None:
        self.name = type(self).__name__
        self.updates = self.backfilled = self.gaps = 0
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
            nursery.start_soon(_follow, world, name="scenario truth")
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


async def _follow(world: World) -> None:
    while True:
        await trio.sleep(FOLLOW_SECONDS)
        for book in books_of(world).values():
            book.pull()
        # At rest nothing is held: how much it is shows only in between.
        for client in (watch.client() for watch in watches_of(world)):
            if client is not None and world.is_open(client):
                check_held(client)


class StreamUser(User):
    """Consumes one stream in some manner, and has every item judged."""

    def __init__(self, random: Random, source: Source, manner: Manner | None = None) -> None:
        super().__init__(random, manner)
        self._source = source
        self._supply: Supply | None = None
        self._judge: Judge | None = None
        self._stream: Subscription[Update] | None = None
        self._replaced = 0

    async def _live(self, world: World, client: O2Client) -> None:
        if self._supply is None:
            self._supply = self._source(world, self._random, self.name)
        judge = self._judge = self._supply.judge()
        stream = self._stream = self._supply.open(client)
        self._replaced = 0
        try:
            if self._manner.is_bare:
                await self._consume(world, client, stream, judge)
            else:
                await self._enter(stream)
                self._begin(judge)
                await self._consume(world, client, stream, judge)
        finally:
            stream.close()
            self._stream = None

    async def _enter(self, stream: Subscription[Update]) -> None:
        """Subscribe; somebody impatient gives up a few times before."""
        for _ in range(_GIVES_UP if self._manner.patience else 0):
            with trio.move_on_after(self._random.uniform(0, self._manner.patience)):
                await stream.__aenter__()
                return
        await stream.__aenter__()

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
                had_all = self._look(stream, judge)
                if had_all:
                    self._settle(world, client, judge)
                if manner.poll:
                    await self._pause(world, client, random.uniform(0, manner.poll))
                    updates = _waiting(stream)
                else:
                    updates = await self._receive(stream, batches)
                    if had_all:
                        # Nothing had come until this moment.
                        judge.had_all = trio.current_time()
                for update in updates:
                    if not self._opened:
                        self._begin(judge)
                    self._take(world, client, stream, judge, update)
                if manner.nap and random.random() < manner.nap_chance and world.phase is not Phase.REST:
                    await self._pause(world, client, random.uniform(0, manner.nap))

    def _look(self, stream: Subscription[Update], judge: Judge) -> bool:
        """Tell whether there is nothing to receive, and note that."""
        statistics = stream.statistics()
        # What a slow consumer of trades missed is read for it by and by.
        if statistics.buffered or stream._mailbox.lag is not None:
            return False
        judge.had_all, self._replaced = trio.current_time(), statistics.conflated
        return True

    def _settle(self, world: World, client: O2Client, judge: Judge) -> None:
        """Insist that a break which was repaired, or marked, hides nothing."""
        assert self._supply is not None
        broken = watch_of(world, client).healed_break(self._supply.topic)
        if self._opened and broken is not None:
            judge.settle(broken)

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
        judge.conflated = statistics.conflated - self._replaced
        assert self._supply is not None
        judge.restored = watch_of(world, client).whole_since(self._supply.topic)
        judge.take(update)
        if statistics.buffered > 2 * world.options.buffer_size + _BUFFERED_BESIDES:
            self._broken(Promise.BOUNDED, f"{statistics.buffered} items are buffered")
        self.updates += 1
        self.backfilled += update.origin is Origin.BACKFILL
        self.gaps += update.origin is Origin.GAP
        world.note(self.name, update.origin.value, update.epoch, *judge.facts())
        watch, topic = watch_of(world, client), self._supply.topic
        if not watch.has_broken(topic, update.epoch):
            self._broken(Promise.MARKED, f"an item of epoch {update.epoch}, which no break began")
        if update.origin is Origin.LIVE:
            self._check_time(world, judge, update, watch.restored_at(topic))

    def _check_time(self, world: World, judge: Judge, update: Update, restored: float) -> None:
        """Insist that a live item came in time if nothing goes wrong.

        One came late that happened before the consumer had, or waited for, all there was, however slow it is.
        """
        stamp = update.seen_timestamp
        if stamp is None or not is_calm(world, ago=trio.current_time() - judge.had_all):
            return
        late = judge.had_all - max(moment(world, stamp), restored)
        if late > LATE_SECONDS + world.plan.latency:
            self._broken(Promise.APART, f"a live item came {late:.3f} s late")

    def check(self, world: World) -> None:
        """Take what is left, and compare all with the truth."""
        stream, judge = self._stream, self._judge
        if stream is None or judge is None or not self._opened:
            if self._manner.is_bare:
                return
            raise BrokenPromise(Promise.LIVENESS, "is not subscribed, long after the last fault", self.name)
        for update in _waiting(stream):
            judge.conflated = stream.statistics().conflated - self._replaced
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
