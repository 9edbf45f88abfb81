"""One server subscription: its state, its consumers and what they are told.

The rules are in the table of ``_machine``; this module carries the actions out. It does no I/O: frames
go to the port, timers and repairs to the host.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from .._errors import BookInconsistent, ResynchronisationFailed, SubscriptionTimeout
from ..models import DepthUpdate, Origin
from ..wire import AnyUpdate, Kind
from ._book import DepthBook
from ._events import Event as LifeCycleEvent
from ._events import TopicBroken, TopicRestored, TopicStale
from ._machine import QUIET, SNAPSHOT_FIRST, Action, Event, State
from ._mailbox import Mailbox, conflate
from ._topics import BEHAVIOURS, EntryKey, TopicKey

if TYPE_CHECKING:
    from .._network import Options
    from ._port import Port

__all__ = ["Host", "Topic"]

_log = logging.getLogger("o2trio.streams")


class Host(Protocol):
    """What the streams need from the world around them."""

    @property
    def options(self) -> Options:
        """The limits and intervals."""
        ...

    def now(self) -> float:
        """Return the time on Trio's clock."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call `callback` after `delay` seconds, unless the client is closed by then."""
        ...

    def backoff(self) -> Iterator[float]:
        """Return a fresh sequence of waits."""
        ...

    def repair(self, topic: Topic) -> None:
        """Find out what `topic` missed and call :meth:`Topic.repaired`, now or later."""
        ...

    def run_connection(self, port: Port) -> None:
        """Keep a connection for `port` until it is retired or given up."""
        ...

    def emit(self, event: LifeCycleEvent) -> None:
        """Tell whoever listens."""
        ...


