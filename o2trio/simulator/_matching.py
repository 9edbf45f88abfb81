"""One order book: price-time priority on integers. No accounts, no fees, no clock, no I/O.

The book moves quantities between orders and records by how much each price level changed. Who owns an
order, what it is allowed to cost and what happens to the money is decided elsewhere (``_exchange``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import starmap
from typing import NamedTuple

import attrs

from ..models import Fill, Id, Identity, Level, OrderType, Side
from ._journal import Journal

__all__ = ["FILLS_KEPT", "BookOrder", "LevelChange", "Match", "OrderBook"]

FILLS_KEPT = 50
"""An order remembers this many of its latest fills and transactions."""


class LevelChange(NamedTuple):
    """By how much the size of one price level changed; `change` is signed."""

    side: Side
    price: int
    change: int


class Match(NamedTuple):
    """One fill: the resting order, its price, the quantity."""

    maker: BookOrder
    price: int
    quantity: int


@attrs.define(slots=True, eq=False, kw_only=True)
class BookOrder:
    """The living record of one order.

    Attributes:
      order_id, owner, market_id, side, order_type, price, quantity, timestamp: as in
        :class:`o2trio.models.Order`; `timestamp` in seconds.
      created: nanoseconds since 1970.
      escrow: what the book still holds for it, quote units for a buy and base units for a sell.
      filled: filled so far, base units.
      filled_value: sum of price times quantity of all fills.
      close, cancel: no longer on the book; closed by cancellation.
      fills, history: the latest fills and ``(tx_id, type)`` entries.
    """

    order_id: Id
    owner: Identity
    market_id: Id
    side: Side
    order_type: OrderType
    price: int
    quantity: int
    created: int
    escrow: int = 0
    filled: int = 0
    filled_value: int = 0
    close: bool = False
    cancel: bool = False
    fills: tuple[Fill, ...] = ()
    history: tuple[tuple[Id, str], ...] = ()

    @property
    def timestamp(self) -> int:
        """When it was placed, seconds since 1970."""
        return self.created // 1_000_000_000

    @property
    def is_partially_filled(self) -> bool:
        """Whether it was filled, but not completely."""
        return 0 < self.filled < self.quantity

    @property
    def remaining(self) -> int:
        """What is not filled yet, base units."""
        return self.quantity - self.filled

    @property
    def price_fill(self) -> int:
        """Volume-weighted fill price, rounded down; 0 when nothing was filled."""
        return self.filled_value // self.filled if self.filled else 0

    @property
    def limit(self) -> int:
        """The worst price at which the order may trade."""
        bound = self.order_type.max_price if self.side is Side.BUY else self.order_type.min_price
        return self.price if bound is None else bound

    def fill(self, price: int, quantity: int) -> None:
        """Add one fill."""
        self.filled += quantity
        self.filled_value += price * quantity

    def note(self, tx_id: Id, kind: str) -> None:
        """Remember a transaction that touched the order."""
        self.history = (*self.history, (tx_id, kind))[-FILLS_KEPT:]

    def copy(self) -> BookOrder:
        """Return the record as it is now."""
        return attrs.evolve(self)


class _BookSide:
    """One side. Keys are prices times a sign that makes the best price the largest key."""

    def __init__(self, side: Side, journal: Journal) -> None:
        self.side = side
        self._journal = journal
        self._sign = 1 if side is Side.BUY else -1
        self._keys: list[int] = []
        self._queues: dict[int, dict[Id, BookOrder]] = {}
        """The orders of each price level in time order."""
        self._totals: dict[int, int] = {}
        """The size of each price level."""

    def __len__(self) -> int:
        return len(self._keys)

    def best(self) -> tuple[int, BookOrder] | None:
        """Return the best price and the order whose turn it is there."""
        if not self._keys:
            return None
        key = self._keys[-1]
        return key * self._sign, next(iter(self._queues[key].values()))

    def accepts(self, price: int, limit: int) -> bool:
        """Whether a taker with this limit may trade at `price` of this side."""
        return price * self._sign >= limit * self._sign

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Yield (price, size) of the levels, best first."""
        for key in reversed(self._keys):
            yield key * self._sign, self._totals[key]

    def add(self, order: BookOrder) -> None:
        key, journal = order.price * self._sign, self._journal
        queue = self._queues.get(key)
        if queue is None:
            queue = dict[Id, BookOrder]()
            journal.put(self._queues, key, queue)
            journal.insert(self._keys, bisect_left(self._keys, key), key)
        journal.put(queue, order.order_id, order)
        journal.put(self._totals, key, self._totals.get(key, 0) + order.remaining)

    def reduce(self, order: BookOrder, price: int, quantity: int, *, gone: bool) -> None:
        """Take `quantity` off the level at `price`, and the order with it if it is `gone`."""
        key, journal = price * self._sign, self._journal
        journal.put(self._totals, key, self._totals[key] - quantity)
        if gone:
            queue = self._queues[key]
            journal.drop(queue, order.order_id)
            if not queue:
                journal.drop(self._queues, key)
                journal.drop(self._totals, key)
                at = bisect_left(self._keys, key)
                journal.cut(self._keys, at, at + 1)


