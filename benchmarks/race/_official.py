"""The official SDK, used as its documentation shows: ``async for update in client.stream_...()``.

It is imported when the peer runs, in the one environment that has it; the protocols here are what the type
checkers know of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import tracemalloc
from collections.abc import AsyncGenerator, Coroutine, Sequence
from importlib import import_module
from types import ModuleType
from typing import Protocol, TypeAlias, cast

from benchmarks.race._meter import Measure, Meter, Result, Task, delay, held, visits
from benchmarks.race._traffic import ACCOUNT, MARK, Traffic

__all__ = ["MEASURES"]

_MARK = str(MARK)


class _Update(Protocol):
    onchain_timestamp: str | None
    seen_timestamp: str


class _Client(Protocol):
    async def get_markets(self) -> object: ...
    async def close(self) -> None: ...


class _Market(Protocol):
    def scale_price(self, human_value: str) -> int: ...
    def scale_quantity(self, human_value: str) -> int: ...
    def adjust_quantity(self, price: int, quantity: int) -> int: ...
    def validate_order(self, price: int, quantity: int) -> None: ...


_Updates: TypeAlias = AsyncGenerator[_Update]
_Main: TypeAlias = Coroutine[object, object, None]


def _open(task: Task) -> tuple[_Client, list[_Updates]]:
    """Return a client and a stream for each consumer."""
    if task.scenario.tls:
        # It takes no TLS context, but OpenSSL looks here for authorities to trust.
        os.environ["SSL_CERT_FILE"] = task.authority
    # It writes a line for each message that it drops; that would be counted as time of the SDK.
    logging.getLogger("o2_sdk").setLevel(logging.ERROR)
    sdk = import_module("o2_sdk")
    config = sdk.NetworkConfig(
        api_base=task.url("http"), ws_url=task.url("ws", "/v1/ws"), fuel_rpc="", faucet_url=None
    )
    client: _Client = sdk.O2Client(custom_config=config)
    return client, cast("list[_Updates]", task.streams(client))


async def _begin(client: _Client, group: asyncio.TaskGroup, consumers: Sequence[_Main]) -> None:
    """Start all consumers; return when they wait for the first measured message.

    The first one alone: it connects, and what others send meanwhile would be lost. What the exchange answers
    to one reaches all that are there, so none can tell when it is ready; only time does.
    """
    await client.get_markets()
    for number, consumer in enumerate(consumers):
        group.create_task(consumer)
        if number == 0:
            await asyncio.sleep(0.3)
    await asyncio.sleep(0.3 + 0.005 * len(consumers))


async def stream(task: Task, *, book: bool) -> Result:
    """Receive; with `book`, feed an order book too."""
    apply = import_module("o2_sdk").DepthBook().apply if book else None
    client, streams = _open(task)
    meter, counts, paced = Meter(task, len(streams)), [0] * len(streams), bool(task.scenario.rate)

    async def consume(number: int, updates: _Updates) -> None:
        delays = list[int]()
        async for update in updates:
            if update.onchain_timestamp == _MARK:
                break
            if paced and counts[number]:
                delays.append(delay(int(update.seen_timestamp)))
            if apply is not None:
                apply(update)
            counts[number] += 1
        meter.finish(counts[number] - early[number], delays)

    async with asyncio.TaskGroup() as group:
        await _begin(client, group, [consume(*each) for each in enumerate(streams)])
        early = counts.copy()
        meter.start()
    await client.close()
    return meter.result()


async def idle(task: Task) -> Result:
    """Weigh idle subscriptions with their tasks."""
    client, (warm, *others) = _open(task)

    async def consume(updates: _Updates) -> None:
        async for _ in updates:
            pass

    async with asyncio.TaskGroup() as group:
        await _begin(client, group, [consume(warm)])
        tracemalloc.start()
        await _begin(client, group, [consume(updates) for updates in others])
        taken = held()
        tracemalloc.stop()
        await client.close()
    return {"bytes": taken / len(others)}


async def buffer(task: Task) -> Result:
    """Weigh updates that wait for their consumer."""
    client, (updates,) = _open(task)
    await anext(updates)
    tracemalloc.start()
    task.go()
    await asyncio.sleep(1)  # The length of its queue is no public matter.
    full = held()
    for _ in range(task.scenario.messages):
        await anext(updates)
    taken = full - held()
    tracemalloc.stop()
    await updates.aclose()
    await client.close()
    return {"bytes": taken / task.scenario.messages}


async def connect(task: Task) -> Result:
    """Open one client after the other, and wait for the first snapshot."""

    async def visit() -> float:
        began = time.perf_counter()
        client, (updates,) = _open(task)
        await anext(updates)
        took = time.perf_counter() - began
        await updates.aclose()
        await client.close()
        return took

    return await visits(task.scenario.messages, visit)


def orders(task: Task) -> Result:
    """Check, encode, sign and write orders."""
    sdk = import_module("o2_sdk")
    listed = json.loads(Traffic(task.scenario).markets)
    info = {**listed["markets"][0], "accounts_registry_id": listed["accounts_registry_id"]}
    market, count, key = sdk.Market.from_dict(info), task.scenario.messages, bytes(31) + b"\1"
    address = "0x" + sdk.load_wallet(key.hex()).address_bytes.hex()
    cpu = time.process_time()
    for nonce in range(count):
        _order(sdk, market, info, key, address, nonce)
    return {"order_us": (time.process_time() - cpu) / count * 1e6}


def _order(
    sdk: ModuleType, market: _Market, info: dict[str, object], key: bytes, address: str, nonce: int
) -> str:
    price, quantity = market.scale_price("10.01"), market.scale_quantity("4")
    quantity = market.adjust_quantity(price, quantity)
    market.validate_order(price, quantity)
    actions = [
        sdk.SettleBalanceAction(to=sdk.Id(ACCOUNT)).to_dict(),
        sdk.CreateOrderAction(side=sdk.OrderSide.BUY, price=str(price), quantity=str(quantity)).to_dict(),
    ]
    calls = [sdk.action_to_call(action, info) for action in actions]
    signature = sdk.raw_sign(key, sdk.build_actions_signing_bytes(nonce, calls))
    body = {
        "actions": [{"market_id": info["market_id"], "actions": actions}],
        "signature": {"Secp256k1": "0x" + signature.hex()},
        "nonce": str(nonce),
        "trade_account_id": ACCOUNT,
        "session_id": {"Address": address},
        "collect_orders": True,
    }
    return json.dumps(body)


MEASURES: dict[tuple[str, str], Measure] = {
    ("sdk", "stream"): lambda task: asyncio.run(stream(task, book=False)),
    ("sdk-book", "stream"): lambda task: asyncio.run(stream(task, book=True)),
    ("sdk", "idle"): lambda task: asyncio.run(idle(task)),
    ("sdk", "buffer"): lambda task: asyncio.run(buffer(task)),
    ("sdk", "connect"): lambda task: asyncio.run(connect(task)),
    ("sdk", "orders"): orders,
}
"""By the names of the peer and of the measurement."""
