"""A network inside the process that does to connections what real ones do, on demand and repeatably.

How bytes travel is in ``_lane``, what a connection is in ``_link``, who serves whom in ``_carrier``, the
queue of faults that await dials in ``_ambush``. What servers answer, truly or falsely, is theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from math import inf
from types import TracebackType

import attrs
import trio

from ._ambush import DIAL_ERRORS, Ambushes
from ._carrier import Carrier, Dial
from ._link import Connection, Direction

__all__ = ["HostileNetwork"]

_BOTH: tuple[Direction, ...] = ("up", "down")


@attrs.frozen(slots=True, eq=False)
class _Drip:
    host: str | None
    rate: float


class HostileNetwork(Carrier):
    """Carries bytes between clients and servers of this process; an async context manager.

    It is friendly until told otherwise: by :class:`Conditions`, which last, and by faults. Each fault is for
    one host, or for all if that is None. Everything random follows from the seed. Leaving it resets every
    connection and ends the servers; an error of a server comes out.

    Args:
      seed: of the jitter and of the sizes of torn pieces.

    Attributes:
      counts: how often each kind of fault has struck a connection or a dial.
    """

    counts: Counter[str]

    def __init__(self, seed: int = 7) -> None:
        super().__init__(seed)
        self.counts = Counter()
        self._ambushes = Ambushes()
        self._holes: dict[str | None, float] = {}
        self._drips: list[_Drip] = []
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        # Dials that wait shall not wait for ever.
        self.heal()
        return await super().__aexit__(kind, error, traceback)

    # -- faults of connections ---------------------------------------------------------------------

    def reset(self, host: str | None = None) -> None:
        """Break the present connections, for both ends at once; what is under way is lost."""
        for connection in self._present(host):
            self._strike("reset", connection.reset)

    def black_hole(self, host: str | None = None, seconds: float | None = None) -> None:
        """Let nothing through, either way, and tell nobody; new dials hang.

        What was sent meanwhile arrives afterwards. Without `seconds` it lasts until :meth:`heal`.
        """
        until = self._hold("black_hole", host, seconds, _BOTH)
        self._holes[host] = max(self._holes.get(host, until), until)

    def half_open(
        self, host: str | None = None, direction: Direction = "down", seconds: float | None = None
    ) -> None:
        """Do the same to one direction of the present connections; new ones are whole."""
        self._hold("half_open", host, seconds, (direction,))

    def die(self, host: str | None = None) -> None:
        """Let nothing through the present connections ever again, and tell nobody; new ones are whole.

        Not even :meth:`heal` brings them back: somebody must notice that they are dead.
        """
        for connection in self._present(host):
            self._strike("die", connection.die)

    def drip(self, host: str | None, bytes_per_second: float, seconds: float) -> None:
        """Let so little through, each way, for a while."""
        drip = _Drip(host, _positive("bytes_per_second", bytes_per_second))
        if self._nursery is None:
            raise RuntimeError("the network is not open")
        self._nursery.start_soon(self._drip_for, drip, _positive("seconds", seconds), name="drip")
        self._drips.append(drip)
        self.counts["drip"] += len(self._present(host))
        self._throttle()

    def cut_after(
        self,
        host: str | None,
        size: int,
        direction: Direction = "down",
        count: int | None = None,
    ) -> None:
        """Reset a connection as soon as so many more bytes have been received, counting one direction.

        Args:
          host: of which server.
          size: bytes, from 0 on.
          direction: ``"up"`` counts what the server receives, ``"down"`` what the client does.
          count: do it to so many of the next connections; None takes the present ones.
        """

        def arm(connection: Connection) -> None:
            connection.cut_after(direction, size, lambda: self._strike("cut", connection.reset))

        self._arrange("cut", host, count, arm)

    def early_eof(self, host: str | None = None, size: int = 0, count: int | None = 1) -> None:
        """End the server's answer after so many bytes, as a server does that goes away.

        `count` as for :meth:`cut_after`, but 1 by default.
        """

        def arm(connection: Connection) -> None:
            connection.cut_after("down", size, lambda: self._strike("early_eof", connection.end_early))

        self._arrange("early_eof", host, count, arm)

    def garbage(
        self, host: str | None, data: bytes, direction: Direction = "down", count: int | None = None
    ) -> None:
        """Put bytes into the stream, behind those that were sent; `count` as for :meth:`cut_after`."""

        def arm(connection: Connection) -> None:
            self._strike("garbage", lambda: connection.inject(direction, data))

        self._arrange("garbage", host, count, arm)

    # -- faults of dials ---------------------------------------------------------------------------

    def refuse(self, host: str | None = None, count: int | None = 1) -> None:
        """Refuse the next `count` dials; None lasts until :meth:`heal`, here and below."""
        self._ambushes.lay("refuse", host, count)

    def dns_failure(self, host: str | None = None, count: int | None = 1) -> None:
        """Let the next `count` dials find no address."""
        self._ambushes.lay("dns_failure", host, count)

    def dial_hang(self, host: str | None = None, count: int | None = 1) -> None:
        """Never answer the next `count` dials; they end when they are cancelled."""
        self._ambushes.lay("dial_hang", host, count)

    def tls_failure(self, host: str | None = None, count: int | None = 1, *, untrusted: bool = False) -> None:
        """Let TLS fail for the next `count` dials, whether or not the client uses it.

        Args:
          host, count: as above.
          untrusted: the certificate is not trusted, which does not pass by itself; counted as
            ``tls_untrusted``.
        """
        self._ambushes.lay("tls_untrusted" if untrusted else "tls_failure", host, count)

    def heal(self) -> None:
        """End every fault, also those still to come; conditions stay. A hung dial goes on hanging."""
        self._ambushes.clear()
        self._holes.clear()
        self._drips.clear()
        for connection in self._present(None):
            connection.heal()
        self._throttle()
        self._waiting.unpark_all()

    # -- inside ------------------------------------------------------------------------------------

    async def _approach(self, dial: Dial) -> Callable[[Connection], None] | None:
        host = dial.host
        await self._pass_hole(host)
        ambush = self._ambushes.meet(host)
        if ambush is None or ambush.spring is not None:
            return partial(self._opened, None if ambush is None else ambush.spring)
        self.counts[ambush.kind] += 1
        dial.outcome = ambush.kind
        if ambush.kind in DIAL_ERRORS:
            raise DIAL_ERRORS[ambush.kind](host)
        return await trio.sleep_forever()

    async def _pass_hole(self, host: str) -> None:
        def until() -> float:
            return max(self._holes.get(host, -inf), self._holes.get(None, -inf))

        if trio.current_time() < until():
            self.counts["black_hole"] += 1
        while trio.current_time() < until():
            with trio.move_on_at(until()):
                await self._waiting.park()

    def _opened(self, spring: Callable[[Connection], None] | None, connection: Connection) -> None:
        rate = self._rate(connection.host)
        if rate < inf:
            self.counts["drip"] += 1
            connection.throttle(rate)
        if spring is not None:
            spring(connection)

    def _strike(self, kind: str, blow: Callable[[], None]) -> None:
        self.counts[kind] += 1
        blow()

    def _arrange(
        self, kind: str, host: str | None, count: int | None, spring: Callable[[Connection], None]
    ) -> None:
        """Do something to the present connections, or to the next ones."""
        if count is not None:
            self._ambushes.lay(kind, host, count, spring)
            return
        for connection in self._present(host):
            spring(connection)

    def _hold(self, kind: str, host: str | None, seconds: float | None, ways: tuple[Direction, ...]) -> float:
        until = inf if seconds is None else trio.current_time() + _positive("seconds", seconds)
        for connection in self._present(host):
            self.counts[kind] += 1
            for way in ways:
                connection.hold(way, until)
        return until

    def _rate(self, host: str) -> float:
        return min((drip.rate for drip in self._drips if drip.host in {None, host}), default=inf)

    def _throttle(self) -> None:
        for connection in self._present(None):
            connection.throttle(self._rate(connection.host))

    async def _drip_for(self, drip: _Drip, seconds: float) -> None:
        await trio.sleep(seconds)
        if drip in self._drips:
            self._drips.remove(drip)
            self._throttle()


def _positive(name: str, number: float) -> float:
    if not 0 < number < inf:
        raise ValueError(f"{name} must be a positive number, not {number!r}")
    return number
