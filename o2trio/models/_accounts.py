"""Balances and nonces of trading accounts, and what names an account."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from ._common import Update
from ._ids import Id, Identity, normalize_id
from ._understanding import NotUnderstood, in_order, unread_field

__all__ = ["AccountInfo", "Balance", "BalanceUpdate", "BookBalance", "NonceUpdate"]


@attrs.frozen(slots=True, kw_only=True)
class BookBalance:
    """What one order book contract holds for an account, in chain units of the asset.

    Attributes:
      locked: in open orders.
      unlocked: proceeds that wait for a settlement.
      fee: fees, where the exchange names them; a rebate is negative.
      unread: fields that could not be read: wire name to raw value.
    """

    locked: int
    unlocked: int
    fee: int | None = None
    unread: Mapping[str, object] = unread_field()


def _read_only(books: Mapping[Id, BookBalance]) -> Mapping[Id, BookBalance]:
    return MappingProxyType(dict(books))


@attrs.frozen(slots=True, kw_only=True)
class Balance:
    """One account's holding of one asset, in chain units of the asset.

    Attributes:
      identity: the account.
      asset_id: the asset.
      total_unlocked: free funds; **already contains** `trading_account_balance`.
      total_locked: in open orders.
      trading_account_balance: the part that the account contract itself holds.
      order_books: per order book **contract** id, what that book holds; cannot be changed.
      unread: fields that could not be read: wire name to raw value. Of `order_books` the entries that
        could be read are there nevertheless.
    """

    identity: Identity
    asset_id: Id
    total_unlocked: int
    total_locked: int
    trading_account_balance: int
    order_books: Mapping[Id, BookBalance] = attrs.field(
        factory=dict[Id, BookBalance], converter=_read_only, hash=False
    )
    unread: Mapping[str, object] = unread_field()

    @property
    def available(self) -> int:
        """Free funds: `total_unlocked`."""
        return self.total_unlocked

    @property
    def total(self) -> int:
        """Everything the account owns of this asset: unlocked and locked."""
        return self.total_unlocked + self.total_locked


@attrs.frozen(slots=True, kw_only=True)
class BalanceUpdate(Update):
    """Balances that changed, one entry for each (account, asset).

    Attributes:
      balance: the entries (the exchange's own, singular name); empty when `origin` is ``GAP``.
    """

    balance: tuple[Balance, ...] = ()

    @property
    def entries(self) -> tuple[Balance | NotUnderstood, ...]:
        """The balances and the entries that were not understood, in the order the exchange sent them."""
        return in_order(self.balance, self.not_understood)


@attrs.frozen(slots=True, kw_only=True)
class NonceUpdate(Update):
    """The sequential nonce of one trading account.

    Attributes:
      contract_id: the trading account; None only when `origin` is ``GAP``.
      nonce: the next number to sign with; None only when `origin` is ``GAP``.
    """

    contract_id: Id | None = None
    nonce: int | None = None


def _to_id(value: str) -> Id:
    return normalize_id(value)


@attrs.frozen(slots=True, kw_only=True)
class AccountInfo:
    """A trading account.

    Attributes:
      trade_account_id: the account's contract id, normalised on construction.
      nonce: the sequential nonce when it was read, or None.
      owner: the wallet or contract that owns the account, or None if not read.
    """

    trade_account_id: Id = attrs.field(converter=_to_id)
    nonce: int | None = None
    owner: Identity | None = None

    @property
    def identity(self) -> Identity:
        """The account as the exchange's streams name it: a contract."""
        return Identity.contract(self.trade_account_id)
