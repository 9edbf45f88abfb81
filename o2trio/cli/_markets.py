"""``o2trio markets``: the list of markets as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .._network import NetworkConfig
from .._safe_text import safe_text
from ..models import Market
from ._open import open_network
from ._output import Write

__all__ = ["list_markets", "market_object", "table"]

_HEAD = ("market", "price step", "min order", "maker fee", "taker fee", "market id")
_RIGHT = range(1, 5)
"""Columns of numbers."""


async def list_markets(network: str | NetworkConfig, write: Write, *, as_json: bool = False) -> None:
    """Write the markets of `network`.

    Raises:
      InvalidRequest, ApiError, RequestFailed, DecodeError: no list could be had.
    """
    async with open_network(network) as o2:
        markets = (await o2.get_markets()).markets
    if as_json:
        lines = [json.dumps(market_object(market)) for market in markets]
    else:
        lines = table([_HEAD, *(_row(market) for market in markets)])
    if lines:
        await write("\n".join(lines))


def _row(market: Market) -> tuple[str, ...]:
    return (
        market.pair,
        f"{market.price(market.price_step).normalize():f}",
        f"{market.total(market.min_order).normalize():f} {market.quote.symbol}",
        str(market.maker_fee),
        str(market.taker_fee),
        market.market_id,
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return `rows` as aligned lines."""
    rows = [[safe_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if index in _RIGHT else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return [line(row) for row in rows]


def market_object(market: Market) -> dict[str, object]:
    """Return `market` as a JSON object; amounts are strings, those in chain units end in ``_raw``."""
    return {
        "market": market.pair,
        "market_id": market.market_id,
        "contract_id": market.contract_id,
        "price_step": f"{market.price(market.price_step):f}",
        "price_step_raw": str(market.price_step),
        "min_order": f"{market.total(market.min_order):f}",
        "min_order_raw": str(market.min_order),
        "maker_fee_raw": str(market.maker_fee),
        "taker_fee_raw": str(market.taker_fee),
        **{
            name: {"symbol": asset.symbol, "asset": asset.asset, "decimals": asset.decimals}
            for name, asset in (("base", market.base), ("quote", market.quote))
        },
    }
