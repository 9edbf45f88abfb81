"""The trading half of the public client: names become markets and accounts.

Everything else is done in the package ``trading``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

import trio

from ._errors import InvalidRequest
from ._names import Account, check_market, identity_of, owner_of
from ._streaming import Streaming
from ._trading_errors import AccountMissing, SessionReplaced
from .models import AccountState, Amount, Asset, Identity, Market, RegisteredSession
from .trading import AccountSetup, FuelWallet, Receipt, Session, Signer, SignerKind, Withdrawal
from .trading._desk import Desk
from .trading._lifecycle import setup_account, upgrade_account, withdraw
from .trading._opening import Opening, check_registered, check_spot, markets_of
from .trading._running import open_session
from .trading._tracks import check_lane

__all__ = ["MarketNames", "Trading"]

_LIFE = timedelta(days=30)
"""How long a session lives if nobody says; the official clients choose the same."""

_END_OF_TIME = 253_402_300_800
"""Seconds since 1970 of the year 10000, which no ``datetime`` reaches."""

MarketNames = str | Market | Iterable[str | Market]
"""One market or several."""


class Trading(Streaming):
    """Everything that moves money: accounts, sessions, withdrawals.

    An `owner` is a :class:`Signer`: a :class:`FuelWallet`, an :class:`EvmWallet`, or one of your own. It
    needs the extra ``trade``.
    """

    async def setup_account(self, owner: Signer | Identity | str, *, faucet: bool = True) -> AccountSetup:
        """Make sure that `owner` has a trading account; it may be called again and again.

        Where the network has a faucet, a new or empty account gets test coins. That this fails, or that a
        market still has a whitelist and refuses, is not fatal: it stands in the notes of the result.

        Args:
          owner: a signer, or its address.
          faucet: ask the faucet, if there is one.

        Raises:
          ApiError, RequestFailed, DecodeError: there is no account, and none could be made.
        """
        identity = Identity.address(owner.address) if isinstance(owner, Signer) else owner_of(owner)
        rest, runtime = self._rest(), self._runtime
        markets = await runtime.markets()
        return await setup_account(rest, runtime.config, runtime.options, markets, identity, faucet=faucet)

    async def upgrade_account(self, owner: Signer) -> bool:
        """Bring the account's contract up to date, which parallel nonces may need.

        Its session is over then: open a new one.

        Returns:
          whether there was anything to do.

        Raises:
          AccountMissing: the owner has no account.
          OutcomeUnknown: nobody knows; simply call it again.
          OnChainRevert, ApiError, RequestFailed, SignerFailed: it was not upgraded.
        """
        desk, _ = await self._owned(owner)
        return await upgrade_account(desk, owner, await self._runtime.markets())

    async def withdraw(
        self,
        owner: Signer,
        asset: str | Asset,
        *,
        amount: Amount,
        to: str | Identity | None = None,
        lane: int | None = None,
    ) -> Receipt:
        """Move money from the owner's trading account to a wallet.

        Only what the account contract itself holds can leave: settle first what lies in order books.

        Args:
          owner: signs it.
          asset: a symbol such as ``"fUSDC"`` (any letter case), an asset id or an :class:`Asset`.
          amount: text or Decimal in whole units, or :class:`Raw` in chain units.
          to: a wallet's address (32 bytes, or the 20 bytes of an Ethereum address) or an
            :class:`Identity`; by default the owner.
          lane: use a parallel nonce of this lane (0 to 4), for which the owner signs typed data; None uses
            the sequential nonce.

        Raises:
          InvalidRequest: an argument makes no sense.
          AccountMissing: the owner has no account.
          OnChainRevert: for example WithdrawError NotEnoughBalance; nothing moved.
          OutcomeUnknown: nobody knows whether it ran; ``session.resolve`` of the same account finds out.
          ApiError, RequestFailed, SignerFailed: it did not run.
        """
        _check_signer(owner, "owner")
        lane = check_lane(lane)
        target = owner_of(owner.address if to is None else to, "to")
        found = await self._asset(asset)
        raw = found.raw(amount)
        if raw == 0:
            raise InvalidRequest("AmountIsZero: there is nothing to withdraw")
        desk, _ = await self._owned(owner)
        withdrawal = Withdrawal(asset_id=found.asset, amount=raw, to=target)
        return await withdraw(desk, owner, await self._runtime.markets(), withdrawal, lane)

    def session(
        self,
        owner: Signer,
        markets: MarketNames,
        *,
        expiry: timedelta | datetime = _LIFE,
        key: Signer | None = None,
        renew: bool = True,
        lane: int | None = None,
        settle_first: bool = True,
    ) -> AbstractAsyncContextManager[Session]:
        """Open a session: ``async with o2.session(owner, "fFUEL/fUSDC") as session``.

        An account has one session at a time: this one ends any other, also that of another process. Leaving
        it stops its tasks; it stays registered until it expires, and its orders stay where they are.

        Args:
          owner: signs the registration, and each renewal.
          markets: what it may trade; more cannot be added later.
          expiry: how long it lives, or an aware moment.
          key: the session key; by default a new one that nobody else knows. To restore the session later,
            make a :class:`FuelWallet` and keep it.
          renew: renew it before it ends, as long as it is open.
          lane: use parallel nonces of this lane (0 to 4), so that any number of submissions can be under way
            at once; None uses the sequential nonce, which works with every account.
          settle_first: settle a market in the same transaction before its first new order.

        Raises:
          InvalidRequest, UnknownMarket: an argument makes no sense.
          AccountMissing: the owner has no account; see :meth:`setup_account`.
          OnChainRevert, ApiError, RequestFailed, SignerFailed: it was not registered.
          OutcomeUnknown: nobody knows, in spite of several attempts.
        """
        _check_signer(owner, "owner")
        key = FuelWallet.generate() if key is None else key
        _check_signer(key, "key", SignerKind.FUEL)
        lane = check_lane(lane)
        names = _market_list(markets)
        life = _life(expiry, self._runtime.config.now())

        @asynccontextmanager
        async def opened() -> AsyncGenerator[Session]:
            desk, account = await self._owned(owner)
            listed = await self._runtime.markets()
            for name in names:
                if name not in listed:
                    listed = await self._runtime.markets(refresh=True)
            opening = Opening(
                desk=desk,
                account=account,
                owner=owner.address,
                owner_signer=owner,
                key=key,
                markets=tuple(dict.fromkeys(check_spot(listed.find(name)) for name in names)),
                listed=listed,
                life=life,
                lane=lane,
                renew=renew,
                settle_first=settle_first,
                stream_orders=partial(self.stream_orders, account, seed=True),
                stream_nonce=partial(self.stream_nonce, account),
            )
            async with open_session(opening) as session:
                yield session

        return opened()

    def restore_session(
        self,
        account: Account,
        key: Signer,
        *,
        owner: Signer | None = None,
        markets: MarketNames | None = None,
        lane: int | None = None,
        settle_first: bool = True,
    ) -> AbstractAsyncContextManager[Session]:
        """Open the session that was registered with `key` before, perhaps by another run of the program.

        Its markets and its expiry are what the exchange has registered. Where the record of them cannot be
        read, `markets` and 30 days are assumed; the exchange itself refuses what is beyond.

        Args:
          account: the trading account.
          key: the session key.
          owner: renews it before it ends, if given, for 30 days each time.
          markets: what it was opened for. It matters only where the exchange's record cannot be read; if it
            is not given then, every market is assumed.
          lane, settle_first: as for :meth:`session`.

        Raises:
          AccountMissing: there is no such account.
          SessionReplaced: another session is registered by now, or none.
          SessionExpired: it has ended.
          ApiError, RequestFailed, DecodeError: the account could not be read.
        """
        identity = identity_of(account)
        _check_signer(key, "key", SignerKind.FUEL)
        if owner is not None:
            _check_signer(owner, "owner")
        lane = check_lane(lane)
        names = None if markets is None else _market_list(markets)

        @asynccontextmanager
        async def opened() -> AsyncGenerator[Session]:
            listed = await self._runtime.markets()
            state, session = await self._registered(identity, key)
            assert state.owner is not None
            opening = Opening(
                desk=self._runtime.desk(state.trade_account_id),
                account=state,
                owner=state.owner.id,
                owner_signer=owner,
                key=key,
                markets=markets_of(session, listed, names),
                listed=listed,
                life=_LIFE.total_seconds(),
                expiry=session.expiry,
                lane=lane,
                renew=owner is not None,
                settle_first=settle_first,
                stream_orders=partial(self.stream_orders, state, seed=True),
                stream_nonce=partial(self.stream_nonce, state),
            )
            async with open_session(opening) as restored:
                yield restored

        return opened()

    # -- inside ---------------------------------------------------------------------------------

    async def _registered(self, account: Identity, key: Signer) -> tuple[AccountState, RegisteredSession]:
        """Return an account and its session, which must be that of `key`."""
        last = False
        while True:
            state = await self._rest().account(account.id)
            if state is None or state.owner is None:
                raise AccountMissing(f"the exchange knows no account {account.id} with an owner")
            try:
                return state, check_registered(state, key, self._runtime.config.now(), _LIFE.total_seconds())
            except SessionReplaced:
                if last:
                    raise
            # What was read may be older than the session.
            await trio.sleep(self._runtime.options.indexer_lag)
            last = True

    async def _owned(self, owner: Signer) -> tuple[Desk, AccountState]:
        """Return the desk and the state of the owner's account."""
        _check_signer(owner, "owner")
        identity = Identity.address(owner.address)
        state = await self._rest().account(identity)
        if state is None:
            raise AccountMissing(f"{identity} has no trading account; setup_account() makes one")
        return self._runtime.desk(state.trade_account_id), state


