"""REST answers as a pure function of the request and the exchange. No sockets, no HTTP parsing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

import attrs

from ..models import Id, Identity, IdentityKind, Market, Trade, normalize_id
from ._encode import Flavour, Json, dump
from ._exchange import Exchange
from ._history import DAY_MS, MAX_BARS, RESOLUTIONS, page

__all__ = ["MAX_ORDERS", "MAX_TRADES", "Response", "Rest", "error"]

MAX_TRADES = 50
"""Trades of one page."""

MAX_ORDERS = 200
"""Orders of one page."""

_PRECISIONS = {str(10**level): level for level in range(1, 19)}


@attrs.frozen(slots=True, kw_only=True)
class Response:
    """An HTTP answer.

    Attributes:
      status: the HTTP status.
      body: the whole body.
      content_type: of the body.
      headers: further headers.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class _Fault(Exception):
    """An answer with the exchange's error envelope."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


def error(status: int, code: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return an error in the exchange's envelope."""
    return Response(status=status, body=dump({"code": code, "message": message}).encode(), headers=headers)


Query: TypeAlias = Mapping[str, str]


class Rest:
    """The REST interface of an exchange."""

    def __init__(self, exchange: Exchange, flavour: Flavour) -> None:
        self._exchange = exchange
        self._flavour = flavour

    def respond(self, method: str, target: str, body: bytes = b"") -> Response:
        """Answer one request; never raises, whatever the client sent.

        Args:
          method: for example ``GET``.
          target: path and query.
          body: not used by any route yet.
        """
        try:
            parts = urlsplit(target)
            query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        except ValueError:
            return error(400, 1001, "malformed target")
        route = _ROUTES.get(parts.path)
        if route is None:
            return error(404, 1001, f"no such path: {parts.path}")
        allowed, handler = route
        if method != allowed:
            return error(405, 1001, f"method {method} is not allowed", (("Allow", allowed),))
        try:
            return Response(status=200, body=dump(handler(self, query)).encode())
        except _Fault as fault:
            return error(fault.status, fault.code, fault.message)

    # -- markets -----------------------------------------------------------------------------------

    def _health(self, query: Query) -> Json:
        return {"status": "ok"}

    def _markets(self, query: Query) -> Json:
        return self._flavour.markets(self._exchange.markets)

    def _day(self, market: Market) -> Sequence[Trade]:
        now = self._exchange.now // 1_000_000
        return self._exchange.history(market.market_id).between(now - DAY_MS, now + 1)

    def _summary(self, query: Query) -> Json:
        markets = [self._market(query)] if "market_id" in query else self._exchange.markets.markets
        return [self._summarise(market) for market in markets]

    def _summarise(self, market: Market) -> Json:
        trades = self._day(market)
        prices = [trade.price for trade in trades]
        return {
            "market_id": self._flavour.id(market.market_id),
            "last_price": str(prices[-1]) if prices else None,
            "high_price": str(max(prices)) if prices else None,
            "low_price": str(min(prices)) if prices else None,
            "volume_24h": str(sum(trade.quantity for trade in trades)),
            "change_24h": str(prices[-1] - prices[0]) if prices else None,
        }

    def _ticker(self, query: Query) -> Json:
        market = self._market(query)
        trades, book = self._day(market), self._exchange.book(market.market_id)
        prices = [trade.price for trade in trades]
        bid, ask = (levels[0] if levels else None for levels in (book.bids, book.asks))
        first, last = (prices[0], prices[-1]) if prices else (None, None)
        change = None if first is None or last is None else last - first
        numbers = {
            "ask": ask and ask.price,
            "ask_volume": ask and ask.quantity,
            "average": sum(prices) // len(prices) if prices else None,
            "base_volume": sum(trade.quantity for trade in trades),
            "bid": bid and bid.price,
            "bid_volume": bid and bid.quantity,
            "change": change,
            "close": last,
            "high": max(prices, default=None),
            "last": last,
            "low": min(prices, default=None),
            "open": first,
            "previous_close": None,
            "quote_volume": sum(trade.total or 0 for trade in trades),
        }
        ticker: dict[str, Json] = {
            name: None if value is None else str(value) for name, value in numbers.items()
        }
        ticker["percentage"] = None if change is None or not first else _percent(change, first)
        ticker["timestamp"] = self._exchange.now // 1_000_000
        return [{"market_id": self._flavour.id(market.market_id), **ticker}]

    def _depth(self, query: Query) -> Json:
        market = self._market(query)
        precision = _PRECISIONS.get(_required(query, "precision"))
        if precision is None:
            raise _Fault(400, 1001, "Invalid precision")
        limit = _number(query, "limit") if "limit" in query else None
        book = self._exchange.book(market.market_id, precision)
        return {
            "action": "depth",
            "orders": self._flavour.sides(attrs.evolve(book, bids=book.bids[:limit], asks=book.asks[:limit])),
            "market_id": self._flavour.id(market.market_id),
        }

    def _trades(self, query: Query) -> Json:
        market = self._market(query)
        count = _number(query, "count")
        if not 1 <= count <= MAX_TRADES:
            raise _Fault(400, 5001, f"count must be 1 to {MAX_TRADES}")
        trades = page(
            self._exchange.trades(market.market_id),
            count,
            key=lambda trade: (trade.timestamp, str(self._flavour.trade_id_value(trade))),
            newest_first=_newest_first(query),
            cursor=_cursor(query, "start_trade_id"),
            inclusive=self._flavour.cursor_inclusive,
        )
        return {
            "action": "trades",
            "market_id": self._flavour.id(market.market_id),
            "trades": [self._flavour.trade(trade) for trade in trades],
        }

    def _bars(self, query: Query) -> Json:
        market = self._market(query)
        resolution = RESOLUTIONS.get(_required(query, "resolution"))
        if resolution is None:
            raise _Fault(400, 1001, f"resolution must be one of {' '.join(RESOLUTIONS)}")
        end = _number(query, "to")
        if "count_back" in query:
            start = end - _number(query, "count_back") * resolution
        else:
            start = _number(query, "from")
        if start > end or (end - start) // resolution > MAX_BARS:
            raise _Fault(400, 7001, f"from and to must span 0 to {MAX_BARS} bars")
        bars = self._exchange.history(market.market_id).bars(resolution, start, end)
        return {
            "action": "bars",
            "market_id": self._flavour.id(market.market_id),
            "bars": [
                {
                    name: value if name == "timestamp" else str(value)
                    for name, value in attrs.asdict(bar).items()
                }
                for bar in bars
            ],
        }

    # -- accounts ----------------------------------------------------------------------------------

    def _balance(self, query: Query) -> Json:
        asset, identity = _id(query, "asset_id"), _identity(query)
        account = self._exchange.accounts.get(identity.id)
        if account is None:
            return {
                "order_books": {},
                "total_locked": "0",
                "total_unlocked": "0",
                "trading_account_balance": "0",
            }
        return self._flavour.balance(account.balance(asset))

    def _account(self, query: Query) -> Json:
        given = [name for name in ("owner", "owner_contract", "trade_account_id") if name in query]
        if len(given) != 1:
            raise _Fault(400, 1001, "give exactly one of owner, owner_contract, trade_account_id")
        wanted = _id(query, given[0])
        if given == ["trade_account_id"]:
            return self._flavour.account(self._exchange.accounts.get(wanted))
        kind = IdentityKind.ADDRESS if given == ["owner"] else IdentityKind.CONTRACT_ID
        owner = Identity(kind, wanted)
        found = (account for account in self._exchange.accounts.values() if account.owner == owner)
        return self._flavour.account(next(found, None))

    def _orders(self, query: Query) -> Json:
        market, identity = self._market(query), _identity(query)
        count = _number(query, "count")
        if not 1 <= count <= MAX_ORDERS:
            raise _Fault(400, 7002, f"count must be 1 to {MAX_ORDERS}")
        only_open = query.get("is_open") == "true"
        orders = page(
            [
                order
                for order in self._exchange.orders_of(identity.id, market.market_id)
                if not (only_open and order.close)
            ],
            count,
            key=lambda order: (order.timestamp, self._flavour.id(order.order_id)),
            newest_first=_newest_first(query),
            cursor=_cursor(query, "start_order_id"),
            inclusive=self._flavour.cursor_inclusive,
        )
        return {
            "identity": self._flavour.identity(identity),
            "market_id": self._flavour.id(market.market_id),
            "orders": [self._flavour.order(order, market) for order in orders],
        }

    def _order(self, query: Query) -> Json:
        market, order_id = self._market(query), _id(query, "order_id")
        order = self._exchange.orders.get(order_id)
        if order is None or order.market_id != market.market_id:
            raise _Fault(404, 3000, "Order not found")
        return {"order": self._flavour.order(order, market)}

    def _market(self, query: Query) -> Market:
        wanted = _id(query, "market_id")
        for market in self._exchange.markets.markets:
            if market.market_id == wanted:
                return market
        raise _Fault(404, 2000, "Market not found")


