"""What one block changed: the unit in which the exchange tells the world. No behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ..models import Id, Trade
from ._accounts import Account
from ._matching import BookOrder, LevelChange

__all__ = ["Block"]


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
    """

    height: int
    seen_timestamp: int
    trades: Mapping[Id, Sequence[Trade]]
    levels: Mapping[Id, Sequence[LevelChange]]
    orders: Sequence[BookOrder]
    balances: Sequence[tuple[Account, Id]]
    nonces: Sequence[Account]

    @property
    def onchain_timestamp(self) -> int:
        """The block's time in whole seconds since 1970."""
        return self.seen_timestamp // 1_000_000_000

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return not (self.trades or self.levels or self.orders or self.balances or self.nonces)
