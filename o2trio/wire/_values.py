"""Strict readings of single JSON values: integers, ids, identities, sides, order types.

Each reader takes a decoded JSON value (and the type that cattrs wants, which it ignores) and returns the
model's value or raises ValueError. What fields a message has is told by ``_structure``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import TypeGuard, cast

from ..models import Id, Identity, IdentityKind, OrderType, Side, TraderSide, normalize_id
from ..models._common import milliseconds_from

__all__ = [
    "I128",
    "ID_CACHE",
    "U8",
    "U64",
    "U128",
    "Hook",
    "counter",
    "decimal",
    "is_list",
    "is_object",
    "keep",
    "known_id",
    "known_identity",
    "number",
    "read_anything",
    "read_bool",
    "read_decimal",
    "read_enum",
    "read_id",
    "read_identity",
    "read_mark",
    "read_milliseconds",
    "read_number",
    "read_order_type",
    "read_record",
    "read_side",
    "read_text",
    "read_trade_id",
    "read_trader_side",
    "show",
]

Hook = Callable[[object, object], object]

_LONGEST = 40
"""Digits that are looked at; 2**128 has 39."""
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
ID_CACHE = 16_384
"""Texts remembered; the same few markets, accounts and orders come again and again."""
_NAMES: Mapping[type, str] = {type(None): "null", int: "a huge number", list: "a list", dict: "an object"}


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Tell whether a decoded JSON value is an object, whose keys are always text."""
    return type(value) is dict


def is_list(value: object) -> TypeGuard[list[object]]:
    """Tell whether a decoded JSON value is a list."""
    return type(value) is list


def show(value: object) -> str:
    """Return a short text for `value`, whatever its size."""
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, Decimal):
        return str(value)[:40]
    if isinstance(value, (bool, float)) or (isinstance(value, int) and value.bit_length() <= 140):
        return str(value)
    return _NAMES[type(value)]


def integer(low: int, high: int) -> Callable[[object, object], int]:
    """Return a reader of integers from `low` to `high`: JSON integers, or text of decimal digits."""

    def read(value: object, _type: object) -> int:
        if type(value) is str:
            digits = value.removeprefix("-")
            if not (digits.isdigit() and digits.isascii()) or len(digits) > _LONGEST:
                raise ValueError(f"expected an integer as text, not {show(value)}")
            number = int(value)
        elif type(value) is int:
            number = value
        else:
            raise ValueError(f"expected an integer, not {show(value)}")
        if low <= number <= high:
            return number
        raise ValueError(f"expected an integer from {low} to {high}, not {show(value)}")

    return read


U8 = integer(0, 2**8 - 1)
U64 = integer(0, 2**64 - 1)
U128 = integer(0, 2**128 - 1)
I128 = integer(1 - 2**128, 2**128 - 1)
"""A signed difference of two unsigned 128-bit sizes."""


def counter(value: object, type_: object) -> int:
    """Read an unsigned 64-bit integer that may also be hexadecimal text with ``0x``."""
    if type(value) is str and _HEXADECIMAL.fullmatch(value):
        return int(value, 16)
    return U64(value, type_)


_DECIMAL = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
"""What is read as a decimal number: the bounds are beyond anything sensible, and keep arithmetic quick."""


def decimal(text: str) -> Decimal:
    """Read the text of a decimal number, every digit of it."""
    if _DECIMAL.fullmatch(text) and text.isascii():
        return Decimal(text)
    raise ValueError(f"expected a decimal number, not {show(text)}")


def number(text: str) -> Decimal | float:
    """Read a JSON number that is no integer; beyond anything sensible it is a float, which nobody reads."""
    return Decimal(text) if _DECIMAL.fullmatch(text) else float(text)


def read_decimal(value: object, _type: object) -> Decimal:
    """Read a decimal number, sent as a JSON number or as text."""
    if type(value) is Decimal:
        return value
    if type(value) is int:
        return Decimal(I128(value, int))
    if type(value) is str:
        return decimal(value)
    raise ValueError(f"expected a decimal number, not {show(value)}")


def read_text(value: object, _type: object) -> str:
    """Read text and nothing else."""
    if type(value) is str:
        return value
    raise ValueError(f"expected text, not {show(value)}")


def read_number(value: object, type_: object) -> int | Decimal:
    """Read a number from 0 on that may have a fraction; without one it is an integer."""
    if type(value) is Decimal or (type(value) is str and "." in value):
        number = read_decimal(value, type_)
        if not 0 <= number <= 2**128:
            raise ValueError(f"expected a number from 0 on, not {show(value)}")
        return number
    return U128(value, type_)


