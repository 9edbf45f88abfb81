"""An order book kept from depth messages: exact integers, self-checking, without any I/O.

Each side is a dictionary of sizes by price; its prices are also in one sorted list whose best price is at its
end, so that changes near the top of the book move little memory.

A snapshot is taken as it comes, as far as it can be true. An empty level is dropped. A price that is named
more than once gets the sum of its sizes, as differences of one price add up. A best bid above the best ask
may come from grouping. Only a negative size is refused. A live change is checked more strictly, because it
can reveal a lost message: it may not make a size negative, nor cross a book that was not crossed.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from fractions import Fraction
from itertools import islice
from operator import length_hint, neg
from typing import NoReturn

from .._errors import BookInconsistent, InvalidRequest
from ..models import DepthChanges, DepthUpdate, Level, Origin, Side

__all__ = ["DepthBook", "ReadOnlyBook"]

_SPARE = 64
"""Empty levels that a side may keep, beside as many as it had others when it was last swept."""

_SNAPSHOT = Origin.SNAPSHOT


class _BookSide(dict[int, int]):
    """The sizes of one side by price. ``sign`` is 1 for bids and -1 for asks; ``ranks`` are ``sign * price``.

    The best rank is the last. A level that became empty stays where it was, with size 0, unless it is the
    best: most come back soon, and to take a price out costs as much as to put it in. Now and then all empty
    ones are swept out.
    """

    __slots__ = ("ranks", "sign", "sweep_at")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.load({}, [])

    def load(self, sizes: Mapping[int, int], ranks: list[int]) -> None:
        """Take levels that are none of them empty, and their prices in order."""
        self.clear()
        self.update(sizes)
        self.ranks = ranks
        self.sweep_at = 2 * len(ranks) + _SPARE

    def count(self) -> int:
        return len(self) - list(self.values()).count(0)

    def best(self) -> Level | None:
        if not self.ranks:
            return None
        price = self.sign * self.ranks[-1]
        return Level(price, self[price])

    def levels(self, count: int | None = None) -> tuple[Level, ...]:
        prices = (self.sign * rank for rank in reversed(self.ranks))
        return tuple([Level(price, self[price]) for price in islice(filter(self.get, prices), count)])

    def volume_to(self, price: int) -> int:
        limit = self.sign * price
        return sum(self[self.sign * rank] for rank in self.ranks[bisect_left(self.ranks, limit) :])

    def vwap(self, quantity: int) -> Fraction | None:
        total, missing = 0, quantity
        for rank in reversed(self.ranks):
            price = self.sign * rank
            taken = min(self[price], missing)
            total += price * taken
            missing -= taken
            if not missing:
                return Fraction(total, quantity)
        return None

    def add(self, changes: tuple[Level, ...]) -> int:
        """Add differences one by one, up to one that does not fit; return how many are left."""
        rest, fits = iter(changes), True
        try:
            for level in rest:
                price = level.price
                size = self[price] + level.quantity
                if size < 0:
                    fits = False
                    break
                self[price] = size
        except TypeError:
            fits = False  # A level of something else than integers fits nowhere.
        if self.ranks and not self[self.sign * self.ranks[-1]]:
            self._settle()
        return 0 if fits else 1 + length_hint(rest)

    def refuse(self, change: Level) -> NoReturn:
        """Tell why `change` was not added."""
        size = self.get(change.price, 0) + change.quantity
        raise BookInconsistent(f"the size at price {change.price} would become {size}")

    def __missing__(self, price: int) -> int:
        """Make an empty level of a price that is looked for."""
        if not isinstance(price, int):
            raise TypeError(f"a price is an integer, not {price!r:.40}")
        ranks = self.ranks
        if len(ranks) >= self.sweep_at:
            self._sweep()
        insort(ranks, self.sign * price)
        self[price] = 0
        return 0

    def _settle(self) -> None:
        """Take empty levels away from the front, so that the best one is none of them."""
        ranks, sign = self.ranks, self.sign
        while ranks and not self[sign * ranks[-1]]:
            del self[sign * ranks.pop()]

    def _sweep(self) -> None:
        for empty in [price for price, size in self.items() if not size]:
            del self[empty]
        self.ranks[:] = sorted(self.sign * price for price in self)
        self.sweep_at = 2 * len(self.ranks) + _SPARE


class ReadOnlyBook:
    """One market's bids and asks, to look at. Prices and quantities are chain units, all numbers exact.

    A `side` always names the side of the **book**: ``buy`` the bids, ``sell`` the asks. So what a buyer
    would meet is on the side ``sell``.
    """

    __slots__ = ("_asks", "_bids")

    _bids: _BookSide
    _asks: _BookSide

    def __len__(self) -> int:
        """How many levels both sides have together."""
        return self._bids.count() + self._asks.count()

    def __repr__(self) -> str:
        bids, asks = self._bids.count(), self._asks.count()
        return f"<{type(self).__name__}: {bids} bids to {self.best_bid}, {asks} asks from {self.best_ask}>"

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, or None."""
        return self._bids.best()

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, or None."""
        return self._asks.best()

    @property
    def mid(self) -> Fraction | None:
        """Half way between best bid and best ask, exact; None if a side is empty."""
        bids, asks = self._bids.ranks, self._asks.ranks
        return Fraction(bids[-1] - asks[-1], 2) if bids and asks else None

    @property
    def spread(self) -> int | None:
        """Best ask minus best bid; None if a side is empty."""
        bids, asks = self._bids.ranks, self._asks.ranks
        return -asks[-1] - bids[-1] if bids and asks else None

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid lies above the best ask, as it may where prices are grouped coarsely.

        Then :attr:`spread` is negative.
        """
        return _are_crossed(self._bids.ranks, self._asks.ranks)

    @property
    def bids(self) -> tuple[Level, ...]:
        """All bids, best first."""
        return self._bids.levels()

    @property
    def asks(self) -> tuple[Level, ...]:
        """All asks, best first."""
        return self._asks.levels()

    def levels(self, side: Side, count: int | None = None) -> tuple[Level, ...]:
        """Return the best `count` levels (None: all) of one side, best first."""
        return self._side(side).levels(count)

    def size(self, side: Side, price: int) -> int:
        """Return the size at one price, 0 if there is no such level."""
        return self._side(side).get(price, 0)

    def volume_to(self, side: Side, price: int) -> int:
        """Return the size of all levels of one side from its best up to and including `price`."""
        return self._side(side).volume_to(price)

    def vwap(self, side: Side, quantity: int) -> Fraction | None:
        """Return the average price, weighted by size, of the best `quantity` of one side.

        It is exact. None if the side does not hold so much.

        Raises:
          InvalidRequest: `quantity` is not above zero.
        """
        if quantity <= 0:
            raise InvalidRequest(f"an average needs a quantity above zero, not {quantity!r:.40}")
        return self._side(side).vwap(quantity)

    def changes(self) -> DepthChanges:
        """Return the whole book as the body of a snapshot."""
        return DepthChanges(self.bids, self.asks)

    def _side(self, side: Side) -> _BookSide:
        # By value, not identity: the plain word "buy" must not mean the asks.
        if side == Side.BUY:
            return self._bids
        if side == Side.SELL:
            return self._asks
        raise InvalidRequest(f"a side is 'buy' (bids) or 'sell' (asks), not {side!r:.40}")


