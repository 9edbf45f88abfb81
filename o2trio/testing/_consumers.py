"""The kinds of consumers that a scenario is drawn from, by name.

What they have in common is in ``_users``, what they choose from in ``_sources``; ``_onlookers`` and
``_traders`` are of their own sort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType

import trio

from .._nursery import BareNursery
from ..wire import Frequency, Kind
from ._onlookers import BookUser, EventListener
from ._sources import Source, Supply, accounts, depth, trades, views
from ._traders import Trader
from ._users import Manner, StreamUser, User
from ._world import World

__all__ = ["KINDS", "Crowd"]

_NAP = 60.0
"""How long a sleeper sleeps at most: less than everything rests at the end."""

_SLOW = Manner(nap=5.0, nap_chance=0.3)
_SLEEPY = Manner(nap=_NAP)
_IMPATIENT = Manner(patience=4.0)
_LATE = Manner(delay=1800.0)
_PASSING = Manner(stay=_NAP)


class Crowd:
    """Several consumers at once, which count as one.

    Attributes:
      members: who they are; their names begin with the crowd's.
    """

    def __init__(self, members: Sequence[User]) -> None:
        self.members = tuple(members)
        self.name = "crowd"

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name
        for number, member in enumerate(self.members):
            member.name = f"{name}.{number}"

    @property
    def updates(self) -> int:
        """Items of all."""
        return sum(member.updates for member in self.members)

    @property
    def backfilled(self) -> int:
        """Repaired items of all."""
        return sum(member.backfilled for member in self.members)

    @property
    def gaps(self) -> int:
        """Gap marks of all."""
        return sum(member.gaps for member in self.members)

    @property
    def subscriptions(self) -> int:
        """How many consumers of server subscriptions they are at rest."""
        return sum(member.subscriptions for member in self.members)

    async def run(self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Let all run until the world is over."""
        over = [trio.Event() for _ in self.members]

        async def run(member: User, ended: trio.Event) -> None:
            await member.run(world)
            ended.set()

        async with BareNursery() as nursery:
            for member, ended in zip(self.members, over, strict=True):
                nursery.start_soon(run, member, ended, name=f"scenario consumer {member.name}")
            task_status.started()
            for ended in over:
                await ended.wait()

    def check(self, world: World) -> None:
        """Check all."""
        for member in self.members:
            member.check(world)


Factory = Callable[[Random], User | Crowd]


def _stream(source: Source, manner: Manner | None = None) -> Factory:
    return lambda random: StreamUser(random, source, manner)


def _crowd(source: Source, *manners: Manner) -> Factory:
    """Several on the same stream: they choose alike, and behave differently."""

    def make(random: Random) -> Crowd:
        choice = random.getrandbits(64)

        def choose_alike(world: World, _random: Random, name: str) -> Supply:
            return source(world, Random(choice), name)

        return Crowd([StreamUser(Random(random.getrandbits(64)), choose_alike, manner) for manner in manners])

    return make


_EVERYBODY = (Manner(), _SLEEPY, _IMPATIENT, Manner(in_batches=True), _PASSING)

KINDS: Mapping[str, Factory] = MappingProxyType(
    {
        "book": _stream(depth(1)),
        "coarse book": _stream(depth(2, 3, 5, 9)),
        "slow book": _stream(depth(1), _SLOW),
        "sleeping book": _stream(depth(1, 1, 2), _SLEEPY),
        "impatient book": _stream(depth(1), _IMPATIENT),
        "late book": _stream(depth(1, 2), _LATE),
        "passing book": _stream(depth(1, 2, 3), _PASSING),
        "polling book": _stream(depth(1), Manner(poll=_NAP)),
        "crowd of books": _crowd(depth(1), *_EVERYBODY),
        "depth view": _stream(views(Frequency.S_3)),
        "sleeping view": _stream(views(Frequency.S_1, Frequency.S_3), _SLEEPY),
        "trades": _stream(trades),
        "bare trades": _stream(trades, Manner(is_bare=True)),
        "slow trades": _stream(trades, _SLOW),
        "sleeping trades": _stream(trades, _SLEEPY),
        "impatient trades": _stream(trades, _IMPATIENT),
        "late trades": _stream(trades, _LATE),
        "passing trades": _stream(trades, _PASSING),
        "crowd of trades": _crowd(trades, *_EVERYBODY),
        "orders": _stream(accounts(Kind.ORDERS)),
        "seeded orders": _stream(accounts(Kind.ORDERS, 3, seed=True)),
        "sleeping orders": _stream(accounts(Kind.ORDERS, 2), _SLEEPY),
        "impatient orders": _stream(accounts(Kind.ORDERS, 2, seed=True), _IMPATIENT),
        "balances": _stream(accounts(Kind.BALANCES, 2)),
        "seeded balances": _stream(accounts(Kind.BALANCES, 10, seed=True)),
        "sleeping balances": _stream(accounts(Kind.BALANCES, 2, seed=True), _SLEEPY),
        "nonce": _stream(accounts(Kind.NONCE)),
        "seeded nonces": _stream(accounts(Kind.NONCE, 5, seed=True), _SLEEPY),
        "passing nonces": _stream(accounts(Kind.NONCE, 2), _PASSING),
        "crowd of orders": _crowd(accounts(Kind.ORDERS, 2, seed=True), *_EVERYBODY),
        "order book": BookUser,
        "sleeping order book": lambda random: BookUser(random, _SLEEPY),
        "events": EventListener,
        "trader": Trader,
        "parallel trader": lambda random: Trader(random, lane=random.randrange(5)),
    }
)
"""Every kind of consumer, by name; all that one draws follows from the chance that it is given."""
