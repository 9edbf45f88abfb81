"""Accounts outside of sessions: made, filled, and emptied again."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    AccountMissing,
    AccountSetup,
    ApiError,
    EvmWallet,
    FuelWallet,
    InvalidRequest,
    OnChainRevert,
    OutcomeUnknown,
    Raw,
    RequestFailed,
    Signer,
    Track,
    Verdict,
)
from o2trio.models import Id, Identity
from o2trio.simulator import Flavor
from o2trio.simulator._faucet import FAUCET_UNITS
from tests.trading._world import ACCOUNTS, FUEL, WITHDRAW, World, open_world

FAUCET, WHITELIST = "/faucet", "/analytics/v1/whitelist"
NEW = FuelWallet.from_key("aa" * 32)
OWNERS = [FuelWallet.from_key("22" * 32), EvmWallet.from_key("33" * 32)]


# -- setup ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", OWNERS, ids=["fuel", "evm"])
async def test_setup(autojump_clock: MockClock, owner: Signer) -> None:
    async with open_world() as world:
        made = await world.o2.setup_account(owner)
        assert (made.created, made.minted, made.notes) == (True, True, ())
        assert made.account.owner == Identity.address(owner.address)
        quote = world.market.quote
        balances = {each.asset_id: each.total for each in await world.o2.get_balances(made.account)}
        assert balances[quote.asset] == FAUCET_UNITS * 10**quote.decimals
        again = await world.o2.setup_account(owner)
        assert (again.created, again.minted, again.notes) == (False, False, ())
        assert again.account.trade_account_id == made.account.trade_account_id
        assert world.statuses(FAUCET) == [200], "it has coins already"
        assert world.statuses(ACCOUNTS, "POST") == [200]


@pytest.mark.parametrize("spelling", ["identity", "text", "bare"])
async def test_setup_by_address(autojump_clock: MockClock, spelling: str) -> None:
    named: dict[str, Any] = {
        "identity": Identity.address(NEW.address),
        "text": NEW.address,
        "bare": NEW.address.removeprefix("0x").upper(),
    }
    async with open_world() as world:
        made = await world.o2.setup_account(named[spelling], faucet=False)
        assert made.account.owner == Identity.address(NEW.address)
        assert not made.minted
        assert not world.statuses(FAUCET)
        with pytest.raises(InvalidRequest, match="wallet's address"):
            await world.o2.setup_account("0x12")


@pytest.mark.parametrize("lag", [0, 1000])
async def test_setup_twice_at_once(autojump_clock: MockClock, lag: int) -> None:
    async with open_world() as world:
        world.sim.rest.stale(lag)
        done: list[AccountSetup] = []

        async def one() -> None:
            done.append(await world.o2.setup_account(NEW))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        first, second = done
        assert first.account.trade_account_id == second.account.trade_account_id
        assert len(world.sim.exchange.accounts) == len({*world.sim.exchange.accounts})
        assert sum(each.minted for each in done) == 1


async def test_faucet_cools_down(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    async with open_world() as world:
        made = await world.o2.setup_account(NEW)
        account = world.sim.exchange.accounts[made.account.trade_account_id]
        for asset in account.assets():
            await world.o2.withdraw(NEW, asset, amount=Raw(account.wallet(asset)))
        with caplog.at_level(logging.WARNING, "o2trio"):
            again = await world.o2.setup_account(NEW)
        assert not again.minted
        (note,) = again.notes
        assert "no test coins" in note
        assert "wait" in note
        assert note in caplog.text
        await trio.sleep(60)
        assert (await world.o2.setup_account(NEW)).minted


async def test_no_faucet(autojump_clock: MockClock) -> None:
    async with open_world(faucet_url=None) as world:
        made = await world.o2.setup_account(NEW)
        assert (made.created, made.minted, made.notes) == (True, False, ())


@pytest.mark.parametrize("broken", ["page", "cut"])
async def test_faucet_is_broken(autojump_clock: MockClock, broken: str) -> None:
    async with open_world() as world:
        if broken == "page":
            world.sim.rest.fail(502, html=True, path=FAUCET)
        else:
            world.sim.rest.cut(path=FAUCET)
        made = await world.o2.setup_account(NEW)
        assert made.created
        assert not made.minted
        assert "no test coins" in made.notes[0]


@pytest.mark.parametrize("whitelist", ["retired", "open"])
async def test_whitelist_is_never_fatal(autojump_clock: MockClock, whitelist: Any) -> None:
    async with open_world(flavor=Flavor(whitelist=whitelist)) as world:
        await _list_with_whitelist(world)
        made = await world.o2.setup_account(NEW)
        assert world.statuses(WHITELIST) == [400 if whitelist == "retired" else 200]
        assert [note.partition(":")[0] for note in made.notes] == ["not whitelisted"] * (
            whitelist == "retired"
        )
        world.sim.rest.fail(500, path=WHITELIST)
        assert (await world.o2.setup_account(NEW)).notes


async def _list_with_whitelist(world: World) -> None:
    listed = await world.o2.get_markets()
    market = attrs.evolve(listed.markets[0], whitelist_id=Id("0x" + "77" * 32))
    world.o2._runtime._markets[False] = attrs.evolve(listed, markets=(market,))


async def test_whitelist_only_where_there_is_one(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        await world.o2.setup_account(NEW)
        assert not world.statuses(WHITELIST)


@pytest.mark.parametrize("before", [True, False], ids=["never ran", "ran"])
async def test_answer_to_the_creation_is_lost(autojump_clock: MockClock, before: bool) -> None:
    async with open_world() as world:
        await world.o2.get_markets()
        _cut_creation(world, before)
        if before:
            with pytest.raises(RequestFailed):
                await world.o2.setup_account(NEW)
            world.sim.rest.heal()
        made = await world.o2.setup_account(NEW)
        assert made.account.owner == Identity.address(NEW.address)


def _cut_creation(world: World, before: bool) -> None:
    """Cut the second request about accounts: the first only looks whether there is one."""
    judge = world.sim.rest.judge

    def by_method(method: str, path: str, owner: str, now: float) -> Any:
        verdict = judge(method, path, owner, now)
        if (method, path) == ("POST", ACCOUNTS):
            verdict.cut, verdict.unheard = True, before
            world.sim.rest.judge = judge  # type: ignore[method-assign]
        return verdict

    world.sim.rest.judge = by_method  # type: ignore[method-assign]


async def test_creation_refused(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        await world.o2.get_markets()
        create = world.desk.rest.create_account

        async def refuse(owner: Identity) -> Any:
            await trio.lowlevel.checkpoint()
            raise ApiError("not in your region", status=403, code=1004)

        world.desk.rest.create_account = refuse  # type: ignore[method-assign]
        with pytest.raises(ApiError, match="region"):
            await world.o2.setup_account(NEW)
        # Somebody else is faster.
        world.sim.exchange.open_account(Identity.address(NEW.address))
        assert (await world.o2.setup_account(NEW)).account.owner == Identity.address(NEW.address)
        world.desk.rest.create_account = create  # type: ignore[method-assign]


# -- withdrawals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", OWNERS, ids=["fuel", "evm"])
@pytest.mark.parametrize("lane", [None, 0, 4], ids=["sequential", "parallel", "other lane"])
async def test_withdraw(autojump_clock: MockClock, owner: Signer, lane: int | None) -> None:
    async with open_world(owner=owner) as world:
        quote, exchange = world.market.quote, world.sim.exchange
        before = world.account.wallet(quote.asset)
        receipt = await world.o2.withdraw(owner, "fusdc", amount="12.345678", lane=lane)
        assert receipt.tx_id
        assert receipt.orders == ()
        assert receipt.submission.track is (Track.SEQUENTIAL if lane is None else Track.PARALLEL)
        assert receipt.submission.withdrawal is not None
        assert receipt.submission.withdrawal.total_before == before
        home = Identity.address(owner.address)
        assert exchange.outside[home, quote.asset] == 12_345_678
        assert world.account.wallet(quote.asset) == before - 12_345_678
        assert (world.account.nonce == 1) == (lane is None)
        await world.o2.withdraw(owner, quote, amount=Raw(5), to=NEW.address, lane=lane)
        await world.o2.withdraw(owner, quote.asset, amount="1", to=Identity.address(NEW.address), lane=lane)
        assert exchange.outside[Identity.address(NEW.address), quote.asset] == 1_000_005


async def test_withdraw_to_another_account(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        other = world.sim.create_account()
        quote = world.market.quote
        before = other.wallet(quote.asset)
        await world.o2.withdraw(world.owner, "fUSDC", amount="7", to=other.identity)
        assert other.wallet(quote.asset) == before + 7_000_000


@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
async def test_withdraw_too_much(autojump_clock: MockClock, lane: int | None) -> None:
    async with open_world() as world:
        with pytest.raises(OnChainRevert) as caught:
            await world.o2.withdraw(world.owner, "fUSDC", amount="1000001", lane=lane)
        assert (caught.value.enum, caught.value.variant) == ("WithdrawError", "NotEnoughBalance")
        assert not world.desk.unresolved
        await world.o2.withdraw(world.owner, "fUSDC", amount="1", lane=lane)
        assert world.statuses(WITHDRAW) == [400, 200]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"owner": "0x12"}, "owner must be a Signer"),
        ({"asset": "fDOGE"}, "fDOGE"),
        ({"amount": 1.5}, "(?i)float"),
        ({"amount": "0.0000001"}, "not a multiple"),
        ({"amount": "0"}, "AmountIsZero"),
        ({"amount": Raw(0)}, "AmountIsZero"),
        ({"amount": "-1"}, "-1"),
        ({"amount": "99999999999999999"}, "amount must be an integer from 0 to 18446744073709551615"),
        ({"to": "0x12"}, "wallet's address"),
        ({"to": "fUSDC"}, "wallet's address"),
        ({"lane": 5}, "lane must be"),
    ],
    ids=range(11),
)
async def test_wrong_withdrawals(autojump_clock: MockClock, how: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"owner": OWNERS[0], "asset": "fUSDC", "amount": "1"}
    async with open_world(owner=OWNERS[0]) as world:
        with pytest.raises(InvalidRequest, match=message):
            await world.o2.withdraw(**right | how)
        assert not world.statuses(WITHDRAW)


async def test_withdraw_without_an_account(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        with pytest.raises(AccountMissing):
            await world.o2.withdraw(NEW, "fUSDC", amount="1")


@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
@pytest.mark.parametrize("before", [True, False], ids=["never ran", "landed"])
async def test_withdrawal_is_lost(autojump_clock: MockClock, before: bool, lane: int | None) -> None:
    async with open_world() as world:
        world.sim.rest.cut(path=WITHDRAW, before=before, count=1)
        with pytest.raises(OutcomeUnknown, match="withdraw") as caught:
            await world.o2.withdraw(world.owner, "fUSDC", amount="5", lane=lane)
        async with world.o2.session(world.owner, FUEL) as session:
            assert session.unresolved == (caught.value,)
            resolved = await session.resolve(caught.value)
        home = Identity.address(world.owner.address), world.market.quote.asset
        moved = world.sim.exchange.outside.get(home, 0)
        if before:
            # The registration of the session may have used its nonce up.
            assert resolved.verdict in {Verdict.NEVER_RAN, Verdict.REVERTED}
            assert moved == 0
        else:
            assert resolved.verdict is Verdict.LANDED
            assert moved == 5_000_000
