"""Markets and assets, and the exact conversion between chain units and decimal numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import cast

import attrs

from .._errors import InvalidRequest, MarketUnreadable, UnknownMarket
from ._amounts import EXACT, Amount, ChainUnits, Rounding, to_raw, units
from ._ids import Id, normalize_id
from ._understanding import NotUnderstood, unread_field

__all__ = ["Asset", "Market", "Markets"]


@attrs.frozen(slots=True, kw_only=True)
class Asset:
    """One side of a market.

    Attributes:
      symbol: for example ``fUSDC``; empty where the exchange sends none, as on test books.
      asset: the asset id.
      decimals: one whole unit is ``10**decimals`` chain units.
      max_precision: how many decimal places a price in this asset may have.
      unread: fields that could not be read: wire name to raw value.
    """

    symbol: str = ""
    asset: Id
    decimals: int
    max_precision: int
    unread: Mapping[str, object] = unread_field()

    @property
    def name(self) -> str:
        """The symbol, or the asset id where there is none: no two assets without a symbol are the same."""
        return self.symbol or self.asset

    def amount(self, raw: int) -> Decimal:
        """Return the amount `raw` (chain units) in whole units, exact."""
        return Decimal(raw).scaleb(-self.decimals, EXACT)

    def raw(self, amount: Amount, rounding: Rounding = Rounding.EXACT) -> ChainUnits:
        """Return `amount` (text or Decimal in whole units; a :class:`Raw` stays as it is) in chain units.

        Raises:
          InvalidRequest: not a number, negative, a float, an integer (whose unit it does not say), or (with
            ``Rounding.EXACT``) finer than one chain unit.
        """
        return to_raw(amount, self.decimals, 1, rounding, "amount", self.name)


@attrs.frozen(slots=True, kw_only=True)
class Market:
    """A market: ids, fees, limits, and its two assets.

    Prices are chain units of the quote asset for one whole base unit, quantities chain units of the
    base asset.

    Attributes:
      contract_id: the order book contract.
      market_id: the key of the market in requests.
      maker_fee, taker_fee: contract units; a rebate is negative.
      min_order: least value of an order, chain units of the quote asset.
      dust: remainders below it do not rest on the book, chain units of the quote asset.
      price_window: permitted distance from the last price in percent, which may have a fraction; 0 is off.
      base, quote: the two assets.
      whitelist_id, blacklist_id: contracts, where the market has them.
      turbo: whether this is the market of the Turbo venue; both venues share the `market_id`.
      canonical_contract_id: as sent, or None.
      connected, paused: as sent, or None where the exchange does not say.
      unread: fields that could not be read: wire name to raw value; the model has their default.
    """

    contract_id: Id
    market_id: Id
    maker_fee: int = 0
    taker_fee: int = 0
    min_order: ChainUnits = attrs.field(default=ChainUnits(0), converter=units)
    dust: ChainUnits = attrs.field(default=ChainUnits(0), converter=units)
    price_window: int | Decimal = 0
    base: Asset
    quote: Asset
    whitelist_id: Id | None = None
    blacklist_id: Id | None = None
    turbo: bool = False
    canonical_contract_id: Id | None = None
    connected: bool | None = None
    paused: bool | None = None
    unread: Mapping[str, object] = unread_field()

    @property
    def pair(self) -> str:
        """The market's name, ``BASE/QUOTE``; an asset without a symbol is named by its id."""
        return f"{self.base.name}/{self.quote.name}"

    @property
    def price_step(self) -> ChainUnits:
        """The least difference of two prices."""
        return ChainUnits(10 ** max(self.quote.decimals - self.quote.max_precision, 0))

    def price(self, raw: int) -> Decimal:
        """Return the price `raw` (chain units) as quote per base, exact."""
        return Decimal(raw).scaleb(-self.quote.decimals, EXACT)

    def quantity(self, raw: int) -> Decimal:
        """Return the quantity `raw` (chain units) in whole base units, exact."""
        return self.base.amount(raw)

    def total(self, raw: int) -> Decimal:
        """Return the quote amount `raw` (chain units) in whole quote units, exact."""
        return self.quote.amount(raw)

    def raw_price(self, price: Amount, rounding: Rounding = Rounding.EXACT) -> ChainUnits:
        """Return `price` (quote per base, text or Decimal) in chain units, a multiple of :attr:`price_step`.

        A :class:`Raw` stays as it is.

        Raises:
          InvalidRequest: not a number, negative, a float, an integer (whose unit it does not say), or (with
            ``Rounding.EXACT``) between two permitted prices.
        """
        return to_raw(price, self.quote.decimals, self.price_step, rounding, "price", self.pair)

    def raw_quantity(self, quantity: Amount, rounding: Rounding = Rounding.EXACT) -> ChainUnits:
        """Return `quantity` (base units, text or Decimal) in chain units; a :class:`Raw` stays as it is.

        Raises:
          InvalidRequest: not a number, negative, a float, an integer (whose unit it does not say), or (with
            ``Rounding.EXACT``) finer than one chain unit.
        """
        return to_raw(quantity, self.base.decimals, 1, rounding, "quantity", self.pair)