def _check_signer(signer: Signer, what: str, kind: SignerKind | None = None) -> None:
    if not isinstance(signer, Signer):
        raise InvalidRequest(
            f"the {what} must be a Signer, such as a FuelWallet, not {type(signer).__name__}"
        )
    if kind is not None and signer.kind is not kind:
        raise InvalidRequest(f"the {what} must be a {kind} signer, not a {signer.kind} one")


def _market_list(markets: MarketNames) -> list[str]:
    several = list(markets) if isinstance(markets, Iterable) and not isinstance(markets, str) else [markets]
    if not several:
        raise InvalidRequest("a session needs at least one market")
    for market in several:
        check_market(market)
    return [check_spot(market).market_id if isinstance(market, Market) else market for market in several]


def _life(expiry: timedelta | datetime, now: float) -> float:
    """Return how many seconds a session shall live."""
    if isinstance(expiry, timedelta):
        seconds = expiry.total_seconds()
    elif isinstance(expiry, datetime) and expiry.tzinfo is not None:
        seconds = expiry.timestamp() - now
    else:
        raise InvalidRequest(f"expiry must be a timedelta or an aware datetime, not {expiry!r:.60}")
    if not 1 <= seconds < _END_OF_TIME - now:
        raise InvalidRequest(f"the session would live for {seconds:g} seconds")
    return seconds
