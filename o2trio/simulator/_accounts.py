"""Trading accounts and their money: three places, never a unit lost. No orders, no I/O.

An account's funds of one asset lie in its own contract (the wallet), unlocked in an order book
contract (proceeds that wait for a settlement) or locked there (open orders).
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from ..models import AccountInfo, Balance, BookBalance, Id, Identity
from ._journal import Journal
from ._nonces import LANES, NonceWindow

__all__ = [
    "LATEST_VERSION",
    "NOTHING",
    "Access",
    "Account",
    "Holding",
    "Revert",
    "SessionRecord",
    "balance_of",
]

LATEST_VERSION = 3
"""Version of an account contract that cannot be upgraded; the first one that knows parallel nonces."""


class Revert(Exception):
    """A transaction failed on the simulated chain; its nonce is used all the same.

    Attributes:
      enum: the contract's error enumeration, for example ``OrderCreationError``; or ``Panic``, of which
        `variant` is the reason; or ``Code``, of which `variant` is the number that was reverted with,
        without a log; or ``Text``, of which `variant` is all that is known.
      variant: its variant, for example ``OrderPartiallyFilled``.
      tx_id: the transaction, once it is over.
      nonce: the account's sequential nonce after it, if it used the one before.
    """

    tx_id: Id | None = None
    nonce: int | None = None

    def __init__(self, enum: str, variant: str, detail: str = "") -> None:
        self.enum = enum
        self.variant = variant
        super().__init__(f"{enum}::{variant}" + (f": {detail}" if detail else ""))


class Holding(NamedTuple):
    """What an account holds of one asset: in its wallet, and (contract, locked, unlocked) in each book."""

    wallet: int
    books: tuple[tuple[Id, int, int], ...]


NOTHING = Holding(0, ())


def balance_of(identity: Identity, asset: Id, holding: Holding) -> Balance:
    """Return a holding as a client's model."""
    wallet, books = holding
    return Balance(
        identity=identity,
        asset_id=asset,
        total_unlocked=wallet + sum(unlocked for _, _, unlocked in books),
        total_locked=sum(locked for _, locked, _ in books),
        trading_account_balance=wallet,
        order_books={
            contract: BookBalance(locked=locked, unlocked=unlocked, fee=0)
            for contract, locked, unlocked in books
        },
    )


@attrs.frozen(slots=True)
class SessionRecord:
    """The one session of an account, as its contract knows it.

    Attributes:
      session_id: who may act.
      expiry: seconds since 1970; it is over from then on.
      contract_ids: what may be called.
    """

    session_id: Identity
    expiry: int
    contract_ids: tuple[Id, ...]


@attrs.frozen(slots=True, kw_only=True)
class Access:
    """Who may act for an account besides its owner, and with which nonces.

    Attributes:
      session: the registered session, perhaps expired, or None.
      version: of the account contract.
      windows: of parallel nonces, one for each lane.
    """

    session: SessionRecord | None = None
    version: int = LATEST_VERSION
    windows: tuple[NonceWindow, ...] = (NonceWindow(),) * LANES


