"""Judges of what a stream of one market tells: books, views and trades, item by item and at rest.

What is true is in ``_truth``; who consumes is in ``_consumers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NoReturn

import trio

from ..models import DepthUpdate, Gap, Id, Origin, Side, Trade, TradeUpdate, Update
from ._truth import BookTruth, Tally, TradeTruth, books_of
from ._world import BrokenPromise, Fact, Promise, World

__all__ = ["JOIN_SECONDS", "BookJudge", "Judge", "TradeJudge", "ViewJudge", "book_truth"]

JOIN_SECONDS = 6.0
"""So long after a subscription the exchange may not have read it: ``Options.confirm_timeout`` and a bit."""

_ROUNDING = 0.001
"""Seconds by which two ways to compute a moment may differ."""


def book_truth(world: World, market_id: Id, precision: int) -> BookTruth:
    """Return what is true of a book; it is kept from now on."""
    books = books_of(world)
    if (market_id, precision) not in books:
        books[market_id, precision] = BookTruth(world, market_id, precision)
    return books[market_id, precision]


class Judge:
    """Judges one subscription from its beginning to its end.

    Attributes:
      opened: when it was subscribed, on Trio's clock; None before.
      conflated: how many items were replaced, because the consumer was slow, since it last had all that had
        come; set by the consumer.
      had_all: when that was, on Trio's clock; set by the consumer.
      restored: when the stream was last restored; infinite while it is under repair. Set by the consumer.
      epoch: of the last item, None before the first.
    """

    def __init__(self, world: World, consumer: str) -> None:
        self.opened: float | None = None
        self.conflated = 0
        self.had_all = -inf
        self.restored = -inf
        self.epoch: int | None = None
        self._world = world
        self._consumer = consumer

    def open(self) -> None:
        """Note that the subscription is made."""
        self.opened = trio.current_time()

    def take(self, update: Update) -> None:
        """Judge one item.

        Raises:
          BrokenPromise: it is not what should have come.
        """
        if self.epoch is not None and update.epoch < self.epoch:
            self._broken(Promise.EXACT, f"epoch {update.epoch} came after {self.epoch}")
        if (update.origin is Origin.GAP) is not (update.gap is not None):
            self._broken(Promise.MARKED, f"origin {update.origin} with gap {update.gap}")
        self._judge(update)
        self.epoch = update.epoch

    def _judge(self, update: Update) -> None:
        raise NotImplementedError

    def settle(self, broken: float) -> None:
        """Check that nothing is missing from before a break, without a mark.

        Called when the consumer has all that came and the stream is restored; `broken` says when the last
        break came, on Trio's clock.

        Raises:
          BrokenPromise: something is missing.
        """

    def finish(self) -> None:
        """Compare with the truth while nothing is under way.

        Raises:
          BrokenPromise: what was told is not how things stand.
        """
        raise NotImplementedError

    def facts(self) -> tuple[Fact, ...]:
        """Return what the last item came to, for the diary."""
        return ()

    def _broken(self, promise: Promise, detail: str) -> NoReturn:
        raise BrokenPromise(promise, detail, self._consumer)


class BookJudge(Judge):
    """Keeps a book from a depth stream. Each of its states must be one that the exchange had, in this order.

    A live change must lead to the state of its block; a snapshot must be a state no older than the last.
    """

    def __init__(self, world: World, consumer: str, market_id: Id, precision: int) -> None:
        super().__init__(world, consumer)
        self.tally = Tally()
        self.truth = book_truth(world, market_id, precision)
        self._market_id = market_id
        self._precision = precision
        self._state = 0

    def _judge(self, update: Update) -> None:
        assert isinstance(update, DepthUpdate)
        self._check_place(update)
        if update.is_snapshot:
            self.tally.load(update.changes)
            found = self.truth.find(self.tally.mark, self._state)
        else:
            if update.epoch != self.epoch:
                self._broken(Promise.MARKED, f"epoch {update.epoch} did not begin with a snapshot")
            self._apply(update)
            stamp, mark, after = update.seen_timestamp, self.tally.mark, self._state + 1
            find, find_at = self.truth.find, self.truth.find_at
            found = find(mark, after) if stamp is None else find_at(stamp, mark, after)
        if found is None:
            what = "snapshot" if update.is_snapshot else f"change at {update.seen_timestamp}"
            self._broken(Promise.EXACT, f"after this {what} the book is none the exchange had then")
        self._state = found

    def _check_place(self, update: DepthUpdate) -> None:
        if (update.market_id, update.precision) != (self._market_id, self._precision):
            self._broken(Promise.EXACT, f"of {update.market_id} at precision {update.precision}")
        if update.origin not in {Origin.SNAPSHOT, Origin.LIVE}:
            self._broken(Promise.EXACT, f"an item of depth with origin {update.origin}")

    def _apply(self, update: DepthUpdate) -> None:
        for side, levels in ((Side.BUY, update.changes.bids), (Side.SELL, update.changes.asks)):
            for level in levels:
                if self.tally.add(side, level.price, level.quantity) < 0:
                    self._broken(Promise.EXACT, f"the size at {level.price} became negative")

    def finish(self) -> None:
        """Compare the book with the exchange's."""
        real = Tally()
        real.load(self.truth.present())
        for side in Side:
            ours, theirs = self.tally.sides[side], real.sides[side]
            if ours != theirs:
                wrong = sorted(
                    price for price in ours.keys() | theirs.keys() if ours.get(price) != theirs.get(price)
                )
                self._broken(
                    Promise.BOOK,
                    f"{len(wrong)} levels of side {side} differ, one at {wrong[0]}: "
                    f"{ours.get(wrong[0], 0)} instead of {theirs.get(wrong[0], 0)}",
                )

    def facts(self) -> tuple[Fact, ...]:
        """Return the state's number."""
        return (self._state,)


