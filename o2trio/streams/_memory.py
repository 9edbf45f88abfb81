"""What a topic of orders, balances or nonces remembers: the latest of each thing. No I/O.

It tells news from what is known already, so that a read after a break delivers changes only, and makes
the state that a consumer may ask for at its beginning.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..models import NonceUpdate, NotUnderstood, Order, Origin, TriggerOrder
from ..wire import AnyUpdate, Kind
from ._topics import Behaviour, EntryKey

__all__ = ["StateMemory"]


class StateMemory:
    """The latest entry of each order, (account, asset) or account.

    Attributes:
      latest: the entries by key, longest unchanged first.
      unclear: entries since then that were not understood, by key: what `latest` says is out of date.
      newest_order: when the newest order was created that was read, as the exchange says it.
      is_complete: whether it knows how things stood at the beginning, not only what changed since.
    """

    def __init__(self, behaviour: Behaviour, limit: int) -> None:
        self.latest: dict[EntryKey, object] = {}
        self.unclear: dict[EntryKey, NotUnderstood] = {}
        self.is_complete = False
        self.newest_order: int | None = None
        self._behaviour = behaviour
        self._limit = limit

    def note(self, update: AnyUpdate, *, keep_all: bool = False) -> None:
        """Remember what a delivered update says.

        Args:
          update: as delivered.
          keep_all: of closed orders keep more than a limited number: older state is being read, in which one
            that was forgotten would be open again.
        """
        latest = self.latest
        if self.unclear or update.not_understood:
            self._note_unclear(update)
        for key, entry in self._split(update):
            latest.pop(key, None)
            latest[key] = entry
        if len(latest) > self._limit and not keep_all:
            # A tenth more than needed, so that it is not done for every update.
            closed = [key for key, entry in latest.items() if isinstance(entry, Order) and not entry.is_open]
            for key in closed[: len(latest) - self._limit * 9 // 10]:
                del latest[key]

    def forget(self) -> None:
        """Forget everything, because it may be untrue after a gap."""
        self.latest.clear()
        self.unclear.clear()
        self.is_complete = False
        self.newest_order = None

    def learn(self, updates: Iterable[AnyUpdate]) -> None:
        """Take in how things stood at the beginning; what is known already is newer."""
        self.is_complete = True
        for update in updates:
            for key, entry in self._split(update):
                self.latest.setdefault(key, entry)
                if isinstance(entry, Order) and entry.timestamp is not None:
                    self.newest_order = max(self.newest_order or 0, entry.timestamp)

    def news(self, read: Iterable[AnyUpdate], held: Iterable[AnyUpdate]) -> list[AnyUpdate]:
        """Return what of `read` is news, without that which a `held` live update says more about."""
        join, is_news = self._behaviour.join, self._behaviour.is_news
        assert join is not None
        assert is_news is not None
        newer = {key for update in held for key, _ in self._split(update)}
        result: list[AnyUpdate] = []
        for update in read:
            entries = [
                entry
                for key, entry in self._split(update)
                if key not in newer and (is_news(self.latest.get(key), entry) or self._clears(key, entry))
            ]
            result += join(update, entries)
        return result

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
            if isinstance(entry, NotUnderstood) and isinstance(key, str):
                unclear[key] = entry
        while len(unclear) > self._limit:
            del unclear[next(iter(unclear))]

    def state(self, blank: AnyUpdate) -> list[AnyUpdate]:
        """Return the present state as snapshots; of orders only the open ones.

        Args:
          blank: an update without entries, to fill; itself the answer if there are none. A nonce cannot
            be blank: of an account that does not exist nothing is said.
        """
        join = self._behaviour.join
        assert join is not None
        entries = [
            entry
            for key, entry in self.latest.items()
            if key not in self.unclear and (not isinstance(entry, Order) or entry.is_open)
        ]
        entries += self.unclear.values()
        filled = join(blank, entries) or ([] if isinstance(blank, NonceUpdate) else [blank])
        return [
            attrs.evolve(update, origin=Origin.SNAPSHOT, epoch=blank.epoch, gap=None) for update in filled
        ]

    def _split(self, update: AnyUpdate) -> Iterable[tuple[EntryKey, object]]:
        """Return what can be remembered of `update`. Of trigger orders no read tells when they end."""
        split = self._behaviour.entries
        if split is None or update.origin is Origin.GAP:
            return ()
        entries = split(update)
        if update.not_understood or getattr(update, "triggers", ()):
            return [pair for pair in entries if not isinstance(pair[1], (NotUnderstood, TriggerOrder))]
        return entries


REMEMBERED = frozenset({Kind.ORDERS, Kind.BALANCES, Kind.NONCE})
"""The kinds of streams that have such a memory."""
