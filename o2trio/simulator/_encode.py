"""How the exchange writes things down: records to JSON-ready dictionaries, in every flavour. No state.

Shapes follow sections 2 and 3 of the protocol notes. Where clients and servers disagree about a shape,
:class:`Flavour` chooses; its defaults are what the server's own types say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, TypeAlias

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
from ._matching import BookOrder

__all__ = ["DEFAULT_FLAVOUR", "Flavour", "Json", "dump"]

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | msgspec.Raw | bool | None"

_ENCODER = msgspec.json.Encoder()


def dump(value: object) -> str:
    """Return `value` as JSON text."""
    return _ENCODER.encode(value).decode()


@attrs.frozen(slots=True, kw_only=True)
class Flavour:
    """Which of the known spellings the simulator uses.

    Attributes:
      snapshot_key: key of the levels in a depth snapshot; ``orders`` comes without a precision.
      ids: ``prefixed`` is ``0x`` and lower case, ``bare`` has no ``0x``, ``upper`` is bare upper case.
      order_flavour: 1 names `account`, `desired_quantity`, `fill`, `order_tx_history`; 2 names `owner`,
        `market_id`, `fills`, `history`.
      onchain_timestamp: as text, as a number, or always null.
      seen_timestamp: as text, as a number, or left out.
      nonce: as text, as a number, or as hexadecimal text.
      trade_parties: whether trades name `maker`, `taker` and their fees.
      trade_id: ``pair`` is ``maker/taker``; ``number`` is a JSON number; ``hex`` is the same with ``0x``.
      error_action: key `action` of error frames: none, ``error``, or the one of the request together
        with its market.
      acknowledge_unsubscribe: whether an unsubscription is answered with its own action.
      order_timestamp: seconds or milliseconds since 1970.
      book_fee: whether the parts of a balance that lie in books name a `fee`.
      cursor_inclusive: whether a REST page repeats the item its cursor names.
      trades_envelope: whether REST trades come in an object or as a bare list.
      rest_levels: levels of REST books as objects or as pairs.
      heeds_limit: whether `limit` of a REST book has an effect.
      is_open_false: what ``is_open=false`` asks for.
      bars: ``split`` is `timestamp`, `buy_volume`, `sell_volume`; ``sum`` is `time`, `volume`.
      single: the ticker, and the summary of one market, as a list of one or as an object.
      ticker_names: ``short`` is `last`, `bid`, `ask`; ``long`` is `last_price`, `best_bid`, `best_ask`.
      catalogue: aggregated assets and tickers as a map or as a list.
      human_numbers: numbers in whole units as JSON numbers or as text.
      revert_envelope: how a failed transaction is told: ``plain`` has no code, ``coded`` has code 1000,
        ``landed`` has status 200 and a `tx_id`.
      revert_text: ``logs`` names what was logged, ``escaped`` with escaped quotes; ``receipts`` only has
        raw receipts in the text; ``structured`` and ``typed`` have them in a list, tagged outside or inside.
      refusal_status: of a coded error about session actions: its own, or always 200.
      whitelist: whether the endpoint fails, as everywhere since it retired, or still succeeds.
    """

    snapshot_key: Literal["view", "orders"] = "view"
    ids: Literal["prefixed", "bare", "upper"] = "prefixed"
    order_flavour: Literal[1, 2] = 2
    onchain_timestamp: Literal["text", "number", "null"] = "text"
    seen_timestamp: Literal["text", "number", "absent"] = "text"
    nonce: Literal["text", "number", "hex"] = "text"
    trade_parties: bool = True
    trade_id: Literal["pair", "number", "hex"] = "pair"
    error_action: Literal["none", "error", "request"] = "none"
    acknowledge_unsubscribe: bool = False
    order_timestamp: Literal["seconds", "milliseconds"] = "seconds"
    book_fee: bool = True
    cursor_inclusive: bool = False
    trades_envelope: bool = True
    rest_levels: Literal["objects", "pairs"] = "objects"
    heeds_limit: bool = True
    is_open_false: Literal["all", "closed"] = "all"
    bars: Literal["split", "sum"] = "split"
    single: Literal["list", "object"] = "list"
    ticker_names: Literal["short", "long"] = "short"
    catalogue: Literal["map", "list"] = "map"
    human_numbers: Literal["number", "text"] = "number"
    revert_envelope: Literal["plain", "coded", "landed"] = "plain"
    revert_text: Literal["logs", "escaped", "receipts", "structured", "typed"] = "logs"
    refusal_status: Literal["own", "ok"] = "own"
    whitelist: Literal["retired", "open"] = "retired"

    # -- small parts -------------------------------------------------------------------------------

    def id(self, value: Id) -> str:
        """Spell an id."""
        if self.ids == "prefixed":
            return value
        return value[2:].upper() if self.ids == "upper" else value[2:]

    def identity(self, identity: Identity) -> Json:
        """Spell an identity."""
        return {identity.kind.value: self.id(identity.id)}

    def stamps(self, onchain: int, seen: int) -> dict[str, Json]:
        """Return the two time stamps of an envelope; `onchain` in seconds, `seen` in nanoseconds."""
        chain: dict[str, Json] = {"text": str(onchain), "number": onchain, "null": None}
        stamps: dict[str, Json] = {"onchain_timestamp": chain[self.onchain_timestamp]}
        if self.seen_timestamp != "absent":
            stamps["seen_timestamp"] = str(seen) if self.seen_timestamp == "text" else seen
        return stamps

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
        if self.order_flavour == 1:
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
        fields: dict[str, Json] = {"code": code, "message": message}
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


DEFAULT_FLAVOUR = Flavour()


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