class OrderBook:
    """The resting orders of one market.

    Args:
      journal: makes every change; one of its own by default.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = Journal() if journal is None else journal
        self._sides = {side: _BookSide(side, self._journal) for side in Side}
        self._changes: dict[tuple[Side, int], int] = {}

    def best(self, side: Side) -> int | None:
        """Return the best price of `side`, or None when it is empty."""
        best = self._sides[side].best()
        return None if best is None else best[0]

    def levels(self, side: Side) -> tuple[Level, ...]:
        """Return all levels of `side` with absolute sizes, best first."""
        return tuple(starmap(Level, self.sizes(side)))

    def sizes(self, side: Side) -> Iterator[tuple[int, int]]:
        """Yield price and absolute size of each level of `side`, best first."""
        return self._sides[side].sizes()

    def depth(self, side: Side) -> int:
        """Return the number of levels of `side`."""
        return len(self._sides[side])

    def fillable(self, side: Side, limit: int, quantity: int) -> int:
        """Return how much of `quantity` a taker on `side` could get without passing `limit`."""
        opposite, found = self._sides[side.opposite], 0
        for price, size in opposite.sizes():
            if found >= quantity or not opposite.accepts(price, limit):
                break
            found += size
        return min(found, quantity)

    def match(self, taker: BookOrder, affordable: Callable[[int], int] | None = None) -> Iterator[Match]:
        """Fill `taker` from the other side, best price first, oldest order first.

        Each step changes the two orders and the book before it yields; the caller settles it.

        Args:
          taker: what comes in.
          affordable: returns how much of it can be paid at a price, at the time of asking.
        """
        opposite = self._sides[taker.side.opposite]
        while taker.remaining and (best := opposite.best()) is not None:
            price, maker = best
            quantity = min(maker.remaining, taker.remaining)
            if affordable is not None:
                quantity = min(quantity, affordable(price))
            if not quantity or not opposite.accepts(price, taker.limit):
                return
            for order in (maker, taker):
                self._journal.keep(order)
                order.fill(price, quantity)
            opposite.reduce(maker, price, quantity, gone=not maker.remaining)
            self._record(opposite.side, price, -quantity)
            yield Match(maker, price, quantity)

    def rest(self, order: BookOrder) -> None:
        """Put what remains of `order` at the end of its level's queue."""
        self._sides[order.side].add(order)
        self._record(order.side, order.price, order.remaining)

    def remove(self, order: BookOrder) -> None:
        """Take a resting order off the book."""
        self._sides[order.side].reduce(order, order.price, order.remaining, gone=True)
        self._record(order.side, order.price, -order.remaining)

    def changes(self) -> list[LevelChange]:
        """Return the net change of each level since the last :meth:`take_changes`, zeros left out."""
        return [LevelChange(side, price, change) for (side, price), change in self._changes.items() if change]

    def take_changes(self) -> list[LevelChange]:
        """Return :meth:`changes` and begin anew."""
        changes = self.changes()
        self._changes.clear()
        return changes

    def _record(self, side: Side, price: int, change: int) -> None:
        self._journal.put(self._changes, (side, price), self._changes.get((side, price), 0) + change)
