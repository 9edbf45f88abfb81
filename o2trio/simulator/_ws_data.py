"""What streams send: first messages, and the frames that a block means for each subscription."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..models import DepthChanges, Level, Side
from ._block import Block
from ._encode import Flavor
from ._exchange import Exchange, group_price
from ._flavors import FINE_LEVELS
from ._json import Json
from ._ws_requests import Subscription

__all__ = ["BlockFrames", "first_frames", "is_silent", "stale_update"]

_HISTORY = 20
"""Trades that a first message holds."""


def is_silent(flavor: Flavor, precision: int) -> bool:
    """Return whether a precision is accepted and never updated."""
    return precision == 0 or (precision > FINE_LEVELS and flavor.high_precision == "silent")


def first_frames(exchange: Exchange, flavor: Flavor, wanted: Subscription) -> list[str]:
    """Return what a stream of trades, orders, balances or nonces begins with."""
    if flavor.first_message == "none":
        return []
    block = _state(exchange) if flavor.first_message == "state" else _block(exchange)
    return BlockFrames(exchange, flavor, block, keeps_empty=True).frames(wanted)


def stale_update(flavor: Flavor, wanted: Subscription) -> str:
    """Return an update from a former subscription to a market that is still in flight."""
    market_id, _ = wanted.depth
    changes = DepthChanges(bids=(Level(10, -5),), asks=())
    return flavor.frame(
        {
            "action": "subscribe_depth_update",
            "changes": flavor.sides(changes),
            "market_id": flavor.id(market_id),
        }
    )


def _block(exchange: Exchange) -> Block:
    """Return a block in which nothing changed."""
    nothing: dict[str, tuple[()]] = dict.fromkeys(("orders", "balances", "nonces", "accesses"), ())
    return Block(height=0, seen_timestamp=exchange.now, trades={}, levels={}, **nothing)


def _state(exchange: Exchange) -> Block:
    """Return the current state as if one block had made it: trades, open orders, balances, nonces."""
    markets, accounts = exchange.markets.markets, list(exchange.accounts.values())
    assets = dict.fromkeys(asset.asset for market in markets for asset in (market.base, market.quote))
    return Block(
        height=0,
        seen_timestamp=exchange.now,
        trades={market.market_id: exchange.trades(market.market_id)[-_HISTORY:] for market in markets},
        levels={},
        orders=[order for order in exchange.orders.values() if not order.close],
        balances=[(account, asset) for account in accounts for asset in assets],
        nonces=accounts,
        accesses=(),
    )


def _sizes(changes: Sequence[Level], levels: Sequence[Level]) -> tuple[Level, ...]:
    """Return the levels that changed with their sizes after the change."""
    sizes = {level.price: level.quantity for level in levels}
    return tuple(Level(change.price, sizes.get(change.price, 0)) for change in changes)


class BlockFrames:
    """The frames of one block, each made when somebody first wants it.

    Args:
      exchange: where the block was closed.
      flavor: how frames are spelled.
      block: what changed.
      keeps_empty: whether a stream that has nothing in the block gets an empty list.
    """

    def __init__(
        self, exchange: Exchange, flavor: Flavor, block: Block, *, keeps_empty: bool = False
    ) -> None:
        self._keeps_empty = keeps_empty
        self._exchange = exchange
        self._flavor = flavor
        self._block = block
        self._stamps = flavor.stamps(block.onchain_timestamp, block.seen_timestamp)
        self._made: dict[Subscription, list[str]] = {}

    def frames(self, wanted: Subscription) -> list[str]:
        """Return what one subscription gets; equal subscriptions share the frames."""
        if wanted not in self._made:
            make = _MAKERS.get(wanted.kind)
            self._made[wanted] = (
                [] if make is None else [self._flavor.frame(message) for message in make(self, wanted)]
            )
        return self._made[wanted]

    def _depth(self, wanted: Subscription) -> Iterator[Json]:
        market_id, precision = wanted.depth
        changes = self._block.levels.get(market_id)
        if not changes or is_silent(self._flavor, precision):
            return
        sums: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        for side, raw, change in changes:
            price = group_price(side, raw, 10**precision)
            sums[side][price] = sums[side].get(price, 0) + change
        bids, asks = (
            tuple(Level(price, change) for price, change in sums[side].items() if change) for side in sums
        )
        if self._flavor.depth_changes == "absolute":
            book = self._exchange.book(market_id, precision)
            bids, asks = _sizes(bids, book.bids), _sizes(asks, book.asks)
        if bids or asks:
            yield {
                "action": "subscribe_depth_update",
                "changes": self._flavor.sides(DepthChanges(bids=bids, asks=asks)),
                "market_id": self._flavor.id(market_id),
                **self._stamps,
            }

    def _trades(self, wanted: Subscription) -> Iterator[Json]:
        assert wanted.market_id is not None
        trades = self._block.trades.get(wanted.market_id, ())
        if trades or self._keeps_empty:
            yield {
                "action": "subscribe_trades",
                "trades": [self._flavor.trade(trade) for trade in trades],
                "market_id": self._flavor.id(wanted.market_id),
                **self._stamps,
            }

    def _orders(self, wanted: Subscription) -> Iterator[Json]:
        markets = {market.market_id: market for market in self._exchange.markets.markets}
        orders: list[Json] = [
            self._flavor.order(order, markets[order.market_id])
            for order in self._block.orders
            if order.owner in wanted.identities
        ]
        if orders or self._keeps_empty:
            yield {"action": "subscribe_orders", "orders": orders, **self._stamps}

    def _balances(self, wanted: Subscription) -> Iterator[Json]:
        balances: list[Json] = [
            {
                "identity": self._flavor.identity(account.identity),
                "asset_id": self._flavor.id(asset),
                **self._flavor.balance(account.balance(asset)),
            }
            for account, asset in self._block.balances
            if account.identity in wanted.identities
        ]
        if balances or self._keeps_empty:
            yield {"action": "subscribe_balances", "balance": balances, **self._stamps}

    def _nonce(self, wanted: Subscription) -> Iterator[Json]:
        for account in self._block.nonces:
            if account.identity in wanted.identities:
                yield {
                    "action": "subscribe_nonce",
                    "contract_id": self._flavor.id(account.trade_account_id),
                    "nonce": self._flavor.nonce_value(account.nonce),
                    **self._stamps,
                }


_MAKERS: dict[str, Callable[[BlockFrames, Subscription], Iterable[Json]]] = {
    "depth": BlockFrames._depth,
    "trades": BlockFrames._trades,
    "orders": BlockFrames._orders,
    "balances": BlockFrames._balances,
    "nonce": BlockFrames._nonce,
}
