"""What happened on the exchange of the tolerance fuzz job: it follows from the messages that were sent.

The truth is folded from the oracle's own reading of each message. Where a message cannot be read, the truth
is what was meant by it before it was changed. REST and fresh snapshots give the truth, plainly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from tests.fuzz._reading import Book, Entry, Frame, Sure, read_frame
from tests.tolerance._cases import ACCOUNT, MARKET, MARKET_2, QUOTE_ASSET, market_row, markets_body
from tests.tolerance._server import Asked, Reply, coded, reply

__all__ = ["ASSETS", "Sent", "Truth", "rows_of"]

ASSETS = [QUOTE_ASSET, *(f"0x{number:02x}" + "e5" * 31 for number in range(8))]
_CONTENT = (
    "trades",
    "trade",
    "orders",
    "balance",
    "nonce",
    "contract_id",
    "view",
    "changes",
    "buys",
    "sells",
)
_KEYS = {"trades": ("trades",), "orders": ("orders",), "balances": ("balance",)}


def rows_of(kind: str | None, message: Mapping[str, Any]) -> list[Any]:
    """Return the entries of a plain message."""
    return [message] if kind == "nonce" else list(message[_KEYS[str(kind)][0]])


@attrs.frozen
class Sent:
    """One message, as it was meant, as it was sent, and what the oracle reads in it."""

    meant: Any
    message: Any
    frame: Frame

    @property
    def is_plain(self) -> bool:
        return json.dumps(self.meant) == json.dumps(self.message)

    @property
    def is_hollow(self) -> bool:
        """Whether nothing in it shows what it was meant to be."""
        text = json.dumps(self.message)
        if isinstance(self.message, dict) and self.frame.kind is None:
            action = self.message.get("action")
            if isinstance(action, str) and action.strip():
                return True  # an action that no stream here asked for
        if isinstance(self.message, dict) and self.message.keys() <= {"action", "market_id"}:
            # An acknowledgement looks the same; only a change is never acknowledged.
            return self.frame.kind not in {"update", None} or not self.message
        return "subscribe_" not in text and not any(f'"{name}"' in text for name in _CONTENT)

    @property
    def kind(self) -> str | None:
        """Of what the message was meant to be."""
        return read_frame(self.meant).kind

    def meant_entries(self) -> tuple[Entry, ...]:
        return read_frame(self.meant).entries


class Truth:
    """The exchange. `books` holds, for each market, every book that was true so far, with alternatives.

    Attributes:
      books: market to the books that were right at some time.
      now: market to the books that may be right now, the served one first.
      views: what a view may show.
      sent: everything that was sent.
    """

    def __init__(self) -> None:
        start: Book = {("buy", 25_000): 10, ("sell", 26_000): 7}
        self.now: dict[str, list[Book]] = {MARKET: [start], MARKET_2: [dict(start)]}
        self.books: dict[str, list[Book]] = {market: list(books) for market, books in self.now.items()}
        self.views: list[Book] = []
        self.trades: list[dict[str, Any]] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self.balances: dict[tuple[str, str], dict[str, Any]] = {}
        self.nonces = [42]
        self.sent: list[Sent] = []

    # -- what happens ------------------------------------------------------------------------------

    def send(self, meant: Any, message: Any) -> Sent:
        """Let a message be sent; return it as it is remembered."""
        sent = Sent(meant, message, read_frame(message))
        self.sent.append(sent)
        if sent.frame.foreign or sent.is_hollow:
            return sent
        if meant is None and not sent.frame.sure:
            return sent
        frame = sent.frame if sent.frame.sure else read_frame(meant)
        if frame.kind in {"snapshot", "update", "view"}:
            self._depth(frame, read_frame(meant))
        elif frame.kind is not None:
            self._entries(frame.kind, frame.entries, sent)
        return sent

    def _depth(self, frame: Frame, meant: Frame) -> None:
        market = frame.market or MARKET
        if frame.kind == "update":
            now = []
            for book in self.now[market]:
                found = _added(book, frame)
                now.append(_added(book, meant) or book if found is None else found)
        else:
            now = _loaded(frame)
            if frame.kind == "view":
                self.views += now
                return
            if any(_is_crossed(book) for book in now):
                now = [*_loaded(meant), *now]
        self.now[market] = now
        self.books[market] += now

    def _entries(self, kind: str, entries: Iterable[Entry], sent: Sent) -> None:
        read = [entry for entry in entries if entry.sure]
        meant = sent.meant_entries() if sent.kind == kind else ()
        known = {_name(kind, entry) for entry in read}
        plain = {_name(kind, entry): dict(entry.values) for entry in meant}
        for entry in [*read, *(each for each in meant if _name(kind, each) not in known)]:
            # What an open value leaves out is as it was meant.
            given = {name: value for name, value in entry.values.items() if value is not None}
            self._note(kind, entry, plain.get(_name(kind, entry), {}) | given)

    def _note(self, kind: str, entry: Entry, values: Mapping[str, Any]) -> None:
        if kind == "nonce":
            if values["contract_id"] == ACCOUNT:
                self.nonces.append(values["nonce"])
            return
        row = {
            **(entry.raw if isinstance(entry.raw, dict) and entry.sure is Sure.SURE else {}),
            **_plain(kind, values),
        }
        if kind == "trades":
            row.setdefault("timestamp", "1764000001000")
            if row["trade_id"] not in [each["trade_id"] for each in self.trades]:
                self.trades.append(row)
        elif kind == "orders":
            row.setdefault("order_type", "Spot")
            row.setdefault("timestamp", "1764000000")
            self.orders[values["order_id"]] = row
        else:
            self.balances[values["identity"], values["asset_id"]] = {"trading_account_balance": "0", **row}

    # -- what it answers ---------------------------------------------------------------------------

    def snapshot(self, market: str) -> dict[str, Any]:
        book = self.now[market][0]
        return {
            "action": "subscribe_depth",
            "market_id": market,
            "view": {
                name: [
                    {"price": str(price), "quantity": str(size)}
                    for (one, price), size in book.items()
                    if one == side
                ]
                for name, side in (("buys", "buy"), ("sells", "sell"))
            },
        }

    def rest(self, asked: Asked) -> Reply:
        """Answer a read."""
        query = asked.query
        if asked.path == "/v1/markets":
            rows = [_listed(number) for number in range(len(ASSETS) - 1)]
            return reply(markets_body(*rows))
        if asked.path == "/v1/trades":
            rows = self.trades if query["market_id"] == MARKET else []
            return reply({"trades": _page(rows, query, "start_trade_id", "trade_id")})
        if asked.path == "/v1/orders":
            rows = list(self.orders.values()) if query["market_id"] == MARKET else []
            if query.get("is_open") == "true":
                rows = [row for row in rows if not (row.get("close") or row.get("cancel"))]
            return reply({"orders": _page(rows, query, "start_order_id", "order_id")})
        if asked.path == "/v1/order":
            row = self.orders.get(query["order_id"])
            return coded(404, 3000, "Order not found") if row is None else reply({"order": row})
        if asked.path == "/v1/balance":
            zero = {"total_unlocked": "0", "total_locked": "0", "trading_account_balance": "0"}
            row = self.balances.get((ACCOUNT, query["asset_id"]), {})
            return reply({"order_books": {}, **{name: row.get(name, "0") for name in zero}})
        if asked.path == "/v1/accounts":
            account = {"nonce": str(self.nonces[-1]), "owner": {"Address": "0x" + "aa" * 32}}
            return reply({"trade_account_id": ACCOUNT, "trade_account": account, "session": None})
        return coded(404, 1001, "no such path")


def _listed(number: int) -> dict[str, Any]:
    base = {"symbol": f"f{number}", "asset": ASSETS[1 + number], "decimals": 9, "max_precision": 9}
    ids = {"market_id": (MARKET, MARKET_2)[number] if number < 2 else f"0x{number:02x}" + "a5" * 31}
    return market_row(ids, {"contract_id": f"0x{number:02x}" + "b5" * 31, "base": base})


def _page(rows: list[dict[str, Any]], query: dict[str, str], cursor: str, name: str) -> list[dict[str, Any]]:
    rows = rows[::-1] if query.get("direction") == "desc" else rows
    after = query.get(cursor)
    names = [str(row[name]).lower().removeprefix("0x") for row in rows]
    if after is not None and after.lower().removeprefix("0x") in names:
        rows = rows[names.index(after.lower().removeprefix("0x")) :]
    return rows[: int(query.get("count", "50"))]


def _name(kind: str, entry: Entry) -> Any:
    values = entry.values
    if kind == "balances":
        return values.get("identity"), values.get("asset_id")
    return values.get({"trades": "trade_id", "orders": "order_id", "nonce": "contract_id"}[kind])


def _plain(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the exchange spells them."""
    row: dict[str, Any] = {
        name: value if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None
    }
    if kind == "trades":
        row.setdefault("side", "buy")
    elif kind == "orders":
        row.setdefault("price", "25000")
    else:
        row["identity"] = {"ContractId": values["identity"]}
    return row


def _is_crossed(book: Book) -> bool:
    bids = [price for side, price in book if side == "buy"]
    asks = [price for side, price in book if side == "sell"]
    return bool(bids and asks) and max(bids) >= min(asks)


def _added(book: Book, frame: Frame) -> Book | None:
    """Return the book after a change; None if it does not fit."""
    found = dict(book)
    for side, price, quantity in frame.levels:
        found[side, price] = found.get((side, price), 0) + quantity
        if found[side, price] < 0:
            return None
    found = {place: size for place, size in found.items() if size}
    # A crossed snapshot stays crossed; a change that crosses a book does not fit.
    return None if _is_crossed(found) and not _is_crossed(book) else found


def _loaded(frame: Frame) -> list[Book]:
    """Return what a snapshot may mean: a price that comes twice counts once, or both times."""
    last, total = dict[tuple[str, int], int](), dict[tuple[str, int], int]()
    first = dict[tuple[str, int], int]()
    for side, price, quantity in frame.levels:
        last[side, price] = quantity
        first.setdefault((side, price), quantity)
        total[side, price] = total.get((side, price), 0) + quantity
    books = [{place: size for place, size in book.items() if size} for book in (last, first, total)]
    return [book for index, book in enumerate(books) if book not in books[:index]]
