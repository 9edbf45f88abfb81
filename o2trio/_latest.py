"""A subscription for those who look at the state behind a stream, and only need to know when it has moved.

It keeps one update of each kind of stream, so a consumer that sleeps costs nothing. What is made of it is
in ``_order_book`` and ``_ticker``.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from ._runtime import Runtime
from .streams import Mailbox, State, Subscription, Topic, TopicKey
from .streams._mailbox import Source
from .wire import AnyUpdate

__all__ = ["all_live", "subscribe_latest"]

_KINDS = 8
"""More than there are kinds of streams, so that the buffer never overflows."""


class _LatestMailbox(Mailbox[AnyUpdate]):
    """Keeps the latest update of each kind. A break counts as news: the last update is told again."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        super().__init__(_KINDS)
        self._last: AnyUpdate | None = None

    def push(self, item: AnyUpdate, source: Source[AnyUpdate], now: float) -> bool:
        if self.ended:
            return False
        for kept in self._buffer:
            if type(kept) is type(item):
                self._buffer.remove(kept)
                self.conflated += 1
                break
        self._last = item
        super().push(item, source, now)
        return False

    def push_all(self, items: list[AnyUpdate], source: Source[AnyUpdate], now: float) -> bool:
        # All of one kind.
        if not self.ended:
            self.conflated += len(items) - 1
        return self.push(items[-1], source, now)

    @property
    def slack(self) -> int:
        return 0 if self.is_shared else sys.maxsize

    def settle(self) -> None:
        if self._last is not None and not self._buffer:
            self._buffer.append(self._last)
            self.arrived.unpark()

    def end(self, error: Callable[[], Exception] | None = None) -> None:
        # The end speaks for itself.
        self._last = None
        super().end(error)


def subscribe_latest(
    runtime: Runtime, find: Callable[[], Awaitable[list[TopicKey]]]
) -> tuple[Subscription[AnyUpdate], list[Topic]]:
    """Return a subscription to the latest of each kind, and the list of its topics, filled once it is open.

    Args:
      runtime: of the client.
      find: finds the topics, at most one of a kind; called when the subscription is made.
    """
    mailbox = _LatestMailbox()
    topics: list[Topic] = []

    # It holds no reference to the subscription, which must go when its user drops it.
    async def subscribe() -> None:
        _check_open(runtime)
        keys = await find()
        _check_open(runtime)
        runtime.hub.attach(mailbox, keys)
        topics[:] = (topic for topic in runtime.hub.topics if mailbox in topic.audience.members)

    release = partial(runtime.hub.detach, mailbox)
    return Subscription(mailbox, subscribe, release, runtime.soon), topics


def all_live(topics: list[Topic]) -> bool:
    """Whether there are topics, and what they carry is the present."""
    return bool(topics) and all(topic.state is State.LIVE for topic in topics)


def _check_open(runtime: Runtime) -> None:
    if runtime.closed:
        raise trio.ClosedResourceError("the client is closed")
