"""The embedded exchange: opens it, runs its order flow, and is the handle that tests and users hold."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from math import inf

import trio

from .._network import NetworkConfig
from .._nursery import BareNursery
from ..models import Amount, Id, Market, OrderType, Side
from ._accounts import Account
from ._audit import Audit
from ._encode import DEFAULT_FLAVOR, Flavor
from ._exchange import Exchange
from ._faults import RestFaults
from ._feeds import Feeds
from ._flow import Flow
from ._frame_faults import FrameFaults
from ._markets import Listing, default_listings
from ._matching import BookOrder
from ._reach import in_memory, listen_on
from ._rest import Rest
from ._server import Handshake, Server
from ._succession import Successor
from ._websocket import Connection

__all__ = ["DEFAULT_START_TIME", "Simulator", "open_simulator"]

DEFAULT_START_TIME = 1_790_000_000
"""Seconds since 1970 at which a simulation begins, so that runs are equal."""

_TEST_FUNDS = 1_000_000
"""Whole units of each asset that a new account gets by default."""


class Simulator:
    """A running exchange; made by :func:`open_simulator`.

    Attributes:
      network: goes into ``open_o2``.
      exchange: the truth: books, trades, orders, balances, nonces; another one after :meth:`restart`.
      restarts: how often it has been restarted.
      rest: faults and limits of the REST interface, and the requests it saw.
      frames: faults of the messages on WebSockets.
      url: base of the REST interface, or None when it is reached in memory only.
    """

    network: NetworkConfig
    url: str | None

    def __init__(
        self,
        listings: Sequence[Listing],
        *,
        seed: int,
        rate: float,
        start_time: float,
        flavor: Flavor,
    ) -> None:
        zero, start = trio.current_time(), round(start_time * 1_000_000_000)
        self._clock = lambda: start + int((trio.current_time() - zero) * 1_000_000_000)
        self._listings = tuple(listings)
        self._seed, self._rate = seed, rate
        self.exchange = Exchange(self._listings, self._clock)
        self.restarts = 0
        self.rest, self.frames = RestFaults(seed), FrameFaults(seed)
        self.flavor = flavor
        self._feeds = Feeds(self.exchange, flavor)
        self._server = Server(self._interface(), self._feeds, self.rest, self.frames)
        self._flow = self._open_flow()
        self._running = trio.Event()
        self._accounts = 0
        self._former_audits: tuple[Audit, ...] = ()

    @property
    def audit(self) -> Audit:
        """Everything that became true since the last fresh start, for tests to compare with."""
        return self.exchange.audit

    @property
    def audits(self) -> tuple[Audit, ...]:
        """The audits of all exchanges that there were, oldest first; the last one is :attr:`audit`."""
        return (*self._former_audits, self.audit)

    def time(self) -> float:
        """Return the exchange's time in seconds since 1970."""
        return self.exchange.now / 1_000_000_000

    # -- acting on the exchange --------------------------------------------------------------------

    def market(self, name: str) -> Market:
        """Return a market by pair or id.

        Raises:
          UnknownMarket: there is none.
        """
        return self.exchange.markets.find(name)

    def create_account(self, name: str | None = None, deposits: Mapping[Id, int] | None = None) -> Account:
        """Create a trading account with funds, and tell its subscribers.

        Args:
          name: determines the account's ids; a fresh one by default.
          deposits: chain units by asset; by default a million whole units of every asset.

        Raises:
          ValueError: the name is taken.
        """
        self._accounts += 1
        if deposits is None:
            deposits = {
                asset.asset: _TEST_FUNDS * 10**asset.decimals
                for market in self.exchange.markets.markets
                for asset in (market.base, market.quote)
            }
        account = self.exchange.create_account(name or f"test {self._accounts}", deposits)
        self._publish()
        return account

    def place(
        self,
        account: Account,
        market: Market | str,
        side: Side | str,
        *,
        price: Amount,
        quantity: Amount,
        order_type: OrderType | str = "Spot",
    ) -> BookOrder:
        """Place an order in a block of its own and publish the block.

        Args:
          account: who places it.
          market: a market, its pair or its id.
          side: ``buy`` or ``sell``.
          price, quantity: text or Decimal in whole units, or :class:`Raw` in chain units.
          order_type: an order type, or the name of one without parameters.

        Raises:
          Revert: the contract refuses; the nonce has moved and that is published.
          InvalidRequest: not an amount: a bare integer, a float, or too many digits for the market.
          UnknownMarket: there is no such market.
        """
        found = self.market(market) if isinstance(market, str) else market
        raw_price, raw_quantity = found.raw_price(price), found.raw_quantity(quantity)
        kind = OrderType(order_type) if isinstance(order_type, str) else order_type
        try:
            return self.exchange.place(
                account,
                found.market_id,
                Side(side),
                price=raw_price,
                quantity=raw_quantity,
                order_type=kind,
            )
        finally:
            self._publish()

    def cancel(self, account: Account, order: BookOrder | Id) -> BookOrder:
        """Cancel an order in a block of its own and publish the block.

        Raises:
          Revert: no such open order of this account; the nonce has moved and that is published.
        """
        try:
            return self.exchange.cancel(account, order.order_id if isinstance(order, BookOrder) else order)
        finally:
            self._publish()

    def settle(self, account: Account, market: Market | str) -> None:
        """Move proceeds from a market's book to the account's wallet and publish the block."""
        found = self.market(market) if isinstance(market, str) else market
        self.exchange.settle(account, found.market_id)
        self._publish()

    def run_flow(self, events: int) -> None:
        """Let the order flow do so many events right now, each in a block of its own."""
        for _ in range(events):
            self._flow.step()
            self._publish()

    def pause_flow(self) -> None:
        """Stop the order flow until :meth:`resume_flow`."""
        self._running = trio.Event()

    def resume_flow(self) -> None:
        """Let the order flow go on, or begin, if it was opened with ``flow=False``."""
        self._running.set()

    # -- connections and faults --------------------------------------------------------------------

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve a client on any byte stream until it leaves, as one that was accepted or dialled.

        Returns normally whatever the client does. Cancelling it cuts the connection.
        """
        await self._server.serve(stream)

    def restart(self, *, fresh: bool = True) -> None:
        """Restart the server: cut every connection, and by default forget the books.

        Args:
          fresh: begin with a new exchange. Orders, books, trades and what is made of them are gone, also
            what was traded and not yet told; books are filled anew. Accounts stay, with owners, nonces,
            sessions and money, which comes back from the books to the wallets. Orders, transactions and
            blocks are numbered on, so that no id comes twice. Otherwise nothing but connections is lost.

        Faults that were asked for stay. What was deferred is done by the new exchange.
        """
        self.restarts += 1
        if not fresh:
            self._server.drop_all()
            return
        self._former_audits = self.audits
        self.exchange = Successor(self.exchange, self._listings, self._clock)
        self._feeds.restart(self.exchange)
        self._flow = self._open_flow()
        self._server.restart(self._interface(), lambda: self.exchange.now - self._began)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Every open WebSocket with its subscriptions, oldest first."""
        return self._server.connections

    @property
    def handshakes(self) -> tuple[Handshake, ...]:
        """The latest WebSocket handshakes, refused ones too, oldest first."""
        return tuple(self._server.handshakes)

    def drop_connections(self) -> None:
        """Cut every connection at once, without a closing handshake."""
        self._server.drop_all()

    def refuse_handshakes(
        self, status: int, retry_after: float | None = None, count: int | None = None
    ) -> None:
        """Answer WebSocket handshakes with an HTTP status.

        Args:
          status: for example 429 or 503.
          retry_after: seconds to name in ``Retry-After``.
          count: how many; by default until :meth:`accept_handshakes`.
        """
        self._server.refuse(status, retry_after, inf if count is None else count)

    def accept_and_drop(self, count: int | None = None) -> None:
        """Accept WebSocket handshakes, then cut the connection at once; `count` as above."""
        self._server.drops_left = inf if count is None else count

    def accept_handshakes(self) -> None:
        """End :meth:`refuse_handshakes` and :meth:`accept_and_drop`."""
        self._server.refuse(503, None, 0)
        self._server.drops_left = 0

    def set_latency(self, seconds: float) -> None:
        """Let every frame to a WebSocket take so long from now on; their order stays. REST is not delayed.

        Raises:
          ValueError: `seconds` is negative or not finite.
        """
        if not 0 <= seconds < inf:
            raise ValueError(f"latency must be a finite number of seconds from 0, not {seconds!r}")
        self._server.gate.latency = seconds

    def mute(self) -> None:
        """Send nothing more to anybody and keep every connection open: a black hole.

        What would have been sent is held back until :meth:`unmute`, up to the bound of each connection's
        queue; a connection that exceeded it is cut then.
        """
        self._server.gate.close()

    def unmute(self) -> None:
        """Send what was held back and go on."""
        self._server.unmute()

    def send_raw(self, text: str, connection: Connection | None = None) -> None:
        """Send any text as a frame to one WebSocket, or to all."""
        for target in self.connections if connection is None else (connection,):
            target.send_raw(text)

    def reject_next_subscription(self, code: int = 6002, message: str = "Subscription refused") -> None:
        """Answer the next subscription, on whichever connection, with an error; calls add up."""
        self._feeds.rejections.append((code, message))

    # -- inside ------------------------------------------------------------------------------------

    def _interface(self) -> Rest:
        return Rest(self.exchange, self.flavor, self._publish)

    def _open_flow(self) -> Flow:
        """Fill the books of a new exchange and close its first block."""
        flow = Flow(self.exchange, self._listings, rate=self._rate, seed=self._seed + self.restarts)
        flow.open_books()
        self._began = self.exchange.seal().seen_timestamp
        return flow

    def _publish(self) -> None:
        block = self.exchange.seal()
        if not block.is_empty:
            self._server.publish(block)

    async def _run_flow(self) -> None:
        while True:
            await trio.sleep(self._flow.delay())
            await self._running.wait()
            self._flow.step()
            self._publish()

    async def _run_views(self) -> None:
        while True:
            changed = trio.Event()
            self._feeds.on_view_added = changed.set
            with trio.move_on_at(self._feeds.next_due()):
                await changed.wait()
            self._server.publish_views(trio.current_time())


