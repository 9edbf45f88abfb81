"""What a session is made of, and its registration with the exchange."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from .._errors import InvalidRequest
from .._trading_errors import OutcomeUnknown, SessionExpired, SessionReplaced
from ..models import AccountState, Id, Identity, Market, Markets, NonceUpdate, OrderUpdate, RegisteredSession
from ..streams import Subscription
from ._desk import Desk
from ._drafts import chain_id_of, session_draft
from ._signers import Signer
from ._submission import Verdict

__all__ = ["Opening", "check_registered", "markets_of"]

_REGISTRATIONS = 3
"""How often a session is registered again while the answers are lost."""


@attrs.frozen(slots=True, kw_only=True)
class Opening:
    """Everything a session is made of.

    Attributes:
      desk: of the account.
      account: as the exchange tells it.
      owner: the owner's address.
      owner_signer: the owner's signer, if it is at hand.
      key: the session key.
      markets: what the session may trade.
      listed: every market of the exchange.
      life: seconds that a session lives.
      renew: whether to renew it before it ends; needs the owner's signer.
      lane: of parallel nonces, or None for the sequential one.
      settle_first: see :meth:`Session.place`.
      stream_orders, stream_nonce: open the account's streams.
      expiry: of the session if it is registered already, seconds since 1970; else None.
    """

    desk: Desk
    account: AccountState
    owner: Id
    owner_signer: Signer | None
    key: Signer
    markets: tuple[Market, ...]
    listed: Markets
    life: float
    lane: int | None
    renew: bool
    settle_first: bool
    stream_orders: Callable[[], Subscription[OrderUpdate]]
    stream_nonce: Callable[[], Subscription[NonceUpdate]]
    expiry: int | None = None

    async def register(self) -> int:
        """Register the session key, anew or for the first time; return the expiry.

        To register the same key twice has the same effect as once, so a lost answer is no obstacle.

        Raises:
          OutcomeUnknown: even so, nobody knows.
          OnChainRevert, ApiError, RequestFailed, SignerFailed: see :meth:`Desk.submit`.
        """
        assert self.owner_signer is not None
        desk, session_id = self.desk, Identity.address(self.key.address)
        expiry = int(desk.now() + self.life)
        chain_id = chain_id_of(self.listed)
        draft = session_draft(self.owner_signer, desk.account, session_id, self.markets, expiry, chain_id)
        attempts = _REGISTRATIONS
        while True:
            attempts -= 1
            try:
                await desk.submit(draft)
            except OutcomeUnknown as outcome:
                # Nobody needs to know more about it than whether the session is there.
                desk.record(outcome.submission, Verdict.UNDECIDED)
                await trio.sleep(desk.options.indexer_lag)
                state = await desk.rest.account(desk.account)
                known = None if state is None else state.session
                if known is None or (known.session_id, known.expiry) != (session_id, expiry):
                    if not attempts:
                        raise
                    continue
            return expiry


def check_registered(state: AccountState, key: Signer, now: float) -> RegisteredSession:
    """Return the session that is registered for an account; it must be that of `key`.

    Raises:
      SessionReplaced: another session is registered, or none.
      SessionExpired: it has ended.
    """
    known = state.session
    if known is None or known.session_id.id != key.address:
        what = "none" if known is None else f"{known.session_id}, which is not this key's"
        raise SessionReplaced(f"the session registered for this account is {what}", state)
    if known.expiry <= now:
        raise SessionExpired("the session has expired; open a new one")
    return known


def markets_of(session: RegisteredSession, listed: Markets) -> tuple[Market, ...]:
    """Return the markets that a session may trade.

    Raises:
      InvalidRequest: the exchange lists none of them.
    """
    markets = tuple(market for market in listed if market.contract_id in session.contract_ids)
    if not markets:
        raise InvalidRequest("the exchange lists none of the markets that this session may trade")
    return markets
