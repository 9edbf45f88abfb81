"""Make a market: quote both sides of a book around its middle, and keep account of every fill.

    python examples/market_maker.py --network simulator
    O2_OWNER_KEY=0x... python examples/market_maker.py --network testnet

Ctrl-C takes the quotes off the book. Book and orders keep themselves up to date: the maker looks at them at
its own pace, has no second list of its quotes, and after anything odd simply looks again. Its accounting it
makes itself, fill by fill.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal

import attrs
import trio

import o2trio
from o2trio import Cancel, FuelWallet, Market, NewOrder, Rounding, Session, SessionOrder, Side
from o2trio.simulator import open_simulator

FEE_SCALE = 1_000_000  # a market's fees are millionths of what a fill brings in
RETRY_SECONDS, NEWS_SECONDS, LEAVING_SECONDS = 1, 5, 300

log = logging.getLogger("market_maker")


@attrs.frozen(kw_only=True)
class Quoting:
    """What to quote. Spread, skew and tolerance are parts of the price; sizes are whole base units."""

    market: str = "fFUEL/fUSDC"
    size: Decimal = Decimal(1000)
    max_position: Decimal = Decimal(5000)
    half_spread: Decimal = Decimal("0.001")
    skew: Decimal = Decimal("0.001")  # how far the greatest position moves both quotes
    tolerance: Decimal = Decimal("0.0003")  # how far from where it should be a quote may stay
    pace: float = 0.5  # seconds between two looks; the exchange takes five submissions a second


@attrs.define
class Accounting:
    """What the fills have changed since the beginning, fees deducted; chain units."""

    market: Market = attrs.field(repr=False)
    position: int = 0
    cash: int = 0
    base_fees: int = 0
    quote_fees: int = 0
    fills: int = 0

    def book(self, side: Side, fill: o2trio.Fill) -> None:
        """Enter a fill of an order that was on the book before: its fee is the maker's."""
        value = fill.price * fill.quantity // 10**self.market.base.decimals
        received = fill.quantity if side is Side.BUY else value
        fee = received * self.market.maker_fee // FEE_SCALE
        if side is Side.BUY:
            self.position += fill.quantity - fee
            self.cash -= value
            self.base_fees += fee
        else:
            self.position -= fill.quantity
            self.cash += value - fee
            self.quote_fees += fee
        self.fills += 1


