"""The promises hold whatever the exchange's spelling, and over TCP and TLS as well as in memory."""

from __future__ import annotations

import ssl
from typing import Any

import attrs
import pytest
import trio
import trustme
from trio.testing import MockClock

from o2trio import O2Client, O2ConnectionLost, Options, Origin, open_o2
from o2trio.simulator import Flavor, Simulator, open_simulator
from tests.promises._support import (
    BTC,
    ETH,
    FUEL,
    QUICK,
    DepthWatcher,
    TradeWatcher,
    collect,
    settle,
    subscribed,
    truth,
)

FLAVORS = {
    "as the server's types": Flavor(),
    "as the SDKs say": Flavor(
        snapshot_key="orders",
        order_flavor=1,
        onchain_timestamp="null",
        seen_timestamp="number",
        nonce="hex",
        trade_parties=False,
        trade_id="number",
        error_action="error",
        acknowledge_unsubscribe=True,
        cursor_inclusive=True,
    ),
    "upper case": Flavor(ids="upper", onchain_timestamp="number", nonce="number", error_action="request"),
    "bare ids": Flavor(ids="bare", seen_timestamp="absent", snapshot_key="orders"),
}

AT_ONCE = Options(backoff_initial=0.05, backoff_cap=0.05, indexer_lag=0.0, reads_per_second=1000)


async def _everything(sim: Simulator, o2: O2Client, *, cut: bool, pace: float = 1.0) -> None:
    """Use every stream, with a cut in the middle, and compare all with the truth."""
    fuel, coarse, eth, trades = DepthWatcher(), DepthWatcher(3), DepthWatcher(), TradeWatcher()
    views: list[Any] = []
    orders: list[Any] = []
    balances: list[Any] = []
    nonces: list[Any] = []
    account = sim.create_account()
    async with trio.open_nursery() as nursery:
        await nursery.start(fuel.follow, o2.stream_depth(FUEL))
        await nursery.start(coarse.follow, o2.stream_depth(FUEL, 3))
        await nursery.start(eth.follow, o2.stream_depth(ETH))
        await nursery.start(trades.follow, o2.stream_trades(FUEL))
        for stream, into in (
            (o2.stream_depth_view(BTC, 1, "100ms"), views),
            (o2.stream_orders(account.info), orders),
            (o2.stream_balances(account.info), balances),
            (o2.stream_nonce(account.info), nonces),
        ):
            await nursery.start(collect, stream, into)
        await trio.sleep(pace)
        sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
        if cut:
            sim.drop_connections()
            await trio.sleep(10 * pace)
        await trio.sleep(pace)
        order = sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
        sim.cancel(account, order)
        await trio.sleep(pace)
        await settle(sim, max(pace, 0.3))
        fuel.check(sim)
        coarse.check(sim)
        eth.check(sim, ETH)
        trades.check(sim)
        assert fuel.epoch == coarse.epoch == eth.epoch == cut
        assert views[-1].changes == truth(sim, BTC)
        assert (orders[-1].orders[0].order_id, orders[-1].orders[0].cancel) == (order.order_id, True)
        assert nonces[-1].nonce == account.nonce
        quote = sim.market(FUEL).quote.asset
        told = {entry.asset_id: entry for update in balances for entry in update.balance}
        assert told[quote] == sim.exchange.balance(account, quote)
        for items in (orders, balances, nonces):
            assert items[-1].epoch == cut
            assert {item.origin for item in items} <= {Origin.LIVE, Origin.BACKFILL}
        assert trades.gaps == 0
        nursery.cancel_scope.cancel()
    await trio.sleep(pace)
    assert subscribed(sim) == []


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_every_stream_is_exact_in_every_spelling_of_the_protocol(
    autojump_clock: MockClock, flavor: str
) -> None:
    async with (
        open_simulator(seed=71, rate=3, flavor=FLAVORS[flavor]) as sim,
        open_o2(sim.network, options=QUICK) as o2,
    ):
        await _everything(sim, o2, cut=True)


async def test_end_to_end_over_tcp() -> None:
    """In real time, briefly."""
    options = AT_ONCE
    with trio.fail_after(60):
        async with (
            open_simulator(seed=72, rate=50, listen=("127.0.0.1", 0)) as sim,
            open_o2(sim.network, options=options) as o2,
        ):
            await _everything(sim, o2, cut=True, pace=0.15)


async def test_end_to_end_over_tls() -> None:
    authority = trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    options = AT_ONCE
    with trio.fail_after(60):
        async with open_simulator(seed=73, rate=50, listen=("127.0.0.1", 0), ssl_context=served) as sim:
            network = attrs.evolve(sim.network, ssl_context=trusting)
            async with open_o2(network, options=options) as o2:
                await _everything(sim, o2, cut=True, pace=0.15)
            # Somebody who does not trust it is told at once, and not for ever.
            async with open_o2(sim.network, options=options) as o2:
                with pytest.raises(O2ConnectionLost, match="not trusted"):
                    async with o2.stream_trades(sim.market(FUEL)):
                        pass
