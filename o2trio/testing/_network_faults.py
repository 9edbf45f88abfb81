"""Faults of the network: of dials, connections and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import trio

from ._draws import AFTERMATH, DIRECTION, FEW, HOST, SPELL, FaultKind, among, number, seconds_of
from ._lane import Conditions
from ._link import Direction
from ._world import World

__all__ = ["NETWORK_FAULTS"]


async def _reset(world: World, host: str) -> None:
    world.network.reset(world.host(host))


async def _black_hole(world: World, host: str, seconds: float) -> None:
    world.network.black_hole(world.host(host), seconds)


async def _half_open(world: World, host: str, direction: Direction, seconds: float) -> None:
    world.network.half_open(world.host(host), direction, seconds)


async def _cut_after(world: World, host: str, size: int, direction: Direction, count: int) -> None:
    world.network.cut_after(world.host(host), size, direction, count or None)


async def _die(world: World, host: str) -> None:
    world.network.die(world.host(host))


async def _drip(world: World, host: str, rate: int, seconds: float) -> None:
    world.network.drip(world.host(host), rate, seconds)


async def _refuse(world: World, host: str, count: int) -> None:
    world.network.refuse(world.host(host), count)
    world.network.reset(world.host(host))


async def _dns_failure(world: World, host: str, count: int) -> None:
    world.network.dns_failure(world.host(host), count)
    world.network.reset(world.host(host))


async def _dial_hang(world: World, host: str, count: int) -> None:
    world.network.dial_hang(world.host(host), count)
    world.network.reset(world.host(host))


async def _early_eof(world: World, host: str, size: int, count: int) -> None:
    world.network.early_eof(world.host(host), size, count)
    world.network.reset(world.host(host))


async def _garbage(world: World, host: str, size: int, salt: int, direction: Direction) -> None:
    if direction == "up":
        # A request that arrives damaged may be refused for good.
        world.expect_loss(AFTERMATH)
    world.network.garbage(world.host(host), Random(salt).randbytes(size), direction)


async def _tls(world: World, host: str, count: int) -> None:
    world.network.tls_failure(world.host(host), count)
    world.network.reset(world.host(host))


async def _untrusted(world: World, count: int) -> None:
    # It strikes at the next dials, whenever they come.
    world.expect_loss(world.plan.hours * 3600)
    world.network.tls_failure(world.host("streams"), count, untrusted=True)
    world.network.reset(world.host("streams"))


async def _weather(world: World, host: str, seconds: float, **numbers: float) -> None:
    name = world.host(host)
    bandwidth, chop = numbers["bandwidth"] or None, int(numbers["chop"]) or None
    changed = Conditions(latency=numbers["latency"], jitter=numbers["jitter"], bandwidth=bandwidth, chop=chop)
    world.network.set_conditions(changed, name)
    await trio.sleep(seconds)
    world.network.set_conditions(world.conditions, name)


NETWORK_FAULTS: Mapping[str, FaultKind] = {
    "reset": FaultKind(inject=_reset, draws={"host": HOST}, weight=4),
    "black hole": FaultKind(inject=_black_hole, draws={"host": HOST, "seconds": SPELL}, weight=3),
    "half open": FaultKind(
        inject=_half_open, draws={"host": HOST, "direction": DIRECTION, "seconds": SPELL}, weight=3
    ),
    "dead connection": FaultKind(inject=_die, draws={"host": HOST}, weight=2),
    "cut at a byte": FaultKind(
        inject=_cut_after,
        draws={
            "host": HOST,
            "size": number(0, 4000),
            "direction": DIRECTION,
            "count": number(0, 2),
        },
        weight=4,
    ),
    "drip": FaultKind(
        inject=_drip, draws={"host": HOST, "rate": among(20, 200, 2000), "seconds": SPELL}, weight=2
    ),
    "refused": FaultKind(inject=_refuse, draws={"host": HOST, "count": FEW}, weight=2),
    "unknown host": FaultKind(inject=_dns_failure, draws={"host": HOST, "count": FEW}),
    "hanging dial": FaultKind(inject=_dial_hang, draws={"host": HOST, "count": FEW}),
    "early end": FaultKind(
        inject=_early_eof, draws={"host": HOST, "size": number(0, 300), "count": FEW}, weight=2
    ),
    "garbage": FaultKind(
        inject=_garbage,
        draws={
            "host": HOST,
            "size": number(1, 200),
            "salt": number(0, 10**6),
            "direction": DIRECTION,
        },
        weight=2,
    ),
    "tls": FaultKind(inject=_tls, draws={"host": HOST, "count": FEW}),
    "untrusted": FaultKind(inject=_untrusted, draws={"count": FEW}, weight=0.5, is_fatal=True),
    "weather": FaultKind(
        inject=_weather,
        draws={
            "host": HOST,
            "latency": seconds_of(0, 1),
            "jitter": seconds_of(0, 0.5),
            "bandwidth": among(0, 0, 20_000, 200_000),
            "chop": among(0, 0, 0, 3, 20, 200),
            "seconds": SPELL,
        },
        weight=4,
    ),
}
"""By name."""
