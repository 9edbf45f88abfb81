"""Every state that orders, balances and nonces of accounts ever had, in the form in which it is told.

It reads the exchanges' audits, era by era, and goes on from where it was. Who compares with it is in
``_judges_account``; books and trades are in ``_truth``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

import attrs

from ..models import Balance, Id, Order
from ..wire import Kind
from ._world import Era, World

__all__ = ["History", "Key", "StateTruth", "Value", "balance_value", "order_value"]

Key: TypeAlias = Id | tuple[Id, Id]
"""Of an order: its id; of a balance: account and asset; of a nonce: the account."""

Value: TypeAlias = tuple[object, ...]
"""What is compared of an order, a balance or a nonce."""


@attrs.define(slots=True)
class History:
    """The values that one thing took, oldest first, and when (nanoseconds since 1970); `era` of the last."""

    values: list[Value] = attrs.field(factory=list[Value])
    stamps: list[int] = attrs.field(factory=list[int])
    era: int = 0

    def at(self, stamp: int, value: Value, start: int) -> int | None:
        """Return which value from `start` on it is that was taken at `stamp`."""
        first = max(bisect_left(self.stamps, stamp), start)
        numbers = range(first, bisect_right(self.stamps, stamp))
        return next((number for number in numbers if self.values[number] == value), None)

    def after(self, value: Value, start: int) -> int | None:
        """Return the first one from `start` on that is `value`."""
        numbers = range(start, len(self.values))
        return next((number for number in numbers if self.values[number] == value), None)

    def when(self, stamp: int) -> Value | None:
        """Return the value at a time, None if there was none yet."""
        count = bisect_right(self.stamps, stamp)
        return self.values[count - 1] if count else None


def order_value(order: Order) -> Value:
    """Return what is compared of an order."""
    done = (order.quantity_fill, order.price_fill, order.close, order.cancel)
    return (order.side, order.price, order.quantity, *done)


def balance_value(balance: Balance) -> Value:
    """Return what is compared of a balance."""
    return (balance.total_unlocked, balance.total_locked, balance.trading_account_balance)


_Records: TypeAlias = Iterator[tuple[Key, Value, int]]


class StateTruth:
    """Every state of the orders, balances or nonces of some accounts over all eras."""

    def __init__(self, world: World, kind: Kind, accounts: tuple[Id, ...]) -> None:
        pasts = _PASTS.setdefault(world, {})
        for account in accounts:
            if (kind, account) not in pasts:
                pasts[kind, account] = _Past(world, kind, account)
        self._pasts = {account: pasts[kind, account] for account in accounts}
        self._beginning = _KINDS[kind][1]
        self.pull()

    @property
    def histories(self) -> dict[Key, History]:
        """Everything that ever changed, as far as it was pulled, by what it is of."""
        return {key: each for past in self._pasts.values() for key, each in past.histories.items()}

    def pull(self) -> None:
        """Take in what happened since the last time."""
        for past in self._pasts.values():
            past.pull()

    def history(self, key: Key) -> History | None:
        """Return what was true of a thing, None if there is no such thing."""
        for past in self._pasts.values():
            if key in past.histories:
                return past.histories[key]
        account = key if isinstance(key, str) else key[0]
        return _begun(self._beginning) if self._beginning and account in self._pasts else None


class _Past:
    """Every state of the things of one kind of one account, read once for all who look at it.

    Attributes:
      histories: by what they are of.
    """

    def __init__(self, world: World, kind: Kind, account: Id) -> None:
        self.histories: dict[Key, History] = {}
        self._eras = world.eras
        self._account = account
        self._news, self._beginning = _KINDS[kind]
        self._era = 0
        self._records = 0
        self._counts: dict[Key, int] = {}
        markets = world.sim.exchange.markets.markets
        self._assets = sorted({asset.asset for market in markets for asset in (market.base, market.quote)})

    def pull(self) -> None:
        """Take in what happened since the last time."""
        for era in self._eras[self._era :]:
            if era.number > self._era:
                self._era, self._records = era.number, 0
                self._counts.clear()
            if era.audit.records > self._records:
                self._records = era.audit.records
                self._read(era)

    def _read(self, era: Era) -> None:
        for key, value, stamp in self._news(self, era):
            history = self.histories.get(key)
            if history is None:
                history = self.histories[key] = _begun(self._beginning)
            history.values.append(value)
            history.stamps.append(stamp)
            history.era = era.number

    def _skip(self, key: Key, news: Sequence[object]) -> None:
        self._counts[key] = self._counts.get(key, 0) + len(news)

    def _orders(self, era: Era) -> _Records:
        account = self._account
        news = era.audit.orders(account, start=self._counts.get(account, 0))
        self._skip(account, news)
        for record in news:
            yield record.value.order_id, order_value(record.value), record.seen_timestamp

    def _balances(self, era: Era) -> _Records:
        account = self._account
        for asset in self._assets:
            news = era.audit.balances(account, asset, start=self._counts.get((account, asset), 0))
            self._skip((account, asset), news)
            for record in news:
                yield (account, asset), balance_value(record.value), record.seen_timestamp

    def _nonces(self, era: Era) -> _Records:
        account = self._account
        news = era.audit.nonces(account)[self._counts.get(account, 0) :]
        self._skip(account, news)
        for record in news:
            yield account, (record.value,), record.seen_timestamp


_PASTS: WeakKeyDictionary[World, dict[tuple[Kind, Id], _Past]] = WeakKeyDictionary()
"""What was read of each world so far. It must not hold the world itself, or that would stay for ever."""


def _begun(beginning: tuple[Value, ...]) -> History:
    return History(list(beginning), [0] * len(beginning))


_KINDS: dict[Kind, tuple[Callable[[_Past, Era], _Records], tuple[Value, ...]]] = {
    Kind.ORDERS: (_Past._orders, ()),
    Kind.BALANCES: (_Past._balances, ((0, 0, 0),)),
    Kind.NONCE: (_Past._nonces, ((0,),)),
}
"""How each kind is read, and what is true before the first record."""
