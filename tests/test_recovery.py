"""What a repair reads over REST, and what of it a consumer is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from o2trio import RequestFailed
from o2trio.models import AccountInfo, Balance, Id, Identity, Origin
from o2trio.recovery import RECOVERIES
from o2trio.streams import Topic, TopicKey
from o2trio.wire import Kind
from tests.streams.world import ASSET, World, account, balances, nonce

SECOND = Id("0x" + "d4" * 32)
MARKETS: Any = SimpleNamespace(
    markets=[SimpleNamespace(base=SimpleNamespace(asset=ASSET), quote=SimpleNamespace(asset=SECOND))] * 2
)


class Rest:
    """Answers from two tables; counts what runs at the same time."""

    def __init__(self) -> None:
        self.nonces: dict[Id, int | None] = {}
        self.amounts: dict[tuple[Identity, Id], int] = {}
        self.calls = self.running = self.most = 0

    async def _read(self) -> None:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await trio.lowlevel.checkpoint()
        self.running -= 1

    async def account(self, trade_account_id: Id) -> AccountInfo | None:
        await self._read()
        if trade_account_id not in self.nonces:
            return None
        return AccountInfo(trade_account_id=trade_account_id, nonce=self.nonces[trade_account_id])

    async def balance(self, identity: Identity, asset: Id) -> Balance:
        await self._read()
        amount = self.amounts.get((identity, asset), 0)
        if amount < 0:
            raise RequestFailed("no answer")
        return Balance(
            identity=identity,
            asset_id=asset,
            total_unlocked=amount,
            total_locked=0,
            trading_account_balance=amount,
        )


def topic_of(kind: Kind, count: int) -> tuple[World, Topic]:
    world = World()
    key = TopicKey(kind, identities=tuple(account(number) for number in range(1, count + 1)))
    world.live(key)
    return world, world.topic(key)


async def test_only_nonces_that_changed_are_told() -> None:
    world, topic = topic_of(Kind.NONCE, 4)
    world.receive(nonce(1, account(1)), nonce(2, account(2)))
    rest: Any = Rest()
    rest.nonces = {account(1).id: 1, account(2).id: 5, account(3).id: None}
    updates: Any = await RECOVERIES[Kind.NONCE](rest, MARKETS, topic)
    assert [(u.contract_id, u.nonce, u.origin) for u in updates] == [(account(2).id, 5, Origin.BACKFILL)]
    assert rest.calls == 4


async def test_only_balances_that_changed_are_told_in_one_update() -> None:
    world, topic = topic_of(Kind.BALANCES, 3)
    world.receive(balances((account(1), 7), (account(2), 8)))
    rest: Any = Rest()
    rest.amounts = {(account(1), ASSET): 7, (account(2), ASSET): 9, (account(3), SECOND): 1}
    (update,) = await RECOVERIES[Kind.BALANCES](rest, MARKETS, topic)
    told: Any = update
    assert {(b.identity, b.asset_id, b.total_unlocked) for b in told.balance} == {
        (account(2), ASSET, 9),
        (account(3), SECOND, 1),
    }
    assert update.origin is Origin.BACKFILL
    assert rest.calls == 6, "each pair of account and asset once"
    assert rest.most <= 4


async def test_nothing_changed_is_nothing_told() -> None:
    _, topic = topic_of(Kind.BALANCES, 2)
    rest: Any = Rest()
    assert await RECOVERIES[Kind.BALANCES](rest, MARKETS, topic) == []


async def test_an_unanswered_read_fails_the_whole_repair() -> None:
    _, topic = topic_of(Kind.BALANCES, 2)
    rest: Any = Rest()
    rest.amounts = {(account(1), ASSET): -1}
    with pytest.raises(ExceptionGroup) as caught:
        await RECOVERIES[Kind.BALANCES](rest, MARKETS, topic)
    assert caught.group_contains(RequestFailed)
