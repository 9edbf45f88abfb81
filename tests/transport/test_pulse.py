"""An exchange that hangs while bytes still come is noticed within named bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import Literal

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import ConnectionDown, Options, open_o2
from o2trio._errors import InvalidRequest
from o2trio.simulator import Flavor, Simulator, open_simulator

FUEL = "fFUEL/fUSDC"
OPTIONS = Options(jitter=lambda: 0.1)
PING = b"\x89\x00"
FRAME = b"\x81\x7e\xff\xff" + b"x" * 0xFFFF
FRAGMENTS = b"\x01\x01x" + b"\x00\x01x" * 10_000


class Balancer(trio.abc.Stream):
    """A stream whose server is replaced, once it hangs, by pieces that come every 5 s."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.pieces: Iterator[bytes] | None = None
        self.deaf = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = b"" if self.pieces else await self.stream.receive_some(max_bytes)
        if self.pieces is None:
            return data
        await trio.sleep(5)
        return next(self.pieces)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.deaf:
            await trio.sleep_forever()
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()


async def lost_after(
    sim: Simulator, pieces: Iterable[bytes], options: Options = OPTIONS, *, deaf: bool = False
) -> tuple[float, str]:
    """Return how long after the exchange hung its connection ended, within ten minutes, and why."""
    streams: list[Balancer] = []

    async def dial(host: str, port: int) -> trio.abc.Stream:
        assert sim.network.dialer is not None
        streams.append(Balancer(await sim.network.dialer(host, port)))
        return streams[-1]

    network = attrs.evolve(sim.network, dialer=dial)
    async with open_o2(network, options=options) as o2, o2.events() as events, o2.stream_depth(FUEL) as depth:
        await depth.receive()
        await trio.sleep(30)
        for stream in streams:
            stream.pieces, stream.deaf = iter(pieces), deaf
        start = trio.current_time()
        with trio.fail_after(600):
            async for event in events:
                if isinstance(event, ConnectionDown):
                    return trio.current_time() - start, event.reason
    raise AssertionError


@pytest.mark.parametrize("noise", [PING, b"\x8a\x00"], ids=["pings", "pongs"])
async def test_a_balancer_that_answers_for_a_hung_exchange_is_found_out(
    autojump_clock: MockClock, noise: bytes
) -> None:
    async with open_simulator(seed=1) as sim:
        after, reason = await lost_after(sim, repeat(noise))
    assert "no answer to a heartbeat for 30 s" in reason
    assert after <= OPTIONS.ping_interval + OPTIONS.heartbeat_answer_timeout + 1


async def test_a_server_that_never_answers_heartbeats_is_not_judged_by_them(
    autojump_clock: MockClock,
) -> None:
    async with open_simulator(seed=1, flavor=Flavor(heartbeat="protocol")) as sim:
        with pytest.raises(trio.TooSlowError):
            await lost_after(sim, repeat(PING))


async def test_any_whole_message_answers_a_heartbeat(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=1) as sim:
        with pytest.raises(trio.TooSlowError):
            await lost_after(sim, repeat(b"\x81\x02{}"))


@pytest.mark.parametrize("heartbeat", ["text", "protocol"])
@pytest.mark.parametrize(
    "pieces",
    [
        [FRAME[n : n + 1] for n in range(10_000)],
        [FRAGMENTS[n : n + 3] for n in range(0, 30_000, 3)],
        [FRAGMENTS[:3], *[PING] * 10_000],
    ],
    ids=["frame", "fragments", "pings"],
)
async def test_a_message_that_drips_ends_the_connection(
    autojump_clock: MockClock, pieces: Iterable[bytes], heartbeat: Literal["text", "protocol"]
) -> None:
    flavor = Flavor(heartbeat=heartbeat)
    async with open_simulator(seed=1, flavor=flavor) as sim:
        after, reason = await lost_after(sim, pieces)
    assert "a message was not whole 60 s after its first byte" in reason
    assert after <= 5 + OPTIONS.message_timeout + 5


async def test_a_message_timeout_shorter_than_the_ping_interval_holds_at_once(
    autojump_clock: MockClock,
) -> None:
    options = attrs.evolve(OPTIONS, message_timeout=7)
    async with open_simulator(seed=1) as sim:
        after, _ = await lost_after(sim, (FRAME[n : n + 1] for n in range(10_000)), options)
    assert after <= 5 + 2 * 7


async def test_messages_that_overlap_each_read_are_each_given_their_time(autojump_clock: MockClock) -> None:
    # The end of one and the beginning of the next come together.
    pieces = chain([b"\x81"], repeat(b"\x02{}\x81"))
    async with open_simulator(seed=1) as sim:
        with pytest.raises(trio.TooSlowError):
            await lost_after(sim, pieces)


@pytest.mark.parametrize("name", ["heartbeat_answer_timeout", "message_timeout"])
@pytest.mark.parametrize("value", [0, None, -1, float("nan")])
def test_a_bound_on_hanging_cannot_be_switched_off(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=name):
        Options(**{name: value})  # type: ignore[arg-type]


async def test_a_server_that_does_not_read_is_dead(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=1) as sim:
        after, reason = await lost_after(sim, repeat(b"\x81\x02{}"), deaf=True)
    assert "the server did not read for 50 s" in reason
    assert after <= OPTIONS.ping_interval + OPTIONS.silence_timeout + 1
