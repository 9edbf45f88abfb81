"""The hostile network by itself: dials, servers, and each fault as both ends see it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
import trustme
from trio.testing import MockClock

from o2trio import NetworkConfig
from o2trio.testing import Conditions, Connection, HostileNetwork
from o2trio.transport._dialer import open_stream

HOST = "exchange.invalid"


async def echo(stream: trio.abc.Stream) -> None:
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


@asynccontextmanager
async def network() -> AsyncGenerator[tuple[HostileNetwork, trio.abc.Stream, Connection]]:
    """Give a network with an echo server and one connection to it."""
    async with HostileNetwork() as net:
        net.attach(HOST, echo)
        stream = await net.dial(HOST, 80)
        yield net, stream, net.connections[0]


async def answer(stream: trio.abc.Stream, data: bytes = b"hello", seconds: float = 1) -> bytes | None:
    """Return what comes back, None if nothing does."""
    await stream.send_all(data)
    with trio.move_on_after(seconds):
        return bytes(await stream.receive_some())
    return None


# -- servers and dials ---------------------------------------------------------------------------------


async def test_a_server_may_go_and_come_back(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, connection):
        assert await answer(stream) == b"hello"
        net.detach(HOST)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        with pytest.raises(ConnectionRefusedError, match="nobody is attached"):
            await net.dial(HOST, 80)
        net.attach(HOST, echo)
        assert await answer(await net.dial(HOST, 80)) == b"hello"
        assert connection.is_broken


async def test_a_server_that_is_replaced_loses_its_connections(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, _):
        net.attach(HOST, echo)
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"hello")


async def test_connections_are_those_that_somebody_has_not_closed(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, connection):
        net.reset()
        await trio.sleep(1)
        assert net.connections == (connection,)
        assert (connection.server.is_closed, connection.client.is_closed) == (True, False)
        await stream.aclose()
        assert len(net.connections) == 0


async def test_leaving_resets_every_connection(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, connection):
        net.black_hole()
    assert connection.server.is_closed
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    with pytest.raises(ConnectionRefusedError):
        await net.dial(HOST, 80)


async def test_an_error_of_a_server_comes_out(autojump_clock: MockClock) -> None:
    async def fail(stream: trio.abc.Stream) -> None:
        raise LookupError("a bug")

    async def run() -> None:
        async with HostileNetwork() as net:
            net.attach(HOST, fail)
            await net.dial(HOST, 80)
            await trio.sleep_forever()

    with pytest.raises(LookupError, match="a bug"):
        await run()


@pytest.mark.parametrize(
    ("method", "error"),
    [
        (HostileNetwork.refuse, ConnectionRefusedError),
        (HostileNetwork.dns_failure, socket.gaierror),
        (HostileNetwork.tls_failure, ssl.SSLError),
    ],
)
async def test_planned_dials_fail_and_the_next_one_succeeds(
    method: Any, error: type[OSError], autojump_clock: MockClock
) -> None:
    async with network() as (net, _, _):
        net.attach("other.invalid", echo)
        method(net, HOST, 2)
        for _ in range(2):
            with pytest.raises(error, match=HOST):
                await net.dial(HOST, 443)
            await net.dial("other.invalid", 443)
        await net.dial(HOST, 443)
        kind = method.__name__
        assert [dial.outcome for dial in net.dials if dial.port == 443] == [
            *(kind, "connected") * 2,
            "connected",
        ]
        assert net.counts == {kind: 2}


async def test_plans_are_carried_out_in_order_one_at_each_dial(autojump_clock: MockClock) -> None:
    async with network() as (net, _, _):
        net.refuse(HOST)
        net.early_eof(None, 0)
        net.dial_hang(HOST)
        with pytest.raises(ConnectionRefusedError):
            await net.dial(HOST, 1)
        assert await (await net.dial(HOST, 2)).receive_some() == b""
        with trio.move_on_after(1000) as limit:
            await net.dial(HOST, 3)
        assert limit.cancelled_caught
        assert [dial.outcome for dial in net.dials][1:] == ["refuse", "connected", "dial_hang"]
        assert net.counts == {"refuse": 1, "early_eof": 1, "dial_hang": 1}


async def test_a_dial_that_is_cancelled_says_so_and_leaves_nothing(autojump_clock: MockClock) -> None:
    async with network() as (net, _, connection):
        net.set_conditions(Conditions(latency=2))
        with trio.move_on_after(1):
            await net.dial(HOST, 80)
        assert net.dials[-1].outcome == "cancelled"
        assert net.connections == (connection,)


async def test_healing_ends_what_is_and_what_was_to_come(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, _):
        net.refuse(None, None)
        net.black_hole()
        net.half_open()
        net.cut_after(HOST, 3)
        net.drip(None, 1, 1000)
        assert await answer(stream) is None
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def heal() -> None:
                await trio.sleep(1)
                net.heal()

            other = await net.dial(HOST, 80)
        assert bytes(await stream.receive_some()) == b"hello"
        assert await answer(other, bytes(1000)) == bytes(1000)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda net: net.refuse(HOST, 0),
        lambda net: net.black_hole(HOST, 0),
        lambda net: net.half_open(HOST, "up", -1),
        lambda net: net.drip(HOST, 0, 1),
        lambda net: net.drip(HOST, 1, 0),
    ],
    ids=["refuse", "black_hole", "half_open", "drip rate", "drip time"],
)
async def test_senseless_faults_are_refused(wrong: Any, autojump_clock: MockClock) -> None:
    async with network() as (net, _, _):
        with pytest.raises(ValueError, match="must be"):
            wrong(net)
        assert not net.counts


# -- faults of connections -----------------------------------------------------------------------------


async def test_a_reset_breaks_both_ends_for_those_who_wait(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, connection):
        net.set_conditions(Conditions(latency=5, buffer=10))
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def send() -> None:
                with pytest.raises(trio.BrokenResourceError):
                    await stream.send_all(bytes(100))

            @nursery.start_soon
            async def receive() -> None:
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()

            await trio.sleep(1)
            net.reset(HOST)
        assert trio.current_time() - connection.time == 1
        assert connection.server.is_closed, "the server saw it and left"


async def test_in_a_black_hole_senders_wait_for_room_and_closing_tells_nobody(
    autojump_clock: MockClock,
) -> None:
    async with network() as (net, stream, connection):
        net.black_hole(seconds=100)
        with trio.move_on_after(10) as limit:
            await stream.send_all(bytes(100_000))
        assert limit.cancelled_caught
        await stream.aclose()
        await trio.sleep(80)
        assert not connection.server.is_closed
        await trio.sleep(10.1)
        assert connection.server.is_closed


async def test_the_dead_stay_dead(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, connection):
        net.die(HOST)
        assert await answer(stream) is None
        net.heal()
        assert await answer(stream, b"", 1000) is None
        assert await answer(await net.dial(HOST, 80)) == b"hello", "new ones live"
        await stream.aclose()
        assert not connection.server.is_closed, "nobody has told it"
        assert net.counts["die"] == 1


async def test_half_open_up(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, connection):
        net.half_open(HOST, "up", 10)
        await connection.server.send_all(b"still here")
        assert await stream.receive_some() == b"still here"
        assert await answer(stream) is None
        assert await answer(stream, b"", 20) == b"hello"


async def test_half_open_down(autojump_clock: MockClock) -> None:
    async with HostileNetwork() as net:
        received = []

        async def listen(stream: trio.abc.Stream) -> None:
            received.append(await stream.receive_some())

        net.attach(HOST, listen)
        stream = await net.dial(HOST, 80)
        net.half_open(HOST, "down", 10)
        assert await answer(stream) is None
        assert received == [b"hello"]
        assert await answer(await net.dial(HOST, 80), seconds=0.1) == b"", "new ones are whole"
        start = trio.current_time()
        assert await stream.receive_some() == b"", "the server has left meanwhile"
        assert trio.current_time() - start == 10 - 1


@pytest.mark.parametrize("size", range(4))
async def test_a_cut_counts_what_is_received(size: int, autojump_clock: MockClock) -> None:
    async with network() as (net, _, _):
        net.cut_after(HOST, size, "down", count=1)
        stream = await net.dial(HOST, 80)
        if size:
            assert await answer(stream) == b"hello"[:size]
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        assert net.counts["cut"] == 1
        assert await answer(await net.dial(HOST, 80)) == b"hello"


async def test_an_early_eof_is_an_orderly_end_for_the_client(autojump_clock: MockClock) -> None:
    async with network() as (net, _, _):
        net.early_eof(HOST, 2)
        stream = await net.dial(HOST, 80)
        assert await answer(stream) == b"he"
        assert await stream.receive_some() == b""
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"still there?")


async def test_a_drip_slows_what_waits_and_ends(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, _):
        net.set_conditions(Conditions(bandwidth=1000))
        await stream.send_all(bytes(2000))
        net.drip(HOST, 5, 20)
        start, times = trio.current_time(), [0.0]
        received = 0
        while received < 2000:
            received += len(await stream.receive_some())
            times.append(trio.current_time() - start)
            if times[-1] < 20:
                assert received <= 5 * times[-1]
        assert max(after - before for before, after in pairwise(times)) <= 0.41
        assert 21 < times[-1] < 25


async def test_garbage_comes_behind_what_was_sent(autojump_clock: MockClock) -> None:
    async with network() as (net, stream, connection):
        net.set_conditions(Conditions(latency=1))
        await connection.server.send_all(b"sense")
        net.garbage(HOST, b"nonsense")
        assert await stream.receive_some() == b"sensenonsense"
        net.garbage(HOST, b"echo me", "up")
        assert await stream.receive_some() == b"echo me"


# -- TLS -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize(
    ("plan", "trusted", "error"),
    [
        (lambda net: None, True, None),
        (lambda net: None, False, ssl.SSLCertVerificationError),
        (lambda net: net.garbage(HOST, b"HTTP/1.1 400 Bad Request\r\n", count=1), True, ssl.SSLError),
        (lambda net: net.early_eof(HOST, 100), True, ssl.SSLEOFError),
        (lambda net: net.cut_after(HOST, 100, count=1), True, trio.BrokenResourceError),
        (lambda net: net.tls_failure(HOST, untrusted=True), True, ssl.SSLCertVerificationError),
    ],
)
async def test_real_tls_fails_in_the_ways_that_are_feigned(
    plan: Any, trusted: bool, error: type[Exception] | None, authority: trustme.CA, autojump_clock: MockClock
) -> None:
    """TLS itself works on the network, and what breaks it raises what ``classify`` knows."""
    server, client = _contexts(authority)

    async def secure_echo(stream: trio.abc.Stream) -> None:
        await echo(trio.SSLStream(stream, server, server_side=True, https_compatible=True))

    async with HostileNetwork() as net:
        net.set_conditions(Conditions(chop=50, latency=0.1))
        config = net.route(NetworkConfig.from_url(f"https://{HOST}"), secure_echo)
        context = client if trusted else ssl.create_default_context()
        config = NetworkConfig(
            name="tls",
            rest_url=config.rest_url,
            websocket_url=config.websocket_url,
            ssl_context=context,
            dialer=net.dial,
        )
        plan(net)
        if error is not None:
            with pytest.raises(error):
                await open_stream(config, config.websocket_url)
            assert all(each.client.is_closed for each in net.connections)
        else:
            stream = await open_stream(config, config.websocket_url)
            assert await answer(stream) == b"hello"
