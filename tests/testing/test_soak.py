"""Scenarios: each fault alone, broken promises found and told, and failures made smaller."""

from __future__ import annotations

import gc
import pickle
from random import Random

import pytest
import trio

from o2trio.testing import _soak
from o2trio.testing._fault_kinds import FAULTS
from o2trio.testing._plan import ConsumerPlan, FaultPlan, Plan
from o2trio.testing._soak import run_plan, run_seed, shrink, soak
from o2trio.testing._world import BrokenPromise, Phase, Promise, World

SHORT = 0.2


class Spy:
    """Does nothing but write down in which phases it saw the world."""

    name = ""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.updates = self.backfilled = self.gaps = 0
        self.phases: list[Phase] = []

    async def run(self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        client = None
        while (client := await world.client(client)) is not None:
            self.updates += 1
            self.phases.append(world.phase)

    def check(self, world: World) -> None:
        assert world.phase is Phase.REST
        assert self.phases[:1] in ([], [Phase.FAULTS])


class Judge(Spy):
    """Finds that a promise is broken if two certain faults came."""

    def check(self, world: World) -> None:
        if {"mute", "drop"} <= set(world.faults):
            raise BrokenPromise(Promise.TRADES, "seven are missing", self.name)


class Hasty(Spy):
    """Fails with an error that nobody has promised."""

    async def run(self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep(100)
        raise KeyError("nobody expects this")


class Stayer(Spy):
    """Does not come to its end."""

    async def run(self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()


STAND_INS = {"spy": Spy, "judge": Judge, "hasty": Hasty, "stayer": Stayer}


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_soak, "KINDS", STAND_INS)


def plan(*consumers: str, faults: tuple[FaultPlan, ...] = ()) -> Plan:
    chosen = tuple(ConsumerPlan(index, kind) for index, kind in enumerate(consumers))
    return Plan(seed=1, hours=SHORT, rate=0.05, consumers=chosen, faults=faults)


def fault(index: int, kind: str) -> FaultPlan:
    return FaultPlan(index, 30.0 + index, kind, FAULTS[kind].draw(Random(index)))


@pytest.mark.usefixtures("stand_ins")
def test_a_peaceful_scenario_goes_through_its_phases() -> None:
    report = run_plan(plan("spy"))
    assert report.failure is None
    assert report.hours == pytest.approx(SHORT, abs=0.01)
    assert (report.clients, report.eras, report.updates) == (1, 1, 1)
    assert not report.faults


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_does_its_harm_and_ends(kind: str) -> None:
    """With real consumers; none of the promises is broken by one fault, thrice."""
    faults = tuple(
        FaultPlan(number, 60.0 + 30 * number, kind, FAULTS[kind].draw(Random(number))) for number in range(3)
    )
    report = run_plan(plan("book", "trades", "seeded nonces", faults=faults))
    assert report.failure is None
    assert report.faults == {kind: 3}


@pytest.mark.usefixtures("stand_ins")
def test_another_client_takes_the_place_of_one_that_is_closed() -> None:
    report = run_plan(plan("spy", "spy", faults=(fault(0, "another client"),)))
    assert (report.clients, report.updates, report.failure) == (2, 4, None)


@pytest.mark.usefixtures("stand_ins")
def test_a_broken_promise_is_told_with_its_circumstances() -> None:
    report = run_plan(plan("spy", "judge", faults=(fault(0, "drop"), fault(1, "mute"))))
    failure = report.failure
    assert failure is not None
    assert (failure.promise, failure.detail) == ("trades once", "seven are missing")
    assert failure.consumer == "1 judge"
    assert any("fault  1 mute" in line for line in failure.events)
    assert pickle.loads(pickle.dumps(report)) == report


@pytest.mark.usefixtures("stand_ins")
def test_a_foreign_error_breaks_a_promise_too() -> None:
    failure = run_plan(plan("hasty")).failure
    assert failure is not None
    assert failure.promise == Promise.OWN_ERRORS
    assert "KeyError: 'nobody expects this'" in failure.detail
    assert "test_soak.py" in failure.detail


@pytest.mark.usefixtures("stand_ins")
def test_who_does_not_end_is_found() -> None:
    failure = run_plan(plan("stayer", "spy")).failure
    assert failure is not None
    assert failure.promise == Promise.CLOSES


@pytest.mark.usefixtures("stand_ins")
def test_a_client_that_gives_up_without_a_cause_breaks_a_promise() -> None:
    class Quitter(Spy):
        async def run(
            self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
        ) -> None:
            task_status.started()
            client = await world.client()
            assert client is not None
            await trio.sleep(50)
            world.lost(client, self.name, ValueError("tired"))

    STAND_INS["quitter"] = Quitter
    try:
        failure = run_plan(plan("quitter")).failure
        excused = run_plan(plan("quitter", faults=(fault(0, "closed for good"),))).failure
    finally:
        del STAND_INS["quitter"]
    assert failure is not None
    assert failure.promise == Promise.LIVENESS
    assert excused is None


@pytest.mark.usefixtures("stand_ins")
def test_a_failure_is_made_as_small_as_it_can_be() -> None:
    kinds = ["reset", "drop", "pings", "drip", "mute", "closed", "restart", "refused", "mute"]
    faults = tuple(fault(index, kind) for index, kind in enumerate(kinds))
    steps = list(shrink(run_plan(plan("spy", "spy", "judge", "spy", faults=faults))))
    sizes = [sum(step.plan.size) for step in steps]
    assert sizes == sorted(sizes, reverse=True)
    smallest = steps[-1].plan
    assert [each.kind for each in smallest.consumers] == ["judge"]
    assert sorted(each.kind for each in smallest.faults) == ["drop", "mute"]


def test_seeds_run_in_this_process_and_in_others_alike() -> None:
    seeds = [27, 38]
    inside = list(soak(seeds, SHORT, processes=1))
    outside = list(soak(seeds, SHORT, processes=2))
    assert [report.plan.seed for report in inside] == seeds
    assert [report.failure for report in inside] == [None, None]
    assert inside == outside


def test_no_world_outlives_its_scenario() -> None:
    """A soak of thousands of hours would not fit into memory otherwise."""
    gc.collect()
    before = sum(isinstance(thing, World) for thing in gc.get_objects())
    run_plan(plan("book", "seeded nonces", "orders", "trader"))
    gc.collect()
    assert sum(isinstance(thing, World) for thing in gc.get_objects()) == before


def test_a_scenario_repairs_what_breaks() -> None:
    """A seed with faults is no empty exercise."""
    report = run_seed(38, SHORT)
    assert report.failure is None
    assert report.frames > 20
    assert report.updates > 20
    assert report.recoveries
