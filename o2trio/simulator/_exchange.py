"""The exchange: accounts, sessions, nonces and transactions, and what each block changed. No I/O, no tasks.

Transactions (:meth:`Exchange.transact`, and the simple ones :meth:`Exchange.place`,
:meth:`Exchange.cancel` and :meth:`Exchange.settle`) change the state at once; :meth:`Exchange.seal`
closes the block and returns the records of everything that changed since the last one. Whoever may act,
with which signature, is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import attrs

from ..models import Id, Identity, OrderType, Side
from ..trading._actions import Action, CancelOrder, CreateOrder, RegisterReferer, SettleBalance
from ._accounts import LATEST_VERSION, Access, Account, Revert, SessionRecord
from ._block import Block, Draft
from ._clearing import Clearing, transaction_id
from ._markets import Listing, make_id
from ._matching import BookOrder
from ._nonces import use_nonce
from ._rules import Terms
from ._state import group_levels, group_price

__all__ = ["ORDERS_KEPT", "Block", "Exchange", "group_levels", "group_price"]

T = TypeVar("T")

ORDERS_KEPT = 20_000
"""Closed orders that one market remembers; open orders are always known."""


class Exchange(Clearing):
    """Everything that is true on the simulated exchange.

    Args:
      listings: the markets.
      clock: tells the time in nanoseconds since 1970; must never go backwards.

    Attributes:
      audit: every block's truth.
      tx_id: the latest transaction.
      new_account_version: of the accounts opened from now on; lower than ``LATEST_VERSION`` they know no
        parallel nonces until they are upgraded.
      deposits: what was ever brought in, by asset.
      outside: money that was withdrawn to, or minted for, identities that are no trading accounts.
    """

    def __init__(self, listings: Sequence[Listing], clock: Callable[[], int]) -> None:
        super().__init__(listings, clock)
        self.new_account_version = LATEST_VERSION
        self._transactions = 0

    # -- accounts and money from outside -----------------------------------------------------------

    def create_account(self, name: str, deposits: Mapping[Id, int]) -> Account:
        """Create a trading account and fund its wallet; `name` determines its ids and must be new."""
        account_id = make_id("account", name)
        if account_id in self.accounts:
            raise ValueError(f"there is an account {name!r} already")
        account = self._add_account(account_id, Identity.address(make_id("owner", name)), name)
        for asset, amount in deposits.items():
            self.deposit(account, asset, amount)
        return account

    def open_account(self, owner: Identity) -> Account:
        """Return the account of an owner; a new one, without money, if there is none.

        Its id is determined by the owner.
        """
        account_id = make_id("account", owner.kind.value, owner.id)
        return self.account_of(owner) or self._add_account(account_id, owner, f"of {owner.id}")

    def deposit(self, account: Account, asset: Id, amount: int) -> None:
        """Credit money from outside to an account's wallet."""
        self.mint(account.identity, asset, amount)

    def mint(self, to: Identity, asset: Id, amount: int) -> None:
        """Make money, as a faucet does, and give it to a trading account's wallet or to somebody outside."""
        self._journal.put(self.deposits, asset, self.deposits.get(asset, 0) + amount)
        self._pay_out(to, asset, amount)

    def _add_account(self, account_id: Id, owner: Identity, name: str) -> Account:
        account = Account(
            identity=Identity.contract(account_id),
            owner=owner,
            name=name,
            created=self.now,
            access=Access(version=self.new_account_version),
            journal=self._journal,
        )
        self._journal.put(self.accounts, account_id, account)
        if owner not in self._owners:
            self._journal.put(self._owners, owner, account)
        return account

    # -- transactions ------------------------------------------------------------------------------

    def transact(self, account: Account, work: Callable[[], T], *, parallel: int | None = None) -> T:
        """Run `work` as one transaction: all of it happens, or nothing but the use of its nonce.

        Afterwards `tx_id` names the transaction. The block is closed by :meth:`seal`, as always.

        Args:
          account: whose nonce is used.
          work: calls :meth:`apply`, :meth:`set_session`, :meth:`withdraw` or :meth:`upgrade`, or raises
            :exc:`Revert` itself.
          parallel: the packed parallel nonce; without it the sequential nonce moves by one.

        Raises:
          Revert: by `work`, with `tx_id` set; or code 123, for a parallel nonce of an old account.
          NonceRefused: the parallel nonce cannot be used; there was no transaction.
          RuntimeError: there is a transaction under way already.
        """
        self._begin(account, parallel)
        try:
            with self._journal:
                if parallel is not None and account.version < LATEST_VERSION:
                    raise Revert("Code", "123", "the account contract is too old")
                result = work()
        except Revert as revert:
            revert.tx_id = self.tx_id
            revert.nonce = account.nonce if parallel is None else None
            raise
        for market_id in self._states:
            self._forget(market_id)
        return result

    def place(
        self,
        account: Account,
        market_id: Id,
        side: Side,
        *,
        price: int,
        quantity: int,
        order_type: OrderType,
    ) -> BookOrder:
        """Place an order, match it, and rest what remains if its type rests; a transaction of its own.

        Args:
          account: who pays, from the wallet.
          market_id: a known market.
          side, price, quantity, order_type: chain units.

        Raises:
          Revert: the contract refuses; nothing but the nonce changed.
        """
        self._begin(account)
        order = self._create_order(account, market_id, Terms(side, price, quantity, order_type))
        self._forget(market_id)
        return order

    def cancel(self, account: Account, order_id: Id) -> BookOrder:
        """Take an order off its book and unlock what it held; a transaction of its own.

        Raises:
          Revert: no such open order of this account; nothing but the nonce changed.
        """
        self._begin(account)
        order = self._cancel_order(account, None, order_id)
        self._forget(order.market_id)
        return order

    def settle(self, account: Account, market_id: Id) -> None:
        """Move the account's proceeds from a book to its wallet; a transaction of its own."""
        self._begin(account)
        self._settle_balance(account, market_id, account.identity)

    def seal(self) -> Block:
        """Close the block, write it down and return everything that changed since the last one.

        Raises:
          RuntimeError: there is a transaction under way.
        """
        self._check_idle()
        states = self._states.items()
        levels = {key: changes for key, state in states if (changes := state.book.take_changes())}
        block = self._draft.finish(self._height, self.now, levels)
        self.audit.record(block)
        self._height += 1
        self._draft = Draft()
        return block

    # -- what a transaction consists of ------------------------------------------------------------

    def apply(self, account: Account, action: Action) -> BookOrder | None:
        """Do one action of a session, inside of a transaction; return the order that was created, if any.

        Raises:
          Revert: the contract refuses.
        """
        market_id = action.market.market_id
        match action:
            case CreateOrder(side=side, price=price, quantity=quantity, order_type=order_type):
                return self._create_order(account, market_id, Terms(side, price, quantity, order_type))
            case CancelOrder(order_id=order_id):
                self._cancel_order(account, market_id, order_id)
            case SettleBalance(to=to):
                self._settle_balance(account, market_id, to)
            case RegisterReferer(to=to):
                if account.referer is not None:
                    raise Revert("TradeAccountRegistryError", "TradeAccountAlreadyHasReferer")
                self._journal.keep(account)
                account.referer = to
        return None

    def set_session(
        self, account: Account, session_id: Identity, expiry: int, contract_ids: Sequence[Id]
    ) -> SessionRecord:
        """Replace the account's session, inside of a transaction; `expiry` in seconds since 1970.

        Raises:
          Revert: ``SessionError``.
        """
        if expiry <= self.now // 1_000_000_000:
            raise Revert("SessionError", "SessionInThePast")
        if not contract_ids:
            raise Revert("SessionError", "NoApprovedContractIdsProvided")
        session = SessionRecord(session_id, expiry, tuple(contract_ids))
        self._set_access(account, attrs.evolve(account.access, session=session))
        return session

    def withdraw(self, account: Account, to: Identity, asset: Id, amount: int) -> None:
        """Pay money of the wallet out, inside of a transaction: to another account, or to outside.

        Raises:
          Revert: ``WithdrawError``.
        """
        account.withdraw(asset, amount)
        self._touch(account, asset)
        self._pay_out(to, asset, amount)

    def upgrade(self, account: Account) -> None:
        """Bring the account contract to the latest version, inside of a transaction; its session ends.

        Raises:
          Revert: ``No upgrade available``.
        """
        if account.version >= LATEST_VERSION:
            raise Revert("Text", "No upgrade available")
        self._set_access(account, Access())

    # -- inside ------------------------------------------------------------------------------------

    def _begin(self, account: Account, parallel: int | None = None) -> None:
        """Use a nonce and begin the transaction that it is for; this is never taken back."""
        self._check_idle()
        if parallel is None:
            account.nonce += 1
            account.last_modification = self.height
            self._draft.nonces[account.trade_account_id] = account
        elif account.version >= LATEST_VERSION:
            windows = use_nonce(account.windows, parallel, self.now // 1_000_000_000)
            self._set_access(account, attrs.evolve(account.access, windows=windows))
        self._transactions += 1
        self.tx_id = transaction_id(self._transactions)

    def _check_idle(self) -> None:
        if self._journal.is_open:
            raise RuntimeError("there is a transaction under way")

    def _set_access(self, account: Account, access: Access) -> None:
        self._journal.keep(account)
        account.access = access
        self._journal.put(self._draft.accesses, account.trade_account_id, account)

    def _forget(self, market_id: Id) -> None:
        """Forget the oldest closed orders of a market that has too many."""
        closed = self._states[market_id].closed
        while len(closed) > ORDERS_KEPT:
            oldest = closed.popleft()
            del self.orders[oldest.order_id]
            del self._orders_of[oldest.owner.id, oldest.market_id][oldest.order_id]
