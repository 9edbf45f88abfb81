"""The exchange: markets, accounts and orders, and what each block changed. No I/O, no tasks.

Actions (:meth:`Exchange.place`, :meth:`Exchange.cancel`, :meth:`Exchange.settle`) change the state at
once; :meth:`Exchange.seal` closes the block and returns the records of everything that changed since
the last one. Whoever may act, with which signature, is not decided here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ..models import (
    Balance,
    DepthChanges,
    Fill,
    Id,
    Identity,
    Level,
    Market,
    Markets,
    OrderType,
    Side,
    Trade,
)
from ._accounts import Account, Revert
from ._audit import Audit
from ._block import Block
from ._history import TradeHistory
from ._markets import FEE_SCALE, Listing, make_id, markets_of
from ._matching import FILLS_KEPT, BookOrder, Match, OrderBook
from ._rules import Terms, check_order, escrow_needed, may_rest, order_value

__all__ = ["ORDERS_KEPT", "Block", "Exchange", "group_levels", "group_price"]

ORDERS_KEPT = 20_000
"""Closed orders that one market remembers; open orders are always known."""


def group_price(side: Side, price: int, bucket: int) -> int:
    """Return the multiple of `bucket` that shows `price`: bids go down, asks up."""
    return price - price % bucket if side is Side.BUY else -(-price // bucket) * bucket


def group_levels(side: Side, levels: Sequence[Level], bucket: int) -> tuple[Level, ...]:
    """Return the levels summed up in buckets, in the order they came in."""
    if bucket == 1:
        return tuple(levels)
    sums: dict[int, int] = {}
    for level in levels:
        price = group_price(side, level.price, bucket)
        sums[price] = sums.get(price, 0) + level.quantity
    return tuple(Level(price, quantity) for price, quantity in sums.items())


class _MarketState:
    """What the exchange keeps for one market."""

    def __init__(self, item: Listing) -> None:
        self.listing = item
        self.market = item.market
        self.book = OrderBook()
        self.history = TradeHistory()
        self.open: dict[Id, BookOrder] = {}
        self.closed: deque[BookOrder] = deque()


class Exchange:
    """Everything that is true on the simulated exchange.

    Args:
      listings: the markets.
      clock: tells the time in nanoseconds since 1970; must never go backwards.

    Attributes:
      audit: every block's truth.
    """

    def __init__(self, listings: Sequence[Listing], clock: Callable[[], int]) -> None:
        self.audit = Audit()
        self.markets: Markets = markets_of(listings)
        self.accounts: dict[Id, Account] = {}
        self.orders: dict[Id, BookOrder] = {}
        self.fees: dict[Id, int] = {}
        self.deposits: dict[Id, int] = {}
        self._clock = clock
        self._states = {item.market.market_id: _MarketState(item) for item in listings}
        self._orders_of: dict[tuple[Id, Id], dict[Id, BookOrder]] = {}
        self._height = 1
        self._count = 0
        self._new_block()

    def _new_block(self) -> None:
        self._new_trades: dict[Id, list[Trade]] = {}
        self._changed_orders: dict[Id, BookOrder] = {}
        self._changed_balances: dict[tuple[Id, Id], tuple[Account, Id]] = {}
        self._changed_nonces: dict[Id, Account] = {}
        self._tx_id = make_id("block", self._height)

    # -- what is true ------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Nanoseconds since 1970."""
        return self._clock()

    @property
    def height(self) -> int:
        """The number of the block under construction."""
        return self._height

    def book(self, market_id: Id, precision: int = 0) -> DepthChanges:
        """Return the whole book with absolute sizes, best levels first.

        Args:
          market_id: a known market.
          precision: level of grouping; prices become multiples of ``10**precision``.
        """
        book = self._states[market_id].book
        bids, asks = (group_levels(side, book.levels(side), 10**precision) for side in (Side.BUY, Side.SELL))
        return DepthChanges(bids=bids, asks=asks)

    def matching(self, market_id: Id) -> OrderBook:
        """Return a market's living order book; to look at only."""
        return self._states[market_id].book

    def history(self, market_id: Id) -> TradeHistory:
        """Return a market's trades."""
        return self._states[market_id].history

    def trades(self, market_id: Id) -> Sequence[Trade]:
        """Return a market's trades, oldest first."""
        return self._states[market_id].history.trades

    def open_orders(self, market_id: Id) -> Sequence[BookOrder]:
        """Return every resting order of a market, oldest first."""
        return tuple(self._states[market_id].open.values())

    def orders_of(self, account: Id, market_id: Id) -> Sequence[BookOrder]:
        """Return an account's orders on a market, oldest first."""
        return tuple(self._orders_of.get((account, market_id), {}).values())

    def balance(self, account: Account, asset: Id) -> Balance:
        """Return an account's holding of an asset."""
        return account.balance(asset)

    def supply(self, asset: Id) -> int:
        """Return the sum of all accounts and the fees; always equal to what was deposited."""
        held = sum(
            balance.total for balance in (account.balance(asset) for account in self.accounts.values())
        )
        return held + self.fees.get(asset, 0)

    # -- actions -----------------------------------------------------------------------------------

    def create_account(self, name: str, deposits: Mapping[Id, int]) -> Account:
        """Create a trading account and fund its wallet; `name` determines its ids and must be new."""
        account = Account(
            identity=Identity.contract(make_id("account", name)),
            owner=Identity.address(make_id("owner", name)),
            name=name,
            created=self.now,
        )
        if account.trade_account_id in self.accounts:
            raise ValueError(f"there is an account {name!r} already")
        self.accounts[account.trade_account_id] = account
        for asset, amount in deposits.items():
            self.deposit(account, asset, amount)
        return account

    def deposit(self, account: Account, asset: Id, amount: int) -> None:
        """Credit money from outside to an account's wallet."""
        account.deposit(asset, amount)
        self.deposits[asset] = self.deposits.get(asset, 0) + amount
        self._touch(account, asset)

    def place(
        self, account: Account, market_id: Id, side: Side, price: int, quantity: int, order_type: OrderType
    ) -> BookOrder:
        """Place an order, match it, and rest what remains if its type rests.

        Args:
          account: who pays, from the wallet.
          market_id: a known market.
          side, price, quantity, order_type: chain units.

        Raises:
          Revert: the contract refuses; nothing but the nonce changed.
        """
        state = self._states[market_id]
        self._use_nonce(account)
        terms = Terms(side, price, quantity, order_type)
        check_order(state.market, state.book, state.history.last_price, terms)
        escrow = escrow_needed(state.market, terms)
        account.lock(state.market.contract_id, _paid(state.market, side), escrow)
        self._touch(account, _paid(state.market, side))
        self._count += 1
        order = BookOrder(
            order_id=make_id("order", self._count),
            owner=account.identity,
            market_id=market_id,
            side=side,
            order_type=order_type,
            price=price,
            quantity=quantity,
            created=self.now,
            escrow=escrow,
        )
        order.note(self._tx_id, "created")
        self._remember(state, order)
        for match in state.book.match(order):
            self._trade(state, order, match)
        if may_rest(state.market, order):
            state.book.rest(order)
        else:
            self._close(state, order)
        return order

    def cancel(self, account: Account, order_id: Id) -> BookOrder:
        """Take an order off its book and unlock what it held.

        Raises:
          Revert: no such open order of this account; nothing but the nonce changed.
        """
        self._use_nonce(account)
        order = self.orders.get(order_id)
        if order is None or order.close or order.owner != account.identity:
            raise Revert("OrderCancelError", "NotOrderOwner", order_id)
        state = self._states[order.market_id]
        state.book.remove(order)
        order.cancel = True
        self._close(state, order)
        return order

    def settle(self, account: Account, market_id: Id) -> None:
        """Move the account's proceeds from a book to its wallet."""
        self._use_nonce(account)
        for asset in account.settle(self._states[market_id].market.contract_id):
            self._touch(account, asset)

    def seal(self) -> Block:
        """Close the block, write it down and return everything that changed since the last one."""
        levels = {
            key: changes for key, state in self._states.items() if (changes := state.book.take_changes())
        }
        block = Block(
            height=self._height,
            seen_timestamp=self.now,
            trades=self._new_trades,
            levels=levels,
            orders=tuple(self._changed_orders.values()),
            balances=tuple(self._changed_balances.values()),
            nonces=tuple(self._changed_nonces.values()),
        )
        self.audit.record(block)
        self._height += 1
        self._new_block()
        return block

    # -- inside ------------------------------------------------------------------------------------

    def _use_nonce(self, account: Account) -> None:
        account.nonce += 1
        account.last_modification = self._height
        self._changed_nonces[account.trade_account_id] = account

    def _touch(self, account: Account, asset: Id) -> None:
        self._changed_balances[account.trade_account_id, asset] = (account, asset)

    def _remember(self, state: _MarketState, order: BookOrder) -> None:
        self.orders[order.order_id] = state.open[order.order_id] = order
        self._orders_of.setdefault((order.owner.id, order.market_id), {})[order.order_id] = order
        self._changed_orders[order.order_id] = order

    def _close(self, state: _MarketState, order: BookOrder) -> None:
        """End an order that is off the book: free its escrow, forget the oldest closed one."""
        order.close = True
        self._changed_orders[order.order_id] = order
        del state.open[order.order_id]
        state.closed.append(order)
        if order.escrow:
            account, asset = self.accounts[order.owner.id], _paid(state.market, order.side)
            account.unlock(state.market.contract_id, asset, order.escrow)
            order.escrow = 0
            self._touch(account, asset)
        if len(state.closed) > ORDERS_KEPT:
            oldest = state.closed.popleft()
            del self.orders[oldest.order_id]
            del self._orders_of[oldest.owner.id, oldest.market_id][oldest.order_id]

    def _trade(self, state: _MarketState, taker: BookOrder, match: Match) -> None:
        """Move the money of one fill and write it down."""
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
        state.history.add(trade)
        self._new_trades.setdefault(market.market_id, []).append(trade)
        for order, other in ((maker, taker), (taker, maker)):
            fill = Fill(order_id=other.order_id, price=price, quantity=quantity, timestamp=trade.timestamp)
            order.fills = (*order.fills, fill)[-FILLS_KEPT:]
            order.note(self._tx_id, "trade")
        self._changed_orders[maker.order_id] = maker
        if not maker.remaining:
            self._close(state, maker)
        elif not may_rest(market, maker):
            state.book.remove(maker)
            self._close(state, maker)

    def _exchange_money(self, market: Market, order: BookOrder, paid: int, received: int, fee: int) -> None:
        account, book = self.accounts[order.owner.id], market.contract_id
        pays, gets = _paid(market, order.side), _paid(market, order.side.opposite)
        order.escrow -= paid
        account.pay(book, pays, paid)
        account.receive(book, gets, received - fee)
        self.fees[gets] = self.fees.get(gets, 0) + fee
        self._touch(account, pays)
        self._touch(account, gets)


def _paid(market: Market, side: Side) -> Id:
    """Return the asset that an order on `side` pays with."""
    return market.quote.asset if side is Side.BUY else market.base.asset
