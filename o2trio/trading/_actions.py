"""What a session can be asked to do, in chain units. The bytes that are signed for it are in ``_bytes``.

An action as a user writes it, in whole units, is in ``_requests``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypeAlias

import attrs

from .._integers import as_integer
from ..models import Id, Identity, Market, OrderType, Side

__all__ = [
    "MAX_ACTIONS",
    "Action",
    "CancelOrder",
    "CreateOrder",
    "RegisterReferer",
    "SettleBalance",
    "actions_json",
]

MAX_ACTIONS = 5
"""Actions of one transaction, and groups of them, at most (protocol notes 4.6)."""

Json: TypeAlias = "bool | int | str | Sequence[Json] | dict[str, Json] | None"


def _pair(market: Market) -> str:
    # All of a market would hide the rest of an action.
    return market.pair


@attrs.frozen(slots=True)
class CreateOrder:
    """Place an order; price and quantity in chain units, by name only."""

    market: Market = attrs.field(repr=_pair)
    side: Side
    price: int = attrs.field(kw_only=True, converter=as_integer)
    quantity: int = attrs.field(kw_only=True, converter=as_integer)
    order_type: OrderType = attrs.field(factory=lambda: OrderType("Spot"), kw_only=True)

    def to_json(self) -> Json:
        """Return the action as the exchange reads it."""
        return {
            "CreateOrder": {
                "side": self.side.name.capitalize(),
                "price": str(self.price),
                "quantity": str(self.quantity),
                "order_type": _type_json(self.order_type),
            }
        }


@attrs.frozen(slots=True)
class CancelOrder:
    """Take an order off the book."""

    market: Market = attrs.field(repr=_pair)
    order_id: Id

    def to_json(self) -> Json:
        """Return the action as the exchange reads it."""
        return {"CancelOrder": {"order_id": self.order_id}}


@attrs.frozen(slots=True)
class SettleBalance:
    """Move what lies unlocked in the order book of `market` to `to`, normally the trading account."""

    market: Market = attrs.field(repr=_pair)
    to: Identity

    def to_json(self) -> Json:
        """Return the action as the exchange reads it."""
        return {"SettleBalance": {"to": _identity_json(self.to)}}


@attrs.frozen(slots=True)
class RegisterReferer:
    """Name who brought this account to the exchange; `market` is only the group it is sent in."""

    market: Market = attrs.field(repr=_pair)
    to: Identity

    def to_json(self) -> Json:
        """Return the action as the exchange reads it."""
        return {"RegisterReferer": {"to": _identity_json(self.to)}}


Action = CreateOrder | CancelOrder | SettleBalance | RegisterReferer


def actions_json(actions: Sequence[Action]) -> list[Json]:
    """Return actions in the groups that the exchange reads: neighbours of one market together, in order."""
    return [
        {"market_id": market_id, "actions": [action.to_json() for action in group]}
        for market_id, group in groupby(actions, key=lambda action: action.market.market_id)
    ]


def _identity_json(identity: Identity) -> Json:
    return {identity.kind.value: identity.id}


def _type_json(order_type: OrderType) -> Json:
    match order_type.name:
        case "Limit":
            return {"Limit": [str(order_type.price), str(order_type.timestamp)]}
        case "BoundedMarket":
            return {
                "BoundedMarket": {
                    "max_price": str(order_type.max_price),
                    "min_price": str(order_type.min_price),
                }
            }
        case name:
            return name
