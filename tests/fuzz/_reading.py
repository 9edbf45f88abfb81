"""The oracle's own reading of a message: what it says, and how sure that is. It uses no decoder of ours.

A reading of a value is *sure* (a plain spelling, which must be understood), *open* (an unusual one, which may
be understood or not) or *unreadable* (nothing may be made of it). An entry and a message are as sure as the
least sure of the fields that they need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import IntEnum
from typing import Any, TypeAlias

import attrs

__all__ = ["CARRIED", "ENTRIES", "Book", "Entry", "Frame", "Sure", "Value", "read_frame", "thaw"]

HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})")
Book: TypeAlias = dict[tuple[str, int], int]
"""Sizes by (side, price)."""


class Sure(IntEnum):
    """How sure a reading is."""

    UNREADABLE = 0
    OPEN = 1
    SURE = 2


@attrs.frozen
class Value:
    """One reading: what a value is, if anything."""

    sure: Sure
    value: Any = None


NOTHING = Value(Sure.UNREADABLE)


def sure(value: Any) -> Value:
    return Value(Sure.SURE, value)


# -- single values ---------------------------------------------------------------------------------


def number(bits: int, *, signed: bool = False) -> Callable[[Any], Value]:
    """Return a reading of integers."""

    def read(raw: Any) -> Value:
        found = _integer(raw)
        in_range = found.sure and -(2**bits) < found.value < 2**bits and (signed or found.value >= 0)
        return found if in_range else NOTHING

    return read


def _integer(raw: Any) -> Value:
    if isinstance(raw, bool) or raw is None:
        return NOTHING
    if isinstance(raw, int):
        return sure(raw)
    if isinstance(raw, float):
        return Value(Sure.OPEN, int(raw)) if abs(raw) < 1e40 and raw.is_integer() else NOTHING
    if not isinstance(raw, str):
        return NOTHING
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,39})", raw):
        return sure(int(raw))
    if re.fullmatch(r"\s*[+-]?[0-9_]{1,80}(\.0*)?\s*", raw):
        return Value(Sure.OPEN, int(raw.strip().split(".")[0]))
    if re.fullmatch(r"\s*0[xX][0-9a-fA-F]+\s*", raw):
        return Value(Sure.OPEN, int(raw, 16))
    return Value(Sure.OPEN, int(float(raw))) if re.fullmatch(r"[0-9.]+[eE]\+?[0-9]{1,2}", raw) else NOTHING


def identifier(raw: Any) -> Value:
    """Read a 32-byte id."""
    if not isinstance(raw, str):
        return NOTHING
    found = HEX.fullmatch(raw.strip())
    if found is None:
        return NOTHING
    return Value(Sure.SURE if raw == raw.strip() else Sure.OPEN, f"0x{found[1].lower()}")


def trade_id(raw: Any) -> Value:
    if isinstance(raw, bool) or not isinstance(raw, (str, int)) or (isinstance(raw, int) and raw >= 2**128):
        return NOTHING
    text = str(raw)
    return Value(Sure.SURE if text and text == text.strip() and not text.startswith("-") else Sure.OPEN, text)


def side(raw: Any) -> Value:
    if not isinstance(raw, str):
        return NOTHING
    text = raw.strip().lower()
    if text not in {"buy", "sell"}:
        return NOTHING
    return Value(Sure.SURE if raw == raw.strip() else Sure.OPEN, text)


def flag(raw: Any) -> Value:
    if isinstance(raw, bool):
        return sure(raw)
    if isinstance(raw, (int, str)) and str(raw).lower() in {"0", "1", "true", "false"}:
        return Value(Sure.OPEN, str(raw).lower() in {"1", "true"})
    return NOTHING


def identity(raw: Any) -> Value:
    if not isinstance(raw, dict):
        return NOTHING
    for key in ("Address", "ContractId"):
        if key in raw:
            found = identifier(raw[key])
            return found if len(raw) == 1 else Value(min(found.sure, Sure.OPEN), found.value)
    return NOTHING


# -- entries ---------------------------------------------------------------------------------------

_Field: TypeAlias = tuple[tuple[str, ...], Callable[[Any], Value], Any]
"""Wire names, reading, and what a missing value means; ``...`` if it must be there."""

U64, U128, ANY_SIZE = number(64), number(128), number(128, signed=True)


def _or_open(read: Callable[[Any], Value]) -> Callable[[Any], Value]:
    """Read what an entry may also do without: unreadable is None, or the entry is not understood."""

    def reading(raw: Any) -> Value:
        found = read(raw)
        return found if found.sure else Value(Sure.OPEN)

    return reading


ENTRIES: dict[str, dict[str, _Field]] = {
    "trades": {
        "trade_id": (("trade_id",), trade_id, ...),
        "side": (("side",), _or_open(side), ...),
        "price": (("price",), U64, ...),
        "quantity": (("quantity",), U128, ...),
    },
    "orders": {
        "order_id": (("order_id",), identifier, ...),
        "side": (("side",), side, ...),
        "price": (("price",), _or_open(U64), ...),
        "quantity": (("quantity",), U128, ...),
        "quantity_fill": (("quantity_fill",), U128, 0),
        "close": (("close",), flag, False),
        "cancel": (("cancel",), flag, False),
    },
    "balances": {
        "identity": (("identity",), identity, ...),
        "asset_id": (("asset_id",), identifier, ...),
        "total_unlocked": (("total_unlocked",), U128, ...),
        "total_locked": (("total_locked",), U128, ...),
    },
    "nonce": {
        "contract_id": (("contract_id",), identifier, ...),
        "nonce": (("nonce",), U64, ...),
    },
}
"""What each kind of entry needs."""

OPEN_IF_ODD: dict[str, dict[str, Callable[[Any], Value]]] = {
    "trades": {},
    "orders": {"market_id": identifier, "account": identity, "owner": identity, "partially_filled": flag},
    "balances": {"trading_account_balance": U128},
    "nonce": {},
}
"""Fields that an entry may be refused for when they are there and unreadable."""

CARRIED: dict[str, dict[str, Callable[[Any], Value]]] = {
    "trades": {"total": U128, "timestamp": U128, "maker_fee": ANY_SIZE, "taker_fee": ANY_SIZE},
    "orders": {"price_fill": U64, "timestamp": U128, "base_decimals": number(8)},
    "balances": {},
    "nonce": {},
}
"""Carried fields whose value is compared: it is what was sent, or None with the raw value kept."""


@attrs.frozen
class Entry:
    """One entry of a list: as sent, and what it says."""

    index: int
    raw: Any
    sure: Sure
    values: Mapping[str, Any] = attrs.field(factory=dict)

    def says(self, model: Any) -> bool:
        """Tell whether a model says the same; an open value may be None."""
        for name, value in self.values.items():
            found = getattr(model, name)
            found = getattr(found, "id", found)
            if found != value and not (found is None and self.sure is Sure.OPEN):
                return False
        return True


def read_entry(kind: str, index: int, raw: Any) -> Entry:
    if not isinstance(raw, dict):
        return Entry(index, raw, Sure.UNREADABLE)
    values: dict[str, Any] = {}
    least = Sure.SURE
    for name, (names, read, default) in ENTRIES[kind].items():
        value = next((raw[each] for each in names if raw.get(each) is not None), None)
        found = sure(default) if value is None and default is not ... else read(value)
        least, values[name] = min(least, found.sure), found.value
    for name, read in OPEN_IF_ODD[kind].items():
        if raw.get(name) is not None and read(raw[name]).sure is not Sure.SURE:
            least = min(least, Sure.OPEN)
    if kind == "balances" and raw.get("trading_account_balance") is None:
        least = min(least, Sure.OPEN)
    if raw.get("turbo") not in (None, False):
        least = min(least, Sure.OPEN)  # an entry of the other venue
    if kind == "orders" and ("kind" in raw or raw.get("order_type") is None):
        least = min(least, Sure.OPEN)
    return Entry(index, raw, least, values)


# -- frames ----------------------------------------------------------------------------------------

_ACTIONS = {
    "subscribe_depth": "snapshot",
    "subscribe_depth_update": "update",
    "subscribe_depth_view": "view",
    "subscribe_trades": "trades",
    "trades": "trades",
    "subscribe_orders": "orders",
    "subscribe_balances": "balances",
    "subscribe_nonce": "nonce",
    "nonce": "nonce",
}
_LISTS = {"trades": ("trades", "trade"), "orders": ("orders",), "balances": ("balance",)}
_BOOKS = ("view", "orders", "changes")
_BODIES = {"snapshot": ("view", "orders"), "view": ("view", "orders"), "update": ("changes",)}


@attrs.frozen
class Frame:
    """What a message says.

    Attributes:
      kind: of what, or None if it does not say.
      sure: whether it can be read at all; entries have their own.
      market: the market it names, if it must.
      levels: of a depth message, in order: (side, price, quantity).
      entries: of a list.
      foreign: it belongs to the other venue.
      refuses: it may be taken for a refusal.
    """

    kind: str | None
    sure: Sure
    market: str | None = None
    levels: tuple[tuple[str, int, int], ...] = ()
    entries: tuple[Entry, ...] = ()
    foreign: bool = False
    refuses: bool = False


def read_frame(message: Any) -> Frame:
    """Read a message."""
    if not isinstance(message, dict):
        return Frame(None, Sure.UNREADABLE)
    action = message.get("action")
    kind = _ACTIONS.get(action) if isinstance(action, str) else None
    marks = [each.get("turbo") for each in (message, *map(message.get, _BOOKS)) if isinstance(each, dict)]
    foreign = any(str(mark).lower() == "true" for mark in marks)
    least = Sure.SURE if all(mark is None or isinstance(mark, bool) for mark in marks) else Sure.OPEN
    if kind is None and isinstance(action, str):
        text = action.strip().lower()
        names = (text, f"subscribe_{text}", f"{text}s", f"subscribe_{text}s")
        kind, least = next((_ACTIONS[name] for name in names if name in _ACTIONS), None), Sure.OPEN
    market = None
    if kind in {"snapshot", "update", "view", "trades"}:
        found = identifier(message.get("market_id"))
        least, market = min(least, found.sure), found.value
    more: dict[str, Any] = {"foreign": foreign, "refuses": _refuses(message), "market": market}
    if kind in _BODIES:
        read, levels = _levels(message, kind)
        return Frame(kind, min(least, read), levels=levels, **more)
    if kind == "nonce":
        return Frame(kind, least, entries=(read_entry(kind, 0, message),), **more)
    if kind is None:
        return Frame(None, Sure.UNREADABLE, foreign=foreign, refuses=more["refuses"])
    rows = next((message[key] for key in _LISTS[kind] if message.get(key) is not None), None)
    if isinstance(rows, dict):
        least, rows = min(least, Sure.OPEN if kind != "trades" or "trade_id" not in rows else least), [rows]
    if not isinstance(rows, list):
        return Frame(kind, Sure.UNREADABLE, **more)
    entries = tuple(read_entry(kind, index, raw) for index, raw in enumerate(rows))
    return Frame(kind, least, entries=entries, **more)


def _refuses(message: dict[str, Any]) -> bool:
    code = message.get("code")
    marks = {str(message.get(key)).lower() for key in ("action", "type", "status")}
    return (
        code not in (None, 0, "0", 200, "200")
        or "error" in marks
        or message.get("success") is False
        or bool(message.get("error"))
    )


def _levels(message: dict[str, Any], kind: str) -> tuple[Sure, tuple[tuple[str, int, int], ...]]:
    body = next((message[key] for key in _BODIES[kind] if message.get(key) is not None), None)
    if not isinstance(body, dict):
        return Sure.UNREADABLE, ()
    least = Sure.SURE
    if sum(message.get(key) is not None for key in _BODIES[kind]) > 1:
        least = Sure.OPEN
    levels: list[tuple[str, int, int]] = []
    present = False
    for name, keys in (("buy", ("buys", "bids")), ("sell", ("sells", "asks"))):
        rows = next((body[key] for key in keys if body.get(key) is not None), None)
        present = present or rows is not None
        if rows is not None and not isinstance(rows, list):
            return Sure.UNREADABLE, ()
        for row in rows or ():
            found, price, quantity = _level(row, signed=kind == "update")
            if found is Sure.UNREADABLE:
                return found, ()
            least = min(least, found)
            levels.append((name, price, quantity))
    if body.get("precision") is not None and body.get("precision") != 1:
        least = min(least, Sure.OPEN)
    return (least if present else Sure.UNREADABLE), tuple(levels)


def _level(row: Any, *, signed: bool) -> tuple[Sure, int, int]:
    read = ANY_SIZE if signed else U128
    if isinstance(row, dict):
        price, quantity = U64(row.get("price")), read(row.get("quantity"))
        return min(price.sure, quantity.sure), price.value, quantity.value
    if isinstance(row, list) and len(row) == 2:
        price, quantity = U64(row[0]), read(row[1])
        return min(price.sure, quantity.sure, Sure.OPEN), price.value, quantity.value
    return Sure.UNREADABLE, 0, 0


def thaw(value: Any) -> Any:
    """Return immutable JSON as plain JSON, for comparison with what was sent."""
    if isinstance(value, Mapping):
        return {key: thaw(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(entry) for entry in value]
    return float(value) if isinstance(value, Decimal) else value


def same(raw: Any, sent: Any) -> bool:
    """Tell whether a raw value that was kept is the one that was sent."""
    return json.dumps(thaw(raw), sort_keys=True) == json.dumps(thaw(sent), sort_keys=True)
