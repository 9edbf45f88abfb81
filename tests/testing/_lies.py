"""What the tests of the judges share: a small world, and streams that do not tell what the client told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import attrs
import trio

from o2trio import O2Client, Origin, Update, open_o2
from o2trio.simulator import Flavor, open_simulator
from o2trio.testing._judges_market import Judge
from o2trio.testing._network import HostileNetwork
from o2trio.testing._plan import Plan
from o2trio.testing._sources import Source
from o2trio.testing._users import Manner, StreamUser
from o2trio.testing._world import BrokenPromise, Phase, World

FUEL = "fFUEL/fUSDC"


@asynccontextmanager
async def small_world(
    *, seed: int = 1, rate: float = 0.5, flow: bool = True, **changes: Any
) -> AsyncGenerator[World]:
    """Open an exchange, a network without faults and a world with no plans."""
    plan = Plan(seed=seed, hours=0.25, rate=rate, consumers=(), faults=(), **changes)
    flavor = Flavor.parse(plan.flavor.split())
    async with (
        HostileNetwork(seed) as network,
        open_simulator(seed, rate=rate, flow=flow, flavor=flavor) as sim,
    ):
        yield World(plan, sim, network)


@asynccontextmanager
async def served(world: World) -> AsyncGenerator[O2Client]:
    """Open a client that the consumers of a world use; at the end it is over for them."""
    async with open_o2(world.config, options=world.options) as client:
        with world.serving(client):
            yield client
            world.enter(Phase.OVER)


@attrs.define
class Lie:
    """What becomes of updates on their way: `tell` gives what is told instead of one of those it `suits`.

    Attributes:
      tell: takes that update and the one before it.
      suits: which updates may be lied about.
      skip: so many of these are told as they are.
      lasts: whether it is told of all that follow, too.
      told: whether the lie has been told.
      conflated, most: how many items were replaced lately, as the judge is told, and at most so far.
    """

    tell: Callable[[Any, Any], Sequence[Update]]
    suits: Callable[[Any], bool] = lambda update: update.origin is Origin.LIVE
    skip: int = 2
    lasts: bool = False
    told: bool = False
    conflated: int = 0
    most: int = 0
    _before: Any = None

    def pass_on(self, update: Update) -> Sequence[Update]:
        before, self._before = self._before, update
        if (self.told and not self.lasts) or not self.suits(update):
            return [update]
        self.skip -= 1
        if self.skip >= 0 or before is None:
            return [update]
        self.told = True
        return self.tell(update, before)


def drop(update: Any, before: Any) -> Sequence[Update]:
    return []


def double(update: Any, before: Any) -> Sequence[Update]:
    return [update, update]


def turn_back(update: Any, before: Any) -> Sequence[Update]:
    """Tell the one before once more, after this one."""
    return [update, before]


class Lied(Judge):
    """Hears from the stream what a lie makes of it, and remembers what the judge behind it says."""

    def __init__(self, judge: Judge, lie: Lie) -> None:
        self.judge, self.lie = judge, lie
        self.verdict: BrokenPromise | None = None
        self.opened = None
        self.conflated = 0
        self.had_all = self.restored = -inf
        self.epoch = None

    def open(self) -> None:
        self.opened = trio.current_time()
        self.judge.open()

    def take(self, update: Update) -> None:
        self.epoch = update.epoch
        self.lie.conflated, self.lie.most = self.conflated, max(self.lie.most, self.conflated)
        if self.verdict is None:
            self.judge.conflated, self.judge.had_all = self.conflated, self.had_all
            self.judge.restored = self.restored
            try:
                for told in self.lie.pass_on(update):
                    self.judge.take(told)
            except BrokenPromise as broken:
                self.verdict = broken

    def settle(self, broken: float) -> None:
        self._ask(lambda: self.judge.settle(broken))

    def finish(self) -> None:
        self._ask(self.judge.finish)

    def _ask(self, question: Callable[[], None]) -> None:
        if self.verdict is None:
            try:
                question()
            except BrokenPromise as broken:
                self.verdict = broken


def lied_about(source: Source, lie: Lie, into: list[Lied]) -> Source:
    """Return the source with a judge that is lied to, which is put into a list."""

    def choose(world: World, random: Any, name: str) -> Any:
        supply = source(world, random, name)

        def judge() -> Lied:
            into.append(Lied(supply.judge(), lie))
            return into[-1]

        return attrs.evolve(supply, judge=judge)

    return choose


async def verdicts(
    source: Source,
    lies: dict[str, Lie],
    *,
    manner: Manner | None = None,
    seconds: float = 400.0,
    **changes: Any,
) -> dict[str, str]:
    """Let a user be told each of the lies at the same time, and return which promise each has broken.

    The connection breaks twice on the way. A lie that was never told, or not found out, is in there as such.
    """
    into: dict[str, list[Lied]] = {name: [] for name in lies}
    async with small_world(**changes) as world, served(world), trio.open_nursery() as nursery:
        users = []
        for name, lie in lies.items():
            # The same chance, so that all choose the same stream.
            user = StreamUser(world.random_for("liar"), lied_about(source, lie, into[name]), manner)
            users.append(user)
            await nursery.start(user.run, world)
        for _ in range(2):
            await trio.sleep(seconds / 3)
            world.sim.drop_connections()
        await trio.sleep(seconds / 3)
        world.sim.pause_flow()
        world.enter(Phase.REST)
        await trio.sleep(120)
        for user in users:
            user.check(world)
        nursery.cancel_scope.cancel()
    found = {}
    for name, lie in lies.items():
        verdict = next((each.verdict for each in into[name] if each.verdict is not None), None)
        found[name] = (
            "never told" if not lie.told else "not found out" if verdict is None else verdict.promise.value
        )
    return found