@attrs.frozen(slots=True, kw_only=True)
class Markets:
    """The exchange's list of markets and the contracts behind it.

    Attributes:
      markets: every market that could be read.
      unreadable: those that could not, with reasons; they are listed but lack something needed.
      chain_id: needed for signatures.
      books_registry_id, accounts_registry_id, trade_account_oracle_id, base_asset_id: contracts.
      unread: fields that could not be read: wire name to raw value.
    """

    markets: tuple[Market, ...]
    chain_id: int | None = None
    books_registry_id: Id | None = None
    accounts_registry_id: Id | None = None
    trade_account_oracle_id: Id | None = None
    base_asset_id: Id | None = None
    unread: Mapping[str, object] = unread_field()
    unreadable: tuple[NotUnderstood, ...] = ()

    @property
    def market_ids(self) -> tuple[Id, ...]:
        """The ids of all listed markets, and of unreadable ones as far as their ids are readable."""
        ids = [market.market_id for market in self.markets]
        return tuple(dict.fromkeys([*ids, *_ids(entry.ids.get("market_id") for entry in self.unreadable)]))

    @property
    def asset_ids(self) -> tuple[Id, ...]:
        """The ids of all traded assets, and of those of unreadable markets as far as they are readable."""
        ids = [asset.asset for market in self.markets for asset in (market.base, market.quote)]
        raw = (_member(entry.raw, side, "asset") for entry in self.unreadable for side in ("base", "quote"))
        return tuple(dict.fromkeys([*ids, *_ids(raw)]))

    def __iter__(self) -> Iterator[Market]:
        return iter(self.markets)

    def __len__(self) -> int:
        return len(self.markets)

    def __contains__(self, name: object) -> bool:
        """Whether there is a market with this pair (any letter case) or market id."""
        return isinstance(name, str) and bool(self._matches(name))

    def find(self, name: str) -> Market:
        """Return the market with this pair (any letter case) or market id.

        Raises:
          InvalidRequest: several markets have this pair, as those of a native and of a bridged coin; the
            message lists their ids.
          MarketUnreadable: it is listed, but its entry could not be read.
          UnknownMarket: there is none; the message lists what there is.
        """
        found, wanted = self._matches(name), _wanted(name)
        unread = [e for e in self.unreadable if wanted in (e.ids.get("market_id"), _pair(e))]
        ids: list[str] = [market.market_id for market in found]
        ids += [str(entry.ids.get("market_id", "an unreadable id")) for entry in unread]
        if len(set(ids)) > 1 and wanted not in ids:
            raise InvalidRequest(f"several markets are called {name!r}: name it by its id: {', '.join(ids)}")
        if found:
            return found[0]
        if unread:
            raise MarketUnreadable(name, unread[0].problem)
        raise UnknownMarket(name, tuple(market.pair for market in self.markets), len(self.unreadable))

    def _matches(self, name: str) -> list[Market]:
        wanted = _wanted(name)
        return [m for m in self.markets if wanted in (m.market_id, m.pair.casefold())]


def _wanted(name: str) -> str:
    """Return the id or the pair that a name means, in one letter case."""
    try:
        return normalize_id(name)
    except ValueError:
        return name.casefold()


def _pair(entry: NotUnderstood) -> str | None:
    """Return the pair of an unreadable market in lower case; None if a symbol is unreadable."""
    base, quote = (_member(entry.raw, side, "symbol") for side in ("base", "quote"))
    return f"{base}/{quote}".casefold() if isinstance(base, str) and isinstance(quote, str) else None


def _member(raw: object, *names: str) -> object:
    """Return what lies inside nested objects; None if something on the way is missing."""
    for name in names:
        raw = cast("Mapping[str, object]", raw).get(name) if isinstance(raw, Mapping) else None
    return raw


def _ids(texts: Iterable[object]) -> Iterator[Id]:
    """Yield those of `texts` that are ids."""
    for text in texts:
        with suppress(ValueError):
            yield normalize_id(cast("str", text))
