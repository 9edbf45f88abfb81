"""What a topic of orders, balances or nonces remembers: the latest of each thing. No I/O.

It recognizes what is news, so that a read after a break delivers changes only, and makes the state that a
consumer may ask for at its beginning.

The state is read in *parts*, each with an answer of its own: the orders of one account in one market, one
balance, one nonce. A part that could not be read makes nothing uncertain but itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType

import attrs

from ..models import Id, Identity, NonceUpdate, NotUnderstood, Order, Origin, TriggerOrder
from ..models._common import moment_from
from ..wire import AnyUpdate, Kind
from ._topics import Behaviour, EntryKey

__all__ = ["DAY_SECONDS", "NOTHING_READ", "StateMemory", "created_at", "newest_of", "order_part"]

_LIVE = Origin.LIVE

NOTHING_READ: Mapping[Hashable, int | None] = MappingProxyType({})
"""The parts that were read where none was."""


DAY_SECONDS = 86_400
"""A creation time that is further than this from those of all other orders is not believed."""


def created_at(order: Order) -> int | None:
    """Return when an order was created, in whole seconds since 1970; None if that is not known.

    A stream and an answer over REST may send the time of one order in different units. Whole seconds are what
    every unit can express.
    """
    moment = moment_from(order.timestamp)
    return None if moment is None else moment // 1_000


def newest_of(orders: Iterable[Order], known: int = 0) -> int:
    """Return the creation time of the newest of `orders`, or `known` if that is newer.

    A time without another one within :data:`DAY_SECONDS` before it is not believed. If the time is right
    after all, the next repair reads a few orders more.
    """
    times = sorted((known, *(time for time in map(created_at, orders) if time is not None)), reverse=True)
    return next((new for new, old in pairwise(times) if new - old <= DAY_SECONDS), known)


def order_part(market_id: Id | None, owner: Identity | None) -> Hashable:
    """Return the name of the part that an order belongs to."""
    return market_id, owner


def _unclear_key(entry: NotUnderstood) -> EntryKey:
    """Return what two messages or answers with one entry that was not understood have in common."""
    return entry.ids.get("order_id") or repr(entry.raw)


class StateMemory:
    """The latest entry of each order, (account, asset) or account.

    Attributes:
      latest: the entries by key, longest unchanged first.
      unclear: entries that were not understood, by key: what `latest` says of the same thing is out of date.
      is_complete: whether it knows the whole state, not only what has changed since the beginning.
      read_to: the parts that are known, each with the creation time of its newest known order
        (:func:`newest_of`): 0 if there was none, None if it is unknown or the part holds no orders.
      baseline: the same of the parts that were known before the break that is under repair.
    """

    def __init__(self, behaviour: Behaviour, limit: int) -> None:
        self.latest: dict[EntryKey, object] = {}
        self.unclear: dict[EntryKey, NotUnderstood] = {}
        self.is_complete = False
        self.read_to: dict[Hashable, int | None] = {}
        self.baseline: dict[Hashable, int | None] = {}
        self._told: set[EntryKey] | None = None
        self._read: set[EntryKey] = set()
        self._behaviour = behaviour
        self._limit = limit

    def note(self, update: AnyUpdate, *, keep_all: bool = False) -> None:
        """Remember what a delivered update says.

        Args:
          update: as delivered.
          keep_all: of closed orders keep more than a limited number: older state is being read, in which one
            that was forgotten would be open again. So it is while a break is under repair.
        """
        latest = self.latest
        if self.unclear or update.not_understood:
            self._note_unclear(update)
        for key, entry in self._split(update):
            latest.pop(key, None)
            latest[key] = entry
        if self._told is not None and update.origin is _LIVE:
            self._told.update(key for key, _ in self._split(update))
        if len(latest) > self._limit and not keep_all and self._told is None:
            # A tenth more than needed, so that it is not done for every update.
            closed = [key for key, entry in latest.items() if isinstance(entry, Order) and not entry.is_open]
            for key in closed[: len(latest) - self._limit * 9 // 10]:
                del latest[key]

    def broke(self, *, was_whole: bool) -> None:
        """Note a break: what live updates say from now on is newer than what a repair will read.

        Args:
          was_whole: nothing was missing until now, so every order up to the newest known one is known.
        """
        if was_whole:
            orders: defaultdict[Hashable, list[Order]] = defaultdict(list)
            for entry in self.latest.values():
                if isinstance(entry, Order):
                    orders[order_part(entry.market_id, entry.owner)].append(entry)
            for part, known in self.read_to.items():
                if known is not None:
                    self.read_to[part] = newest_of(orders[part], known)
            self.baseline = self.read_to
        self.read_to = {}
        self._told, self._read = set(), set()

    @property
    def is_crowded(self) -> bool:
        """Whether live updates said more since the break than may be remembered."""
        return self._told is not None and len(self._told) > self._limit

    def forget(self) -> None:
        """Forget what may be untrue after a gap: what was neither received live nor read since the break."""
        current = self._read.union(self._told or ())
        self.latest = {key: entry for key, entry in self.latest.items() if key in current}
        self.unclear.clear()

    def done(self, *, is_complete: bool) -> None:
        """Note the end of a reading.

        Args:
          is_complete: whether the whole state is known now.
        """
        self.is_complete = is_complete
        self.baseline.clear()
        self._told, self._read = None, set()

    def learn(
        self,
        updates: Iterable[AnyUpdate],
        read_to: Mapping[Hashable, int | None] = NOTHING_READ,
        held: Iterable[AnyUpdate] = (),
    ) -> bool:
        """Take in what was read, by now or in part; what is known already is newer.

        Args:
          updates: the state as updates.
          read_to: the parts that were read; see the class.
          held: live updates that are still to be delivered. What they say more about was not delivered as it
            was read, so it is not known: a break may come before they are.

        Returns:
          whether any part was not known before.
        """
        waiting = self._keys(held)
        for update in updates:
            for row in update.not_understood:
                if _unclear_key(row) not in (self._told or ()) and _unclear_key(row) not in waiting:
                    self.unclear.setdefault(_unclear_key(row), row)
            for key, entry in self._split(update):
                if key not in waiting:
                    self.latest.setdefault(key, entry)
                    self._read.add(key)
        self._forget_oldest_unclear()
        gained = bool(read_to.keys() - self.read_to.keys())
        self.read_to.update(read_to)
        return gained

    def news(self, read: Iterable[AnyUpdate], held: Iterable[AnyUpdate] = ()) -> list[AnyUpdate]:
        """Return what of `read` is news, without what live updates since the break say more about.

        Those are the ones that were delivered, and those that are `held`. Rows that were not understood come
        in an update without entries.
        """
        join, is_news = self._behaviour.join, self._behaviour.is_news
        assert join is not None
        assert is_news is not None
        newer = self._keys(held).union(self._told or ())
        result: list[AnyUpdate] = []
        for update in read:
            entries = [
                entry
                for key, entry in self._split(update)
                if key not in newer and (is_news(self.latest.get(key), entry) or self._clears(key, entry))
            ]
            result += join(update, entries)
            unclear: list[object] = [row for row in update.not_understood if self._is_new(row, newer)]
            result += join(update, unclear)
        return result

    def _is_new(self, row: NotUnderstood, newer: Container[EntryKey]) -> bool:
        key = _unclear_key(row)
        known = self.unclear.get(key)
        return key not in newer and (known is None or known.raw != row.raw)

    def clarified(self, read: Iterable[AnyUpdate]) -> list[AnyUpdate]:
        """Return what of `read` says what an entry that was not understood could not."""
        join = self._behaviour.join
        assert join is not None
        result: list[AnyUpdate] = []
        for update in read:
            result += join(update, [entry for key, entry in self._split(update) if self._clears(key, entry)])
        return result

    def _clears(self, key: EntryKey, read: object) -> bool:
        """Whether `read` is about something unclear, and no older than the state that was last known."""
        is_news, known = self._behaviour.is_news, self.latest.get(key)
        assert is_news is not None
        return key in self.unclear and (known is None or is_news(known, read) or not is_news(read, known))

    def _note_unclear(self, update: AnyUpdate) -> None:
        """Remember what `update` could not say, and forget what it does say."""
        split, unclear = self._behaviour.entries, self.unclear
        for key, entry in () if split is None else split(update):
            unclear.pop(key, None)
            # A live entry without a name is about nothing that a later one could say more about.
            if isinstance(entry, NotUnderstood) and ("order_id" in entry.ids or update.origin is not _LIVE):
                unclear[_unclear_key(entry)] = entry
        self._forget_oldest_unclear()

    def _forget_oldest_unclear(self) -> None:
        while len(self.unclear) > self._limit:
            del self.unclear[next(iter(self.unclear))]

    def state(self, blank: AnyUpdate, origin: Origin = Origin.SNAPSHOT) -> list[AnyUpdate]:
        """Return the present state as snapshots; of orders only the open ones.

        Args:
          blank: an update without entries, to fill; itself the answer if there are none. A nonce cannot
            be blank: of an account that does not exist nothing is said.
          origin: of the answer; a part of the state is a ``BACKFILL``, and nothing if there are no entries.
        """
        join = self._behaviour.join
        assert join is not None
        entries = [
            entry
            for key, entry in self.latest.items()
            if key not in self.unclear and (not isinstance(entry, Order) or entry.is_open)
        ]
        entries += self.unclear.values()
        filled = join(blank, entries)
        if not filled and origin is Origin.SNAPSHOT and not isinstance(blank, NonceUpdate):
            filled = [blank]
        return [attrs.evolve(update, origin=origin, epoch=blank.epoch, gap=None) for update in filled]

    def _keys(self, updates: Iterable[AnyUpdate]) -> set[EntryKey]:
        return {key for update in updates for key, _ in self._split(update)}

    def _split(self, update: AnyUpdate) -> Iterable[tuple[EntryKey, object]]:
        """Return what can be remembered of `update`. No read says when trigger orders end."""
        split = self._behaviour.entries
        if split is None or update.origin is Origin.GAP:
            return ()
        entries = split(update)
        if update.not_understood or getattr(update, "triggers", ()):
            return [pair for pair in entries if not isinstance(pair[1], (NotUnderstood, TriggerOrder))]
        return entries


REMEMBERED = frozenset({Kind.ORDERS, Kind.BALANCES, Kind.NONCE})
"""The kinds of streams that have such a memory."""
