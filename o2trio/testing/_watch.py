"""Listens to what happens to a client's connections and streams, and judges its dials.

It hears events at once, unlike a consumer of ``o2.events()``, which has to come round to them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from weakref import WeakKeyDictionary, ref

import attrs

from .._client import O2Client
from .._network import Options
from ..streams import ConnectionDown, ConnectionUp, Event, Mailbox, TopicBroken, TopicRestored
from ..streams._mailbox import Source
from ..streams._trades import LEDGER_SIZE, TradeLag
from ._world import BrokenPromise, Promise, World

__all__ = ["DRAWS_JUDGED", "DialJudge", "Watch", "check_draws", "check_held", "watch_of", "watches_of"]

DRAWS_JUDGED = 40
"""From so many waits on their mean is judged; an even draw misses the mark once in 100 million times."""

_LEAST_MEAN = 0.22

_ROUNDING = 1e-6


@attrs.define(slots=True)
class _Line:
    """One connection: waits since it was last stable, attempts, when it came up, when it may be dialled."""

    waits: int = 0
    attempt: int = 0
    up_since: float | None = None
    not_before: float = 0.0


class DialJudge:
    """Judges by its events whether a client dials within its backoff.

    Attributes:
      draws: each wait as a part of its upper bound, except where the exchange asked for a longer one.
      failure: the first rule that was broken, in words; empty if none was.
    """

    def __init__(self, options: Options) -> None:
        self.draws: list[float] = []
        self.failure = ""
        self._options = options
        self._lines: dict[int, _Line] = {}

    def hear(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, ConnectionUp):
            line = self._line(event.connection, event.time)
            line.up_since = event.time
        elif isinstance(event, ConnectionDown):
            self._down(event)

    def _line(self, number: int, now: float) -> _Line:
        line = self._lines.setdefault(number, _Line())
        if now < line.not_before - _ROUNDING:
            self._fail(f"connection {number} was dialled {line.not_before - now:.3f} s too soon")
        return line

    def _down(self, event: ConnectionDown) -> None:
        options, line = self._options, self._line(event.connection, event.time)
        lived = -1.0 if line.up_since is None else event.time - line.up_since
        if lived >= options.stable_after:
            line.waits = line.attempt = 0
        else:
            line.attempt += 1
        if event.attempt != line.attempt:
            self._fail(
                f"connection {event.connection}, which lived {lived:.3f} s, counts attempt {event.attempt}"
                f" instead of {line.attempt}"
            )
        # The exponent is bounded, so that it never grows towards an overflow.
        bound = options.backoff_initial * options.backoff_factor ** min(line.waits, 60)
        bound = min(bound, options.backoff_cap)
        if event.retry_in <= bound:
            self.draws.append(event.retry_in / bound)
        elif event.retry_in > options.retry_after_cap:
            self._fail(
                f"connection {event.connection} waits {event.retry_in:.3f} s, more than anybody may ask for"
            )
        line.waits += 1
        line.up_since = None
        line.not_before = event.time + event.retry_in

    def _fail(self, what: str) -> None:
        self.failure = self.failure or what


def check_draws(draws: list[float]) -> None:
    """Check that waits are drawn from all of their range, not only from its beginning.

    Raises:
      BrokenPromise: they are far too short on average.
    """
    mean = sum(draws) / max(len(draws), 1)
    if len(draws) >= DRAWS_JUDGED and mean < _LEAST_MEAN:
        raise BrokenPromise(
            Promise.DIAL_RATE, f"{len(draws)} waits before a dial were {mean:.3f} of their bound on average"
        )


class Watch:
    """What one client told of itself.

    Attributes:
      client: gives it, as long as somebody else holds it.
      dials: judges its dials.
      recoveries: seconds from each break of a stream until it was whole again, or marked what it lost;
        breaks that came before that count as one.
    """

    def __init__(self, client: O2Client, options: Options) -> None:
        self.client = ref(client)
        self.dials = DialJudge(options)
        self.recoveries: list[float] = []
        self._epochs: set[tuple[str, int]] = set()
        self._broken: dict[str, float] = {}
        self._restored: dict[str, float] = {}
        self._last_break: dict[str, float] = {}

    def hear(self, event: Event) -> None:
        """Take in one event."""
        self.dials.hear(event)
        if isinstance(event, TopicBroken):
            self._epochs.add((event.topic, event.epoch))
            self._last_break[event.topic] = event.time
            if event.epoch == 1 or event.topic not in self._broken:
                # With its first epoch a stream is a new one; the one before it may have ended broken.
                self._broken[event.topic] = event.time
        elif isinstance(event, TopicRestored):
            self._restored[event.topic] = event.time
            self.recoveries.append(event.time - self._broken.pop(event.topic))

    def has_broken(self, topic: str, epoch: int) -> bool:
        """Return whether a break of a stream began this epoch; none begins the first."""
        return not epoch or (topic, epoch) in self._epochs

    def restored_at(self, topic: str) -> float:
        """Return when a stream was last restored; what it held until then could not come sooner."""
        return self._restored.get(topic, 0.0)

    def whole_since(self, topic: str) -> float:
        """Return since when a stream is whole: infinite while it is under repair."""
        return inf if topic in self._broken else self._restored.get(topic, -inf)

    def healed_break(self, topic: str) -> float | None:
        """Return when the last break of a stream came, if the stream was restored after it."""
        came, ended = self._last_break.get(topic), self._restored.get(topic)
        return None if came is None or ended is None or ended < came or topic in self._broken else came


def check_held(client: O2Client) -> None:
    """Check how much a client holds while it repairs.

    Raises:
      BrokenPromise: more than it may.
    """
    limit = client._runtime.options.buffer_size
    for topic in client._runtime.hub.topics:
        if len(topic.held) > limit + 1:
            raise BrokenPromise(Promise.BOUNDED, f"{topic.key} holds {len(topic.held)} updates")
        if topic.ledger is not None and len(topic.ledger._ids) > LEDGER_SIZE:
            raise BrokenPromise(Promise.BOUNDED, f"{topic.key} remembers {len(topic.ledger._ids)} trades")
        for mailbox in topic.audience.everybody:
            held = len(mailbox.lag._held) if isinstance(mailbox.lag, TradeLag) else 0
            if held > limit:
                raise BrokenPromise(Promise.BOUNDED, f"{topic.key} holds {held} updates for a slow consumer")


class _Tap(Mailbox[Event]):
    """A listener that is told each event as it happens."""

    __slots__ = ("_hear",)

    def __init__(self, hear: Callable[[Event], None]) -> None:
        super().__init__(1)
        self._hear = hear

    def push(self, item: Event, source: Source[Event], now: float) -> bool:
        self._hear(item)
        return False


_WATCHES: WeakKeyDictionary[World, WeakKeyDictionary[O2Client, Watch]] = WeakKeyDictionary()
_LISTS: WeakKeyDictionary[World, list[Watch]] = WeakKeyDictionary()


def watches_of(world: World) -> list[Watch]:
    """Return the watches over all clients of a world so far, in the order of the clients."""
    return _LISTS.setdefault(world, [])


def watch_of(world: World, client: O2Client) -> Watch:
    """Return the watch over a client; the first call begins it."""
    known = _WATCHES.setdefault(world, WeakKeyDictionary())
    if client not in known:
        watch = known[client] = Watch(client, world.options)
        watches_of(world).append(watch)
        client._runtime.feed.listeners.append(_Tap(watch.hear))
    return known[client]
