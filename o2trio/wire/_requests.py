"""Outbound frames: subscribe and unsubscribe requests and the text heartbeat.

Field sets follow section 2.4 of the protocol notes. A precision *level* ``n`` goes out as the text of
``10**n``; the orders unsubscription names nothing, because it ends every orders stream of the socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum

import msgspec

from ..models import Id, Identity

__all__ = ["PING", "PONG", "Frequency", "Kind", "subscribe", "unsubscribe"]

PING = "PING"
PONG = "PONG"


class Kind(Enum):
    """The kinds of server subscriptions; the value is the word in the wire's actions."""

    # By identity, as members are equal; Enum hashes their names anew for each look-up.
    __hash__ = object.__hash__

    DEPTH = "depth"
    DEPTH_VIEW = "depth_view"
    TRADES = "trades"
    ORDERS = "orders"
    BALANCES = "balances"
    NONCE = "nonce"


class Frequency(StrEnum):
    """How often a depth view is sent."""

    MS_100 = "100ms"
    MS_500 = "500ms"
    S_1 = "1s"
    S_3 = "3s"


def subscribe(
    kind: Kind,
    *,
    market_id: Id | None = None,
    precision: int | None = None,
    frequency: Frequency | None = None,
    identities: Sequence[Identity] = (),
    turbo: bool = False,
) -> str:
    """Return the frame that subscribes to one stream.

    Args:
      kind: which stream.
      market_id: for depth, depth view and trades.
      precision: level (a power of ten is sent), for depth and depth view.
      frequency: for depth view.
      identities: 1 to 10, for orders, balances and nonce.
      turbo: of the Turbo venue instead of the spot venue, for depth, depth view, trades and orders.
    """
    fields: dict[str, object] = {"action": f"subscribe_{kind.value}"}
    if market_id is not None:
        fields["market_id"] = market_id
    if precision is not None:
        fields["precision"] = str(10**precision)
    if frequency is not None:
        fields["frequency"] = frequency.value
    if identities:
        fields["identities"] = [{identity.kind.value: identity.id} for identity in identities]
    if turbo:
        fields["turbo"] = True
    return _encode(fields)


def unsubscribe(
    kind: Kind, *, market_id: Id | None = None, identities: Sequence[Identity] = (), turbo: bool = False
) -> str:
    """Return the frame that ends one stream; arguments as for :func:`subscribe`."""
    fields: dict[str, object] = {"action": f"unsubscribe_{kind.value}"}
    if market_id is not None:
        fields["market_id"] = market_id
    if identities and kind is not Kind.ORDERS:
        fields["identities"] = [{identity.kind.value: identity.id} for identity in identities]
    if turbo:
        fields["turbo"] = True
    return _encode(fields)


def _encode(fields: dict[str, object]) -> str:
    return msgspec.json.encode(fields).decode()
