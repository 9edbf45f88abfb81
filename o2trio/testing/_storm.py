"""Faults for users' own tests: which kinds there are, and how a storm of them is drawn from a seed.

What each does is in ``_fault_kinds``; who carries a storm out is in ``_hostile``. Whole scenarios, with
consumers that are judged, are drawn in ``_plan``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import inf
from random import Random

from ._fault_kinds import FAULTS
from ._plan import FaultPlan

__all__ = ["FAULT_KINDS", "STORM_KINDS", "check_faults", "draw_storm"]

FAULT_KINDS = tuple(FAULTS)
"""The names of all kinds of faults."""

_ENDING = ("garbage", "another client")
"""The first may damage a request, which may then be refused for good; the second is for whole scenarios."""

STORM_KINDS = tuple(
    name
    for name, kind in FAULTS.items()
    if not kind.is_fatal and not kind.is_fresh_start and name not in _ENDING
)
"""Those that a client recovers from by itself, on an exchange that keeps its state."""

_BURSTS = (1, 1, 2, 4, 7)
"""How many faults come together; most often one."""


def draw_storm(
    seed: int, seconds: float, *, kinds: Collection[str] | None = None, pause: float = 60.0
) -> tuple[FaultPlan, ...]:
    """Draw faults that come in bursts.

    Args:
      seed: the same one gives the same faults.
      seconds: no fault begins later than that.
      kinds: some of :data:`FAULT_KINDS`, in any order; by default :data:`STORM_KINDS`.
      pause: mean seconds between two bursts.

    Raises:
      ValueError: an argument makes no sense.
    """
    if not 0 < seconds < inf or not 0 < pause < inf:
        raise ValueError(f"seconds and pause must be positive numbers, not {seconds!r} and {pause!r}")
    wanted = STORM_KINDS if kinds is None else kinds
    names = [name for name in FAULT_KINDS if name in wanted]
    if not names or len(names) < len(set(wanted)):
        raise ValueError(f"kinds must be some of FAULT_KINDS, not {', '.join(sorted(wanted)) or 'none'}")
    random = Random(f"o2 storm {seed}")
    weights = [FAULTS[name].weight for name in names]
    faults: list[FaultPlan] = []
    for time in sorted(_times(random, seconds, pause)):
        kind = random.choices(names, weights)[0]
        faults.append(FaultPlan(len(faults), time, kind, FAULTS[kind].draw(random)))
    return tuple(faults)


def check_faults(faults: Iterable[FaultPlan]) -> tuple[FaultPlan, ...]:
    """Return faults in the order of their times.

    Raises:
      ValueError: one is of no known kind, lacks an argument, has one too many, or comes before the beginning.
    """
    known = sorted(faults, key=lambda fault: (fault.time, fault.index))
    for fault in known:
        if fault.kind not in FAULTS:
            raise ValueError(f"there is no kind of fault {fault.kind!r:.40}")
        if fault.arguments.keys() != FAULTS[fault.kind].draws.keys():
            wanted = ", ".join(FAULTS[fault.kind].draws) or "no arguments"
            raise ValueError(f"{fault.kind!r} takes {wanted}, not {', '.join(fault.arguments) or 'none'}")
        if not 0 <= fault.time < inf:
            raise ValueError(f"a fault cannot come at {fault.time!r} s")
    return tuple(known)


def _times(random: Random, seconds: float, pause: float) -> list[float]:
    times: list[float] = []
    began = random.uniform(0, min(pause, seconds))
    while began < seconds:
        pace = random.choice((0.01, 1.0, 10.0))
        time = began
        for _ in range(random.choice(_BURSTS)):
            times.append(round(time, 3))
            time += random.expovariate(1 / pace)
        began += random.expovariate(1 / pause)
    return [time for time in times if time <= seconds]
