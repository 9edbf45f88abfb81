"""Matching against a naive model: one sorted list of orders."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio.models import Identity, OrderType, Side
from o2trio.simulator._markets import make_id
from o2trio.simulator._matching import BookOrder, OrderBook

_OWNER = Identity.contract(make_id("account", "test"))
_SPOT = OrderType("Spot")


def _order(number: int, side: Side, price: int, quantity: int, kind: OrderType = _SPOT) -> BookOrder:
    return BookOrder(
        order_id=make_id("order", number),
        owner=_OWNER,
        market_id=make_id("market"),
        side=side,
        order_type=kind,
        price=price,
        quantity=quantity,
        created=0,
    )


@dataclass
class _Naive:
    """Everything by brute force: sort all orders at each step."""

    resting: list[list[int]]  # number, side (1 buys, -1 sells), price, remaining

    def place(self, number: int, side: int, price: int, quantity: int) -> list[tuple[int, int, int]]:
        fills = []
        while quantity:
            others = [row for row in self.resting if row[1] == -side and (price - row[2]) * side >= 0]
            if not others:
                break
            maker = min(others, key=lambda row: (row[2] * side, row[0]))
            amount = min(quantity, maker[3])
            fills.append((maker[0], maker[2], amount))
            maker[3] -= amount
            quantity -= amount
            self.resting = [row for row in self.resting if row[3]]
        if quantity:
            self.resting.append([number, side, price, quantity])
        return fills

    def levels(self, side: int) -> dict[int, int]:
        sums: dict[int, int] = defaultdict(int)
        for _, its, price, remaining in self.resting:
            if its == side:
                sums[price] += remaining
        return dict(sums)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(list(Side)), st.integers(90, 110), st.integers(1, 50)),
        st.tuples(st.just("cancel"), st.integers(0, 10**6), st.just(0)),
    ),
    max_size=80,
)


@given(steps=_STEPS)
def test_equals_the_naive_model(steps: list[tuple[Side | str, int, int]]) -> None:
    book, naive = OrderBook(), _Naive([])
    live: dict[int, BookOrder] = {}
    numbers = {make_id("order", number): number for number in range(len(steps))}
    mirror: dict[tuple[Side, int], int] = defaultdict(int)
    for number, (side, price, quantity) in enumerate(steps):
        if isinstance(side, Side):
            order = live[number] = _order(number, side, price, quantity)
            fills = [
                (numbers[match.maker.order_id], match.price, match.quantity) for match in book.match(order)
            ]
            assert fills == naive.place(number, 1 if side is Side.BUY else -1, price, quantity)
            if order.remaining:
                book.rest(order)
        elif naive.resting:
            row = naive.resting.pop(price % len(naive.resting))
            book.remove(live[row[0]])
        for change in book.take_changes():
            assert change.change != 0
            mirror[change.side, change.price] += change.change
        for side_, sign in ((Side.BUY, 1), (Side.SELL, -1)):
            levels = book.levels(side_)
            assert {level.price: level.quantity for level in levels} == naive.levels(sign)
            assert {
                price: size for (its, price), size in mirror.items() if its is side_ and size
            } == naive.levels(sign)
            prices = [level.price for level in levels]
            assert prices == sorted(prices, reverse=side_ is Side.BUY)
            assert book.depth(side_) == len(levels)
            assert book.best(side_) == (prices[0] if prices else None)


def test_the_oldest_order_of_a_level_trades_first() -> None:
    book = OrderBook()
    for number in (1, 2):
        book.rest(_order(number, Side.SELL, 100, 5))
    taker = _order(3, Side.BUY, 100, 7)
    assert [(match.maker.order_id, match.quantity) for match in book.match(taker)] == [
        (make_id("order", 1), 5),
        (make_id("order", 2), 2),
    ]
    assert [level.quantity for level in book.levels(Side.SELL)] == [3]


def test_fills_at_the_makers_price_and_averages() -> None:
    book = OrderBook()
    book.rest(_order(1, Side.SELL, 100, 1))
    book.rest(_order(2, Side.SELL, 103, 2))
    taker = _order(3, Side.BUY, 105, 3)
    assert [match.price for match in book.match(taker)] == [100, 103]
    assert taker.price_fill == (100 + 2 * 103) // 3


@pytest.mark.parametrize(("side", "limit"), [(Side.BUY, 101), (Side.SELL, 99)])
def test_a_bounded_market_order_stops_at_its_bound(side: Side, limit: int) -> None:
    book = OrderBook()
    for number, price in enumerate((100, limit, limit + (1 if side is Side.BUY else -1))):
        book.rest(_order(number, side.opposite, price, 1))
    kind = OrderType("BoundedMarket", max_price=max(limit, 100), min_price=min(limit, 100))
    taker = _order(9, side, 100, 5, kind)
    assert {match.price for match in book.match(taker)} == {100, limit}
    assert taker.remaining == 3


def test_fillable_counts_only_what_the_limit_reaches() -> None:
    book = OrderBook()
    for number, price in enumerate((100, 101, 102)):
        book.rest(_order(number, Side.SELL, price, 10))
    assert book.fillable(Side.BUY, 101, 100) == 20
    assert book.fillable(Side.BUY, 101, 5) == 5
    assert book.fillable(Side.BUY, 99, 5) == 0


def test_changes_of_one_level_are_summed_and_zeros_left_out() -> None:
    book = OrderBook()
    order = _order(1, Side.BUY, 100, 5)
    book.rest(order)
    book.remove(order)
    assert book.take_changes() == []
    book.rest(_order(2, Side.BUY, 100, 5))
    book.rest(_order(3, Side.BUY, 100, 6))
    assert book.take_changes() == [(Side.BUY, 100, 11)]
