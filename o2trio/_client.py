"""The client: names become topics and calls. Everything else happens behind it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar, cast

import attrs
import trio

from ._errors import InvalidRequest
from ._network import Network, NetworkConfig, Options
from ._nursery import BareNursery
from ._runtime import Runtime
from .models import (
    AccountInfo,
    BalanceUpdate,
    DepthUpdate,
    Id,
    Identity,
    Market,
    Markets,
    NonceUpdate,
    OrderUpdate,
    TradeUpdate,
    normalize_id,
)
from .rest import RestClient
from .streams import Event, Mailbox, State, Subscription, TopicKey, identity_keys
from .wire import AnyUpdate, Frequency, Kind

__all__ = ["Account", "Accounts", "ClientStatistics", "O2Client", "TopicStatistics", "open_o2"]

_log = logging.getLogger("o2trio")

Account = str | AccountInfo | Identity
"""What names one account: a trade account id, an ``AccountInfo`` or an ``Identity``."""
Accounts = Account | Iterable[Account]
"""One account or several."""

U = TypeVar("U", DepthUpdate, TradeUpdate, OrderUpdate, BalanceUpdate, NonceUpdate)

LISTED_PRECISIONS = range(1, 10)
"""Levels of price grouping that the exchange lists."""
PRECISIONS = range(1, 19)
"""Levels that it accepts."""


@attrs.frozen(slots=True, kw_only=True)
class TopicStatistics:
    """One server subscription: what it is, where it stands, how many consumers, items and breaks it had."""

    topic: str
    connection: int
    state: State
    consumers: int
    items: int
    breaks: int


@attrs.frozen(slots=True, kw_only=True)
class ClientStatistics:
    """What a client holds at this moment.

    Attributes:
      connections: numbers of its WebSockets, with whether each is up.
      frames: messages received by the present connections.
      unrouted: data frames among them that no stream was there for.
      topics: its server subscriptions.
    """

    connections: dict[int, bool]
    frames: int
    unrouted: int
    topics: tuple[TopicStatistics, ...]


class O2Client:
    """The exchange, as seen from one Trio program. Made by :func:`open_o2`.

    Every ``stream_*`` method returns at once with a :class:`Subscription`; wrong arguments raise
    :exc:`InvalidRequest` there and then. The subscription is made when it is entered or first received from.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def network(self) -> NetworkConfig:
        """The deployment this client talks to."""
        return self._runtime.config

    # -- streams --------------------------------------------------------------------------------

    def stream_depth(self, market: str | Market, precision: int = 1) -> Subscription[DepthUpdate]:
        """Stream the order book of `market`: a snapshot, then signed changes.

        Args:
          market: a pair such as ``"fFUEL/fUSDC"``, a market id or a :class:`Market`.
          precision: level of price grouping: prices are grouped to ``10**precision`` chain units. 1 is
            the finest. The exchange lists 1 to 9; 10 to 18 are taken, with a warning in the log.

        Whoever joins late gets a snapshot of the current book. A consumer that is too slow finds its
        backlog replaced by one.
        """
        _check_market(market)
        _check_precision(precision)
        return self._stream(partial(self._market_keys, Kind.DEPTH, market, precision, None))

    def stream_depth_view(
        self, market: str | Market, precision: int = 1, frequency: Frequency | str = Frequency.MS_500
    ) -> Subscription[DepthUpdate]:
        """Stream periodic full views of the order book of `market`; each replaces the one before.

        Args:
          market, precision: as for :meth:`stream_depth`.
          frequency: ``"100ms"``, ``"500ms"``, ``"1s"`` or ``"3s"``.

        A consumer that is too slow keeps the latest view.
        """
        _check_market(market)
        _check_precision(precision)
        try:
            every = Frequency(frequency)
        except ValueError:
            known = ", ".join(Frequency)
            raise InvalidRequest(f"frequency must be one of {known}, not {frequency!r:.40}") from None
        return self._stream(partial(self._market_keys, Kind.DEPTH_VIEW, market, precision, every))

    def stream_trades(self, market: str | Market) -> Subscription[TradeUpdate]:
        """Stream the trades of `market` from now on.

        Args:
          market: a pair, a market id or a :class:`Market`.

        After a break, and where a consumer was too slow, comes one empty update whose origin is ``GAP``.
        """
        _check_market(market)
        return self._stream(partial(self._market_keys, Kind.TRADES, market, None, None))

    def stream_orders(self, account: Accounts) -> Subscription[OrderUpdate]:
        """Stream the changes of an account's orders from now on.

        Args:
          account: a trade account id, an ``AccountInfo``, an ``Identity``, or several of them.

        After a break comes one empty update whose origin is ``GAP``. A consumer that is too slow gets the
        latest state of each order.
        """
        return self._account_stream(Kind.ORDERS, account)

    def stream_balances(self, account: Accounts) -> Subscription[BalanceUpdate]:
        """Stream the changes of an account's balances from now on.

        Args:
          account: as for :meth:`stream_orders`.

        After a break comes what changed meanwhile, read over REST. A consumer that is too slow gets the
        latest state of each (account, asset).
        """
        return self._account_stream(Kind.BALANCES, account)

    def stream_nonce(self, account: Accounts) -> Subscription[NonceUpdate]:
        """Stream the sequential nonce of an account from now on.

        Args:
          account: as for :meth:`stream_orders`.

        After a break comes the nonce that was read over REST, if it changed. A consumer that is too slow
        gets the latest nonce.
        """
        return self._account_stream(Kind.NONCE, account)

    def events(self) -> Subscription[Event]:
        """Stream what happens to the connections and streams of this client, from now on."""
        mailbox: Mailbox[Event] = Mailbox(self._runtime.options.buffer_size)
        listeners = self._runtime.feed.listeners

        async def listen() -> None:
            self._check_open()
            listeners.append(mailbox)
            mailbox.opened.set()
            await trio.lowlevel.checkpoint()

        def stop() -> None:
            if mailbox in listeners:
                listeners.remove(mailbox)

        return Subscription(mailbox, listen, stop, self._runtime.soon)

    # -- reads ----------------------------------------------------------------------------------

    async def get_markets(self, *, refresh: bool = False) -> Markets:
        """Return the markets of the exchange.

        Args:
          refresh: read them again instead of taking those read before.

        Raises:
          ApiError, RequestFailed, DecodeError: no list could be had.
        """
        self._check_open()
        return await self._runtime.markets(refresh=refresh)

    async def get_market(self, market: str) -> Market:
        """Return the market with this pair (any letter case) or market id.

        Raises:
          UnknownMarket: there is none; the message lists what there is.
          ApiError, RequestFailed, DecodeError: no list could be had.
        """
        self._check_open()
        return await self._runtime.market(market)

    def statistics(self) -> ClientStatistics:
        """Return what the client holds at this moment."""
        hub = self._runtime.hub
        return ClientStatistics(
            connections={port.number: port.online for port in hub.ports},
            frames=sum(port.frames for port in hub.ports),
            unrouted=sum(port.unrouted for port in hub.ports),
            topics=tuple(
                TopicStatistics(
                    topic=str(topic.key),
                    connection=topic.port.number,
                    state=topic.state,
                    consumers=len(topic.consumers),
                    items=topic.items,
                    breaks=topic.epoch,
                )
                for topic in hub.topics
            ),
        )

    # -- inside ---------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._runtime.closed:
            raise trio.ClosedResourceError("the client is closed")

    def _account_stream(self, kind: Kind, accounts: Accounts) -> Subscription[U]:
        keys = identity_keys(kind, _identities(accounts))

        async def find() -> list[TopicKey]:
            return keys

        return self._stream(find)

    async def _market_keys(
        self, kind: Kind, market: str | Market, precision: int | None, frequency: Frequency | None
    ) -> list[TopicKey]:
        market_id = _market_id(market)
        if market_id is None:
            assert isinstance(market, str)
            market_id = (await self._runtime.market(market)).market_id
        return [TopicKey(kind, market_id, precision, frequency)]

    def _stream(self, find: Callable[[], Awaitable[list[TopicKey]]]) -> Subscription[U]:
        runtime = self._runtime
        self._check_open()
        mailbox: Mailbox[AnyUpdate] = Mailbox(runtime.options.buffer_size)

        async def subscribe() -> None:
            self._check_open()
            keys = await find()
            self._check_open()
            runtime.hub.attach(mailbox, keys)

        # A topic fills the mailboxes of its own kind of stream only.
        return Subscription(
            cast(Mailbox[U], mailbox), subscribe, partial(runtime.hub.detach, mailbox), runtime.soon
        )


