"""What one block changed: the unit in which the exchange tells the world, and how it is gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ..models import Id, Trade
from ._accounts import Account
from ._matching import BookOrder, LevelChange

__all__ = ["Block", "Draft"]


@attrs.frozen(slots=True, kw_only=True)
class Block:
    """What one block changed.

    Attributes:
      height: counts blocks from 1.
      seen_timestamp: nanoseconds since 1970.
      trades: new trades of each market, oldest first.
      levels: net changes of price levels of each market.
      orders: every order that changed, each once.
      balances: every (account, asset) that changed, each once.
      nonces: every account whose nonce moved.
      accesses: every account whose session, version or parallel nonces changed.
    """

    height: int
    seen_timestamp: int
    trades: Mapping[Id, Sequence[Trade]]
    levels: Mapping[Id, Sequence[LevelChange]]
    orders: Sequence[BookOrder]
    balances: Sequence[tuple[Account, Id]]
    nonces: Sequence[Account]
    accesses: Sequence[Account]

    @property
    def onchain_timestamp(self) -> int:
        """The block's time in whole seconds since 1970."""
        return self.seen_timestamp // 1_000_000_000

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        changes = (self.trades, self.levels, self.orders, self.balances, self.nonces, self.accesses)
        return not any(changes)


class Draft:
    """The block under construction: what changed so far, each once; as in :class:`Block`."""

    __slots__ = ("accesses", "balances", "nonces", "orders", "trades")

    def __init__(self) -> None:
        self.trades: dict[Id, list[Trade]] = {}
        self.orders: dict[Id, BookOrder] = {}
        self.balances: dict[tuple[Id, Id], tuple[Account, Id]] = {}
        self.nonces: dict[Id, Account] = {}
        self.accesses: dict[Id, Account] = {}

    def finish(self, height: int, now: int, levels: Mapping[Id, Sequence[LevelChange]]) -> Block:
        """Return the block; `now` in nanoseconds since 1970."""
        return Block(
            height=height,
            seen_timestamp=now,
            trades=self.trades,
            levels=levels,
            orders=tuple(self.orders.values()),
            balances=tuple(self.balances.values()),
            nonces=tuple(self.nonces.values()),
            accesses=tuple(self.accesses.values()),
        )
