"""What the tests of sessions share: an exchange that stands still, a client, funded accounts, sessions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs
import pytest
import trio

from o2trio import (
    FuelWallet,
    Market,
    NetworkConfig,
    O2Client,
    Options,
    OutcomeUnknown,
    Session,
    SessionOrder,
    SignerKind,
    SigningRequest,
    open_o2,
)
from o2trio.models import Id, Identity, Rows, Side
from o2trio.simulator import (
    Account,
    BookOrder,
    Flavor,
    Listing,
    Simulator,
    default_listings,
    open_simulator,
)
from o2trio.trading import Signer
from o2trio.trading._desk import Desk

FUEL, ETH, BTC = "fFUEL/fUSDC", "fETH/fUSDC", "fBTC/fUSDC"
ACTIONS, SESSION, ACCOUNTS, WITHDRAW = (
    "/v1/session/actions",
    "/v1/session",
    "/v1/accounts",
    "/v1/accounts/withdraw",
)
QUICK = Options(jitter=lambda: 0.5)

DEEP, DEAR = "0.0200", "0.0300"
"""Prices far below and far above the book of fFUEL/fUSDC, where nothing trades."""


@attrs.frozen
class World:
    """An exchange whose books only move when a test says so, a client of it, and the owner of an account."""

    sim: Simulator
    network: NetworkConfig
    o2: O2Client
    owner: Signer
    account: Account

    @property
    def market(self) -> Market:
        return self.sim.market(FUEL)

    @property
    def desk(self) -> Desk:
        return self.o2._runtime.desk(self.account.trade_account_id)

    def orders(self, *, only_open: bool = False) -> list[BookOrder]:
        """Return what the exchange knows of the account's orders, oldest first."""
        mine = [order for order in self.sim.exchange.orders.values() if order.owner == self.account.identity]
        return [order for order in mine if not (order.close and only_open)]

    def best(self, side: Side) -> int:
        book = self.sim.exchange.book(self.market.market_id)
        return (book.bids if side is Side.BUY else book.asks)[0].price

    def statuses(self, path: str, method: str | None = None) -> list[int]:
        """Return the status of each request to exactly this path so far."""
        return [
            request.status
            for request in self.sim.rest.requests
            if request.target.partition("?")[0] == path and method in {None, request.method}
        ]


class Unwilling:
    """An owner who signs only while he is willing, and there."""

    kind = SignerKind.FUEL

    def __init__(self) -> None:
        self.wallet = FuelWallet.from_key("88" * 32)
        self.willing = True
        self.away = False
        self.asked = 0

    @property
    def address(self) -> Id:
        return self.wallet.address

    async def sign(self, request: SigningRequest) -> bytes:
        self.asked += 1
        if self.away:
            await trio.sleep_forever()
        if not self.willing:
            raise RuntimeError("not today")
        return await self.wallet.sign(request)


def funds(sim: Simulator) -> dict[Id, int]:
    return {
        asset.asset: 1_000_000 * 10**asset.decimals
        for market in sim.exchange.markets.markets
        for asset in (market.base, market.quote)
    }


@asynccontextmanager
async def open_world(
    *,
    owner: Signer | None = None,
    options: Options = QUICK,
    listings: Sequence[Listing] | None = None,
    flavor: Flavor | None = None,
    version: int | None = None,
    **network: Any,
) -> AsyncGenerator[World]:
    """Open everything; `network` changes fields of the client's network."""
    owner = owner or FuelWallet.from_key("11" * 32)
    markets = default_listings()[:2] if listings is None else listings
    async with open_simulator(seed=3, markets=markets, flow=False, flavor=flavor or Flavor()) as sim:
        if version is not None:
            sim.exchange.new_account_version = version
        account = sim.exchange.open_account(Identity.address(owner.address))
        for asset, amount in funds(sim).items():
            sim.exchange.deposit(account, asset, amount)
        sim._publish()
        config = attrs.evolve(sim.network, **{"clock": lambda: sim.exchange.now / 1e9, **network})
        async with open_o2(config, options=options) as o2:
            yield World(sim, config, o2, owner, account)


@asynccontextmanager
async def trading(
    *, lane: int | None = None, options: Options = QUICK, **session: Any
) -> AsyncGenerator[tuple[World, Session]]:
    """Open a world and a session in it on fFUEL/fUSDC."""
    async with (
        open_world(options=options) as world,
        world.o2.session(world.owner, FUEL, lane=lane, **session) as opened,
    ):
        yield world, opened


async def bid(session: Session, price: str = DEEP, quantity: str = "1000", **how: Any) -> SessionOrder:
    """Place a bid that rests."""
    return await session.buy(FUEL, price=price, quantity=quantity, **how)


async def lost(call: Awaitable[object]) -> OutcomeUnknown:
    """Expect that nobody knows what became of a submission."""
    with pytest.raises(OutcomeUnknown) as caught:
        await call
    return caught.value


def answering(
    world: World, change: Callable[[Any], tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the exchange name other orders in its answers."""
    send = world.desk.rest.submit

    async def submit(*args: Any, **kwargs: Any) -> Any:
        answer = await send(*args, **kwargs)
        orders = change(answer.orders)
        return attrs.evolve(answer, orders=orders if isinstance(orders, Rows) else Rows(orders))

    monkeypatch.setattr(world.desk.rest, "submit", submit)


def check_same(world: World, orders: Sequence[SessionOrder]) -> None:
    """Check that these are all orders of the account, each once."""
    ids = [order.order_id for order in orders]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {order.order_id for order in world.orders()}


@contextmanager
def raises_soon(error: type[BaseException], match: str | None = None, within: float = 5.0) -> Iterator[Any]:
    """Expect an error, and that it comes soon."""
    began = trio.current_time()
    with pytest.raises(error, match=match) as caught:
        yield caught
    assert trio.current_time() - began <= within
