"""Carries out plans, many of them in several processes, and makes the plan of a failure smaller.

What a plan is made of is in ``_plan``; who judges is in ``_consumers`` and ``_oracle``.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import PurePath
from typing import cast

import attrs
import trio

from .._client import open_o2
from .._nursery import BareNursery
from ..models import Id
from ..simulator import Flavor, Simulator, default_listings, listing, open_simulator
from . import _determinism
from ._consumers import KINDS
from ._fault_kinds import FAULTS, heal
from ._motion import moving
from ._network import HostileNetwork
from ._oracle import Oracle
from ._plan import QUIET_SECONDS, REST_SECONDS, Plan, draw_plan
from ._repairs import keep_watch
from ._watch import watches_of
from ._world import BrokenPromise, Consumer, Phase, Promise, World

__all__ = ["Failure", "Report", "plan_of", "run_plan", "run_seed", "shrink", "soak"]

_END_SECONDS = 30.0
"""How long clients and consumers may take together to end; the client's own closing is measured apart."""

_CLOSING_MARGIN = 0.5
"""So much longer than ``Options.close_timeout`` closing may take: REST ends after that."""

_REOPEN_SECONDS = 1.0
"""So long after a client ended the next one is opened, as whoever starts programs again does."""

_PLACES = 6
"""How many of the innermost places of a foreign error a report names."""


@attrs.frozen(slots=True, kw_only=True)
class Failure:
    """A promise was broken: which one, what was seen, by whom, when, and the last notes before it."""

    promise: str
    detail: str
    consumer: str
    time: float
    events: tuple[str, ...]


@attrs.frozen(slots=True, kw_only=True)
class Report:
    """What came out of a plan.

    Attributes:
      plan: what was carried out.
      digest: of everything that happened; equal plans give equal digests.
      hours: simulated.
      frames: WebSocket messages that the clients received.
      faults: how many went wrong, by kind.
      clients, eras: how many clients were opened, and how many lives the exchange had.
      updates, backfilled, gaps: what all consumers got: all items, repaired ones, marks of what is missing.
      recoveries: virtual seconds from each break of a stream until it was whole again, or marked what it
        lost; outages and waits count as they are.
      cpu: seconds of the processor; not part of what is compared.
      failure: what went wrong, or None.
    """

    plan: Plan
    digest: str
    hours: float
    frames: int
    faults: Mapping[str, int]
    clients: int
    eras: int
    updates: int
    backfilled: int
    gaps: int
    recoveries: tuple[float, ...]
    cpu: float = attrs.field(default=0.0, eq=False)
    failure: Failure | None = None


def plan_of(seed: int, hours: float) -> Plan:
    """Return the plan that a seed stands for."""
    return draw_plan(seed, hours, tuple(KINDS))


def run_seed(seed: int, hours: float) -> Report:
    """Carry out the plan of a seed."""
    return run_plan(plan_of(seed, hours))


def run_plan(plan: Plan) -> Report:
    """Carry out a plan in virtual time and report; a broken promise is reported, not raised.

    It runs Trio, so it cannot be called from within Trio.
    """
    began = time.process_time()
    report = _determinism.run(plan.seed, _Scenario(plan).run)
    return attrs.evolve(report, cpu=time.process_time() - began)


def soak(seeds: Iterable[int], hours: float, *, processes: int = 2) -> Iterator[Report]:
    """Carry out the plans of many seeds, and yield their reports in the order of the seeds.

    Args:
      seeds: which.
      hours: simulated hours of each.
      processes: how many at the same time; with one they run in this process.
    """
    if processes == 1:
        yield from map(run_seed, seeds, repeat(hours))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(run_seed, seeds, repeat(hours))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def shrink(report: Report) -> Iterator[Report]:
    """Leave out faults and consumers as long as the same promise is still broken; yield each success.

    The last report that is yielded is the smallest one; none is if nothing can be left out.

    Args:
      report: of a failure.
    """
    best, changed = report, True
    while changed:
        changed = False
        for better in _smaller(best):
            best, changed = better, True
            yield best


def _smaller(report: Report) -> Iterator[Report]:
    """Yield ever smaller failures, leaving out ever smaller parts of faults and consumers."""
    assert report.failure is not None
    best, promise = report, report.failure.promise
    for what in ("faults", "consumers"):
        numbers = [each.index for each in getattr(best.plan, what)]
        size = len(numbers)
        while size:
            at = 0
            while at < len(numbers):
                part = numbers[at : at + size]
                tried = run_plan(best.plan.without(**{what: part}))
                if tried.failure is not None and tried.failure.promise == promise:
                    best = tried
                    del numbers[at : at + size]
                    yield best
                else:
                    at += size
            size //= 2


