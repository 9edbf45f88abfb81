"""Hostile messages and restarts of the server: what is sent, and that the real client stays true under it."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.events import CloseConnection, Ping, Pong

from o2trio import O2ConnectionLost, Options, Origin, open_o2
from o2trio.models import OrderType, Side
from o2trio.simulator import Account, Exchange, Simulator, default_listings, open_simulator
from o2trio.simulator._accounts import Access
from o2trio.simulator._frame_faults import DATA_KINDS, OVERSIZE_MAX, REPEATABLE, FrameFaults
from o2trio.simulator._memory import memory_pair
from o2trio.simulator._succession import Successor
from o2trio.simulator._ws_frames import close_frame, fragments, text_frame
from tests.promises._support import ETH, FUEL, DepthWatcher, TradeWatcher
from tests.repair._storm import AccountDiary

Dial = Callable[..., Awaitable[Any]]
Get = Callable[..., Awaitable[Any]]
OpenStream = Callable[..., Awaitable[trio.abc.Stream]]
Fault = Callable[[FrameFaults], None]

TRADE = '{"action":"subscribe_trades","trades":[{"price":"1","quantity":"2"}],"market_id":"0xab"}'


def _options(seed: int = 1) -> Options:
    return Options(jitter=random.Random(seed).random, repair_timeout=60.0, stable_after=1.0)


# -- the plan --------------------------------------------------------------------------------------


def test_everything_is_off_in_the_beginning_and_after_healing() -> None:
    faults = FrameFaults(1)
    assert faults.is_quiet
    faults.corrupt()
    assert not faults.is_quiet
    faults.heal()
    assert faults.is_quiet
    assert faults.disturb(TRADE).data == text_frame(TRADE)
    assert not faults.counts


def test_a_count_runs_out() -> None:
    faults = FrameFaults(1)
    faults.duplicate(count=2)
    sent = [faults.disturb(TRADE).data for _ in range(3)]
    assert sent == [text_frame(TRADE) * 2, text_frame(TRADE) * 2, text_frame(TRADE)]
    assert faults.is_quiet
    assert faults.counts == {"duplicate": 2}


def test_faults_add_up_and_follow_the_seed() -> None:
    def run(seed: int) -> list[bytes]:
        faults = FrameFaults(seed)
        faults.inject("unknown", probability=0.5)
        faults.inject("binary", probability=0.5)
        faults.tear(probability=0.5)
        faults.extend(probability=0.5)
        return [faults.disturb(TRADE).data for _ in range(50)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_errors_and_acknowledgements_are_left_alone() -> None:
    faults = FrameFaults(1)
    faults.corrupt()
    faults.duplicate()
    for text in (
        '{"code":6000,"message":"no"}',
        '{"action":"subscribe_trades","code":6000,"message":"no","market_id":"0xab"}',
        '{"action":"unsubscribe_trades","market_id":"0xab"}',
    ):
        assert faults.disturb(text).data == text_frame(text)


def test_only_the_kinds_asked_for() -> None:
    faults = FrameFaults(1)
    faults.corrupt(kinds={"orders"})
    assert faults.disturb(TRADE).data == text_frame(TRADE)
    assert faults.disturb(TRADE.replace("_trades", "_orders")).data != text_frame(TRADE)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("duplicate", {"kinds": {"depth_update"}}),
        ("tear", {"kinds": set()}),
        ("tear", {"kinds": {"pong"}}),
        ("corrupt", {"count": 0}),
        ("corrupt", {"probability": 0}),
        ("extend", {"probability": 1.5}),
        ("inject", {"what": "love"}),
        ("oversize", {"size": 3}),
        ("oversize", {"size": OVERSIZE_MAX + 1}),
        ("ping", {"burst": 0}),
        ("reorder", {"seconds": -1}),
        ("delay_pong", {"seconds": float("inf")}),
        ("close", {"code": 70_000}),
        ("close", {"code": 1000, "reason": "x" * 124}),
        ("close", {"code": None, "reason": "x"}),
    ],
)
def test_nonsense_is_refused(method: str, arguments: dict[str, Any]) -> None:
    faults = FrameFaults(1)
    with pytest.raises(ValueError, match=r"must|needs"):
        getattr(faults, method)(**arguments)
    assert faults.is_quiet


def test_frames_by_hand() -> None:
    assert text_frame("x" * 200)[:4] == b"\x81\x7e\x00\xc8"
    assert text_frame("x" * 70_000)[:10] == b"\x81\x7f" + (70_000).to_bytes(8, "big")
    assert close_frame(None) == b"\x88\x00"
    assert close_frame(1001, "bye") == b"\x88\x05\x03\xe9bye"
    assert fragments("äb", [0, 1]) == [b"\x01\x00", b"\x00\x01\xc3", b"\x80\x02\xa4b"]


# -- what a client sees ----------------------------------------------------------------------------


async def _follow_trades(sim: Simulator, socket: Any, *pairs: str) -> None:
    for pair in pairs:
        await socket.send({"action": "subscribe_trades", "market_id": sim.market(pair).market_id})
    await wait_all_tasks_blocked()


async def test_torn_messages_with_control_frames_in_between(autojump_clock: MockClock, dial: Dial) -> None:
    async with open_simulator() as sim:
        socket = await dial(sim)
        await _follow_trades(sim, socket, FUEL)
        sim.frames.tear()
        sim.frames.ping(3, probability=0.5)
        told: list[str] = []
        while len(told) < 30:
            told += [trade["trade_id"] for trade in (await socket.receive())["trades"]]
        truth = [record.value.trade_id for record in sim.audit.trades(sim.market(FUEL))]
        assert told == truth[: len(told)]
        assert socket.seen(Pong)
        assert len(socket.seen(Ping)) > sim.frames.counts["ping"] > 0


async def test_neighbours_of_different_streams_are_swapped(autojump_clock: MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        account = sim.create_account()
        socket = await dial(sim)
        who = [{"ContractId": account.trade_account_id}]
        for kind in ("balances", "nonce"):
            await socket.send({"action": f"subscribe_{kind}", "identities": who})
        await wait_all_tasks_blocked()
        sim.frames.reorder(0.25, kinds={"balances", "nonce"}, count=1)
        begin = trio.current_time()
        sim.place(account, FUEL, "buy", "0.0100", "1000")
        actions = [(await socket.receive())["action"] for _ in range(2)]
        assert actions == ["subscribe_nonce", "subscribe_balances"]
        assert trio.current_time() == begin, "a message that was overtaken goes out at once"
        assert sim.frames.counts["reorder"] == 1
        # With nobody to overtake it, it goes out when its time is over.
        sim.frames.reorder(0.25, kinds={"nonce"}, count=1)
        sim.place(account, FUEL, "buy", "0.0100", "1000")
        await socket.receive()
        assert trio.current_time() == begin
        assert (await socket.receive())["nonce"] == "2"
        assert trio.current_time() == pytest.approx(begin + 0.25)
        assert sim.frames.counts["reorder"] == 1


async def test_nothing_overtakes_its_own_stream_nor_an_answer(autojump_clock: MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        account = sim.create_account()
        socket = await dial(sim)
        who = [{"ContractId": account.trade_account_id}]
        await socket.send({"action": "subscribe_nonce", "identities": who})
        await wait_all_tasks_blocked()
        sim.frames.reorder(5)
        begin = trio.current_time()
        for _ in range(3):
            sim.place(account, FUEL, "buy", "0.0100", "1000")
        await socket.send("PING")
        texts = [await socket.text() for _ in range(4)]
        assert texts[3] == "PONG", "a heartbeat is answered behind all that came before"
        assert [f'"nonce":"{number}"' in text for number, text in enumerate(texts[:3], 1)] == [True] * 3
        assert trio.current_time() == begin
        assert not sim.frames.counts["reorder"]


async def test_heartbeats_unanswered_and_late(autojump_clock: MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        begin = trio.current_time()
        sim.frames.drop_pong(count=2)
        await socket.send("PING")
        await socket.send_event(Ping(b"one"))
        await wait_all_tasks_blocked()
        sim.frames.delay_pong(3, count=2)
        await socket.send("PING")
        await socket.send_event(Ping(b"two"))
        await wait_all_tasks_blocked()
        await socket.send({"action": "subscribe_depth", "market_id": "nonsense", "precision": "10"})
        assert (await socket.receive())["code"] == 1002
        assert trio.current_time() == begin, "others do not wait"
        assert await socket.text() == "PONG"
        while not socket.seen(Pong):
            await socket.pump()
        assert trio.current_time() == pytest.approx(begin + 3)
        assert [event.payload for event in socket.seen(Pong)] == [b"two"]
        assert not socket.texts
        assert sim.frames.counts == {"drop_pong": 2, "delay_pong": 2}


@pytest.mark.parametrize(
    ("code", "reason"), [(1001, "bye"), (1006, ""), (None, ""), (4000, "o2"), (1013, "")]
)
async def test_the_server_closes(
    autojump_clock: MockClock, dial: Dial, code: int | None, reason: str
) -> None:
    async with open_simulator(flow=False) as sim:
        socket, other = await dial(sim), await dial(sim)
        sim.frames.close(code, reason)
        sim.send_raw("never")
        assert sim.frames.counts["close"] == 2
        with trio.fail_after(0.1):
            await other.stream.aclose()
        if code == 1006:  # wsproto does not accept what the protocol forbids
            data = await socket.stream.receive_some()
            assert bytes(data) == close_frame(code)
        else:
            while not socket.seen(CloseConnection):
                await socket.pump()
            event = socket.seen(CloseConnection)[0]
            assert (event.code, event.reason or "") == (1005 if code is None else code, reason)
            assert not socket.texts
        begin = trio.current_time()
        await trio.sleep(3)  # the client says nothing more
        assert not sim.connections
        assert trio.current_time() - begin == 3
        assert bytes(await socket.stream.receive_some()) == b""


# -- that the client tells the truth ---------------------------------------------------------------


@attrs.frozen
class Witness:
    """Consumers of every kind on two markets and two accounts, and whether what they know is true."""

    sim: Simulator
    books: dict[tuple[str, int], DepthWatcher]
    views: list[Any]
    trades: dict[str, TradeWatcher]
    accounts: AccountDiary

    def check(self) -> None:
        for (pair, precision), watcher in self.books.items():
            assert watcher.book.changes() == self._book(pair, precision)
        assert self.views[-1].changes == self._book(ETH, 3)
        for pair, trades in self.trades.items():
            self._check_trades(pair, trades)
        self.accounts.check()

    def _check_trades(self, pair: str, watcher: TradeWatcher) -> None:
        """Check that every trade was told once, in order, and none is missing but at a mark."""
        market = self.sim.market(pair)
        truth = [record.value for audit in self.sim.audits for record in audit.trades(market)]
        assert len(watcher.trades) > 20
        place = {trade.trade_id: index for index, trade in enumerate(truth)}
        assert len(place) == len(truth), "no id comes twice, even after a restart"
        latest, is_marked = -1, True
        for item in watcher.items:
            is_marked = is_marked or item.origin is Origin.GAP or bool(item.not_understood)
            for trade in item.trades:
                index = place[trade.trade_id]
                assert trade == truth[index]
                assert index > latest if is_marked else index == latest + 1
                latest, is_marked = index, False
        assert is_marked or latest == len(truth) - 1

    @property
    def gaps(self) -> int:
        return sum(watcher.gaps for watcher in self.trades.values())

    def _book(self, pair: str, precision: int) -> Any:
        return self.sim.exchange.book(self.sim.market(pair).market_id, precision)


def _owners(sim: Simulator) -> list[Account]:
    """Return accounts that trade all the time."""
    named = {account.name: account for account in sim.exchange.accounts.values()}
    return [named["maker 0"], named["taker 1"]]


@asynccontextmanager
async def _witness(sim: Simulator, options: Options | None = None) -> AsyncGenerator[Witness]:
    async with open_o2(sim.network, options=options or _options()) as o2, trio.open_nursery() as nursery:
        books = {key: DepthWatcher(key[1]) for key in ((FUEL, 1), (ETH, 1), (ETH, 6))}
        trades = {pair: TradeWatcher() for pair in (FUEL, ETH)}
        witness = Witness(sim, books, [], trades, AccountDiary(1, 0.0))

        async def view() -> None:
            async for item in o2.stream_depth_view(ETH, 3, "1s"):
                witness.views.append(item)

        for (pair, precision), watcher in books.items():
            await nursery.start(watcher.follow, o2.stream_depth(pair, precision))
        for pair, trade_watcher in trades.items():
            await nursery.start(trade_watcher.follow, o2.stream_trades(pair))
        await nursery.start(witness.accounts.follow, sim, o2, _owners(sim))
        nursery.start_soon(view)
        await trio.sleep(10)
        yield witness
        nursery.cancel_scope.cancel()


def _corrupt(kind: str) -> Fault:
    return lambda frames: frames.corrupt(kinds={kind}, probability=0.4 if kind == "depth" else 0.05)


FAULTS: dict[str, Fault] = {
    "duplicate": lambda frames: frames.duplicate(probability=0.5),
    "reorder": lambda frames: frames.reorder(probability=0.5),
    "tear": lambda frames: frames.tear(probability=0.5),
    "extend": lambda frames: frames.extend(probability=0.5),
    "lose": lambda frames: frames.lose(probability=0.05),
    "not_json": lambda frames: frames.inject("not_json", probability=0.02),
    "unknown": lambda frames: frames.inject("unknown", probability=0.3),
    "binary": lambda frames: frames.inject("binary", probability=0.02),
    "oversize": lambda frames: frames.oversize(100_000, probability=0.01),
    "ping": lambda frames: frames.ping(50, probability=0.05),
    "drop_pong": lambda frames: frames.drop_pong(probability=0.7),
    "delay_pong": lambda frames: frames.delay_pong(7, probability=0.7),
    **{f"corrupt {kind}": _corrupt(kind) for kind in sorted(DATA_KINDS)},
}


@pytest.mark.parametrize("name", FAULTS)
async def test_the_client_stays_true(autojump_clock: MockClock, name: str) -> None:
    async with open_simulator(seed=5, rate=4) as sim, _witness(sim) as witness:
        FAULTS[name](sim.frames)
        for _ in range(3):
            await trio.sleep(10)
            if name in {"corrupt depth", "drop_pong", "delay_pong"}:
                sim.drop_connections()  # so that there are snapshots, and repairs that wait for answers
        sim.frames.heal()
        assert sim.frames.counts[name.split(maxsplit=1)[0]] >= 2
        await trio.sleep(20)
        sim.pause_flow()
        await trio.sleep(60)
        witness.check()
        assert not witness.gaps


@pytest.mark.parametrize("seed", range(3))
async def test_the_client_stays_true_under_everything(autojump_clock: MockClock, seed: int) -> None:
    async with open_simulator(seed=seed, rate=4) as sim, _witness(sim, _options(seed)) as witness:
        for name, fault in FAULTS.items():
            if not name.startswith(("oversize", "drop_pong")):
                fault(sim.frames)
        for code in (1001, 1011, 1006, None, 1012, 4000):
            await trio.sleep(10)
            sim.frames.close(code, "o2" if code else "")
        sim.frames.heal()
        await trio.sleep(20)
        sim.pause_flow()
        await trio.sleep(120)
        assert set(sim.frames.counts) >= {
            "duplicate",
            "reorder",
            "tear",
            "extend",
            "corrupt",
            "close",
            "ping",
        }
        witness.check()


async def test_a_message_too_large_for_the_client_is_fatal_when_it_comes_again(
    autojump_clock: MockClock,
) -> None:
    options = attrs.evolve(_options(), max_message_bytes=64 * 1024)
    async with open_simulator() as sim, open_o2(sim.network, options=options) as o2:
        async with o2.stream_trades(FUEL) as trades:
            await trades.receive()
            while trades.statistics().buffered:
                trades.receive_nowait()
            sim.frames.oversize(64 * 1024 + 1, count=2)
            with pytest.raises(O2ConnectionLost, match="max_message_bytes"):
                await trades.receive()
        await trio.sleep(60)
        assert len(sim.handshakes) == 2, "it comes again and again"


# -- restarts --------------------------------------------------------------------------------------


def _trades(exchange: Exchange) -> list[Any]:
    return [record.value for market in exchange.markets.markets for record in exchange.audit.trades(market)]


async def test_what_a_restart_keeps_and_what_it_loses(autojump_clock: MockClock, get: Get) -> None:
    async with open_simulator(rate=4) as sim:
        account = sim.create_account("somebody")
        market = sim.market(FUEL)
        order = sim.place(account, FUEL, "buy", "0.0100", "1000")
        access = attrs.evolve(account.access, version=2)
        account.access = access
        await trio.sleep(30)
        old, was, seen = sim.exchange, account.balance(market.quote.asset), _trades(sim.exchange)
        height, nonce = old.height, account.nonce
        assert was.total_locked > 0
        sim.restart()
        assert sim.restarts == 1
        new = sim.exchange
        assert new is not old
        assert sim.audits == (old.audit, new.audit)
        assert sim.audit is new.audit
        assert _trades(old) == seen != []
        # Gone.
        assert order.order_id not in new.orders
        assert not new.trades(market.market_id)
        assert not new.orders_of(account.trade_account_id, market.market_id)
        # Kept.
        assert new.accounts[account.trade_account_id] is account
        assert new.account_of(account.owner) is account
        assert (account.nonce, account.access) == (nonce, access)
        now = account.balance(market.quote.asset)
        assert (now.total_locked, now.total_unlocked) == (0, was.total_locked + was.total_unlocked)
        assert now.trading_account_balance == now.total_unlocked
        # New.
        assert new.height > height
        assert len(new.book(market.market_id).bids) > 14
        assert new.book(market.market_id) != old.book(market.market_id)
        assert sim.place(account, FUEL, "buy", "0.0100", "1000").order_id not in old.orders
        with pytest.raises(ValueError, match="already"):
            sim.create_account("somebody")
        await trio.sleep(30)
        ids = [trade.trade_id for audit in sim.audits for trade in _trades_of(audit, sim)]
        assert len(set(ids)) == len(ids)
        assert len(ids) > len(seen)
        for asset in (market.base.asset, market.quote.asset):
            assert new.supply(asset) == new.deposits[asset]


def _trades_of(audit: Any, sim: Simulator) -> list[Any]:
    return [record.value for market in sim.exchange.markets.markets for record in audit.trades(market)]


async def test_restarts_follow_the_seed(autojump_clock: MockClock) -> None:
    async def run(seed: int) -> list[Any]:
        async with open_simulator(seed=seed) as sim:
            for _ in range(2):
                await trio.sleep(5)
                sim.restart()
            await trio.sleep(5)
            return [_trades_of(audit, sim) for audit in sim.audits]

    first = await run(7)
    assert await run(7) == first != await run(8)


async def test_a_restart_cuts_everybody_and_nobody_hears_of_the_new_books(
    autojump_clock: MockClock, dial: Dial, get: Get
) -> None:
    async with open_simulator() as sim:
        socket = await dial(sim)
        await _follow_trades(sim, socket, FUEL, ETH)
        sim.rest.slow(60, path="/health")
        cut = trio.Event()

        async def ask() -> None:
            with pytest.raises(h11.RemoteProtocolError):
                await get(sim, "/health")
            cut.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(5)
            told = len(socket.texts)
            sim.restart()
            sim.run_flow(200)
            with trio.fail_after(0.1):
                await cut.wait()
                await socket.until_end()
        truth = [record.value.trade_id for record in sim.audits[0].trades(sim.market(FUEL))]
        assert len(socket.texts) >= told
        assert not any(trade.trade_id in text for trade in _trades(sim.exchange) for text in socket.texts)
        assert any(truth[-1] in text for text in socket.texts)
        await wait_all_tasks_blocked()
        assert not sim.connections
        again = await dial(sim)
        await _follow_trades(sim, again, FUEL)
        first = (await again.receive())["trades"][0]["trade_id"]
        assert first in [record.value.trade_id for record in sim.audit.trades(sim.market(FUEL))]


async def test_views_go_on_after_a_restart(autojump_clock: MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        for _ in range(2):
            socket = await dial(sim)
            begin = trio.current_time()
            market_id = sim.market(FUEL).market_id
            await socket.send(
                {
                    "action": "subscribe_depth_view",
                    "market_id": market_id,
                    "precision": "10",
                    "frequency": "3s",
                }
            )
            book = sim.exchange.book(market_id, 1)
            for _ in range(3):
                view = (await socket.receive())["view"]
                assert len(view["buys"]) == len(book.bids)
                assert view["buys"][0]["quantity"] == str(book.bids[0].quantity)
            assert trio.current_time() - begin == pytest.approx(6)
            sim.restart()


async def test_reads_that_lag_never_look_behind_a_restart(autojump_clock: MockClock, get: Get) -> None:
    async with open_simulator(flow=False) as sim:
        account = sim.create_account()
        for _ in range(3):
            sim.place(account, FUEL, "buy", "0.0100", "1000")
        target = f"/v1/accounts?trade_account_id={account.trade_account_id}"
        quote = sim.market(FUEL).quote.asset
        balance = f"/v1/balance?contract={account.trade_account_id}&asset_id={quote}"
        now = (await get(sim, target)).body
        assert b'"nonce":"3"' in now
        sim.restart()
        money = (await get(sim, balance)).body
        assert str(account.balance(quote).total_unlocked).encode() in money
        sim.rest.stale(2000)
        for _ in range(3):
            assert b'"nonce":"3"' in (await get(sim, target)).body
            assert (await get(sim, balance)).body == money
            await trio.sleep(1.5)


def test_a_successor_keeps_money_of_every_place() -> None:
    moment = 1_790_000_000_000_000_000
    listings = default_listings()
    old = Exchange(listings, lambda: moment)
    market = listings[0].market
    money = {asset.asset: 10**15 for asset in (market.base, market.quote)}
    one, two = (old.create_account(name, money) for name in "ab")
    old.audit.limit = 12345
    price = listings[0].reference_price
    old.place(one, market.market_id, Side.SELL, price, 10**13, OrderType("Spot"))
    old.place(two, market.market_id, Side.BUY, price, 10**12, OrderType("Spot"))
    old.place(two, market.market_id, Side.BUY, price // 2, 10**12, OrderType("Spot"))
    totals = [[account.balance(asset).total for asset in old.deposits] for account in (one, two)]
    supplies = {asset: old.supply(asset) for asset in old.deposits}
    new = Successor(old, listings, lambda: moment)
    assert [[account.wallet(asset) for asset in new.deposits] for account in (one, two)] == totals
    assert {asset: new.supply(asset) for asset in new.deposits} == supplies == new.deposits
    assert not new.open_orders(market.market_id)
    block = new.seal()
    assert block.height == old.height
    assert list(block.nonces) == [one, two]
    assert new.audit.limit == 12345
    assert one.access == Access()


@pytest.mark.parametrize("fresh", [True, False])
async def test_everything_becomes_true_again_after_a_restart(autojump_clock: MockClock, fresh: bool) -> None:
    async with open_simulator(seed=11, rate=4) as sim, _witness(sim) as witness:
        for _ in range(3):
            await trio.sleep(10)
            sim.restart(fresh=fresh)
        await trio.sleep(20)
        sim.pause_flow()
        await trio.sleep(60)
        assert sim.restarts == 3
        assert len(sim.audits) == (4 if fresh else 1)
        assert not witness.gaps
        witness.check()


async def test_traders_go_on_after_a_restart(autojump_clock: MockClock) -> None:
    async with open_simulator(rate=4) as sim:
        account = sim.create_account()
        async with open_o2(sim.network, options=_options()) as o2:
            updates: list[Any] = []

            async def follow() -> None:
                async for update in o2.stream_orders(account.trade_account_id, seed=True):
                    updates.extend(update.orders)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                await trio.sleep(10)
                sim.restart()
                await trio.sleep(30)
                order = sim.place(account, FUEL, "buy", "0.0100", "1000")
                await trio.sleep(5)
                assert [told.order_id for told in updates] == [order.order_id]
                nursery.cancel_scope.cancel()


async def test_serves_any_stream(autojump_clock: MockClock) -> None:
    async with open_simulator(flow=False) as sim, trio.open_nursery() as nursery:
        ours, theirs = memory_pair()
        nursery.start_soon(sim.serve, ours)
        async with theirs:
            await theirs.send_all(b"GET /health HTTP/1.1\r\nHost: exchange\r\n\r\n")
            assert (await theirs.receive_some()).startswith(b"HTTP/1.1 200")


def test_what_may_come_twice() -> None:
    assert {"depth_update"} == DATA_KINDS - REPEATABLE
