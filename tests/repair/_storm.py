"""A storm over everything: order flow, cuts at random moments, consumers that write down what they get."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
import trio

from o2trio import DepthBook, O2Client, Options, Origin, Update, open_o2
from o2trio.models import Order
from o2trio.simulator import Simulator, open_simulator

PAIRS = ("fFUEL/fUSDC", "fETH/fUSDC", "fBTC/fUSDC")


class Diary:
    """What one consumer was told, and how the truth compares with it."""

    def __init__(self, seed: int, naps: float) -> None:
        self.updates: list[Update] = []
        self.truth: Callable[[], Any] = lambda: None
        self.is_true: Callable[[], bool] = lambda: False
        self._random = random.Random(seed)
        self._naps = naps

    async def keep(self, stream: Any, began: Callable[[], None], task_status: Any) -> None:
        async with stream as items:
            began()
            task_status.started()
            async for item in items:
                assert not self.updates or item.epoch >= self.updates[-1].epoch
                self.updates.append(item)
                if self._naps and self._random.random() < 0.02:
                    await trio.sleep(self._random.random() * self._naps)

    def count(self, origin: Origin) -> int:
        return sum(update.origin is origin for update in self.updates)


class TradeDiary(Diary):
    """Trades must equal the exchange's history from the moment of the subscription."""

    async def follow(
        self, sim: Simulator, o2: O2Client, pair: str, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        market = sim.market(pair)
        first = 0

        def began() -> None:
            nonlocal first
            first = len(sim.audit.trades(market))

        self.truth = lambda: [record.value for record in sim.audit.trades(market)[first:]]
        await self.keep(o2.stream_trades(pair), began, task_status)

    @property
    def trades(self) -> list[Any]:
        return [trade for update in self.updates for trade in getattr(update, "trades", ())]

    def check(self) -> None:
        told, truth = self.trades, self.truth()
        assert len(truth) > 10
        ids, real = [trade.trade_id for trade in told], [trade.trade_id for trade in truth]
        assert len(set(ids)) == len(ids), "none twice"
        assert ids == real, "the same ones in the same order"
        assert told == truth


class BookDiary(Diary):
    """A book kept from the updates must be the exchange's at rest."""

    def __init__(self, seed: int, naps: float) -> None:
        super().__init__(seed, naps)
        self.book = DepthBook()

    async def follow(
        self, sim: Simulator, o2: O2Client, pair: str, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        self.truth = lambda: sim.exchange.book(sim.market(pair).market_id, 1)
        await self.keep(o2.stream_depth(pair), lambda: None, task_status)

    def check(self) -> None:
        for update in self.updates:
            self.book.apply(update)  # type: ignore[arg-type]  # a depth stream gives nothing else
        assert self.book.changes() == self.truth()


class AccountDiary(Diary):
    """The last word on every order, balance and nonce must be the truth; begun with a seed."""

    async def follow(
        self, sim: Simulator, o2: O2Client, accounts: list[Any], task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        self._sim, self._accounts = sim, accounts
        ids = [account.trade_account_id for account in accounts]
        async with trio.open_nursery() as nursery:
            for stream in (o2.stream_orders, o2.stream_balances, o2.stream_nonce):
                await nursery.start(self.keep_all, stream(ids, seed=True), name=f"follow {stream.__name__}")
            task_status.started()

    async def keep_all(self, stream: Any, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with stream as items:
            task_status.started()
            async for item in items:
                self.updates.append(item)
                if self._naps and self._random.random() < 0.02:
                    await trio.sleep(self._random.random() * self._naps)

    def check(self) -> None:
        orders: dict[str, Order] = {}
        balances: dict[tuple[str, str], Any] = {}
        nonces: dict[str, int] = {}
        for update in self.updates:
            told: Any = update
            for order in getattr(told, "orders", ()):
                orders[order.order_id] = order
            for entry in getattr(told, "balance", ()):
                balances[entry.identity.id, entry.asset_id] = entry
            if getattr(told, "nonce", None) is not None:
                nonces[told.contract_id] = told.nonce
        for account in self._accounts:
            assert nonces[account.trade_account_id] == account.nonce
            self._check_balances(account, balances)
            self._check_orders(account, orders)

    def _check_balances(self, account: Any, told: dict[tuple[str, str], Any]) -> None:
        markets = self._sim.exchange.markets.markets
        for asset in {asset.asset for market in markets for asset in (market.base, market.quote)}:
            real, known = account.balance(asset), told.get((account.trade_account_id, asset))
            amounts = (known.total_unlocked, known.total_locked) if known is not None else (0, 0)
            assert (real.total_unlocked, real.total_locked) == amounts

    def _check_orders(self, account: Any, told: dict[str, Order]) -> None:
        last = {record.value.order_id: record.value for record in self._sim.audit.orders(account)}
        for order_id, order in last.items():
            known = told.get(order_id)
            if known is None:
                assert not order.is_open, "an open order is known"
            else:
                assert (known.is_open, known.quantity_fill) == (order.is_open, order.quantity_fill)


@attrs.frozen(kw_only=True)
class Storm:
    """What a storm is made of; times in virtual seconds.

    Attributes:
      seconds: how long it lasts.
      naps: how long consumers sleep at most, at random; 0 for never.
      every: mean time between two faults.
      rate: of the order flow, in events per second and market.
      latency: of frames from the server.
      stale: by how much REST lags behind.
      rest: probability that a REST read fails with 503.
    """

    seed: int
    seconds: float
    naps: float = 0.0
    every: float = 40.0
    rate: float = 2.0
    latency: float = 0.0
    stale: float = 0.0
    rest: float = 0.0

    async def run(self, **changes: Any) -> list[Any]:
        """Let it rage, wait until all is quiet, and check every diary."""
        options = Options(
            **{
                "jitter": random.Random(self.seed).random,
                "buffer_size": 64,
                "repair_timeout": 60.0,
                **changes,
            }
        )
        async with open_simulator(seed=self.seed, rate=self.rate) as sim:
            sim.set_latency(self.latency)
            sim.rest.stale(int(self.stale * 1000))
            if self.rest:
                sim.rest.fail(503, probability=self.rest)
            async with open_o2(sim.network, options=options) as o2, trio.open_nursery() as nursery:
                diaries: list[Any] = []
                for number, pair in enumerate(PAIRS):
                    for kind in (TradeDiary, BookDiary):
                        diary = kind(number, self.naps)
                        diaries.append(diary)
                        await nursery.start(diary.follow, sim, o2, pair)
                accounts = list(sim.exchange.accounts.values())[:3]
                diaries.append(AccountDiary(9, self.naps))
                await nursery.start(diaries[-1].follow, sim, o2, accounts)
                await trio.sleep(10)
                await self._rage(sim)
                sim.pause_flow()
                sim.rest.heal()
                await trio.sleep(300 + 40 * self.naps)
                for diary in diaries:
                    diary.check()
                nursery.cancel_scope.cancel()
        return diaries

    async def _rage(self, sim: Simulator) -> None:
        dice = random.Random(self.seed)
        end = trio.current_time() + self.seconds
        while trio.current_time() < end:
            await trio.sleep(dice.expovariate(1 / self.every))
            fault = dice.random()
            if fault < 0.6:
                sim.drop_connections()
            elif fault < 0.8:
                sim.mute()
                await trio.sleep(dice.random() * 70)
                sim.unmute()
            else:
                sim.refuse_handshakes(503, count=2)
                sim.drop_connections()
        sim.accept_handshakes()
