"""Prices, quantities and amounts: the two units that they come in, and how one becomes the other.

The exchange counts in *chain units*, whole numbers of the smallest unit; people write *whole units*, such as
``"0.025"``. Both are numbers, and one taken for the other is wrong by a factor of a million or more. So a
bare integer is never an amount that a caller may pass: whole units are text or ``Decimal``, chain units are
:class:`Raw`. For type checkers everything that the exchange sends is :data:`ChainUnits`, which is not an
:data:`Amount` either, so that the mistake shows before the program runs.
"""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_UP,
    Context,
    Decimal,
    InvalidOperation,
)
from enum import Enum
from operator import index
from typing import TYPE_CHECKING, NewType, SupportsIndex, TypeAlias, cast

import attrs

from .._errors import InvalidRequest
from .._integers import as_integer

__all__ = ["EXACT", "Amount", "ChainUnits", "Raw", "Rounding", "to_raw", "units", "units_or_none"]

EXACT = Context(prec=400)
"""Wide enough that no sum or product of 256-bit numbers is ever rounded."""

U64 = 2**64

ChainUnits = NewType("ChainUnits", int)
"""A price, a quantity or an amount that the exchange sent: a plain ``int``, counted in chain units."""

if TYPE_CHECKING:

    def units(value: int) -> ChainUnits:
        """Let type checkers accept any integer for a field that is read as chain units."""
        ...

    def units_or_none(value: int | None) -> ChainUnits | None:
        """Do the same for a field that may be None."""
        ...
else:
    # No converter at all: a model costs what it did.
    units = units_or_none = None


def _check_raw(_raw: object, _attribute: attrs.Attribute[int], value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < U64:
        raise InvalidRequest(f"Raw takes a whole number of chain units below 2**64, not {value!r:.40}")


@attrs.frozen(slots=True)
class Raw:
    """A price, a quantity or an amount in chain units, as the exchange counts them.

    Attributes:
      value: from 0 to 2**64 - 1; an integer of any kind, such as NumPy's.
    """

    value: int = attrs.field(converter=as_integer, validator=_check_raw)


Amount: TypeAlias = str | Decimal | Raw
"""A number: text or Decimal in whole units (``"0.025"``), or :class:`Raw` in chain units."""


class Rounding(Enum):
    """What to do with a decimal number that is not a whole number of steps."""

    EXACT = "exact"
    """Raise :exc:`InvalidRequest`."""
    DOWN = ROUND_DOWN
    """Toward zero."""
    UP = ROUND_UP
    """Away from zero."""
    FLOOR = ROUND_FLOOR
    CEILING = ROUND_CEILING
    NEAREST = ROUND_HALF_EVEN


def to_raw(value: Amount, decimals: int, step: int, rounding: Rounding, what: str, whose: str) -> ChainUnits:
    """Return `value` in chain units; whole units become a multiple of `step`, a :class:`Raw` stays as it is.

    Args:
      value: the amount.
      decimals: one whole unit is ``10**decimals`` chain units.
      step: the least difference of two amounts, chain units.
      rounding: for an amount between two steps.
      what: ``price``, ``quantity`` or ``amount``, for the error.
      whose: the market or the asset, for the error.

    Raises:
      InvalidRequest: not an amount: a float, an integer, negative, or between two steps.
    """
    if isinstance(value, Raw):
        return ChainUnits(value.value)
    if not isinstance(value, (str, Decimal)):
        raise InvalidRequest(f"{whose}: {_refusal(value, decimals, what)}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise InvalidRequest(f"{whose}: {what} is not a decimal number: {value!r:.40}") from None
    # Beyond these bounds the arithmetic below would no longer be exact, or no longer be quick.
    sensible = number.is_finite() and number >= 0 and (number == 0 or -200 < number.adjusted() <= 60)
    if not sensible or len(number.as_tuple().digits) > 120:
        raise InvalidRequest(
            f"{whose}: {what} must be a finite number from 0 to 10**60 with few digits: {value!r:.40}"
        )
    steps = EXACT.divide(number.scaleb(decimals, EXACT), Decimal(step))
    whole = steps.to_integral_value(ROUND_DOWN if rounding is Rounding.EXACT else rounding.value, EXACT)
    if rounding is Rounding.EXACT and whole != steps:
        raise InvalidRequest(
            f"{whose}: {what} {value} is not a multiple of {Decimal(step).scaleb(-decimals, EXACT):f}; "
            "choose a rounding or round it yourself"
        )
    return ChainUnits(int(whole) * step)


def _refusal(value: object, decimals: int, what: str) -> str:
    """Say why `value` is not an amount; an integer is refused with both of its readings."""
    wanted = f"{what} must be text, Decimal or Raw, not {type(value).__name__}"
    try:
        number = index(cast("SupportsIndex", value))  # bool and the integers of other libraries, too
    except TypeError:
        return f"{wanted} {value!r:.40}; a float is not exact: pass its digits as text"
    if not 0 <= number < U64:
        return f"{wanted}, which does not say its unit"
    reading = Decimal(number).scaleb(-decimals, EXACT).normalize(EXACT)
    shown = f"{what} {value!s:.40} is ambiguous"
    return f'{shown}: did you mean Raw({number}), which is {reading:f}, or "{number}"?'
