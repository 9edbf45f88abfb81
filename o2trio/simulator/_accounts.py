"""Trading accounts and their money: three places, never a unit lost. No orders, no I/O.

An account's funds of one asset lie in its own contract (the wallet), unlocked in an order book
contract (proceeds that wait for a settlement) or locked there (open orders).
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from ..models import AccountInfo, Balance, BookBalance, Id, Identity

__all__ = ["NOTHING", "Account", "Holding", "Revert", "balance_of"]


class Revert(Exception):
    """An action failed on the simulated chain; the nonce has moved all the same.

    Attributes:
      enum: the contract's error enumeration, for example ``OrderCreationError``, or ``Panic``.
      variant: its variant, for example ``OrderPartiallyFilled``.
    """

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


@attrs.define(slots=True, eq=False)
class _Funds:
    locked: int = 0
    unlocked: int = 0


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
    """

    identity: Identity
    owner: Identity
    name: str
    created: int = 0
    nonce: int = 0
    last_modification: int = 0
    _wallet: dict[Id, int] = attrs.field(factory=dict[Id, int], init=False)
    _books: dict[Id, dict[Id, _Funds]] = attrs.field(factory=dict[Id, dict[Id, _Funds]], init=False)

    @property
    def trade_account_id(self) -> Id:
        """The id of the account contract."""
        return self.identity.id

    @property
    def info(self) -> AccountInfo:
        """The account as a client's model."""
        return AccountInfo(trade_account_id=self.identity.id, nonce=self.nonce, owner=self.owner)

    def wallet(self, asset: Id) -> int:
        """Return what the account contract itself holds."""
        return self._wallet.get(asset, 0)

    def assets(self) -> frozenset[Id]:
        """Return every asset the account ever held."""
        return frozenset(self._wallet).union(*self._books.values())

    def balance(self, asset: Id) -> Balance:
        """Return the holding of one asset as a client's model."""
        return balance_of(self.identity, asset, self.holding(asset))

    def holding(self, asset: Id) -> Holding:
        """Return the holding of one asset as it is now, small and immutable."""
        books = (
            (contract, funds[asset].locked, funds[asset].unlocked)
            for contract, funds in self._books.items()
            if asset in funds
        )
        return Holding(self.wallet(asset), tuple(books))

    def deposit(self, asset: Id, amount: int) -> None:
        """Put money from outside into the wallet."""
        self._wallet[asset] = self.wallet(asset) + amount

    def lock(self, book: Id, asset: Id, amount: int) -> None:
        """Move money from the wallet into an order of `book`.

        Raises:
          Revert: the wallet does not hold as much; nothing was changed.
        """
        if self.wallet(asset) < amount:
            raise Revert("Panic", "NotEnoughBalance", f"{self.name} has {self.wallet(asset)}, needs {amount}")
        self._wallet[asset] -= amount
        self._funds(book, asset).locked += amount

    def pay(self, book: Id, asset: Id, amount: int) -> None:
        """Give locked money away: the other party receives it."""
        self._funds(book, asset).locked -= amount

    def receive(self, book: Id, asset: Id, amount: int) -> None:
        """Take proceeds; they stay unlocked in the book until a settlement."""
        self._funds(book, asset).unlocked += amount

    def unlock(self, book: Id, asset: Id, amount: int) -> None:
        """Free what an order that ended did not use."""
        funds = self._funds(book, asset)
        funds.locked -= amount
        funds.unlocked += amount

    def settle(self, book: Id) -> list[Id]:
        """Move everything unlocked in `book` to the wallet; return the assets that moved."""
        moved: list[Id] = []
        for asset, funds in self._books.get(book, {}).items():
            if funds.unlocked:
                self._wallet[asset] = self.wallet(asset) + funds.unlocked
                funds.unlocked = 0
                moved.append(asset)
        return moved

    def _funds(self, book: Id, asset: Id) -> _Funds:
        return self._books.setdefault(book, {}).setdefault(asset, _Funds())
