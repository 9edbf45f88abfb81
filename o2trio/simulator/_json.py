"""JSON as the simulator makes it: its type, and its text. What it says is made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

__all__ = ["Json", "Object", "dump"]

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | msgspec.Raw | bool | None"
Object: TypeAlias = Mapping[str, Json]

_ENCODER = msgspec.json.Encoder()


def dump(value: object) -> str:
    """Return `value` as JSON text."""
    return _ENCODER.encode(value).decode()
