"""The simulated network's connections: Trio streams in every respect, and what the conditions do to bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from o2trio.testing import Conditions, Connection, HostileNetwork
from o2trio.testing._lane import Lane

HOST = "exchange.invalid"


async def idle(stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


@asynccontextmanager
async def network(conditions: Conditions | None = None, seed: int = 7) -> AsyncGenerator[HostileNetwork]:
    async with HostileNetwork(seed) as net:
        net.attach(HOST, idle)
        net.set_conditions(conditions or Conditions())
        yield net


async def connect(net: HostileNetwork) -> Connection:
    await net.dial(HOST, 80)
    return net.connections[-1]


async def drain(stream: trio.abc.ReceiveStream) -> list[tuple[float, bytes]]:
    """Return all pieces and when they came."""
    start, pieces = trio.current_time(), []
    while data := bytes(await stream.receive_some()):
        pieces.append((round(trio.current_time() - start, 6), data))
    return pieces


async def pieces_of(conditions: Conditions, data: bytes, seed: int = 7) -> list[tuple[float, bytes]]:
    """Send `data` in one go and return how it arrives."""
    pieces = []
    async with network(conditions, seed) as net, trio.open_nursery() as nursery:
        connection = await connect(net)

        @nursery.start_soon
        async def send() -> None:
            await connection.client.send_all(data)
            await connection.client.send_eof()

        pieces = await drain(connection.server)
    assert b"".join(piece for _, piece in pieces) == data
    return pieces


# -- a stream ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(),
        Conditions(buffer=5000, chop=3000),
        Conditions(latency=0.01, jitter=0.01),
        Conditions(bandwidth=1e6, latency=0.01, chop=5000),
    ],
)
async def test_keeps_every_rule_of_a_stream(conditions: Conditions, autojump_clock: MockClock) -> None:
    async with network(conditions) as net:

        async def pair() -> tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]:
            connection = await connect(net)
            return connection.client, connection.server

        async def clogged() -> tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]:
            one, other = await pair()
            await one.send_all(bytes(conditions.buffer))
            await other.send_all(bytes(conditions.buffer))
            return one, other

        await trio.testing.check_half_closeable_stream(pair, clogged)


async def test_a_sender_waits_for_a_reader(autojump_clock: MockClock) -> None:
    async with network(Conditions(buffer=1000, latency=0.1)) as net:
        connection = await connect(net)
        with trio.move_on_after(10) as limit:
            await connection.client.send_all(bytes(1001))
        assert limit.cancelled_caught
        await connection.client.send_eof()
        assert sum(len(data) for _, data in await drain(connection.server)) == 1000


async def test_a_sender_that_waits_learns_that_the_peer_left(autojump_clock: MockClock) -> None:
    async with network(Conditions(buffer=1000, latency=0.5)) as net:
        connection = await connect(net)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def leave() -> None:
                await trio.sleep(1)
                await connection.server.aclose()

            with pytest.raises(trio.BrokenResourceError):
                await connection.client.send_all(bytes(5000))
        assert trio.current_time() - start == 1.5


async def test_what_is_under_way_arrives_before_the_end(autojump_clock: MockClock) -> None:
    async with network(Conditions(latency=0.5, bandwidth=10)) as net:
        connection = await connect(net)
        await connection.client.send_all(b"last words")
        await connection.client.aclose()
        pieces = await drain(connection.server)
        assert b"".join(data for _, data in pieces) == b"last words"
        assert pieces[-1][0] == 1.5
        with pytest.raises(trio.BrokenResourceError):
            await connection.server.send_all(b"anybody there?")


# -- conditions ----------------------------------------------------------------------------------------


async def test_latency_delays_and_does_not_slow_down(autojump_clock: MockClock) -> None:
    async with network(Conditions(latency=0.2)) as net:
        start = trio.current_time()
        connection = await connect(net)
        assert trio.current_time() - start == 0.4, "dialling takes a round trip"
        for _ in range(10):
            await connection.client.send_all(b"x")
            await trio.sleep(0.01)
        await connection.client.aclose()
        times = [time for time, _ in await drain(connection.server)]
        assert times == pytest.approx([0.1 + 0.01 * index for index in range(10)])


async def test_jitter_never_changes_the_order_and_follows_from_the_seed(autojump_clock: MockClock) -> None:
    async def arrivals(seed: int) -> list[tuple[float, bytes]]:
        async with network(Conditions(latency=0.1, jitter=1), seed) as net:
            connection = await connect(net)
            for number in range(100):
                await connection.client.send_all(bytes((number,)))
                await trio.sleep(0.01)
            await connection.client.aclose()
            pieces = await drain(connection.server)
            assert b"".join(data for _, data in pieces) == bytes(range(100))
            return pieces

    first = await arrivals(1)
    assert len({time for time, _ in first}) > 3
    assert await arrivals(1) == first
    assert await arrivals(2) != first


async def test_bandwidth_lets_bytes_trickle(autojump_clock: MockClock) -> None:
    pieces = await pieces_of(Conditions(bandwidth=1000, latency=0.5), bytes(2500))
    assert len(pieces) == 25, "ten portions a second, so that a slow link is not a silent one"
    assert pieces[0][0] == pytest.approx(0.6)
    assert pieces[-1][0] == pytest.approx(3.0)


async def test_a_change_of_bandwidth_helps_what_waits_at_the_sender(autojump_clock: MockClock) -> None:
    async with network(Conditions(bandwidth=10)) as net:
        connection = await connect(net)
        await connection.client.send_all(bytes(10_000))
        await connection.client.aclose()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def widen() -> None:
                await trio.sleep(2)
                net.set_conditions(Conditions(bandwidth=1000))

            pieces = await drain(connection.server)
        assert sum(len(data) for time, data in pieces if time <= 2) == 20
        assert pieces[-1][0] == pytest.approx(2 + 9.98)
        assert trio.current_time() < 15, "nor does the end come late"


async def test_a_chopped_stream_is_torn_anywhere(autojump_clock: MockClock) -> None:
    data = Random(3).randbytes(5000)
    pieces = await pieces_of(Conditions(chop=4), data)
    assert {len(piece) for _, piece in pieces} == {1, 2, 3, 4}
    assert await pieces_of(Conditions(chop=4), data) == pieces
    assert await pieces_of(Conditions(chop=4), data, seed=8) != pieces


async def test_a_host_may_have_conditions_of_its_own(autojump_clock: MockClock) -> None:
    async with network() as net:
        net.attach("far.invalid", idle)
        net.set_conditions(Conditions(latency=0.1))
        net.set_conditions(Conditions(latency=1), "far.invalid")
        assert (net.conditions(HOST).latency, net.conditions("far.invalid").latency) == (0.1, 1)
        net.set_conditions(Conditions(latency=0.2))
        assert (net.conditions(HOST).latency, net.conditions("far.invalid").latency) == (0.2, 0.2)


@pytest.mark.parametrize(
    "wrong", [{"latency": -1}, {"jitter": -1}, {"bandwidth": 0}, {"buffer": 0}, {"chop": 0}]
)
def test_senseless_conditions_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Conditions(**wrong)


_CONDITIONS = st.builds(
    Conditions,
    latency=st.sampled_from([0.0, 0.3]),
    jitter=st.sampled_from([0.0, 2.0]),
    bandwidth=st.sampled_from([None, 3.0, 100.0, 12345.6]),
    chop=st.sampled_from([None, 1, 5]),
)
_STEPS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        _CONDITIONS,
        st.floats(0, 3),
        st.sampled_from([None]),
        st.builds(lambda rate: ("throttle", rate), st.sampled_from([2.0, float("inf")])),
    ),
    max_size=30,
)


@given(steps=_STEPS)
def test_whatever_changes_every_byte_arrives_once_in_order_and_in_time(steps: list[object]) -> None:
    """A lane by hand, without Trio: data, time, reading and changes of conditions in any order."""
    lane, now, sent, received = Lane(Random(1), Conditions()), 100.0, b"", b""
    for step in steps:
        match step:
            case bytes():
                lane.send(step, now)
                sent += step
            case float():
                now += step
            case Conditions():
                lane.set_conditions(step, now)
            case ("throttle", float() as rate):
                lane.throttle(rate, now)
            case _:
                received += lane.receive(64, now)
        assert sent.startswith(received)
        assert lane.size == len(sent) - len(received)
    lane.end(now)
    waits = 0
    while not lane.has_ended(now):
        data = lane.receive(64, now)
        received += data
        if not data and not lane.has_ended(now):
            assert lane.next_at() > now, "who waits does not spin"
            now = lane.next_at()
            waits += 1
    assert received == sent
    assert lane.size == 0
    assert waits <= len(sent) + 1
