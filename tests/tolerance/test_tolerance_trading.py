"""Sessions, withdrawals and submissions: what they do not need may be odd, and a success stays one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import ApiError, O2Error
from tests.tolerance._cases import CASES
from tests.tolerance._exchange import FUEL, OWNER, changed
from tests.tolerance._server import Asked, reply

SESSIONS: dict[str, Any] = {
    "account-session-text": CASES["account-session-text"]["messages"]["body"]["session"],
    "text": "0x12",
    "number": 7,
    "list": [],
    "empty": {},
    "odd contracts": {"session_id": {"Address": "0x" + "77" * 32}, "expiry": "soon", "contract_ids": "all"},
}
DETAILS: dict[str, Any] = {
    "synced": {"synced_with_network": "yes"},
    "sync state": {"sync_state": 1.5},
    "modification": {"last_modification": "yesterday"},
}


def with_account(session: Any = None, **details: Any) -> Callable[[Asked, Any], Any]:
    def change(asked: Asked, body: Any) -> Any:
        if asked.path == "/v1/accounts" and asked.method == "GET":
            body["trade_account"] |= details
            if session is not None:
                body["session"] = session
        return body

    return change


@pytest.mark.parametrize("name", [*SESSIONS, *DETAILS])
async def test_session_and_withdraw_need_nothing_of_a_registered_session(
    autojump_clock: MockClock, name: str
) -> None:
    change = with_account(SESSIONS.get(name), **DETAILS.get(name, {}))
    async with changed(change) as world:
        with trio.fail_after(60):
            receipt = await world.o2.withdraw(OWNER, "fUSDC", amount="5")
            assert receipt.tx_id
            async with world.o2.session(OWNER, FUEL) as session:
                bought = await session.buy(FUEL, price="0.0200", quantity="1000")
                assert bought.is_open
                assert bought.order_id in world.exchange.orders


ORDER_DETAILS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "submit-odd-fills": lambda row: {
        "order_id": row["order_id"],
        "fills": CASES["submit-odd-fills"]["messages"]["body"]["orders"][0]["fills"],
    },
    "id alone": lambda row: {"order_id": row["order_id"]},
    "no price": lambda row: {**row, "price": None},
    "quantity is an object": lambda row: {**row, "quantity": {"Quantity": "5"}},
    "odd history": lambda row: {**row, "history": [{"tx_id": None}], "order_tx_history": 7},
    "odd time": lambda row: {**row, "timestamp": "soon"},
    "odd side": lambda row: {**row, "side": {"Buy": None}},
    "odd type": lambda row: {**row, "order_type": None},
    "without 0x": lambda row: {**row, "order_id": row["order_id"][2:].upper()},
}


@pytest.mark.parametrize("name", ORDER_DETAILS)
async def test_a_submission_whose_orders_are_odd_is_a_success_that_keeps_its_id(
    autojump_clock: MockClock, name: str
) -> None:
    ids: list[str] = []

    def change(asked: Asked, body: Any) -> Any:
        if asked.path == "/v1/session/actions" and body.get("orders"):
            ids.extend(row["order_id"] for row in body["orders"])
            body["orders"] = [ORDER_DETAILS[name](row) for row in body["orders"]]
        return body

    async with changed(change) as world, world.o2.session(OWNER, FUEL) as session:
        with trio.fail_after(60):
            bought = await session.buy(FUEL, price="0.0200", quantity="1000")
        assert [bought.order_id] == ids
        assert len(world.exchange.orders) == 1
        assert (bought.order.price, bought.order.quantity) == (20_000, 1000 * 10**9)
        with trio.fail_after(60):
            await session.cancel(bought)
        assert world.exchange.orders[bought.order_id].cancel


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "code 0": lambda body: {**body, "code": 0, "message": "ok"},
    "code 200 as text": lambda body: {**body, "code": "200"},
    "null error": lambda body: {**body, "error": None, "reason": None, "message": "done"},
    "success": lambda body: {**body, "success": True, "status": "ok"},
    "orders null": lambda body: {**body, "orders": None},
    "orders text": lambda body: {**body, "orders": "1"},
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_success_in_another_spelling_is_a_success(autojump_clock: MockClock, name: str) -> None:
    def change(asked: Asked, body: Any) -> Any:
        return ANSWERS[name](body) if asked.path == "/v1/session/actions" else body

    async with changed(change) as world, world.o2.session(OWNER, FUEL) as session:
        with trio.fail_after(200):
            bought = await session.buy(FUEL, price="0.0200", quantity="1000")
        assert bought.order_id in world.exchange.orders
        assert len(world.exchange.orders) == 1


REFUSALS: dict[str, tuple[int, Any]] = {
    "text code": (400, {"code": "3002", "message": "too small"}),
    "error": (400, {"code": 3002, "error": "too small"}),
    "with status 200": (200, {"code": "3002", "message": "too small"}),
    "detail": (400, {"code": 3002, "detail": "too small"}),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refused_submission_keeps_the_servers_words(autojump_clock: MockClock, name: str) -> None:
    status, body = REFUSALS[name]

    def change(asked: Asked, answer: Any) -> Any:
        return reply(body, status) if asked.path == "/v1/session/actions" else answer

    async with changed(change) as world, world.o2.session(OWNER, FUEL) as session:
        with pytest.raises(ApiError, match="too small") as caught, trio.fail_after(60):
            await session.buy(FUEL, price="0.0200", quantity="1000")
        assert caught.value.code == 3002


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_submission_follows_no_redirect(autojump_clock: MockClock, status: int) -> None:
    """It is sent once, to where it was meant for, and the error names the location."""

    def change(asked: Asked, answer: Any) -> Any:
        if asked.path in {"/v1/session/actions", "/v1/accounts/withdraw"}:
            return status, {"Location": "/v2/elsewhere"}, b""
        return answer

    async with changed(change) as world:
        with pytest.raises(O2Error, match="/v2/elsewhere"), trio.fail_after(60):
            await world.o2.withdraw(OWNER, "fUSDC", amount="5")
        assert [asked.path for asked in world.submissions] == ["/v1/accounts/withdraw"]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_parser_that_does_not_know_the_first_signature_key_gets_the_other(
    autojump_clock: MockClock, status: int
) -> None:
    refusal = (status, {"Content-Type": "text/plain"}, b"unknown variant `Secp256k1`")
    keys: list[str] = []
    async with changed(lambda _asked, body: body) as world:
        answer = world.server.rest

        def rest(asked: Asked) -> Any:
            if asked.path != "/v1/session/actions":
                return answer(asked)
            (key,) = json.loads(asked.body)["signature"]
            keys.append(key)
            return refusal if key == "Secp256k1" else answer(asked)

        async with world.o2.session(OWNER, FUEL, lane=1) as session:
            world.server.rest = rest
            with pytest.raises(ApiError):  # the simulator takes the first key only
                await session.buy(FUEL, price="0.0200", quantity="1000")
        assert keys == ["Secp256k1", "TypedSecp256k1"]
