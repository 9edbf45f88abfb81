"""REST is ahead of a stream whose frames are late: a repair must not be followed by what is older.

A naive repair delivers what REST says at once, and then the late frames: a closed order opens again, a nonce
goes back.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from o2trio import Options, Origin, open_o2
from o2trio.simulator import Account, Simulator, open_simulator


async def keep_trading(sim: Simulator, account: Account) -> None:
    while True:
        order = sim.place(account, "fFUEL/fUSDC", "buy", price="0.0100", quantity="2000")
        await trio.sleep(0.5)
        sim.cancel(account, order)
        await trio.sleep(0.5)


@pytest.mark.parametrize("is_known", [True, False], ids=["whole", "given up"])
async def test_nothing_goes_back_after_a_repair(autojump_clock: MockClock, is_known: bool) -> None:
    """Nor after one that was given up because more orders may have ended than one page holds."""
    async with open_simulator(flow=False) as sim, open_o2(sim.network) as o2:
        account = sim.create_account()
        for _ in range(0 if is_known else 250):
            sim.cancel(account, sim.place(account, "fFUEL/fUSDC", "buy", price="0.0100", quantity="2000"))
        async with (
            trio.open_nursery() as nursery,
            o2.stream_nonce(account.info) as nonces,
            o2.stream_orders(account.info) as orders,
        ):
            nursery.start_soon(keep_trading, sim, account)
            await trio.sleep(5 if is_known else 1)
            sim.set_latency(4)
            sim.drop_connections()
            await trio.sleep(20)
            nursery.cancel_scope.cancel()
            told = [nonces.receive_nowait().nonce or 0 for _ in range(nonces.statistics().buffered)]
            assert len(told) > 10
            assert told == sorted(told)
            closed: set[str] = set()
            updates = [orders.receive_nowait() for _ in range(orders.statistics().buffered)]
            assert any(update.origin is Origin.GAP for update in updates) is not is_known
            for update in updates:
                for order in update.orders:
                    assert not (order.is_open and order.order_id in closed)
                    if not order.is_open:
                        closed.add(order.order_id)
            assert closed


async def test_on_a_wire_that_is_too_slow_it_is_marked(autojump_clock: MockClock) -> None:
    options = Options(jitter=lambda: 0.5)
    async with open_simulator(flow=False) as sim, open_o2(sim.network, options=options) as o2:
        account = sim.create_account()
        async with o2.stream_orders(account.info) as orders:
            await trio.sleep(10)
            sim.drop_connections()
            await trio.sleep(1)
            sim.set_latency(2 * options.confirm_timeout + 2)
            order = sim.place(account, "fFUEL/fUSDC", "buy", price="0.0100", quantity="2000")
            await trio.sleep(0.5)
            sim.cancel(account, order)
            await trio.sleep(60)
            told = [orders.receive_nowait() for _ in range(orders.statistics().buffered)]
        states = [each.is_open for update in told for each in update.orders]
        assert states == sorted(states, reverse=True)
        assert told[0].origin is Origin.GAP
