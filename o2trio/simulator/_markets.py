"""What the simulated exchange lists by default: assets, markets, reference prices. No state.

Every id is the SHA-256 of a name, so it is the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import attrs

from ..models import Asset, Id, Market, Markets

__all__ = ["FEE_SCALE", "Listing", "default_listings", "listing", "make_id", "markets_of"]

FEE_SCALE = 1_000_000
"""Fees are parts of this: a `taker_fee` of 100 takes one basis point of what the taker receives."""


def make_id(*names: object) -> Id:
    """Return a deterministic 32-byte id for the given names."""
    return Id("0x" + sha256("/".join(("o2 simulator", *map(str, names))).encode()).hexdigest())


@attrs.frozen(slots=True, kw_only=True)
class Listing:
    """One market and what keeps its order flow realistic.

    Attributes:
      market: what clients see.
      reference_price: where the random walk starts, chain units.
      typical_value: value of an average order, chain units of the quote asset.
    """

    market: Market
    reference_price: int
    typical_value: int


def listing(
    base: Asset,
    quote: Asset,
    *,
    price: str,
    value: int = 250,
    maker_fee: int = 0,
    taker_fee: int = 100,
    price_window: int = 0,
) -> Listing:
    """Describe a market of two assets.

    Args:
      base, quote: the two assets.
      price: reference price as decimal text, quote per base; must lie on the price step.
      value: value of an average order in whole quote units.
      maker_fee, taker_fee: millionths of what a party receives.
      price_window: permitted distance from the last trade in percent; 0 is off.

    Raises:
      InvalidRequest: `price` is no multiple of the price step.
    """
    pair = f"{base.symbol}/{quote.symbol}"
    market = Market(
        contract_id=make_id("book", pair),
        market_id=make_id("market", pair),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        min_order=10**quote.decimals,
        dust=10**quote.decimals // 100,
        price_window=price_window,
        base=base,
        quote=quote,
    )
    return Listing(
        market=market, reference_price=market.raw_price(price), typical_value=value * 10**quote.decimals
    )


def _asset(symbol: str, decimals: int, max_precision: int) -> Asset:
    return Asset(
        symbol=symbol, asset=make_id("asset", symbol), decimals=decimals, max_precision=max_precision
    )


def default_listings() -> tuple[Listing, ...]:
    """Return ``fFUEL/fUSDC``, ``fETH/fUSDC`` and ``fBTC/fUSDC``.

    The price step differs per market because `max_precision` belongs to an asset *in* a market.
    """
    fuel, eth, bitcoin = _asset("fFUEL", 9, 3), _asset("fETH", 9, 6), _asset("fBTC", 8, 8)
    return (
        listing(fuel, _asset("fUSDC", 6, 5), price="0.0251", value=150),
        listing(eth, _asset("fUSDC", 6, 1), price="2500", value=900, price_window=50),
        listing(bitcoin, _asset("fUSDC", 6, 0), price="65000", value=2500, maker_fee=20, taker_fee=200),
    )


def markets_of(listings: Iterable[Listing], chain_id: int = 0) -> Markets:
    """Return the answer to ``GET /v1/markets`` as a model."""
    listed: Sequence[Market] = [item.market for item in listings]
    return Markets(
        markets=tuple(listed),
        chain_id=chain_id,
        books_registry_id=make_id("contract", "books registry"),
        accounts_registry_id=make_id("contract", "accounts registry"),
        trade_account_oracle_id=make_id("contract", "trade account oracle"),
        base_asset_id=make_id("asset", "ETH"),
    )