class DepthBook(ReadOnlyBook):
    """Keep one market's bids and asks from a stream of depth updates.

    Works without a connection too, so a recorded stream can be replayed into it. What can be asked of it
    is described at :class:`ReadOnlyBook`.

    Attributes:
      tidied: whether the last snapshot had an empty level, or named a price more than once.
    """

    __slots__ = ("tidied",)

    def __init__(self) -> None:
        self.tidied = False
        self._bids = _BookSide(1)
        self._asks = _BookSide(-1)

    def read_only(self) -> ReadOnlyBook:
        """Return a view of this book that follows it and cannot change it."""
        view = ReadOnlyBook()
        view._bids, view._asks = self._bids, self._asks
        return view

    def apply(self, update: DepthUpdate) -> None:
        """Replace the book (snapshot or view) or add the signed differences of a change.

        All or nothing: an update that does not fit leaves the book as it was.

        Raises:
          BookInconsistent: a size is or would become negative, or a change would lift the best bid above the
            best ask of a book that was not crossed.
        """
        changes = update.changes
        if update.origin is _SNAPSHOT:
            self._load(changes)
            return
        try:
            self._add(changes.bids, changes.asks)
        except BookInconsistent:
            pass  # Perhaps only because a price is named several times: what counts is the sum.
        else:
            return
        self._add(_summed(changes.bids), _summed(changes.asks))

    def _load(self, changes: DepthChanges) -> None:
        sides: list[dict[int, int]] = []
        tidied = False
        for levels in (changes.bids, changes.asks):
            sizes: dict[int, int] = {level.price: level.quantity for level in levels if level.quantity > 0}
            if len(sizes) != len(levels):
                sizes = _sizes(levels)
                tidied = True
            sides.append(sizes)
        bids, asks = sides
        self.tidied = tidied
        self._bids.load(bids, sorted(bids))
        self._asks.load(asks, sorted(map(neg, asks)))

    def _add(self, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
        """Add differences one by one, or leave the book as it was and raise an error."""
        bid_side, ask_side = self._bids, self._asks
        bids_left, asks_left = bid_side.add(bids), ask_side.add(asks)
        bid_ranks, ask_ranks = bid_side.ranks, ask_side.ranks
        if not (bids_left or asks_left or (bid_ranks and ask_ranks and bid_ranks[-1] + ask_ranks[-1] > 0)):
            return
        bids_done, asks_done = len(bids) - bids_left, len(asks) - asks_left
        try:
            if bids_left:
                bid_side.refuse(bids[bids_done])
            if asks_left:
                ask_side.refuse(asks[asks_done])
            best_bid, best_ask = bid_ranks[-1], -ask_ranks[-1]
        finally:
            bid_side.add(_undoing(bids[:bids_done]))
            ask_side.add(_undoing(asks[:asks_done]))
        if not _are_crossed(bid_ranks, ask_ranks):
            raise BookInconsistent(f"the book would be crossed: bid {best_bid} above ask {best_ask}")
        # It was crossed before, so its prices are grouped, and nothing shows that a message was lost.
        bid_side.add(bids)
        ask_side.add(asks)


def _are_crossed(bid_ranks: list[int], ask_ranks: list[int]) -> bool:
    return bool(bid_ranks and ask_ranks and bid_ranks[-1] + ask_ranks[-1] > 0)


def _sizes(levels: tuple[Level, ...]) -> dict[int, int]:
    """Return the sizes of a side by price where levels are empty or name a price again."""
    for level in levels:
        if level.quantity < 0:
            raise BookInconsistent(f"a snapshot has the size {level.quantity} at price {level.price}")
    return {level.price: level.quantity for level in _summed(levels) if level.quantity}


def _undoing(changes: tuple[Level, ...]) -> tuple[Level, ...]:
    return tuple(Level(level.price, -level.quantity) for level in reversed(changes))


def _summed(changes: tuple[Level, ...]) -> tuple[Level, ...]:
    """Return each price once, with the sum of its differences."""
    sums: dict[int, int] = {}
    for level in changes:
        sums[level.price] = sums.get(level.price, 0) + level.quantity
    return tuple(Level(price, quantity) for price, quantity in sums.items())
