"""What users may call a market, an account or an asset, and what it means; the exchange is not asked."""

from __future__ import annotations

from collections.abc import Iterable

from ._errors import InvalidRequest
from .models import AccountInfo, Asset, Id, Identity, Market, normalize_id

__all__ = ["Account", "assets_of", "check_market", "identity_of", "owner_of", "plain_market_id"]

Account = str | AccountInfo | Identity
"""What names one account: a trade account id, an ``AccountInfo`` or an ``Identity``."""


def check_market(market: str | Market) -> None:
    """Refuse what cannot name a market.

    Raises:
      InvalidRequest: neither text nor a :class:`Market`.
    """
    if not isinstance(market, (str, Market)) or market == "":
        raise InvalidRequest(
            f"a market is a pair such as 'fFUEL/fUSDC', a market id or a Market, not {market!r:.80}"
        )


def plain_market_id(market: str | Market) -> Id | None:
    """Return the market's id if it is plain without asking the exchange."""
    if isinstance(market, Market):
        return market.market_id
    try:
        return normalize_id(market)
    except ValueError:
        return None


def identity_of(account: Account) -> Identity:
    """Return the identity that the exchange knows an account by.

    Raises:
      InvalidRequest: `account` names none.
    """
    if isinstance(account, Identity):
        return account
    if isinstance(account, AccountInfo):
        return account.identity
    try:
        return Identity.contract(account)
    except ValueError as error:
        raise InvalidRequest(f"an account is a trade account id, AccountInfo or Identity: {error}") from None


def owner_of(owner: str | Identity | None, what: str = "owner") -> Identity:
    """Return the identity of an owner, which as text is a wallet's address; `what` is the parameter.

    Raises:
      InvalidRequest: `owner` names none; the message names the parameter.
    """
    if isinstance(owner, Identity):
        return owner
    try:
        return Identity.address("" if owner is None else owner)
    except ValueError as error:
        raise InvalidRequest(f"{what} must be a wallet's address or an Identity: {error}") from None


def assets_of(markets: Iterable[Market]) -> list[Asset]:
    """Return the assets of all markets, each once."""
    both = (asset for market in markets for asset in (market.base, market.quote))
    return list({asset.asset: asset for asset in both}.values())
