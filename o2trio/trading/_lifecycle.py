"""The life of a trading account outside of its sessions: made, filled, upgraded, emptied."""

from __future__ import annotations

import logging

import attrs
import trio

from .._errors import ApiError, O2Error
from .._network import NetworkConfig, Options
from ..models import AccountState, Identity, Markets
from ..rest import RestClient
from ._desk import Desk
from ._drafts import chain_id_of, upgrade_draft, withdraw_draft
from ._signers import Signer
from ._submission import Receipt, Withdrawal
from ._tracks import Track

__all__ = ["AccountSetup", "setup_account", "upgrade_account", "withdraw"]

_log = logging.getLogger("o2trio")

_POLL_SECONDS = 0.25
_CURRENT = "no upgrade available"


@attrs.frozen(slots=True, kw_only=True)
class AccountSetup:
    """An account that is ready for a session.

    Attributes:
      account: the account.
      created: whether it did not exist before.
      minted: whether the faucet has given it test coins now.
      notes: what went wrong on the way without being needed, in words.
    """

    account: AccountState
    created: bool
    minted: bool = False
    notes: tuple[str, ...] = ()


async def setup_account(
    rest: RestClient,
    config: NetworkConfig,
    options: Options,
    markets: Markets,
    owner: Identity,
    *,
    faucet: bool,
) -> AccountSetup:
    """Make sure that `owner` has an account, and that it has test coins where there is a faucet."""
    account = await rest.account(owner)
    created = account is None
    if account is None:
        account = await _create(rest, options, owner)
    notes: list[str] = []
    minted = False
    if faucet and config.faucet_url is not None and (created or await _is_empty(rest, markets, account)):
        try:
            await rest.mint(account.identity)
            minted = True
        except O2Error as error:
            notes.append(f"no test coins: {error}")
    if any(market.whitelist_id is not None for market in markets):
        try:
            await rest.whitelist(account.trade_account_id)
        except O2Error as error:
            notes.append(f"not whitelisted: {error}")
    for note in notes:
        _log.warning("account %s: %s", account.trade_account_id, note)
    return AccountSetup(account=account, created=created, minted=minted, notes=tuple(notes))


async def _create(rest: RestClient, options: Options, owner: Identity) -> AccountState:
    """Create an account, unless it turns out that there is one by now; an owner has one at most."""
    try:
        made = await rest.create_account(owner)
    except O2Error:
        # The answer may be lost, or somebody was faster.
        account = await _wait_for_account(rest, options, owner)
        if account is None:
            raise
        return account
    found = await _wait_for_account(rest, options, owner)
    return found or AccountState(trade_account_id=made.trade_account_id, nonce=made.nonce, owner=owner)


async def _wait_for_account(rest: RestClient, options: Options, owner: Identity) -> AccountState | None:
    deadline = trio.current_time() + options.indexer_lag
    while True:
        late = trio.current_time() >= deadline
        account = await rest.account(owner)
        if account is not None or late:
            return account
        await trio.sleep(_POLL_SECONDS)


async def _is_empty(rest: RestClient, markets: Markets, account: AccountState) -> bool:
    assets = {asset.asset for market in markets for asset in (market.base, market.quote)}
    balances = await rest.balances(account.identity, sorted(assets))
    return not any(balance.total for balance in balances)


async def upgrade_account(desk: Desk, owner: Signer, markets: Markets) -> bool:
    """Bring the account's contract up to date; return whether there was anything to do."""
    try:
        await desk.submit(upgrade_draft(owner, desk.account, chain_id_of(markets)))
    except ApiError as error:
        if _CURRENT in f"{error.message} {error.reason}".casefold():
            return False
        raise
    return True


async def withdraw(
    desk: Desk, owner: Signer, markets: Markets, withdrawal: Withdrawal, lane: int | None
) -> Receipt:
    """Move money out of the account."""
    track = Track.SEQUENTIAL if lane is None else Track.PARALLEL
    draft = withdraw_draft(owner, desk.account, withdrawal, chain_id_of(markets), track)
    ran = await desk.submit(draft, lane)
    return Receipt(tx_id=ran.tx_id, submission=ran.submission)
