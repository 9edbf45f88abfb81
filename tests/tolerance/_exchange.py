"""An exchange whose REST answers may be changed on their way to a client that trades."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from o2trio import FuelWallet, O2Client, open_o2
from o2trio.models import Identity
from o2trio.simulator import Account, Exchange, Flavor, default_listings
from o2trio.simulator._rest import Rest
from tests.tolerance._cases import OPTIONS
from tests.tolerance._server import Asked, RawServer, Reply, reply

__all__ = ["FUEL", "OWNER", "World", "changed"]

FUEL = "fFUEL/fUSDC"
OWNER = FuelWallet.from_key("11" * 32)
NOW = 1_790_000_000


@attrs.frozen
class World:
    """A client, the server it talks to, and the exchange that is true."""

    o2: O2Client
    server: RawServer
    exchange: Exchange
    account: Account

    @property
    def submissions(self) -> list[Asked]:
        return [asked for asked in self.server.asked if asked.method != "GET"]


@asynccontextmanager
async def changed(change: Callable[[Asked, Any], Any]) -> AsyncGenerator[World]:
    """Open a world in which `change` replaces successful answers.

    Args:
      change: (request, body of the answer) -> the body that is sent instead, or a whole reply.
    """
    exchange = Exchange(default_listings(), lambda: NOW * 10**9)
    account = exchange.open_account(Identity.address(OWNER.address))
    for market in exchange.markets.markets:
        for side in (market.base, market.quote):
            exchange.deposit(account, side.asset, 10**6 * 10**side.decimals)
    exchange.seal()
    api = Rest(exchange, Flavor())

    def rest(asked: Asked) -> Reply:
        owner = asked.headers.get("o2-owner-id", "")
        response = api.respond(asked.method, asked.target, asked.body, 0, owner)
        body = json.loads(response.body)
        answer = change(asked, body) if response.status == 200 else body
        return answer if isinstance(answer, tuple) else reply(answer, response.status)

    server = RawServer(lambda *_: (), rest)
    async with trio.open_nursery() as nursery:
        network = server.network(nursery, clock=lambda: float(NOW))
        async with open_o2(network, options=OPTIONS) as o2:
            yield World(o2, server, exchange, account)
        nursery.cancel_scope.cancel()
