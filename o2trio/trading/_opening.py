"""What a session is made of, and its registration with the exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import cast

import attrs
import trio

from .._errors import InvalidRequest
from .._trading_errors import OutcomeUnknown, SessionExpired, SessionReplaced
from ..models import (
    AccountState,
    Id,
    Identity,
    Market,
    Markets,
    NonceUpdate,
    OrderUpdate,
    RegisteredSession,
    normalize_id,
)
from ..streams import Subscription
from ._desk import Desk
from ._drafts import chain_id_of, session_draft
from ._signers import Signer
from ._submission import Verdict

__all__ = ["Opening", "check_registered", "check_spot", "markets_of"]

_LONGEST_EXPIRY = 20
"""Digits of an expiry that are looked at."""

_END_OF_TIME = 253_402_300_800
"""Seconds since 1970 of the year 10000, which no ``datetime`` reaches."""

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


def check_registered(state: AccountState, key: Signer, now: float, life: float) -> RegisteredSession:
    """Return the session that is registered for an account; it must be that of `key`.

    If the exchange's record of it cannot be read as a whole, the readable part counts. Without an expiry the
    session lives for `life`; without markets it may trade all. The exchange refuses what is not allowed.

    Raises:
      SessionReplaced: another session is registered, or none.
      SessionExpired: it has ended.
    """
    known = state.session
    if known is None and "session" in state.unread:
        known = _as_far_as_read(state.unread["session"], key, int(now + life))
    if known is None or known.session_id.id != key.address:
        what = "none" if known is None else f"{known.session_id}, which is not this key's"
        raise SessionReplaced(f"the session registered for this account is {what}", state)
    if known.expiry <= now:
        raise SessionExpired("the session has expired; open a new one")
    return known


def _as_far_as_read(raw: object, key: Signer, expiry: int) -> RegisteredSession:
    """Return what can be read of a session's record; the rest is taken to be as it should be."""
    record = _object(raw)
    named, listed, said = (record.get(name) for name in ("session_id", "contract_ids", "expiry"))
    session_ids = _ids((named, *_object(named).values()))
    if isinstance(said, str) and said.isascii() and said.isdecimal():
        said = int(said[:_LONGEST_EXPIRY])
    if isinstance(said, int) and not isinstance(said, bool) and 0 < said < _END_OF_TIME:
        expiry = said
    return RegisteredSession(
        session_id=Identity.address(session_ids[0] if session_ids else key.address),
        expiry=expiry,
        contract_ids=_ids(cast("Sequence[object]", listed) if isinstance(listed, (list, tuple)) else ()),
    )


def _object(value: object) -> Mapping[object, object]:
    return cast("Mapping[object, object]", value) if isinstance(value, Mapping) else {}


def _ids(values: Iterable[object]) -> tuple[Id, ...]:
    """Return those of some values that are ids."""
    found: list[Id] = []
    for value in values:
        with suppress(ValueError):
            found.append(normalize_id(value if isinstance(value, str) else ""))
    return tuple(found)


def check_spot(market: Market) -> Market:
    """Return a market that a session can trade.

    Raises:
      InvalidRequest: it is one of the Turbo venue, which shares its id with a spot market.
    """
    if market.turbo:
        raise InvalidRequest(
            f"trading the Turbo venue is not supported: {market.pair} {market.market_id} is a market of it;"
            " name the pair, or pass the spot market"
        )
    return market


def markets_of(
    session: RegisteredSession, listed: Markets, names: Sequence[str] | None = None
) -> tuple[Market, ...]:
    """Return the markets that a session may trade; `names` counts where its record does not say.

    Raises:
      UnknownMarket: the exchange does not list a market of `names`.
      InvalidRequest: the exchange lists none of them.
    """
    may = session.contract_ids
    if not may and names is not None:
        return tuple(dict.fromkeys(check_spot(listed.find(name)) for name in names))
    spot = (market for market in listed if not market.turbo)
    markets = tuple(market for market in spot if not may or market.contract_id in may)
    if not markets:
        raise InvalidRequest("the exchange lists none of the markets that this session may trade")
    return markets
