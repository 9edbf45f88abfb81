"""Which submission placed which order, told by nothing but terms, time and sequence."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio import Market, Order, OrderType
from o2trio.models import Id, Side
from o2trio.simulator import default_listings
from o2trio.trading import CancelOrder, CreateOrder, Submission, Track
from o2trio.trading import _ledger as module
from o2trio.trading._ledger import Ledger

FUEL, ETH = (listing.market for listing in default_listings()[:2])
T = 1_790_000_000


def number(value: int) -> Id:
    return Id(f"0x{value:064x}")


def terms(price: int = 100, quantity: int = 10, market: Market = FUEL, kind: str = "Spot") -> CreateOrder:
    return CreateOrder(market, Side.BUY, price=price, quantity=quantity, order_type=OrderType(kind))


def order(value: int, of: CreateOrder | None = None, time: int | None = T, **changes: Any) -> Order:
    """Return order number `value` as the exchange tells it."""
    of = of or terms()
    made = Order(
        order_id=number(value),
        side=of.side,
        order_type=of.order_type,
        price=of.price,
        quantity=of.quantity,
        timestamp=time,
        market_id=of.market.market_id,
    )
    return attrs.evolve(made, **changes)


def submission(value: int, *creates: CreateOrder, seen: int = 0, since: int = 0) -> Submission:
    return Submission(
        number=value,
        purpose="session actions",
        account=number(0xAC),
        track=Track.SEQUENTIAL,
        nonce=value,
        sent_at=0.0,
        actions=creates,
        since={each.market.market_id: since for each in creates},
        seen=seen,
    )


def ids(found: tuple[Order, ...] | None) -> list[int] | None:
    return None if found is None else [int(order.order_id, 16) for order in found]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_counts_each_order_once(ledger: Ledger) -> None:
    for value in (1, 2, 1, 2, 2):
        ledger.observe(order(value))
    assert ledger.seen == 2


def test_newest(ledger: Ledger) -> None:
    market_id = FUEL.market_id
    assert ledger.newest(market_id) is None
    ledger.know(market_id)
    assert ledger.newest(market_id) == 0
    ledger.observe(order(1, time=T + 5))
    ledger.observe(order(2, time=T))
    ledger.observe(order(3, time=(T + 7) * 1000, market_id=None), market_id)
    ledger.know(market_id)
    assert ledger.newest(market_id) == T + 7, "seconds, whatever the unit it was told in"
    assert ledger.newest(ETH.market_id) is None


def test_matches_by_terms(ledger: Ledger) -> None:
    ledger.observe(order(1))
    assert ids(ledger.match(submission(1, terms()))) == [1]
    assert ids(ledger.match(submission(1, terms(quantity=10)))) == [1]
    for other in (terms(101), terms(100, 11), terms(market=ETH), terms(kind="PostOnly")):
        assert ledger.match(submission(1, other)) is None
    sold = attrs.evolve(terms(), side=Side.SELL)
    assert ledger.match(submission(1, sold)) is None


def test_partly_filled_and_closed_ones_too(ledger: Ledger) -> None:
    ledger.observe(order(1, quantity_fill=10, close=True))
    assert ids(ledger.match(submission(1, terms()))) == [1]


def test_market_may_be_left_out(ledger: Ledger) -> None:
    ledger.observe(order(1, market_id=None))
    assert ids(ledger.match(submission(1, terms()))) == [1]


def test_parameters_of_the_type_may_be_left_out(ledger: Ledger) -> None:
    wanted = attrs.evolve(terms(), order_type=OrderType("Limit", price=100, timestamp=7))
    ledger.observe(order(1, order_type=OrderType("Limit")))
    assert ids(ledger.match(submission(1, wanted))) == [1]


def test_seen_before_is_not_its_own(ledger: Ledger) -> None:
    ledger.observe(order(1))
    assert ledger.match(submission(1, terms(), seen=ledger.seen)) is None
    ledger.observe(order(2))
    assert ids(ledger.match(submission(1, terms(), seen=1))) == [2]


def test_older_than_the_newest_is_not_its_own(ledger: Ledger) -> None:
    ledger.observe(order(1, time=T - 1))
    assert ledger.match(submission(1, terms(), since=T)) is None
    ledger.observe(order(2, time=T))
    assert ids(ledger.match(submission(1, terms(), since=T))) == [2], "several in one second are possible"
    ledger.observe(order(3, time=None))
    assert ids(ledger.match(submission(1, terms(), terms(), since=T))) == [2, 3]


def test_claimed_is_not_its_own(ledger: Ledger) -> None:
    ledger.claim([order(1)])
    ledger.observe(order(1))
    assert ledger.match(submission(1, terms())) is None


def test_all_or_none(ledger: Ledger) -> None:
    ledger.observe(order(1))
    both = submission(1, terms(), terms(200))
    assert ledger.match(both) is None
    ledger.observe(order(2, terms(200)))
    assert ids(ledger.match(both)) == [1, 2]
    assert ids(ledger.match(submission(1, terms(200), terms()))) == [2, 1], "in the order of its actions"
    assert ledger.match(submission(1, terms(), terms())) is None, "each needs one of its own"


def test_other_actions_place_nothing(ledger: Ledger) -> None:
    ledger.observe(order(1))
    nothing = attrs.evolve(submission(1), actions=(CancelOrder(FUEL, number(1)),))
    assert ledger.match(nothing) is None


def test_rivals(ledger: Ledger) -> None:
    first, second = submission(1, terms()), submission(2, terms())
    ledger.observe(order(1))
    assert ids(ledger.match(first, [second])) == [1]
    assert ledger.match(second, [first]) is None, "who was sent first comes first"
    ledger.observe(order(2))
    assert ids(ledger.match(second, [first])) == [2]


def test_rival_with_more_orders_comes_first(ledger: Ledger) -> None:
    one, two = submission(1, terms()), submission(2, terms(), terms(200))
    ledger.observe(order(1))
    assert ids(ledger.match(one, [two])) == [1]
    ledger.observe(order(2, terms(200)))
    assert ledger.match(one, [two]) is None
    assert ids(ledger.match(two, [one])) == [1, 2]


def test_forgets_the_first(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ORDERS_KEPT", 3)
    for value in range(1, 6):
        ledger.observe(order(value))
    assert ledger.seen == 5
    assert ids(ledger.match(submission(1, terms(), terms(), terms()))) == [3, 4, 5]
    assert ledger.match(submission(1, *[terms()] * 4)) is None
    ledger.claim([order(9)])
    assert ids(ledger.match(submission(1, terms(), terms()))) == [4, 5]


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), min_size=1, max_size=5), st.data())
def test_everybody_gets_his_own(wanted: list[list[int]], data: st.DataObject) -> None:
    """If all have landed, all find as many orders as they placed, and none is given to two."""
    ledger = Ledger()
    sent = [
        submission(value, *(terms(100 + price) for price in prices)) for value, prices in enumerate(wanted, 1)
    ]
    placed = [create for each in sent for create in each.creates]
    for value, create in enumerate(data.draw(st.permutations(placed)), 1):
        ledger.observe(order(value, create))
    found = [ids(ledger.match(each, [other for other in sent if other is not each])) for each in sent]
    assert sorted(value for some in found for value in some or ()) == list(range(1, len(placed) + 1))
