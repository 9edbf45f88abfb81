"""Orders as the exchange reports them, in both flavors of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from ._amounts import ChainUnits, units, units_or_none
from ._common import Side, Update, time_from
from ._ids import Id, Identity
from ._understanding import NotUnderstood, in_order, unread_field

__all__ = [
    "UNKNOWN_TYPE",
    "Fill",
    "Order",
    "OrderState",
    "OrderTransaction",
    "OrderType",
    "OrderUpdate",
    "TriggerOrder",
]


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
      name: ``Spot``, ``PostOnly``, ``FillOrKill``, ``Market``, ``Limit``, ``BoundedMarket``, a
        name that is newer than this library, or ``unknown`` where none could be read.
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


UNKNOWN_TYPE = OrderType("unknown")
"""The type of an order whose type is absent or unreadable."""


@attrs.frozen(slots=True, kw_only=True)
class Fill:
    """One fill inside an order; units as in :class:`Trade`."""

    order_id: Id
    price: ChainUnits = attrs.field(converter=units)
    quantity: ChainUnits = attrs.field(converter=units)
    timestamp: int | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class OrderTransaction:
    """One transaction in an order's history; `type` is for example ``created`` or ``trade``."""

    tx_id: Id | None = None
    status: str | None = None
    type: str | None = None
    unread: Mapping[str, object] = unread_field()


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
      unread: fields that could not be read: wire name to raw value. Of `fills` and `history` the entries
        that could be read are there nevertheless.
    """

    order_id: Id
    side: Side
    order_type: OrderType = UNKNOWN_TYPE
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
    unread: Mapping[str, object] = unread_field()

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

        The unit is inferred from the size: below 10**11 seconds, below 10**14 milliseconds, below 10**17
        microseconds, else nanoseconds.
        """
        return time_from(self.timestamp)


@attrs.frozen(slots=True, kw_only=True)
class TriggerOrder:
    """An order that waits outside of the book until the price reaches a trigger (take profit, stop loss).

    The exchange documents no JSON of these: the shape is inferred from the calls that create them. An entry
    of another shape is delivered as :class:`NotUnderstood`.

    Attributes:
      order_id: 32-byte id.
      side: of the order that is placed when the trigger is reached.
      trigger_price: chain units.
      quantity: chain units of the base asset; None if it is that of the order `parent`.
      parent: the order whose quantity applies; None if `quantity` is given.
      order_type: what is placed: ``Market``, ``BoundedMarket`` with its bounds, ``Limit`` with its price.
      close: no longer waiting.
      cancel: closed by cancellation.
      timestamp: creation time as sent (see :attr:`time`).
      owner: the account that placed it, where the exchange names it.
      market_id: the market, where the exchange names it.
      index: the position of the entry in the list that the exchange sent, from 0.
      raw: the entry as it came, as immutable JSON with exact numbers.
      unread: fields that could not be read: wire name to raw value.
    """

    order_id: Id
    side: Side
    trigger_price: ChainUnits = attrs.field(converter=units)
    quantity: ChainUnits | None = attrs.field(default=None, converter=units_or_none)
    parent: Id | None = None
    order_type: OrderType = UNKNOWN_TYPE
    close: bool = False
    cancel: bool = False
    timestamp: int | None = None
    owner: Identity | None = None
    market_id: Id | None = None
    index: int = 0
    raw: object = attrs.field(default=None, hash=False, repr=False)
    unread: Mapping[str, object] = unread_field()

    @property
    def is_open(self) -> bool:
        """Whether the trigger may still be reached."""
        return not (self.close or self.cancel)

    @property
    def time(self) -> datetime | None:
        """`timestamp` as an aware UTC time; its unit is inferred from its size."""
        return time_from(self.timestamp)


@attrs.frozen(slots=True, kw_only=True)
class OrderUpdate(Update):
    """Orders that changed.

    Attributes:
      orders: their latest states; empty when `origin` is ``GAP``.
      triggers: trigger orders that changed; they are not among `orders`.
    """

    orders: tuple[Order, ...] = ()
    triggers: tuple[TriggerOrder, ...] = ()

    @property
    def entries(self) -> tuple[Order | TriggerOrder | NotUnderstood, ...]:
        """Orders, trigger orders and what was not understood, in the order the exchange sent them."""
        others: list[TriggerOrder | NotUnderstood] = [*self.triggers, *self.not_understood]
        return in_order(self.orders, others)
