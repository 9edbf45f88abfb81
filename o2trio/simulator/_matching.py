"""One order book: price-time priority on integers. No accounts, no fees, no clock, no I/O.

The book moves quantities between orders and records by how much each price level changed. Who owns an
order, what it is allowed to cost and what happens to the money is decided elsewhere (``_exchange``).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

import attrs

from ..models import Fill, Id, Identity, Level, OrderType, Side

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


class _Queue:
    """The orders of one price level in time order, and their total size."""

    __slots__ = ("orders", "total")

    def __init__(self) -> None:
        self.orders: dict[Id, BookOrder] = {}
        self.total = 0


class _BookSide:
    """One side. Keys are prices times a sign that makes the best price the largest key."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._sign = 1 if side is Side.BUY else -1
        self._keys: list[int] = []
        self._queues: dict[int, _Queue] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def best(self) -> tuple[int, _Queue] | None:
        if not self._keys:
            return None
        key = self._keys[-1]
        return key * self._sign, self._queues[key]

    def accepts(self, price: int, limit: int) -> bool:
        """Whether a taker with this limit may trade at `price` of this side."""
        return price * self._sign >= limit * self._sign

    def queues(self) -> Iterator[tuple[int, _Queue]]:
        """Yield (price, queue), best first."""
        for key in reversed(self._keys):
            yield key * self._sign, self._queues[key]

    def add(self, order: BookOrder) -> None:
        key = order.price * self._sign
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue()
            insort(self._keys, key)
        queue.orders[order.order_id] = order
        queue.total += order.remaining

    def reduce(self, order: BookOrder, price: int, quantity: int, *, gone: bool) -> None:
        """Take `quantity` off the level at `price`, and the order with it if it is `gone`."""
        key = price * self._sign
        queue = self._queues[key]
        queue.total -= quantity
        if gone:
            del queue.orders[order.order_id]
            if not queue.orders:
                del self._queues[key]
                del self._keys[bisect_left(self._keys, key)]


class OrderBook:
    """The resting orders of one market."""

    def __init__(self) -> None:
        self._sides = {side: _BookSide(side) for side in Side}
        self._changes: dict[tuple[Side, int], int] = {}

    def best(self, side: Side) -> int | None:
        """Return the best price of `side`, or None when it is empty."""
        best = self._sides[side].best()
        return None if best is None else best[0]

    def levels(self, side: Side) -> tuple[Level, ...]:
        """Return all levels of `side` with absolute sizes, best first."""
        return tuple(Level(price, queue.total) for price, queue in self._sides[side].queues())

    def depth(self, side: Side) -> int:
        """Return the number of levels of `side`."""
        return len(self._sides[side])

    def fillable(self, side: Side, limit: int, quantity: int) -> int:
        """Return how much of `quantity` a taker on `side` could get without passing `limit`."""
        opposite, found = self._sides[side.opposite], 0
        for price, queue in opposite.queues():
            if found >= quantity or not opposite.accepts(price, limit):
                break
            found += queue.total
        return min(found, quantity)

    def match(self, taker: BookOrder) -> Iterator[Match]:
        """Fill `taker` from the other side, best price first, oldest order first.

        Each step changes the two orders and the book before it yields; the caller settles it.
        """
        opposite = self._sides[taker.side.opposite]
        while taker.remaining and (best := opposite.best()) is not None:
            price, queue = best
            if not opposite.accepts(price, taker.limit):
                return
            maker = next(iter(queue.orders.values()))
            quantity = min(maker.remaining, taker.remaining)
            maker.fill(price, quantity)
            taker.fill(price, quantity)
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
        self._changes[side, price] = self._changes.get((side, price), 0) + change
