"""``seed=True``: a stream of an account begins with how things stand."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import InvalidRequest, O2Client, Options, Origin, open_o2
from o2trio.simulator import Account, Simulator, open_simulator

FUEL = "fFUEL/fUSDC"
OPTIONS = Options(jitter=lambda: 1.0, backoff_cap=2.0)


def _place(sim: Simulator, account: Account, count: int = 3) -> set[str]:
    return {sim.place(account, FUEL, "buy", price="0.0010", quantity="2000").order_id for _ in range(count)}


def _all(stream: Any) -> list[Any]:
    return [stream.receive_nowait() for _ in range(stream.statistics().buffered)]


async def _begin(o2: O2Client, accounts: Any) -> list[Any]:
    streams: list[Any] = [
        o2.stream_orders(accounts, seed=True),
        o2.stream_balances(accounts, seed=True),
        o2.stream_nonce(accounts, seed=True),
    ]
    for stream in streams:
        await stream.__aenter__()
    return streams


def _check(sim: Simulator, accounts: list[Account], streams: list[Any], open_orders: set[str]) -> None:
    """Check that the first thing of each stream is the whole state."""
    orders, balances, nonces = [_all(stream) for stream in streams]
    for items in (orders, balances, nonces):
        assert items
        assert {item.origin for item in items} == {Origin.SNAPSHOT}
    assert [order.order_id for item in orders for order in item.orders if not order.is_open] == []
    assert {order.order_id for item in orders for order in item.orders} == open_orders
    assert sum(len(item.orders) for item in orders) == len(open_orders)
    quote = sim.market(FUEL).quote.asset
    told = {(entry.identity, entry.asset_id): entry for item in balances for entry in item.balance}
    for account in accounts:
        real = sim.exchange.balance(account, quote)
        assert told[account.identity, quote].total_unlocked == real.total_unlocked
    assert {item.contract_id: item.nonce for item in nonces} == {
        account.trade_account_id: account.nonce for account in accounts
    }


@pytest.mark.parametrize("stale", [0, 1900])
async def test_the_state_comes_first_for_early_and_late_joiners(
    autojump_clock: MockClock, stale: int
) -> None:
    async with open_simulator(seed=31, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        account = sim.create_account()
        known = _place(sim, account)
        gone = sim.place(account, FUEL, "buy", price="0.0010", quantity="2000")
        await trio.sleep(5)
        # Just before the beginning: a read that is late does not show it yet.
        sim.rest.stale(stale)
        sim.cancel(account, gone)
        known |= _place(sim, account, 1)
        early = await _begin(o2, account.info)
        assert _all(early[0]) == []
        await trio.sleep(10)
        _check(sim, [account], early, known)
        # Live items follow, and a late joiner is told all of it without another read.
        known |= _place(sim, account)
        await trio.sleep(1)
        assert {item.origin for stream in early for item in _all(stream)} == {Origin.LIVE}
        requests = len(sim.rest.requests)
        late = await _begin(o2, account.info)
        _check(sim, [account], late, known)
        assert len(sim.rest.requests) == requests
        assert len(o2.statistics().topics) == 3
        # And a plain one is told nothing but what happens.
        async with o2.stream_orders(account.info) as plain:
            await trio.sleep(1)
            assert _all(plain) == []
        for stream in (*early, *late):
            stream.close()
        await trio.sleep(1)
        assert o2.statistics().topics == ()


async def test_ten_accounts_and_one_that_has_nothing(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=32, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        accounts = [sim.create_account() for _ in range(11)]
        known: set[str] = set()
        for account in accounts[:10]:
            known |= _place(sim, account)
        with pytest.raises(InvalidRequest, match="at most 10 accounts"):
            await _begin(o2, [account.info for account in accounts])
        streams = await _begin(o2, [account.info for account in accounts[:10]])
        await trio.sleep(40)
        _check(sim, accounts[:10], streams, known)
        # Who has no order is told so.
        async with o2.stream_orders(accounts[10].info, seed=True) as empty:
            await trio.sleep(30)
            (item,) = _all(empty)
            assert (item.origin, item.orders) == (Origin.SNAPSHOT, ())
        for stream in streams:
            stream.close()


async def test_a_seed_that_cannot_be_read_is_a_gap_and_the_next_repair_may_bring_it(
    autojump_clock: MockClock,
) -> None:
    async with open_simulator(seed=33, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        account = sim.create_account()
        known = _place(sim, account)
        await o2.get_markets()
        sim.rest.go_down()
        streams = await _begin(o2, account.info)
        await trio.sleep(30)
        for stream in streams:
            (mark,) = _all(stream)
            assert (mark.origin, mark.epoch) == (Origin.GAP, 0)
            assert "no answer" in mark.gap.reason
        # Live items go on; a break heals what is missing.
        sim.rest.come_back()
        sim.drop_connections()
        await trio.sleep(20)
        orders = _all(streams[0])
        assert {order.order_id for item in orders for order in item.orders} == known
        assert {item.origin for item in orders} == {Origin.BACKFILL}
        late = await _begin(o2, account.info)
        await trio.sleep(10)
        _check(sim, [account], late, known)
        for stream in (*streams, *late):
            stream.close()


async def test_a_break_while_the_seed_is_read(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=34, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        account = sim.create_account()
        known = _place(sim, account)
        sim.rest.slow(1)
        streams = await _begin(o2, account.info)
        await trio.sleep(3)
        sim.drop_connections()
        known |= _place(sim, account)
        await trio.sleep(60)
        _check(sim, [account], streams, known)
        for stream in streams:
            stream.close()


async def test_leaving_before_the_seed_is_there(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=35, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        account = sim.create_account()
        sim.rest.slow(5)
        streams = await _begin(o2, account.info)
        await trio.sleep(3)
        for stream in streams:
            stream.close()
        await trio.sleep(1)
        assert o2.statistics().topics == ()
        streams = await _begin(o2, account.info)
    # The client was closed meanwhile: the streams end, and nothing hangs.
    for stream in streams:
        with pytest.raises(trio.EndOfChannel):
            await stream.receive()


async def test_a_seeded_consumer_that_pauses_is_not_lost(autojump_clock: MockClock) -> None:
    options = attrs.evolve(OPTIONS, buffer_size=8)
    async with open_simulator(seed=36, flow=False) as sim, open_o2(sim.network, options=options) as o2:
        account = sim.create_account()
        known = _place(sim, account)
        async with o2.stream_orders(account.info, seed=True) as orders:
            await trio.sleep(10)
            for _ in range(40):
                known |= _place(sim, account, 1)
                await trio.sleep(0.1)
            latest = {order.order_id: order for item in _all(orders) for order in item.orders}
            assert latest.keys() == known
