"""How the exchange writes things down: records to JSON-ready dictionaries, in every flavor. No state.

Shapes follow sections 2 and 3 of the protocol notes. Where clients and servers disagree about a shape,
:class:`Flavor` chooses; its defaults are what the server's own types say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import attrs
import msgspec

from ..models import (
    Asset,
    Balance,
    DepthChanges,
    Id,
    Identity,
    Level,
    Market,
    Markets,
    OrderType,
    Side,
    Trade,
)
from ._accounts import Account, SessionRecord
from ._flavors import Choices
from ._json import Json, dump
from ._matching import BookOrder
from ._reshape import reshape_error, reshape_frame

__all__ = ["DEFAULT_FLAVOR", "Flavor", "Json", "dump"]


@attrs.frozen(slots=True, kw_only=True)
class Flavor(Choices):
    __doc__ = Choices.__doc__

    # -- small parts -------------------------------------------------------------------------------

    def id(self, value: Id) -> str:
        """Spell an id."""
        if self.ids == "prefixed":
            return value
        return value[2:].upper() if self.ids == "upper" else value[2:]

    @property
    def parallel_signature_keys(self) -> tuple[str, ...]:
        """The keys that are accepted with a parallel nonce."""
        key = self.parallel_signature_key
        return ("Secp256k1", "TypedSecp256k1") if key == "either" else (key,)

    def identity(self, identity: Identity) -> Json:
        """Spell an identity."""
        return {identity.kind.value: self.id(identity.id)}

    def stamps(self, onchain: int, seen: int) -> dict[str, Json]:
        """Return the two time stamps of an envelope; `onchain` in seconds, `seen` in nanoseconds."""
        chosen = {
            "onchain_timestamp": _stamp(self.onchain_timestamp, onchain, 1),
            "seen_timestamp": _stamp(self.seen_timestamp, seen, 1_000_000_000),
        }
        return {name: value for name, value in chosen.items() if getattr(self, name) != "absent"}

    def frame(self, message: Json) -> str:
        """Return a message of a WebSocket as text, after every step of the flavor."""
        return dump(reshape_frame(self, message))

    # -- streams -----------------------------------------------------------------------------------

    def levels(self, levels: Sequence[Level]) -> Json:
        """Return levels as objects of text."""
        return [{"price": str(level.price), "quantity": str(level.quantity)} for level in levels]

    def sides(self, depth: DepthChanges) -> dict[str, Json]:
        """Return both sides of a book or of changes to it."""
        return {"buys": self.levels(depth.bids), "sells": self.levels(depth.asks)}

    def snapshot(self, market_id: Id, precision: int, book: DepthChanges) -> Json:
        """Return the first message of a depth subscription."""
        view = self.sides(book)
        if self.snapshot_key == "view":
            view = {"precision": precision, **view}
        return {"action": "subscribe_depth", self.snapshot_key: view, "market_id": self.id(market_id)}

    def view(self, market_id: Id, precision: int, book: DepthChanges) -> Json:
        """Return one message of a depth view."""
        view: Json = {"precision": precision, **self.sides(book)}
        return {"action": "subscribe_depth_view", "view": view, "market_id": self.id(market_id)}

    def trade(self, trade: Trade) -> dict[str, Json]:
        """Return one trade; `side` is the maker's."""
        fields: dict[str, Json] = {
            "trade_id": self.trade_id_value(trade),
            "side": trade.side.value,
            "total": str(trade.total),
            "quantity": str(trade.quantity),
            "price": str(trade.price),
            "timestamp": str(trade.timestamp),
        }
        if self.trade_parties and trade.maker is not None and trade.taker is not None:
            fields |= {
                "maker": self.identity(trade.maker),
                "taker": self.identity(trade.taker),
                "maker_fee": str(trade.maker_fee),
                "taker_fee": str(trade.taker_fee),
            }
        return fields

    def trade_id_value(self, trade: Trade) -> str | int:
        """Spell a trade's id."""
        if self.trade_id == "pair":
            return "/".join(self.id(Id(part)) for part in trade.trade_id.split("/"))
        number = self.trade_number(trade)
        return number if self.trade_id == "number" else hex(number)

    def trade_number(self, trade: Trade) -> int:
        """Return a trade's id as a number above 2**53."""
        return int(trade.trade_id[2:16], 16) << 20 | int(trade.trade_id[-5:], 16)

    def order_time(self, order: BookOrder) -> int:
        """Return when an order was placed, in the unit that is sent."""
        return order.timestamp if self.order_timestamp == "seconds" else order.created // 1_000_000

    def order(self, order: BookOrder, market: Market) -> dict[str, Json]:
        """Return one order in its present state."""
        fills: list[Json] = [
            {
                "order_id": self.id(fill.order_id),
                "price": str(fill.price),
                "quantity": str(fill.quantity),
                "timestamp": str(fill.timestamp),
            }
            for fill in order.fills
        ]
        history: list[Json] = [
            {"tx_id": self.id(tx_id), "status": "confirmed", "type": kind} for tx_id, kind in order.history
        ]
        fields: dict[str, Json] = {
            "order_id": self.id(order.order_id),
            "side": order.side.value,
            "order_type": _order_type(order.order_type),
            "quantity": str(order.quantity),
            "quantity_fill": str(order.filled),
            "price": str(order.price),
            "price_fill": str(order.price_fill),
            "timestamp": str(self.order_time(order)),
            "close": order.close,
            "partially_filled": order.is_partially_filled,
            "cancel": order.cancel,
        }
        if self.order_flavor == 1:
            return fields | {
                "desired_quantity": _desired(order),
                "base_decimals": market.base.decimals,
                "account": self.identity(order.owner),
                "fill": fills[-1] if fills else None,
                "order_tx_history": history,
            }
        return fields | {
            "market_id": self.id(order.market_id),
            "owner": self.identity(order.owner),
            "history": history,
            "fills": fills,
        }

    def balance(self, balance: Balance) -> dict[str, Json]:
        """Return the holding of one asset, without whose and which."""
        return {
            "total_locked": str(balance.total_locked),
            "total_unlocked": str(balance.total_unlocked),
            "trading_account_balance": str(balance.trading_account_balance),
            "order_books": {
                self.id(contract): {
                    "locked": str(book.locked),
                    "unlocked": str(book.unlocked),
                    **({"fee": str(book.fee)} if self.book_fee else {}),
                }
                for contract, book in balance.order_books.items()
            },
        }

    def nonce_value(self, nonce: int) -> Json:
        """Spell a nonce."""
        spellings: dict[str, Json] = {"text": str(nonce), "number": nonce, "hex": hex(nonce)}
        return spellings[self.nonce]

    def error(self, code: int, message: str, action: str = "", market_id: str = "") -> Json:
        """Return an error frame."""
        fields = reshape_error(self, {"code": code, "message": message}, is_frame=True)
        if self.error_action == "error":
            return {"action": "error", **fields}
        if self.error_action == "request" and action:
            return {"action": action, **fields, **({"market_id": market_id} if market_id else {})}
        return fields

    # -- REST --------------------------------------------------------------------------------------

    def rest_sides(self, book: DepthChanges) -> Json:
        """Return both sides of a book as REST tells them."""
        if self.rest_levels == "objects":
            return self.sides(book)
        sides = {"buys": book.bids, "sells": book.asks}
        return {
            name: [[str(level.price), str(level.quantity)] for level in levels]
            for name, levels in sides.items()
        }

    def human(self, number: Decimal) -> Json:
        """Spell a number in whole units, with all its digits and without an exponent."""
        text = f"{number:f}"
        return msgspec.Raw(text.encode()) if self.human_numbers == "number" else text

    def market(self, market: Market) -> Json:
        """Return one market."""
        return {
            "contract_id": self.id(market.contract_id),
            "market_id": self.id(market.market_id),
            "maker_fee": str(market.maker_fee),
            "taker_fee": str(market.taker_fee),
            "min_order": str(market.min_order),
            "dust": str(market.dust),
            "price_window": msgspec.Raw(f"{Decimal(market.price_window):f}".encode()),
            "base": self._asset(market.base),
            "quote": self._asset(market.quote),
        }

    def _asset(self, asset: Asset) -> Json:
        return {
            "symbol": asset.symbol,
            "asset": self.id(asset.asset),
            "decimals": asset.decimals,
            "max_precision": asset.max_precision,
        }

    def markets(self, markets: Markets) -> Json:
        """Return the list of markets and the contracts behind it."""
        contracts = {
            "books_registry_id": markets.books_registry_id,
            "accounts_registry_id": markets.accounts_registry_id,
            "trade_account_oracle_id": markets.trade_account_oracle_id,
            "base_asset_id": markets.base_asset_id,
        }
        return {
            **{name: None if value is None else self.id(value) for name, value in contracts.items()},
            "chain_id": hex(markets.chain_id or 0),
            "markets": [self.market(market) for market in markets.markets],
        }

    def account(self, account: Account | None) -> Json:
        """Return the answer about an account; nulls when there is none."""
        if account is None:
            return {"trade_account_id": None, "trade_account": None, "session": None}
        return {
            "trade_account_id": self.id(account.trade_account_id),
            "trade_account": {
                "last_modification": account.last_modification,
                "nonce": self.nonce_value(account.nonce),
                "owner": self.identity(account.owner),
                "synced_with_network": True,
                "sync_state": "V3",
            },
            "session": self._session(account.session),
        }

    def _session(self, session: SessionRecord | None) -> Json:
        if session is None:
            return None
        return {
            "session_id": self.identity(session.session_id),
            "expiry": str(session.expiry),
            "contract_ids": [self.id(contract) for contract in session.contract_ids],
        }


DEFAULT_FLAVOR = Flavor()


def _stamp(spelling: str, time: int, unit: int) -> Json:
    """Spell a time since 1970; `unit` is how many of `time` make a second."""
    if spelling == "text":
        return str(time)
    if spelling == "number":
        return time
    if spelling == "fraction":
        return time / unit
    if spelling == "rfc3339":
        return datetime.fromtimestamp(time // unit, UTC).isoformat().replace("+00:00", "Z")
    return None


def _order_type(order_type: OrderType) -> Json:
    if order_type.name == "Limit":
        return {"Limit": [order_type.price, order_type.timestamp]}
    if order_type.name == "BoundedMarket":
        return {"BoundedMarket": {"max_price": order_type.max_price, "min_price": order_type.min_price}}
    return order_type.name


def _desired(order: BookOrder) -> Json:
    if order.order_type.name in ("Market", "BoundedMarket") and order.side is Side.BUY:
        wanted: Json = {"Quantity": order.remaining}
        return {"Quote": {"desired_base_quantity": wanted, "remaining_quote_token": order.escrow}}
    return {"Base": {"remaining_quantity": order.remaining}}
