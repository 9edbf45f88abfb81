"""Orders as the exchange reports them, in both flavours of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from ._amounts import ChainUnits, units, units_or_none
from ._common import Side, Update, datetime_from
from ._ids import Id, Identity

__all__ = ["Fill", "Order", "OrderState", "OrderTransaction", "OrderType", "OrderUpdate"]


class OrderState(StrEnum):
    """What became of an order, derived from its flags."""

    OPEN = "open"
    PARTIALLY_FILLED = "partially filled"
    FILLED = "filled"
    """Closed and completely filled."""
    CLOSED = "closed"
    """Closed without a cancellation before it was filled, as a market order that ran out of book."""
    CANCELLED = "cancelled"
    """Cancelled, perhaps after partial fills."""


@attrs.frozen(slots=True)
class OrderType:
    """An order's type; its numbers are passed by name.

    Attributes:
      name: ``Spot``, ``PostOnly``, ``FillOrKill``, ``Market``, ``Limit``, ``BoundedMarket``, or a
        name that is newer than this library.
      price, timestamp: of a ``Limit``: chain units; the second number's meaning on chain is not
        documented (the official helper fills in the time in seconds).
      max_price, min_price: of a ``BoundedMarket``: chain units.
    """

    name: str
    price: ChainUnits | None = attrs.field(default=None, converter=units_or_none, kw_only=True)
    timestamp: int | None = attrs.field(default=None, kw_only=True)
    max_price: ChainUnits | None = attrs.field(default=None, converter=units_or_none, kw_only=True)
    min_price: ChainUnits | None = attrs.field(default=None, converter=units_or_none, kw_only=True)

    def __str__(self) -> str:
        return self.name


@attrs.frozen(slots=True, kw_only=True)
class Fill:
    """One fill inside an order; units as in :class:`Trade`."""

    order_id: Id
    price: ChainUnits = attrs.field(converter=units)
    quantity: ChainUnits = attrs.field(converter=units)
    timestamp: int | None = None


@attrs.frozen(slots=True, kw_only=True)
class OrderTransaction:
    """One transaction in an order's history; `type` is for example ``created`` or ``trade``."""

    tx_id: Id
    status: str | None = None
    type: str | None = None


@attrs.frozen(slots=True, kw_only=True)
class Order:
    """One order's latest state.

    Attributes:
      order_id: 32-byte id.
      side: buy or sell.
      order_type: see :class:`OrderType`.
      price: limit price in chain units.
      quantity: original quantity, chain units of the base asset.
      quantity_fill: filled so far, same units.
      price_fill: volume-weighted fill price, chain units; 0 when nothing was filled.
      timestamp: creation time as sent; its unit is not documented (see :attr:`time`).
      close: no longer on the book.
      cancel: closed by cancellation.
      partially_filled: the exchange's own flag.
      owner: the account that placed it, where the exchange tells.
      market_id: the market, where the exchange tells.
      base_decimals: decimals of the base asset, where the exchange tells.
      desired_quantity: the exchange's own record of what remains, integers exact, otherwise untouched.
      fills: fills that the message names (it may name none although `quantity_fill` is positive).
      history: transactions that touched the order.
    """

    order_id: Id
    side: Side
    order_type: OrderType
    price: ChainUnits = attrs.field(converter=units)
    quantity: ChainUnits = attrs.field(converter=units)
    quantity_fill: ChainUnits = attrs.field(default=ChainUnits(0), converter=units)
    price_fill: ChainUnits = attrs.field(default=ChainUnits(0), converter=units)
    timestamp: int | None = None
    close: bool = False
    cancel: bool = False
    partially_filled: bool = False
    owner: Identity | None = None
    market_id: Id | None = None
    base_decimals: int | None = None
    desired_quantity: Mapping[str, object] | None = attrs.field(default=None, hash=False)
    fills: tuple[Fill, ...] = ()
    history: tuple[OrderTransaction, ...] = ()

    @property
    def state(self) -> OrderState:
        """What became of the order."""
        if self.cancel:
            return OrderState.CANCELLED
        if self.close:
            return OrderState.FILLED if self.quantity_fill >= self.quantity else OrderState.CLOSED
        if self.partially_filled or self.quantity_fill > 0:
            return OrderState.PARTIALLY_FILLED
        return OrderState.OPEN

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade."""
        return not (self.close or self.cancel)

    @property
    def quantity_open(self) -> ChainUnits:
        """What may still be filled, chain units of the base asset; 0 once the order is closed."""
        return ChainUnits(max(self.quantity - self.quantity_fill, 0) if self.is_open else 0)

    @property
    def time(self) -> datetime | None:
        """`timestamp` as an aware UTC time.

        The unit is guessed from the size: below 10**11 seconds, below 10**14 milliseconds, below
        10**17 microseconds, else nanoseconds.
        """
        value = self.timestamp
        if value is None:
            return None
        scales = ((10**11, 1), (10**14, 10**3), (10**17, 10**6))
        return datetime_from(value, next((per for top, per in scales if value < top), 10**9))


@attrs.frozen(slots=True, kw_only=True)
class OrderUpdate(Update):
    """Orders that changed.

    Attributes:
      orders: their latest states; empty when `origin` is ``GAP``.
    """

    orders: tuple[Order, ...] = ()
