"""Faults of WebSocket messages and heartbeats, closing by the server, and its restarts."""

from __future__ import annotations

from collections.abc import Mapping

from ._draws import AFTERMATH, CHANCE, FEW, MANY, FaultKind, among, number, seconds_of
from ._world import World

__all__ = ["MESSAGE_FAULTS"]

_OPEN_END = 0
"""Stands for a closing frame without a code."""


async def _duplicate(world: World, probability: float, count: int) -> None:
    world.sim.frames.duplicate(probability=probability, count=count)


async def _reorder(world: World, seconds: float, probability: float, count: int) -> None:
    world.sim.frames.reorder(seconds, probability=probability, count=count)


async def _tear(world: World, probability: float, count: int) -> None:
    world.sim.frames.tear(probability=probability, count=count)


async def _extend(world: World, probability: float, count: int) -> None:
    world.sim.frames.extend(probability=probability, count=count)


async def _corrupt(world: World, probability: float, count: int) -> None:
    world.sim.frames.corrupt(probability=probability, count=count)


async def _lose(world: World, probability: float, count: int) -> None:
    world.sim.frames.lose(probability=probability, count=count)


async def _strange(world: World, what: str, probability: float, count: int) -> None:
    world.sim.frames.inject(what, probability=probability, count=count)


async def _big(world: World, size: int, count: int) -> None:
    world.sim.frames.oversize(size, count=count)


async def _too_big(world: World) -> None:
    world.expect_loss(world.plan.hours * 3600)
    world.sim.frames.oversize(world.options.max_message_bytes + 1, count=1)


async def _pings(world: World, burst: int, count: int) -> None:
    world.sim.frames.ping(burst, count=count)


async def _no_pongs(world: World, count: int) -> None:
    world.sim.frames.drop_pong(count=count)


async def _late_pongs(world: World, seconds: float, count: int) -> None:
    world.sim.frames.delay_pong(seconds, count=count)


async def _close(world: World, code: int) -> None:
    world.sim.frames.close(code or None, "the plan says so" if code else "")


async def _close_for_good(world: World, code: int) -> None:
    world.expect_loss(AFTERMATH)
    world.sim.frames.close(code, "the plan says so")


async def _restart(world: World) -> None:
    world.sim.restart(fresh=False)


async def _fresh_start(world: World) -> None:
    world.sim.restart()
    world.begin_era()


_SOME = {"probability": CHANCE, "count": MANY}

MESSAGE_FAULTS: Mapping[str, FaultKind] = {
    "doubled messages": FaultKind(inject=_duplicate, draws=_SOME, weight=2),
    "swapped messages": FaultKind(inject=_reorder, draws={"seconds": seconds_of(0.01, 2), **_SOME}, weight=2),
    "torn messages": FaultKind(inject=_tear, draws=_SOME, weight=2),
    "unknown fields": FaultKind(inject=_extend, draws=_SOME),
    "damaged messages": FaultKind(inject=_corrupt, draws={"probability": CHANCE, "count": FEW}, weight=3),
    "lost messages": FaultKind(inject=_lose, draws={"probability": CHANCE, "count": FEW}, weight=2),
    "strange messages": FaultKind(
        inject=_strange, draws={"what": among("not_json", "unknown", "binary"), **_SOME}, weight=2
    ),
    "big messages": FaultKind(inject=_big, draws={"size": number(1000, 60_000), "count": FEW}),
    "too big a message": FaultKind(inject=_too_big, draws={}, weight=0.5, is_fatal=True),
    "pings": FaultKind(inject=_pings, draws={"burst": number(1, 100), "count": FEW}),
    "missing pongs": FaultKind(inject=_no_pongs, draws={"count": FEW}),
    "late pongs": FaultKind(inject=_late_pongs, draws={"seconds": seconds_of(0.1, 90), "count": FEW}),
    "closed": FaultKind(
        inject=_close,
        draws={"code": among(_OPEN_END, 1000, 1001, 1006, 1008, 1011, 1012, 1013, 4000)},
        weight=2,
    ),
    "closed for good": FaultKind(
        inject=_close_for_good, draws={"code": among(1003, 1009, 1010, 3000, 3003)}, weight=0.5, is_fatal=True
    ),
    "restart": FaultKind(inject=_restart, draws={}, weight=2),
    "fresh start": FaultKind(inject=_fresh_start, draws={}, is_fresh_start=True),
}
"""By name."""
