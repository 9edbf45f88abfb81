"""How the wire's vocabulary differs from the models': other names, ranges of numbers, what must be there.

Tables only; ``_structure`` makes readers of them, ``_values`` reads single values.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from ..models import (
    BalanceUpdate,
    DepthUpdate,
    Id,
    Identity,
    Markets,
    NonceUpdate,
    OrderType,
    OrderUpdate,
    Side,
    TraderSide,
    TradeUpdate,
)
from ..models._reads import (
    AggregatedBook,
    AggregatedLevel,
    AggregatedTicker,
    AggregatedTrade,
    Bar,
    MarketSummary,
    Ticker,
)
from . import _values as read
from ._values import Hook

__all__ = ["FIELDS", "OURS", "REQUIRED", "TYPES", "names_of", "spellings"]

_WIRE_NAMES: Mapping[str, tuple[str, ...]] = {
    "bids": ("buys",),
    "asks": ("sells",),
    "view": ("view", "orders"),
    "trades": ("trades", "trade"),
    "owner": ("account", "owner"),
    "fills": ("fills", "fill"),
    "history": ("history", "order_tx_history"),
}
"""Where a field's wire names differ from its own; the first one that is present (and not null) counts."""

_SPECIAL_NAMES: Mapping[type, Mapping[str, tuple[str, ...]]] = {
    Bar: {"timestamp": ("timestamp", "time")},
    MarketSummary: {
        "last_price": ("last_price", "price"),
        "high_price": ("high_price", "highest_price_24h"),
        "low_price": ("low_price", "lowest_price_24h"),
        "volume_24h": ("volume_24h", "base_volume"),
        "change_24h": ("change_24h", "price_change_percent_24h"),
    },
    # The recorded names first, then those that only some clients know.
    Ticker: {
        "last": ("last", "last_price"),
        "bid": ("bid", "best_bid"),
        "ask": ("ask", "best_ask"),
    },
    AggregatedBook: {
        "bids": ("bids", "buys"),
        "asks": ("asks", "sells"),
        "timestamp": ("timestamp", "time"),
    },
    AggregatedLevel: {"size": ("size", "quantity")},
    AggregatedTicker: {"market_pair": ("market_pair", "trading_pairs")},
    AggregatedTrade: {"side": ("type", "side"), "timestamp": ("timestamp", "time")},
}
"""The same for single classes."""

FIELDS: Mapping[str, Hook] = {
    "price": read.U64,
    "price_fill": read.U64,
    "precision": read.U8,
    "decimals": read.U8,
    "base_decimals": read.U8,
    "max_precision": read.U8,
    "nonce": read.counter,
    "chain_id": read.counter,
    "trade_id": read.read_trade_id,
    "desired_quantity": read.read_record,
    "sync_state": read.read_anything,
    "triggers": read.read_anything,
    "content": read.read_anything,
}
"""Fields that are read by their name, unless they are decimal; every other field is read by its type."""

TYPES: Mapping[object, Hook] = {
    int: read.U128,
    str: read.read_text,
    bool: read.read_bool,
    Decimal: read.read_decimal,
    Id: read.read_id,
    Identity: read.read_identity,
    Side: read.read_side,
    TraderSide: read.read_trader_side,
    OrderType: read.read_order_type,
    StrEnum: read.read_enum,
}

REQUIRED: Mapping[type, tuple[str, ...]] = {
    DepthUpdate: ("changes",),
    TradeUpdate: ("trades",),
    OrderUpdate: ("orders",),
    BalanceUpdate: ("balance",),
    NonceUpdate: ("contract_id", "nonce"),
}
"""Fields that only a gap may leave out, so that a frame without them is broken."""

OURS: Mapping[type, tuple[str, ...]] = {
    DepthUpdate: ("origin", "epoch", "gap", "not_understood", "unread", "precision"),
    TradeUpdate: ("origin", "epoch", "gap", "not_understood", "unread"),
    OrderUpdate: ("origin", "epoch", "gap", "not_understood", "unread"),
    BalanceUpdate: ("origin", "epoch", "gap", "not_understood", "unread"),
    NonceUpdate: ("origin", "epoch", "gap", "not_understood", "unread"),
    Markets: ("unreadable",),
}
"""Fields that this library fills in; the wire cannot set them."""


def names_of(cls: type, field: str) -> tuple[str, ...]:
    """Return the wire names of a field, the preferred one first."""
    return _SPECIAL_NAMES.get(cls, {}).get(field) or _WIRE_NAMES.get(field, (field,))


def spellings(field: str) -> tuple[str, ...]:
    """Return every wire name that a field has in any class, the most usual first."""
    special = (name for names in _SPECIAL_NAMES.values() for name in names.get(field, ()))
    return tuple(dict.fromkeys((*_WIRE_NAMES.get(field, (field,)), *special)))
