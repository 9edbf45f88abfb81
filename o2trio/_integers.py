"""Integers of every kind: those of other libraries, such as NumPy's, are integers too."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex, cast

__all__ = ["as_integer"]


def as_integer(value: SupportsIndex) -> int:
    """Return an integer of any kind as a plain ``int``, and anything else, a bool included, as it is.

    A check that refuses what is not an ``int`` runs after it.
    """
    if type(value) is int:
        return value
    try:
        return cast("int", value) if isinstance(value, bool) else index(value)
    except TypeError:
        return cast("int", value)
