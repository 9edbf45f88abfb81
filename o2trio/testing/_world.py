"""What a scenario's parts share: the world they act in, its truth, its diary, and the promises.

Who acts is in ``_consumers``, what goes wrong in ``_plan``, how a scenario runs in ``_soak``. House rule for
this package: no wall clock, no unseeded randomness, no threads, no real I/O, and no iteration over sets whose
order could follow from hashes or addresses.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import attrs
import trio

from .._client import O2Client
from .._network import Options
from ..models import Market
from ..simulator import Audit, Exchange, Simulator
from ._lane import Conditions

if TYPE_CHECKING:
    from ._network import HostileNetwork
    from ._plan import Plan

__all__ = [
    "EVENTS_KEPT",
    "PROMISES",
    "BrokenPromise",
    "Consumer",
    "Diary",
    "Era",
    "Fact",
    "Phase",
    "Promise",
    "World",
]

EVENTS_KEPT = 60
"""How many of the last notes a failure shows."""

_CONNECTIONS = 40
"""Enough for every consumer of a plan to need one of its own."""

Fact = str | int | Decimal | bool | None
"""What a note may be made of: nothing whose text depends on a clock, an address or a hash."""


_MESSAGE_BYTES = 1024 * 1024
"""Far more than any message of a market as small as ours."""


class Promise(StrEnum):
    """What is promised to users (design, section 1), as far as a scenario can judge it."""

    EXACT = "order and exactness"
    MARKED = "marked losses"
    BOOK = "book at quiescence"
    TRADES = "trades once"
    STATE = "state at quiescence"
    NOT_TWICE = "no order twice"
    OUTCOMES = "outcomes true"
    BOUNDED = "bounded"
    CLEAN = "nothing left over"
    CLOSES = "close in time"
    DIAL_RATE = "dial rate"
    APART = "others unharmed"
    LIVENESS = "liveness"
    OWN_ERRORS = "no foreign errors"


PROMISES = tuple(Promise)
"""All of them."""


class BrokenPromise(AssertionError):
    """The project did not do what it promises.

    Attributes:
      promise: which one.
      detail: what was seen, and what should have been.
      consumer: whose name it concerns; empty if nobody's in particular.
    """

    def __init__(self, promise: Promise | str, detail: str, consumer: str = "") -> None:
        self.promise = Promise(promise)
        self.detail = detail
        self.consumer = consumer
        super().__init__(f"{self.promise}: {f'{consumer}: ' if consumer else ''}{detail}")


class Phase(StrEnum):
    """Where a scenario stands.

    FAULTS: things go wrong. QUIET: nothing does any more, the market goes on, and all must become true.
    REST: the market stands still, too, and everything is to be compared with the truth. OVER: the client is
    being closed; consumers come to their end.
    """

    FAULTS = "faults"
    QUIET = "quiet"
    REST = "rest"
    OVER = "over"


class Consumer(Protocol):
    """Somebody who uses the client, and can tell whether it kept its promises to them.

    Attributes:
      name: unique in its scenario.
      updates, backfilled, gaps: how many it got: all, repaired ones, marks of what could not be repaired.
    """

    name: str

    @property
    def updates(self) -> int:
        """Items."""
        ...

    @property
    def backfilled(self) -> int:
        """Repaired items."""
        ...

    @property
    def gaps(self) -> int:
        """Marks of what could not be repaired."""
        ...

    async def run(self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Use the client until the world is over; call ``task_status.started()`` without waiting long.

        It returns by itself within the closing time when the phase is OVER.

        Raises:
          BrokenPromise: at once when one is broken.
        """
        ...

    def check(self, world: World) -> None:
        """Compare with the truth, in the phase REST, before the client is closed.

        Raises:
          BrokenPromise: something is not true.
        """
        ...


@attrs.frozen(slots=True)
class Era:
    """The life of the exchange between two restarts: its number from 0, when it began, and the exchange."""

    number: int
    began: float
    exchange: Exchange

    @property
    def audit(self) -> Audit:
        """Everything that became true in it."""
        return self.exchange.audit


class Diary:
    """Writes down what happens: a running digest of everything, and the last notes in words."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._notes: deque[tuple[int, str, tuple[Fact, ...]]] = deque(maxlen=EVENTS_KEPT)
        self.count = 0

    def note(self, microseconds: int, source: str, facts: tuple[Fact, ...]) -> None:
        """Take in one note."""
        self.count += 1
        self._notes.append((microseconds, source, facts))
        self._hash.update(f"{microseconds} {source} {facts!r}\n".encode())

    @property
    def digest(self) -> str:
        """What all notes so far come to: 16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]

    def lines(self) -> Iterator[str]:
        """Yield the last notes, oldest first."""
        for microseconds, source, facts in self._notes:
            yield f"{microseconds / 1e6:12.6f}  {source}  {' '.join(map(str, facts))}"