@asynccontextmanager
async def open_o2(
    network: Network | NetworkConfig | str = Network.TESTNET, *, options: Options | None = None
) -> AsyncGenerator[O2Client]:
    """Open a client of the exchange; everything it starts ends with the ``async with`` block.

    It connects with the first stream or read. Leaving the block ends all streams in good order and closes
    the connections, within ``Options.close_timeout`` even if the peer is mute, and at once if cancelled.
    An error of the block comes out as it is, never in an exception group.

    Args:
      network: one of :class:`Network`, its name, a :class:`NetworkConfig` of your own, or the base URL of an
        O2-compatible server.
      options: limits and intervals.

    Raises:
      InvalidRequest: `network` is neither.
    """
    config = _config(network)
    options = options or Options()
    async with RestClient(config, options) as rest, BareNursery() as nursery:
        runtime = Runtime(config, options, rest, nursery)
        try:
            yield O2Client(runtime)
        finally:
            runtime.close()
            await runtime.hang_up()


def _config(network: Network | NetworkConfig | str) -> NetworkConfig:
    if isinstance(network, Network):
        return network.value
    if isinstance(network, NetworkConfig):
        return network
    if isinstance(network, str):
        if "://" in network:
            return NetworkConfig.from_url(network)
        for known in Network:
            if known.name == network.upper():
                return known.value
    names = ", ".join(known.name.lower() for known in Network)
    raise InvalidRequest(f"network must be one of {names}, a URL or a NetworkConfig, not {network!r:.80}")


