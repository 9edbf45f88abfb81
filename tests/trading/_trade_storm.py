"""A storm over submissions: answers cut, lost, late, doubled; calls cancelled; and the truth at the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import attrs
import trio

from o2trio import (
    FuelWallet,
    Market,
    NewOrder,
    O2Error,
    Options,
    OutcomeUnknown,
    Raw,
    RequestFailed,
    Resolved,
    Session,
    SessionOrder,
    Side,
    Verdict,
    open_o2,
)
from o2trio.simulator import BookOrder, Simulator, open_simulator

PAIR = "fFUEL/fUSDC"
ACTIONS = "/v1/session/actions"


@attrs.define(eq=False)
class Attempt:
    """One call of a trader and how it ended."""

    order: NewOrder
    twin: bool
    end: str = "cancelled"
    placed: SessionOrder | None = None
    unknown: OutcomeUnknown | None = None
    cancelling: OutcomeUnknown | None = None


@attrs.frozen(kw_only=True)
class TradeStorm:
    """One storm; everything about it follows from the seed.

    Attributes:
      lane: of parallel nonces, or None for the sequential one.
      traders, attempts: how many at the same time, and how often each.
      fault: probability of each kind of fault.
      stale: how old REST reads are, milliseconds.
      impatience: probability that a call is cancelled while it is under way.
    """

    seed: int
    lane: int | None = None
    traders: int = 4
    attempts: int = 25
    fault: float = 0.06
    stale: int = 0
    impatience: float = 0.15

    def plan(self, sim: Simulator) -> None:
        rest, p = sim.rest, self.fault
        rest.slow(0.05)
        rest.cut(path=ACTIONS, probability=p)
        rest.cut(before=True, path=ACTIONS, probability=p)
        rest.fail(502, html=True, path=ACTIONS, probability=p / 2)
        rest.fail(503, path=ACTIONS, probability=p / 2)
        rest.fail(429, retry_after=1, path=ACTIONS, probability=p / 2)
        rest.slow(8, path=ACTIONS, probability=p)
        rest.defer(3.5, path=ACTIONS, probability=p)
        rest.defer(4, cut=True, path=ACTIONS, probability=p)
        rest.duplicate(path=ACTIONS, probability=p)
        rest.fail(500, path="/v1/orders", probability=p)
        rest.fail(500, path="/v1/accounts", probability=p)
        if self.stale:
            rest.stale(self.stale)

    async def run(self) -> Counter[str]:
        """Let it rage, and compare what the client believes with what the exchange has done."""
        options = Options(submit_timeout=3.0, jitter=random.Random(self.seed).random)
        async with open_simulator(self.seed, rate=0.5) as sim, open_o2(sim.network, options=options) as o2:
            owner = FuelWallet.from_key(f"{self.seed + 1:064x}")
            account = (await o2.setup_account(owner)).account
            key = FuelWallet.from_key(f"{self.seed + 10**9:064x}")
            async with o2.session(owner, PAIR, key=key, lane=self.lane) as session:
                tries: list[Attempt] = []
                self.plan(sim)
                async with trio.open_nursery() as beside:
                    beside.start_soon(self.cut_streams, sim)
                    async with trio.open_nursery() as traders:
                        for number in range(self.traders):
                            traders.start_soon(self.trade, session, number, tries)
                    beside.cancel_scope.cancel()
                sim.rest.heal()
                sim.pause_flow()
                await trio.sleep(20)
                resolved = {each.submission.number: each for each in await session.resolve_all()}
                assert session.unresolved == ()
                await trio.sleep(20)
                orders = sim.exchange.orders_of(account.trade_account_id, session.markets[0].market_id)
                counts = await self.judge(session, tries, resolved, orders)
                open_now = {order.order_id for order in orders if not order.close}
                believed = {order.order_id for order in session.orders}
                assert believed == open_now, (
                    believed - open_now,
                    open_now - believed,
                    session.orders.is_stale,
                )
                return counts

    async def cut_streams(self, sim: Simulator) -> None:
        chance = random.Random(f"{self.seed} streams")
        while True:
            await trio.sleep(chance.uniform(2, 15))
            sim.drop_connections()

    async def trade(self, session: Session, number: int, tries: list[Attempt]) -> None:
        chance = random.Random(f"{self.seed} trader {number}")
        market = session.markets[0]
        for step in range(self.attempts):
            attempt = Attempt(*self.draw(chance, market, number * self.attempts + step + 1))
            tries.append(attempt)
            patience = chance.uniform(0, 0.3) if chance.random() < self.impatience else 1e6
            look_now = chance.random() < 0.3
            with trio.move_on_after(patience):
                try:
                    attempt.placed = await session.place(attempt.order)
                    attempt.end = "placed"
                except OutcomeUnknown as outcome:
                    attempt.end, attempt.unknown = "unknown", outcome
                except O2Error as error:
                    attempt.end = "not sent" if isinstance(error, RequestFailed) else "refused"
            if attempt.unknown is not None and look_now:
                with suppress(OutcomeUnknown):
                    await session.resolve(attempt.unknown)
            if attempt.placed is not None and attempt.placed.is_open and chance.random() < 0.3:
                try:
                    await session.cancel(attempt.placed)
                except OutcomeUnknown as outcome:
                    attempt.cancelling = outcome
                except O2Error:
                    pass
            await trio.sleep(chance.uniform(0, 0.4))

    def draw(self, chance: random.Random, market: Market, serial: int) -> tuple[NewOrder, bool]:
        """Draw an order; its quantity is its name, except that twins share theirs."""
        twin = chance.random() < 0.3
        side = chance.choice(list(Side))
        price = 20_000 if side is Side.BUY else 40_000
        quantity = (1000 if twin else 1000 + serial) * 10**9
        kind = chance.choice(["Spot", "Spot", "PostOnly", "FillOrKill"])
        return NewOrder(market, side, price=Raw(price), quantity=Raw(quantity), order_type=kind), twin

    async def judge(
        self,
        session: Session,
        tries: list[Attempt],
        resolved: dict[int, Resolved],
        orders: Sequence[BookOrder],
    ) -> Counter[str]:
        truth = {order.order_id: order for order in orders}
        placed: set[str] = set()
        counts: Counter[str] = Counter()
        # What cancelled calls left behind was resolved with the rest; nothing else did they place.
        for attempt in tries:
            counts[attempt.end] += 1
            believed = list(filter(None, [attempt.placed]))
            if attempt.unknown is not None:
                verdict = await session.resolve(attempt.unknown)
                counts[f"unknown: {verdict.verdict}"] += 1
                assert (verdict.verdict is Verdict.LANDED) == bool(verdict.orders)
                believed += verdict.orders
            for order in believed:
                assert order.order_id not in placed, f"{order!r} was credited twice"
                placed.add(order.order_id)
                assert _terms(truth[order.order_id]) == _wanted(attempt.order)
            if attempt.cancelling is not None:
                verdict = await session.resolve(attempt.cancelling)
                assert attempt.placed is not None
                landed = truth[attempt.placed.order_id].cancel
                assert (verdict.verdict is Verdict.LANDED) == landed, (verdict, attempt)
                counts[f"cancel: {verdict.verdict}"] += 1
        told = {attempt.unknown.submission.number for attempt in tries if attempt.unknown is not None}
        for number, each in resolved.items():
            if number not in told:
                for order in each.orders:
                    assert order.order_id not in placed
                    placed.add(order.order_id)
        assert placed == truth.keys(), f"{truth.keys() - placed} were placed without anybody's knowledge"
        twice = Counter(_terms(order) for order in orders)
        alone = {_wanted(attempt.order) for attempt in tries if not attempt.twin}
        assert all(twice[terms] <= 1 for terms in alone)
        return counts


def _terms(order: BookOrder) -> tuple[object, ...]:
    return order.side, order.price, order.quantity, order.order_type.name


def _wanted(order: NewOrder) -> tuple[object, ...]:
    assert isinstance(order.price, Raw)
    assert isinstance(order.quantity, Raw)
    return order.side, order.price.value, order.quantity.value, order.order_type
