"""The cost of one six-level update of an order book, beside other ways to keep one, side by side in one run.

Each book gets the same changes of six levels, most near the top, without and with a look at the best bid and
ask after each, as every trading program does. All must end in the same state. The number of changes of one
round may be given: ``bench_book.py 200000`` makes a million in five rounds.
"""

from __future__ import annotations

import platform
import random
import statistics
import sys
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Protocol

from o2trio import DepthBook, DepthChanges, DepthUpdate, Level, Origin, normalize_id

MARKET = normalize_id("11" * 32)
ROUNDS = 5
LEVELS = 500
"""Levels of each side at the beginning."""

Best = tuple[int | None, int | None]
State = tuple[dict[int, int], dict[int, int]]


class Book(Protocol):
    """What is measured."""

    def apply(self, update: DepthUpdate) -> None:
        """Take an update."""

    def best(self) -> Best:
        """Return the best bid and the best ask."""
        ...

    def state(self) -> State:
        """Return all bids and asks."""
        ...


class PlainDict:
    """Two dictionaries; the best price is looked for whenever it is asked for. Checks nothing."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def apply(self, update: DepthUpdate) -> None:
        """Take an update."""
        for side, levels in ((self.bids, update.changes.bids), (self.asks, update.changes.asks)):
            for level in levels:
                size = side.get(level.price, 0) + level.quantity
                if size:
                    side[level.price] = size
                else:
                    side.pop(level.price, None)

    def best(self) -> Best:
        """Return the best bid and the best ask."""
        return max(self.bids, default=None), min(self.asks, default=None)

    def state(self) -> State:
        """Return all bids and asks."""
        return self.bids, self.asks


class BareBisect(PlainDict):
    """Dictionaries and sorted lists, best price last, as in DepthBook, but without any check."""

    def __init__(self) -> None:
        super().__init__()
        self.ranks: tuple[list[int], list[int]] = ([], [])

    def apply(self, update: DepthUpdate) -> None:
        """Take an update."""
        changes = update.changes
        for sign, sizes, ranks, levels in (
            (1, self.bids, self.ranks[0], changes.bids),
            (-1, self.asks, self.ranks[1], changes.asks),
        ):
            for level in levels:
                price = level.price
                known = sizes.get(price, 0)
                size = known + level.quantity
                if size:
                    if not known:
                        insort(ranks, sign * price)
                    sizes[price] = size
                elif known:
                    del sizes[price]
                    del ranks[bisect_left(ranks, sign * price)]

    def best(self) -> Best:
        """Return the best bid and the best ask."""
        bids, asks = self.ranks
        return (bids[-1] if bids else None), (-asks[-1] if asks else None)


class Ours:
    """DepthBook: dictionaries and sorted lists, every update checked and applied as a whole."""

    def __init__(self) -> None:
        self.book = DepthBook()

    def apply(self, update: DepthUpdate) -> None:
        """Take an update."""
        self.book.apply(update)

    def best(self) -> Best:
        """Return the best bid and the best ask."""
        bid, ask = self.book.best_bid, self.book.best_ask
        return None if bid is None else bid.price, None if ask is None else ask.price

    def state(self) -> State:
        """Return all bids and asks."""
        book = self.book
        return _sizes(book.bids), _sizes(book.asks)


def _sizes(levels: Iterable[Level]) -> dict[int, int]:
    return {level.price: level.quantity for level in levels}


def sorted_dict() -> Callable[[], Book] | None:
    """Return the book of sortedcontainers' SortedDict, if that is installed."""
    try:
        kind = import_module("sortedcontainers").SortedDict
    except ImportError:
        return None

    class Sorted(PlainDict):
        def __init__(self) -> None:
            self.bids, self.asks = kind(), kind()

        def best(self) -> Best:
            return (
                self.bids.keys()[-1] if self.bids else None,  # type: ignore[index]  # a sorted view, not a dict's
                self.asks.keys()[0] if self.asks else None,  # type: ignore[index]
            )

    return Sorted


def make_updates(count: int) -> list[DepthUpdate]:
    """Return a book to begin with and `count` changes of six levels that all fit."""
    draw, middle = random.Random(5), 100_000
    sides: State = (
        {middle - 10 * n: 50 for n in range(1, LEVELS + 1)},
        {middle + 10 * n: 50 for n in range(1, LEVELS + 1)},
    )
    updates = [change(sides, whole=True)]
    for _ in range(count):
        told: State = ({}, {})
        while len(told[0]) + len(told[1]) < 6:
            index = draw.randrange(2)
            away = 10 * (1 + int(draw.expovariate(0.1)))
            price = middle - away if index == 0 else middle + away
            known = sides[index].get(price, 0)
            if price not in told[index]:
                told[index][price] = -known if known and draw.random() < 0.5 else draw.randint(1, 90)
                sides[index][price] = known + told[index][price]
        updates.append(change(told))
    return updates


def change(told: State, *, whole: bool = False) -> DepthUpdate:
    """Return an update of these levels."""
    bids, asks = (tuple(Level(price, size) for price, size in side.items()) for side in told)
    origin = Origin.SNAPSHOT if whole else Origin.LIVE
    return DepthUpdate(market_id=MARKET, changes=DepthChanges(bids, asks), origin=origin)


def measure(book: Book, updates: list[DepthUpdate], *, look: bool) -> float:
    """Return microseconds for each update."""
    start = time.perf_counter()
    for update in updates:
        book.apply(update)
        if look:
            book.best()
    return (time.perf_counter() - start) / len(updates) * 1e6


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    makers: dict[str, Callable[[], Book] | None] = {
        "plain dict, max() and min()": PlainDict,
        "DepthBook (checked, all or nothing)": Ours,
        "bisect lists, unchecked": BareBisect,
        "sortedcontainers.SortedDict, unchecked": sorted_dict(),
    }
    here = {name: make for name, make in makers.items() if make is not None}
    updates = make_updates(count)
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}")
    print(f"{ROUNDS} rounds of {count} changes of six levels, {LEVELS} levels a side at first; microseconds")
    times: dict[tuple[str, bool], list[float]] = {(name, look): [] for name in here for look in (False, True)}
    states: list[State] = []
    for turn in range(ROUNDS + 1):
        for (name, look), taken in times.items():
            book = here[name]()
            took = measure(book, updates, look=look)
            if turn:
                taken.append(took)
            else:
                states.append(book.state())
    if any({**bids} != {**states[0][0]} or {**asks} != {**states[0][1]} for bids, asks in states):
        raise SystemExit("the books disagree")
    for look, what in ((False, "a change"), (True, "a change, then a look at the top")):
        print(f"\n{what:40} {'best':>8} {'median':>8} {'ratio':>7}")
        base = statistics.median(times[next(iter(here)), look])
        for name in here:
            taken = times[name, look]
            middle = statistics.median(taken)
            print(f"{name:40} {min(taken):8.2f} {middle:8.2f} {middle / base:7.2f}")
    for name in makers.keys() - here.keys():
        print(f"{name:40} not installed")


if __name__ == "__main__":
    main()
