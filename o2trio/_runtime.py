"""What runs behind a client: the nursery, the connections, timers, repairs and the list of markets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import trio

from ._network import NetworkConfig, Options
from .models import Id, Market, Markets, NotUnderstood
from .recovery import Recovery
from .rest import RestClient
from .streams import Event, EventFeed, Hub, Mailbox, Oddities, Port, Topic, TradeLag
from .trading._desk import Desk
from .transport import Connection, backoff_delays
from .wire import AnyUpdate

__all__ = ["Runtime"]


class Runtime:
    """The world around the streams of one client (see :class:`o2trio.streams.Host`)."""

    def __init__(
        self, config: NetworkConfig, options: Options, rest: RestClient, nursery: trio.Nursery
    ) -> None:
        self.config = config
        self.options = options
        self.rest = rest
        self.hub = Hub(self)
        self.feed = EventFeed()
        self._recovery = Recovery(rest, self.markets, options)
        self.closed = False
        # Asked for every message; by way of trio.current_time() it would take three times as long.
        self.now = trio.lowlevel.current_clock().current_time
        self.oddities = Oddities(self.emit, self.now)
        rest.on_odd, rest.on_unreadable = self.oddities.note_fields, self.oddities.note_entries
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._connections: set[Connection] = set()
        self._connection_over = trio.Event()
        self._desks: dict[Id, Desk] = {}
        self._markets: dict[bool, Markets] = {}
        self._reading_markets = trio.Lock()

    # -- what the streams ask for (Host) --------------------------------------------------------

    def backoff(self) -> Iterator[float]:
        """Return a fresh sequence of waits."""
        return backoff_delays(self.options)

    def emit(self, event: Event) -> None:
        """Tell whoever listens."""
        self.feed.emit(event)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call `callback` after `delay` seconds, unless the client is closed by then."""

        async def wait() -> None:
            await trio.sleep(delay)
            callback()

        self._nursery.start_soon(wait, name="o2trio timer")

    def run_connection(self, port: Port) -> None:
        """Keep a connection for `port` until it is retired or given up."""
        connection = Connection(port, self.hub, self.config, self)
        self._connections.add(connection)
        self._nursery.start_soon(self._run_connection, connection, name=f"o2trio connection {port.number}")

    async def _run_connection(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._connection_over.set()
            self._connection_over = trio.Event()

    def repair(self, topic: Topic) -> None:
        """Find out what `topic` missed; what cannot be found out is marked as a gap."""
        self._nursery.start_soon(
            self._recovery.repair, topic, topic.epoch, name=f"o2trio repair of {topic.key}"
        )

    def learn(self, topic: Topic) -> None:
        """Find out how things stand at the beginning of `topic`."""
        self._nursery.start_soon(
            self._recovery.learn, topic, topic.epoch, name=f"o2trio beginning of {topic.key}"
        )

    def look_up(self, topic: Topic, entries: tuple[NotUnderstood, ...]) -> None:
        """Read the orders that `entries` could not say."""
        self._nursery.start_soon(
            self._recovery.look_up, topic, topic.epoch, entries, name=f"o2trio look-up for {topic.key}"
        )

    def catch_up(self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag) -> None:
        """Read for a slow consumer the trades that it missed."""
        self._nursery.start_soon(
            self._recovery.catch_up, topic, mailbox, lag, name=f"o2trio catch-up on {topic.key}"
        )

    # -- what the client asks for ---------------------------------------------------------------

    async def markets(self, *, refresh: bool = False, turbo: bool = False) -> Markets:
        """Return the markets of a venue, read once and kept; several callers share one request."""
        known = self._markets.get(turbo)
        if known is None or refresh:
            async with self._reading_markets:
                if self._markets.get(turbo) is known:
                    self._markets[turbo] = await self.rest.markets(turbo=turbo)
        else:
            await trio.lowlevel.checkpoint()
        return self._markets[turbo]

    async def market(self, name: str, *, turbo: bool = False) -> Market:
        """Return the market with this pair or id; an unknown one is looked for in a fresh list once."""
        known = self._markets.get(turbo)
        markets = await self.markets(turbo=turbo)
        if markets is known and name not in markets:
            markets = await self.markets(refresh=True, turbo=turbo)
        return markets.find(name)

    def desk(self, account: Id) -> Desk:
        """Return the one desk over which everything is sent in the name of an account."""
        if account not in self._desks:
            self._desks[account] = Desk(account, self.rest, self.options, self.config.now)
        return self._desks[account]

    def soon(self, callback: Callable[[], object]) -> None:
        """Call `callback` soon in Trio's thread. May be called anywhere, even from a garbage collection."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(callback)

    def close(self) -> None:
        """End all streams in good order."""
        if not self.closed:
            self.closed = True
            self.hub.close()
            self.feed.close()

    async def hang_up(self) -> None:
        """Close all connections politely, within ``Options.close_timeout``."""
        with trio.move_on_after(self.options.close_timeout):
            for connection in self._connections:
                connection.hang_up()
            while self._connections:
                await self._connection_over.wait()
