"""Errors of trading: what failed on chain, what nobody knows, and sessions that are over.

They belong to the one hierarchy of ``_errors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._errors import ApiError, CallerError, ConnectionFault, O2Error, ServerError

if TYPE_CHECKING:
    from .models import AccountState, Id, Order
    from .trading import Receipt, Submission, Verdict

__all__ = [
    "AccountMissing",
    "BatchIncomplete",
    "FaucetRefused",
    "MissingExtra",
    "OnChainRevert",
    "OrderClosed",
    "OutcomeUnknown",
    "SessionExpired",
    "SessionOver",
    "SessionReplaced",
    "SignerFailed",
]


# -- the caller ------------------------------------------------------------------------------------


class MissingExtra(CallerError, ImportError):
    """Signing needs packages that are not installed: ``pip install 'o2trio[trade]'``."""


class AccountMissing(CallerError, LookupError):
    """The owner has no trading account yet; ``O2Client.setup_account`` makes one."""


class SignerFailed(O2Error):
    """A signer raised an error, took too long, or returned no signature of its address.

    Nothing was sent. ``__cause__`` holds the signer's own error, if there was one.
    """


# -- the server ------------------------------------------------------------------------------------


class OnChainRevert(ApiError):
    """The transaction ran on chain and failed as a whole: none of its actions has happened.

    It holds what :exc:`ApiError` holds; `reason` and `receipts` are untouched.

    Attributes:
      enum: the contract's error enumeration, for example ``OrderCreationError``, or None if unknown.
      variant: its variant, for example ``OrderPartiallyFilled``, or None if unknown. One that is newer than
        this library keeps its name, for example ``QuantityMustBeParentOrder``; its `enum` is None.
      revert_code: the code the transaction reverted with, or None.
      signal: the name of that code (``FAILED_REQUIRE``, ``REVERT_WITH_LOG``, ...), or None.
      panic: the reason of a panic of the virtual machine, for example ``NotEnoughBalance``, or None.
      tx_id: the transaction, or None where the exchange did not tell.
    """

    enum: str | None = None
    variant: str | None = None
    revert_code: int | None = None
    signal: str | None = None
    panic: str | None = None
    tx_id: str | None = None


class FaucetRefused(ServerError):
    """The faucet gave nothing, mostly because this target had something less than a minute ago.

    Attributes:
      retry_after: seconds it asked to wait, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class SessionOver(ServerError):
    """The session can sign nothing more."""


class SessionExpired(SessionOver):
    """The session has reached its expiry, and no owner's signer was at hand to renew it."""


class SessionReplaced(SessionOver):
    """Another session was created for this account, perhaps by another process; ours is dead.

    Attributes:
      account: the account as the exchange tells it now, with the other session; None if it has none.
    """

    def __init__(self, message: str, account: AccountState | None = None) -> None:
        self.account = account
        super().__init__(message)


class OrderClosed(ServerError):
    """An order was closed before it was filled.

    Attributes:
      order: its last state.
    """

    def __init__(self, message: str, order: Order) -> None:
        self.order = order
        super().__init__(message)


class BatchIncomplete(ServerError):
    """A batch that had to be split stopped on the way; ``__cause__`` tells why.

    Attributes:
      receipts: of the transactions that succeeded, in order.
      unsent: how many of the last actions were not sent at all.
    """

    def __init__(self, message: str, receipts: Sequence[Receipt], unsent: int) -> None:
        self.receipts = tuple(receipts)
        self.unsent = unsent
        super().__init__(message)


# -- the connection --------------------------------------------------------------------------------


class OutcomeUnknown(ConnectionFault):
    """A signed submission left, but no answer tells whether it has run. It is never sent again.

    ``await session.resolve(outcome)`` finds out. ``__cause__`` holds what went wrong.

    Attributes:
      submission: what was sent, and what is needed to find out what became of it.
      confirmed: whether the exchange has said that it ran; only the orders that it placed are not known.
      named: the orders that it named then, as far as they could be read.
      order_ids: the ids of those that could not be read otherwise.
      verdict: what became of it, and the orders that it placed, once that was found out; else None.
    """

    def __init__(self, message: str, submission: Submission) -> None:
        self.submission = submission
        self.confirmed = False
        self.named: tuple[Order, ...] = ()
        self.order_ids: tuple[Id, ...] = ()
        self.verdict: tuple[Verdict, tuple[Order, ...]] | None = None
        super().__init__(message)
