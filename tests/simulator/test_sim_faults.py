"""What tests can let go wrong with REST, the rate limits, and slow WebSockets."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import h11
import pytest
import trio
from trio.testing import MockClock

from o2trio.simulator import RestFaults, Simulator, open_simulator
from o2trio.simulator._limits import KEYS_KEPT, Limit, Limiter

Get = Callable[..., Awaitable[Any]]
Dial = Callable[..., Awaitable[Any]]
PAIR = "fFUEL/fUSDC"


async def _statuses(get: Get, sim: Simulator, count: int, target: str = "/health") -> list[int]:
    return [(await get(sim, target)).status for _ in range(count)]


async def test_errors_for_some_requests_and_by_path(autojump_clock: MockClock, get: Get) -> None:
    async with open_simulator(flow=False) as sim:
        sim.rest.fail(503, count=2, retry_after=3)
        sim.rest.fail(400, code=2001, path="/v1/markets", count=1)
        first = await get(sim, "/health")
        assert (first.status, first.headers["retry-after"], json.loads(first.body)["code"]) == (
            503,
            "3",
            1000,
        )
        # The oldest fault acts first, the next one when it is used up.
        assert await _statuses(get, sim, 3, "/v1/markets") == [503, 400, 200]
        sim.rest.fail(429, retry_after=0.5, path="/v1/markets")
        limited = await get(sim, "/v1/markets")
        assert (limited.status, json.loads(limited.body)["code"]) == (429, 1003)
        assert limited.headers["retry-after"] == "0.5"
        assert await _statuses(get, sim, 3) == [200] * 3
        assert await _statuses(get, sim, 3, "/v1/markets") == [429] * 3
        sim.rest.heal()
        assert await _statuses(get, sim, 1, "/v1/markets") == [200]
        seen = [(request.method, request.target, request.status) for request in sim.rest.requests[:2]]
        assert seen == [("GET", "/health", 503), ("GET", "/v1/markets", 503)]


async def test_a_gateway_page(autojump_clock: MockClock, get: Get) -> None:
    async with open_simulator(flow=False) as sim:
        sim.rest.fail(502, html=True)
        answer = await get(sim, "/v1/markets")
        assert (answer.status, answer.headers["content-type"]) == (502, "text/html")
        assert answer.body.startswith(b"<html>")
        assert b"502 Bad Gateway" in answer.body


async def test_chance_follows_the_seed(autojump_clock: MockClock, get: Get) -> None:
    async def run(seed: int) -> list[int]:
        async with open_simulator(seed=seed, flow=False) as sim:
            sim.rest.fail(500, probability=0.3)
            return await _statuses(get, sim, 100)

    first = await run(1)
    assert 10 < first.count(500) < 60
    assert await run(1) == first
    assert await run(2) != first


async def test_a_cut_in_the_middle_of_an_answer(autojump_clock: MockClock, get: Get) -> None:
    async with open_simulator(flow=False) as sim:
        sim.rest.cut(count=1, path="/v1/")
        with pytest.raises(h11.RemoteProtocolError, match="without sending complete message body"):
            await get(sim, "/v1/markets")
        assert await _statuses(get, sim, 1, "/v1/markets") == [200]
        assert [request.status for request in sim.rest.requests] == [0, 200]


async def test_slow_answers_were_true_when_they_were_made(autojump_clock: MockClock, get: Get) -> None:
    async with open_simulator(flow=False) as sim:
        account = sim.create_account()
        sim.rest.slow(5, path="/v1/accounts", count=1)
        target, begin = f"/v1/accounts?trade_account_id={account.trade_account_id}", trio.current_time()

        async def trade_meanwhile() -> None:
            await trio.sleep(2)
            sim.place(account, PAIR, "buy", price="0.0100", quantity="1000")
            assert await _statuses(get, sim, 1) == [200]  # others do not wait
            assert trio.current_time() - begin == pytest.approx(2)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trade_meanwhile)
            answer = await get(sim, target)
        assert trio.current_time() - begin == pytest.approx(5)
        assert json.loads(answer.body)["trade_account"]["nonce"] == "0"
        assert json.loads((await get(sim, target)).body)["trade_account"]["nonce"] == "1"
        assert trio.current_time() - begin == pytest.approx(5)


async def test_slow_adds_up_with_errors(autojump_clock: MockClock, get: Get) -> None:
    async with open_simulator(flow=False) as sim:
        sim.rest.slow(1)
        sim.rest.slow(2, count=1)
        sim.rest.fail(500, count=1)
        begin = trio.current_time()
        assert await _statuses(get, sim, 2) == [500, 200]
        assert trio.current_time() - begin == pytest.approx(4)


async def test_rest_down_while_websockets_live(autojump_clock: MockClock, get: Get, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        socket, slow = await dial(sim), trio.Event()
        sim.rest.slow(60, count=1)

        async def waiting() -> None:
            with pytest.raises(h11.RemoteProtocolError):
                await get(sim, "/health")
            slow.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting)
            await trio.sleep(1)
            sim.rest.go_down()
            with trio.fail_after(0.1):
                await slow.wait()  # an answer under way is cut too
        assert sim.rest.is_down
        with pytest.raises(ConnectionRefusedError):
            await get(sim, "/health")
        await socket.send("PING")
        assert await socket.text() == "PONG"
        await (await dial(sim)).send("PING")
        sim.rest.come_back()
        assert await _statuses(get, sim, 1) == [200]


async def test_rest_down_on_a_shared_port(get: Get, dial: Dial) -> None:
    async with open_simulator(flow=False, listen=("127.0.0.1", 0)) as sim:
        sim.rest.go_down()
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await get(sim, "/health")
        socket = await dial(sim)
        await socket.send("PING")
        assert await socket.text() == "PONG"
        await socket.stream.aclose()
        sim.rest.heal()
        assert await _statuses(get, sim, 1) == [200]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("fail", {"status": 199}),
        ("fail", {"status": 600}),
        ("fail", {"count": 0}),
        ("cut", {"probability": 0}),
        ("cut", {"probability": 1.1}),
        ("slow", {"seconds": -1}),
        ("slow", {"seconds": float("inf")}),
        ("stale", {"milliseconds": -1}),
        ("stale", {"milliseconds": 60_001}),
    ],
)
def test_nonsense_is_refused(method: str, arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        getattr(RestFaults(1), method)(**arguments)


# -- limits ----------------------------------------------------------------------------------------


async def test_limits_are_off_until_asked_for(autojump_clock: MockClock, get: Get) -> None:
    async with open_simulator(flow=False) as sim:
        target = "/v1/aggregated/ticker"
        assert await _statuses(get, sim, 8, target) == [200] * 8
        sim.rest.enforce_limits()
        assert await _statuses(get, sim, 6, target) == [200] * 5 + [429]
        refused = await get(sim, "/v1/aggregated/assets")  # the same group
        assert (refused.headers["retry-after"], json.loads(refused.body)["code"]) == ("1", 1003)
        assert await _statuses(get, sim, 6, "/v1/markets/fees") == [200] * 5 + [429]
        assert await _statuses(get, sim, 30, "/v1/markets") == [200] * 30
        await trio.sleep(1)
        assert await _statuses(get, sim, 6, target) == [200] * 5 + [429]
        sim.rest.heal()
        assert await _statuses(get, sim, 1, target) == [429]
        sim.rest.lift_limits()
        assert await _statuses(get, sim, 1, target) == [200]
        sim.rest.enforce_limits(reads_per_second=3)
        assert await _statuses(get, sim, 4, "/v1/markets") == [200] * 3 + [429]


def test_a_window_slides_and_a_refusal_does_not_count() -> None:
    limiter = Limiter([Limit("GET", ("/a",), 2, 1.0)])
    waits = [limiter.wait("GET", "/a", "", now) for now in (0.0, 0.6, 0.9, 1.0, 1.1, 1.6)]
    assert waits == pytest.approx([0, 0, 0.1, 0, 0.5, 0])
    assert limiter.wait("POST", "/a", "", 1.6) == limiter.wait("GET", "/b", "", 1.6) == 0


def test_owners_are_counted_apart() -> None:
    limiter = Limiter()
    for owner in ("one", "two"):
        assert [limiter.wait("POST", "/v1/session/actions", owner, 0.0) for _ in range(6)] == [0] * 5 + [1]
    assert [limiter.wait("POST", "/v1/accounts/withdraw", "one", 0.0) for _ in range(11)] == [0] * 10 + [60]
    assert [limiter.wait("POST", "/v1/accounts", "one", 0.0) for _ in range(2)] == [0, 1]
    assert limiter.wait("POST", "/v1/accounts", "two", 0.0) == 1  # by address


def test_the_number_of_owners_is_bounded() -> None:
    limiter = Limiter()
    for number in range(KEYS_KEPT + 500):
        limiter.wait("PUT", "/v1/session", str(number), 0.0)
    assert len(limiter._times) == KEYS_KEPT


# -- latency ---------------------------------------------------------------------------------------


async def test_frames_take_their_time_and_keep_their_order(
    autojump_clock: MockClock, get: Get, dial: Dial
) -> None:
    async with open_simulator(flow=False) as sim:
        account = sim.create_account()
        socket = await dial(sim)
        who = [{"ContractId": account.trade_account_id}]
        await socket.send({"action": "subscribe_nonce", "identities": who})
        await trio.testing.wait_all_tasks_blocked()
        sim.set_latency(1.5)
        begin = trio.current_time()
        sim.place(account, PAIR, "buy", price="0.0100", quantity="1000")
        target = f"/v1/accounts?trade_account_id={account.trade_account_id}"
        assert json.loads((await get(sim, target)).body)["trade_account"]["nonce"] == "1"
        assert trio.current_time() == begin  # REST knows it long before the stream
        await trio.sleep(0.5)
        sim.place(account, PAIR, "buy", price="0.0100", quantity="1000")
        sim.set_latency(0)
        sim.place(account, PAIR, "buy", price="0.0100", quantity="1000")
        arrivals = []
        for _ in range(3):
            nonce = (await socket.receive())["nonce"]
            arrivals.append((nonce, round(trio.current_time() - begin, 3)))
        assert arrivals == [("1", 1.5), ("2", 2.0), ("3", 2.0)]
        await socket.send("PING")
        assert await socket.text() == "PONG"
        assert trio.current_time() - begin == pytest.approx(2)


async def test_what_is_under_way_arrives_before_the_end(autojump_clock: MockClock, dial: Dial) -> None:
    async with open_simulator(flow=False) as sim:
        socket = await dial(sim)
        sim.set_latency(30)
        await socket.send("PING")
        await trio.testing.wait_all_tasks_blocked()
        await socket.stream.send_eof()
        assert await socket.text() == "PONG"


async def test_nonsense_latency() -> None:
    async with open_simulator(flow=False) as sim:
        for seconds in (-1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="finite"):
                sim.set_latency(seconds)