def _check_precision(precision: int) -> None:
    if isinstance(precision, bool) or not isinstance(precision, int) or precision not in PRECISIONS:
        raise InvalidRequest(
            f"precision must be a level from {PRECISIONS[0]} (finest) to {PRECISIONS[-1]}, "
            f"not {precision!r:.40}"
        )
    if precision not in LISTED_PRECISIONS:
        _log.warning(
            "precision level %d groups prices by 10**%d chain units; the exchange lists only levels up to %d",
            precision,
            precision,
            LISTED_PRECISIONS[-1],
        )


def _check_market(market: str | Market) -> None:
    if not isinstance(market, (str, Market)) or market == "":
        raise InvalidRequest(
            f"a market is a pair such as 'fFUEL/fUSDC', a market id or a Market, not {market!r:.80}"
        )


def _market_id(market: str | Market) -> Id | None:
    """Return the market's id if it is plain without asking the exchange."""
    if isinstance(market, Market):
        return market.market_id
    try:
        return normalize_id(market)
    except ValueError:
        return None


def _identities(accounts: Accounts) -> list[Identity]:
    several = [accounts] if isinstance(accounts, (str, AccountInfo, Identity)) else list(accounts)
    if not several:
        raise InvalidRequest("at least one account is needed")
    return [_identity(account) for account in several]


def _identity(account: Account) -> Identity:
    if isinstance(account, Identity):
        return account
    if isinstance(account, AccountInfo):
        return account.identity
    try:
        return Identity.contract(account)
    except ValueError as error:
        raise InvalidRequest(f"an account is a trade account id, AccountInfo or Identity: {error}") from None
