"""The streams of the public client: names become topics, everything else happens behind it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Literal, TypeVar, cast, get_args

import trio

from ._bar_stream import BarStream
from ._errors import InvalidRequest
from ._integers import as_integer
from ._names import Account, check_market, identity_of, plain_market_id
from ._order_book import OrderBook
from ._reads import Reads
from ._ticker import TickerStream
from .models import (
    AccountInfo,
    BalanceUpdate,
    DepthUpdate,
    Identity,
    Market,
    NonceUpdate,
    OrderUpdate,
    Resolution,
    TradeUpdate,
)
from .streams import MAX_IDENTITIES, Event, Mailbox, Subscription, TopicKey, identity_keys
from .wire import AnyUpdate, Frequency, Kind

__all__ = ["Account", "Accounts", "OnGap", "OnOverflow", "Streaming"]

_log = logging.getLogger("o2trio")

Accounts = Account | Iterable[Account]
"""One account or several."""
OnGap = Literal["mark", "raise"]
"""What a stream does where something is missing for good: an update whose origin is ``GAP``, or
:exc:`StreamGap`, behind which it goes on."""
OnOverflow = Literal["heal", "raise"]
"""What a stream does when its consumer is too slow: what its method says, or it ends with
:exc:`ConsumerTooSlow`."""

U = TypeVar("U", DepthUpdate, TradeUpdate, OrderUpdate, BalanceUpdate, NonceUpdate)

LISTED_PRECISIONS = range(1, 10)
"""Levels of price grouping that the exchange lists."""
PRECISIONS = range(1, 19)
"""Levels that it accepts."""


class Streaming(Reads):
    """Everything that can be streamed.

    Every ``stream_*`` method returns at once with a :class:`Subscription`; wrong arguments raise
    :exc:`InvalidRequest` there and then. The subscription is made when it is entered or first received from.
    """

    # -- streams --------------------------------------------------------------------------------

    def stream_depth(
        self,
        market: str | Market,
        precision: int = 1,
        *,
        turbo: bool = False,
        on_overflow: OnOverflow = "heal",
    ) -> Subscription[DepthUpdate]:
        """Stream the order book of `market`: a snapshot, then signed changes.

        Args:
          market: a pair such as ``"fFUEL/fUSDC"``, a market id or a :class:`Market`.
          precision: level of price grouping: prices are grouped to ``10**precision`` chain units. 1 is
            the finest. The exchange lists 1 to 9; 10 to 18 are taken, with a warning in the log.
          turbo: that of the Turbo venue instead of the spot venue. The venues share no connection.
          on_overflow: ``"heal"``, or ``"raise"`` to end with :exc:`ConsumerTooSlow` instead.

        Whoever joins late gets a snapshot of the current book. A consumer that is too slow finds its
        backlog replaced by one.
        """
        _check_market(market, turbo=turbo)
        precision = _check_precision(precision)
        find = partial(self._market_keys, Kind.DEPTH, market, precision, None, turbo=turbo)
        return self._stream(find, on_overflow=on_overflow)

    def stream_depth_view(
        self,
        market: str | Market,
        precision: int = 1,
        frequency: Frequency | str = Frequency.MS_500,
        *,
        turbo: bool = False,
        on_overflow: OnOverflow = "heal",
    ) -> Subscription[DepthUpdate]:
        """Stream periodic full views of the order book of `market`; each replaces the one before.

        Args:
          market, precision, turbo, on_overflow: as for :meth:`stream_depth`.
          frequency: ``"100ms"``, ``"500ms"``, ``"1s"`` or ``"3s"``.

        A consumer that is too slow keeps the latest view.
        """
        _check_market(market, turbo=turbo)
        precision = _check_precision(precision)
        try:
            every = Frequency(frequency)
        except ValueError:
            known = ", ".join(Frequency)
            raise InvalidRequest(f"frequency must be one of {known}, not {frequency!r:.40}") from None
        find = partial(self._market_keys, Kind.DEPTH_VIEW, market, precision, every, turbo=turbo)
        return self._stream(find, on_overflow=on_overflow)

    def stream_trades(
        self,
        market: str | Market,
        *,
        turbo: bool = False,
        on_gap: OnGap = "mark",
        on_overflow: OnOverflow = "heal",
    ) -> Subscription[TradeUpdate]:
        """Stream the trades of `market` from now on, each once and in order.

        Args:
          market: a pair, a market id or a :class:`Market`.
          turbo: as for :meth:`stream_depth`.
          on_gap: what to do where trades are missing for good: ``"mark"`` or ``"raise"`` (:exc:`StreamGap`).
          on_overflow: ``"heal"``, or ``"raise"`` to end with :exc:`ConsumerTooSlow` instead.

        After a break, the trades that were missed are read over REST and come first (origin ``BACKFILL``);
        a consumer that was too slow is given what it missed in the same way when it has room. If they cannot
        be read in time (see :class:`Options`), one empty update (origin ``GAP``) says what is missing.
        """
        _check_market(market, turbo=turbo)
        find = partial(self._market_keys, Kind.TRADES, market, None, None, turbo=turbo)
        return self._stream(find, on_gap=on_gap, on_overflow=on_overflow)

    def stream_orders(
        self,
        account: Accounts,
        *,
        seed: bool = False,
        turbo: bool = False,
        on_gap: OnGap = "mark",
        on_overflow: OnOverflow = "heal",
    ) -> Subscription[OrderUpdate]:
        """Stream the changes of an account's orders from now on.

        Args:
          account: a trade account id, an ``AccountInfo``, an ``Identity``, or several of them.
          seed: begin with the open orders as they are, read over REST (origin ``SNAPSHOT``).
          turbo: those of the Turbo venue instead of the spot venue. The venues share no connection.
          on_gap: what to do where something is missing for good: ``"mark"`` or ``"raise"``
            (:exc:`StreamGap`).
          on_overflow: ``"heal"``, or ``"raise"`` to end with :exc:`ConsumerTooSlow` instead.

        After a break come the orders that changed meanwhile, read over REST (origin ``BACKFILL``); if they
        cannot all be read within ``Options.repair_timeout``, also an empty update (origin ``GAP``) that names
        the markets and accounts. A consumer that is too slow gets the latest state of each order.
        """
        return self._account_stream(Kind.ORDERS, account, seed, on_gap, on_overflow, turbo=turbo)

    def stream_balances(
        self,
        account: Accounts,
        *,
        seed: bool = False,
        on_gap: OnGap = "mark",
        on_overflow: OnOverflow = "heal",
    ) -> Subscription[BalanceUpdate]:
        """Stream the changes of an account's balances from now on, whatever the venue: an account has none.

        Args:
          account: as for :meth:`stream_orders`.
          seed, on_gap, on_overflow: as for :meth:`stream_orders`.

        After a break comes what changed meanwhile, or a gap mark, as for :meth:`stream_orders`. A consumer
        that is too slow gets the latest state of each (account, asset).
        """
        return self._account_stream(Kind.BALANCES, account, seed, on_gap, on_overflow)

    def stream_nonce(
        self,
        account: Accounts,
        *,
        seed: bool = False,
        on_gap: OnGap = "mark",
        on_overflow: OnOverflow = "heal",
    ) -> Subscription[NonceUpdate]:
        """Stream the sequential nonce of an account from now on, whatever the venue: an account has none.

        Args:
          account: as for :meth:`stream_orders`.
          seed, on_gap, on_overflow: as for :meth:`stream_orders`.

        After a break comes the nonce if it changed, or a gap mark, as for :meth:`stream_orders`. A consumer
        that is too slow gets the latest nonce.
        """
        return self._account_stream(Kind.NONCE, account, seed, on_gap, on_overflow)

    def order_book(self, market: str | Market, precision: int = 1, *, turbo: bool = False) -> OrderBook:
        """Keep the order book of `market` for as long as the returned context manager is entered.

        Args:
          market, precision, turbo: as for :meth:`stream_depth`; book and streams share one server
            subscription.
        """
        _check_market(market, turbo=turbo)
        precision = _check_precision(precision)
        self._check_open()
        return OrderBook(self._runtime, market, precision, turbo=turbo)

    def stream_bars(
        self, market: str | Market, resolution: Resolution | str = "1m", *, turbo: bool = False
    ) -> BarStream:
        """Stream the bars of `market`, made from its trades; right from the first one on.

        Args:
          market: a pair, a market id or a :class:`Market`.
          resolution: for example ``"1m"`` or ``"1d"``.
          turbo: as for :meth:`stream_depth`.
        """
        _check_market(market, turbo=turbo)
        self._check_open()
        subscribe = partial(self.stream_trades, market, turbo=turbo)
        return BarStream(subscribe, self._runtime, market, resolution, turbo=turbo)

    def stream_ticker(self, market: str | Market, *, turbo: bool = False) -> TickerStream:
        """Stream the best bid, best ask and last price of `market`, each time one of them changes.

        Args:
          market: a pair, a market id or a :class:`Market`.
          turbo: as for :meth:`stream_depth`.
        """
        _check_market(market, turbo=turbo)
        self._check_open()
        return TickerStream(self._runtime, market, turbo=turbo)

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

    # -- inside ---------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._runtime.closed:
            raise trio.ClosedResourceError("the client is closed")

    def _account_stream(
        self,
        kind: Kind,
        accounts: Accounts,
        seed: bool,
        on_gap: OnGap,
        on_overflow: OnOverflow,
        *,
        turbo: bool = False,
    ) -> Subscription[U]:
        keys = identity_keys(kind, _identities(accounts), turbo=turbo)
        if seed and len(keys) > 1:
            raise InvalidRequest(f"seed=True takes at most {MAX_IDENTITIES} accounts; open several streams")

        async def find() -> list[TopicKey]:
            return keys

        return self._stream(find, seed=seed, on_gap=on_gap, on_overflow=on_overflow)

    async def _market_keys(
        self,
        kind: Kind,
        market: str | Market,
        precision: int | None,
        frequency: Frequency | None,
        *,
        turbo: bool,
    ) -> list[TopicKey]:
        market_id = plain_market_id(market)
        if market_id is None:
            assert isinstance(market, str)
            market_id = (await self._runtime.market(market, turbo=turbo)).market_id
        return [TopicKey(kind, market_id, precision, frequency, turbo=turbo)]

    def _stream(
        self,
        find: Callable[[], Awaitable[list[TopicKey]]],
        *,
        seed: bool = False,
        on_gap: OnGap = "mark",
        on_overflow: OnOverflow = "heal",
    ) -> Subscription[U]:
        runtime = self._runtime
        self._check_open()
        _check_choice("on_gap", on_gap, OnGap)
        _check_choice("on_overflow", on_overflow, OnOverflow)
        mailbox: Mailbox[AnyUpdate] = Mailbox(runtime.options.buffer_size, strict=on_overflow == "raise")

        async def subscribe() -> None:
            self._check_open()
            keys = await find()
            self._check_open()
            runtime.hub.attach(mailbox, keys, seed=seed)

        return Subscription(
            # A topic fills the mailboxes of its own kind of stream only.
            cast(Mailbox[U], mailbox),
            subscribe,
            partial(runtime.hub.detach, mailbox),
            runtime.soon,
            raise_gaps=on_gap == "raise",
        )


def _check_market(market: str | Market, *, turbo: bool) -> None:
    check_market(market)
    if not isinstance(turbo, bool):
        raise InvalidRequest(f"turbo must be True or False, not {turbo!r:.40}")
    if isinstance(market, Market) and market.turbo is not turbo:
        raise InvalidRequest(
            f"{market.pair} is a Market with turbo={market.turbo}: pass turbo={market.turbo}"
        )


def _check_choice(name: str, value: object, choices: object) -> None:
    if value not in get_args(choices):
        known = " or ".join(map(repr, get_args(choices)))
        raise InvalidRequest(f"{name} must be {known}, not {value!r:.40}")


def _check_precision(precision: int) -> int:
    precision = as_integer(precision)
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
    return precision


def _identities(accounts: Accounts) -> list[Identity]:
    several = [accounts] if isinstance(accounts, (str, AccountInfo, Identity)) else list(accounts)
    if not several:
        raise InvalidRequest("at least one account is needed")
    return [identity_of(account) for account in several]
