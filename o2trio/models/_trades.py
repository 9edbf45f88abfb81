"""Trades: the public feed, and account-scoped trades with the account's role."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import attrs

from ._amounts import ChainUnits, units, units_or_none
from ._common import Side, Update, datetime_from
from ._ids import Id, Identity

__all__ = ["Trade", "TradeUpdate", "TraderSide"]


class TraderSide(StrEnum):
    """The role of the account that a query was made for."""

    MAKER = "maker"
    TAKER = "taker"
    BOTH = "both"
    """A self trade."""


@attrs.frozen(slots=True, kw_only=True)
class Trade:
    """One match between a resting order (maker) and an incoming one (taker).

    Attributes:
      trade_id: opaque text; seen as a decimal number and as ``maker/taker`` order ids.
      side: the **maker's** side; the aggressor is on the opposite one.
      price: chain units.
      quantity: chain units of the base asset.
      total: chain units of the quote asset.
      timestamp: **milliseconds** since 1970.
      maker, taker: the two accounts, where the exchange tells them.
      trader_side: role of the queried account; only in account-scoped answers.
      maker_fee, taker_fee: chain units, where the exchange tells them.
    """

    trade_id: str
    side: Side
    price: ChainUnits = attrs.field(converter=units)
    quantity: ChainUnits = attrs.field(converter=units)
    total: ChainUnits | None = attrs.field(default=None, converter=units_or_none)
    timestamp: int
    maker: Identity | None = None
    taker: Identity | None = None
    trader_side: TraderSide | None = None
    maker_fee: ChainUnits | None = attrs.field(default=None, converter=units_or_none)
    taker_fee: ChainUnits | None = attrs.field(default=None, converter=units_or_none)

    @property
    def taker_side(self) -> Side:
        """The side of the aggressor."""
        return self.side.opposite

    @property
    def own_side(self) -> Side | None:
        """The side the queried account took; None if unknown or if it traded with itself."""
        if self.trader_side is TraderSide.MAKER:
            return self.side
        return self.taker_side if self.trader_side is TraderSide.TAKER else None

    @property
    def time(self) -> datetime:
        """`timestamp` as an aware UTC time."""
        return datetime_from(self.timestamp, 1_000)


@attrs.frozen(slots=True, kw_only=True)
class TradeUpdate(Update):
    """Trades of one market, oldest first.

    Attributes:
      market_id: the market.
      trades: the trades; empty when `origin` is ``GAP``.
    """

    market_id: Id
    trades: tuple[Trade, ...] = ()
