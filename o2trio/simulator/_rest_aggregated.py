"""REST answers in human numbers, for catalogues of markets: ``/v1/aggregated/*``. No state, no I/O.

Shapes are those that such catalogues ask for; where the protocol notes are silent, the plainest reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ..models import Asset, DepthChanges, Level, Market
from ._encode import Json
from ._markets import FEE_SCALE
from ._requests import Call, Fault
from ._rest_markets import day, percent

__all__ = ["assets", "coingecko_orderbook", "coingecko_tickers", "orderbook", "summary", "ticker", "trades"]

_LEVELS = 500
"""Levels of each side at most, unless all are asked for."""

_TRADES = 500
"""Trades of one answer."""

_Numbers = dict[str, Decimal | None]


def assets(call: Call) -> Json:
    """Answer ``/v1/aggregated/assets``."""
    entries: dict[str, Json] = {}
    for market in call.world.markets.markets:
        fees = {
            "maker_fee": Decimal(market.maker_fee) / FEE_SCALE,
            "taker_fee": Decimal(market.taker_fee) / FEE_SCALE,
        }
        for asset in (market.base, market.quote):
            entries.setdefault(asset.symbol, {**_asset(asset), **_spelled(call, fees)})
    return _map_or_list(call, entries, "symbol")


def _asset(asset: Asset) -> dict[str, Json]:
    least = f"{Decimal(1).scaleb(-asset.decimals):f}"
    return {
        "name": asset.symbol,
        "unified_cryptoasset_id": None,
        "can_withdraw": True,
        "can_deposit": True,
        "min_withdraw": least,
        "min_deposit": least,
    }


def orderbook(call: Call) -> Json:
    """Answer ``/v1/aggregated/orderbook``; both levels of detail are the same."""
    market = _market(call, "market_pair")
    limit = call.number("depth") if "depth" in call.query else _LEVELS
    if limit > _LEVELS or call.query.get("level", "2") not in {"2", "3"}:
        raise Fault(400, 1001, f"depth must be 0 to {_LEVELS} and level 2 or 3")
    return _book(call, market, call.world.book(market.market_id), limit or None)


def coingecko_orderbook(call: Call) -> Json:
    """Answer ``/v1/aggregated/coingecko/orderbook``."""
    market = _market(call, "ticker_id")
    book = _book(call, market, call.world.book(market.market_id), None)
    return {"ticker_id": _pair(market), **book}


def _book(call: Call, market: Market, book: DepthChanges, limit: int | None) -> dict[str, Json]:
    def side(levels: Sequence[Level]) -> Json:
        return [
            [
                _number(call, market.price(level.price)),
                _number(call, market.quantity(level.quantity)),
            ]
            for level in levels[:limit]
        ]

    return {"timestamp": _now(call), "bids": side(book.bids), "asks": side(book.asks)}


def summary(call: Call) -> Json:
    """Answer ``/v1/aggregated/summary``."""
    entries: list[Json] = []
    for market in call.world.markets.markets:
        numbers = _day_numbers(call, market)
        numbers["price_change_percent_24h"] = _change(call, market)
        names = {"trading_pairs": _pair(market), **_currencies(market, "quote_currency")}
        wanted = {
            "last_price": "last", "lowest_ask": "ask", "highest_bid": "bid", "base_volume": "base",
            "quote_volume": "quote", "highest_price_24h": "high", "lowest_price_24h": "low",
            "price_change_percent_24h": "price_change_percent_24h",
        }  # fmt: skip
        entries.append({**names, **_spelled(call, _renamed(numbers, wanted))})
    return entries


def ticker(call: Call) -> Json:
    """Answer ``/v1/aggregated/ticker``."""
    wanted = {"last_price": "last", "base_volume": "base", "quote_volume": "quote"}
    entries: dict[str, Json] = {
        _pair(market): _spelled(call, _renamed(_day_numbers(call, market), wanted))
        for market in call.world.markets.markets
    }
    return _map_or_list(call, entries, "market_pair")


def coingecko_tickers(call: Call) -> Json:
    """Answer ``/v1/aggregated/coingecko/tickers``."""
    wanted = {
        "last_price": "last", "base_volume": "base", "target_volume": "quote", "bid": "bid", "ask": "ask",
        "high": "high", "low": "low",
    }  # fmt: skip
    return [
        {
            "ticker_id": _pair(market),
            **_currencies(market, "target_currency"),
            **_spelled(call, _renamed(_day_numbers(call, market), wanted)),
        }
        for market in call.world.markets.markets
    ]


def trades(call: Call) -> Json:
    """Answer ``/v1/aggregated/trades``: the latest, newest first, by the side of the aggressor."""
    market = _market(call, "market_pair")
    return [
        {
            "trade_id": call.flavor.trade_number(trade),
            **_spelled(
                call,
                {
                    "price": market.price(trade.price),
                    "base_volume": market.quantity(trade.quantity),
                    "quote_volume": _quote(market, trade.total or 0),
                },
            ),
            "timestamp": trade.timestamp,
            "type": trade.taker_side.value,
        }
        for trade in reversed(call.world.history(market.market_id).trades[-_TRADES:])
    ]


# -- parts -----------------------------------------------------------------------------------------


def _day_numbers(call: Call, market: Market) -> _Numbers:
    """Return the last 24 hours and the top of the book."""
    recent, book = day(call, market), call.world.book(market.market_id)
    prices = [trade.price for trade in recent]
    raw = {
        "last": prices[-1] if prices else None,
        "high": max(prices, default=None),
        "low": min(prices, default=None),
        "bid": book.bids[0].price if book.bids else None,
        "ask": book.asks[0].price if book.asks else None,
    }
    numbers = {name: None if price is None else market.price(price) for name, price in raw.items()}
    return {
        **numbers,
        "base": market.quantity(sum(trade.quantity for trade in recent)),
        "quote": _quote(market, sum(trade.total or 0 for trade in recent)),
    }


def _change(call: Call, market: Market) -> Decimal | None:
    recent = day(call, market)
    return Decimal(percent(recent[-1].price - recent[0].price, recent[0].price)) if recent else None


def _renamed(numbers: _Numbers, wanted: Mapping[str, str]) -> _Numbers:
    return {name: numbers[source] for name, source in wanted.items()}


def _number(call: Call, number: Decimal | None) -> Json:
    return None if number is None else call.flavor.human(number)


def _spelled(call: Call, numbers: Mapping[str, Decimal | None]) -> dict[str, Json]:
    return {name: _number(call, number) for name, number in numbers.items()}


def _map_or_list(call: Call, entries: Mapping[str, Json], key: str) -> Json:
    if call.flavor.catalogue == "map":
        return entries
    return [{key: name, **entry} for name, entry in entries.items() if isinstance(entry, Mapping)]


def _quote(market: Market, raw: int) -> Decimal:
    return Decimal(raw).scaleb(-market.quote.decimals)


def _pair(market: Market) -> str:
    return f"{market.base.symbol}_{market.quote.symbol}"


def _currencies(market: Market, quote: str) -> dict[str, Json]:
    return {"base_currency": market.base.symbol, quote: market.quote.symbol}


def _now(call: Call) -> int:
    return call.world.now // 1_000_000


def _market(call: Call, name: str) -> Market:
    wanted = call.text(name).upper()
    for market in call.world.markets.markets:
        if _pair(market).upper() == wanted:
            return market
    raise Fault(404, 2000, "Market not found")