class ViewJudge(BookJudge):
    """Judges depth views: each is a whole state of the book, no older than the last."""

    def _check_place(self, update: DepthUpdate) -> None:
        super()._check_place(update)
        if not update.is_snapshot:
            self._broken(Promise.EXACT, "a depth view that is no snapshot")


class TradeJudge(Judge):
    """Judges a trade stream: every trade since the subscription, each once, in order, and unaltered.

    Trades may be missing where a gap mark says so, and then only those between its two sides, or where an
    entry was not understood, and then only that one. When the exchange has restarted, those of its former
    life that were not told by then are lost.
    """

    def __init__(self, world: World, consumer: str, market_id: Id) -> None:
        super().__init__(world, consumer)
        self.truth = TradeTruth(world, market_id)
        self._market_id = market_id
        self._last: int | None = None
        self._joined = len(self.truth.trades)
        self._gaps: list[Gap] = []
        self._unclear: set[int] = set()
        self._nameless = 0

    def open(self) -> None:
        """Note that the subscription is made: all trades from now on must come."""
        super().open()
        self.truth.pull()
        self._joined = len(self.truth.trades)

    def _judge(self, update: Update) -> None:
        assert isinstance(update, TradeUpdate)
        if update.market_id != self._market_id:
            self._broken(Promise.EXACT, f"trades of {update.market_id}")
        if update.origin is Origin.SNAPSHOT:
            self._broken(Promise.EXACT, "a snapshot of trades")
        said = bool(update.trades or update.not_understood)
        may_be_empty = update.gap is not None or self._world.sim.flavor.first_message != "none"
        if (said and update.gap) or not (said or may_be_empty):
            self._broken(Promise.MARKED, f"{len(update.trades)} trades with gap {update.gap}")
        if update.gap is not None:
            self._gaps.append(update.gap)
        for entry in update.not_understood:
            number = self.truth.number(entry.ids.get("trade_id", ""))
            if number is None:
                self._nameless += 1
            else:
                self._unclear.add(number)
        for trade in update.trades:
            self._trade(trade)

    def _trade(self, trade: Trade) -> None:
        truth, last = self.truth, self._last
        number = truth.number(trade.trade_id)
        if number is None:
            self._broken(Promise.EXACT, f"there never was a trade {trade.trade_id}")
        if truth.trades[number] != trade:
            self._broken(Promise.EXACT, f"told {trade}, but it was {truth.trades[number]}")
        if last is not None and number <= last:
            self._broken(Promise.TRADES, f"trade {number} came after {last}")
        self._check_missing(self._missing(number), number)
        self._last = number
        self._gaps.clear()

    def _missing(self, until: int) -> Sequence[int]:
        """Return which trades were left out before `until` although the exchange was the same."""
        truth = self.truth
        start = self._joined if self._last is None else self._last + 1
        missing = range(max(start, truth.era_start(until)), until)
        if self._last is not None or self.opened is None:
            return missing
        joined = self.opened + JOIN_SECONDS
        return [number for number in missing if truth.times[number] > joined]

    def _check_missing(self, missing: Sequence[int], following: int | None) -> None:
        missing = [number for number in missing if number not in self._unclear]
        nameless, self._nameless = self._nameless, max(self._nameless - len(missing), 0)
        missing = missing[nameless:]
        if missing and not self._gaps:
            self._broken(
                Promise.TRADES,
                f"{len(missing)} trades from {missing[0]} on are missing without a mark, after {self._last}",
            )
        for gap in self._gaps:
            self._check_gap(gap, missing, following)

    def _check_gap(self, gap: Gap, missing: Sequence[int], following: int | None) -> None:
        last = -1 if self._last is None else self._last
        after, before = (
            None if name is None else self.truth.number(name) for name in (gap.after, gap.before)
        )
        if missing and last >= 0 and gap is self._gaps[0] and (after is None or after > last):
            self._broken(Promise.MARKED, f"missing since {last}, but the mark says {after}: {gap.reason}")
        if before is not None and before > last and (following is None or following > before):
            self._broken(Promise.MARKED, f"trade {before} is not there, but the mark says so: {gap.reason}")
        late = [number for number in missing if self.truth.times[number] > self._gaps[-1].until + _ROUNDING]
        if late:
            self._broken(
                Promise.MARKED,
                f"trade {late[0]} is missing, but it came after the gap: {self._gaps[-1].reason}",
            )

    def finish(self) -> None:
        """Check that the last trade is there."""
        self.truth.pull()
        self._check_missing(self._missing(len(self.truth.trades)), None)

    def facts(self) -> tuple[Fact, ...]:
        """Return the last trade's number."""
        return (self._last,)
