"""Show what an account holds, valued at the middle of the books, live.

    python examples/portfolio.py --network simulator
    python examples/portfolio.py 0x<trade account id> --network testnet

Nothing is signed, so no key is needed. Balances come from their stream, prices from order books that keep
themselves. What changes while the connection is down follows soon after it is up again; after a gap that
could not be filled the balances are read again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from decimal import Decimal

import attrs
import trio

from o2trio import (
    AccountInfo,
    Asset,
    Balance,
    BalanceUpdate,
    FuelWallet,
    Id,
    NetworkConfig,
    O2Client,
    OrderBook,
    Origin,
    RequestFailed,
    ServerError,
    Subscription,
    open_o2,
)
from o2trio.simulator import open_simulator

EVERY = 1.0  # seconds between two tables


@attrs.frozen
class Line:
    """One asset in whole units: what there is, how much of it is free, and its value, None if unknown."""

    symbol: str
    total: Decimal
    free: Decimal
    price: Decimal | None

    @property
    def value(self) -> Decimal | None:
        """The holding's value in units of the currency."""
        return None if self.price is None else self.total * self.price


class Portfolio:
    """The balances of one account, kept up to date, and the prices to value them.

    Args:
      currency: the asset in which everything is valued.
      assets: all assets by id.
      books: an order book of each asset against the currency, by the asset's id.
    """

    def __init__(self, currency: Asset, assets: Mapping[Id, Asset], books: Mapping[Id, OrderBook]) -> None:
        self.balances: dict[Id, Balance] = {}
        self.in_doubt = True
        self._currency, self._assets, self._books = currency, assets, books

    def take(self, balances: Iterable[Balance]) -> None:
        """Take in what has changed."""
        self.balances.update((balance.asset_id, balance) for balance in balances)

    def lines(self) -> list[Line]:
        """Return one line for each asset that the account holds, by symbol."""
        return sorted(
            (
                Line(asset.symbol, asset.amount(held.total), asset.amount(held.available), self._price(asset))
                for asset, held in ((self._assets[key], held) for key, held in self.balances.items())
                if held.total
            ),
            key=lambda line: line.symbol,
        )

    def total(self) -> Decimal:
        """Return the value of everything that has a price."""
        return sum((line.value for line in self.lines() if line.value is not None), Decimal(0))

    def is_stale(self) -> bool:
        """Whether some balance or price is not known to be the present one."""
        return self.in_doubt or any(book.is_stale for book in self._books.values())

    def _price(self, asset: Asset) -> Decimal | None:
        if asset.asset == self._currency.asset:
            return Decimal(1)
        book = self._books.get(asset.asset)
        return None if book is None else book.mid


def show(portfolio: Portfolio) -> None:
    """Print the portfolio as a table."""
    for line in portfolio.lines():
        price, value = ("?" if number is None else f"{number:,.6f}" for number in (line.price, line.value))
        print(f"{line.symbol:8}{line.total:>24,.6f} ({line.free:,.6f} free) at {price:>16} ={value:>20}")
    print(f"{'total':8}{portfolio.total():>24,.2f}{' (may be old)' if portfolio.is_stale() else ''}\n")


async def main(
    network: NetworkConfig | str,
    account: str | None = None,
    owner: str | None = None,
    currency: str = "fUSDC",
    report: Callable[[Portfolio], None] = show,
) -> None:
    """Report on an account, or on that of an owner, again and again until cancelled."""
    async with open_o2(network) as o2, AsyncExitStack() as stack:
        found = await o2.get_account(account, owner=owner)
        if found is None:
            raise SystemExit("there is no such account")
        markets = [market for market in await o2.get_markets() if market.quote.symbol == currency]
        if not markets:
            raise SystemExit(f"no market is quoted in {currency}")
        assets = {asset.asset: asset for market in markets for asset in (market.base, market.quote)}
        books = {
            market.base.asset: await stack.enter_async_context(o2.order_book(market)) for market in markets
        }
        portfolio = Portfolio(markets[0].quote, assets, books)
        async with o2.stream_balances(found) as updates:
            while True:
                if portfolio.in_doubt:
                    await read(o2, found, portfolio)
                await follow(updates, portfolio)
                report(portfolio)


async def read(o2: O2Client, account: AccountInfo, portfolio: Portfolio) -> None:
    """Read all balances, unless that is not possible at the moment."""
    try:
        portfolio.take(await o2.get_balances(account))
        portfolio.in_doubt = False
    except (ServerError, RequestFailed) as error:
        print("the balances cannot be read:", error)


async def follow(updates: Subscription[BalanceUpdate], portfolio: Portfolio) -> None:
    """Take in what comes for some time; being cut short loses nothing."""
    with trio.move_on_after(EVERY):
        async for update in updates:
            portfolio.take(update.balance)
            portfolio.in_doubt |= update.origin is Origin.GAP


async def start(network: str, account: str | None) -> None:
    """Report on the account; in the simulator, on a new one."""
    if network == "simulator":
        async with open_simulator(start_time=time.time()) as simulator:
            owner = FuelWallet.generate()
            async with open_o2(simulator.network) as o2:
                await o2.setup_account(owner)
            await main(simulator.network, owner=owner.address)
    else:
        await main(network, account)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show what an account on the O2 exchange holds, live.")
    parser.add_argument("account", nargs="?", help="a trade account id; in the simulator, a new one")
    parser.add_argument("--network", default="simulator", help="simulator (default), testnet, or a URL")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        trio.run(start, arguments.network, arguments.account)
