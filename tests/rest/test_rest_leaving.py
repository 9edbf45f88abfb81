"""A client that is left while another task still dials for a read leaves no connection behind."""

from __future__ import annotations

from contextlib import suppress

import attrs
import trio
from trio.testing import MockClock

from o2trio import O2Client, O2Error, open_o2
from o2trio.simulator import open_simulator


class Watched(trio.abc.Stream):
    """A stream that knows whether it was closed."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self.inner = inner
        self.closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        self.closed = True
        await self.inner.aclose()


async def test_a_dial_that_is_under_way(autojump_clock: MockClock) -> None:
    streams: list[Watched] = []
    async with open_simulator(flow=False) as sim:
        dialer = sim.network.dialer
        assert dialer is not None

        async def dial(host: str, port: int) -> trio.abc.Stream:
            await trio.sleep(1)
            streams.append(Watched(await dialer(host, port)))
            return streams[-1]

        async def read(o2: O2Client) -> None:
            with suppress(O2Error, trio.ClosedResourceError):
                await o2.get_markets()

        network = attrs.evolve(sim.network, dialer=dial)
        async with trio.open_nursery() as nursery, open_o2(network) as o2:
            nursery.start_soon(read, o2)
            await trio.sleep(0.5)
        assert streams
        assert all(stream.closed for stream in streams)
