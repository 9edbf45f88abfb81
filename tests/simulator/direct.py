"""The independent client with a simulator's REST interface at hand instead of a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from o2trio.models import normalize_id
from o2trio.simulator import Account, Exchange, Flavor
from o2trio.simulator._requests import Response
from o2trio.simulator._rest import Rest
from tests.independent.o2client import Client, Key, Refused

NOW = 1_790_000_000


class Clock:
    """The exchange's time, moved by hand; seconds."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> int:
        return int(self.now * 1_000_000_000)


class Direct(Client):
    """One owner with an account, money and a session; bodies may be changed after they were signed."""

    def __init__(self, exchange: Exchange, *, evm: bool = False, flavor: Flavor | None = None) -> None:
        self.exchange = exchange
        self.api = Rest(exchange, flavor or Flavor())
        self.change: Callable[[Any], None] = lambda body: None
        self.last: Response | None = None
        self.lag = 0
        self.header: str | None = None
        super().__init__("", Key(evm=evm))

    def ask(self, method: str, path: str, body: object, owner: str | None) -> tuple[int, Any]:
        if body is not None:
            body = json.loads(json.dumps(body))
            self.change(body)
        data = b"" if body is None else json.dumps(body).encode()
        header = (owner or "") if self.header is None else self.header
        self.last = self.api.respond(method, path, data, self.lag, header)
        return self.last.status, json.loads(self.last.body)

    @property
    def record(self) -> Account:
        return self.exchange.accounts[normalize_id(self.account)]

    def set_up(self) -> None:
        self.create_account()
        self.send("POST", "/faucet", {"contract": self.account})
        self.create_session([market["contract_id"] for market in self.markets["markets"]], NOW + 3600)

    def prepared(self, act: Callable[[], object]) -> tuple[str, str, bytes, str]:
        """Return method, path, body and owner of the write that `act` would send."""
        caught: list[tuple[str, str, bytes, str]] = []

        def catch(method: str, target: str, body: bytes, lag: int, owner: str) -> Response:
            if method == "GET":
                return respond(method, target, body, lag, owner)
            caught.append((method, target, body, owner))
            return Response(status=200, body=b"{}")

        respond = self.api.respond
        with patch.object(self.api, "respond", catch):
            act()
        return caught[0]

    def refused(self, act: Callable[[], object]) -> dict[str, Any]:
        """Return the envelope of what must be refused."""
        try:
            done = act()
        except Refused as refusal:
            return refusal.envelope
        raise AssertionError(f"not refused: {done}")
