"""An order book kept from depth messages: exact integers, self-checking, without any I/O.

Sizes live in a dictionary per side; the prices of each side also in one sorted list whose best price is
at its end, so that changes near the top of the book move little memory.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice

from .._errors import BookInconsistent
from ..models import DepthChanges, DepthUpdate, Level, Side

__all__ = ["DepthBook"]


class _BookSide:
    """One side: ``sign`` is 1 for bids and -1 for asks; ``ranks`` holds ``sign * price``, best last."""

    __slots__ = ("ranks", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.sizes: dict[int, int] = {}
        self.ranks: list[int] = []

    def best(self) -> Level | None:
        if not self.ranks:
            return None
        price = self.sign * self.ranks[-1]
        return Level(price, self.sizes[price])

    def levels(self, count: int | None = None) -> tuple[Level, ...]:
        prices = (self.sign * rank for rank in islice(reversed(self.ranks), count))
        return tuple(Level(price, self.sizes[price]) for price in prices)

    def load(self, sizes: dict[int, int]) -> None:
        self.sizes = sizes
        self.ranks = sorted(self.sign * price for price in sizes)

    def sums(self, changes: tuple[Level, ...]) -> dict[int, int]:
        """Return the new size of each changed level, without changing anything.

        A price that is named several times counts with the sum of its differences.
        """
        sums: dict[int, int] = {}
        sizes = self.sizes
        for level in changes:
            price = level.price
            sums[price] = (sums[price] if price in sums else sizes.get(price, 0)) + level.quantity
        for price, size in sums.items():
            if size < 0:
                raise BookInconsistent(f"the size at price {price} would become {size}")
        return sums

    def store(self, sums: dict[int, int]) -> None:
        sizes, ranks, sign = self.sizes, self.ranks, self.sign
        for price, size in sums.items():
            if size:
                if price not in sizes:
                    insort(ranks, sign * price)
                sizes[price] = size
            elif price in sizes:
                del sizes[price]
                del ranks[bisect_left(ranks, sign * price)]


class DepthBook:
    """Keep one market's bids and asks from a stream of depth updates.

    Works without a connection too, so a recorded stream can be replayed into it. Prices and quantities
    are chain units.
    """

    __slots__ = ("_asks", "_bids")

    def __init__(self) -> None:
        self._bids = _BookSide(1)
        self._asks = _BookSide(-1)

    def apply(self, update: DepthUpdate) -> None:
        """Replace the book (snapshot or view) or add the signed differences of a change.

        All or nothing: an update that does not fit leaves the book as it was.

        Raises:
          BookInconsistent: a size would become negative, a snapshot holds a size below 1 or names a
            price twice, or the best bid would lie above the best ask.
        """
        if update.is_snapshot:
            self._load(update.changes)
        else:
            self._change(update.changes)

    def _load(self, changes: DepthChanges) -> None:
        sides = []
        for levels in (changes.bids, changes.asks):
            sizes = {level.price: level.quantity for level in levels if level.quantity > 0}
            if len(sizes) != len(levels):
                raise BookInconsistent("a snapshot holds an empty level or names a price twice")
            sides.append(sizes)
        bids, asks = sides
        if bids and asks and max(bids) > min(asks):
            raise BookInconsistent(f"a snapshot is crossed: bid {max(bids)} above ask {min(asks)}")
        self._bids.load(bids)
        self._asks.load(asks)

    def _change(self, changes: DepthChanges) -> None:
        bids, asks = self._bids, self._asks
        bid_sums, ask_sums = bids.sums(changes.bids), asks.sums(changes.asks)
        undo = ({p: bids.sizes.get(p, 0) for p in bid_sums}, {p: asks.sizes.get(p, 0) for p in ask_sums})
        bids.store(bid_sums)
        asks.store(ask_sums)
        if bids.ranks and asks.ranks and bids.ranks[-1] > -asks.ranks[-1]:
            crossed = f"crossed: bid {bids.ranks[-1]} above ask {-asks.ranks[-1]}"
            bids.store(undo[0])
            asks.store(undo[1])
            raise BookInconsistent(f"the book would be {crossed}")

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, or None."""
        return self._bids.best()

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, or None."""
        return self._asks.best()

    def levels(self, side: Side, count: int | None = None) -> tuple[Level, ...]:
        """Return the best `count` levels (None: all) of the bids (``buy``) or asks (``sell``), best first."""
        return (self._bids if side is Side.BUY else self._asks).levels(count)

    @property
    def bids(self) -> tuple[Level, ...]:
        """All bids, best first."""
        return self._bids.levels()

    @property
    def asks(self) -> tuple[Level, ...]:
        """All asks, best first."""
        return self._asks.levels()

    def changes(self) -> DepthChanges:
        """Return the whole book as the body of a snapshot."""
        return DepthChanges(self.bids, self.asks)
