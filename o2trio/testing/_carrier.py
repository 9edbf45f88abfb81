"""Connections inside the process: who serves which host, dialling, conditions. No faults.

How bytes travel is in ``_lane``, what a connection is in ``_link``; what goes wrong is in ``_network``.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import attrs
import trio

from .._network import NetworkConfig
from .._nursery import BareNursery
from ._lane import Conditions
from ._link import Connection

__all__ = ["Carrier", "Dial", "Serve"]

DIALS_KEPT = 10_000
"""How many of the latest dials are remembered."""

Serve = Callable[[trio.abc.Stream], Awaitable[None]]
"""Serves one connection until it ends; the stream is closed for it then."""


@attrs.define(slots=True)
class Dial:
    """One dial: when it began, on Trio's clock, to where, and what came of it.

    Attributes:
      outcome: ``"waiting"``, ``"connected"``, ``"cancelled"``, ``"closed"`` (nobody is attached there), or
        the kind of fault that let it fail or hang.
    """

    time: float
    host: str
    port: int
    outcome: str = "waiting"


class Carrier:
    """A network without faults; :class:`HostileNetwork` adds them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._servers: dict[str, Serve] = {}
        self._conditions: dict[str | None, Conditions] = {None: Conditions()}
        self._open: list[Connection] = []
        self._numbers: Counter[str] = Counter()
        self._dials: deque[Dial] = deque(maxlen=DIALS_KEPT)
        self._manager = BareNursery()
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        self._nursery = await self._manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._nursery = None
        for connection in self._open:
            connection.reset()
        return await self._manager.__aexit__(kind, error, traceback)

    # -- who is there ------------------------------------------------------------------------------

    def attach(self, host: str, serve: Serve) -> None:
        """Let `serve` have every connection to `host`; each runs in a task of the network's own.

        A server that was there before is replaced, and its connections are reset.
        """
        self.detach(host)
        self._servers[host] = serve

    def detach(self, host: str) -> None:
        """Take the server away, if there is one: its connections are reset and new ones refused."""
        if self._servers.pop(host, None) is not None:
            for connection in self._present(host):
                connection.reset()

    def route(self, config: NetworkConfig, serve: Serve) -> NetworkConfig:
        """Attach `serve` to the hosts of `config`; return the same deployment, reached through here."""
        urls = (config.rest_url, config.websocket_url, config.faucet_url, config.graphql_url)
        for host in dict.fromkeys(urlsplit(url).hostname for url in urls if url is not None):
            self.attach(host or "", serve)
        return attrs.evolve(config, dialer=self.dial)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Every connection that one end at least has not closed yet, oldest first; broken ones too."""
        self._open = [each for each in self._open if each.is_held]
        return tuple(self._open)

    @property
    def dials(self) -> tuple[Dial, ...]:
        """The latest dials, oldest first."""
        return tuple(self._dials)

    async def dial(self, host: str, port: int) -> trio.abc.Stream:
        """Open a connection; the dialer of a :class:`NetworkConfig`.

        It takes a round trip. The port is only noted.

        Raises:
          OSError: nobody is attached to `host`, or a fault says so.
        """
        dial = Dial(trio.current_time(), host, port)
        self._dials.append(dial)
        try:
            await trio.sleep(2 * self.conditions(host).latency)
            on_open = await self._approach(dial)
            return self._connect(dial, on_open).client
        finally:
            if dial.outcome == "waiting":
                dial.outcome = "cancelled"

    # -- conditions --------------------------------------------------------------------------------

    def conditions(self, host: str) -> Conditions:
        """Return the conditions of connections to `host`."""
        return self._conditions.get(host, self._conditions[None])

    def set_conditions(self, conditions: Conditions, host: str | None = None) -> None:
        """Carry bytes so from now on, also those that still wait at their sender.

        Args:
          conditions: the new ones, in full.
          host: for this one only; without, for all, whatever was said of any before.
        """
        if host is None:
            self._conditions.clear()
        self._conditions[host] = conditions
        for connection in self._present(host):
            connection.set_conditions(self.conditions(connection.host))

    # -- for faults --------------------------------------------------------------------------------

    async def _approach(self, dial: Dial) -> Callable[[Connection], None] | None:
        """Let a dial through, delay it or raise; may return what to do to its connection."""
        raise NotImplementedError

    def _present(self, host: str | None) -> list[Connection]:
        """Return the connections to `host`, or to all, that work as far as anybody knows."""
        return [each for each in self.connections if not each.is_broken and host in {None, each.host}]

    # -- inside ------------------------------------------------------------------------------------

    def _connect(self, dial: Dial, on_open: Callable[[Connection], None] | None) -> Connection:
        host, serve = dial.host, self._servers.get(dial.host)
        if self._nursery is None or serve is None:
            dial.outcome = "closed"
            raise ConnectionRefusedError(f"nobody is attached to the simulated network as {host}")
        dial.outcome = "connected"
        self._numbers[host] += 1
        connection = Connection(host, dial.port, self._numbers[host], self._seed, self.conditions(host))
        self._open = [*self.connections, connection]
        if on_open is not None:
            on_open(connection)
        self._nursery.start_soon(_run, serve, connection, name=f"server of {host}")
        return connection


async def _run(serve: Serve, connection: Connection) -> None:
    try:
        await serve(connection.server)
    finally:
        await trio.aclose_forcefully(connection.server)
