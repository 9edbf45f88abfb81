"""What each field of a message is needed for: the one table that both paths of decoding follow.

Every field of every class that comes off the wire has a rank. A field that the table does not name is not
read at all: the exchange may send whatever else it likes. The documentation shows this table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

import attrs

__all__ = ["OURS", "RANKS", "Rank", "Ranks", "ranks_of"]


class Rank(Enum):
    """What becomes of a message one of whose fields is absent or unreadable."""

    NEEDED = "needed"
    """Absent or unreadable, the entry is not understood; its neighbors are."""
    IF_SENT = "needed if sent"
    """Absent, it has its default; unreadable, the entry is not understood: it moves a book or an order."""
    CARRIED = "carried"
    """Absent or unreadable, it is None or its default, and an unreadable value is kept in ``unread``."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@attrs.frozen(slots=True, kw_only=True)
class Ranks:
    """The fields of one class by rank, in the names of the model; several in one text, between spaces."""

    needed: tuple[str, ...] = attrs.field(default="", converter=_words)
    if_sent: tuple[str, ...] = attrs.field(default="", converter=_words)
    carried: tuple[str, ...] = attrs.field(default="", converter=_words)

    def __iter__(self) -> Iterator[tuple[Rank, tuple[str, ...]]]:
        return iter(zip(Rank, (self.needed, self.if_sent, self.carried), strict=True))


_TIMES = "onchain_timestamp seen_timestamp"

RANKS: Mapping[str, Ranks] = {
    # What streams carry.
    "DepthUpdate": Ranks(needed="market_id changes", carried=_TIMES),
    "Snapshot": Ranks(needed="market_id view", carried=_TIMES),
    "DepthView": Ranks(if_sent="bids asks", carried="precision"),
    "DepthChanges": Ranks(if_sent="bids asks"),
    "Level": Ranks(needed="price quantity"),
    "TradeUpdate": Ranks(needed="market_id trades", carried=_TIMES),
    "Trade": Ranks(
        needed="trade_id side price quantity",
        carried="total timestamp maker taker trader_side maker_fee taker_fee",
    ),
    "OrderUpdate": Ranks(needed="orders", carried=_TIMES),
    "Order": Ranks(
        needed="order_id side price quantity",
        if_sent="quantity_fill close cancel",
        carried="order_type price_fill timestamp partially_filled owner market_id base_decimals "
        "desired_quantity fills history",
    ),
    "TriggerOrder": Ranks(
        needed="order_id side trigger_price",
        if_sent="quantity parent close cancel",
        carried="order_type timestamp owner market_id",
    ),
    "Fill": Ranks(needed="order_id price quantity", carried="timestamp"),
    "OrderTransaction": Ranks(carried="tx_id status type"),
    "BalanceUpdate": Ranks(needed="balance", carried=_TIMES),
    "Balance": Ranks(
        needed="identity asset_id total_unlocked total_locked trading_account_balance",
        carried="order_books",
    ),
    "BookBalance": Ranks(needed="locked unlocked", carried="fee"),
    "NonceUpdate": Ranks(needed="contract_id nonce", carried=_TIMES),
    # What answers over REST hold beside that.
    "Markets": Ranks(
        needed="markets",
        carried="chain_id books_registry_id accounts_registry_id trade_account_oracle_id base_asset_id",
    ),
    "Market": Ranks(
        needed="contract_id market_id base quote",
        if_sent="turbo",
        carried="maker_fee taker_fee min_order dust price_window whitelist_id blacklist_id "
        "canonical_contract_id connected paused",
    ),
    "Asset": Ranks(needed="asset decimals max_precision", carried="symbol"),
    "Bar": Ranks(needed="timestamp open high low close", carried="buy_volume sell_volume volume"),
    "MarketSummary": Ranks(
        if_sent="market_id",
        carried="last_price high_price low_price volume_24h quote_volume change_24h",
    ),
    "Ticker": Ranks(
        if_sent="market_id",
        carried="bid bid_volume ask ask_volume last open high low close previous_close base_volume "
        "quote_volume change average percentage timestamp",
    ),
    "AccountState": Ranks(
        needed="trade_account_id",
        carried="nonce owner last_modification synced_with_network sync_state session",
    ),
    "RegisteredSession": Ranks(needed="session_id expiry", if_sent="contract_ids"),
    "AccountCreated": Ranks(needed="trade_account_id", carried="nonce"),
    "AccountWindow": Ranks(needed="base", if_sent="slots", carried="nonce_session_id"),
    "WindowSlot": Ranks(needed="word_position bitmap"),
    "ActiveOrder": Ranks(needed="kind order_id", carried="triggers"),
    "Health": Ranks(needed="status"),
    "AggregatedAsset": Ranks(
        if_sent="symbol id",
        carried="name unified_cryptoasset_id can_withdraw can_deposit min_withdraw min_deposit maker_fee "
        "taker_fee",
    ),
    "AggregatedBook": Ranks(if_sent="bids asks", carried="ticker_id timestamp"),
    "AggregatedLevel": Ranks(needed="price size"),
    "AggregatedSummary": Ranks(
        needed="trading_pairs",
        carried="base_currency quote_currency last_price lowest_ask highest_bid base_volume quote_volume "
        "price_change_percent_24h highest_price_24h lowest_price_24h",
    ),
    "AggregatedTicker": Ranks(if_sent="market_pair", carried="last_price base_volume quote_volume"),
    "AggregatedTrade": Ranks(needed="trade_id price base_volume side", carried="quote_volume timestamp"),
    "CoinGeckoTicker": Ranks(
        needed="ticker_id",
        carried="base_currency target_currency last_price base_volume target_volume bid ask high low",
    ),
}
"""The ranks by name of the class: some classes live in packages above this one."""

OURS = frozenset(
    {"origin", "epoch", "gap", "not_understood", "unread", "unreadable", "triggers", "index", "raw"}
)
"""Fields that this library fills in where no rank says otherwise; the wire cannot set them."""


def ranks_of(cls: type[object]) -> Ranks | None:
    """Return the ranks of the fields of `cls`, or None if it is not in the table.

    Such a class needs what has no default, and the rest if it is sent.
    """
    return RANKS.get(cls.__name__)
