"""The streams that consumers of a scenario choose from, each with its judge; ``_users`` consumes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import attrs

from .._client import O2Client
from ..models import Id, Identity, Market, Update
from ..streams import Subscription, TopicKey, identity_keys
from ..wire import Frequency, Kind
from ._judges_account import StateJudge
from ._judges_market import BookJudge, Judge, TradeJudge, ViewJudge, book_truth
from ._world import World

__all__ = ["Source", "Supply", "accounts", "depth", "pick_market", "trades", "views"]


@attrs.frozen(slots=True)
class Supply:
    """One stream: the name of its topic in events, how to open it, and a judge of each subscription."""

    topic: str
    open: Callable[[O2Client], Subscription[Update]]
    judge: Callable[[], Judge]


Source = Callable[[World, Random, str], Supply]
"""Chooses a stream of a world for the consumer of this name."""


def pick_market(world: World, random: Random) -> Market:
    """Return one of the exchange's markets."""
    return random.choice(world.sim.exchange.markets.markets)


def depth(*precisions: int) -> Source:
    """Return a source of depth at one of these precisions."""

    def choose(world: World, random: Random, name: str) -> Supply:
        market, precision = pick_market(world, random), random.choice(precisions)
        # From now on it is written down what is true.
        book_truth(world, market.market_id, precision)
        return Supply(
            str(TopicKey(Kind.DEPTH, market.market_id, precision)),
            lambda client: client.stream_depth(market.pair, precision),
            partial(BookJudge, world, name, market.market_id, precision),
        )

    return choose


def views(*frequencies: Frequency) -> Source:
    """Return a source of depth views at one of these frequencies."""

    def choose(world: World, random: Random, name: str) -> Supply:
        market, precision = pick_market(world, random), random.choice((1, 3))
        frequency = random.choice(frequencies)
        book_truth(world, market.market_id, precision)
        return Supply(
            str(TopicKey(Kind.DEPTH_VIEW, market.market_id, precision, frequency)),
            lambda client: client.stream_depth_view(market, precision, frequency),
            partial(ViewJudge, world, name, market.market_id, precision),
        )

    return choose


def trades(world: World, random: Random, name: str) -> Supply:
    """Choose the trades of a market."""
    market = pick_market(world, random)
    return Supply(
        str(TopicKey(Kind.TRADES, market.market_id)),
        lambda client: client.stream_trades(market.pair),
        partial(TradeJudge, world, name, market.market_id),
    )


def accounts(kind: Kind, count: int = 1, *, seed: bool = False) -> Source:
    """Return a source of the orders, balances or nonces of so many accounts."""

    def choose(world: World, random: Random, name: str) -> Supply:
        known = tuple(world.sim.exchange.accounts)
        ids: tuple[Id, ...] = tuple(random.sample(known, min(count, len(known))))

        def open_stream(client: O2Client) -> Subscription[Update]:
            if kind is Kind.ORDERS:
                return client.stream_orders(ids, seed=seed)
            if kind is Kind.BALANCES:
                return client.stream_balances(ids, seed=seed)
            return client.stream_nonce(ids, seed=seed)

        (key,) = identity_keys(kind, map(Identity.contract, ids))
        return Supply(str(key), open_stream, partial(StateJudge, world, name, kind, ids, seed=seed))

    return choose
