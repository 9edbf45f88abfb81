"""What ``o2trio doctor`` asks the exchange, read-only: REST requests and conversations, side by side.

What the answers mean is in the tables of checks. Every request is one that the library itself may send, or
one that must be refused; a dozen of each kind is far below the published limits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from .._network import Options
from ..models import normalize_id
from ._doctor_check import digits_of, rows_of
from ._doctor_evidence import Evidence, Reader, Step, converse
from ._doctor_shapes import Object, items_of, object_of

__all__ = [
    "LISTEN_SECONDS",
    "OPTIONS",
    "account_script",
    "collect",
    "market_rows",
    "read_account",
]

LISTEN_SECONDS = 20.0
"""How long to wait for trades, changes of a book and changes of an account."""

_WAIT_SECONDS = 1.5
"""How long to wait for an answer to one request of a conversation."""

OPTIONS = Options(connect_timeout=8.0)

_UNKNOWN_ID = f"0x{'0' * 64}"
"""The id of no market."""

_SOMEBODY, _ELSE = f"0x{'5a' * 32}", f"0x{'a5' * 32}"
"""Ids of no account, to see what a subscription itself is answered with."""

_ROUGH = "10000000000"
"""The lowest precision that only some sources know: level 10."""

_PRICE = "10"
"""The finest precision that every source knows: level 1."""

_READ_COUNT = 5
_LEAST_TRADES = 2
_MINUTE = 60_000
"""In milliseconds."""


def market_rows(evidence: Evidence) -> list[Object]:
    """Return the rows of the list of markets, those that lack something too."""
    return items_of(object_of(evidence.body("markets")).get("markets"))


async def collect(evidence: Evidence, reader: Reader, seconds: float = LISTEN_SECONDS) -> None:
    """Ask everything; what is found is in `evidence` at once, so it may be cancelled at any time.

    Args:
      evidence: takes what is found, and names the account to look at, if any.
      reader: of the same evidence.
      seconds: how long live messages are waited for.
    """
    await reader.get("markets", "/v1/markets")
    await reader.get("summaries", "/v1/markets/summary")
    evidence.market = _busiest(evidence)
    market = str(evidence.market.get("market_id", _UNKNOWN_ID))
    accounts = [evidence.account] if evidence.account else [_SOMEBODY]
    parts: list[Callable[[], Awaitable[None]]] = [
        lambda: _read_market(reader, market),
        lambda: _read_catalogues(reader, evidence),
        lambda: converse(evidence, "market", _market_script(market, seconds), OPTIONS),
        lambda: converse(evidence, "quiet", _quiet_script([*accounts, _ELSE]), OPTIONS),
        lambda: converse(evidence, "refusals", _refusal_script(market), OPTIONS),
    ]
    if evidence.account is not None:
        account = evidence.account
        parts += [
            lambda: read_account(reader, evidence, market, account),
            lambda: converse(evidence, "account", account_script(account, seconds), OPTIONS),
        ]
    async with trio.open_nursery() as nursery:
        for part in parts:
            nursery.start_soon(part)
    if len(trade_rows(evidence)) < _LEAST_TRADES:
        await _read_trades(reader, market)  # By now there may be some.


def _busiest(evidence: Evidence) -> Object:
    """Return the market with the most volume; the first readable one if nothing says."""
    whole = [
        row
        for row in market_rows(evidence)
        if row.get("market_id") and object_of(row.get("base")) and object_of(row.get("quote"))
    ]
    summaries = items_of(evidence.body("summaries"))
    volumes = {str(row.get("market_id")): digits_of(row.get("volume_24h")) for row in summaries}
    nothing: Object = {}
    return max(whole, key=lambda row: volumes.get(str(row["market_id"]), 0), default=nothing)


# -- REST ------------------------------------------------------------------------------------------


async def _read_market(reader: Reader, market: str) -> None:
    named = {"market_id": market}
    await reader.get("depth", "/v1/depth", **named, precision=_PRICE)
    await reader.get("depth limited", "/v1/depth", **named, precision=_PRICE, limit=1)
    await reader.get("depth exact", "/v1/depth", **named, precision=0)
    await reader.get("depth rough", "/v1/depth", **named, precision=_ROUGH)
    await reader.get("depth unknown", "/v1/depth", market_id=_UNKNOWN_ID, precision=_PRICE)
    await reader.get("summary", "/v1/markets/summary", **named)
    await reader.get("ticker", "/v1/markets/ticker", **named)
    await _read_trades(reader, market)


async def _read_trades(reader: Reader, market: str) -> None:
    """Read the latest trades, the page after the first of them, and the bars that they make."""
    page: dict[str, str | int] = {"market_id": market, "direction": "desc", "count": _READ_COUNT}
    await reader.get("trades", "/v1/trades", **page)
    rows = trade_rows(reader.evidence)
    if len(rows) < _LEAST_TRADES:
        return
    cursor = {f"start_{key}": str(rows[0].get(key)) for key in ("timestamp", "trade_id")}
    await reader.get("next trades", "/v1/trades", **page, **cursor)
    query: dict[str, str | int] = {"resolution": "1m", "count_back": _READ_COUNT}
    end = digits_of(rows[0].get("timestamp")) + _MINUTE
    await reader.get("bars", "/v1/bars", market_id=market, to=end, **query)


def trade_rows(evidence: Evidence) -> list[Object]:
    """Return the latest trades that REST has listed."""
    return rows_of(evidence.body("trades"), "trades")


async def _read_catalogues(reader: Reader, evidence: Evidence) -> None:
    base, quote = (object_of(evidence.market.get(side)).get("symbol") for side in ("base", "quote"))
    await reader.get("assets", "/v1/aggregated/assets")
    await reader.get("human book", "/v1/aggregated/orderbook", market_pair=f"{base}_{quote}", depth=5)


async def read_account(reader: Reader, evidence: Evidence, market: str, account: str) -> None:
    """Read everything about an account that is not secret."""
    of_market: dict[str, str | int] = {"market_id": market, "contract": account}
    asset = str(object_of(evidence.market.get("quote")).get("asset"))
    await reader.get("account", "/v1/accounts", trade_account_id=account)
    await reader.get("balance", "/v1/balance", asset_id=asset, contract=account)
    page = {**of_market, "direction": "desc", "count": 20}
    await reader.get("orders", "/v1/orders", **page)
    await reader.get("open orders", "/v1/orders", **page, is_open="true")
    await reader.get("false orders", "/v1/orders", **page, is_open="false")
    await reader.get("active orders", "/v1/orders/active", **of_market, direction="desc", count=50)


# -- conversations ---------------------------------------------------------------------------------


def _identities(accounts: Sequence[str]) -> list[Object]:
    return [{"ContractId": account} for account in dict.fromkeys(map(_normal, accounts))]


def _normal(account: str) -> str:
    return str(normalize_id(account))


def _market_script(market: str, seconds: float) -> list[Step]:
    depth: Object = {"action": "subscribe_depth", "market_id": market, "precision": _PRICE}
    end: Object = {"action": "unsubscribe_depth", "market_id": market}
    return [
        Step("depth", [depth], _WAIT_SECONDS),
        Step("live", [{"action": "subscribe_trades", "market_id": market}], seconds),
        Step("again", [end, depth], 2 * _WAIT_SECONDS),
    ]


def _quiet_script(accounts: Sequence[str]) -> list[Step]:
    both, one = _identities(accounts), _identities(accounts[:1])
    return [
        Step("orders", [{"action": "subscribe_orders", "identities": one}], _WAIT_SECONDS),
        Step("balances", [{"action": "subscribe_balances", "identities": both}], _WAIT_SECONDS),
        Step("nonce", [{"action": "subscribe_nonce", "identities": one}], _WAIT_SECONDS),
        Step("subset", [{"action": "unsubscribe_balances", "identities": one}], _WAIT_SECONDS),
        Step("rest", [{"action": "subscribe_balances", "identities": both}], _WAIT_SECONDS),
        Step("ping", ["PING"], _WAIT_SECONDS),
    ]


def _refusal_script(market: str) -> list[Step]:
    rough: Object = {"action": "subscribe_depth", "market_id": market, "precision": _ROUGH}
    fine: Object = {**rough, "precision": _PRICE}
    return [
        Step("unknown", [{"action": "subscribe_trades", "market_id": _UNKNOWN_ID}], _WAIT_SECONDS),
        Step("rough", [rough], 2 * _WAIT_SECONDS),
        Step("end", [{"action": "unsubscribe_depth", "market_id": market}], _WAIT_SECONDS),
        Step("first", [fine], _WAIT_SECONDS),
        Step("second", [{**fine, "precision": "100"}], _WAIT_SECONDS),
    ]


def account_script(account: str, seconds: float) -> list[Step]:
    """Return the conversation that listens to the streams of an account."""
    who = _identities([account])
    requests: list[Object] = [
        {"action": f"subscribe_{kind}", "identities": who} for kind in ("orders", "balances", "nonce")
    ]
    return [Step("live", requests, seconds)]
