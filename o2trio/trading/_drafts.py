"""The submissions that there are, each without nonce and signature. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import InvalidRequest
from ..models import Id, Identity, Market, Markets
from ._actions import Action, actions_json
from ._bytes import (
    actions_bytes,
    call_of,
    parallel_actions_bytes,
    set_session_bytes,
    upgrade_bytes,
    withdraw_bytes,
)
from ._signers import Signer, SigningRequest, personal_request, session_request
from ._submission import Draft, Withdrawal
from ._tracks import Track
from ._typed import withdraw_typed

__all__ = ["actions_draft", "chain_id_of", "session_draft", "upgrade_draft", "withdraw_draft"]


def session_draft(
    owner: Signer, account: Id, session_id: Identity, markets: Sequence[Market], expiry: int, chain_id: int
) -> Draft:
    """Draft the registration of a session key.

    Args:
      owner: signs it.
      account: the trading account.
      session_id: the key's address.
      markets: what the session may trade.
      expiry: seconds since 1970.
      chain_id: of the exchange.
    """
    contract_ids = [market.contract_id for market in markets]

    def request(nonce: int) -> SigningRequest:
        message = set_session_bytes(nonce, chain_id, session_id.id, expiry, contract_ids)
        return personal_request(owner.kind, message, "set_session")

    return Draft(
        purpose="set_session",
        method="PUT",
        path="/v1/session",
        owner=owner.address,
        signer=owner,
        request=request,
        body={
            "contract_id": account,
            "session_id": _identity(session_id),
            "contract_ids": contract_ids,
            "expiry": str(expiry),
        },
    )


def actions_draft(
    key: Signer, owner: Id, account: Id, actions: Sequence[Action], markets: Markets, track: Track
) -> Draft:
    """Draft session actions.

    Args:
      key: the session key, which signs them.
      owner: whom the exchange counts the request for.
      account: the trading account.
      actions: what to do, at most five.
      markets: of the exchange.
      track: which kind of nonce the bytes will hold.
    """
    registry = markets.accounts_registry_id
    calls = [call_of(action, registry) for action in actions]
    encode = parallel_actions_bytes if track is Track.PARALLEL else actions_bytes

    def request(nonce: int) -> SigningRequest:
        return session_request(encode(nonce, calls))

    session_id = Identity.address(key.address)
    return Draft(
        purpose="session actions",
        method="POST",
        path="/v1/session/actions",
        owner=owner,
        signer=key,
        request=request,
        body={
            "actions": actions_json(actions),
            "trade_account_id": account,
            "session_id": _identity(session_id),
            "collect_orders": True,
        },
        session_id=session_id,
        actions=tuple(actions),
    )


def withdraw_draft(owner: Signer, account: Id, withdrawal: Withdrawal, chain_id: int, track: Track) -> Draft:
    """Draft a withdrawal; on the parallel track the owner signs typed data."""
    to, amount, asset_id = withdrawal.to, withdrawal.amount, withdrawal.asset_id

    def request(nonce: int) -> SigningRequest:
        if track is Track.PARALLEL:
            return withdraw_typed(owner.kind, chain_id, account, nonce, to, amount, asset_id)
        return personal_request(owner.kind, withdraw_bytes(nonce, chain_id, to, amount, asset_id), "withdraw")

    return Draft(
        purpose="withdraw",
        method="POST",
        path="/v1/accounts/withdraw",
        owner=owner.address,
        signer=owner,
        request=request,
        body={
            "trade_account_id": account,
            "to": _identity(to),
            "asset_id": asset_id,
            "amount": str(amount),
        },
        withdrawal=withdrawal,
    )


def upgrade_draft(owner: Signer, account: Id, chain_id: int) -> Draft:
    """Draft the upgrade of an account's contract."""

    def request(nonce: int) -> SigningRequest:
        return personal_request(owner.kind, upgrade_bytes(nonce, chain_id), "upgrade")

    return Draft(
        purpose="upgrade",
        method="POST",
        path="/v1/accounts/upgrade",
        owner=owner.address,
        signer=owner,
        request=request,
        body={"trade_account_id": account},
    )


def chain_id_of(markets: Markets) -> int:
    """Return the chain id that owners sign for.

    Raises:
      InvalidRequest: the exchange does not tell it.
    """
    if markets.chain_id is None:
        raise InvalidRequest("the exchange does not tell its chain id; nothing can be signed without it")
    return markets.chain_id


def _identity(identity: Identity) -> dict[str, str]:
    return {identity.kind.value: identity.id}