class _Scenario:
    """One plan being carried out."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._world: World
        self._consumers: list[Consumer] = []
        self._all_ended = trio.Event()
        self._running = 0

    async def run(self) -> Report:
        """Carry it out and report; broken promises and foreign errors are part of the report."""
        plan, failure = self._plan, None
        try:
            async with HostileNetwork(plan.seed) as network, _exchange(plan) as sim:
                self._world = World(plan, sim, network)
                with _listening(self._world), moving():
                    await self._live(self._world)
        except BrokenPromise as broken:
            failure = broken
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever else comes out, at whatever place, is a finding: no promise covers it.
            failure = BrokenPromise(Promise.OWN_ERRORS, _story(error))
        return self._report(self._world, failure)

    async def _live(self, world: World) -> None:
        oracle = Oracle(world)
        async with BareNursery() as nursery:
            nursery.start_soon(self._keep_clients, world, name="scenario clients")
            for each in self._plan.consumers:
                made = KINDS[each.kind](world.random_for(f"consumer {each.name}"))
                # A crowd's name is a property, which nobody but the checker minds.
                consumer = cast("Consumer", made)
                consumer.name = each.name
                self._consumers.append(consumer)
                await nursery.start(self._use, consumer, world, name=f"scenario consumer {each.name}")
            await self._let_go_wrong(world)
            heal(world)
            world.enter(Phase.QUIET)
            await trio.sleep(QUIET_SECONDS)
            world.sim.pause_flow()
            world.enter(Phase.REST)
            await trio.sleep(REST_SECONDS)
            for consumer in self._consumers:
                consumer.check(world)
            oracle.check(world, self._consumers)
            await self._end(world)
            oracle.check_end(world)

    async def _let_go_wrong(self, world: World) -> None:
        plan, began = self._plan, trio.current_time()
        if plan.max_attempts is not None:
            # A long outage ends a client then.
            world.expect_loss(plan.fault_seconds + QUIET_SECONDS / 2)
        async with BareNursery() as faults:
            for fault in plan.faults:
                await trio.sleep_until(began + fault.time)
                words = (f"{name}={value}" for name, value in fault.arguments.items())
                world.note("fault", fault.index, fault.kind, *words)
                world.faults[fault.kind] += 1
                inject = partial(FAULTS[fault.kind].inject, world, **fault.arguments)
                faults.start_soon(inject, name=f"scenario fault {fault.index}")
            await trio.sleep_until(began + plan.fault_seconds)

    async def _keep_clients(self, world: World) -> None:
        """Have a client open all the time, one after the other, and judge how each closes."""
        while not world.is_over:
            async with open_o2(world.config, options=world.options) as client:
                async with BareNursery() as nursery:
                    nursery.start_soon(keep_watch, world, client, name="scenario watch over repairs")
                    with world.serving(client) as replace:
                        await replace.wait()
                closing = trio.current_time()
            took = trio.current_time() - closing
            world.note("closed", f"{took:.6f}")
            if took > world.options.close_timeout + _CLOSING_MARGIN:
                raise BrokenPromise(Promise.CLOSES, f"closing took {took:.3f} s")
            if not world.is_over:
                await trio.sleep(_REOPEN_SECONDS)
        world.clients_closed.set()

    async def _use(
        self, consumer: Consumer, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        self._running += 1
        await consumer.run(world, task_status)
        self._running -= 1
        if not self._running:
            self._all_ended.set()

    async def _end(self, world: World) -> None:
        """Close the client under its consumers; both must come to their end."""
        world.enter(Phase.OVER)
        world.replace_client()
        with trio.move_on_after(_END_SECONDS):
            await world.clients_closed.wait()
            while self._running:
                await self._all_ended.wait()
            return
        raise BrokenPromise(
            Promise.CLOSES, f"{self._running} consumers or the client did not come to their end"
        )

    def _report(self, world: World, failure: BrokenPromise | None) -> Report:
        consumers = self._consumers
        return Report(
            plan=self._plan,
            digest=world.diary.digest,
            hours=world.now() / 3600,
            frames=world.frames,
            faults=dict(sorted(world.faults.items())),
            clients=world.clients,
            eras=len(world.eras),
            updates=sum(each.updates for each in consumers),
            backfilled=sum(each.backfilled for each in consumers),
            gaps=sum(each.gaps for each in consumers),
            recoveries=tuple(seconds for each in watches_of(world) for seconds in each.recoveries),
            failure=None
            if failure is None
            else Failure(
                promise=failure.promise.value,
                detail=failure.detail,
                consumer=failure.consumer,
                time=world.now(),
                events=tuple(world.diary.lines()),
            ),
        )


def _exchange(plan: Plan) -> AbstractAsyncContextManager[Simulator]:
    """Open the exchange of a plan: the markets that there are by default, and more like the first."""
    known = default_listings()
    base, quote = known[0].market.base, known[0].market.quote
    more = [
        listing(attrs.evolve(base, symbol=f"f{number}", asset=Id(f"0x{number:064x}")), quote, price="0.0251")
        for number in range(1, plan.markets - len(known) + 1)
    ]
    flavor = Flavor.parse(plan.flavor.split())
    return open_simulator(plan.seed, rate=plan.rate, markets=(*known, *more), flavor=flavor)


class _Notes(logging.Handler):
    """Writes what the client logs into the diary."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.note("log", f"{record.getMessage():.200}")


@contextmanager
def _listening(world: World) -> Generator[None]:
    """Have the log in the diary, and nowhere else: a soak warns thousands of times."""
    log, notes = logging.getLogger("o2trio"), _Notes(world)
    propagate, log.propagate = log.propagate, False
    log.addHandler(notes)
    try:
        yield
    finally:
        log.removeHandler(notes)
        log.propagate = propagate


def _story(error: BaseException) -> str:
    """Return an error with the places it came through, shortened, and free of addresses and paths."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    places = " < ".join(
        f"{PurePath(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames)
    )
    cause = error.__cause__ or error.__context__
    behind = "" if cause is None else f"; from {type(cause).__name__}: {cause!s:.200}"
    return f"{type(error).__name__}: {error!s:.400}{behind} [{places}]"