class MarketMaker:
    """Quotes one market in a session; nobody else may trade it for this account meanwhile."""

    def __init__(self, session: Session, book: o2trio.OrderBook, quoting: Quoting) -> None:
        self.market = book.market
        self.accounting = Accounting(book.market)
        self._session, self._book, self._quoting = session, book, quoting
        self._doubts: dict[int, o2trio.OutcomeUnknown] = {}
        self._must_read = False

    async def run(self, stop: trio.Event) -> None:
        """Quote until `stop` is set; then take the quotes off the book and settle."""
        async with trio.open_nursery() as self._followers:
            try:
                await self._insist(self._withdraw)
                while not stop.is_set():
                    await self._try(self._quote)
                    with trio.move_on_after(self._quoting.pace):
                        await stop.wait()
            finally:
                with trio.move_on_after(LEAVING_SECONDS, shield=True):
                    await self._insist(self._withdraw)
        # The followers are done, so each order is closed and each of its fills is booked.

    async def _quote(self) -> None:
        """Bring the quotes to where they should be, in one transaction of at most five actions."""
        surplus = list(self._session.orders.open(self.market))
        bid, ask = (self._best_of_others(side, surplus) for side in (Side.BUY, Side.SELL))
        blind = self._book.is_stale or self._session.orders.is_stale
        if blind or bid is None or ask is None or len(surplus) > 2:
            if surplus:
                await self._session.cancel_all(self.market)
            return
        missing: list[NewOrder] = []
        for side, price in self._wanted(bid, ask).items():
            standing = next((order for order in surplus if self._fits(order, side, price)), None)
            if standing is not None:
                surplus.remove(standing)
            else:
                missing.append(
                    NewOrder(
                        self.market,
                        side,
                        price=price,
                        quantity=self._quoting.size,
                        order_type="PostOnly",
                        adjust=True,
                    )
                )
        if surplus or missing:
            receipt = await self._session.batch([*map(Cancel, surplus), *missing])
            self._follow(receipt.orders)
            with trio.move_on_after(NEWS_SECONDS):  # the stream will tell that they are gone
                for order in surplus:
                    await order.closed()

    def _best_of_others(self, side: Side, mine: list[SessionOrder]) -> Decimal | None:
        """Return the best price that is not only our own: who follows that chases itself."""
        own = {order.price: order.quantity - order.filled_quantity for order in mine}
        levels = self._book.levels(side, len(mine) + 1)
        return next((level.price for level in levels if level.quantity > own.get(level.price, 0)), None)

    def _wanted(self, best_bid: Decimal, best_ask: Decimal) -> dict[Side, Decimal]:
        """Return the price of each quote; the more we hold, the lower they are."""
        quoting, market = self._quoting, self.market
        mid, held = (best_bid + best_ask) / 2, market.quantity(self.accounting.position)
        fair = mid * (1 - quoting.skew * held / quoting.max_position)
        tick = market.price(market.price_step)
        bid = min(fair * (1 - quoting.half_spread), best_ask - tick)
        ask = max(fair * (1 + quoting.half_spread), best_bid + tick)
        wanted = {}
        if held < quoting.max_position:
            wanted[Side.BUY] = market.price(market.raw_price(bid, Rounding.FLOOR))
        if held > -quoting.max_position:
            wanted[Side.SELL] = market.price(market.raw_price(ask, Rounding.CEILING))
        return wanted

    def _fits(self, order: SessionOrder, side: Side, price: Decimal) -> bool:
        """Whether an order is as good as the quote that is wanted: near enough, and not half gone."""
        near = abs(order.price - price) <= price * self._quoting.tolerance
        return order.side is side and near and order.filled_quantity * 2 <= order.quantity

    async def _withdraw(self) -> None:
        await self._session.cancel_all(self.market)
        await self._session.settle(self.market)

    def _follow(self, orders: tuple[SessionOrder, ...]) -> None:
        for order in orders:
            self._followers.start_soon(self._book_fills, order)

    async def _book_fills(self, order: SessionOrder) -> None:
        async for fill in order.fills():
            self.accounting.book(order.side, fill)
            log.info("%s of %s; %s", self.market.quantity(fill.quantity), order, self.accounting)

    # -- what may go wrong ------------------------------------------------------------------------

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        done = False
        while not done:
            done = await self._try(step)
            await trio.sleep(0 if done else RETRY_SECONDS)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Take a step once everything before it is clear; return whether it succeeded."""
        try:
            await self._clear_doubts()
            await step()
        except o2trio.OutcomeUnknown as outcome:  # Perhaps it ran. Nothing new before we know.
            log.info("in doubt: %s", outcome)
            self._doubts[outcome.submission.number] = outcome
        except o2trio.OnChainRevert as revert:  # Nothing happened: mostly, a quote was just filled.
            log.info("reverted: %s", revert)
            self._must_read = True
        except o2trio.SessionOver:  # Another one has taken our place.
            raise
        except (o2trio.ServerError, o2trio.RequestFailed) as fault:
            log.warning("trying again: %s", fault)
        else:
            return True
        return False

    async def _clear_doubts(self) -> None:
        """Find out what became of each submission without an answer; the orders it placed are ours."""
        self._doubts |= {outcome.submission.number: outcome for outcome in self._session.unresolved}
        for number, outcome in list(self._doubts.items()):
            resolved = await self._session.resolve(outcome)
            self._follow(resolved.orders)
            del self._doubts[number]
        if self._must_read:
            await self._session.orders.refresh()
            self._must_read = False


async def main(
    network: o2trio.NetworkConfig | str, owner: o2trio.Signer, quoting: Quoting, stop: trio.Event
) -> Accounting:
    """Set up the owner's account and make a market until `stop` is set."""
    async with o2trio.open_o2(network) as o2:
        await o2.setup_account(owner)
        async with o2.session(owner, quoting.market) as session, o2.order_book(quoting.market) as book:
            maker = MarketMaker(session, book, quoting)
            await maker.run(stop)
            return maker.accounting


async def start(network: str) -> None:
    """Make a market until Ctrl-C, with the key in the environment, or with a new one in the simulator."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, stop)
        if network == "simulator":
            async with open_simulator(start_time=time.time()) as simulator:
                await main(simulator.network, FuelWallet.generate(), Quoting(), stop)
        else:
            await main(network, FuelWallet.from_key(os.environ["O2_OWNER_KEY"]), Quoting(), stop)
        nursery.cancel_scope.cancel()


async def stop_on_signal(stop: trio.Event) -> None:
    """Set `stop` at the first Ctrl-C; the next one interrupts."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
    stop.set()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a market on the O2 exchange, until Ctrl-C.")
    parser.add_argument("--network", default="simulator", help="simulator (default), testnet, or a URL")
    logging.basicConfig(format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)
    trio.run(start, parser.parse_args().network)
