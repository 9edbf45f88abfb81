"""This library, through its public interface; orders through the parts behind ``Session.place``."""

from __future__ import annotations

import ssl
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

import msgspec
import trio

from benchmarks.race._meter import Measure, Meter, Result, Task, delay, held, visits
from benchmarks.race._traffic import ACCOUNT, MARK, Traffic
from o2trio import (
    FuelWallet,
    Identity,
    Market,
    Markets,
    NetworkConfig,
    NewOrder,
    O2Client,
    Subscription,
    Update,
    open_o2,
)
from o2trio.trading._drafts import actions_draft
from o2trio.trading._requests import to_action, with_settlements
from o2trio.trading._signing import signature_of
from o2trio.trading._tracks import Track
from o2trio.wire import structure_json

__all__ = ["MEASURES"]

_Updates: TypeAlias = Subscription[Update]
_Consume: TypeAlias = Callable[[Meter, _Updates], Awaitable[None]]


def _network(task: Task) -> NetworkConfig:
    trust = ssl.create_default_context(cafile=task.authority) if task.scenario.tls else None
    return NetworkConfig(
        name="race", rest_url=task.url("http"), websocket_url=task.url("ws", "/v1/ws"), ssl_context=trust
    )


def _streams(task: Task, o2: O2Client) -> list[_Updates]:
    return cast("list[_Updates]", task.streams(o2))


# -- consumers ------------------------------------------------------------------------------------


async def _each(meter: Meter, updates: _Updates) -> None:
    count = 0
    async for update in updates:
        if update.onchain_timestamp == MARK:
            break
        count += 1
    meter.finish(count)


async def _timed(meter: Meter, updates: _Updates) -> None:
    delays = list[int]()
    async for update in updates:
        if update.onchain_timestamp == MARK:
            break
        delays.append(delay(update.seen_timestamp or 0))
    meter.finish(len(delays), delays)


async def _batches(meter: Meter, updates: _Updates) -> None:
    count = 0
    async for batch in updates.batches():
        count += len(batch)
        if batch[-1].onchain_timestamp == MARK:
            break
    meter.finish(count - sum(update.onchain_timestamp == MARK for update in batch))


async def _run(
    consume: _Consume, meter: Meter, updates: _Updates, *, task_status: trio.TaskStatus[None]
) -> None:
    async with updates:
        if updates.statistics().buffered:
            await updates.receive()  # The snapshot that a depth stream begins with.
        task_status.started()
        await consume(meter, updates)


# -- measurements ---------------------------------------------------------------------------------


async def stream(batches: bool, task: Task) -> Result:
    """Receive, one by one or in batches."""
    consume = _batches if batches else _timed if task.scenario.rate else _each
    async with open_o2(_network(task)) as o2:
        streams = _streams(task, o2)
        meter = Meter(task, len(streams))
        async with trio.open_nursery() as nursery:
            for updates in streams:
                await nursery.start(_run, consume, meter, updates)
            await trio.sleep(0.3)  # What is measured begins with nothing left to do.
            meter.start()
    return meter.result()


async def idle(task: Task) -> Result:
    """Weigh idle subscriptions with their tasks."""
    async with open_o2(_network(task)) as o2, trio.open_nursery() as nursery:
        warm, *others = _streams(task, o2)
        meter = Meter(task)
        await nursery.start(_run, _each, meter, warm)
        tracemalloc.start()
        for updates in others:
            await nursery.start(_run, _each, meter, updates)
        await trio.sleep(0.3)
        taken = held()
        tracemalloc.stop()
        nursery.cancel_scope.cancel()
    return {"bytes": taken / len(others)}


async def buffer(task: Task) -> Result:
    """Weigh updates that wait for their consumer."""
    count = task.scenario.messages
    async with open_o2(_network(task)) as o2, _streams(task, o2)[0] as updates:
        await updates.receive()
        tracemalloc.start()
        task.go()
        with trio.fail_after(30):
            while updates.statistics().buffered < count:  # noqa: ASYNC110  # no event tells of a full buffer
                await trio.sleep(0.01)
        full = held()
        for _ in range(count):
            updates.receive_nowait()
        taken = full - held()
        tracemalloc.stop()
    return {"bytes": taken / count}


async def connect(task: Task) -> Result:
    """Open one client after the other, and wait for the first snapshot."""

    async def visit() -> float:
        began = time.perf_counter()
        async with open_o2(_network(task)) as o2, _streams(task, o2)[0] as updates:
            await updates.receive()
            return time.perf_counter() - began

    return await visits(task.scenario.messages, visit)


async def orders(task: Task) -> Result:
    """Check, encode, sign and write orders."""
    listed = structure_json(Traffic(task.scenario).markets, Markets)
    market, key, count = listed.markets[0], FuelWallet(bytes(31) + b"\1"), task.scenario.messages
    cpu = time.process_time()
    for nonce in range(count):
        await _order(listed, market, key, nonce)
    return {"order_us": (time.process_time() - cpu) / count * 1e6}


async def _order(listed: Markets, market: Market, key: FuelWallet, nonce: int) -> bytes:
    account = Identity.contract(ACCOUNT)
    action = to_action(
        NewOrder(market, "buy", price="10.01", quantity="4"), lambda _: market, account, time.time
    )
    actions = with_settlements([action], account)
    draft = actions_draft(key, key.address, ACCOUNT, actions, listed, Track.SEQUENTIAL)
    signature = {"Secp256k1": await signature_of(key, draft.request(nonce), 10)}
    return msgspec.json.encode({**draft.body, "nonce": str(nonce), "signature": signature})


MEASURES: dict[tuple[str, str], Measure] = {
    ("ours", "stream"): lambda task: trio.run(stream, False, task),
    ("ours-batches", "stream"): lambda task: trio.run(stream, True, task),
    ("ours", "idle"): lambda task: trio.run(idle, task),
    ("ours", "buffer"): lambda task: trio.run(buffer, task),
    ("ours", "connect"): lambda task: trio.run(connect, task),
    ("ours", "orders"): lambda task: trio.run(orders, task),
}
"""By the names of the peer and of the measurement."""
