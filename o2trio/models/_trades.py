"""Trades: the public feed, and account-scoped trades with the account's role."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from ._amounts import ChainUnits, units, units_or_none
from ._common import Side, Update, moment_from, time_from
from ._ids import Id, Identity
from ._understanding import NotUnderstood, in_order, unread_field

__all__ = ["Trade", "TradeUpdate", "TraderSide", "trade_key"]

_PART = r"(?:0[xX][0-9a-fA-F]+|[0-9a-fA-F]{64})"
_HEXADECIMAL = re.compile(f"{_PART}(?:/{_PART})*")


def trade_key(trade_id: str) -> str:
    """Return the form of a trade id in which two spellings of one id are equal.

    A stream and an answer over REST may spell the hexadecimal parts of ``maker/taker`` in different letter
    case; a part of 64 digits may lack its ``0x``. Any other text is returned as it is. The result is for
    comparing only: requests and consumers get the id as the exchange sent it.
    """
    if not _HEXADECIMAL.fullmatch(trade_id):
        return trade_id
    # The only x of such a text is that of a prefix.
    return "/".join("0x" + part.removeprefix("0x") for part in trade_id.lower().split("/"))


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
      timestamp: as sent, usually **milliseconds** since 1970; None where it is absent or unreadable. See
        :attr:`time` and :attr:`milliseconds`.
      maker, taker: the two accounts, where the exchange names them.
      trader_side: role of the queried account; only in account-scoped answers.
      maker_fee, taker_fee: chain units, where the exchange names them; a rebate is negative.
      unread: fields that could not be read: wire name to raw value.
    """

    trade_id: str
    side: Side
    price: ChainUnits = attrs.field(converter=units)
    quantity: ChainUnits = attrs.field(converter=units)
    total: ChainUnits | None = attrs.field(default=None, converter=units_or_none)
    timestamp: int | None = None
    maker: Identity | None = None
    taker: Identity | None = None
    trader_side: TraderSide | None = None
    maker_fee: ChainUnits | None = attrs.field(default=None, converter=units_or_none)
    taker_fee: ChainUnits | None = attrs.field(default=None, converter=units_or_none)
    unread: Mapping[str, object] = unread_field()

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
    def milliseconds(self) -> int | None:
        """`timestamp` in milliseconds since 1970, inferred from its size; None beyond the year 9999."""
        return moment_from(self.timestamp)

    @property
    def time(self) -> datetime | None:
        """`timestamp` as an aware UTC time; its unit is inferred from its size."""
        return time_from(self.timestamp)


@attrs.frozen(slots=True, kw_only=True)
class TradeUpdate(Update):
    """Trades of one market, oldest first.

    Attributes:
      market_id: the market.
      trades: the trades; empty when `origin` is ``GAP``.
    """

    market_id: Id
    trades: tuple[Trade, ...] = ()

    @property
    def entries(self) -> tuple[Trade | NotUnderstood, ...]:
        """The trades and the entries that were not understood, in the order the exchange sent them."""
        return in_order(self.trades, self.not_understood)
