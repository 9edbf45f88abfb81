"""What was signed and sent, and what became of it. No I/O, no secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import attrs

from ..models import Id, Identity, Order
from ._actions import Action, CancelOrder, CreateOrder
from ._bytes import ParallelNonce
from ._orders import SessionOrder
from ._signers import Signer, SigningRequest
from ._tracks import Track

__all__ = ["Draft", "Ran", "Receipt", "Resolved", "Submission", "Verdict", "Withdrawal"]


@attrs.frozen(slots=True, kw_only=True)
class Withdrawal:
    """The money a submission should move out of a trading account.

    Attributes:
      asset_id, amount: what, in chain units.
      to: where to.
      total_before: what the account held of the asset in all just before it was sent, chain units.
    """

    asset_id: Id
    amount: int
    to: Identity
    total_before: int = 0


@attrs.frozen(slots=True, kw_only=True)
class Submission:
    """One signed submission: everything but the signature. It holds no secret.

    Attributes:
      number: counts the submissions of this program.
      purpose: ``session actions``, ``withdraw``, ``set_session`` or ``upgrade``.
      account: the trading account.
      track: which kind of nonce it uses.
      nonce: the sequential nonce, or the packed parallel one.
      sent_at: when it was made, on Trio's clock.
      session_id: the session key's address, or None for what the owner signed.
      actions: what it asks for, in order; empty for what the owner signed.
      withdrawal: what it moves out, or None.
      since: for each market with a new order in it, the time (whole seconds since 1970, as the exchange tells
        it) of the newest order known before: none of its own orders is older.
      seen: how many orders of the account had been seen before: none of those is its own.
    """

    number: int
    purpose: str
    account: Id
    track: Track
    nonce: int
    sent_at: float
    session_id: Id | None = None
    actions: tuple[Action, ...] = ()
    withdrawal: Withdrawal | None = None
    since: Mapping[Id, int] = attrs.field(factory=dict[Id, int], hash=False)
    seen: int = 0

    @property
    def creates(self) -> tuple[CreateOrder, ...]:
        """The orders that it places."""
        return tuple(action for action in self.actions if isinstance(action, CreateOrder))

    @property
    def cancels(self) -> tuple[CancelOrder, ...]:
        """The orders that it cancels."""
        return tuple(action for action in self.actions if isinstance(action, CancelOrder))

    def __str__(self) -> str:
        nonce: object = self.nonce
        if self.track is Track.PARALLEL:
            nonce = ParallelNonce.unpack(self.nonce)
        return f"{self.purpose} with {self.track} nonce {nonce} of account {self.account}"


@attrs.frozen(slots=True, kw_only=True)
class Draft:
    """A submission that only lacks nonce and signature.

    Attributes:
      purpose: in one word.
      method, path: of the request.
      owner: whom the exchange counts the request for.
      signer: whose signature it needs.
      request: returns what is to be signed with a nonce; raises :exc:`InvalidRequest` if it cannot be.
      body: everything in the request but nonce and signature.
      session_id, actions, withdrawal: see :class:`Submission`.
    """

    purpose: str
    method: str
    path: str
    owner: Id
    signer: Signer
    request: Callable[[int], SigningRequest]
    body: Mapping[str, object]
    session_id: Identity | None = None
    actions: tuple[Action, ...] = ()
    withdrawal: Withdrawal | None = None


@attrs.frozen(slots=True)
class Ran:
    """A submission that ran.

    Attributes:
      submission: what was sent.
      tx_id: the transaction; None if its answer was lost on the way, but its effect was found.
      orders: what it placed, in the order of its actions; None while that is not known.
      named: the orders that its answer holds, in any order.
      order_ids: the ids of the orders in its answer that could not be read.
    """

    submission: Submission
    tx_id: str | None
    orders: tuple[Order, ...] | None = ()
    named: tuple[Order, ...] = ()
    order_ids: tuple[Id, ...] = ()


@attrs.frozen(slots=True, kw_only=True)
class Receipt:
    """A transaction that ran.

    Attributes:
      tx_id: the transaction; None where its answer was lost on the way, but its orders were found.
      orders: the orders that it placed, in the order of the actions.
      submission: what was sent.
    """

    tx_id: str | None
    orders: tuple[SessionOrder, ...] = ()
    submission: Submission


class Verdict(StrEnum):
    """What became of a submission whose answer was lost."""

    LANDED = "landed"
    """It ran, and everything in it has happened."""
    REVERTED = "reverted"
    """Its nonce is used up, but nothing of it has happened, and nothing ever will."""
    NEVER_RAN = "never ran"
    """It did not run and cannot run any more."""
    UNDECIDED = "undecided"
    """Its nonce is used up, but the exchange shows nothing that would tell its effect from others': so it may
    be with what the owner signs, such as a withdrawal. Look at the balances."""


@attrs.frozen(slots=True, kw_only=True)
class Resolved:
    """The truth about a submission whose answer was lost.

    Attributes:
      verdict: what became of it.
      orders: the orders that it placed, if it landed.
      submission: what was sent.
    """

    verdict: Verdict
    orders: tuple[SessionOrder, ...] = ()
    submission: Submission
