"""One server subscription: its state, its consumers and what they are told.

The rules are in the table of ``_machine``; this module carries the actions out. It does no I/O: frames
go to the port, timers and repairs to the host.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, TypeAlias

import trio

from .._errors import BookInconsistent, ResynchronisationFailed, SubscriptionTimeout
from .._network import Options
from ..models import DepthUpdate, Gap, NotUnderstood, Origin, Trade, TradeUpdate
from ..wire import AnyUpdate, Kind, OddField
from ._audience import Audience
from ._book import DepthBook
from ._events import TopicBroken, TopicRestored, TopicStale
from ._machine import QUIET, SNAPSHOT_FIRST, Action, Event, State
from ._mailbox import Mailbox, conflate
from ._memory import NOTHING_READ, REMEMBERED, StateMemory
from ._patience import Patience
from ._topics import BEHAVIOURS, TopicKey
from ._trades import TradeLag, TradeLedger, newest, trade_gap

if TYPE_CHECKING:
    from ._host import Host
    from ._port import Port

__all__ = ["Topic"]

_log = logging.getLogger("o2trio.streams")

_UNTIDY = OddField(
    field="DepthUpdate.changes",
    problem="a snapshot names a price twice, whose sizes were added up, or an empty level",
    shape="DepthUpdate.changes: a price twice or an empty level",
)

LOOK_UPS = 20
"""Orders that were not understood and are read over REST together."""
LOOK_UPS_LEFT = 1000
"""Orders that may wait for that; of more the oldest stay as they were marked."""


def _always(_update: AnyUpdate) -> bool:
    return True


_Recovered: TypeAlias = tuple[list[AnyUpdate], Mapping[Hashable, int | None], str]
"""What a repair found: the state, the parts that were read, and why something is missing."""

_SNAPSHOT = Origin.SNAPSHOT

_set = object.__setattr__
"""Sets what is frozen, in an update that was made a moment ago and that nobody else holds yet."""


class Topic:
    """One server subscription.

    Attributes:
      key: what it carries.
      state: where it stands.
      epoch: how many breaks it had.
      over: set when this epoch is over, by the next break or the end; the next epoch has another one.
      audience: its consumers.
      port: the connection that it is placed on.
      answered: whether a message of it came since its last request.
      is_confirmed: whether the server is known to have read its last request.
      sent_at: when its last request went out, or None: when it was handed to the writer, then when it was
        written.
      fence: the number of the heartbeat that followed its last request.
      memory: the latest orders, balances or nonces, for a topic of those.
      ledger: the latest trades, for a topic of trades.
      held: live updates that wait for a repair.
      run: live updates that were taken in, and are handed out before the port has done with this read.
      items, last_item_time: what came in, for statistics.
    """

    def __init__(self, key: TopicKey, host: Host, port: Port) -> None:
        self.key = key
        self.behaviour = BEHAVIOURS[key.kind]
        self.state = State.NEW
        self.epoch = 0
        self.over = trio.Event()
        self.audience = Audience()
        self.port = port
        self.answered = self.is_confirmed = False
        self.sent_at: float | None = None
        self.fence = 0
        limit = host.options.conflation_limit
        self.memory = StateMemory(self.behaviour, limit) if key.kind in REMEMBERED else None
        self.ledger = TradeLedger() if key.kind is Kind.TRADES else None
        self._is_afresh = False
        self.held: list[AnyUpdate] = []
        self.run: list[AnyUpdate] = []
        self.items = 0
        self.last_item_time = host.now()
        self._host = host
        self._table = SNAPSHOT_FIRST if self.behaviour.starts_with_snapshot else QUIET
        self._book = DepthBook() if key.kind is Kind.DEPTH else None
        self._view: AnyUpdate | None = None
        self._stint = 0
        self._recovered: _Recovered = ([], {}, "")
        self._patience = Patience()
        self._waits: Callable[[AnyUpdate], bool] = _always
        self._anchor: tuple[int, Trade | None] | None = None
        self._assumed = False
        self._learning = self._looking_up = False
        self._unread: list[NotUnderstood] = []
        self._broken_since = 0.0
        self._reason = ""
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
        if self.run:
            self.hand_out()
        self.state, action = self._table[self.state, event]
        _ACTIONS[action](self, update, reason)
        if self.state is State.CLOSED:
            self.over.set()
            self.port.release(self)

    def take(self, update: AnyUpdate) -> bool:
        """Take in an item while live: what the table says, only quicker, and handed out with those behind it.

        Returns:
          whether the consumers should have their turn before the next.
        """
        self.answered = True
        if not self._admit(update):
            return False
        run = self.run
        run.append(update)
        if len(run) == 1:
            self._stint = self.audience.stint()
        if len(run) < self._stint:
            return False
        self.hand_out()
        return self.audience.is_crowded or self._stint > 0

    def hand_out(self) -> None:
        """Give the consumers what was taken in."""
        run = self.run
        if run:
            self.run = []
            now = self.port.heard_at
            self._note(len(run), now)
            self.audience.push(run, self, now)

    def join(self, mailbox: Mailbox[AnyUpdate], *, seed: bool = False) -> None:
        """Add a consumer; it gets the current state if there is one, or if it asks for a `seed`."""
        audience = self.audience
        wants_seed = seed and self.memory is not None
        if wants_seed:
            among = audience.unseeded
        elif self.state in _MENDING and not self.behaviour.starts_with_snapshot:
            among = audience.late
        else:
            among = audience.members
        audience.add(mailbox, among)
        self.handle(Event.JOIN)
        if wants_seed and self.is_confirmed:
            self._learn()

    def leave(self, mailbox: Mailbox[AnyUpdate]) -> None:
        """Remove a consumer; with the last one the server subscription ends."""
        if self.audience.remove(mailbox) and not self.audience.everybody:
            self.handle(Event.LEAVE)

    def fail(self, error: Callable[[], Exception] | None) -> None:
        """End all consumers with `error()`, or orderly if it is None."""
        self.audience.end(error)
        self.handle(Event.FAIL)

    def subscribe_afresh(self, reason: str) -> bool:
        """Unsubscribe what the server holds and subscribe again; return False if that was tried in vain.

        Depth needs a fresh subscription for its snapshot; it is tried again with backoff, as after any break.
        A quiet stream tries once: if the server then still holds a subscription, it is of other accounts.
        """
        if not self.behaviour.starts_with_snapshot:
            if self._is_afresh:
                return False
            self._is_afresh = True
            self._resubscribe(None, reason)
        self.handle(Event.BREAK, reason=reason)
        return True

    def requested(self) -> None:
        """Note that the subscription request is about to be written: from now on it may be answered."""
        self.sent_at = self._host.now()

    def sent(self) -> None:
        """Note that the subscription request is on the wire; what it waits for is timed from now on."""
        if self.sent_at is None:
            return  # It was an older one; the present one is in the outbox.
        self.sent_at = self._host.now()
        if self.behaviour.starts_with_snapshot:
            self._arm(self._host.options.snapshot_timeout, Event.TIMEOUT)
            self.handle(Event.SENT)
            return
        request = self._requests
        self._host.call_later(
            self._host.options.confirm_timeout,
            lambda: self._unconfirmed() if request == self._requests and not self.is_confirmed else None,
        )
        if self.state is State.REPAIRING or not self.port.had(self.key.slot):
            self._begin()

    def _begin(self) -> None:
        """Let the consumers go on: what comes from now on is theirs."""
        self.audience.open()
        self.handle(Event.SENT)

    def answered_up_to(self, pongs: int) -> None:
        """Note that the server has read everything up to the heartbeat of this number."""
        if self.fence <= pongs:
            self.confirmed()
        if self._anchor is not None and self._anchor[0] <= pongs and self.ledger is not None:
            self.ledger.anchor(self._anchor[1])
            self._anchor = None

    def confirmed(self) -> None:
        """Note that the server has read the request: from now on nothing happens unseen."""
        if self.sent_at is None or self.is_confirmed:
            return
        self.is_confirmed, self._is_afresh = True, False
        if self.state is State.REPAIRING:
            self.handle(Event.CONFIRMED)
            return
        if self.state is State.JOINING and not self.behaviour.starts_with_snapshot:
            self._begin()
        if self._assumed:
            self.handle(Event.BREAK, reason="the exchange read the request late")
            self._assumed = False
        else:
            self._learn()

    def _unconfirmed(self) -> None:
        """Go on although the server has not said that it read the request; when it does, that is a break."""
        self._assumed = True
        if self.state is State.REPAIRING:
            self.repaired(self.epoch, [], problem="the exchange did not say that it had read the request")
        elif self.state is State.JOINING:
            self._begin()

    def begins_after(self, epoch: int, newest: Trade | None) -> None:
        """Take the newest trade there was when `epoch` ran, None if there was none ever.

        It counts once the server has answered one more heartbeat: only then it is sure that whatever was
        traded since the subscription, up to this trade, has been streamed.
        """
        if self.state is State.LIVE and epoch == self.epoch and self.ledger is not None:
            self._anchor = (self.port.heartbeat(), newest)
        self.learned(epoch, [])

    def learned(
        self,
        epoch: int,
        updates: list[AnyUpdate],
        *,
        read_to: Mapping[Hashable, int | None] = NOTHING_READ,
        problem: str = "",
    ) -> None:
        """Take the state at the beginning. Live items since then say more, and stay.

        Args:
          epoch: the topic's epoch when it was asked for; a late answer is ignored.
          updates: the state as updates.
          read_to: the parts that were read (see :class:`StateMemory`).
          problem: why something is missing, or empty.
        """
        if epoch != self.epoch or self.state is not State.LIVE:
            return
        self._learning = gained = False
        if self.memory is not None:
            gained = self.memory.learn(updates, read_to)
            self.memory.done(is_complete=not problem)
        self._seed(problem)
        if gained and problem:
            # Nobody waits for the rest, but the next repair can use it.
            self._learn()

    def wants_repair(self, epoch: int) -> bool:
        """Whether the repair that was begun in `epoch` still matters: no break, and no end, came since."""
        return self.state is State.REPAIRING and epoch == self.epoch

    def repair_by(self, options: Options) -> float:
        """Return when the repair under way is given up, by the bounds of `options`."""
        return self._patience.deadline(options, is_of_trades=self.ledger is not None)

    def backfill(
        self, epoch: int, trades: Sequence[Trade], not_understood: tuple[NotUnderstood, ...] = ()
    ) -> bool:
        """Deliver trades that were read; return False if the repair of `epoch` is no longer wanted.

        Args:
          epoch: the topic's epoch when the repair began.
          trades: as read, oldest first.
          not_understood: the entries among them that could not be read.
        """
        wanted, ledger = self.wants_repair(epoch), self.ledger
        if wanted and (trades or not_understood):
            assert self.key.market_id is not None
            assert ledger is not None
            last = ledger.last
            update = TradeUpdate(
                market_id=self.key.market_id,
                trades=tuple(trades),
                origin=Origin.BACKFILL,
                not_understood=not_understood,
            )
            self._burst([update])
            if ledger.last is not last:
                self._patience.advance(self._host.now(), self._host.options)
        return wanted

    def looked_up(self, epoch: int, updates: list[AnyUpdate]) -> None:
        """Take the state of orders that were not understood in a message; newer live items stay.

        Args:
          epoch: the topic's epoch when it was asked for; a later break covers it.
          updates: the state as updates; empty if it could not be read.
        """
        self._looking_up = False
        if epoch == self.epoch and self.state is State.LIVE and self.memory is not None:
            self._burst(self.memory.clarified(updates))
        self._look_up()

    def repaired_in_part(
        self,
        epoch: int,
        updates: list[AnyUpdate],
        read_to: Mapping[Hashable, int | None],
        waits: Callable[[AnyUpdate], bool],
    ) -> None:
        """Take a part of the result of the repair that was begun in `epoch`, which goes on.

        Args:
          epoch, updates, read_to: as for :meth:`repaired`.
          waits: whether something that was missed before a live update may not have been read yet.
        """
        memory = self.memory
        if memory is not None and self.wants_repair(epoch):
            self._burst(memory.news(updates, self.held))
            memory.learn(updates, read_to, self.held)
            self._waits = waits
            ready = list(takewhile(lambda update: not waits(update), self.held))
            del self.held[: len(ready)]
            self._burst(ready)

    def repaired(
        self,
        epoch: int,
        updates: list[AnyUpdate],
        *,
        read_to: Mapping[Hashable, int | None] = NOTHING_READ,
        problem: str = "",
    ) -> None:
        """Take the result of the repair that was begun in `epoch`; a late one is ignored.

        Args:
          epoch: the topic's epoch when the repair began.
          updates: the present state; what is not news, and what live items said meanwhile, is left out.
          read_to: the parts that were read (see :class:`StateMemory`).
          problem: why something is missing now, or empty.
        """
        if self.wants_repair(epoch):
            self._recovered = (updates, read_to, problem)
            self.handle(Event.REPAIRED)

    def check_stale(self, now: float) -> None:
        """Report the topic, once, if it is live and had no item for too long."""
        silent = now - max(self.last_item_time, self.sent_at or 0.0)
        if self.state is State.LIVE and not self._stale and silent >= self._host.options.stale_after:
            self._stale = True
            self._host.emit(TopicStale(time=now, topic=str(self.key), silent_for=silent))

    # -- what a mailbox asks (Source) -----------------------------------------------------------

    @property
    def book(self) -> DepthBook | None:
        """The book that the topic maintains, for a topic of depth."""
        return self._book

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

    def gap(self, since: float) -> AnyUpdate:
        """Return the empty update that marks a gap; never asked for where a snapshot mends it."""
        return self._gap(Gap(since=since, until=self._host.now(), reason="the consumer was too slow"))

    def lag(self, mailbox: Mailbox[AnyUpdate], items: list[AnyUpdate]) -> TradeLag | None:
        """Begin to read the trades that `mailbox` misses after `items`; None for other kinds."""
        ledger, market_id = self.ledger, self.key.market_id
        if ledger is None or market_id is None:
            return None
        since = self.last_item_time

        def describe(reason: str) -> Gap:
            return Gap(since=since, until=self._host.now(), reason=f"the consumer was too slow; {reason}")

        lag = TradeLag(market_id, items, ledger, self.epoch, describe, self._host.options.buffer_size)
        if lag.ledger.last is None:
            return None
        self._host.catch_up(self, mailbox, lag)
        return lag

    def conflated(self, items: list[AnyUpdate]) -> list[AnyUpdate] | None:
        """Return fewer updates that end in the same state, or None."""
        return conflate(self.behaviour, items, self._host.options.conflation_limit)

    # -- actions of the table -------------------------------------------------------------------

    def _nothing(self, update: AnyUpdate | None, reason: str) -> None:
        pass

    def _subscribe(self, update: AnyUpdate | None, reason: str) -> None:
        self._requests += 1
        self.answered = self.is_confirmed = self._assumed = False
        self.sent_at = None
        self.port.subscribe(self)

    def _resubscribe(self, update: AnyUpdate | None, reason: str) -> None:
        self.port.unsubscribe(self)
        self._subscribe(update, reason)

    def _unsubscribe(self, update: AnyUpdate | None, reason: str) -> None:
        self.port.unsubscribe(self)

    def _load(self, update: AnyUpdate | None, reason: str) -> None:
        if self._deliver(update, reason):
            self._was_live = True
            self.audience.open()
            self._restored(complete=True)

    def _deliver(self, update: AnyUpdate | None, reason: str) -> bool:
        """Take in and hand out a message; return False if it broke the book."""
        assert update is not None
        if not (self._take_in(update) if update.not_understood else self._admit(update)):
            return False
        book = self._book
        if book is not None and book.tidied and update.origin is _SNAPSHOT:
            # Consumers are given the levels that the book has, so that theirs is the same.
            _set(update, "changes", book.changes())
            self._host.oddities.note_fields([_UNTIDY])
        self.run.append(update)
        self.hand_out()
        if self._unread:
            self._look_up()
        return True

    def _hold(self, update: AnyUpdate | None, reason: str) -> None:
        assert update is not None
        if not self.held and not self._waits(update):
            self._deliver(update, reason)
        else:
            _set(update, "epoch", self.epoch)
            self.held.append(update)
        if len(self.held) > self._host.options.buffer_size:
            # Of trades only the newest are kept: the repair reads on until it reaches those.
            held, limit = self.held, self._host.options.buffer_size
            self.held = newest(held, limit) if self.ledger is not None else self.conflated(held) or []
            if not self.held:
                self._overwhelmed()
        elif self.memory is not None and self.memory.is_crowded:
            self._overwhelmed()

    def _overwhelmed(self) -> None:
        self.handle(Event.BREAK, reason="too much changed during a repair")

    def _mark(self, update: AnyUpdate | None, reason: str) -> None:
        self.audience.settle()
        self.held.clear()
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
        now = self._host.now()
        self._patience.start(now)
        if now < self.repair_by(self._host.options):
            self._host.repair(self)
        else:
            # A repair that each break begins again must not starve the consumers.
            self.repaired(self.epoch, [], problem="breaks occur faster than they can be repaired")

    def _mark_and_repair(self, update: AnyUpdate | None, reason: str) -> None:
        self._count_break(reason)
        # What was held came before this break; the repair that begins now, or the mark, covers it too.
        self.held.clear()
        if self.is_confirmed:
            self._repair(update, reason)

    def _release(self, update: AnyUpdate | None, reason: str) -> None:
        (read, read_to, problem), self._recovered = self._recovered, ([], {}, "")
        self._waits = _always
        held, self.held = self.held, []
        mending = [self._unmended(problem, held)] if problem else []
        memory = self.memory
        if memory is not None:
            mending += memory.news(read, held)
            if problem:
                memory.forget()
        self._burst(mending)
        if memory is not None:
            memory.learn(read, read_to)
            memory.done(is_complete=not problem)
        self.audience.admit_late()
        self._burst(held)
        self._restored(complete=not problem)
        self._seed(problem)
        self._learn()
        self._look_up()

    def _greet(self, update: AnyUpdate | None, reason: str) -> None:
        if self.behaviour.starts_with_snapshot:
            self.audience.members[-1].push(self.current(), self, self.last_item_time)

    # -- helpers --------------------------------------------------------------------------------

    def _burst(self, updates: list[AnyUpdate]) -> None:
        """Deliver several updates at once; nobody is too slow for what comes in one moment."""
        now = self._host.now()
        admitted = [update for update in updates if self._take_in(update)]
        if admitted:
            self._note(len(admitted), now)
            self.audience.burst(admitted, self, now)

    def _note(self, items: int, now: float) -> None:
        self.items += items
        self._stale = False
        self.last_item_time = now

    def _take_in(self, update: AnyUpdate) -> bool:
        """Do as :meth:`_admit`, also with entries that were not understood."""
        if update.not_understood and self.ledger is not None and isinstance(update, TradeUpdate):
            news = self.ledger.news(update)
            if news is not None:
                _set(update, "epoch", self.epoch)
                _set(update, "trades", news.trades)
                _set(update, "not_understood", news.not_understood)
            return news is not None
        if update.not_understood and self.key.kind is Kind.ORDERS:
            self._unread += (entry for entry in update.not_understood if "order_id" in entry.ids)
            del self._unread[:-LOOK_UPS_LEFT]
        return self._admit(update)

    def _look_up(self) -> None:
        """Ask for the orders that could not be read, if nobody does so already."""
        if self._unread and not self._looking_up and self.state is State.LIVE:
            entries, self._unread = tuple(self._unread[:LOOK_UPS]), self._unread[LOOK_UPS:]
            self._looking_up = True
            self._host.look_up(self, entries)

    def _admit(self, update: AnyUpdate) -> bool:
        """Take in what `update` says; return False if there is nothing in it to deliver."""
        if self.epoch:
            _set(update, "epoch", self.epoch)
        if self._book is not None and isinstance(update, DepthUpdate):
            _set(update, "precision", self.key.precision)
            try:
                self._book.apply(update)
            except BookInconsistent as problem:
                self.handle(Event.BREAK, reason=str(problem))
                return False
        elif self.key.kind is Kind.DEPTH_VIEW:
            _set(update, "precision", self.key.precision)
            self._view = update
        elif self.ledger is not None and isinstance(update, TradeUpdate) and update.trades:
            fresh = self.ledger.fresh(update.trades)
            if not fresh and not update.not_understood:
                return False
            _set(update, "trades", fresh)
        elif self.memory is not None:
            self.memory.note(update, keep_all=self._learning)
        return True

    def _learn(self) -> None:
        """Ask how things stand, if a later repair needs it or a consumer wants it now."""
        if self.ledger is not None:
            wanted = not self.ledger.is_anchored
        elif self.memory is not None:
            wanted = not self.memory.is_complete and (
                self.key.kind is Kind.ORDERS or bool(self.audience.unseeded)
            )
        else:
            wanted = False
        if wanted and not self._learning and self.state is State.LIVE:
            self._learning = True
            self._host.learn(self)
        else:
            self._seed("")

    def _seed(self, problem: str) -> None:
        """Give the state to the consumers that asked for it, or a gap mark if there is a `problem`."""
        memory = self.memory
        if self.audience.unseeded and memory is not None and (memory.is_complete or problem):
            now = self._host.now()
            mark = self._gap(Gap(since=self._broken_since or now, until=now, reason=problem))
            # Of a state that could not be read as a whole, what is known follows the mark.
            self.audience.seed(
                [mark, *memory.state(mark, Origin.BACKFILL)] if problem else memory.state(mark)
            )

    def _unmended(self, problem: str, held: list[AnyUpdate]) -> AnyUpdate:
        """Return the mark of a break that could not be mended, with what lies on both sides of it."""
        reason = f"{self._reason}; {problem}" if self._reason else problem
        gap = Gap(since=self._broken_since, until=self._host.now(), reason=reason)
        return self._gap(gap if self.ledger is None else trade_gap(gap, self.ledger, held))

    def _gap(self, gap: Gap) -> AnyUpdate:
        assert self.behaviour.gap is not None
        return self.behaviour.gap(self.key, self.epoch, gap)

    def _count_break(self, reason: str) -> None:
        self.epoch += 1
        self.over.set()
        self.over = trio.Event()
        self._patience.stop(self._host.now())
        self._anchor = None
        self._learning = False
        self._waits = _always
        if self.memory is not None:
            self.memory.broke(was_whole=self._mended)
        if self.ledger is not None:
            self.ledger.broke()
        if self._mended:
            since = self.sent_at if self._assumed else None
            self._mended, self._reason = False, reason
            self._broken_since = self.port.heard_at if since is None else since
        _log.warning("%s: break %d: %s", self.key, self.epoch, reason)
        self._host.emit(
            TopicBroken(time=self._host.now(), topic=str(self.key), epoch=self.epoch, reason=reason)
        )

    def _restored(self, *, complete: bool) -> None:
        self._patience.reset()
        if not self._mended:
            self._mended = True
            self._host.emit(
                TopicRestored(time=self._host.now(), topic=str(self.key), epoch=self.epoch, repaired=complete)
            )

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


_MENDING = frozenset({State.OFFLINE, State.REPAIRING})

_ACTIONS: dict[Action, Callable[[Topic, AnyUpdate | None, str], object]] = {
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
