"""Judges how long the repairs of a client take, however often they are interrupted.

A live item waits at most as long as the repair of its stream, and so does a consumer that joins meanwhile or
asks for the present state. So this is the bound of all of them. What a stream brings is judged elsewhere.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import attrs
import trio

from .._client import O2Client
from ..streams import Mailbox, State, Topic
from ..wire import AnyUpdate
from ._watch import watch_of
from ._world import BrokenPromise, Promise, World

__all__ = ["RepairJudge", "keep_watch"]

_LOOK_SECONDS = 1.0

_HEADROOM = 4.0
"""How much longer it may seem to take, because it is checked only now and then."""


@attrs.define(slots=True)
class _Wait:
    """How long something has waited while the stream was subscribed: without progress, and in all."""

    idle: float = 0.0
    in_all: float = 0.0


class RepairJudge:
    """Measures what waits in the streams of a client.

    Time counts while the exchange has read the subscription, from one look to the next. It begins again only
    when the stream is whole or its gap was marked; not with another break.
    """

    def __init__(self, world: World, client: O2Client) -> None:
        self._client = client
        self._options = world.options
        self._watch = watch_of(world, client)
        self._looked = trio.current_time()
        self._topics: WeakKeyDictionary[Topic, _Wait] = WeakKeyDictionary()
        self._before: WeakKeyDictionary[Topic, tuple[object, ...]] = WeakKeyDictionary()
        self._joining: dict[Mailbox[AnyUpdate], float] = {}

    def look(self) -> None:
        """Look at all streams.

        Raises:
          BrokenPromise: something has waited for longer than a repair may take.
        """
        now = trio.current_time()
        since, self._looked = self._looked, now
        passed = now - since
        joining: dict[Mailbox[AnyUpdate], float] = {}
        for topic in self._client._runtime.hub.topics:
            last = None if topic.ledger is None else topic.ledger.last
            is_there = topic.is_confirmed and topic.port.online
            before, self._before[topic] = self._before.get(topic), (topic.epoch, is_there, last)
            # Part of the time since the last look may have gone without a subscription.
            counts = passed if is_there and before is not None and before[:2] == (topic.epoch, True) else 0.0
            wait = self._topics.setdefault(topic, _Wait())
            if self._watch.restored_at(str(topic.key)) >= since:
                # It may have broken again by now.
                wait.idle = wait.in_all = counts = 0.0
            if topic.state is State.REPAIRING:
                has_moved = before is not None and before[2] is not last
                wait.idle = 0.0 if has_moved else wait.idle + counts
                wait.in_all += counts
                self._check(topic, wait)
            elif topic.state is State.LIVE:
                wait.idle = wait.in_all = 0.0
            for mailbox in (*topic.audience.unseeded, *topic.audience.late):
                joining[mailbox] = self._joining.get(mailbox, 0.0) + counts
                self._check_joining(topic, joining[mailbox])
        self._joining = joining

    @property
    def _longest(self) -> float:
        """How long the state of an account may be read."""
        options = self._options
        return options.indexer_lag + options.repair_timeout + options.confirm_timeout + _HEADROOM

    def _check(self, topic: Topic, wait: _Wait) -> None:
        in_all = self._longest + (0.0 if topic.ledger is None else self._options.backfill_timeout)
        if wait.idle > self._longest or wait.in_all > in_all:
            raise BrokenPromise(
                Promise.LIVENESS,
                f"{topic.key} is under repair for {wait.in_all:.1f} s, for {wait.idle:.1f} s without"
                f" progress; {len(topic.held)} live updates wait",
            )

    def _check_joining(self, topic: Topic, waited: float) -> None:
        # A beginning that was being read may be followed by a break, and its repair.
        longest = 2 * self._longest + (0.0 if topic.ledger is None else self._options.backfill_timeout)
        if waited > longest:
            raise BrokenPromise(Promise.LIVENESS, f"a consumer waits for {topic.key} for {waited:.1f} s")


async def keep_watch(world: World, client: O2Client) -> None:
    """Look at the repairs of a client every second.

    Raises:
      BrokenPromise: one takes too long.
    """
    judge = RepairJudge(world, client)
    while True:
        await trio.sleep(_LOOK_SECONDS)
        judge.look()