@attrs.define(slots=True, eq=False, kw_only=True)
class Account:
    """A trading account.

    Attributes:
      identity: the account contract, as streams name it.
      owner: the wallet that owns it.
      nonce: the next sequential nonce.
      name: for people.
      created: nanoseconds since 1970.
      last_modification: the block that moved the nonce last.
      access: who may act for it, and with which parallel nonces.
      referer: who brought it to the exchange, or None.
      journal: makes every change of its money.
    """

    identity: Identity
    owner: Identity
    name: str
    created: int = 0
    nonce: int = 0
    last_modification: int = 0
    access: Access = Access()
    referer: Identity | None = None
    journal: Journal = attrs.field(factory=Journal, repr=False)
    _wallet: dict[Id, int] = attrs.field(factory=dict[Id, int], init=False)
    _books: dict[tuple[Id, Id], tuple[int, int]] = attrs.field(
        factory=dict[tuple[Id, Id], tuple[int, int]], init=False
    )
    """What is (locked, unlocked) of each (book, asset)."""

    @property
    def trade_account_id(self) -> Id:
        """The id of the account contract."""
        return self.identity.id

    @property
    def session(self) -> SessionRecord | None:
        """The registered session, perhaps expired."""
        return self.access.session

    @property
    def version(self) -> int:
        """The version of the account contract."""
        return self.access.version

    @property
    def windows(self) -> tuple[NonceWindow, ...]:
        """The windows of parallel nonces, one for each lane."""
        return self.access.windows

    @property
    def info(self) -> AccountInfo:
        """The account as a client's model."""
        return AccountInfo(trade_account_id=self.identity.id, nonce=self.nonce, owner=self.owner)

    def wallet(self, asset: Id) -> int:
        """Return what the account contract itself holds."""
        return self._wallet.get(asset, 0)

    def assets(self) -> frozenset[Id]:
        """Return every asset the account ever held."""
        return frozenset(self._wallet).union(asset for _, asset in self._books)

    def balance(self, asset: Id) -> Balance:
        """Return the holding of one asset as a client's model."""
        return balance_of(self.identity, asset, self.holding(asset))

    def holding(self, asset: Id) -> Holding:
        """Return the holding of one asset as it is now, small and immutable."""
        books = [
            (book, locked, unlocked)
            for (book, what), (locked, unlocked) in self._books.items()
            if what == asset
        ]
        return Holding(self.wallet(asset), tuple(books))

    def credit(self, asset: Id, amount: int) -> None:
        """Put money into the wallet."""
        self.journal.put(self._wallet, asset, self._wallet.get(asset, 0) + amount)

    def withdraw(self, asset: Id, amount: int) -> None:
        """Take money out of the wallet.

        Raises:
          Revert: the amount is zero or not there; nothing was changed.
        """
        if amount <= 0:
            raise Revert("WithdrawError", "AmountIsZero")
        if self.wallet(asset) < amount:
            raise Revert("WithdrawError", "NotEnoughBalance", self._lacks(asset, amount))
        self.credit(asset, -amount)

    def lock(self, book: Id, asset: Id, amount: int) -> None:
        """Move money from the wallet into an order of `book`.

        Raises:
          Revert: the wallet does not hold as much; nothing was changed.
        """
        if self.wallet(asset) < amount:
            raise Revert("Panic", "NotEnoughBalance", self._lacks(asset, amount))
        self.credit(asset, -amount)
        self._change(book, asset, amount, 0)

    def pay(self, book: Id, asset: Id, amount: int) -> None:
        """Give locked money away: the other party receives it."""
        self._change(book, asset, -amount, 0)

    def receive(self, book: Id, asset: Id, amount: int) -> None:
        """Take proceeds; they stay unlocked in the book until a settlement."""
        self._change(book, asset, 0, amount)

    def unlock(self, book: Id, asset: Id, amount: int) -> None:
        """Free what an order that ended did not use."""
        self._change(book, asset, -amount, amount)

    def release(self, book: Id) -> list[tuple[Id, int]]:
        """Give everything unlocked in `book` away; return (asset, amount) of what there was."""
        released = [
            (asset, unlocked)
            for (where, asset), (_, unlocked) in self._books.items()
            if where == book and unlocked
        ]
        for asset, amount in released:
            self._change(book, asset, 0, -amount)
        return released

    def _change(self, book: Id, asset: Id, locked: int, unlocked: int) -> None:
        key = (book, asset)
        was_locked, was_unlocked = self._books.get(key, (0, 0))
        self.journal.put(self._books, key, (was_locked + locked, was_unlocked + unlocked))

    def _lacks(self, asset: Id, amount: int) -> str:
        return f"{self.name} has {self.wallet(asset)}, needs {amount}"
