"""The same watchers run under trio, in anyio's task groups, and as the exchange's guide has them."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest
import trio
from trio.testing import MockClock

from o2trio import O2Client, Raw, open_o2
from o2trio.simulator import Simulator, open_simulator
from tests.promises._support import ETH, FUEL, DepthWatcher, TradeWatcher, collect, settle, subscribed


async def _watch_in_trio(sim: Simulator, o2: O2Client, depth: DepthWatcher, trades: TradeWatcher) -> None:
    async with trio.open_nursery() as tasks:
        await tasks.start(depth.follow, o2.stream_depth(FUEL))
        await tasks.start(trades.follow, o2.stream_trades(FUEL))
        await trio.sleep(20)
        await settle(sim)
        tasks.cancel_scope.cancel()


async def _watch_in_anyio(sim: Simulator, o2: O2Client, depth: DepthWatcher, trades: TradeWatcher) -> None:
    async with anyio.create_task_group() as tasks:
        await tasks.start(depth.follow, o2.stream_depth(FUEL))
        await tasks.start(trades.follow, o2.stream_trades(FUEL))
        await anyio.sleep(20)
        await settle(sim)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("watch", [_watch_in_trio, _watch_in_anyio])
def test_watchers_work_unchanged_inside_an_anyio_task_group(watch: Any) -> None:
    async def main() -> None:
        depth, trades = DepthWatcher(), TradeWatcher()
        async with open_simulator(seed=41) as sim, open_o2(sim.network) as o2:
            await watch(sim, o2, depth, trades)
            depth.check(sim)
            trades.check(sim)
            assert len(depth.items) > 20
            assert trades.trades[-1] == sim.exchange.trades(sim.market(FUEL).market_id)[-1]
            # anyio's scopes cancel a receive as trio's do.
            with anyio.move_on_after(5) as scope:
                async for _update in o2.stream_orders("0x" + "ab" * 32):
                    pass
            assert scope.cancelled_caught
            await anyio.sleep(1)
            assert subscribed(sim) == []

    anyio.run(main, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


def test_an_error_of_the_body_comes_out_bare_under_anyio_too() -> None:
    async def main() -> None:
        async with open_simulator() as sim:
            with pytest.raises(ValueError, match="mine"):
                async with open_o2(sim.network) as o2, o2.stream_depth(FUEL):
                    raise ValueError("mine")

    anyio.run(main, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


# -- the exchange's own guide --------------------------------------------------------------------------


async def _depth(client: O2Client) -> None:
    async for update in client.stream_depth("fFUEL/fUSDC", precision=10):
        if update.is_snapshot:
            print(f"Snapshot: {len(update.changes.bids)} bids, {len(update.changes.asks)} asks")
        elif update.changes.best_bid:
            print(f"Best bid: {update.changes.best_bid.price}")


async def _fine_depth(client: O2Client) -> None:
    async for update in client.stream_depth("fFUEL/fUSDC", precision=1):
        if update.is_snapshot:
            print(f"Fine snapshot: {len(update.changes.bids)} bids, {len(update.changes.asks)} asks")
        elif update.changes.best_ask:
            print(f"Best ask: {update.changes.best_ask.price}")


async def _orders(client: O2Client, account: Any) -> None:
    async for update in client.stream_orders(account):
        for order in update.orders:
            if order.is_open:
                print(f"Open: {order.side} {order.quantity_fill}/{order.quantity} {order.order_id}")
            elif order.cancel:
                print(f"Cancelled: {order.order_id}")
            else:
                print(f"Filled: {order.order_id}")


async def _trades(client: O2Client) -> None:
    async for update in client.stream_trades("fFUEL/fUSDC"):
        for trade in update.trades:
            print(f"{trade.side}: {trade.quantity} @ {trade.price}")


async def _balances(client: O2Client, account: Any) -> None:
    async for update in client.stream_balances(account):
        for entry in update.balance:
            print(f"Balance: {entry.asset_id} {entry.trading_account_balance}")


async def _nonce(client: O2Client, account: Any) -> None:
    async for update in client.stream_nonce(account):
        print(f"Nonce: {update.contract_id} {update.nonce}")


async def test_the_guides_examples_run_with_only_the_runtime_exchanged(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """All watchers of the guide at once, in a nursery, on one client."""
    async with open_simulator(seed=42) as sim, open_o2(sim.network) as client:
        account = sim.create_account()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_depth, client)
            nursery.start_soon(_fine_depth, client)
            nursery.start_soon(_orders, client, account.trade_account_id)
            nursery.start_soon(_trades, client)
            nursery.start_soon(_balances, client, account.info)
            nursery.start_soon(_nonce, client, account.identity)
            await trio.sleep(5)
            kept = sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
            gone = sim.place(account, FUEL, "buy", price="0.0101", quantity="2000")
            sim.cancel(account, gone)
            best = sim.exchange.book(sim.market(FUEL).market_id).asks[0]
            filled = sim.place(
                account, FUEL, "buy", price=Raw(best.price), quantity=Raw(best.quantity // 2 // 10**9 * 10**9)
            )
            await trio.sleep(5)
            await settle(sim)
            nursery.cancel_scope.cancel()
        trades = sim.exchange.trades(sim.market(FUEL).market_id)
        quote = sim.exchange.balance(account, sim.market(FUEL).quote.asset)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("Snapshot: ") for line in lines) == 1
    assert sum(line.startswith("Fine snapshot: ") for line in lines) == 1
    assert any(re.fullmatch(r"Best ask: \d+", line) for line in lines)
    assert f"Open: buy 0/{kept.quantity} {kept.order_id}" in lines
    assert f"Cancelled: {gone.order_id}" in lines
    assert f"Filled: {filled.order_id}" in lines
    assert f"{trades[-1].side}: {trades[-1].quantity} @ {trades[-1].price}" in lines
    balances = [line for line in lines if line.startswith(f"Balance: {quote.asset_id}")]
    assert balances[-1].endswith(f" {quote.trading_account_balance}")
    assert lines.count(f"Nonce: {account.trade_account_id} {account.nonce}") == 1


async def test_three_ways_to_consume_say_the_same(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=43) as sim, open_o2(sim.network) as o2:
        ways: list[list[Any]] = [[], [], [], []]

        async def bare() -> None:
            async for update in o2.stream_trades(ETH):
                ways[1].append(update)

        async def batches() -> None:
            async for batch in o2.stream_trades(ETH).batches():
                ways[2].extend(batch)

        async with trio.open_nursery() as nursery, o2.stream_trades(ETH) as polled:
            await nursery.start(collect, o2.stream_trades(ETH), ways[0])
            nursery.start_soon(bare)
            nursery.start_soon(batches)
            await trio.sleep(30)
            await settle(sim)
            while polled.statistics().buffered:
                ways[3].append(polled.receive_nowait())
            with pytest.raises(trio.WouldBlock):
                polled.receive_nowait()
            nursery.cancel_scope.cancel()
        assert len(ways[0]) > 10
        assert ways[0] == ways[1] == ways[2] == ways[3]
        # Not only equal: decoded once, and the same object for all.
        assert all(one is other for one, other in zip(ways[0], ways[3], strict=True))