class World:
    """Everything a scenario's parts act on and compare with. Made by ``run_plan``.

    Attributes:
      plan: what shall happen.
      sim: the exchange; its ``sim.exchange`` is another one after a restart.
      network: between the client and the exchange.
      config, options: of every client. It goes over the hostile network, with a clock that may be wrong.
      phase: where the scenario stands.
      faults: how many there were so far, by kind.
      eras: the lives of the exchange so far, oldest first.
      clock_offset: seconds by which the clients' idea of the exchange's time is wrong.
      clients, frames: how many were opened, and messages received by those that have closed.
      clients_closed: the last client has closed.
      diary: what happened.
    """

    def __init__(self, plan: Plan, sim: Simulator, network: HostileNetwork) -> None:
        self.plan = plan
        self.sim = sim
        self.network = network
        self.phase = Phase.FAULTS
        self.faults: Counter[str] = Counter()
        self.eras = [Era(0, trio.current_time(), sim.exchange)]
        self.clock_offset = 0.0
        self.clients = 0
        self.diary = Diary()
        self.frames = 0
        self.clients_closed = trio.Event()
        self.options = Options(
            jitter=self.random_for("jitter").random,
            buffer_size=plan.buffer_size,
            conflation_limit=plan.conflation_limit,
            max_attempts=plan.max_attempts,
            reads_per_second=plan.reads_per_second,
            max_connections=_CONNECTIONS,
            max_message_bytes=_MESSAGE_BYTES,
        )
        network.set_conditions(self.conditions)
        sim.rest.stale(plan.lag)
        self.config = attrs.evolve(
            network.route(sim.network, sim.serve), clock=lambda: sim.time() + self.clock_offset
        )
        self._began = trio.current_time()
        self._client: O2Client | None = None
        self._changed = trio.Event()
        self._replace = trio.Event()
        self._loss_excused_until = self._began

    # -- time, chance and diary --------------------------------------------------------------------

    def now(self) -> float:
        """Return virtual seconds since the beginning of the scenario."""
        return trio.current_time() - self._began

    def random_for(self, name: str) -> Random:
        """Return a source of chance that depends on the plan's seed and `name` only."""
        return Random(f"o2 scenario {self.plan.seed} {name}")

    def note(self, source: str, *facts: Fact) -> None:
        """Write down that something happened now; it becomes part of the digest."""
        self.diary.note(round(self.now() * 1e6), source, facts)

    # -- the truth ---------------------------------------------------------------------------------

    @property
    def era(self) -> Era:
        """The present life of the exchange."""
        return self.eras[-1]

    @property
    def audit(self) -> Audit:
        """Everything that became true in the present era."""
        return self.sim.exchange.audit

    def market(self, pair: str) -> Market:
        """Return a market of the exchange by its pair."""
        return self.sim.market(pair)

    def begin_era(self) -> None:
        """Say that the exchange has just restarted with fresh state."""
        self.eras.append(Era(len(self.eras), trio.current_time(), self.sim.exchange))
        self.note("restart", len(self.eras) - 1)

    # -- the client --------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether consumers shall come to their end."""
        return self.phase is Phase.OVER

    async def client(self, after: O2Client | None = None) -> O2Client | None:
        """Wait for an open client and return it; None when the scenario is over.

        Args:
          after: a client that has ended; another one is waited for.
        """
        while True:
            while not self.is_over and (self._client is None or self._client is after):
                await self._changed.wait()
            await trio.lowlevel.checkpoint()
            if self.is_over:
                return None
            # It may have been replaced meanwhile.
            if self._client is not None and self._client is not after:
                return self._client

    def host(self, which: str) -> str:
        """Return the host name of ``streams`` or ``rest``."""
        url = self.config.websocket_url if which == "streams" else self.config.rest_url
        return urlsplit(url).hostname or ""

    @property
    def conditions(self) -> Conditions:
        """What the network is like when nothing goes wrong."""
        return Conditions(latency=self.plan.latency)

    def is_open(self, client: O2Client) -> bool:
        """Tell whether `client` is the present one: not closed, not about to be replaced."""
        return client is self._client and not self.is_over

    def lost(self, client: O2Client, consumer: str, error: BaseException) -> None:
        """Report that a connection was given up for good; the client is closed and another one opened.

        Raises:
          BrokenPromise: nothing that happened permits to give up.
        """
        self.note("lost", consumer, type(error).__name__)
        if client is self._client:
            if trio.current_time() > self._loss_excused_until:
                raise BrokenPromise(Promise.LIVENESS, f"gave up without a fatal cause: {error}", consumer)
            self.replace_client()

    def expect_loss(self, seconds: float) -> None:
        """Say that during so many seconds something happens that may end a client for good."""
        self._loss_excused_until = max(self._loss_excused_until, trio.current_time() + seconds)

    def replace_client(self) -> None:
        """Have the present client closed, and another one opened."""
        self._client = None
        self._replace.set()

    # -- for whoever runs the scenario -------------------------------------------------------------

    def enter(self, phase: Phase) -> None:
        """Begin a phase."""
        self.phase = phase
        self.note("phase", phase.value)
        self._tell()

    @contextmanager
    def serving(self, client: O2Client) -> Generator[trio.Event]:
        """Offer a client to the consumers; the event tells when it shall be closed."""
        self._client, self._replace = client, trio.Event()
        self.clients += 1
        self.note("client", self.clients)
        self._tell()
        try:
            yield self._replace
        finally:
            self._client = None
            self.frames += client.statistics().frames

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
