"""What a kind of fault is, and how its arguments are drawn. The kinds are in ``_fault_kinds``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random

import attrs

__all__ = [
    "AFTERMATH",
    "CHANCE",
    "DIRECTION",
    "FEW",
    "HOST",
    "MANY",
    "READS",
    "SHORT",
    "SPELL",
    "Draw",
    "FaultKind",
    "Value",
    "among",
    "number",
    "seconds_of",
]

Value = str | int | float
"""What an argument of a fault may be."""

Draw = Callable[[Random], Value]

AFTERMATH = 120.0
"""What is fatal may come to light so long after its cause has ended: after a backoff and a dial."""


@attrs.frozen(slots=True, kw_only=True)
class FaultKind:
    """One way to go wrong.

    Attributes:
      inject: does it; takes the world and the drawn arguments, returns when it is over.
      draws: how each argument is drawn.
      weight: how often it comes, compared with others.
      is_fatal: whether it may end a client by contract.
      is_fresh_start: whether the exchange forgets everything.
      is_of_trading: whether it strikes nobody but traders.
    """

    inject: Callable[..., Awaitable[None]]
    draws: Mapping[str, Draw]
    weight: float = 1.0
    is_fatal: bool = False
    is_fresh_start: bool = False
    is_of_trading: bool = False

    def draw(self, random: Random) -> Mapping[str, Value]:
        """Draw the arguments of one fault."""
        return {name: draw(random) for name, draw in self.draws.items()}


def among(*values: Value) -> Draw:
    return lambda random: random.choice(values)


def number(least: int, most: int) -> Draw:
    return lambda random: random.randint(least, most)


def seconds_of(least: float, most: float) -> Draw:
    return lambda random: round(random.uniform(least, most), 3)


HOST = among("streams", "streams", "rest")
DIRECTION = among("up", "down")
FEW, MANY = number(1, 3), number(1, 30)
SPELL = seconds_of(0.5, 90)
SHORT = seconds_of(0.1, 15)
CHANCE = among(0.1, 0.3, 1.0)
READS = among("", "/v1/trades", "/v1/orders", "/v1/accounts", "/v1/balance", "/v1/depth", "/v1/markets")
