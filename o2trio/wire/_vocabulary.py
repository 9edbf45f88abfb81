"""How the wire's vocabulary differs from the models': other names, other forms, ranges of numbers.

Tables, and what stands in them; ``_hooks`` makes readers of them, ``_values`` reads single values, and which
fields must be there is in ``_ranks``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum

from ..models import (
    DepthChanges,
    Id,
    Identity,
    Level,
    Order,
    OrderType,
    Side,
    TraderSide,
    TriggerOrder,
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
from ._snapshot import DepthView
from ._values import Hook

__all__ = ["FIELDS", "PREPARED", "SINGLE", "TYPES", "hook_of", "is_trigger", "names_of", "spellings"]

_WIRE_NAMES: Mapping[str, tuple[str, ...]] = {
    "bids": ("buys", "bids"),
    "asks": ("sells", "asks"),
    "view": ("view", "orders"),
    "trades": ("trades", "trade"),
    "orders": ("orders", "order"),
    "balance": ("balance", "balances"),
    "parent": ("parent", "parent_order_id", "parent_order"),
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
    TriggerOrder: {"order_type": ("order_type", "trigger_type", "type")},
}
"""The same for single classes."""

_SIDES = ("buys", "bids", "sells", "asks")

FIELDS: Mapping[str, Hook] = {
    "price": read.U64,
    "price_fill": read.U64,
    "trigger_price": read.U64,
    "maker_fee": read.I128,
    "taker_fee": read.I128,
    "fee": read.I128,
    "price_window": read.read_number,
    "turbo": read.read_mark,
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

_SPECIAL_FIELDS: Mapping[type, Mapping[str, Hook]] = {
    Bar: {"timestamp": read.read_milliseconds},
    Ticker: {"timestamp": read.read_milliseconds},
    AggregatedTrade: {"timestamp": read.read_milliseconds},
}
"""The same for single classes."""

SINGLE = frozenset({"fill"})
"""Wire names under which a list may come as its only entry, without the list."""


def _with_a_side(value: object) -> object:
    """Refuse an object that should hold a book and has neither side: it is broken, never empty."""
    if read.is_object(value) and not any(value.get(name) is not None for name in _SIDES):
        raise ValueError("expected a book, but there is neither a side of bids nor one of asks")
    return value


def _level(value: object) -> object:
    """Make an object of a level that is a pair of price and size."""
    if read.is_list(value) and len(value) >= 2:
        return {"price": value[0], "quantity": value[1]}
    return value


def is_trigger(value: object) -> bool:
    """Whether an entry of a list of orders is a trigger order, readable or not."""
    if not read.is_object(value):
        return False
    kind = value.get("kind")
    return value.get("trigger_price") is not None or (type(kind) is str and kind.lower() == "trigger")


def _no_trigger(value: object) -> object:
    if is_trigger(value):
        raise ValueError("expected an order, not a trigger order")
    return value


def _trigger(value: object) -> object:
    """Take the quantity of a trigger order, or the order whose quantity counts, out of its enumeration."""
    if not read.is_object(value):
        return value
    found = dict(value)
    quantity, kind = found.get("quantity"), found.get("kind")
    if read.is_object(quantity) and len(quantity) == 1:
        ((name, content),) = quantity.items()
        inner = next(iter(content.values())) if read.is_object(content) and len(content) == 1 else content
        if name.startswith("Parent"):
            found |= {"quantity": None, "parent": inner}
        elif name == "Quantity":
            found["quantity"] = inner
    if kind is not None and not (type(kind) is str and kind.lower() == "trigger"):
        found.setdefault("order_type", kind)
    if all(found.get(name) is None for name in ("quantity", *names_of(TriggerOrder, "parent"))):
        raise ValueError("expected a quantity, or the order whose quantity counts")
    return found


PREPARED: Mapping[type, Callable[[object], object]] = {
    Level: _level,
    DepthChanges: _with_a_side,
    DepthView: _with_a_side,
    AggregatedBook: _with_a_side,
    Order: _no_trigger,
    TriggerOrder: _trigger,
}
"""What is done to the JSON of a class before its fields are read; a ValueError refuses it."""


def hook_of(cls: type[object], field: str, kind: object, known: Mapping[str, Hook] = FIELDS) -> Hook | None:
    """Return what reads a field by its name, or None if its type, `kind`, decides."""
    named = None if kind is Decimal else known.get(field)
    return _SPECIAL_FIELDS.get(cls, {}).get(field) or named


def names_of(cls: type, field: str) -> tuple[str, ...]:
    """Return the wire names of a field, the preferred one first."""
    return _SPECIAL_NAMES.get(cls, {}).get(field) or _WIRE_NAMES.get(field, (field,))


def spellings(field: str) -> tuple[str, ...]:
    """Return every wire name that a field has in any class, the most usual first."""
    special = (name for names in _SPECIAL_NAMES.values() for name in names.get(field, ()))
    return tuple(dict.fromkeys((*_WIRE_NAMES.get(field, (field,)), *special)))
