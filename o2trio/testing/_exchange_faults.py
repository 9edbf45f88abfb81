"""Faults of the exchange: of handshakes, connections and REST; and what is done to a client."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from ._draws import AFTERMATH, CHANCE, FEW, MANY, READS, SHORT, SPELL, FaultKind, among, number, seconds_of
from ._world import World

__all__ = ["EXCHANGE_FAULTS", "RECONNECTIONS"]

RECONNECTIONS = "reconnections"
"""The name of a fault that takes minutes; how often a plan has it is drawn apart."""

SUBMISSIONS = "/v1/session/actions"

_TRADING = 6
"""Traders trade rarely, so what strikes only them must come often."""

# -- handshakes and connections ------------------------------------------------------------------------


async def _drop(world: World) -> None:
    world.sim.drop_connections()


async def _reconnections(world: World, pause: float, count: int) -> None:
    for _ in range(count):
        world.sim.drop_connections()
        await trio.sleep(pause)


async def _mute(world: World, seconds: float) -> None:
    world.sim.mute()
    await trio.sleep(seconds)
    world.sim.unmute()


async def _latency(world: World, latency: float, seconds: float) -> None:
    world.sim.set_latency(latency)
    await trio.sleep(seconds)
    world.sim.set_latency(0)


async def _handshakes(world: World, status: int, retry_after: int, count: int) -> None:
    world.sim.refuse_handshakes(status, retry_after or None, count)
    world.sim.drop_connections()


async def _forbidden(world: World, status: int, seconds: float) -> None:
    world.expect_loss(seconds + AFTERMATH)
    world.sim.refuse_handshakes(status)
    world.sim.drop_connections()
    await trio.sleep(seconds)
    world.sim.accept_handshakes()


async def _accept_and_drop(world: World, count: int) -> None:
    world.sim.accept_and_drop(count)
    world.sim.drop_connections()


# -- REST ----------------------------------------------------------------------------------------------


async def _rest_fail(world: World, status: int, path: str, probability: float, count: int) -> None:
    html = status in {502, 504}
    world.sim.rest.fail(status, path=path, probability=probability, count=count, html=html)


async def _rest_limit(world: World, retry_after: int, count: int) -> None:
    world.sim.rest.fail(429, retry_after=retry_after, count=count)


async def _rest_cut(world: World, path: str, before: int, count: int) -> None:
    world.sim.rest.cut(before=bool(before), path=path, count=count)


async def _rest_slow(world: World, delay: float, path: str, count: int) -> None:
    world.sim.rest.slow(delay, path=path, count=count)


async def _rest_down(world: World, seconds: float) -> None:
    world.sim.rest.go_down()
    await trio.sleep(seconds)
    world.sim.rest.come_back()


async def _rest_stale(world: World, milliseconds: int, seconds: float) -> None:
    world.sim.rest.stale(milliseconds)
    await trio.sleep(seconds)
    world.sim.rest.stale(world.plan.lag)


async def _submission_cut(world: World, before: int, count: int) -> None:
    world.sim.rest.cut(before=bool(before), path=SUBMISSIONS, count=count)


async def _submission_deferred(world: World, delay: float, cut: int, count: int) -> None:
    world.sim.rest.defer(delay, cut=bool(cut), path=SUBMISSIONS, count=count)


async def _submission_doubled(world: World, count: int) -> None:
    world.sim.rest.duplicate(path=SUBMISSIONS, count=count)


async def _submission_refused(world: World, status: int, count: int) -> None:
    world.sim.rest.fail(status, path=SUBMISSIONS, count=count, html=status == 502)


async def _submission_hidden(world: World, status: int, count: int) -> None:
    world.sim.rest.fail(status, path=SUBMISSIONS, count=count, html=True, after=True)


# -- clocks and clients --------------------------------------------------------------------------------


async def _clock_jump(world: World, seconds: float) -> None:
    world.clock_offset = seconds


async def _new_client(world: World) -> None:
    world.replace_client()


EXCHANGE_FAULTS: Mapping[str, FaultKind] = {
    "drop": FaultKind(inject=_drop, draws={}, weight=4),
    RECONNECTIONS: FaultKind(
        inject=_reconnections, draws={"pause": among(4, 15, 45), "count": number(3, 40)}
    ),
    "mute": FaultKind(inject=_mute, draws={"seconds": SPELL}, weight=3),
    "late frames": FaultKind(
        inject=_latency, draws={"latency": seconds_of(0.01, 2), "seconds": SPELL}, weight=2
    ),
    "handshake refused": FaultKind(
        inject=_handshakes,
        draws={"status": among(429, 502, 503), "retry_after": among(0, 0, 1, 20), "count": FEW},
        weight=3,
    ),
    "handshake forbidden": FaultKind(
        inject=_forbidden, draws={"status": among(401, 403, 404), "seconds": SHORT}, is_fatal=True
    ),
    "accepted and dropped": FaultKind(inject=_accept_and_drop, draws={"count": number(1, 5)}, weight=2),
    "rest fails": FaultKind(
        inject=_rest_fail,
        draws={
            "status": among(500, 502, 503, 504),
            "path": READS,
            "probability": CHANCE,
            "count": MANY,
        },
        weight=3,
    ),
    "rest limited": FaultKind(
        inject=_rest_limit, draws={"retry_after": number(1, 3), "count": FEW}, weight=2
    ),
    "rest cut": FaultKind(
        inject=_rest_cut, draws={"path": READS, "before": number(0, 1), "count": FEW}, weight=3
    ),
    "rest slow": FaultKind(
        inject=_rest_slow, draws={"delay": seconds_of(0.1, 30), "path": READS, "count": MANY}, weight=2
    ),
    "rest down": FaultKind(inject=_rest_down, draws={"seconds": SHORT}),
    "rest behind": FaultKind(
        inject=_rest_stale, draws={"milliseconds": number(0, 1900), "seconds": SPELL}, weight=2
    ),
    "submission cut": FaultKind(
        inject=_submission_cut,
        draws={"before": number(0, 1), "count": FEW},
        weight=_TRADING,
        is_of_trading=True,
    ),
    "submission deferred": FaultKind(
        inject=_submission_deferred,
        draws={"delay": SHORT, "cut": number(0, 1), "count": FEW},
        weight=_TRADING,
        is_of_trading=True,
    ),
    "submission doubled": FaultKind(
        inject=_submission_doubled, draws={"count": FEW}, weight=_TRADING, is_of_trading=True
    ),
    "submission refused": FaultKind(
        inject=_submission_refused,
        draws={"status": among(429, 500, 502, 503), "count": FEW},
        weight=_TRADING,
        is_of_trading=True,
    ),
    "submission hidden": FaultKind(
        inject=_submission_hidden,
        draws={"status": among(502, 504), "count": FEW},
        weight=_TRADING,
        is_of_trading=True,
    ),
    "clock jump": FaultKind(inject=_clock_jump, draws={"seconds": seconds_of(-20, 20)}),
    "another client": FaultKind(inject=_new_client, draws={}, weight=0.3),
}
"""By name."""
