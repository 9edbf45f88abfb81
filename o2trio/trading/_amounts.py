"""What an order is worth and which orders the contract accepts, in chain units and exact.

Between chain units and decimal numbers converts :class:`~o2trio.models.Market`.
"""

from __future__ import annotations

from decimal import Decimal
from math import gcd

from .._errors import InvalidRequest
from ..models import Market, Side

__all__ = [
    "U64",
    "adjust_quantity",
    "check_order",
    "format_price",
    "format_quantity",
    "forward_amount",
    "nearest_quantity",
    "order_value",
    "quantum",
]

U64 = 2**64
"""The first number that does not fit into 64 bits; all amounts on chain are smaller."""


def quantum(market: Market, price: int) -> int:
    """Return the step of quantities (chain units) that are worth whole quote units at `price`."""
    scale = _scale(market)
    return scale // gcd(price, scale)


def adjust_quantity(market: Market, price: int, quantity: int) -> int:
    """Return the largest quantity up to `quantity` that is worth whole quote units at `price`; perhaps 0."""
    return quantity - quantity % quantum(market, price)


def order_value(market: Market, price: int, quantity: int) -> int:
    """Return what `quantity` is worth at `price`, in chain units of the quote asset, rounded down."""
    return price * quantity // _scale(market)


def forward_amount(market: Market, side: Side, price: int, quantity: int) -> int:
    """Return what an order takes along into the order book.

    Chain units of the quote asset for a buy, of the base asset for a sell.
    """
    return quantity if side is Side.SELL else order_value(market, price, quantity)


def nearest_quantity(market: Market, price: int, quantity: int) -> int | None:
    """Return the quantity nearest to `quantity` that the contract accepts at the positive `price`.

    None if there is none: every quantity is too small or too big. Of two equally near it is the smaller.
    """
    scale, step = _scale(market), quantum(market, price)
    least = max(-(-market.min_order * scale // price), 1)
    most = min(U64 - 1, (U64 - 1) * scale // price)
    low, high = -(-least // step), most // step
    if low > high:
        return None
    steps = (2 * quantity + step - 1) // (2 * step)
    return min(max(steps, low), high) * step


def check_order(market: Market, price: int, quantity: int) -> None:
    """Check an order (chain units) against the rules that need no order book, before it is signed.

    Raises:
      InvalidRequest: the contract would refuse it. The message begins with the contract's own name for
        the error and, where only the quantity is wrong, tells the nearest one that is right.
    """

    def order() -> str:
        return f"{format_quantity(market, quantity)} at {format_price(market, price)} on {market.pair}"

    if price <= 0 or quantity <= 0:
        raise InvalidRequest(f"InvalidOrderArgs: price and quantity must be positive: {order()}")
    if price >= U64:
        raise InvalidRequest(f"InvalidOrderArgs: the price does not fit into 64 bits: {order()}")
    if price % market.price_step:
        below = price - price % market.price_step
        near = " and ".join(format_price(market, p) for p in (below, below + market.price_step))
        raise InvalidRequest(f"PricePrecision: the price lies between the permitted {near}: {order()}")
    problem = _quantity_problem(market, price, quantity)
    if problem is not None:
        near_by = nearest_quantity(market, price, quantity)
        advice = (
            "no quantity is valid at this price"
            if near_by is None
            else f"the nearest valid quantity is {format_quantity(market, near_by)} ({near_by} chain units)"
        )
        raise InvalidRequest(f"{problem}: {order()}; {advice}")


def format_price(market: Market, price: int) -> str:
    """Return `price` (chain units) as exact text without an exponent or needless zeros."""
    return _plain(market.price(price))


def format_quantity(market: Market, quantity: int) -> str:
    """Return `quantity` (chain units) as exact text without an exponent or needless zeros."""
    return _plain(market.quantity(quantity))


def _quantity_problem(market: Market, price: int, quantity: int) -> str | None:
    worth = order_value(market, price, quantity)
    if quantity >= U64:
        return "InvalidOrderArgs: the quantity does not fit into 64 bits"
    if worth >= U64:
        return f"InvalidInputAmount: the value, {worth} chain units, does not fit into 64 bits"
    if quantity % quantum(market, price):
        return "FractionalPrice: the value is no whole number of chain units"
    if worth < market.min_order:
        minimum = f"min_order, {_plain(market.total(market.min_order))} {market.quote.symbol}"
        return f"InvalidInputAmount: worth less than {minimum}"
    return None


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scale(market: Market) -> int:
    scale: int = 10**market.base.decimals
    return scale
