"""Buy or sell at once, at no price beyond a bound, in pieces that the book can take.

    python examples/taker_with_bounds.py buy 5000 --network simulator
    O2_OWNER_KEY=0x... python examples/taker_with_bounds.py sell 5000 --slippage 0.002 --network testnet

The bound is taken once from the live book, so a market that runs away is not followed. `--all` takes the
whole quantity in a single FillOrKill order, or nothing; otherwise BoundedMarket orders take piece by piece
what there is within the bound.
"""

from __future__ import annotations

import argparse
import os
import time
from decimal import Decimal

import attrs
import trio

from o2trio import (
    BoundedMarket,
    FuelWallet,
    NetworkConfig,
    NewOrder,
    OnChainRevert,
    OrderBook,
    OutcomeUnknown,
    Rounding,
    Session,
    SessionOrder,
    Side,
    Signer,
    open_o2,
)
from o2trio.simulator import open_simulator

FAR = Decimal("0.5")
PAUSE, LOOKS = 1, 10  # so many looks at the book, so many seconds apart, are taken before it is given up


@attrs.frozen(kw_only=True)
class Taking:
    """What to take.

    Attributes:
      market, side: where, and buy or sell.
      quantity: how much in all, base units.
      piece: the greatest quantity of one order.
      slippage: how far from the best price the bound lies, a part of it.
      whole: all of it at once, or nothing.
    """

    market: str = "fFUEL/fUSDC"
    side: Side = Side.BUY
    quantity: Decimal
    piece: Decimal = Decimal(2000)
    slippage: Decimal = Decimal("0.002")
    whole: bool = False


@attrs.frozen
class Taken:
    """What came of it: the orders, and what they filled at which average price, in whole units."""

    orders: tuple[SessionOrder, ...]
    bound: Decimal

    @property
    def quantity(self) -> Decimal:
        """How much was taken."""
        return sum((order.filled_quantity for order in self.orders), Decimal(0))


async def take(session: Session, book: OrderBook, taking: Taking) -> Taken:
    """Take what is wanted, as far as the book offers it within the bound."""
    bound = await find_bound(book, taking)
    orders: list[SessionOrder] = []
    left = taking.quantity
    for _ in range(LOOKS):
        size = left if taking.whole else min(left, taking.piece, offered(book, taking.side, bound))
        if size * bound >= book.market.total(book.market.min_order) and not book.is_stale:
            for order in await place(session, new_order(book, taking, size, bound)):
                orders.append(order)
                left -= book.market.quantity((await order.closed()).quantity_fill)
        if left * bound < book.market.total(book.market.min_order):
            break
        await trio.sleep(PAUSE)
    return Taken(tuple(orders), bound)


async def find_bound(book: OrderBook, taking: Taking) -> Decimal:
    """Return the worst price that is acceptable, from the best one on the other side."""
    while True:
        best = book.best_ask if taking.side is Side.BUY else book.best_bid
        if best is not None and not book.is_stale:
            break
        await book.changed()
    buys = taking.side is Side.BUY
    factor = 1 + taking.slippage if buys else 1 - taking.slippage
    # On the price step that is nearest, but not beyond.
    raw = book.market.raw_price(best.price * factor, Rounding.FLOOR if buys else Rounding.CEILING)
    return book.market.price(raw)


def offered(book: OrderBook, side: Side, bound: Decimal) -> Decimal:
    """Return how much the book offers to somebody on `side`, up to the bound."""
    best = book.best_ask if side is Side.BUY else book.best_bid
    if best is None or (best.price > bound if side is Side.BUY else best.price < bound):
        return Decimal(0)
    return book.volume_to(bound)


def new_order(book: OrderBook, taking: Taking, size: Decimal, bound: Decimal) -> NewOrder:
    """Return an order for `size`, of which nothing trades beyond the bound and nothing stays on the book."""
    if taking.whole:
        return NewOrder(
            book.market, taking.side, price=bound, quantity=size, order_type="FillOrKill", adjust=True
        )
    # The other bound is no wish of ours: whatever is better than the book's best price is welcome.
    better = (
        bound * (1 - 2 * taking.slippage) if taking.side is Side.BUY else bound * (1 + 2 * taking.slippage)
    )
    other = book.market.price(book.market.raw_price(better, Rounding.NEAREST))
    low, high = sorted((bound, other))
    kind = BoundedMarket(min_price=low, max_price=high)
    return NewOrder(book.market, taking.side, price=bound, quantity=size, order_type=kind, adjust=True)


async def place(session: Session, order: NewOrder) -> tuple[SessionOrder, ...]:
    """Place an order and return it; nothing if it was refused, or never ran."""
    try:
        return (await session.place(order),)
    except OnChainRevert as revert:
        print("not taken:", revert)
        return ()
    except OutcomeUnknown as outcome:
        resolved = await session.resolve(outcome)
        print("the answer was lost; the order", resolved.verdict)
        return resolved.orders


async def main(network: NetworkConfig | str, owner: Signer, taking: Taking) -> Taken:
    """Take with the owner's account, and say what came of it."""
    async with open_o2(network) as o2:
        await o2.setup_account(owner)
        async with o2.session(owner, taking.market) as session, o2.order_book(taking.market) as book:
            taken = await take(session, book, taking)
            for order in taken.orders:
                print(order, "on average at", book.market.price(order.order.price_fill))
            print(f"{taken.quantity:f} of {taking.quantity:f}, none beyond {taken.bound:f}")
            await session.settle()
            return taken


async def start(network: str, taking: Taking) -> None:
    """Take with the key in the environment, or with a new one in the simulator."""
    if network == "simulator":
        async with open_simulator(start_time=time.time()) as simulator:
            await main(simulator.network, FuelWallet.generate(), taking)
    else:
        await main(network, FuelWallet.from_key(os.environ["O2_OWNER_KEY"]), taking)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Buy or sell at once on the O2 exchange.")
    parser.add_argument("side", choices=list(Side), type=Side)
    parser.add_argument("quantity", type=Decimal, help="how much, in base units")
    parser.add_argument("--market", default="fFUEL/fUSDC")
    parser.add_argument("--slippage", type=Decimal, default=Decimal("0.002"), help="a part of the best price")
    parser.add_argument("--all", dest="whole", action="store_true", help="the whole quantity or nothing")
    parser.add_argument("--network", default="simulator", help="simulator (default), testnet, or a URL")
    arguments = vars(parser.parse_args())
    trio.run(start, arguments.pop("network"), Taking(**arguments))
