"""The handle: opening, acting, determinism, ending; and the same on real sockets with TLS."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import anyio
import attrs
import pytest
import trio
import trio.testing
import trustme

from o2trio import InvalidRequest, Raw, UnknownMarket, open_o2
from o2trio.models import Asset, Side
from o2trio.simulator import Revert, Simulator, listing, open_simulator
from o2trio.simulator._markets import make_id

Dial = Callable[..., Awaitable[Any]]
OpenStream = Callable[..., Awaitable[trio.abc.Stream]]


async def _digest(dial: Dial, seed: int) -> str:
    digest = sha256()
    async with open_simulator(seed=seed) as sim:
        socket = await dial(sim)
        for market in sim.exchange.markets.markets:
            for precision in ("10", "1000000"):
                await socket.send(
                    {"action": "subscribe_depth", "market_id": market.market_id, "precision": precision}
                )
            await socket.send({"action": "subscribe_trades", "market_id": market.market_id})
        for _ in range(300):
            digest.update((await socket.text()).encode())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_frames(dial: Dial) -> None:
    def run(seed: int) -> str:
        return trio.run(_digest, dial, seed, clock=trio.testing.MockClock(autojump_threshold=0))

    assert run(7) == run(7)
    assert run(7) != run(8)


async def test_time_follows_the_clock(autojump_clock: trio.testing.MockClock) -> None:
    async with open_simulator(start_time=1_000_000.5, flow=False) as sim:
        await trio.sleep(2.25)
        assert sim.exchange.now == 1_000_002_750_000_000
        account = sim.create_account()
        order = sim.place(account, "fFUEL/fUSDC", "buy", price="0.02", quantity="1000")
        assert order.timestamp == 1_000_002


async def test_the_flow_runs_at_its_rate_and_can_be_paused(autojump_clock: trio.testing.MockClock) -> None:
    async with open_simulator(rate=20) as sim:
        await trio.sleep(10)
        first = sim.exchange.height
        assert 450 < first < 750
        sim.pause_flow()
        await trio.sleep(10)
        assert sim.exchange.height == first
        sim.resume_flow()
        await trio.sleep(10)
        assert 450 < sim.exchange.height - first < 750


async def test_actions_are_published_at_once(autojump_clock: trio.testing.MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        market = sim.market("ffuel/fusdc")
        account = sim.create_account("somebody")
        socket = await dial(sim)
        who = [{"ContractId": account.trade_account_id}]
        for kind in ("orders", "balances", "nonce"):
            await socket.send({"action": f"subscribe_{kind}", "identities": who})
        await trio.testing.wait_all_tasks_blocked()
        order = sim.place(
            account, market, "buy", price="0.02000", quantity=Raw(10**12), order_type="PostOnly"
        )
        assert (order.price, order.quantity, order.side) == (20_000, 10**12, Side.BUY)
        frames = [await socket.receive() for _ in range(3)]
        assert [frame["action"] for frame in frames] == [
            "subscribe_orders",
            "subscribe_balances",
            "subscribe_nonce",
        ]
        assert frames[0]["orders"][0]["order_type"] == "PostOnly"
        sim.cancel(account, order.order_id)
        frames = [await socket.receive() for _ in range(3)]
        assert frames[0]["orders"][0]["cancel"] is True
        sim.settle(account, "fFUEL/fUSDC")
        frames = [await socket.receive() for _ in range(2)]
        assert frames[0]["balance"][0]["total_unlocked"] == str(10**12)
        with pytest.raises(Revert):
            sim.cancel(account, order)
        assert await socket.receive() == frames[1] | {"nonce": "4"}
        assert account.info.nonce == account.nonce == 4


async def test_refuses_wrong_arguments(autojump_clock: trio.testing.MockClock) -> None:
    async with open_simulator(flow=False) as sim:
        account = sim.create_account("one")
        with pytest.raises(ValueError, match="already"):
            sim.create_account("one")
        with pytest.raises(UnknownMarket, match="fFUEL/fUSDC"):
            sim.place(account, "fDOGE/fUSDC", "buy", price="1", quantity="1")
        with pytest.raises(InvalidRequest):
            sim.place(account, "fFUEL/fUSDC", "buy", price="0.0000001", quantity="1")
    for wrong in ({"rate": 0}, {"rate": float("nan")}, {"ssl_context": ssl.create_default_context()}):
        with pytest.raises(ValueError, match=r"rate|listen"):
            async with open_simulator(**wrong):
                pytest.fail("it opened")


async def test_lists_other_markets(autojump_clock: trio.testing.MockClock) -> None:
    gold, euro = (
        Asset(symbol=symbol, asset=make_id("asset", symbol), decimals=decimals, max_precision=2)
        for symbol, decimals in (("GOLD", 3), ("EUR", 4))
    )
    async with open_simulator(markets=[listing(gold, euro, price="1850.5", value=5000)]) as sim:
        await trio.sleep(60)
        market = sim.market("gold/eur")
        book = sim.exchange.book(market.market_id)
        assert len(book.bids) >= 14
        assert all(level.price % market.price_step == 0 for level in book.asks)
        assert sim.exchange.trades(market.market_id)


async def test_the_bodys_error_comes_out_bare_and_connections_end(
    autojump_clock: trio.testing.MockClock, open_stream: OpenStream
) -> None:
    streams: list[trio.abc.Stream] = []
    opened: list[Simulator] = []
    error = KeyError("mine")

    async def fail() -> None:
        async with open_simulator() as sim:
            opened.append(sim)
            streams.append(await open_stream(sim))
            await trio.testing.wait_all_tasks_blocked()
            raise error

    with pytest.raises(KeyError) as caught:
        await fail()
    assert caught.value is error
    with trio.fail_after(1):
        assert await streams[0].receive_some() == b""
    # Nobody is there any more.
    with pytest.raises(OSError, match="closed"):
        await open_stream(opened[0])


async def test_can_be_cancelled_and_runs_in_an_anyio_task_group(
    autojump_clock: trio.testing.MockClock, dial: Dial
) -> None:
    opened: list[Simulator] = []

    async def watch() -> None:
        async with open_simulator() as sim:
            opened.append(sim)
            await dial(sim)
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await anyio.sleep(5)
        assert len(opened[0].connections) == 1
        group.cancel_scope.cancel()
    assert opened[0].connections == ()


async def test_the_librarys_client_follows_the_book(autojump_clock: trio.testing.MockClock) -> None:
    async with open_simulator(rate=30) as sim, open_o2(sim.network) as o2:
        market = sim.market("fETH/fUSDC")
        book: dict[tuple[str, int], int] = {}
        async with o2.stream_depth("fETH/fUSDC", precision=6) as updates:
            sim.run_flow(200)
            sim.pause_flow()
            with trio.move_on_after(5):
                async for update in updates:
                    if update.is_snapshot:
                        book.clear()
                    for side, levels in (("bid", update.changes.bids), ("ask", update.changes.asks)):
                        for level in levels:
                            book[side, level.price] = book.get((side, level.price), 0) + level.quantity
        truth = sim.exchange.book(market.market_id, 6)
        expected = {("bid", level.price): level.quantity for level in truth.bids}
        expected |= {("ask", level.price): level.quantity for level in truth.asks}
        assert {key: size for key, size in book.items() if size} == expected


# -- real sockets ----------------------------------------------------------------------------------


def _tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return server, trust


def _reset(stream: trio.abc.Stream) -> None:
    """Cut a TCP connection so that the other side gets an error instead of an end."""
    below = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    assert isinstance(below, trio.SocketStream)
    below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    below.socket.close()


@pytest.mark.parametrize("secure", [False, True])
async def test_over_tcp_with_and_without_tls(dial: Dial, open_stream: OpenStream, *, secure: bool) -> None:
    server, trust = _tls() if secure else (None, None)
    with trio.fail_after(20):
        async with open_simulator(rate=500, listen=("127.0.0.1", 0), ssl_context=server) as sim:
            assert sim.url == sim.network.rest_url
            assert sim.network.websocket_url.startswith("wss://127.0.0.1:" if secure else "ws://127.0.0.1:")
            hostile = await trio.open_tcp_stream("127.0.0.1", int((sim.url or "").rpartition(":")[2]))
            await hostile.send_all(b"\xff\x00 nonsense\r\n\r\n")
            resetting = await open_stream(sim, trust)
            await resetting.send_all(b"GET /heal")
            _reset(resetting)
            client = await dial(sim, trust)
            market = sim.market("fFUEL/fUSDC").market_id
            await client.send({"action": "subscribe_depth", "market_id": market, "precision": "10"})
            actions = [(await client.receive())["action"] for _ in range(20)]
            assert actions == ["subscribe_depth", *["subscribe_depth_update"] * 19]
            stream = await open_stream(sim, trust)
            await stream.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while more := await stream.receive_some():
                answer += more
            assert answer.endswith(b'{"status":"ok"}')
            config = attrs.evolve(sim.network, ssl_context=trust)
            async with open_o2(config) as o2, o2.stream_trades("fFUEL/fUSDC") as trades:
                assert (await trades.receive()).trades
            _reset((await dial(sim, trust)).stream)
            await trio.testing.wait_all_tasks_blocked()
            assert len(sim.connections) == 1
            sim.drop_connections()
            await client.until_end()
            for open_one in (hostile, client.stream, stream):
                await trio.aclose_forcefully(open_one)
