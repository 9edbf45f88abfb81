"""Faults around a submission: cut before and after, executed late, executed twice."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest
import trio
from trio.testing import MockClock

from o2trio.simulator import RestFaults, Simulator, open_simulator
from tests.independent.o2client import settle
from tests.simulator.direct import Direct

PATH = "/v1/session/actions"
OpenStream = Callable[..., Awaitable[trio.abc.Stream]]
Send = Callable[[], Awaitable[tuple[int, Any] | None]]


@asynccontextmanager
async def _trading(open_stream: OpenStream) -> AsyncGenerator[tuple[Simulator, Direct, Send]]:
    """Open a simulator with an account; `send` submits a settlement on its sequential track."""
    async with open_simulator(flow=False) as sim:
        client = Direct(sim.exchange)
        client.set_up()

        async def send() -> tuple[int, Any] | None:
            request = client.prepared(lambda: client.act(client.market(0), settle(client.contract)))
            return await _send(await open_stream(sim, url=sim.network.rest_url), *request)

        yield sim, client, send


async def _send(
    stream: trio.abc.Stream, method: str, path: str, body: bytes, owner: str
) -> tuple[int, Any] | None:
    """Return status and answer, or None if the connection was cut."""
    async with stream:
        client = h11.Connection(h11.CLIENT)
        headers = [("Host", "exchange"), ("Content-Length", str(len(body))), ("O2-Owner-Id", owner)]
        events: list[Any] = [h11.Request(method=method, target=path, headers=headers), h11.Data(data=body)]
        await stream.send_all(b"".join(client.send(event) or b"" for event in [*events, h11.EndOfMessage()]))
        status, answer = 0, b""
        try:
            while True:
                event = client.next_event()
                if event is h11.NEED_DATA:
                    client.receive_data(bytes(await stream.receive_some()))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    answer += bytes(event.data)
                else:
                    return status, json.loads(answer)
        except (h11.RemoteProtocolError, trio.BrokenResourceError):
            return None


async def test_cut_before_and_after(autojump_clock: MockClock, open_stream: OpenStream) -> None:
    async with _trading(open_stream) as (sim, client, send):
        sim.rest.cut(before=True, path=PATH, count=1)
        sim.rest.cut(path=PATH, count=1)
        nonce = client.nonce()
        assert await send() is None
        assert client.nonce() == nonce
        assert await send() is None
        assert client.nonce() == nonce + 1
        answer = await send()
        assert answer is not None
        assert answer[0] == 200
        assert [request.status for request in sim.rest.requests] == [0, 0, 200]


async def test_executed_late(autojump_clock: MockClock, open_stream: OpenStream) -> None:
    async with _trading(open_stream) as (sim, client, send):
        sim.rest.defer(5, path=PATH, count=1)
        nonce, begin = client.nonce(), trio.current_time()
        async with trio.open_nursery() as nursery:

            async def look() -> None:
                await trio.sleep(4.9)
                assert client.nonce() == nonce

            nursery.start_soon(look)
            answer = await send()
        assert answer is not None
        assert (answer[0], client.nonce()) == (200, nonce + 1)
        assert trio.current_time() - begin == pytest.approx(5)


@pytest.mark.parametrize("cut", [False, True])
async def test_executed_when_nobody_waits(
    autojump_clock: MockClock, open_stream: OpenStream, cut: bool
) -> None:
    async with _trading(open_stream) as (sim, client, send):
        sim.rest.defer(5, cut=cut, path=PATH, count=1)
        nonce, begin = client.nonce(), trio.current_time()
        with trio.move_on_after(1):
            assert await send() is None
        assert trio.current_time() - begin == pytest.approx(0 if cut else 1)
        await trio.sleep_until(begin + 4.9)
        assert client.nonce() == nonce
        await trio.sleep_until(begin + 5.1)
        assert client.nonce() == nonce + 1
        assert [request.status for request in sim.rest.requests] == [0 if cut else 200]


async def test_executed_twice(autojump_clock: MockClock, open_stream: OpenStream) -> None:
    async with _trading(open_stream) as (sim, client, send):
        sim.rest.duplicate(path=PATH, count=1)
        nonce = client.nonce()
        answer = await send()
        assert answer is not None
        # The first one ran; the second answer, which is given, says that its nonce is stale.
        assert answer[1]["reason"].startswith("Nonce in the request")
        assert client.nonce() == nonce + 1
        assert len(sim.rest.requests) == 1


async def test_a_fault_that_answers_executes_nothing(
    autojump_clock: MockClock, open_stream: OpenStream
) -> None:
    async with _trading(open_stream) as (sim, client, send):
        sim.rest.fail(502, html=False, path=PATH, count=1)
        sim.rest.duplicate(path=PATH)
        sim.rest.defer(1, path=PATH)
        nonce = client.nonce()
        answer = await send()
        assert answer is not None
        assert (answer[0], client.nonce()) == (502, nonce)


async def test_a_gateway_hides_what_was_executed(autojump_clock: MockClock, open_stream: OpenStream) -> None:
    async with _trading(open_stream) as (sim, client, send):
        sim.rest.fail(504, after=True, path=PATH, count=1)
        nonce = client.nonce()
        answer = await send()
        assert answer is not None
        assert (answer[0], client.nonce()) == (504, nonce + 1)


async def test_the_end_drops_what_is_deferred(autojump_clock: MockClock, open_stream: OpenStream) -> None:
    async with _trading(open_stream) as (sim, client, send):
        sim.rest.defer(5, cut=True, path=PATH)
        nonce = client.nonce()
        assert await send() is None
    await trio.sleep(10)
    assert client.nonce() == nonce


async def test_submissions_are_limited_by_owner(autojump_clock: MockClock, open_stream: OpenStream) -> None:
    async with _trading(open_stream) as (sim, client, send):
        sim.rest.enforce_limits()
        nonce, statuses = client.nonce(), []
        for _ in range(6):
            answer = await send()
            assert answer is not None
            statuses.append(answer[0])
        assert statuses == [200] * 5 + [429]
        assert client.nonce() == nonce + 5  # what is refused is not executed


def test_nonsense_is_refused() -> None:
    for seconds in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="finite"):
            RestFaults(1).defer(seconds)
