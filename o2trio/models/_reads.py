"""What REST answers say beyond the streams: bars, tickers, summaries, account details, aggregated data.

Numbers are integers in chain units, except where a docstring says *decimal*: there the exchange itself counts
in whole units, and the digits are kept exactly. A number the exchange leaves out or sends as null is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Self

import attrs

from ._accounts import AccountInfo
from ._common import Side, datetime_from
from ._ids import Id, Identity
from ._orders import Order
from ._trades import Trade
from ._understanding import unread_field

__all__ = [
    "AccountState",
    "AccountWindow",
    "ActiveOrder",
    "AggregatedAsset",
    "AggregatedBook",
    "AggregatedLevel",
    "AggregatedSummary",
    "AggregatedTicker",
    "AggregatedTrade",
    "Bar",
    "CoinGeckoTicker",
    "Cursor",
    "Direction",
    "MarketSummary",
    "RegisteredSession",
    "Resolution",
    "Ticker",
    "WindowSlot",
]


class Direction(StrEnum):
    """The order of time in which a list is read."""

    ASCENDING = "asc"
    """Oldest first."""
    DESCENDING = "desc"
    """Newest first."""


class Resolution(StrEnum):
    """The span of time that one bar covers."""

    SECOND_1 = "1s"
    MINUTE_1 = "1m"
    MINUTE_2 = "2m"
    MINUTE_3 = "3m"
    MINUTE_5 = "5m"
    MINUTE_15 = "15m"
    MINUTE_30 = "30m"
    HOUR_1 = "1h"
    HOUR_2 = "2h"
    HOUR_4 = "4h"
    HOUR_6 = "6h"
    HOUR_8 = "8h"
    HOUR_12 = "12h"
    DAY_1 = "1d"
    DAY_3 = "3d"
    WEEK_1 = "1w"
    MONTH_1 = "1M"
    MONTH_3 = "3M"

    @property
    def milliseconds(self) -> int:
        """How long one bar is; a month counts as 30 days."""
        return int(self[:-1]) * _UNIT_MS[self[-1]]


_DAY_MS = 86_400_000
_UNIT_MS = {
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": _DAY_MS,
    "w": 7 * _DAY_MS,
    "M": 30 * _DAY_MS,
}


@attrs.frozen(slots=True)
class Cursor:
    """A place in a list of trades or orders: the item after which a page begins.

    Attributes:
      timestamp: the item's time as the exchange sent it (milliseconds for a trade).
      id: the item's trade id or order id.
    """

    timestamp: int
    id: str

    @classmethod
    def of(cls, item: Trade | Order) -> Self:
        """Return the place of `item`.

        Raises:
          ValueError: an order without a time.
        """
        if item.timestamp is None:
            raise ValueError("an item without a time is no place in a list")
        return cls(item.timestamp, item.trade_id if isinstance(item, Trade) else item.order_id)


def _both_volumes(bar: Bar) -> int | None:
    if bar.buy_volume is None or bar.sell_volume is None:
        return None
    return bar.buy_volume + bar.sell_volume


@attrs.frozen(slots=True, kw_only=True)
class Bar:
    """Prices and volumes of one span of time (a candle).

    Attributes:
      timestamp: the start of the span in **milliseconds** since 1970.
      open, high, low, close: prices in chain units.
      buy_volume, sell_volume: chain units of the base asset, by the side of the aggressor; None where the
        exchange tells only the sum.
      volume: both together; None if nothing was told.
    """

    timestamp: int
    open: int
    high: int
    low: int
    close: int
    buy_volume: int | None = None
    sell_volume: int | None = None
    volume: int | None = attrs.field(default=attrs.Factory(_both_volumes, takes_self=True))
    unread: Mapping[str, object] = unread_field()

    @property
    def time(self) -> datetime:
        """`timestamp` as an aware UTC time."""
        return datetime_from(self.timestamp, 1_000)


@attrs.frozen(slots=True, kw_only=True)
class MarketSummary:
    """The last 24 hours of a market.

    Attributes:
      market_id: the market, where the exchange tells.
      last_price, high_price, low_price: chain units.
      volume_24h: chain units of the base asset.
      quote_volume: chain units of the quote asset; few servers tell it.
      change_24h: *decimal*, as sent; its unit is not documented.
    """

    market_id: Id | None = None
    last_price: int | None = None
    high_price: int | None = None
    low_price: int | None = None
    volume_24h: int | None = None
    quote_volume: int | None = None
    change_24h: Decimal | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class Ticker:
    """The top of the book and the last 24 hours of a market.

    Attributes:
      market_id: the market.
      bid, ask: best prices in chain units; None if that side is empty.
      bid_volume, ask_volume: their sizes in chain units of the base asset.
      last, open, high, low, close, previous_close: prices in chain units.
      base_volume, quote_volume: chain units of the base and the quote asset.
      change, average: *decimal*, in chain units of a price.
      percentage: *decimal*, the change in percent.
      timestamp: **milliseconds** since 1970.
    """

    market_id: Id | None = None
    bid: int | None = None
    bid_volume: int | None = None
    ask: int | None = None
    ask_volume: int | None = None
    last: int | None = None
    open: int | None = None
    high: int | None = None
    low: int | None = None
    close: int | None = None
    previous_close: int | None = None
    base_volume: int | None = None
    quote_volume: int | None = None
    change: Decimal | None = None
    average: Decimal | None = None
    percentage: Decimal | None = None
    timestamp: int | None = None
    unread: Mapping[str, object] = unread_field()

    @property
    def time(self) -> datetime | None:
        """`timestamp` as an aware UTC time."""
        return None if self.timestamp is None else datetime_from(self.timestamp, 1_000)


@attrs.frozen(slots=True, kw_only=True)
class RegisteredSession:
    """The session that is registered for a trading account.

    Attributes:
      session_id: the session key's address.
      expiry: **seconds** since 1970.
      contract_ids: the order book contracts it may call.
    """

    session_id: Identity
    expiry: int
    contract_ids: tuple[Id, ...] = ()


@attrs.frozen(slots=True, kw_only=True)
class AccountState(AccountInfo):
    """A trading account with everything that the exchange tells about it.

    Attributes:
      last_modification: as sent, or None.
      synced_with_network: as sent, or None.
      sync_state: as sent, immutable; its values are not documented.
      session: the registered session; None if there is none, and where ``"session" in unread``: then
        there may be one, which could not be read.
      unread: fields that could not be read: wire name to raw value.
    """

    last_modification: int | None = None
    synced_with_network: bool | None = None
    sync_state: object = attrs.field(default=None, hash=False)
    session: RegisteredSession | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class WindowSlot:
    """One word of 128 used-marks in a window of parallel nonces."""

    word_position: int
    bitmap: int


@attrs.frozen(slots=True, kw_only=True)
class AccountWindow:
    """The window of parallel nonces of one lane.

    Attributes:
      nonce_session_id: the lane.
      base: the first word position of the window.
      slots: the words; there may be fewer than the window has room for.
    """

    nonce_session_id: int | None = None
    base: int
    slots: tuple[WindowSlot, ...] = ()
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class ActiveOrder:
    """An entry in the list of active orders.

    Attributes:
      kind: ``order``, ``trigger``, or a word that is newer than this library.
      order_id: the order.
      triggers: what the exchange says about its triggers, immutable, or None.
    """

    kind: str
    order_id: Id
    triggers: object = attrs.field(default=None, hash=False)
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class AggregatedAsset:
    """An asset as the aggregated endpoints list it; amounts and fees are *decimal*, in whole units.

    Attributes:
      symbol: for example ``FUEL``.
      id: the asset id, where the exchange tells.
      unified_cryptoasset_id: the number of a public catalogue of assets.
    """

    symbol: str = ""
    name: str = ""
    id: Id | None = None
    unified_cryptoasset_id: int | None = None
    can_withdraw: bool | None = None
    can_deposit: bool | None = None
    min_withdraw: Decimal | None = None
    min_deposit: Decimal | None = None
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True)
class AggregatedLevel:
    """One price level; *decimal*: quote per base, and whole base units."""

    price: Decimal
    size: Decimal


@attrs.frozen(slots=True, kw_only=True)
class AggregatedBook:
    """An order book in human numbers; bids and asks best first.

    Attributes:
      ticker_id: the pair, where the exchange tells.
      timestamp: as sent; milliseconds elsewhere in these endpoints.
    """

    bids: tuple[AggregatedLevel, ...] = ()
    asks: tuple[AggregatedLevel, ...] = ()
    ticker_id: str | None = None
    timestamp: int | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class AggregatedSummary:
    """The last 24 hours of a pair; every number is *decimal*, in whole units."""

    trading_pairs: str
    base_currency: str | None = None
    quote_currency: str | None = None
    last_price: Decimal | None = None
    lowest_ask: Decimal | None = None
    highest_bid: Decimal | None = None
    base_volume: Decimal | None = None
    quote_volume: Decimal | None = None
    price_change_percent_24h: Decimal | None = None
    highest_price_24h: Decimal | None = None
    lowest_price_24h: Decimal | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class AggregatedTicker:
    """Last price and volumes of a pair; *decimal*, in whole units."""

    market_pair: str = ""
    last_price: Decimal | None = None
    base_volume: Decimal | None = None
    quote_volume: Decimal | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class AggregatedTrade:
    """A trade in human numbers.

    Attributes:
      trade_id: opaque text.
      price, base_volume, quote_volume: *decimal*, in whole units.
      timestamp: **milliseconds** since 1970.
      side: as the exchange tells it in ``type``.
    """

    trade_id: str
    price: Decimal
    base_volume: Decimal
    quote_volume: Decimal | None = None
    timestamp: int | None = None
    side: Side
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class CoinGeckoTicker:
    """A pair in CoinGecko's shape; every number is *decimal*, in whole units."""

    ticker_id: str
    base_currency: str | None = None
    target_currency: str | None = None
    last_price: Decimal | None = None
    base_volume: Decimal | None = None
    target_volume: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    unread: Mapping[str, object] = unread_field()
