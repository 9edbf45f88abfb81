"""The market maker of the examples in a storm, and whether everything it knows is true afterwards."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import attrs
import trio

from examples.market_maker import Accounting, MarketMaker, Quoting, log
from o2trio import FuelWallet, O2Client, Options, OrderBook, Session, Side, open_o2
from o2trio.simulator import Simulator, default_listings, open_simulator

ACTIONS, READS = "/v1/session/actions", ("/v1/order", "/v1/accounts", "/v1/balance")
QUIET_SECONDS = 240.0

BITCOIN = Quoting(
    market="fBTC/fUSDC",
    size=Decimal("0.01"),
    max_position=Decimal("0.1"),
    half_spread=Decimal("0.0001"),
    skew=Decimal("0.0002"),
    tolerance=Decimal("0.00003"),
)
"""For the market whose makers pay fees."""


class _Counts(logging.Handler):
    """Counts what the maker logs, by its messages' beginnings."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[str(record.msg).partition(":")[0]] += 1


@contextmanager
def _counted() -> Generator[Counter[str]]:
    handler = _Counts()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield handler.counts
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = True


@attrs.frozen(kw_only=True)
class Outcome:
    """How a storm went, for people and for tests.

    Attributes:
      accounting: the maker's own.
      transactions: of the maker's account that ran.
      reverts, doubts, faults: how often the maker met one: nothing happened; nobody knew; nothing was sent.
      cuts: faults of the connections.
      limited: requests that were refused for being too many.
    """

    accounting: Accounting
    transactions: int
    reverts: int
    doubts: int
    faults: int
    cuts: int
    limited: int


@attrs.frozen(kw_only=True)
class MakerStorm:
    """What a storm is made of; times in virtual seconds.

    Attributes:
      seconds: how long it lasts.
      every: mean time between two faults of the connections.
      rate: of the order flow, in events per second and market.
      stale: how far REST lags behind.
      latency: of frames from the server.
      lost: probability that a submission is hit by each kind of fault.
    """

    seed: int
    seconds: float
    quoting: Quoting = attrs.field(factory=Quoting)
    every: float = 30.0
    rate: float = 4.0
    stale: float = 1.5
    latency: float = 0.3
    lost: float = 0.02

    async def run(self) -> Outcome:
        """Let it rage, wait until all is quiet, and check; again when the quotes are withdrawn."""
        owner = FuelWallet.from_key(f"{self.seed + 1:064x}")
        options = Options(jitter=random.Random(self.seed).random)
        listings = [each for each in default_listings() if each.market.pair == self.quoting.market]
        async with open_simulator(seed=self.seed, rate=self.rate, markets=listings) as sim:
            network = attrs.evolve(sim.network, clock=lambda: sim.exchange.now / 1e9)
            async with open_o2(network, options=options) as o2:
                await o2.setup_account(owner)
                async with (
                    o2.session(owner, self.quoting.market) as session,
                    o2.order_book(self.quoting.market) as book,
                ):
                    truth = Truth(sim, owner, o2, session, book)
                    with _counted() as counts:
                        accounting, cuts = await self._trade(truth)
            return Outcome(
                accounting=accounting,
                transactions=truth.account.nonce,
                reverts=counts["reverted"],
                doubts=counts["in doubt"],
                faults=counts["trying again"],
                cuts=cuts,
                limited=sum(request.status == 429 for request in sim.rest.requests),
            )

    async def _trade(self, truth: Truth) -> tuple[Accounting, int]:
        sim = truth.sim
        maker = MarketMaker(truth.session, truth.book, self.quoting)
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(maker.run, stop)
            await trio.sleep(5)
            self._begin(sim)
            cuts = await self._rage(sim)
            sim.pause_flow()
            sim.rest.heal()
            await trio.sleep(QUIET_SECONDS)
            assert len(truth.session.orders) > 0, "it is still quoting"
            await truth.check(maker.accounting)
            stop.set()
            nursery.cancel_scope.deadline = trio.current_time() + 60
        assert not nursery.cancel_scope.cancelled_caught, "it ends"
        await trio.sleep(5)
        assert not truth.session.orders.open(), "the quotes are withdrawn"
        await truth.check(maker.accounting)
        assert not truth.locked_or_unsettled(), "everything is settled"
        return maker.accounting, cuts

    def _begin(self, sim: Simulator) -> None:
        """Let things go wrong that go wrong all the time."""
        sim.set_latency(self.latency)
        sim.rest.enforce_limits()
        sim.rest.stale(round(self.stale * 1000))
        for path in READS:
            sim.rest.fail(503, path=path, probability=0.05)
        if self.lost:
            rest = sim.rest
            rest.cut(path=ACTIONS, probability=self.lost)
            rest.cut(path=ACTIONS, before=True, probability=self.lost)
            rest.fail(502, html=True, path=ACTIONS, probability=self.lost)
            rest.defer(1.0, path=ACTIONS, probability=self.lost)
            rest.defer(3.0, cut=True, path=ACTIONS, probability=self.lost)
            rest.duplicate(path=ACTIONS, probability=self.lost)

    async def _rage(self, sim: Simulator) -> int:
        dice = random.Random(self.seed)
        end, cuts = trio.current_time() + self.seconds, 0
        while trio.current_time() < end:
            with trio.move_on_at(end) as scope:
                await trio.sleep(dice.expovariate(1 / self.every))
            if scope.cancelled_caught:
                break
            fault, cuts = dice.random(), cuts + 1
            if fault < 0.6:
                sim.drop_connections()
            elif fault < 0.75:
                sim.mute()
                await trio.sleep(dice.random() * 70)
                sim.unmute()
            elif fault < 0.9:
                sim.rest.go_down()
                await trio.sleep(dice.random() * 20)
                sim.rest.come_back()
            else:
                sim.refuse_handshakes(503, count=2)
                sim.drop_connections()
        sim.accept_handshakes()
        return cuts


