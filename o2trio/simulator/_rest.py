"""The REST interface without I/O: which route answers a request, on which world. No sockets.

What the routes answer is in ``_rest_markets``, ``_rest_accounts``, ``_rest_aggregated`` and, for those
that change something, ``_rest_writes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

import attrs
import msgspec

from .._errors import InvalidRequest
from .._trading_errors import MissingExtra
from . import _rest_accounts as accounts
from . import _rest_aggregated as aggregated
from . import _rest_markets as markets
from . import _rest_writes as writes
from ._accounts import Revert
from ._body import Body
from ._encode import Flavor, Json, dump
from ._exchange import Exchange
from ._faucet import Faucet
from ._nonces import NonceRefused
from ._requests import Call, Fault, Response, error
from ._reshape import reshape_answer, reshape_error
from ._rest_writes import Write
from ._revert_text import revert_response
from ._worlds import Past, Present

__all__ = ["Rest"]


class Rest:
    """The REST interface of an exchange.

    Args:
      exchange: whose.
      flavor: how answers are spelled.
      publish: called when a request may have changed something; by default it only closes the block.
    """

    def __init__(
        self, exchange: Exchange, flavor: Flavor, publish: Callable[[], object] | None = None
    ) -> None:
        self._exchange = exchange
        self._flavor = flavor
        self._faucet = Faucet(exchange)
        self._publish = publish or exchange.seal

    def respond(self, method: str, target: str, body: bytes = b"", lag: int = 0, owner: str = "") -> Response:
        """Answer one request; never raises, whatever the client sent.

        Args:
          method: for example ``GET``.
          target: path and query.
          body: of the request; only those that change something have one.
          lag: answer a read as it was so many nanoseconds ago.
          owner: the header ``O2-Owner-Id``, or nothing.
        """
        response = self._respond(method, target, body, lag, owner)
        return response if response.status < 400 else self._respelled(response)

    def _respond(self, method: str, target: str, body: bytes, lag: int, owner: str) -> Response:
        try:
            parts = urlsplit(target)
            query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        except ValueError:
            return error(400, 1001, "malformed target")
        methods = _METHODS.get(parts.path)
        if methods is None:
            return error(404, 1001, f"no such path: {parts.path}")
        if method not in methods:
            return error(405, 1001, f"method {method} is not allowed", (("Allow", ", ".join(methods)),))
        if method == "GET":
            return self._answer(parts.path, lambda: _READS[parts.path](self._call(query, lag)))
        return self._answer(parts.path, lambda: self._write(_WRITES[parts.path][1], body, owner))

    def _respelled(self, response: Response) -> Response:
        """Return an error in the words of the flavor."""
        envelope = msgspec.json.decode(response.body)
        spelled = reshape_error(self._flavor, envelope, is_frame=False)
        return response if spelled == envelope else attrs.evolve(response, body=dump(spelled).encode())

    def _call(self, query: Mapping[str, str], lag: int) -> Call:
        exchange = self._exchange
        world = Past(exchange, exchange.now - lag) if lag else Present(exchange)
        return Call(world=world, flavor=self._flavor, query=query)

    def _write(self, handler: _Writer, body: bytes, owner: str) -> Json | Response:
        request = Write(
            exchange=self._exchange,
            faucet=self._faucet,
            flavor=self._flavor,
            body=Body.parse(body),
            owner=owner,
        )
        try:
            return handler(request)
        finally:
            self._publish()

    def _answer(self, path: str, handle: Callable[[], Json | Response]) -> Response:
        """Say in the exchange's envelopes what came of a request."""
        try:
            answer = handle()
        except Fault as fault:
            return error(fault.status, fault.code, fault.message, reason=fault.reason)
        except Revert as revert:
            return revert_response(revert, self._flavor)
        except NonceRefused as refusal:
            reason = f"Parallel nonce is not usable: {refusal.reason}"
            return error(400, 1001, "Invalid nonce", reason=reason)
        except InvalidRequest as nonsense:
            return error(400, 1001, str(nonsense))
        except MissingExtra as missing:
            return error(500, 1000, str(missing))
        if isinstance(answer, Response):
            return answer
        return Response(status=200, body=dump(reshape_answer(self._flavor, path, answer)).encode())


_Reader: TypeAlias = Callable[[Call], Json]
_Writer: TypeAlias = "Callable[[Write], Json | Response]"

_READS: Mapping[str, _Reader] = {
    "/health": markets.health,
    "/v1/markets": markets.markets,
    "/v1/markets/fees": markets.fees,
    "/v1/markets/summary": markets.summary,
    "/v1/markets/ticker": markets.ticker,
    "/v1/depth": markets.depth,
    "/v1/trades": markets.trades,
    "/v1/bars": markets.bars,
    "/v1/accounts": accounts.account,
    "/v1/accounts/window": accounts.window,
    "/v1/balance": accounts.balance,
    "/v1/orders": accounts.orders,
    "/v1/orders/active": accounts.active_orders,
    "/v1/order": accounts.order,
    "/v1/trades_by_account": accounts.trades_by_account,
    "/analytics/v1/referral/code-info": accounts.referral,
    "/v1/aggregated/assets": aggregated.assets,
    "/v1/aggregated/orderbook": aggregated.orderbook,
    "/v1/aggregated/summary": aggregated.summary,
    "/v1/aggregated/ticker": aggregated.ticker,
    "/v1/aggregated/trades": aggregated.trades,
    "/v1/aggregated/coingecko/tickers": aggregated.coingecko_tickers,
    "/v1/aggregated/coingecko/orderbook": aggregated.coingecko_orderbook,
}

_WRITES: Mapping[str, tuple[str, _Writer]] = {
    "/v1/accounts": ("POST", writes.create_account),
    "/v1/accounts/upgrade": ("POST", writes.upgrade),
    "/v1/accounts/withdraw": ("POST", writes.withdraw),
    "/v1/session": ("PUT", writes.create_session),
    "/v1/session/actions": ("POST", writes.session_actions),
    "/analytics/v1/whitelist": ("POST", writes.whitelist),
    "/faucet": ("POST", writes.pour),
}

_METHODS: Mapping[str, tuple[str, ...]] = {
    path: (*(("GET",) if path in _READS else ()), *((_WRITES[path][0],) if path in _WRITES else ()))
    for path in (*_READS, *_WRITES)
}
