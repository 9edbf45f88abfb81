"""The life of a trader in one page: account, session, orders, fills, withdrawal.

    python examples/quickstart_trader.py --network simulator
    O2_OWNER_KEY=0x... python examples/quickstart_trader.py --network testnet

The owner's key comes from the environment, never from the command line, where other programs could read it.
"""

from __future__ import annotations

import argparse
import os
import time

import trio

from o2trio import (
    FuelWallet,
    NetworkConfig,
    O2Client,
    OnChainRevert,
    OrderClosed,
    OutcomeUnknown,
    Session,
    SessionOrder,
    Signer,
    Verdict,
    open_o2,
)
from o2trio.simulator import open_simulator

PATIENCE = 10  # seconds


async def main(network: NetworkConfig | str, owner: Signer, market: str = "fFUEL/fUSDC") -> None:
    """Trade a little on `market` with the owner's account, and withdraw something."""
    async with open_o2(network) as o2:
        # An account for the owner, with test coins where there are any; harmless if it exists already.
        setup = await o2.setup_account(owner)
        print("account", setup.account.trade_account_id, "(new)" if setup.created else "")
        await print_balances(o2, owner)

        # A session is a key that may trade, but not withdraw.
        async with o2.session(owner, market) as session:
            await rest_and_cancel(o2, session, market)
            await take(o2, session, market)
            # Proceeds lie in the order book until they are settled. New orders do that by themselves.
            await session.settle(market)

        # The owner signs a withdrawal; the money goes to the owner's wallet.
        receipt = await o2.withdraw(owner, "fUSDC", amount="1.5")
        print("withdrawn in", receipt.tx_id)
        await print_balances(o2, owner)


async def rest_and_cancel(o2: O2Client, session: Session, name: str) -> None:
    """Bid a little below the best bid, wait for a fill, then give up."""
    async with o2.order_book(name) as book:
        market, best = book.market, book.best_bid
    if best is None:
        return
    below = best.price - 2 * market.price(market.price_step)
    try:
        # adjust=True rounds price and quantity to what the market permits, in our favour.
        order = await session.buy(market, price=below, quantity="1000", order_type="PostOnly", adjust=True)
    except OnChainRevert as revert:
        print("nothing happened:", revert)
        return
    except OutcomeUnknown as outcome:
        # The answer was lost. It is never sent again; find out what became of it.
        resolved = await session.resolve(outcome)
        if resolved.verdict is not Verdict.LANDED:
            print("the bid", resolved.verdict)
            return
        order = resolved.orders[0]
    print("bid", order)
    try:
        with trio.fail_after(PATIENCE):
            await order.filled()
    except trio.TooSlowError:
        await cancel(session, order)
    except OrderClosed as closed:
        print("somebody has cancelled it:", closed)
    print("now", order)


async def cancel(session: Session, order: SessionOrder) -> None:
    """Cancel an order, which may be filled just now."""
    try:
        await session.cancel(order)
    except OnChainRevert as revert:
        print("too late:", revert)
    except OutcomeUnknown as outcome:
        print("the cancellation", (await session.resolve(outcome)).verdict)
    await order.closed()


async def take(o2: O2Client, session: Session, name: str) -> None:
    """Sell at the market, and follow the fills."""
    async with o2.order_book(name) as book:
        best = book.best_bid
    if best is None:
        return
    # A market order has a price, too: the worst one that it accepts.
    order = await session.sell(
        name, price=best.price * 99 / 100, quantity="500", order_type="Market", adjust=True
    )
    market = session.markets[0]
    async for fill in order.fills():
        print("sold", market.quantity(fill.quantity), "at", market.price(fill.price))
    print("now", order)


async def print_balances(o2: O2Client, owner: Signer) -> None:
    """Print what the owner's account holds."""
    account = await o2.get_account(owner=owner.address)
    if account is None:
        return
    markets = await o2.get_markets()
    assets = {asset.asset: asset for market in markets for asset in (market.base, market.quote)}
    for balance in await o2.get_balances(account):
        asset = assets[balance.asset_id]
        print(f"  {asset.amount(balance.total):f} {asset.symbol}, {asset.amount(balance.available):f} free")


async def start(network: str) -> None:
    """Trade with the key in the environment, or with a new one in the simulator."""
    if network == "simulator":
        async with open_simulator(start_time=time.time()) as simulator:
            await main(simulator.network, FuelWallet.generate())
    else:
        await main(network, FuelWallet.from_key(os.environ["O2_OWNER_KEY"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trade a little on the O2 exchange.")
    parser.add_argument("--network", default="simulator", help="simulator (default), testnet, or a URL")
    trio.run(start, parser.parse_args().network)
