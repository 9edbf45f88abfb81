"""Depth: price levels, snapshots of a book and signed changes to it."""

from __future__ import annotations

import attrs

from ._common import Origin, Update
from ._ids import Id

__all__ = ["DepthChanges", "DepthUpdate", "Level"]


@attrs.frozen(slots=True)
class Level:
    """One price level.

    Attributes:
      price: in chain units (see :meth:`Market.price`).
      quantity: in chain units of the base asset. In a snapshot or view the absolute size; in a live
        update the **signed difference** to the size before.
    """

    price: int
    quantity: int


@attrs.frozen(slots=True)
class DepthChanges:
    """The levels that one depth message names.

    Attributes:
      bids: buy levels; in a snapshot best (highest) first.
      asks: sell levels; in a snapshot best (lowest) first.
    """

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

    @property
    def best_bid(self) -> Level | None:
        """The highest bid of this message that was not reduced, or None.

        In a snapshot this is the best bid of the book. In a live update it is the best level to
        which this one message *added*; for the best of the whole book keep a :class:`DepthBook`.
        """
        added = (level for level in self.bids if level.quantity > 0)
        return max(added, key=_price, default=None)

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask of this message that was not reduced, or None; see :attr:`best_bid`."""
        added = (level for level in self.asks if level.quantity > 0)
        return min(added, key=_price, default=None)


def _price(level: Level) -> int:
    return level.price


@attrs.frozen(slots=True, kw_only=True)
class DepthUpdate(Update):
    """A snapshot, a view or a change of one market's order book.

    Attributes:
      market_id: the market.
      changes: absolute sizes if :attr:`is_snapshot`, else signed differences.
      precision: the level of price grouping: prices are multiples of ``10**precision`` chain units.
        None where the exchange did not say (its live changes never do) and nobody filled it in.
    """

    market_id: Id
    changes: DepthChanges = attrs.field(factory=DepthChanges)
    precision: int | None = None

    @property
    def is_snapshot(self) -> bool:
        """Whether `changes` is the whole book and replaces what the consumer has."""
        return self.origin is Origin.SNAPSHOT

    @property
    def is_crossed(self) -> bool:
        """Whether this is a snapshot whose best bid lies above its best ask.

        Prices that are grouped coarsely can cross. A live change is never crossed: one that would cross a
        book that was not crossed breaks the stream, which heals with a fresh snapshot.
        """
        bid, ask = self.changes.best_bid, self.changes.best_ask
        return self.is_snapshot and bid is not None and ask is not None and bid.price > ask.price
