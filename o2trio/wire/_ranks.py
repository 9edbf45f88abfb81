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


@attrs.frozen(slots=True)
class Ranks:
    """The fields of one class by rank, in the names of the model.

    Attributes:
      needed, if_sent, carried: the fields of each :class:`Rank`.
    """

    needed: tuple[str, ...]
    if_sent: tuple[str, ...]
    carried: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[Rank, tuple[str, ...]]]:
        return iter(zip(Rank, (self.needed, self.if_sent, self.carried), strict=True))


def _ranks(needed: str = "", *, if_sent: str = "", carried: str = "") -> Ranks:
    """Return ranks from the names of fields, those of one rank in one text between spaces."""
    return Ranks(tuple(needed.split()), tuple(if_sent.split()), tuple(carried.split()))


_TIMES = "onchain_timestamp seen_timestamp"

RANKS: Mapping[str, Ranks] = {
    # What streams carry.
    "DepthUpdate": _ranks("market_id changes", carried=_TIMES),
    "Snapshot": _ranks("market_id view", carried=_TIMES),
    "DepthView": _ranks(if_sent="bids asks", carried="precision"),
    "DepthChanges": _ranks(if_sent="bids asks"),
    "Level": _ranks("price quantity"),
    "TradeUpdate": _ranks("market_id trades", carried=_TIMES),
    "Trade": _ranks(
        "trade_id side price quantity",
        carried="total timestamp maker taker trader_side maker_fee taker_fee",
    ),
    "OrderUpdate": _ranks("orders", carried=_TIMES),
    "Order": _ranks(
        "order_id side price quantity",
        if_sent="quantity_fill close cancel",
        carried="order_type price_fill timestamp partially_filled owner market_id base_decimals "
        "desired_quantity fills history",
    ),
    "TriggerOrder": _ranks(
        "order_id side trigger_price",
        if_sent="quantity parent close cancel",
        carried="order_type timestamp owner market_id",
    ),
    "Fill": _ranks("order_id price quantity", carried="timestamp"),
    "OrderTransaction": _ranks(carried="tx_id status type"),
    "BalanceUpdate": _ranks("balance", carried=_TIMES),
    "Balance": _ranks(
        "identity asset_id total_unlocked total_locked trading_account_balance",
        carried="order_books",
    ),
    "BookBalance": _ranks("locked unlocked", carried="fee"),
    "NonceUpdate": _ranks("contract_id nonce", carried=_TIMES),
    # What answers over REST hold besides that.
    "Markets": _ranks(
        "markets",
        carried="chain_id books_registry_id accounts_registry_id trade_account_oracle_id base_asset_id",
    ),
    "Market": _ranks(
        "contract_id market_id base quote",
        if_sent="turbo",
        carried="maker_fee taker_fee min_order dust price_window whitelist_id blacklist_id "
        "canonical_contract_id connected paused",
    ),
    "Asset": _ranks("asset decimals max_precision", carried="symbol"),
    "Bar": _ranks("timestamp open high low close", carried="buy_volume sell_volume volume"),
    "MarketSummary": _ranks(
        if_sent="market_id",
        carried="last_price high_price low_price volume_24h quote_volume change_24h",
    ),
    "Ticker": _ranks(
        if_sent="market_id",
        carried="bid bid_volume ask ask_volume last open high low close previous_close base_volume "
        "quote_volume change average percentage timestamp",
    ),
    "AccountState": _ranks(
        "trade_account_id",
        carried="nonce owner last_modification synced_with_network sync_state session",
    ),
    "RegisteredSession": _ranks("session_id expiry", if_sent="contract_ids"),
    "AccountCreated": _ranks("trade_account_id", carried="nonce"),
    "AccountWindow": _ranks("base", if_sent="slots", carried="nonce_session_id"),
    "WindowSlot": _ranks("word_position bitmap"),
    "ActiveOrder": _ranks("kind order_id", carried="triggers"),
    "Health": _ranks("status"),
    "AggregatedAsset": _ranks(
        if_sent="symbol id",
        carried="name unified_cryptoasset_id can_withdraw can_deposit min_withdraw min_deposit maker_fee "
        "taker_fee",
    ),
    "AggregatedBook": _ranks(if_sent="bids asks", carried="ticker_id timestamp"),
    "AggregatedLevel": _ranks("price size"),
    "AggregatedSummary": _ranks(
        "trading_pairs",
        carried="base_currency quote_currency last_price lowest_ask highest_bid base_volume quote_volume "
        "price_change_percent_24h highest_price_24h lowest_price_24h",
    ),
    "AggregatedTicker": _ranks(if_sent="market_pair", carried="last_price base_volume quote_volume"),
    "AggregatedTrade": _ranks("trade_id price base_volume side", carried="quote_volume timestamp"),
    "CoinGeckoTicker": _ranks(
        "ticker_id",
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