def read_milliseconds(value: object, type_: object) -> int:
    """Read a time in milliseconds since 1970, from a number in any unit or the text of RFC 3339."""
    if type(value) is str and "-" in value[1:]:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"expected a time, not {show(value)}") from None
        value = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
    if type(value) is Decimal and 0 <= value < 10**11:
        value = int(value * 1_000)
        return U128(value, type_)
    return milliseconds_from(U128(int(value) if type(value) is Decimal else value, type_))


def read_trade_id(value: object, _type: object) -> str:
    """Read an opaque trade id, which some services send as an integer."""
    if type(value) is int:
        return str(U128(value, int))
    if value == "":
        raise ValueError("expected a trade id, not an empty text")
    return read_text(value, str)


def read_bool(value: object, _type: object) -> bool:
    """Read true or false and nothing else."""
    if type(value) is bool:
        return value
    raise ValueError(f"expected true or false, not {show(value)}")


_MARKS: Mapping[object, bool] = {True: True, "true": True, False: False, "false": False}


def read_mark(value: object, _type: object) -> bool:
    """Read the mark of the venue: whether it is Turbo."""
    if isinstance(value, (bool, int, str)) and (mark := _MARKS.get(value)) is not None:
        return mark
    raise ValueError(f"expected true or false, not {show(value)}")


def read_enum(value: object, type_: object) -> object:
    """Read a member of the enumeration `type_` by its exact text."""
    return cast("type[Enum]", type_)(read_text(value, str))


known_id = lru_cache(ID_CACHE)(normalize_id)
"""Normalises an id."""


def read_id(value: object, _type: object) -> Id:
    """Read a 32-byte id, normalised."""
    if type(value) is str:
        return known_id(value)
    raise ValueError(f"expected an id, not {show(value)}")


known_identity = lru_cache(ID_CACHE)(Identity)
"""Makes an identity."""


def read_identity(value: object, _type: object) -> Identity:
    """Read ``{"Address": id}`` or ``{"ContractId": id}``."""
    if is_object(value):
        for kind in IdentityKind:
            if kind.value in value:
                return known_identity(kind, read_id(value[kind.value], Id))
    raise ValueError(f"expected an Address or a ContractId, not {show(value)}")


def read_side(value: object, _type: object) -> Side:
    """Read a side in any letter case."""
    try:
        return Side(read_text(value, str).lower())
    except ValueError:
        raise ValueError(f"expected buy or sell, not {show(value)}") from None


def read_trader_side(value: object, _type: object) -> TraderSide:
    """Read an account's role."""
    return TraderSide(read_text(value, str))


_BOUNDED = ("BoundedMarket", "Bounded")
_PLAIN_TYPES = {name: OrderType(name) for name in ("Spot", "PostOnly", "FillOrKill", "Market")}


def read_order_type(value: object, _type: object) -> OrderType:
    """Read an order type; unknown names and shapes survive with their name."""
    if type(value) is str and value:
        return _PLAIN_TYPES.get(value) or OrderType(value)
    if not is_object(value) or not value:
        raise ValueError(f"expected an order type, not {show(value)}")
    name, content = next(iter(value.items()))
    if name == "Limit" and is_list(content) and len(content) == 2:
        return OrderType(name, price=U64(content[0], int), timestamp=U64(content[1], int))
    if name == "Limit" and is_object(content) and "price" in content:
        return OrderType(name, price=U64(content["price"], int))
    if name in _BOUNDED and is_object(content) and {"max_price", "min_price"} <= content.keys():
        highest, lowest = U64(content["max_price"], int), U64(content["min_price"], int)
        return OrderType(name, max_price=highest, min_price=lowest)
    return OrderType(name)


def read_record(value: object, _type: object) -> Mapping[str, object]:
    """Read any object and make it immutable at every depth."""
    if is_object(value):
        return MappingProxyType({key: _freeze(entry) for key, entry in value.items()})
    raise ValueError(f"expected an object, not {show(value)}")


def read_anything(value: object, _type: object) -> object:
    """Read any JSON and make it immutable at every depth."""
    return _freeze(value)


_DEEPEST = 64
"""Levels of nesting that are kept of what could not be read; no message is nested so deeply."""


def keep(value: object, depth: int = 0) -> object:
    """Return any JSON, immutable at every depth; what is nested beyond all measure is cut off there."""
    if is_object(value):
        inside = value if depth < _DEEPEST else dict[str, object]()
        return MappingProxyType({key: keep(entry, depth + 1) for key, entry in inside.items()})
    if is_list(value):
        return tuple([keep(entry, depth + 1) for entry in value]) if depth < _DEEPEST else ()
    return value


def _freeze(value: object) -> object:
    if is_object(value):
        return read_record(value, dict)
    if type(value) is float:
        raise ValueError(f"expected a sensible number, not {show(value)}")
    return tuple(_freeze(entry) for entry in value) if is_list(value) else value
