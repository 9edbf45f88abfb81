"""Find out over REST what a stream missed: at a break, when a consumer was too slow, or at its beginning.

Trades are read on from the last one until live ones are met. Of orders, balances and nonces the present
state is read; the topic tells what of it is news. Nothing here delivers anything itself.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import trio

from ._api_errors import OrderNotFound
from ._errors import CallerError, O2Error
from ._network import Options
from .models import (
    BalanceUpdate,
    Direction,
    Id,
    Identity,
    IdentityKind,
    Markets,
    NonceUpdate,
    NotUnderstood,
    Order,
    OrderUpdate,
    Origin,
    Rows,
    Trade,
    trade_key,
)
from .rest import MAX_ORDERS, MAX_TRADES, RestClient
from .streams import Mailbox, State, StateMemory, Topic, TradeLag, first_trade
from .transport import backoff_delays
from .wire import AnyUpdate, Kind

__all__ = ["Recovery"]

_log = logging.getLogger("o2trio")

T = TypeVar("T")

_POLL_SECONDS = 0.5
_PROMPT_SECONDS = 0.1
"""How often REST is asked again while it lags behind the stream."""


class _GaveUp(Exception):
    """Reading did not succeed, or did not come further, within its bound.

    Attributes:
      updates: what was read nevertheless.
    """

    def __init__(self, problem: str, updates: Iterable[AnyUpdate] = ()) -> None:
        self.updates = list(updates)
        super().__init__(problem)


class Recovery:
    """Reads what topics and slow consumers of one client missed."""

    def __init__(self, rest: RestClient, markets: Callable[[], Awaitable[Markets]], options: Options) -> None:
        self._rest = rest
        self._markets = markets
        self._options = options

    async def repair(self, topic: Topic, epoch: int) -> None:
        """Find out what `topic` missed during the break with which `epoch` began.

        Not sooner than ``Options.indexer_lag`` after the subscription is confirmed, so that what is read is
        no older than what was streamed before. Gives up when nothing was achieved for
        ``Options.repair_timeout``; then the topic is told why.
        """
        updates: list[AnyUpdate] = []
        problem = ""
        await trio.sleep(self._options.indexer_lag)
        if not topic.wants_repair(epoch):
            return
        try:
            if topic.key.kind is Kind.TRADES:
                await self._read_trades(topic, epoch)
            else:
                updates = await self._state(topic)
        except _GaveUp as failure:
            problem, updates = str(failure), failure.updates
        if updates:
            try:
                await self._let_arrive(topic)
            except _GaveUp as failure:
                problem, updates = problem or str(failure), []
        if problem:
            _log.warning("%s could not be repaired: %s", topic.key, problem)
        topic.repaired(epoch, updates, problem=problem)

    async def learn(self, topic: Topic, epoch: int) -> None:
        """Find out how things stand at the beginning of `topic`, before it needs a repair.

        A state must be no older than the subscription, so it is read no sooner than ``Options.indexer_lag``
        from now.
        """
        try:
            if topic.ledger is not None:
                market_id = _market(topic)
                newest = await self._persist(partial(self._rest.trades, market_id, 1, Direction.DESCENDING))
                topic.begins_after(epoch, newest[0] if newest else None)
            else:
                await trio.sleep(self._options.indexer_lag)
                state = await self._state(topic)
                await self._let_arrive(topic)
                topic.learned(epoch, state)
        except _GaveUp as failure:
            _log.warning("the beginning of %s could not be read: %s", topic.key, failure)
            topic.learned(epoch, [], problem=str(failure))

    async def catch_up(self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag) -> None:
        """Read for `mailbox` the trades that it missed, page by page as it has room."""
        try:
            async for items in self._missed(topic, mailbox, lag):
                mailbox.give(items)
            rest = lag.release()
        except _GaveUp as failure:
            _log.warning("a slow consumer of %s could not be given all: %s", topic.key, failure)
            rest = lag.abandon(str(failure))
        if mailbox.lag is lag:
            mailbox.caught_up(rest)

    async def _missed(
        self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag
    ) -> AsyncIterator[list[AnyUpdate]]:
        progress = trio.current_time()
        while not lag.is_over:
            await mailbox.room.wait()
            page, is_full = await self._page(topic, lag.ledger.last)
            if mailbox.lag is not lag:
                return
            items = lag.take(page, page.not_understood)
            yield items
            progress = await self._patience(bool(items), is_full, progress)

    async def _read_trades(self, topic: Topic, epoch: int) -> None:
        ledger = topic.ledger
        assert ledger is not None
        if not ledger.is_anchored:
            raise _GaveUp("it is not known which trade was the last before the break")
        progress = trio.current_time()
        while True:
            last = ledger.last
            page, is_full = await self._page(topic, last)
            if not topic.backfill(epoch, page, page.not_understood):
                return
            live = first_trade(topic.held)
            advanced = ledger.last is not last
            if ledger.knows(live) and (live is not None or not (advanced or is_full)):
                return
            progress = await self._patience(advanced, is_full, progress)

    async def _page(self, topic: Topic, last: Trade | None) -> tuple[Rows[Trade], bool]:
        """Return the trades after `last`, oldest first, and whether there may be more of them."""
        market_id = _market(topic)
        page = await self._persist(
            partial(self._rest.trades, market_id, MAX_TRADES, Direction.ASCENDING, last)
        )
        known = None if last is None else trade_key(last.trade_id)
        # It stays a page with what could not be read, which the ledger tells from what was there before.
        odd = page.not_understood if isinstance(page, Rows) else ()
        fresh = [trade for trade in page if trade_key(trade.trade_id) != known]
        return Rows(fresh, odd), len(page) + len(odd) >= MAX_TRADES

    async def _patience(self, advanced: bool, is_full: bool, progress: float) -> float:
        """Return the time of the last progress, after a wait if there was none just now."""
        now = trio.current_time()
        if advanced:
            return now
        if now - progress >= self._options.repair_timeout:
            stuck = "does not advance" if is_full else "lags behind the stream"
            raise _GaveUp(f"the list of trades {stuck}")
        await trio.sleep(_POLL_SECONDS)
        return progress

    async def _let_arrive(self, topic: Topic) -> None:
        """Wait until everything has arrived that was under way while REST was read.

        REST may be ahead of the stream: what it said already must not be told again as something older. So
        it is given up if the server does not answer a heartbeat within ``Options.confirm_timeout``.
        """
        heartbeat = topic.port.heartbeat()
        with trio.move_on_after(self._options.confirm_timeout):
            while True:
                if topic.port.has_answered(heartbeat):
                    return
                await trio.sleep(_PROMPT_SECONDS)
        raise _GaveUp("the stream lags too far behind what was read")

    async def _state(self, topic: Topic) -> list[AnyUpdate]:
        return await _STATES[topic.key.kind](self, topic)

    async def _nonces(self, topic: Topic) -> list[AnyUpdate]:
        updates: list[AnyUpdate] = []
        for identity in topic.key.identities:
            # A contract is the account itself, an address its owner.
            name = identity.id if identity.kind is IdentityKind.CONTRACT_ID else identity
            account = await self._persist(partial(self._rest.account, name))
            if account is not None and account.nonce is not None:
                updates.append(
                    NonceUpdate(
                        contract_id=account.trade_account_id, nonce=account.nonce, origin=Origin.BACKFILL
                    )
                )
        return updates

    async def _balances(self, topic: Topic) -> list[AnyUpdate]:
        markets = await self._persist(self._markets)
        assets = sorted({asset.asset for market in markets for asset in (market.base, market.quote)})
        return [
            BalanceUpdate(
                balance=await self._persist(partial(self._rest.balances, identity, assets)),
                origin=Origin.BACKFILL,
            )
            for identity in topic.key.identities
        ]

    async def _orders(self, topic: Topic) -> list[AnyUpdate]:
        assert topic.memory is not None
        known = topic.memory.latest.values()
        was_open = {order.order_id: order for order in known if isinstance(order, Order) and order.is_open}
        found: dict[Id, Order] = {}
        markets = await self._persist(self._markets)
        problem = ""
        for market in markets:
            for identity in topic.key.identities:
                orders, is_all = await self._persist(
                    partial(self._orders_of, market.market_id, identity, topic.memory)
                )
                for order in orders:
                    found.setdefault(order.order_id, order)
                if not is_all and topic.state is State.REPAIRING:
                    problem = "it was not known yet which orders were open before the break"
        lost: list[Id] = []
        for order in was_open.values():
            if order.order_id not in found:
                # It was open and is neither among the open ones nor among the newest, so it has ended.
                every = [market.market_id for market in markets]
                ended = await self._find(order.order_id, [order.market_id] if order.market_id else every)
                if ended is None:
                    lost.append(order.order_id)
                else:
                    found[order.order_id] = ended
        updates: list[AnyUpdate] = [OrderUpdate(orders=tuple(found.values()), origin=Origin.BACKFILL)]
        if lost:
            problem = f"the exchange no longer knows what was open: {', '.join(lost[:5])}"
        if problem:
            raise _GaveUp(problem, updates)
        return updates

    async def _find(self, order_id: Id, markets: Iterable[Id]) -> Order | None:
        """Read one order in the first of `markets` that knows it; None if REST knows none."""
        for market_id in markets:
            with suppress(OrderNotFound):
                return await self._persist(partial(self._rest.order, market_id, order_id))
        return None

    async def _orders_of(
        self, market_id: Id, identity: Identity, memory: StateMemory
    ) -> tuple[list[Order], bool]:
        """Return the open orders and the newest ones, and whether none is left out that was open before.

        The newest go back to what was there at the last reading; if there was none, for one page.
        """
        orders = [order async for order in self._rest.iter_orders(market_id, identity, only_open=True)]
        if not memory.is_complete:
            newest = await self._rest.orders(market_id, identity)
            return [*orders, *newest], len(newest) < MAX_ORDERS
        async for order in self._rest.iter_orders(market_id, identity, Direction.DESCENDING):
            if order.timestamp is not None and order.timestamp < (memory.newest_order or 0):
                break
            orders.append(order)
        return orders, True

    async def look_up(self, topic: Topic, epoch: int, entries: Sequence[NotUnderstood]) -> None:
        """Read the orders of `topic` that `entries`, streamed in `epoch`, could not say.

        Not sooner than ``Options.indexer_lag`` from now, so that what is read is no older than the entries.
        An order that cannot be read stays as it was marked. Takes at most ``Options.repair_timeout``.
        """
        orders: list[Order] = []
        with trio.move_on_after(self._options.indexer_lag + self._options.repair_timeout), suppress(_GaveUp):
            await trio.sleep(self._options.indexer_lag)
            every = [market.market_id for market in await self._persist(self._markets)]
            for order_id, markets in {
                Id(entry.ids["order_id"]): [Id(entry.ids["market_id"])] if "market_id" in entry.ids else every
                for entry in entries
            }.items():
                with suppress(_GaveUp):
                    orders += filter(None, [await self._find(order_id, markets)])
            await self._let_arrive(topic)
            topic.looked_up(epoch, [OrderUpdate(orders=tuple(orders), origin=Origin.BACKFILL)])
            return
        topic.looked_up(epoch, [])

    async def _persist(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return what `read` returns, trying again for at most ``Options.repair_timeout``."""
        failure: O2Error | None = None
        delays = backoff_delays(self._options)
        with trio.move_on_after(self._options.repair_timeout):
            while True:
                delay = next(delays)
                try:
                    return await read()
                except OrderNotFound:
                    raise
                except CallerError as error:
                    raise _GaveUp(str(error)) from error
                except O2Error as error:
                    failure = error
                    asked = getattr(error, "retry_after", None) or 0.0
                await trio.sleep(max(delay, asked))
        raise _GaveUp(f"no answer in time: {failure}" if failure else "no answer in time")


def _market(topic: Topic) -> Id:
    assert topic.key.market_id is not None
    return topic.key.market_id


_STATES: dict[Kind, Callable[[Recovery, Topic], Awaitable[list[AnyUpdate]]]] = {
    Kind.ORDERS: Recovery._orders,
    Kind.BALANCES: Recovery._balances,
    Kind.NONCE: Recovery._nonces,
}
