"""The exchange after a restart that lost its books: what the next one takes over. No I/O, no tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._accounts import Account
from ._exchange import Exchange
from ._markets import Listing

__all__ = ["Successor"]


class Successor(Exchange):
    """The exchange that follows another one, of which it takes over everything but orders and trades.

    Accounts stay the same objects, with owners, nonces and sessions; money that lay in a book comes back
    to the wallet. Orders, transactions and blocks are numbered on, so no id is ever given twice. The
    first block says how things stand. The former exchange must not be used any more, except for its audit.

    Args:
      former: what it follows; there must be no transaction under way.
      listings: the same markets as before.
      clock: tells the time in nanoseconds since 1970; must never go backwards.
    """

    def __init__(self, former: Exchange, listings: Sequence[Listing], clock: Callable[[], int]) -> None:
        super().__init__(listings, clock)
        former._check_idle()
        self.audit.limit = former.audit.limit
        self.new_account_version = former.new_account_version
        self.tx_id = former.tx_id
        self.accounts, self._owners = former.accounts, former._owners
        self.fees, self.deposits, self.outside = former.fees, former.deposits, former.outside
        self._counts, self._transactions = former._counts, former._transactions
        self._height = former.height
        for account in self.accounts.values():
            self._adopt(account)

    def _adopt(self, account: Account) -> None:
        account.journal = self._journal
        for asset in account.assets():
            for book, locked, _ in account.holding(asset).books:
                account.unlock(book, asset, locked)
        for book in (state.market.contract_id for state in self._states.values()):
            for asset, amount in account.release(book):
                account.credit(asset, amount)
        # Reads that lag behind look into the audit, which has to know what nobody will change again.
        for asset in sorted(account.assets()):
            self._touch(account, asset)
        if account.nonce:
            self._draft.nonces[account.trade_account_id] = account
        self._draft.accesses[account.trade_account_id] = account