class Truth:
    """Compares what the maker's side knows with what is true on the exchange."""

    def __init__(
        self, sim: Simulator, owner: FuelWallet, o2: O2Client, session: Session, book: OrderBook
    ) -> None:
        account = sim.exchange.account_of(owner.identity)
        assert account is not None
        self.sim, self.o2, self.session, self.book, self.account = sim, o2, session, book, account
        self.market = book.market
        self._before = self._totals()

    def _totals(self) -> tuple[int, int]:
        base, quote = self.market.base.asset, self.market.quote.asset
        return self.account.balance(base).total, self.account.balance(quote).total

    def locked_or_unsettled(self) -> bool:
        """Whether some money is not in the account contract itself."""
        balances = [self.account.balance(asset.asset) for asset in (self.market.base, self.market.quote)]
        return any(balance.total != balance.trading_account_balance for balance in balances)

    async def check(self, accounting: Accounting) -> None:
        """Check everything; the exchange must be at rest."""
        self._check_book()
        self._check_orders()
        for balance in await self.o2.get_balances(self.account.trade_account_id):
            assert balance == self.account.balance(balance.asset_id)
        self._check_accounting(accounting)

    def _check_book(self) -> None:
        real, book = self.sim.exchange.book(self.market.market_id, 1), self.book.raw
        assert not self.book.is_stale
        assert (tuple(book.bids), tuple(book.asks)) == (real.bids, real.asks)

    def _check_orders(self) -> None:
        assert not self.session.orders.is_stale
        assert not self.session.unresolved
        known: Any = {
            order.order_id: (order.side, order.order.price, order.order.quantity, order.order.quantity_fill)
            for order in self.session.orders
        }
        real: Any = {
            order.order_id: (order.side, order.price, order.quantity, order.filled)
            for order in self.sim.exchange.orders_of(self.account.trade_account_id, self.market.market_id)
            if not order.close
        }
        assert known == real

    def _check_accounting(self, accounting: Accounting) -> None:
        base, quote = self._totals()
        assert accounting.position == base - self._before[0]
        assert accounting.cash == quote - self._before[1]
        trades = [record.value for record in self.sim.audit.trades(self.market)]
        assert not any(trade.taker == self.account.identity for trade in trades), "it only makes"
        mine = [trade for trade in trades if trade.maker == self.account.identity]
        fees = {side: sum(trade.maker_fee or 0 for trade in mine if trade.side is side) for side in Side}
        assert (accounting.base_fees, accounting.quote_fees) == (fees[Side.BUY], fees[Side.SELL])
        assert accounting.fills == len(mine), "each fill is booked by itself"
