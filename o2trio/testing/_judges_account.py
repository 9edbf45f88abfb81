"""Judges of what the streams of accounts tell: orders, balances and nonces, entry by entry and at rest.

What is true is in ``_truth_account``; who consumes is in ``_consumers``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from math import inf

import attrs
import trio

from ..models import BalanceUpdate, Gap, Id, NonceUpdate, OrderUpdate, Origin, Update
from ..wire import Kind
from ._judges_market import JOIN_SECONDS, Judge
from ._truth import moment
from ._truth_account import History, Key, StateTruth, Value, balance_value, order_value
from ._world import Fact, Promise, World

__all__ = ["StateJudge"]

_Entries = Callable[[Update], Iterable[tuple[Key, Value]]]


@attrs.define(slots=True)
class _Told:
    """What was last told of one thing: which of its values, in which epoch, and whether that is sure."""

    number: int
    epoch: int
    is_sure: bool


class StateJudge(Judge):
    """Judges a stream of orders, balances or nonces of up to ten accounts.

    What is told must have been true, and goes forward only. As long as nothing breaks and the consumer is not
    too slow, every value of every block is told. At rest the last word on everything is the truth, except
    what changed within a marked gap.
    """

    def __init__(
        self, world: World, consumer: str, kind: Kind, accounts: tuple[Id, ...], *, seed: bool
    ) -> None:
        super().__init__(world, consumer)
        self.truth = StateTruth(world, kind, accounts)
        self._kind = kind
        self._entries = _ENTRIES[kind]
        self._seed = seed
        self._told: dict[Key, _Told] = {}
        self._count = 0
        self._live_since: int | None = None
        self._exact_after: float | None = None
        self._marked_until = -1.0
        self._joined = world.sim.exchange.now
        self._settled = -inf
        self._unclear: dict[str, float] = {}

    def open(self) -> None:
        """Note that the subscription is made: what changes from now on must come."""
        super().open()
        self._joined = self._world.sim.exchange.now

    def _judge(self, update: Update) -> None:
        if update.origin is Origin.SNAPSHOT and not self._seed:
            self._broken(Promise.EXACT, "a snapshot that nobody asked for")
        if self.epoch is None and self._seed:
            if update.origin not in {Origin.SNAPSHOT, Origin.GAP}:
                self._broken(Promise.EXACT, f"began with {update.origin} instead of the present state")
            # It may have taken long to read the beginning; nothing from before is owed.
            self._joined = self._world.sim.exchange.now
        if update.epoch != self.epoch or update.gap is not None:
            self._live_since = self._exact_after = None
        if update.not_understood:
            self._note_unclear(update)
        entries = () if update.gap is not None else self._entries(update)
        if update.gap is not None:
            self._note_gap(update, update.gap)
        self.truth.pull()
        for key, value in entries:
            self._entry(update, key, value)
        if update.origin is Origin.LIVE and self._live_since is None and self._is_plain:
            self._live_since, self._exact_after = self._world.sim.exchange.now, trio.current_time()

    def _note_gap(self, update: Update, gap: Gap) -> None:
        self._marked_until = max(self._marked_until, gap.until)
        for told in self._told.values():
            told.is_sure = False
        if any(self._entries(update)):
            self._broken(Promise.MARKED, "a gap mark with entries")

    def _note_unclear(self, update: Update) -> None:
        """Take an entry that was not understood for a mark of what it names, or of everything."""
        for entry in update.not_understood:
            name = entry.ids.get("order_id" if self._kind is Kind.ORDERS else "asset_id", "")
            self._unclear[name] = trio.current_time()
            for key, told in self._told.items():
                if not name or name in _names(key):
                    told.is_sure = False

    def _is_unclear(self, key: Key, time: float) -> bool:
        return any(time <= self._unclear.get(name, -inf) for name in ("", *_names(key)))

    def _entry(self, update: Update, key: Key, value: Value) -> None:
        self._count += 1
        history = self.truth.history(key)
        told = self._told.get(key)
        start = 0 if told is None else told.number
        stamp = update.seen_timestamp
        number: int | None = None
        is_sure = False
        if history is not None and update.origin is Origin.LIVE and stamp is not None and self._is_plain:
            number = history.at(stamp, value, start)
            is_sure = number is not None
        may_be_older = not self._must_be_exact(update) or self._is_restated(update, history, value)
        if history is not None and number is None and may_be_older:
            number = history.after(value, start)
        if number is None:
            self._broken(Promise.EXACT, self._untrue(update, key, value, history, told))
        assert history is not None
        if is_sure and self._skipped(history, number, told, update.epoch):
            had = "nothing" if told is None else f"value {told.number}"
            self._broken(
                Promise.EXACT,
                f"{self._kind.value} {key}: value {number} came after {had}, with no mark between",
            )
        self._told[key] = _Told(number, update.epoch, is_sure)

    def _must_be_exact(self, update: Update) -> bool:
        """Tell whether an entry must be that of the block that the update names.

        Not if it was read, nor if it is not plain. A consumer that had received everything gets exact items
        again.
        """
        if update.origin is not Origin.LIVE or update.seen_timestamp is None or not self._is_plain:
            return False
        return self._exact_after is not None and self.had_all > self._exact_after

    def _is_restated(self, update: Update, history: History | None, value: Value) -> bool:
        """Return whether a stream whose first message is the current state restates what was true then."""
        stamp, begins_with = update.seen_timestamp, self._world.sim.flavor.first_message
        if begins_with != "state" or history is None or stamp is None:
            return False
        return history.when(stamp) == value

    @property
    def _is_plain(self) -> bool:
        """Whether a live update was neither held while a break was repaired, nor in a full buffer.

        If it was, it may say the latest of several blocks.
        """
        return not self.conflated and self.had_all > self.restored

    def _untrue(
        self, update: Update, key: Key, value: Value, history: History | None, told: _Told | None
    ) -> str:
        what = f"{self._kind.value} {key} told as {value} ({update.origin.value}, {update.seen_timestamp})"
        if history is None:
            return f"{what}: there is none"
        if value in history.values:
            return f"{what}: value {history.values.index(value)}, not true then; told before: {told}"
        return f"{what}: it never was; last it was {history.values[-1]}"

    def _skipped(self, history: History, number: int, told: _Told | None, epoch: int) -> bool:
        """Tell whether a live value was left out before this one, although nothing broke."""
        if number and told is not None and told.is_sure and told.epoch == epoch:
            return number > told.number + 1
        # Whoever was told something live before in this epoch was there when the value before this one came.
        return (
            told is None
            and not self._unclear
            and self._live_since is not None
            and number > 0
            and history.stamps[number - 1] > self._live_since
        )

    def settle(self, broken: float) -> None:
        """Check that what happened before a break was delivered, or is covered by a mark."""
        until = self._stamp(broken)
        if until > max(self._settled, self._joined) and not (self._seed and self.epoch is None):
            # What comes before the next break is looked at then.
            since, self._settled = self._settled, until
            for key, history in self._present():
                count = bisect_right(history.stamps, until)
                if count and history.stamps[count - 1] > since:
                    self._check_value(key, history, count - 1, Promise.MARKED)

    def finish(self) -> None:
        """Compare the last word on everything with the truth."""
        for key, history in self._present():
            self._check_value(key, history, len(history.values) - 1, Promise.STATE)

    def _present(self) -> Iterator[tuple[Key, History]]:
        """Yield what is still known to the exchange."""
        self.truth.pull()
        era = self._world.eras[-1].number
        for key, history in self.truth.histories.items():
            if self._kind is not Kind.ORDERS or history.era == era:
                yield key, history

    def _stamp(self, time: float) -> float:
        """Return what the exchange's clock showed at a time of Trio's."""
        return self._world.sim.exchange.now - (trio.current_time() - time) * 1e9

    def _check_value(self, key: Key, history: History, number: int, promise: Promise) -> None:
        told, value = self._told.get(key), history.values[number]
        if told is not None and (told.number >= number or history.values[told.number] == value):
            return
        time = moment(self._world, history.stamps[number])
        if time <= self._marked_until or self._is_unclear(key, time):
            return
        if told is None and not self._is_due(history, number):
            return
        known = "nothing" if told is None else history.values[told.number]
        self._broken(promise, f"{self._kind.value} {key}: told {known}, but it is {value}")

    def _is_due(self, history: History, number: int) -> bool:
        """Tell whether something of which nothing was told should have been."""
        joined = self._joined + int(JOIN_SECONDS * 1e9)
        if history.stamps[number] > joined:
            return history.values[number] != history.when(self._joined)
        return self._seed and not (self._kind is Kind.ORDERS and _is_closed(history.values[number]))

    def facts(self) -> tuple[Fact, ...]:
        """Return how many entries there were."""
        return (self._count,)


def _names(key: Key) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


def _is_closed(order: Value) -> bool:
    return bool(order[-2])


def _orders(update: Update) -> Iterable[tuple[Key, Value]]:
    assert isinstance(update, OrderUpdate)
    return [(order.order_id, order_value(order)) for order in update.orders]


def _balances(update: Update) -> Iterable[tuple[Key, Value]]:
    assert isinstance(update, BalanceUpdate)
    return [((entry.identity.id, entry.asset_id), balance_value(entry)) for entry in update.balance]


def _nonces(update: Update) -> Iterable[tuple[Key, Value]]:
    assert isinstance(update, NonceUpdate)
    return [] if update.contract_id is None else [(update.contract_id, (update.nonce,))]


_ENTRIES: dict[Kind, _Entries] = {
    Kind.ORDERS: _orders,
    Kind.BALANCES: _balances,
    Kind.NONCE: _nonces,
}
