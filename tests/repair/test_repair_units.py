"""Orders whose creation time the stream sends in another unit than REST, or absurdly."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import open_o2
from o2trio.models import Order, Side
from o2trio.streams._memory import newest_of
from tests.tolerance._cases import (
    ACCOUNT,
    MARKET,
    OPTIONS,
    market_row,
    markets_body,
    order,
    orders,
    quiet_rest,
)
from tests.tolerance._server import Asked, RawServer, Reply, coded, reply

BASE = 1_790_000_000
WHO = {"ContractId": ACCOUNT}


def row(number: int, time: Any) -> dict[str, Any]:
    return order(
        {
            "order_id": f"0x{number:064x}",
            "market_id": MARKET,
            "account": WHO,
            "owner": WHO,
            "timestamp": str(time),
            "close": True,
            "cancel": False,
        }
    )


@pytest.mark.parametrize("streamed", [(BASE + 1) * 10**3, (BASE + 1) * 10**9, 2**127, 2**62, 0])
async def test_orders_of_a_break_are_read_whatever_time_was_streamed(
    autojump_clock: MockClock, streamed: int
) -> None:
    there = [row(1, BASE), row(2, BASE)]
    seen: set[str] = set()

    def rest(asked: Asked) -> Reply:
        if asked.path == "/v1/markets":
            return reply(markets_body(market_row()))
        if asked.path == "/v1/order":
            return coded(404, 3000, "Order not found")
        if asked.path != "/v1/orders":
            return quiet_rest(asked)
        rows = [each for each in reversed(there) if asked.query.get("is_open") != "true"]
        if "start_order_id" in asked.query:
            rows = rows[[each["order_id"] for each in rows].index(asked.query["start_order_id"]) + 1 :]
        return reply({"market_id": MARKET, "orders": rows[: int(asked.query["count"])]})

    server = RawServer(lambda _socket, _request: (), rest)
    async with trio.open_nursery() as nursery:
        async with open_o2(server.network(nursery), options=OPTIONS) as o2:

            async def follow() -> None:
                async with o2.stream_orders(ACCOUNT, seed=True) as updates:
                    async for update in updates:
                        seen.update(each.order_id for each in update.orders)

            nursery.start_soon(follow)
            await trio.sleep(10)
            there.append(row(3, BASE + 1))
            await server.socket.send(orders(row(3, streamed)))
            await trio.sleep(5)
            await server.socket.cut()
            there += [row(number, BASE + number) for number in range(4, 404)]
            await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert seen >= {each["order_id"] for each in there[2:]}


def test_a_time_far_from_all_others_is_not_believed() -> None:
    def created(*times: int | None) -> list[Order]:
        return [
            Order(order_id=f"0x{n:064x}", side=Side.BUY, price=1, quantity=1, timestamp=time)  # type: ignore[arg-type]
            for n, time in enumerate(times)
        ]

    assert newest_of(created(BASE, BASE + 5, 2 * BASE, 2**127, None), BASE - 9) == BASE + 5
    assert newest_of(created(BASE * 1000 + 1999), BASE) == BASE + 1
    assert newest_of(created(2 * BASE), BASE) == BASE
