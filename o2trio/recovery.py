"""Find out over REST what a stream missed during a break.

Here today: balances and nonces, of which only the latest state counts. Trades and orders are marked as
gaps by the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import trio

from .models import Balance, BalanceUpdate, Id, Identity, Markets, NonceUpdate, Origin
from .rest import RestClient
from .streams import Topic
from .wire import AnyUpdate, Kind

__all__ = ["RECOVERIES", "Recovery"]

Recovery = Callable[[RestClient, Markets, Topic], Awaitable[list[AnyUpdate]]]
"""Reads what a topic missed; raises as the REST client does, perhaps in exception groups."""

_AT_ONCE = 4
"""Reads of one repair that run at the same time."""


async def _recover_nonces(rest: RestClient, _markets: Markets, topic: Topic) -> list[AnyUpdate]:
    updates: list[AnyUpdate] = []

    async def read(identity: Identity) -> None:
        account = await rest.account(identity.id)
        if account is None or account.nonce is None:
            return
        known = topic.latest.get(account.trade_account_id)
        if not isinstance(known, NonceUpdate) or known.nonce != account.nonce:
            updates.append(
                NonceUpdate(contract_id=account.trade_account_id, nonce=account.nonce, origin=Origin.BACKFILL)
            )

    await _all(partial(read, identity) for identity in topic.key.identities)
    return updates


async def _recover_balances(rest: RestClient, markets: Markets, topic: Topic) -> list[AnyUpdate]:
    changed: list[Balance] = []
    nothing = (0, 0, 0)

    async def read(identity: Identity, asset: Id) -> None:
        now = await rest.balance(identity, asset)
        known = topic.latest.get((identity, asset))
        before = _amounts(known) if isinstance(known, Balance) else nothing
        if _amounts(now) != before:
            changed.append(now)

    assets = sorted({asset.asset for market in markets.markets for asset in (market.base, market.quote)})
    await _all(partial(read, identity, asset) for identity in topic.key.identities for asset in assets)
    return [BalanceUpdate(balance=tuple(changed), origin=Origin.BACKFILL)] if changed else []


def _amounts(balance: Balance) -> tuple[int, int, int]:
    return balance.total_unlocked, balance.total_locked, balance.trading_account_balance


async def _all(reads: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run all reads, a few at a time."""
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def run(read: Callable[[], Awaitable[None]]) -> None:
        async with limit:
            await read()

    async with trio.open_nursery() as nursery:
        for read in reads:
            nursery.start_soon(run, read, name="o2trio read of a repair")


RECOVERIES: dict[Kind, Recovery] = {
    Kind.NONCE: _recover_nonces,
    Kind.BALANCES: _recover_balances,
}
"""How each kind of stream is repaired; a kind that is missing here is marked as a gap."""
