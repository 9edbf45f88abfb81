"""Shapes of foreign messages: which keys, which types, how long; never what they say. No I/O.

A shape is safe to publish: ids, amounts, names and texts are reduced to their pattern. It is also safe to
print: nothing of it can move the cursor of a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias, cast

__all__ = ["Json", "Object", "items_of", "object_of", "redact", "shape"]

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | Decimal | bool | None"
Object: TypeAlias = Mapping[str, Json]

_DEEPEST = 8
_ROWS = 20
"""Rows of a list whose shapes are distinguished."""

_PATTERNS = (
    (re.compile(r"0x[0-9a-f]{64}"), "id"),
    (re.compile(r"(0[xX])?[0-9a-fA-F]{64}"), "id in another spelling"),
    (re.compile(r"(0x)?[0-9a-fA-F]{64}/(0x)?[0-9a-fA-F]{64}"), "id/id"),
    (re.compile(r"-?[0-9]+"), "integer in text"),
    (re.compile(r"-?[0-9]+\.[0-9]+"), "decimal in text"),
    (re.compile(r"0[xX][0-9a-fA-F]+"), "hexadecimal in text"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][0-9:.]+.*"), "time in text"),
)

_WORDS = frozenset(
    {
        *("buy", "sell", "Buy", "Sell", "BUY", "SELL"),
        *("Spot", "Market", "Limit", "PostOnly", "FillOrKill", "BoundedMarket"),
        *("order", "trigger", "depth", "trades", "bars", "error", "ok"),
        *("confirmed", "created", "trade", "maker", "taker", "both"),
    }
)
"""Words of the protocol that a shape may repeat."""

_LONG_HEX = re.compile(r"(0[xX])?[0-9a-fA-F]{16,}")
_LONG_NUMBER = re.compile(r"\d{7,}")

_ACTION = re.compile(r"(un)?subscribe_[a-z_]{1,30}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,40}")


def redact(text: str) -> str:
    """Return foreign text with everything in it that may identify somebody replaced by what it is."""
    return _LONG_NUMBER.sub("<number>", _LONG_HEX.sub("<id>", text))


def object_of(value: object) -> Object:
    """Return `value` if it is an object, else an empty one."""
    return cast("Object", value) if isinstance(value, Mapping) else {}


def items_of(value: object) -> list[Object]:
    """Return the objects of a list, or none if it is not one."""
    rows = cast("list[Json]", value) if isinstance(value, list) else []
    return [item for item in rows if isinstance(item, Mapping)]


def shape(value: object, depth: int = 0) -> object:
    """Return what `value` looks like, without anything that it says."""
    if depth > _DEEPEST:
        return "deeper"
    if isinstance(value, Mapping):
        return {_key(key): shape(inner, depth + 1) for key, inner in object_of(cast("object", value)).items()}
    if isinstance(value, list):
        kinds: list[object] = []
        for item in cast("list[Json]", value)[:_ROWS]:
            found = shape(item, depth + 1)
            if found not in kinds:
                kinds.append(found)
        return kinds
    return _plain(value)


def _key(key: str) -> str:
    """Return a key, or the pattern of one that is rather a value: an id, a pair, a symbol in odd letters."""
    return key if _KEY.fullmatch(key) else f"<{_plain(key)}>"


def _plain(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if value in _WORDS or _ACTION.fullmatch(value):
            return f'"{value}"'
        for pattern, name in _PATTERNS:
            if pattern.fullmatch(value):
                return f"{name}, {len(value)} characters"
        return f"text, {len(value)} characters"
    if isinstance(value, int):
        return f"integer, {len(str(abs(value)))} digits"
    return "number with a fraction"
