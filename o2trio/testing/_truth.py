"""Everything that ever was true of markets, in the form in which it is told: states of books, and trades.

It reads the exchanges' audits, era by era, and goes on from where it was. Who compares with it is in
``_judges_market``; accounts are in ``_truth_account``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import takewhile
from weakref import WeakKeyDictionary

import attrs
import trio

from ..models import DepthChanges, Id, Side, Trade
from ..simulator import Flavor, LevelChange, Recorded
from ..simulator._exchange import group_price
from ._world import Era, World

__all__ = [
    "FOLLOW_SECONDS",
    "BookTruth",
    "Tally",
    "TradeTruth",
    "books_of",
    "moment",
]

FOLLOW_SECONDS = 30.0
"""How often a :class:`BookTruth` must be pulled at least: the audit forgets changes after a minute."""


def moment(world: World, seen: int) -> float:
    """Return on Trio's clock when something happened that the exchange saw at `seen` (nanoseconds)."""
    return trio.current_time() - (world.sim.exchange.now - seen) / 1e9


class Tally:
    """The sizes of a book's levels, and one number that stands for all of them."""

    __slots__ = ("mark", "sides")

    def __init__(self) -> None:
        self.sides: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self.mark = 0

    def load(self, book: DepthChanges) -> None:
        """Take these levels and no others."""
        self.mark = 0
        for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
            self.sides[side] = {}
            for level in levels:
                self.add(side, level.price, level.quantity)

    def add(self, side: Side, price: int, difference: int) -> int:
        """Change one level by a difference and return its new size."""
        sizes = self.sides[side]
        old = sizes.pop(price, 0)
        new = old + difference
        if old:
            self.mark -= hash((side is Side.BUY, price, old))
        if new:
            sizes[price] = new
            self.mark += hash((side is Side.BUY, price, new))
        return new


class BookTruth:
    """Every state that the book of one market had at one precision, numbered from 0 on over all eras.

    Attributes:
      marks: of each state (see :class:`Tally`).
    """

    def __init__(self, world: World, market_id: Id, precision: int) -> None:
        self.marks: list[int] = []
        self._eras = world.eras
        self._market_id = market_id
        self._bucket = 10**precision
        self._precision = precision
        self._era = -1
        self._height = -1
        self._tally = Tally()
        self._where: dict[int, list[int]] = {}
        self._stamped: dict[int, list[int]] = {}
        self.pull()

    def pull(self) -> None:
        """Take in what happened since the last time."""
        for era in self._eras[max(self._era, 0) :]:
            if era.number > self._era:
                self._begin(era)
            records = era.audit.levels(self._market_id)
            news = list(takewhile(lambda record: record.height > self._height, reversed(records)))
            for record in reversed(news):
                self._change(record, 1)
                self._height = record.height
                self._push(record.seen_timestamp)

    def find(self, mark: int, start: int) -> int | None:
        """Return the first state from `start` on that has this mark."""
        self.pull()
        where = self._where.get(mark, [])
        place = bisect_left(where, start)
        return where[place] if place < len(where) else None

    def find_at(self, stamp: int, mark: int, start: int) -> int | None:
        """Return the state from `start` on that has this mark and began at this time stamp."""
        self.pull()
        return next((n for n in self._stamped.get(stamp, ()) if n >= start and self.marks[n] == mark), None)

    def present(self) -> DepthChanges:
        """Return the book as it is."""
        return self._eras[-1].exchange.book(self._market_id, self._precision)

    def _begin(self, era: Era) -> None:
        self._era, self._height = era.number, -1
        self._tally.load(era.exchange.book(self._market_id, self._precision))
        # Back to how it was a minute ago, which is where the records begin.
        for record in era.audit.levels(self._market_id):
            self._change(record, -1)
        self._push(None)

    def _change(self, record: Recorded[Sequence[LevelChange]], sign: int) -> None:
        for side, price, change in record.value:
            self._tally.add(side, group_price(side, price, self._bucket), sign * change)

    def _push(self, stamp: int | None) -> None:
        number, mark = len(self.marks), self._tally.mark
        self.marks.append(mark)
        self._where.setdefault(mark, []).append(number)
        if stamp is not None:
            self._stamped.setdefault(stamp, []).append(number)


_BOOKS: WeakKeyDictionary[World, dict[tuple[Id, int], BookTruth]] = WeakKeyDictionary()


def books_of(world: World) -> dict[tuple[Id, int], BookTruth]:
    """Return the books of a world that somebody looks at, shared by all who do, by market and precision.

    None holds the world, which would stay for ever then.
    """
    return _BOOKS.setdefault(world, {})


class TradeTruth:
    """Every trade of one market over all eras, as it is told; numbered from 0 on."""

    def __init__(self, world: World, market_id: Id) -> None:
        self.trades: list[Trade] = []
        self.times: list[float] = []
        self._world = world
        self._market_id = market_id
        self._starts: list[int] = []
        self._numbers: dict[str, int] = {}
        self.pull()

    def pull(self) -> None:
        """Take in what happened since the last time."""
        for era in self._world.eras[max(len(self._starts) - 1, 0) :]:
            if era.number >= len(self._starts):
                self._starts.append(len(self.trades))
            had = len(self.trades) - self._starts[era.number]
            for record in era.audit.trades(self._market_id)[had:]:
                trade = _told(record.value, self._world.sim.flavor)
                self._numbers[trade.trade_id] = len(self.trades)
                self.trades.append(trade)
                self.times.append(moment(self._world, record.seen_timestamp))

    def number(self, trade_id: str) -> int | None:
        """Return which trade has this id, None if none ever had."""
        if trade_id not in self._numbers:
            self.pull()
        return self._numbers.get(trade_id)

    def era_start(self, number: int) -> int:
        """Return the first trade of the era of a trade, or of the present one for a trade still to come."""
        return self._starts[bisect_right(self._starts, number) - 1]


def _told(trade: Trade, flavor: Flavor) -> Trade:
    if flavor.trade_id != "pair" or flavor.ids != "prefixed":
        trade = attrs.evolve(trade, trade_id=str(flavor.trade_id_value(trade)))
    if not flavor.trade_parties:
        trade = attrs.evolve(trade, maker=None, taker=None, maker_fee=None, taker_fee=None)
    return trade
