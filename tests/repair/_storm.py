"""A storm over everything: order flow, cuts at random moments, consumers that write down what they get.

What holds in every storm, in whatever order Trio runs the tasks: what is told is true, and complete up to the
gaps that are marked. At rest the last word on everything is the truth, except on what changed within a marked
gap and not after it. Where nothing hinders the repairs there is no gap at all; a storm that lets REST fail or
the streams lag may make one.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
import trio

from o2trio import DepthBook, O2Client, Options, Origin, Update, open_o2
from o2trio.models import BalanceUpdate, Gap, NonceUpdate, Order, OrderUpdate
from o2trio.simulator import Simulator, open_simulator
from o2trio.simulator._audit import Recorded

LATENCY = 1.0
"""Virtual seconds that a message may take: a gap begins with the last one that arrived."""

PAIRS = ("fFUEL/fUSDC", "fETH/fUSDC", "fBTC/fUSDC")


class Diary:
    """What one consumer was told, and how the truth compares with it."""

    def __init__(self, seed: int, naps: float) -> None:
        self.updates: list[Update] = []
        self.truth: Callable[[], Any] = lambda: None
        self.records: Callable[[], Sequence[Recorded[Any]]] = lambda: ()
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

    @property
    def gaps(self) -> list[Gap]:
        return [update.gap for update in self.updates if update.gap is not None]

    def watch_clock(self, sim: Simulator) -> None:
        """Learn how the exchange's time and Trio's go together."""
        self._offset = trio.current_time() - sim.time()

    def is_excused(self, record: Recorded[Any], gaps: Iterable[Gap]) -> bool:
        """Return whether what a record says happened within one of the gaps."""
        time = record.seen_timestamp / 1e9 + self._offset
        return any(gap.since - LATENCY <= time <= gap.until for gap in gaps)


class TradeDiary(Diary):
    """Trades must equal the exchange's history from the moment of the subscription, but for marked gaps."""

    async def follow(
        self, sim: Simulator, o2: O2Client, pair: str, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        market = sim.market(pair)
        self.watch_clock(sim)
        first = 0

        def began() -> None:
            nonlocal first
            first = len(sim.audit.trades(market))

        self.records = lambda: sim.audit.trades(market)[first:]
        self.truth = lambda: [record.value for record in self.records()]
        await self.keep(o2.stream_trades(pair), began, task_status)

    @property
    def trades(self) -> list[Any]:
        return [trade for update in self.updates for trade in getattr(update, "trades", ())]

    def check(self) -> None:
        truth = deque(self.records())
        assert len(truth) > 10
        ids = [trade.trade_id for trade in self.trades]
        assert len(set(ids)) == len(ids), "none twice"
        gaps: list[Gap] = []
        for update in self.updates:
            if update.gap is not None:
                gaps.append(update.gap)
            for trade in getattr(update, "trades", ()):
                self._skip(truth, trade, gaps)
                assert truth, f"{trade} never was, or comes too late"
                assert truth.popleft().value == trade, "the same ones in the same order"
                gaps.clear()
        self._skip(truth, None, gaps)
        assert not truth, "none missing"

    def _skip(self, truth: deque[Recorded[Any]], until: Any, gaps: list[Gap]) -> None:
        """Leave out what may be missing at this place, up to a trade."""
        while truth and truth[0].value != until and self.is_excused(truth[0], gaps):
            truth.popleft()


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
        self.watch_clock(sim)
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
            self._check_nonce(account, nonces)
            self._check_balances(account, balances)
            self._check_orders(account, orders)

    def _missed(self, kind: type[Update], records: Sequence[Recorded[Any]]) -> bool:
        """Return whether the last change was within a gap of this kind of stream."""
        gaps = [update.gap for update in self.updates if isinstance(update, kind) and update.gap is not None]
        return bool(records) and self.is_excused(records[-1], gaps)

    def _check_nonce(self, account: Any, told: dict[str, int]) -> None:
        if told[account.trade_account_id] != account.nonce:
            assert self._missed(NonceUpdate, self._sim.audit.nonces(account))

    def _check_balances(self, account: Any, told: dict[tuple[str, str], Any]) -> None:
        markets = self._sim.exchange.markets.markets
        for asset in {asset.asset for market in markets for asset in (market.base, market.quote)}:
            real, known = account.balance(asset), told.get((account.trade_account_id, asset))
            amounts = (known.total_unlocked, known.total_locked) if known is not None else (0, 0)
            if (real.total_unlocked, real.total_locked) != amounts:
                assert self._missed(BalanceUpdate, self._sim.audit.balances(account, asset)), "the truth"

    def _check_orders(self, account: Any, told: dict[str, Order]) -> None:
        last = {record.value.order_id: record for record in self._sim.audit.orders(account)}
        for order_id, record in last.items():
            order, known = record.value, told.get(order_id)
            if known is None and not order.is_open:
                continue
            if known is None or (known.is_open, known.quantity_fill) != (order.is_open, order.quantity_fill):
                assert self._missed(OrderUpdate, [record]), "an open order is known, and its state is true"


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

    @property
    def may_mark_gaps(self) -> bool:
        """Whether a repair may fail, so that what it would have read is marked as missing."""
        return bool(self.rest or self.latency or self.stale)

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