@asynccontextmanager
async def open_simulator(
    seed: int = 7,
    *,
    markets: Sequence[Listing] | None = None,
    rate: float = 8.0,
    start_time: float = DEFAULT_START_TIME,
    listen: tuple[str, int] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    flow: bool = True,
    flavor: Flavor = DEFAULT_FLAVOR,
) -> AsyncGenerator[Simulator, None]:
    """Run an O2-compatible exchange inside this program.

    Use it with ``async with``; ``simulator.network`` goes into ``open_o2``. By default it is reached in
    memory, so it also works in virtual time. The same seed gives the same sequence of events; on the
    default clock their times vary with the machine.

    Args:
      seed: determines books, prices and the whole order flow.
      markets: what to list; by default three markets against fUSDC.
      rate: mean number of order flow events per second and market.
      start_time: the exchange's time at the beginning, seconds since 1970.
      listen: host and port to accept TCP connections on; port 0 takes a free one.
      ssl_context: serve TLS with it; needs `listen`. Clients must be told to trust it.
      flow: run the order flow; without it books are filled once and then still.
      flavor: which of the known spellings of the protocol to use.

    Raises:
      OSError: the address cannot be listened on.
      ValueError: `rate` is not positive, or `ssl_context` came without `listen`.

    Leaving or cancelling it cuts every connection. An error of the body comes out as it is.
    """
    if not 0 < rate < inf:
        raise ValueError(f"rate must be a positive number of events per second, not {rate!r}")
    if ssl_context is not None and listen is None:
        raise ValueError("ssl_context needs listen: in memory there is no TLS")
    listings = default_listings() if markets is None else tuple(markets)
    simulator = Simulator(listings, seed=seed, rate=rate, start_time=start_time, flavor=flavor)
    async with BareNursery() as nursery:
        simulator._server.start_soon = nursery.start_soon
        if listen is None:
            simulator.url, simulator.network = None, in_memory(simulator, nursery)
        else:
            await listen_on(simulator, nursery, listen, ssl_context)
        if flow:
            simulator.resume_flow()
        nursery.start_soon(simulator._run_flow, name="simulator order flow")
        nursery.start_soon(simulator._run_views, name="simulator depth views")
        yield simulator