_ROUTES: Mapping[str, tuple[str, Callable[[Rest, Query], Json]]] = {
    "/health": ("GET", Rest._health),
    "/v1/markets": ("GET", Rest._markets),
    "/v1/markets/summary": ("GET", Rest._summary),
    "/v1/markets/ticker": ("GET", Rest._ticker),
    "/v1/depth": ("GET", Rest._depth),
    "/v1/trades": ("GET", Rest._trades),
    "/v1/bars": ("GET", Rest._bars),
    "/v1/balance": ("GET", Rest._balance),
    "/v1/accounts": ("GET", Rest._account),
    "/v1/orders": ("GET", Rest._orders),
    "/v1/order": ("GET", Rest._order),
}


# -- reading queries -------------------------------------------------------------------------------


def _required(query: Query, name: str) -> str:
    value = query.get(name)
    if not value:
        raise _Fault(400, 1001, f"missing parameter {name}")
    return value


def _id(query: Query, name: str) -> Id:
    try:
        return normalize_id(_required(query, name))
    except ValueError:
        raise _Fault(400, 1001, f"{name} must be 64 hexadecimal digits") from None


def _number(query: Query, name: str) -> int:
    text = _required(query, name)
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _Fault(400, 1001, f"{name} must be a whole number")
    return int(text)


def _newest_first(query: Query) -> bool:
    direction = _required(query, "direction")
    if direction not in ("asc", "desc"):
        raise _Fault(400, 1001, "direction must be asc or desc")
    return direction == "desc"


def _cursor(query: Query, id_name: str) -> tuple[int, str] | None:
    given = [name for name in ("start_timestamp", id_name) if name in query]
    if not given:
        return None
    if len(given) == 1:
        raise _Fault(400, 7002, f"start_timestamp and {id_name} go together")
    return _number(query, "start_timestamp"), query[id_name]


def _identity(query: Query) -> Identity:
    given = [name for name in ("contract", "account", "address") if name in query]
    if len(given) != 1:
        raise _Fault(400, 1001, "give exactly one of contract, account, address")
    kind = IdentityKind.CONTRACT_ID if given == ["contract"] else IdentityKind.ADDRESS
    return Identity(kind, _id(query, given[0]))


def _percent(change: int, base: int) -> str:
    """Return ``100 * change / base`` with two decimals, exactly rounded down in size."""
    hundredths = abs(change) * 10_000 // base
    return f"{'-' if change < 0 else ''}{hundredths // 100}.{hundredths % 100:02}"