class Topic:
    """One server subscription.

    Attributes:
      key: what it carries.
      state: where it stands.
      epoch: how many breaks it had.
      consumers: the mailboxes that it fills.
      port: the connection that it is placed on.
      answered: whether a message of it came since its last request.
      sent_at: when its last request was written, or None.
      fence: the number of the heartbeat that followed its last request.
      latest: the last entry delivered of each balance or nonce, for repairs.
      items, last_item_time: what came in, for statistics.
    """

    def __init__(self, key: TopicKey, host: Host, port: Port) -> None:
        self.key = key
        self.behaviour = BEHAVIOURS[key.kind]
        self.state = State.NEW
        self.epoch = 0
        self.consumers: list[Mailbox[AnyUpdate]] = []
        self.port = port
        self.answered = False
        self.sent_at: float | None = None
        self.fence = 0
        self.latest: dict[EntryKey, object] = {}
        self.items = 0
        self.last_item_time = host.now()
        self._host = host
        self._table = SNAPSHOT_FIRST if self.behaviour.starts_with_snapshot else QUIET
        self._book = DepthBook() if key.kind is Kind.DEPTH else None
        self._view: AnyUpdate | None = None
        self._held: Mailbox[AnyUpdate] = Mailbox(host.options.buffer_size)
        self._recovered: tuple[list[AnyUpdate], bool] = ([], True)
        self._waiting: list[Mailbox[AnyUpdate]] = []
        self._open = False
        self._was_live = False
        self._mended = True
        self._stale = False
        self._requests = 0
        self._delays = host.backoff()
        self._resynchronised = 0
        self._resynchronised_at: float | None = None

    def __repr__(self) -> str:
        return f"<Topic {self.key}, {self.state.value}, epoch {self.epoch}>"

    # -- what happens to it ---------------------------------------------------------------------

    def handle(self, event: Event, update: AnyUpdate | None = None, reason: str = "") -> None:
        """Take one step of the table."""
        step = self._table[self.state, event]
        self.state = step.state
        _ACTIONS[step.action](self, update, reason)
        if self.state is State.CLOSED:
            self.port.release(self)

    def join(self, mailbox: Mailbox[AnyUpdate]) -> None:
        """Add a consumer; it gets the current state if there is one."""
        self.consumers.append(mailbox)
        if not self._open:
            self._waiting.append(mailbox)
            mailbox.pending += 1
        self.handle(Event.JOIN)

    def leave(self, mailbox: Mailbox[AnyUpdate]) -> None:
        """Remove a consumer; with the last one the server subscription ends."""
        if mailbox in self.consumers:
            self.consumers.remove(mailbox)
            if mailbox in self._waiting:
                self._waiting.remove(mailbox)
            if not self.consumers:
                self.handle(Event.LEAVE)

    def fail(self, error: Callable[[], Exception] | None) -> None:
        """End all consumers with `error()`, or orderly if it is None."""
        for mailbox in self.consumers:
            mailbox.end(error)
        self.handle(Event.FAIL)

    def sent(self) -> None:
        """Note that the subscription request is on the wire."""
        self.sent_at = self._host.now()
        if self.behaviour.starts_with_snapshot:
            self._arm(self._host.options.snapshot_timeout, Event.TIMEOUT)
        else:
            self._opened()
        self.handle(Event.SENT)

    def repaired(self, epoch: int, updates: list[AnyUpdate], *, complete: bool) -> None:
        """Take the result of the repair that was begun in `epoch`; a late one is ignored.

        Args:
          epoch: the topic's epoch when the repair began.
          updates: what was missed; what held live items say more about is left out.
          complete: whether nothing is missing now.
        """
        if self.state is State.REPAIRING and epoch == self.epoch:
            self._recovered = (updates, complete)
            self.handle(Event.REPAIRED)

    def check_stale(self, now: float) -> None:
        """Report the topic, once, if it is live and had no item for too long."""
        silent = now - max(self.last_item_time, self.sent_at or 0.0)
        if self.state is State.LIVE and not self._stale and silent >= self._host.options.stale_after:
            self._stale = True
            self._host.emit(TopicStale(time=now, topic=str(self.key), silent_for=silent))

    # -- what a mailbox asks (Source) -----------------------------------------------------------

    @property
    def has_state(self) -> bool:
        """Whether the topic maintains a book."""
        return self._book is not None

    def current(self) -> AnyUpdate:
        """Return the current book as a snapshot, or the last view."""
        if self._book is None:
            assert self._view is not None
            return self._view
        assert self.key.market_id is not None
        return DepthUpdate(
            market_id=self.key.market_id,
            changes=self._book.changes(),
            precision=self.key.precision,
            origin=Origin.SNAPSHOT,
            epoch=self.epoch,
        )

    def gap(self) -> AnyUpdate:
        """Return the empty update that marks a gap; never asked for where a snapshot mends it."""
        assert self.behaviour.gap is not None
        return self.behaviour.gap(self.key, self.epoch)

    def conflated(self, items: list[AnyUpdate]) -> list[AnyUpdate] | None:
        """Return fewer updates that end in the same state, or None."""
        return conflate(self.behaviour, items, self._host.options.conflation_limit)

    # -- actions of the table -------------------------------------------------------------------

    def _nothing(self, update: AnyUpdate | None, reason: str) -> None:
        pass

    def _subscribe(self, update: AnyUpdate | None, reason: str) -> None:
        self._requests += 1
        self.answered = False
        self.sent_at = None
        self.port.subscribe(self)

    def _resubscribe(self, update: AnyUpdate | None, reason: str) -> None:
        self.port.unsubscribe(self)
        self._subscribe(update, reason)

    def _unsubscribe(self, update: AnyUpdate | None, reason: str) -> None:
        self.port.unsubscribe(self)

    def _load(self, update: AnyUpdate | None, reason: str) -> None:
        if self._delivered(update):
            self._was_live = True
            self._opened()
            self._restored(complete=True)

    def _deliver(self, update: AnyUpdate | None, reason: str) -> None:
        self._delivered(update)

    def _hold(self, update: AnyUpdate | None, reason: str) -> None:
        assert update is not None
        self._stamp(update)
        self._held.push(update, self, self._host.now())

    def _mark(self, update: AnyUpdate | None, reason: str) -> None:
        for mailbox in self.consumers:
            mailbox.settle()
        self._open = False
        self._held.clear()
        self._count_break(reason)

    def _resynchronise(self, update: AnyUpdate | None, reason: str) -> None:
        # The first fresh snapshot is asked for at once, the next ones wait longer and longer, until
        # the book has held for as long as a connection must live to be called stable.
        options, now, last = self._host.options, self._host.now(), self._resynchronised_at
        if last is None or now - last >= options.stable_after:
            self._delays, self._resynchronised = self._host.backoff(), 0
        delay = next(self._delays) if self._resynchronised else 0.0
        self._resynchronised += 1
        self._resynchronised_at = now + delay
        self._mark(update, reason)
        if not self._was_live and self._resynchronised > options.resync_attempts:
            self._end(
                lambda: ResynchronisationFailed(
                    f"{self.key} did not hold after {options.resync_attempts} fresh snapshots: {reason}"
                )
            )
        elif delay:
            self._arm(delay, Event.RETRY)
        else:
            self.handle(Event.RETRY)

    def _repair(self, update: AnyUpdate | None, reason: str) -> None:
        self._host.repair(self)

    def _mark_and_repair(self, update: AnyUpdate | None, reason: str) -> None:
        # What was held came before this break; the repair that begins now covers it too.
        self._held.clear()
        self._count_break(reason)
        if self.sent_at is not None:
            self._repair(update, reason)

    def _release(self, update: AnyUpdate | None, reason: str) -> None:
        recovered, complete = self._recovered
        self._recovered = ([], True)
        held = []
        while self._held.ready:
            held.append(self._held.pop())
        for item in [*self._not_newer(recovered, held), *held]:
            self._delivered(item)
        self._restored(complete=complete and all(item.origin is not Origin.GAP for item in held))

    def _greet(self, update: AnyUpdate | None, reason: str) -> None:
        if self.behaviour.starts_with_snapshot:
            self.consumers[-1].push(self.current(), self, self.last_item_time)

    # -- helpers --------------------------------------------------------------------------------

    def _stamp(self, update: AnyUpdate) -> None:
        # The update was made for this topic a moment ago and nobody else holds it yet.
        object.__setattr__(update, "epoch", self.epoch)
        if isinstance(update, DepthUpdate):
            object.__setattr__(update, "precision", self.key.precision)

    def _delivered(self, update: AnyUpdate | None) -> bool:
        """Apply and hand out `update`; return False if it broke the book."""
        assert update is not None
        self._stamp(update)
        if self._book is not None and isinstance(update, DepthUpdate):
            try:
                self._book.apply(update)
            except BookInconsistent as problem:
                self.handle(Event.BREAK, reason=str(problem))
                return False
        elif self.key.kind is Kind.DEPTH_VIEW:
            self._view = update
        elif self.key.kind in (Kind.BALANCES, Kind.NONCE) and update.origin is not Origin.GAP:
            assert self.behaviour.entries is not None
            self.latest.update(self.behaviour.entries(update))
        self.items += 1
        self._stale = False
        now = self.last_item_time = self._host.now()
        for mailbox in self.consumers:
            mailbox.push(update, self, now)
        return True

    def _not_newer(self, recovered: list[AnyUpdate], held: list[AnyUpdate]) -> list[AnyUpdate]:
        """Leave out of `recovered` what `held` says more about: a live item is newer than a read."""
        split, join = self.behaviour.entries, self.behaviour.join
        if split is None or join is None:
            return recovered
        newer = {key for item in held for key, _ in split(item)}
        result: list[AnyUpdate] = []
        for item in recovered:
            if item.origin is Origin.GAP:
                result.append(item)
            else:
                result += join(item, [entry for key, entry in split(item) if key not in newer])
        return result

    def _count_break(self, reason: str) -> None:
        self.epoch += 1
        self._mended = False
        _log.warning("%s: break %d: %s", self.key, self.epoch, reason)
        self._host.emit(
            TopicBroken(time=self._host.now(), topic=str(self.key), epoch=self.epoch, reason=reason)
        )

    def _restored(self, *, complete: bool) -> None:
        if not self._mended:
            self._mended = True
            self._host.emit(
                TopicRestored(time=self._host.now(), topic=str(self.key), epoch=self.epoch, repaired=complete)
            )

    def _opened(self) -> None:
        self._open = True
        waiting, self._waiting = self._waiting, []
        for mailbox in waiting:
            mailbox.opened_one()

    def _end(self, error: Callable[[], Exception]) -> None:
        """Fail while the server may still hold the subscription."""
        self.port.unsubscribe(self)
        self.fail(error)

    def _arm(self, delay: float, event: Event) -> None:
        """Let `event` happen after `delay`, unless the topic has gone on by then."""
        moment = (self.epoch, self._requests)

        def fire() -> None:
            if moment != (self.epoch, self._requests) or (self.state, event) not in self._table:
                return
            if event is Event.TIMEOUT and self.state is State.JOINING and not self._was_live:
                limit, key = self._host.options.snapshot_timeout, self.key
                self._end(lambda: SubscriptionTimeout(f"no snapshot for {key} within {limit:g} s"))
            else:
                self.handle(event, reason="no snapshot in time")

        self._host.call_later(delay, fire)


_ACTIONS: dict[Action, Callable[[Topic, AnyUpdate | None, str], None]] = {
    Action.NOTHING: Topic._nothing,
    Action.IGNORE: Topic._nothing,
    Action.END: Topic._nothing,
    Action.SUBSCRIBE: Topic._subscribe,
    Action.RESUBSCRIBE: Topic._resubscribe,
    Action.UNSUBSCRIBE: Topic._unsubscribe,
    Action.LOAD: Topic._load,
    Action.DELIVER: Topic._deliver,
    Action.HOLD: Topic._hold,
    Action.MARK: Topic._mark,
    Action.RESYNCHRONISE: Topic._resynchronise,
    Action.REPAIR: Topic._repair,
    Action.MARK_AND_REPAIR: Topic._mark_and_repair,
    Action.RELEASE: Topic._release,
    Action.GREET: Topic._greet,
}
