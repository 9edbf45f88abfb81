"""What the order book contract accepts, as pure functions of an order and its book.

Where the protocol notes leave a choice: a ``Market`` order trades up to its own price, a
``BoundedMarket`` order up to its bound as long as its money lasts, and neither ever rests; ``Limit``
behaves as ``Spot``.
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

from ..models import Market, OrderType, Side
from ._accounts import Revert
from ._matching import BookOrder, OrderBook

__all__ = ["Terms", "affordable", "check_order", "escrow_needed", "may_rest", "order_value", "quantum"]

_U64 = 2**64
_RESTING = frozenset({"Spot", "PostOnly", "Limit"})
_KNOWN = _RESTING | {"FillOrKill", "Market", "BoundedMarket"}


class Terms(NamedTuple):
    """What somebody asks for; chain units."""

    side: Side
    price: int
    quantity: int
    order_type: OrderType


def _scale(market: Market) -> int:
    scale: int = 10**market.base.decimals
    return scale


def quantum(market: Market, price: int) -> int:
    """Return the least quantity that is worth a whole number of quote units at `price`."""
    return _scale(market) // gcd(price, _scale(market))


def order_value(market: Market, price: int, quantity: int) -> int:
    """Return what `quantity` is worth in quote units, rounded down."""
    return price * quantity // _scale(market)


def check_order(market: Market, book: OrderBook, last_price: int | None, terms: Terms) -> None:
    """Check an order before anything is changed.

    Raises:
      Revert: with the error variant of the contract.
    """
    _, price, quantity, order_type = terms
    if order_type.name not in _KNOWN:
        raise _refuse("InvalidOrderArgs", f"order type {order_type.name}")
    if not (0 < price < _U64 and 0 < quantity < _U64):
        raise _refuse("InvalidOrderArgs", "price and quantity must be positive u64")
    if price % market.price_step:
        raise _refuse("PricePrecision", f"{price} is no multiple of {market.price_step}")
    if quantity % quantum(market, price):
        raise _refuse("FractionalPrice", f"{quantity} is no multiple of {quantum(market, price)}")
    if order_value(market, price, quantity) < market.min_order:
        raise _refuse("InvalidInputAmount", f"below the minimum order {market.min_order}")
    if order_value(market, price, quantity) >= _U64:
        raise _refuse("InvalidInputAmount", "what must be forwarded is no u64")
    if market.price_window and last_price is not None:
        window = market.price_window
        if not last_price * (100 - window) <= price * 100 <= last_price * (100 + window):
            raise _refuse("PriceExceedsRange", f"more than {window}% from {last_price}")
    _check_type(book, terms)


def _check_type(book: OrderBook, terms: Terms) -> None:
    side, price, quantity, order_type = terms
    if order_type.name == "PostOnly" and book.fillable(side, price, 1):
        raise _refuse("OrderPartiallyFilled", "a post-only order would match")
    if order_type.name == "FillOrKill" and book.fillable(side, price, quantity) < quantity:
        raise _refuse("OrderNotFilled", "the book cannot fill it completely")
    if order_type.name == "BoundedMarket":
        low, high = order_type.min_price, order_type.max_price
        if low is None or high is None or not low <= price <= high:
            raise _refuse("InvalidMarketOrderArgs", "needs min_price <= price <= max_price")


def _refuse(variant: str, detail: str) -> Revert:
    return Revert("OrderCreationError", variant, detail)


def escrow_needed(market: Market, terms: Terms) -> int:
    """Return what is forwarded with an order: its value in quote units for a buy, base units for a sell."""
    return terms.quantity if terms.side is Side.SELL else order_value(market, terms.price, terms.quantity)


def affordable(market: Market, escrow: int, price: int) -> int:
    """Return the greatest quantity, in whole quanta, that `escrow` quote units pay for at `price`."""
    most, step = escrow * _scale(market) // price, quantum(market, price)
    return most - most % step


def may_rest(market: Market, order: BookOrder) -> bool:
    """Whether what remains of an order may stay on the book: a resting type and more than dust."""
    worth = order_value(market, order.price, order.remaining)
    return order.order_type.name in _RESTING and order.remaining > 0 and worth >= max(market.dust, 1)
