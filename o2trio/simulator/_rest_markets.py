"""REST answers about markets: what is listed, the last day, books, trades, bars. No state, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..models import Market, Trade
from ._encode import Json
from ._flavors import FINE_LEVELS
from ._history import DAY_MS, MAX_BARS, RESOLUTIONS, Bar, page, trade_time
from ._requests import Call, Fault

__all__ = ["MAX_TRADES", "bars", "day", "depth", "fees", "health", "markets"]
__all__ += ["percent", "summary", "ticker", "trades", "trades_page"]

MAX_TRADES = 50
"""Trades of one page."""

_PRECISIONS = {str(10**level): level for level in range(1, 19)}


def health(call: Call) -> Json:
    """Answer ``/health``."""
    return {"status": "ok"}


def markets(call: Call) -> Json:
    """Answer ``/v1/markets``."""
    return call.flavor.markets(call.world.markets)


def fees(call: Call) -> Json:
    """Answer ``/v1/markets/fees``; its shape is not documented."""
    return [
        {
            "market_id": call.flavor.id(market.market_id),
            "maker_fee": str(market.maker_fee),
            "taker_fee": str(market.taker_fee),
        }
        for market in call.markets()
    ]


def day(call: Call, market: Market) -> Sequence[Trade]:
    """Return a market's trades of the last 24 hours."""
    now = call.world.now // 1_000_000
    return call.world.history(market.market_id).between(now - DAY_MS, now + 1)


def summary(call: Call) -> Json:
    """Answer ``/v1/markets/summary``."""
    entries = [_summarise(call, market) for market in call.markets()]
    return entries[0] if call.flavor.single == "object" and "market_id" in call.query else entries


def _summarise(call: Call, market: Market) -> Json:
    trades = day(call, market)
    prices = [trade.price for trade in trades]
    return {
        "market_id": call.flavor.id(market.market_id),
        "last_price": str(prices[-1]) if prices else None,
        "high_price": str(max(prices)) if prices else None,
        "low_price": str(min(prices)) if prices else None,
        "volume_24h": str(sum(trade.quantity for trade in trades)),
        "change_24h": str(prices[-1] - prices[0]) if prices else None,
    }


_TICKER_ALIASES = {"last": "last_price", "bid": "best_bid", "ask": "best_ask"}


def ticker(call: Call) -> Json:
    """Answer ``/v1/markets/ticker``."""
    market = call.market()
    trades, book = day(call, market), call.world.book(market.market_id)
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
    alias = _TICKER_ALIASES if call.flavor.ticker_names == "long" else {}
    fields: dict[str, Json] = {
        alias.get(name, name): None if value is None else str(value) for name, value in numbers.items()
    }
    fields["percentage"] = None if change is None or not first else percent(change, first)
    fields["timestamp"] = call.world.now // 1_000_000
    entry: Json = {"market_id": call.flavor.id(market.market_id), **fields}
    return entry if call.flavor.single == "object" else [entry]


def depth(call: Call) -> Json:
    """Answer ``/v1/depth``."""
    market = call.market()
    precision = _PRECISIONS.get(call.text("precision"))
    if call.text("precision") == "0" and call.flavor.rest_exact:
        precision = 0
    if precision is None or (precision > FINE_LEVELS and call.flavor.high_precision == "refused"):
        raise Fault(400, 1001, "Invalid precision")
    limit = call.number("limit") if "limit" in call.query else None
    book = call.world.book(market.market_id, precision)
    if call.flavor.heeds_limit:
        book = attrs.evolve(book, bids=book.bids[:limit], asks=book.asks[:limit])
    return {
        "action": "depth",
        "orders": call.flavor.rest_sides(book),
        "market_id": call.flavor.id(market.market_id),
    }


def trades(call: Call) -> Json:
    """Answer ``/v1/trades``."""
    market = call.market()
    found = trades_page(call, call.world.history(market.market_id).trades)
    return _enveloped(call, market, [call.flavor.trade(trade) for trade in found])


def trades_page(call: Call, items: Sequence[Trade]) -> Sequence[Trade]:
    """Return the page of `items` that is asked for."""
    return page(
        items,
        call.count(MAX_TRADES, 5001),
        key=lambda trade: (trade_time(trade), str(call.flavor.trade_id_value(trade))),
        newest_first=call.newest_first(),
        cursor=call.cursor("start_trade_id"),
        inclusive=call.flavor.cursor_inclusive,
    )


def _enveloped(call: Call, market: Market, items: Sequence[Json]) -> Json:
    if not call.flavor.trades_envelope:
        return items
    return {"action": "trades", "market_id": call.flavor.id(market.market_id), "trades": items}


def bars(call: Call) -> Json:
    """Answer ``/v1/bars``."""
    market = call.market()
    resolution = RESOLUTIONS.get(call.text("resolution"))
    if resolution is None:
        raise Fault(400, 1001, f"resolution must be one of {' '.join(RESOLUTIONS)}")
    end = call.number("to")
    if "count_back" in call.query:
        start = end - call.number("count_back") * resolution
    else:
        start = call.number("from")
    if start > end or (end - start) // resolution > MAX_BARS:
        raise Fault(400, 7001, f"from and to must span 0 to {MAX_BARS} bars")
    found = call.world.history(market.market_id).bars(resolution, start, end)
    return {
        "action": "bars",
        "market_id": call.flavor.id(market.market_id),
        "bars": [_bar(call, bar) for bar in found],
    }


def _bar(call: Call, bar: Bar) -> Json:
    prices = {name: str(getattr(bar, name)) for name in ("open", "high", "low", "close")}
    if call.flavor.bars == "sum":
        return {**prices, "time": bar.timestamp, "volume": str(bar.buy_volume + bar.sell_volume)}
    volumes = {"buy_volume": str(bar.buy_volume), "sell_volume": str(bar.sell_volume)}
    return {**prices, **volumes, "timestamp": bar.timestamp}


def percent(change: int, base: int) -> str:
    """Return ``100 * change / base`` with two decimals, exactly rounded down in size."""
    hundredths = abs(change) * 10_000 // base
    return f"{'-' if change < 0 else ''}{hundredths // 100}.{hundredths % 100:02}"
