"""The REST interface without I/O: which route answers a request, on which world. No sockets.

What the routes answer is in ``_rest_markets``, ``_rest_accounts`` and ``_rest_aggregated``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from . import _rest_accounts as accounts
from . import _rest_aggregated as aggregated
from . import _rest_markets as markets
from ._encode import Flavour, Json, dump
from ._exchange import Exchange
from ._requests import Call, Fault, Response, error
from ._worlds import Past, Present

__all__ = ["Rest"]


class Rest:
    """The REST interface of an exchange."""

    def __init__(self, exchange: Exchange, flavour: Flavour) -> None:
        self._exchange = exchange
        self._flavour = flavour

    def respond(self, method: str, target: str, body: bytes = b"", lag: int = 0) -> Response:
        """Answer one request; never raises, whatever the client sent.

        Args:
          method: for example ``GET``.
          target: path and query.
          body: not used by any route yet.
          lag: answer as it was so many nanoseconds ago.
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
        exchange = self._exchange
        world = Past(exchange, exchange.now - lag) if lag else Present(exchange)
        try:
            answer = handler(Call(world=world, flavour=self._flavour, query=query))
        except Fault as fault:
            return error(fault.status, fault.code, fault.message)
        return Response(status=200, body=dump(answer).encode())


_Handler: TypeAlias = Callable[[Call], Json]

_ROUTES: Mapping[str, tuple[str, _Handler]] = {
    "/health": ("GET", markets.health),
    "/v1/markets": ("GET", markets.markets),
    "/v1/markets/fees": ("GET", markets.fees),
    "/v1/markets/summary": ("GET", markets.summary),
    "/v1/markets/ticker": ("GET", markets.ticker),
    "/v1/depth": ("GET", markets.depth),
    "/v1/trades": ("GET", markets.trades),
    "/v1/bars": ("GET", markets.bars),
    "/v1/accounts": ("GET", accounts.account),
    "/v1/accounts/window": ("GET", accounts.window),
    "/v1/balance": ("GET", accounts.balance),
    "/v1/orders": ("GET", accounts.orders),
    "/v1/orders/active": ("GET", accounts.active_orders),
    "/v1/order": ("GET", accounts.order),
    "/v1/trades_by_account": ("GET", accounts.trades_by_account),
    "/v1/aggregated/assets": ("GET", aggregated.assets),
    "/v1/aggregated/orderbook": ("GET", aggregated.orderbook),
    "/v1/aggregated/summary": ("GET", aggregated.summary),
    "/v1/aggregated/ticker": ("GET", aggregated.ticker),
    "/v1/aggregated/trades": ("GET", aggregated.trades),
    "/v1/aggregated/coingecko/tickers": ("GET", aggregated.coingecko_tickers),
    "/v1/aggregated/coingecko/orderbook": ("GET", aggregated.coingecko_orderbook),
}
