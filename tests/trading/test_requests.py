"""What users ask for, and the actions that it becomes."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio import (
    BoundedMarket,
    Cancel,
    InvalidRequest,
    Limit,
    Market,
    NewOrder,
    Order,
    OrderType,
    Raw,
    Rounding,
    Settle,
    UnknownMarket,
)
from o2trio.models import Id, Identity, Side
from o2trio.simulator import default_listings
from o2trio.simulator._markets import markets_of
from o2trio.trading import MAX_ACTIONS, CancelOrder, CreateOrder, RegisterReferer, SettleBalance
from o2trio.trading._amounts import quantum
from o2trio.trading._requests import check_batch, split, to_action, with_settlements

MARKETS = markets_of(default_listings())
FUEL, ETH, BTC = MARKETS.markets
ACCOUNT = Identity.contract("0x" + "ac" * 32)
ORDER = Id("0x" + "0d" * 32)
FLOAT: Any = 0.01
NOW = 1_790_000_000.75


def find(market: str | Market) -> Market:
    return MARKETS.find(market.market_id if isinstance(market, Market) else market)


def action(request: Any) -> Any:
    return to_action(request, find, ACCOUNT, lambda: NOW)


def order(market_id: Id | None) -> Order:
    return Order(
        order_id=ORDER, side=Side.BUY, order_type=OrderType("Spot"), price=1, quantity=1, market_id=market_id
    )


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["0.025", "2.5e-2", Decimal("0.0250"), Raw(25_000)], ids=repr)
@pytest.mark.parametrize("quantity", ["1000", "1e3", Decimal(1000), Raw(10**12)], ids=repr)
@pytest.mark.parametrize("side", [Side.BUY, "buy"], ids=["side", "text"])
@pytest.mark.parametrize(
    "market", ["fFUEL/fUSDC", "ffuel/FUSDC", FUEL.market_id, FUEL], ids=["pair", "case", "id", "market"]
)
def test_spellings(price: Any, quantity: Any, side: Any, market: Any) -> None:
    made = action(NewOrder(market, side, price=price, quantity=quantity))
    assert made == CreateOrder(FUEL, Side.BUY, price=25_000, quantity=10**12, order_type=OrderType("Spot"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": 0.025}, "(?i)float.*(str|text|Decimal)"),
        ({"quantity": 1000.0}, "(?i)float.*(str|text|Decimal)"),
        ({"price": "cheap"}, "cheap"),
        ({"price": "NaN"}, "NaN"),
        ({"quantity": "Infinity"}, "Infinity"),
        ({"quantity": True}, "True"),
        ({"quantity": None}, "None"),
        ({"price": "-1"}, "-1"),
        ({"price": "0.025001"}, "not a multiple of 0.00001"),
        ({"price": Raw(25_001)}, "PricePrecision.*0.025 and 0.02501"),
        (
            {"price": "0.02501", "quantity": "1000.000000001"},
            "FractionalPrice.*nearest valid quantity is 1000 ",
        ),
        ({"price": "0"}, "InvalidOrderArgs"),
        ({"quantity": "0"}, "InvalidOrderArgs"),
        ({"quantity": "1"}, "InvalidInputAmount.*min_order, 1 fUSDC.*nearest valid quantity is 40 "),
        ({"quantity": "20000000000"}, "64 bits"),
        ({"price": "20000000000000"}, "64 bits"),
        ({"side": "long"}, "side must be buy or sell, not 'long'"),
        ({"market": "fDOGE/fUSDC"}, "fDOGE/fUSDC.*fFUEL/fUSDC"),
        ({"order_type": "Stop"}, "order_type must be Spot, PostOnly.*not 'Stop'"),
        ({"order_type": None}, "order_type must be"),
        (
            {"order_type": BoundedMarket(min_price="0.03", max_price="0.04")},
            "between its bounds 0.03 and 0.04",
        ),
        ({"order_type": BoundedMarket(min_price=FLOAT, max_price="0.04")}, "(?i)float"),
        ({"order_type": BoundedMarket(min_price="0.01", max_price="0.0400001")}, "not a multiple"),
    ],
)
def test_wrong_orders(changes: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"market": "fFUEL/fUSDC", "side": "buy", "price": "0.025", "quantity": "1000"}
    with pytest.raises((InvalidRequest, UnknownMarket), match=message):
        action(NewOrder(**right | changes))


@pytest.mark.parametrize("value", [-1, 2**64, 1.0, True, "1", None, Decimal(1)], ids=repr)
def test_raw_is_strict(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="whole number of chain units"):
        Raw(value)


@pytest.mark.parametrize(("side", "price"), [("buy", 25_120), ("sell", 25_130)])
def test_adjusted_price(side: str, price: int) -> None:
    made = action(NewOrder(FUEL, side, price="0.025129", quantity="1000", adjust=True))
    assert made.price == price, "in favour of who places it"


@given(
    st.sampled_from([FUEL, ETH, BTC]),
    st.sampled_from(["buy", "sell"]),
    st.decimals("0.00001", "100000", places=9),
    st.decimals("0.000001", "100000", places=12),
)
def test_adjusted_is_valid(market: Market, side: str, price: Decimal, quantity: Decimal) -> None:
    try:
        made = action(NewOrder(market, side, price=price, quantity=quantity, adjust=True))
    except InvalidRequest as error:
        told = str(error)
        assert any(words in told for words in ("min_order", "must be positive"))
        return
    step = quantum(market, made.price)
    assert made.price % market.price_step == made.quantity % step == 0
    assert 0 <= market.raw_quantity(quantity, Rounding.DOWN) - made.quantity < step
    exact = price.scaleb(market.quote.decimals)
    assert abs(exact - made.price) < market.price_step
    assert (made.price <= exact) if side == "buy" else (made.price >= exact)


# -- types -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_type", "made"),
    [
        ("Spot", OrderType("Spot")),
        ("PostOnly", OrderType("PostOnly")),
        ("FillOrKill", OrderType("FillOrKill")),
        ("Market", OrderType("Market")),
        (
            BoundedMarket(min_price="0.02", max_price=Raw(30_000)),
            OrderType("BoundedMarket", min_price=20_000, max_price=30_000),
        ),
        (Limit(), OrderType("Limit", price=25_000, timestamp=1_790_000_000)),
        (Limit(7), OrderType("Limit", price=25_000, timestamp=7)),
        (OrderType("Limit", price=25_000, timestamp=9), OrderType("Limit", price=25_000, timestamp=9)),
    ],
)
def test_order_types(given_type: Any, made: OrderType) -> None:
    assert (
        action(NewOrder(FUEL, "sell", price="0.025", quantity="1000", order_type=given_type)).order_type
        == made
    )


# -- other requests --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        Cancel(ORDER, FUEL),
        Cancel(ORDER.upper().replace("0X", ""), "fFUEL/fUSDC"),
        Cancel(order(FUEL.market_id)),
        Cancel(order(None), FUEL),
        CancelOrder(FUEL, ORDER),
    ],
)
def test_cancels(request_: Any) -> None:
    assert action(request_) == CancelOrder(FUEL, ORDER)


def test_settlements_go_to_the_account() -> None:
    assert action(Settle("fETH/fUSDC")) == SettleBalance(ETH, ACCOUNT)


def test_actions_pass() -> None:
    referer = RegisterReferer(FUEL, Identity.address("0x" + "ee" * 32))
    assert action(referer) is referer
    create = CreateOrder(FUEL, Side.BUY, price=25_000, quantity=10**12, order_type=OrderType("Spot"))
    assert action(create) is create


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Cancel(ORDER), "does not tell its market"),
        (Cancel(order(None)), "does not tell its market"),
        (Cancel("0x12", FUEL), "order id"),
        (Cancel(None, FUEL), "order id"),  # type: ignore[arg-type]
        (Cancel(7, FUEL), "order id"),  # type: ignore[arg-type]
        (Settle("nothing"), "nothing"),
        (
            CreateOrder(FUEL, Side.BUY, price=25_001, quantity=10**12, order_type=OrderType("Spot")),
            "PricePrecision",
        ),
        ("buy", "NewOrder, Cancel, Settle and actions, not 'buy'"),
        (None, "not None"),
    ],
)
def test_wrong_requests(wrong: Any, message: str) -> None:
    with pytest.raises((InvalidRequest, UnknownMarket), match=message):
        action(wrong)


# -- batches ---------------------------------------------------------------------------------------


def new(market: Market) -> CreateOrder:
    return CreateOrder(market, Side.BUY, price=25_000, quantity=10**12, order_type=OrderType("Spot"))


def test_settlement_comes_before_the_first_order_of_a_market() -> None:
    old = CancelOrder(FUEL, ORDER)
    settle_fuel, settle_eth = SettleBalance(FUEL, ACCOUNT), SettleBalance(ETH, ACCOUNT)
    done = with_settlements([old, new(FUEL), new(FUEL), new(ETH)], ACCOUNT)
    assert done == [old, settle_fuel, new(FUEL), new(FUEL), settle_eth, new(ETH)]
    assert with_settlements([settle_fuel, new(FUEL)], ACCOUNT) == [settle_fuel, new(FUEL)]
    assert with_settlements([old], ACCOUNT) == [old]


def test_batch_sizes() -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        check_batch([])
    check_batch([new(FUEL)] * MAX_ACTIONS)
    with pytest.raises(InvalidRequest, match=r"6 actions \(1 of them settlements\).*split_batch"):
        check_batch(with_settlements([new(FUEL)] * MAX_ACTIONS, ACCOUNT))


ACTIONS = st.sampled_from(
    [new(FUEL), new(ETH), new(BTC), CancelOrder(FUEL, ORDER), SettleBalance(ETH, ACCOUNT)]
)


@given(st.lists(ACTIONS, max_size=30), st.booleans())
def test_split(actions: list[Any], settle_first: bool) -> None:
    batches = split(actions, ACCOUNT, settle_first=settle_first)
    for batch in batches:
        check_batch(with_settlements(batch, ACCOUNT) if settle_first else batch)
    settled = [action for batch in batches for action in batch]
    plain = [action for action in settled if not isinstance(action, SettleBalance)]
    assert plain == [action for action in actions if not isinstance(action, SettleBalance)]
    if not settle_first:
        assert settled == actions
        assert len(batches) == -(-len(actions) // MAX_ACTIONS)
    for batch, after in pairwise(batches):
        begins = next(action for action in after if not isinstance(action, SettleBalance) or not settle_first)
        more = with_settlements([*batch, begins], ACCOUNT) if settle_first else [*batch, begins]
        assert len(more) > MAX_ACTIONS, "no transaction more than it takes"
