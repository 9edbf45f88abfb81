"""Every state that orders, balances and nonces of accounts ever had, in the form in which it is told.

It reads the exchanges' audits, era by era, and goes on from where it was. Who compares with it is in
``_judges_account``; books and trades are in ``_truth``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import TypeAlias

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
    """Every state of the orders, balances or nonces of some accounts over all eras.

    Attributes:
      histories: by what they are of, as far as they ever changed; filled by :meth:`pull`.
    """

    def __init__(self, world: World, kind: Kind, accounts: tuple[Id, ...]) -> None:
        self.histories: dict[Key, History] = {}
        self._world = world
        self._accounts = accounts
        self._read, self._beginning = _KINDS[kind]
        self._era = 0
        self._counts: dict[Key, int] = {}
        markets = world.sim.exchange.markets.markets
        self._assets = sorted({asset.asset for market in markets for asset in (market.base, market.quote)})
        self.pull()

    def pull(self) -> None:
        """Take in what happened since the last time."""
        for era in self._world.eras[self._era :]:
            if era.number > self._era:
                self._era = era.number
                self._counts.clear()
            for key, value, stamp in self._read(self, era):
                history = self.histories.get(key)
                if history is None:
                    history = self.histories[key] = History(list(self._beginning), [0] * len(self._beginning))
                history.values.append(value)
                history.stamps.append(stamp)
                history.era = era.number

    def history(self, key: Key) -> History | None:
        """Return what was true of a thing, None if there is no such thing."""
        if key not in self.histories and self._beginning:
            account = key if isinstance(key, str) else key[0]
            if account in self._accounts:
                return History(list(self._beginning), [0] * len(self._beginning))
        return self.histories.get(key)

    def _news(self, key: Key, count: int) -> None:
        self._counts[key] = self._counts.get(key, 0) + count

    def _orders(self, era: Era) -> _Records:
        for account in self._accounts:
            news = era.audit.orders(account, start=self._counts.get(account, 0))
            self._news(account, len(news))
            for record in news:
                yield record.value.order_id, order_value(record.value), record.seen_timestamp

    def _balances(self, era: Era) -> _Records:
        for account in self._accounts:
            for asset in self._assets:
                news = era.audit.balances(account, asset, start=self._counts.get((account, asset), 0))
                self._news((account, asset), len(news))
                for record in news:
                    yield (account, asset), balance_value(record.value), record.seen_timestamp

    def _nonces(self, era: Era) -> _Records:
        for account in self._accounts:
            news = era.audit.nonces(account)[self._counts.get(account, 0) :]
            self._news(account, len(news))
            for record in news:
                yield account, (record.value,), record.seen_timestamp


_KINDS: dict[Kind, tuple[Callable[[StateTruth, Era], _Records], tuple[Value, ...]]] = {
    Kind.ORDERS: (StateTruth._orders, ()),
    Kind.BALANCES: (StateTruth._balances, ((0, 0, 0),)),
    Kind.NONCE: (StateTruth._nonces, ((0,),)),
}
"""How each kind is read, and what is true before the first record."""
