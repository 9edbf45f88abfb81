"""The audit tells everything that was ever true, and the lagging REST reads that it feeds are exact."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
import trio
from trio.testing import MockClock

from o2trio.models import OrderType, Side
from o2trio.simulator import AuditOverflow, Exchange, Flavor, Revert, default_listings, open_simulator
from o2trio.simulator._audit import MAX_STALE_SECONDS
from o2trio.simulator._flow import Flow
from o2trio.simulator._markets import make_id
from o2trio.simulator._rest import Rest

Dial = Callable[..., Awaitable[Any]]
PAIR = "fFUEL/fUSDC"
MAKER, TAKER = make_id("account", "maker 0"), make_id("account", "taker 0")
SECOND = 1_000_000_000


async def test_the_audit_is_what_subscribers_were_told(autojump_clock: MockClock, dial: Dial) -> None:
    async with open_simulator(seed=3, flow=False) as sim:
        market = sim.market(PAIR)
        asset = market.base.asset
        socket, told = await dial(sim), len(sim.audit.orders(MAKER))
        before = len(sim.audit.balances(MAKER, asset)), len(sim.audit.nonces(MAKER))
        await socket.send({"action": "subscribe_trades", "market_id": market.market_id})
        for kind in ("orders", "balances", "nonce"):
            await socket.send({"action": f"subscribe_{kind}", "identities": [{"ContractId": MAKER}]})
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(300):
            await trio.sleep(0.1)
            sim.run_flow(1)
        sim.connections[0].send_raw('{"action": "end"}')
        frames: dict[str, list[Any]] = {}
        while (frame := await socket.receive())["action"] != "end":
            frames.setdefault(frame["action"], []).append(frame)

        trades = [
            (trade["trade_id"], frame["seen_timestamp"])
            for frame in frames["subscribe_trades"]
            for trade in frame["trades"]
        ]
        assert trades == [
            (record.value.trade_id, str(record.seen_timestamp)) for record in sim.audit.trades(market)
        ]
        assert len(trades) > 5
        orders = [
            (order["order_id"], order["quantity_fill"], order["close"], order["cancel"], len(order["fills"]))
            for frame in frames["subscribe_orders"]
            for order in frame["orders"]
        ]
        assert orders == [
            (order.order_id, str(order.quantity_fill), order.close, order.cancel, len(order.fills))
            for _, _, order in sim.audit.orders(MAKER)[told:]
        ]
        assert {state[2] for state in orders} == {False, True}
        balances = [
            (entry["total_locked"], entry["total_unlocked"], frame["seen_timestamp"])
            for frame in frames["subscribe_balances"]
            for entry in frame["balance"]
            if entry["asset_id"] == asset
        ]
        assert balances == [
            (str(balance.total_locked), str(balance.total_unlocked), str(seen))
            for _, seen, balance in sim.audit.balances(MAKER, asset)[before[0] :]
        ]
        nonces = [frame["nonce"] for frame in frames["subscribe_nonce"]]
        assert nonces == [str(record.value) for record in sim.audit.nonces(MAKER)[before[1] :]]
        of_market = sim.audit.orders(MAKER, market)
        assert 0 < len(of_market) < len(sim.audit.orders(MAKER))
        assert {record.value.market_id for record in of_market} == {market.market_id}


async def test_states_are_kept_as_they_were(autojump_clock: MockClock) -> None:
    async with open_simulator(flow=False) as sim:
        account = sim.create_account()
        order = sim.place(account, PAIR, "buy", price="0.0100", quantity="1000", order_type="Spot")
        await trio.sleep(2)
        sim.cancel(account, order)
        with pytest.raises(Revert):
            sim.cancel(account, order)
        first, second = sim.audit.orders(account)
        assert (first.value.close, second.value.close, second.value.cancel) == (False, True, True)
        assert second.seen_timestamp - first.seen_timestamp == 2 * SECOND
        assert second.height > first.height
        assert [record.value for record in sim.audit.nonces(account)] == [1, 2, 3]
        held = [
            record.value.total_locked for record in sim.audit.balances(account, sim.market(PAIR).quote.asset)
        ]
        assert held == [0, 10_000_000, 0]
        nobody = make_id("nobody")
        assert not sim.audit.nonces(nobody)
        assert not sim.audit.orders(nobody)
        assert not sim.audit.trades(nobody)


async def test_the_audit_says_when_it_forgot(autojump_clock: MockClock) -> None:
    async with open_simulator(flow=False) as sim:
        sim.audit.limit = sim.audit.records + 50
        while sim.audit.records <= sim.audit.limit:
            assert sim.audit.trades(sim.market(PAIR)) is not None
            sim.run_flow(1)
        assert not sim.audit.is_complete
        sim.audit.limit *= 2  # what is gone stays gone
        asks: list[Callable[[], object]] = [
            lambda: sim.audit.trades(sim.market(PAIR)),
            lambda: sim.audit.orders(MAKER),
            lambda: sim.audit.balances(MAKER, sim.market(PAIR).base.asset),
            lambda: sim.audit.nonces(MAKER),
        ]
        for ask in asks:
            with pytest.raises(AuditOverflow, match="records were made, but only"):
                ask()


def test_forgetting_bounds_what_is_held() -> None:
    now = [1_790_000_000 * SECOND]
    exchange = Exchange(default_listings(), lambda: now[0])
    flow = Flow(exchange, default_listings(), rate=1.0, seed=1)
    exchange.audit.limit = 2000
    for _ in range(4000):
        now[0] += SECOND
        flow.step()
        exchange.seal()
    assert exchange.audit.records > 10_000
    assert exchange.audit._held <= 2000
    assert len(exchange.audit._states) < 1200


# -- lagging reads ---------------------------------------------------------------------------------


def _targets(exchange: Exchange) -> list[str]:
    market = exchange.markets.markets[0]
    where: dict[str, object] = {"market_id": market.market_id}
    whose = {**where, "contract": MAKER}
    paths: list[tuple[str, dict[str, object]]] = [
        ("/v1/trades", {**where, "direction": "desc", "count": 50}),
        ("/v1/trades", {**where, "direction": "asc", "count": 50}),
        ("/v1/trades_by_account", {**whose, "direction": "desc", "count": 50}),
        ("/v1/orders", {**whose, "direction": "desc", "count": 200}),
        ("/v1/orders", {**whose, "direction": "asc", "count": 200, "is_open": "true"}),
        ("/v1/orders/active", whose),
        ("/v1/accounts", {"trade_account_id": MAKER}),
        ("/v1/accounts", {"owner": make_id("owner", "maker 0")}),
        ("/v1/accounts", {"trade_account_id": make_id("account", "late")}),
        ("/v1/balance", {"asset_id": market.quote.asset, "contract": MAKER}),
        ("/v1/balance", {"asset_id": market.quote.asset, "contract": make_id("account", "late")}),
        ("/v1/depth", {**where, "precision": 10}),
        ("/v1/depth", {**where, "precision": 1000}),
        ("/v1/markets/ticker", where),
        ("/v1/markets/summary", {}),
        ("/v1/aggregated/orderbook", {"market_pair": "fFUEL_fUSDC"}),
        ("/v1/aggregated/trades", {"market_pair": "fFUEL_fUSDC"}),
    ]
    return [f"{path}?{urlencode(query)}" for path, query in paths]


@pytest.mark.parametrize("limit", [2_000_000, 100])
def test_a_lagging_read_is_what_was_read_then(limit: int) -> None:
    """The oracle is the same request, asked at that time without a lag."""
    random, now = Random(5), [1_790_000_000 * SECOND]
    exchange = Exchange(default_listings()[:1], lambda: now[0])
    exchange.audit.limit = limit
    flow = Flow(exchange, default_listings()[:1], rate=1.0, seed=5)
    flow.open_books()
    exchange.seal()
    rest, then = Rest(exchange, Flavor()), dict[int, list[bytes]]()
    targets = _targets(exchange)
    for step in range(400):
        now[0] += random.randint(1, 200_000_000)
        then[now[0]] = [rest.respond("GET", target).body for target in targets]
        if step == 330:
            exchange.create_account("late", {exchange.markets.markets[0].quote.asset: 5})
        # A block of several events, and more than one block at a moment.
        for _ in range(random.randint(0, 2)):
            for _ in range(random.randint(1, 3)):
                flow.step()
            exchange.seal()
        then[now[0]] = [rest.respond("GET", target).body for target in targets]
    oldest = now[0] - int(MAX_STALE_SECONDS * SECOND) + 1
    kept = [moment for moment in then if oldest <= moment < now[0]]
    assert len(kept) > 250
    for moment in [kept[0], *random.sample(kept, 60)]:
        lag = now[0] - moment
        assert [rest.respond("GET", target, lag=lag).body for target in targets] == then[moment]
    assert exchange.audit.is_complete is (limit > 100)


def test_a_lagging_read_does_not_show_an_unfinished_block(exchange: Exchange) -> None:
    market = exchange.markets.markets[0]
    account = exchange.create_account("one", {market.quote.asset: 10**18})
    order = exchange.place(
        account, market.market_id, Side.BUY, price=24_000, quantity=10**12, order_type=OrderType("Spot")
    )
    rest, query = Rest(exchange, Flavor()), {"market_id": market.market_id}
    depth = f"/v1/depth?{urlencode({**query, 'precision': 10})}"
    one = f"/v1/order?{urlencode({**query, 'order_id': order.order_id})}"
    assert json.loads(rest.respond("GET", depth).body)["orders"]["buys"] != []
    assert json.loads(rest.respond("GET", depth, lag=1).body)["orders"]["buys"] == []
    assert [rest.respond("GET", one, lag=lag).status for lag in (0, 1)] == [200, 404]


async def test_stale_reads_over_the_wire(
    autojump_clock: MockClock, get: Callable[..., Awaitable[Any]]
) -> None:
    async with open_simulator(flow=False) as sim:
        account = sim.create_account()
        await trio.sleep(10)
        sim.place(account, PAIR, "buy", price="0.0100", quantity="1000", order_type="Spot")
        target = f"/v1/accounts?trade_account_id={account.trade_account_id}"
        sim.rest.stale(1500)
        assert json.loads((await get(sim, target)).body)["trade_account"]["nonce"] == "0"
        sim.rest.stale(0, path="/v1/accounts")
        assert json.loads((await get(sim, target)).body)["trade_account"]["nonce"] == "1"
        sim.rest.stale(1500, path="/v1/accounts")
        await trio.sleep(1.499)
        assert json.loads((await get(sim, target)).body)["trade_account"]["nonce"] == "0"
        await trio.sleep(0.001)
        assert json.loads((await get(sim, target)).body)["trade_account"]["nonce"] == "1"
