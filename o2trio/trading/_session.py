"""The session: what a trader holds. It turns wishes into actions and sends them over the account's desk.

How a session comes to be and ends is in ``_running``; nonces, signatures and lost answers are the desk's
matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NoReturn

import trio

from .._api_errors import OrderNotFound
from .._errors import ApiError, InvalidRequest, O2Error
from .._names import check_market
from .._trading_errors import BatchIncomplete, OnChainRevert, OutcomeUnknown, SessionExpired, SessionReplaced
from ..models import AccountInfo, Amount, Id, Identity, Market, Order, Side
from ..rest._client import placed
from . import _refusals as refusals
from ._actions import MAX_ACTIONS, Action, SettleBalance
from ._drafts import actions_draft
from ._opening import Opening, check_spot
from ._orders import SessionOrder
from ._requests import (
    Cancel,
    NewOrder,
    OrderKind,
    Request,
    Settle,
    check_batch,
    market_of,
    split,
    to_action,
    with_settlements,
)
from ._resolve import resolve
from ._submission import Draft, Ran, Receipt, Resolved, Submission
from ._tracker import OrderTracker
from ._tracks import Track

__all__ = ["Session"]

_CANCEL_ROUNDS = 5
"""How often :meth:`Session.cancel_all` looks again for orders that are still open."""


class Session:
    """A key that may trade for an account on some markets until it expires. Made by ``O2Client.session``.

    Any number of tasks may use it at once. What is common to everything that it sends:

    - Prices and quantities are passed by name: text or Decimal in whole units, :class:`Raw` in chain units.
      Floats and bare integers are refused. Everything is checked before it is signed (:exc:`InvalidRequest`).
    - A signed submission is sent **once**. If its answer is lost, :exc:`OutcomeUnknown` is raised; if the
      call is cancelled while the submission is under way, the same is among :attr:`unresolved`.
      :meth:`resolve` finds out what became of it.
    - A transaction does everything that it says or nothing: then :exc:`OnChainRevert` tells why.
    - Errors that prove that nothing ran: any other :exc:`ApiError`, :exc:`RequestFailed`,
      :exc:`SignerFailed`, :exc:`SessionExpired`, :exc:`SessionReplaced`.

    Attributes:
      account: the trading account.
      markets: what the session may trade.
      orders: the account's orders, kept true while the session is open.
    """

    def __init__(self, opening: Opening, orders: OrderTracker, expiry: int) -> None:
        self.account: AccountInfo = opening.account
        self.markets = opening.markets
        self.orders = orders
        self._opening = opening
        self._desk = opening.desk
        self._key = opening.key
        self._expiry = expiry
        self._renewing = trio.Lock()
        self._closed = False
        self._over: Callable[[], O2Error] | None = None

    def __repr__(self) -> str:
        pairs = ", ".join(market.pair for market in self.markets)
        return f"<Session of {self.account.trade_account_id} on {pairs} until {self.expires_at:%F %T} UTC>"

    # -- what it is -----------------------------------------------------------------------------

    @property
    def expires_at(self) -> datetime:
        """When it ends, unless it is renewed; aware, UTC."""
        return datetime.fromtimestamp(self._expiry, UTC)

    @property
    def session_id(self) -> Identity:
        """The session key's address."""
        return Identity.address(self._key.address)

    @property
    def track(self) -> Track:
        """Which kind of nonces it uses."""
        return Track.SEQUENTIAL if self._opening.lane is None else Track.PARALLEL

    @property
    def unresolved(self) -> tuple[OutcomeUnknown, ...]:
        """The submissions of the account of which nobody knows yet whether they ran, oldest first."""
        return tuple(self._desk.unresolved.values())

    # -- trading --------------------------------------------------------------------------------

    async def buy(
        self,
        market: str | Market,
        *,
        price: Amount,
        quantity: Amount,
        order_type: OrderKind = "Spot",
        adjust: bool = False,
        settle_first: bool | None = None,
    ) -> SessionOrder:
        """Place a buy order; arguments as for :class:`NewOrder`, result and errors as for :meth:`place`."""
        order = NewOrder(
            market, Side.BUY, price=price, quantity=quantity, order_type=order_type, adjust=adjust
        )
        return await self.place(order, settle_first=settle_first)

    async def sell(
        self,
        market: str | Market,
        *,
        price: Amount,
        quantity: Amount,
        order_type: OrderKind = "Spot",
        adjust: bool = False,
        settle_first: bool | None = None,
    ) -> SessionOrder:
        """Place a sell order; arguments as for :class:`NewOrder`, result and errors as for :meth:`place`."""
        order = NewOrder(
            market, Side.SELL, price=price, quantity=quantity, order_type=order_type, adjust=adjust
        )
        return await self.place(order, settle_first=settle_first)

    async def place(self, order: NewOrder, *, settle_first: bool | None = None) -> SessionOrder:
        """Place an order and return it, as it is after it met the book.

        Args:
          order: what to place.
          settle_first: settle the market before it in the same transaction, so that proceeds of earlier
            orders can pay for it; by default what the session was opened with.

        Raises:
          InvalidRequest, UnknownMarket: the order makes no sense, or its market is not the session's.
          OnChainRevert: for example OrderPartiallyFilled for a post-only order that would match.
          OutcomeUnknown: and others, see the class.
        """
        return (await self.batch([order], settle_first=settle_first)).orders[0]

    async def cancel(self, order: SessionOrder | Order | str, market: str | Market | None = None) -> Receipt:
        """Cancel an order.

        The order itself tells so, with its last fills, when its stream does: ``await order.closed()``.

        Args:
          order: which one; by its id only together with its market.
          market: its market, where the order does not tell.

        Raises:
          OnChainRevert: it is no longer open, or another's.
          OutcomeUnknown: and others, see the class.
        """
        return await self.batch([Cancel(order, market)])

    async def cancel_all(self, market: str | Market | None = None) -> tuple[SessionOrder, ...]:
        """Cancel every open order on `market`, or on all markets of the session; return those it cancelled.

        The orders are read over REST first. Orders that are filled meanwhile are left out; those that another
        task places meanwhile may be missed.

        Raises:
          OnChainRevert: after several rounds an order is still open that cannot be cancelled.
          OutcomeUnknown: and others, see the class; orders cancelled before stay so.
        """
        markets = self.markets if market is None else (self._find(market),)
        cancelled: dict[Id, SessionOrder] = {}
        refusal: OnChainRevert | None = None
        size = MAX_ACTIONS
        for _ in range(_CANCEL_ROUNDS):
            found = [order for each in markets for order in await self._open_orders(each)]
            wanted = [order for order in found if order.order_id not in cancelled]
            if not wanted:
                return tuple(cancelled.values())
            for first in range(0, len(wanted), size):
                some = wanted[first : first + size]
                try:
                    await self.batch([Cancel(order) for order in some], settle_first=False)
                except OnChainRevert as error:
                    refusal = error
                else:
                    cancelled.update((order.order_id, order) for order in some)
            # One order that was filled meanwhile spoils its whole transaction: the next round goes singly.
            size = 1
            await trio.sleep(self._desk.options.indexer_lag if refusal else 0)
        if refusal is not None:
            raise refusal
        return tuple(cancelled.values())

    async def replace(
        self,
        order: SessionOrder | Order,
        *,
        price: Amount,
        quantity: Amount,
        order_type: OrderKind = "Spot",
        adjust: bool = False,
    ) -> SessionOrder:
        """Cancel an order and place another on its market and side, both or neither; return the new one.

        Args:
          order: the one to cancel; what it held pays for the new one.
          price, quantity, order_type, adjust: as for :class:`NewOrder`.

        Raises:
          OnChainRevert: the old order is no longer open, or the new one cannot be placed; nothing changed.
          OutcomeUnknown: and others, see the class.
        """
        if not isinstance(order, (SessionOrder, Order)):
            raise InvalidRequest(f"replace() takes a SessionOrder or an Order, not {order!r:.80}")
        market = self._find(market_of(order))
        new = NewOrder(
            market, order.side, price=price, quantity=quantity, order_type=order_type, adjust=adjust
        )
        return (await self.batch([Cancel(order, market), new], settle_first=True)).orders[0]

    async def settle(self, *markets: str | Market) -> Receipt:
        """Move proceeds from the order books of some markets (by default all) to the trading account.

        Raises:
          InvalidRequest: more than five markets.
          OutcomeUnknown: and others, see the class.
        """
        return await self.batch([Settle(market) for market in markets or self.markets])

    async def batch(self, requests: Sequence[Request], *, settle_first: bool | None = None) -> Receipt:
        """Do several things in one transaction: all of them, or none.

        Args:
          requests: at most five, settlements included.
          settle_first: as for :meth:`place`; one settlement for each market with a new order.

        Raises:
          InvalidRequest: nothing, or too much; or one of them makes no sense.
          OnChainRevert: one of them failed, so none has happened.
          OutcomeUnknown: and others, see the class.
        """
        actions = self._actions(requests)
        if self._settles(settle_first):
            actions = with_settlements(actions, self.account.identity)
        check_batch(actions)
        return self._receipt(await self._submit(actions))

    async def split_batch(
        self, requests: Sequence[Request], *, settle_first: bool | None = None
    ) -> tuple[Receipt, ...]:
        """Do any number of things in as few transactions as it takes, one after the other, in order.

        Args:
          requests: any number.
          settle_first: as for :meth:`batch`.

        Raises:
          InvalidRequest: nothing was sent.
          BatchIncomplete: one transaction failed; those before it have run, those behind it were not sent.
        """
        account, settles = self.account.identity, self._settles(settle_first)
        parts = split(self._actions(requests), account, settle_first=settles)
        batches = [with_settlements(part, account) for part in parts] if settles else parts
        for actions in batches or [[]]:
            check_batch(actions)
        receipts: list[Receipt] = []
        for number, actions in enumerate(batches):
            try:
                receipts.append(self._receipt(await self._submit(actions)))
            except O2Error as error:
                unsent = sum(map(len, parts[number + 1 :]))
                raise BatchIncomplete(
                    f"transaction {number + 1} of {len(batches)} failed ({error}); the last {unsent} requests"
                    " were not sent",
                    receipts,
                    unsent,
                ) from error
        return tuple(receipts)

    # -- lost answers ---------------------------------------------------------------------------

    async def resolve(self, outcome: OutcomeUnknown) -> Resolved:
        """Find out what became of a submission of this account whose answer was lost.

        If it has not run yet, its nonce is used up with a settlement, so that it never will. That takes as
        long as REST may lag behind (``Options.indexer_lag``), or less. May be cancelled and called again;
        asked again, it gives the same answer.

        Args:
          outcome: from an ``except`` clause, or from :attr:`unresolved`.

        Raises:
          InvalidRequest: a submission of another account.
          OutcomeUnknown: the same, if it cannot be found out within ``Options.resolve_timeout``.
        """
        if not isinstance(outcome, OutcomeUnknown):
            raise InvalidRequest(f"resolve() takes an OutcomeUnknown, not {outcome!r:.80}")
        submission = outcome.submission
        if submission.account != self.account.trade_account_id:
            raise InvalidRequest("that submission belongs to another account")
        self._check_open()
        verdict, orders = await resolve(self._desk, outcome, self._fence)
        return Resolved(verdict=verdict, orders=self._handles(submission, orders), submission=submission)

    async def resolve_all(self) -> tuple[Resolved, ...]:
        """Find out about everything that is :attr:`unresolved`, as :meth:`resolve` does.

        Raises:
          OutcomeUnknown: the first that cannot be found out; all others were looked into.
        """
        resolved: list[Resolved] = []
        failure: OutcomeUnknown | None = None
        for outcome in self.unresolved:
            try:
                resolved.append(await self.resolve(outcome))
            except OutcomeUnknown as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return tuple(resolved)

    # -- inside ---------------------------------------------------------------------------------

    def _fence(self, track: Track) -> Draft:
        """Return what uses up a nonce and does no harm."""
        return self._draft([SettleBalance(self.markets[0], self.account.identity)], track)

    def _draft(self, actions: Sequence[Action], track: Track) -> Draft:
        account = self.account.trade_account_id
        return actions_draft(self._key, self._opening.owner, account, actions, self._opening.listed, track)

    async def _submit(self, actions: Sequence[Action]) -> Ran:
        self._check_open()
        if self._over is not None:
            await trio.lowlevel.checkpoint()
            raise self._over()
        draft = self._draft(actions, self.track)
        expiry = self._expiry
        if self._opening.renew and self._desk.now() >= expiry:
            await self._renew_once(expiry)
            expiry = self._expiry
        try:
            return await self._desk.submit(draft, self._opening.lane)
        except ApiError as error:
            if not refusals.is_session_over(error):
                raise
            await self._refused(error, expiry)
        return await self._desk.submit(draft, self._opening.lane)

    async def _refused(self, error: ApiError, expiry: int) -> None:
        """Renew the session that the exchange has refused, if it has only expired, or say why it is over."""
        await self._check_registered(error)
        if not refusals.is_expired(error) and self._desk.now() < self._expiry:
            raise error
        if not self._opening.renew:
            when = f"{self.expires_at:%F %T} UTC"
            self._end(lambda: SessionExpired(f"the session expired at {when}; open a new one"), error)
        await self._renew_once(expiry)

    async def _check_registered(self, error: ApiError | None = None) -> None:
        """Make sure that this is still the account's session, if the exchange says so readably.

        Raises:
          SessionReplaced: it is not.
          ApiError, RequestFailed, DecodeError: the account could not be read.
        """
        state = await self._desk.rest.account(self._desk.account)
        known = None if state is None else state.session
        if state is not None and "session" in state.unread:
            return
        if known is None or known.session_id != self.session_id:
            text = (
                "another session was created for this account; only one is alive at a time, and this is dead"
                if known is not None
                else "the exchange no longer knows this session"
            )
            self._end(lambda: SessionReplaced(text, state), error)

    def _end(self, over: Callable[[], O2Error], cause: ApiError | None) -> NoReturn:
        self._over = over
        raise over() from cause

    async def _renew_once(self, expiry: int) -> None:
        """Renew the session unless another task has done so since it had this expiry.

        One that was replaced is not renewed: that would end the other.
        """
        async with self._renewing:
            if self._over is not None:
                raise self._over()
            if self._opening.renew and self._expiry <= expiry:
                await self._check_registered()
                self._expiry = await self._opening.register()

    def _receipt(self, ran: Ran) -> Receipt:
        submission = ran.submission
        orders = self._handles(submission, ran.orders or ())
        return Receipt(tx_id=ran.tx_id, orders=orders, submission=submission)

    def _handles(self, submission: Submission, orders: Sequence[Order]) -> tuple[SessionOrder, ...]:
        """Return the orders that a submission placed, with what they themselves leave out."""
        markets = [action.market.market_id for action in submission.creates]
        return tuple(
            self.orders.absorb(placed(order, market_id, self.account.identity))
            for order, market_id in zip(orders, markets, strict=False)
        )

    async def _open_orders(self, market: Market) -> list[SessionOrder]:
        rest, account = self._desk.rest, self.account.identity
        listed = [order async for order in rest.iter_orders(market, account, only_open=True)]
        handles = {order.order_id: self.orders.absorb(order) for order in listed}
        for order in self.orders.open(market):
            if order.order_id not in handles:
                # It is too new to be listed, or closed and nobody has told us yet.
                with suppress(OrderNotFound):
                    self.orders.absorb(await rest.order(market, order.order_id))
                handles[order.order_id] = order
        return [order for order in handles.values() if order.is_open]

    def _actions(self, requests: Sequence[Request]) -> list[Action]:
        if isinstance(requests, (str, bytes)) or not isinstance(requests, Sequence):
            raise InvalidRequest(f"a batch is a list of requests, not {requests!r:.80}")
        account = self.account.identity
        return [to_action(request, self._find, account, self._desk.now) for request in requests]

    def _find(self, market: str | Market) -> Market:
        check_market(market)
        name = check_spot(market).market_id if isinstance(market, Market) else market
        found = self._opening.listed.find(name)
        if found not in self.markets:
            pairs = ", ".join(each.pair for each in self.markets)
            raise InvalidRequest(f"the session may not trade {found.pair}; it was opened for {pairs}")
        return found

    def _settles(self, settle_first: bool | None) -> bool:
        if settle_first is not None and not isinstance(settle_first, bool):
            raise InvalidRequest(f"settle_first must be True, False or None, not {settle_first!r:.40}")
        return self._opening.settle_first if settle_first is None else settle_first

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the session was left")
