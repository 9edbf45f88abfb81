"""Readings of the protocol that take a socket, a session or the command line to see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trio.testing import MockClock
from wsproto.events import BytesMessage

from o2trio.cli import main
from o2trio.simulator import Account, Flavor, open_simulator
from o2trio.simulator._accounts import SessionRecord
from o2trio.simulator._encode import DEFAULT_FLAVOR
from o2trio.simulator._reshape import reshape_answer


async def test_messages_in_binary_frames_and_heartbeats_in_text(autojump_clock: MockClock, dial: Any) -> None:
    async with open_simulator(flavor=Flavor(frames="binary")) as sim:
        market_id = sim.market("fFUEL/fUSDC").market_id
        socket = await dial(sim)
        await socket.send({"action": "subscribe_depth", "market_id": market_id, "precision": "10"})
        found: list[Any] = []
        while len(found) < 2:
            await socket.pump()
            found = [event for event in socket.others if isinstance(event, BytesMessage)]
        first = json.loads(bytes(found[0].data))
        assert first["action"] == "subscribe_depth"
        await socket.send("PING")
        assert await socket.text() == "PONG"


@pytest.mark.parametrize("choice", ["protocol", "error", "json"])
async def test_the_answer_to_a_text_ping(autojump_clock: MockClock, dial: Any, choice: Any) -> None:
    answers = {"error": {"code": 1002, "message": "malformed request"}, "json": {"action": "PONG"}}
    async with open_simulator(flavor=Flavor(heartbeat=choice)) as sim:
        socket = await dial(sim)
        await socket.send("PING")
        await socket.send({"action": "subscribe_nothing"})
        if choice in answers:
            assert await socket.receive() == answers[choice]
        assert "unknown variant" in (await socket.receive())["message"]


def test_a_session_in_text(exchange: Any) -> None:
    account: Account = exchange.create_account("one", {})
    session = SessionRecord(session_id=account.owner, expiry=5, contract_ids=())
    shown = {"session": DEFAULT_FLAVOR._session(session)}
    assert reshape_answer(Flavor(session="text"), "/v1/accounts", shown) == {
        "session": {"session_id": account.owner.id, "expiry": None}
    }
    none = {"session": None}
    assert reshape_answer(Flavor(session="text"), "/v1/accounts", none) == none


def test_the_command_refuses_an_unknown_reading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulator", "--flavor", "ids=odd"]) == 2
    assert "prefixed, bare, upper" in capsys.readouterr().err
