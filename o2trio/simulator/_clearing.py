"""What the contracts do with orders and money. Nonces, sessions and transactions are in ``_exchange``.

Whatever is changed here is changed through the journal, so that a transaction can be taken back.
"""

from __future__ import annotations

from functools import partial

from ..models import Fill, Id, Identity, IdentityKind, Market, Side, Trade
from ._accounts import Account, Revert
from ._markets import FEE_SCALE, make_id
from ._matching import FILLS_KEPT, BookOrder, Match
from ._rules import Terms, affordable, check_order, escrow_needed, may_rest, order_value
from ._state import MarketState, State

__all__ = ["Clearing", "transaction_id"]


_TRANSACTION = make_id("transaction")[:-16]


def transaction_id(number: int) -> Id:
    """Return an id that no other number has; quicker than :func:`make_id`, for every action needs one."""
    return Id(f"{_TRANSACTION}{number:016x}")


class Clearing(State):
    """The exchange's contracts without any question of who may call them.

    Attributes:
      tx_id: the transaction under way, or the latest one.
    """

    tx_id: Id = transaction_id(0)

    # -- orders ------------------------------------------------------------------------------------

    def _create_order(self, account: Account, market_id: Id, terms: Terms) -> BookOrder:
        """Place an order, match it, and rest what remains if its type rests.

        Raises:
          Revert: the contract refuses; nothing was changed.
        """
        state = self._states[market_id]
        market, (side, price, quantity, order_type) = state.market, terms
        check_order(market, state.book, state.history.last_price, terms)
        escrow = escrow_needed(market, terms)
        account.lock(market.contract_id, _paid(market, side), escrow)
        self._touch(account, _paid(market, side))
        order = BookOrder(
            order_id=self._next_order_id(),
            owner=account.identity,
            market_id=market_id,
            side=side,
            order_type=order_type,
            price=price,
            quantity=quantity,
            created=self.now,
            escrow=escrow,
        )
        order.note(self.tx_id, "created")
        self._remember(state, order)
        cap = partial(_payable, market, order) if order_type.name == "BoundedMarket" else None
        for match in state.book.match(order, cap):
            self._trade(state, order, match)
        if may_rest(market, order):
            state.book.rest(order)
        else:
            self._close(state, order)
        return order

    def _cancel_order(self, account: Account, market_id: Id | None, order_id: Id) -> BookOrder:
        """Take an order off its book and unlock what it held.

        Raises:
          Revert: no such open order of this account on the market, if one is named; nothing was changed.
        """
        order = self.orders.get(order_id)
        if order is None or order.close or order.owner != account.identity:
            raise Revert("OrderCancelError", "NotOrderOwner", order_id)
        if market_id is not None and market_id != order.market_id:
            raise Revert("OrderCancelError", "NotOrderOwner", f"{order_id} is on another market")
        state = self._states[order.market_id]
        state.book.remove(order)
        self._close(state, order, cancel=True)
        return order

    def _next_order_id(self) -> Id:
        number = self._counts.get("orders", 0) + 1
        self._journal.put(self._counts, "orders", number)
        return make_id("order", number)

    def _remember(self, state: MarketState, order: BookOrder) -> None:
        put, key = self._journal.put, (order.owner.id, order.market_id)
        put(self.orders, order.order_id, order)
        put(state.open, order.order_id, order)
        if key not in self._orders_of:
            put(self._orders_of, key, {})
        put(self._orders_of[key], order.order_id, order)
        put(self._draft.orders, order.order_id, order)

    def _close(self, state: MarketState, order: BookOrder, *, cancel: bool = False) -> None:
        """End an order that is off the book and free its escrow."""
        self._journal.keep(order)
        order.close, order.cancel = True, cancel
        escrow, order.escrow = order.escrow, 0
        self._journal.put(self._draft.orders, order.order_id, order)
        self._journal.drop(state.open, order.order_id)
        self._journal.append(state.closed, order)
        if escrow:
            account, asset = self.accounts[order.owner.id], _paid(state.market, order.side)
            account.unlock(state.market.contract_id, asset, escrow)
            self._touch(account, asset)

    # -- trades ------------------------------------------------------------------------------------

    def _trade(self, state: MarketState, taker: BookOrder, match: Match) -> None:
        """Move the money of one fill and write it down; the book has kept both orders."""
        market, (maker, price, quantity) = state.market, match
        total = order_value(market, price, quantity)
        fees: dict[Id, int] = {}
        for order, rate in ((maker, market.maker_fee), (taker, market.taker_fee)):
            paid, received = (total, quantity) if order.side is Side.BUY else (quantity, total)
            fees[order.order_id] = fee = received * rate // FEE_SCALE
            self._exchange_money(market, order, paid, received, fee)
        trade = Trade(
            trade_id=f"{maker.order_id}/{taker.order_id}",
            side=maker.side,
            price=price,
            quantity=quantity,
            total=total,
            timestamp=self.now // 1_000_000,
            maker=maker.owner,
            taker=taker.owner,
            maker_fee=fees[maker.order_id],
            taker_fee=fees[taker.order_id],
        )
        self._publish_trade(state, trade)
        for order, other in ((maker, taker), (taker, maker)):
            fill = Fill(order_id=other.order_id, price=price, quantity=quantity, timestamp=trade.timestamp)
            order.fills = (*order.fills, fill)[-FILLS_KEPT:]
            order.note(self.tx_id, "trade")
        self._journal.put(self._draft.orders, maker.order_id, maker)
        if not maker.remaining:
            self._close(state, maker)
        elif not may_rest(market, maker):
            state.book.remove(maker)
            self._close(state, maker)

    def _publish_trade(self, state: MarketState, trade: Trade) -> None:
        state.history.add(trade)
        trades, market_id = self._draft.trades, state.market.market_id
        if market_id not in trades:
            self._journal.put(trades, market_id, [])
        self._journal.append(trades[market_id], trade)

    def _exchange_money(self, market: Market, order: BookOrder, paid: int, received: int, fee: int) -> None:
        account, book = self.accounts[order.owner.id], market.contract_id
        pays, gets = _paid(market, order.side), _paid(market, order.side.opposite)
        order.escrow -= paid
        account.pay(book, pays, paid)
        account.receive(book, gets, received - fee)
        self._journal.put(self.fees, gets, self.fees.get(gets, 0) + fee)
        self._touch(account, pays)
        self._touch(account, gets)

    # -- money -------------------------------------------------------------------------------------

    def _settle_balance(self, account: Account, market_id: Id, to: Identity) -> None:
        """Pay out what lies unlocked in a market's book."""
        for asset, amount in account.release(self._states[market_id].market.contract_id):
            self._touch(account, asset)
            self._pay_out(to, asset, amount)

    def _pay_out(self, to: Identity, asset: Id, amount: int) -> None:
        """Give money to a trading account's wallet, or to somebody outside."""
        account = self.accounts.get(to.id) if to.kind is IdentityKind.CONTRACT_ID else None
        if account is None:
            self._journal.put(self.outside, (to, asset), self.outside.get((to, asset), 0) + amount)
        else:
            account.credit(asset, amount)
            self._touch(account, asset)

    def _touch(self, account: Account, asset: Id) -> None:
        self._journal.put(self._draft.balances, (account.trade_account_id, asset), (account, asset))


def _paid(market: Market, side: Side) -> Id:
    """Return the asset that an order on `side` pays with."""
    return market.quote.asset if side is Side.BUY else market.base.asset


def _payable(market: Market, order: BookOrder, price: int) -> int:
    """Return how much the money of an order pays for at a price; a sale gives what it has."""
    return order.remaining if order.side is Side.SELL else affordable(market, order.escrow, price)
