"""What happens in a scenario: drawn from a seed, and made smaller to find what a failure needs.

A plan is data. What its faults do is in ``_fault_kinds``, what its consumers do in ``_consumers``; ``_soak``
carries it out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from random import Random

import attrs

from ..simulator import Flavor
from ._draws import Value
from ._exchange_faults import RECONNECTIONS
from ._fault_kinds import FAULTS

__all__ = [
    "QUIET_SECONDS",
    "REST_SECONDS",
    "ConsumerPlan",
    "FaultPlan",
    "Plan",
    "draw_plan",
    "numbers_of",
    "text_of",
]

QUIET_SECONDS = 420.0
"""At the end nothing goes wrong for so long; within it everything must become true."""

REST_SECONDS = 120.0
"""After that the market stands still for so long before everything is compared with the truth."""

_START_SECONDS = 20.0
"""So long at the beginning nothing goes wrong."""

_LEAST_FAULT_SECONDS = 30.0

_RATES = (0.02, 0.02, 0.02, 0.05, 0.1, 0.5)
"""Order flow events per second and market: mostly calm, which is cheap."""

_BUSY = 0.1
"""From this rate on buffers are small more often, and then overflow."""

_SPELLS = (0, 0, 0, 1, 2)
"""How many spells of reconnections there are, one after the other every few seconds."""

_MARKETS = (3, 3, 3, 3, 12, 40)
_CALM = 0.02
"""Up to this rate there may be more than three markets."""

_BURSTS_AN_HOUR = 14.0
_FAULTS_A_BURST = (1, 1, 2, 4, 7, 12, 20)


@attrs.frozen(slots=True)
class ConsumerPlan:
    """One consumer: its number in the plan, and its kind."""

    index: int
    kind: str

    @property
    def name(self) -> str:
        """Unique in the plan."""
        return f"{self.index} {self.kind}"


@attrs.frozen(slots=True)
class FaultPlan:
    """One fault: its number in the plan, when it comes (seconds from the beginning), and what it is."""

    index: int
    time: float
    kind: str
    arguments: Mapping[str, Value]


@attrs.frozen(slots=True, kw_only=True)
class Plan:
    """Everything that happens in a scenario, but for what the consumers draw themselves from its seed.

    Attributes:
      seed: what it was drawn from, and what everything else is drawn from.
      hours: simulated, all phases together.
      rate: order flow events per second and market.
      latency: of the network when nothing goes wrong, seconds.
      flavor: the readings of the protocol that the exchange follows, as ``Flavor.parse`` takes them.
      lag: of REST behind the streams when nothing goes wrong, milliseconds.
      markets: how many the exchange lists.
      buffer_size, conflation_limit, max_attempts, reads_per_second: options of the clients.
      consumers, faults: in the order of their numbers; faults are also in that of their times.
    """

    seed: int
    hours: float
    rate: float
    latency: float = 0.0
    lag: int = 0
    markets: int = 3
    flavor: str = ""
    buffer_size: int = 64
    conflation_limit: int = 10_000
    max_attempts: int | None = None
    reads_per_second: int = 20
    consumers: tuple[ConsumerPlan, ...]
    faults: tuple[FaultPlan, ...]

    @property
    def fault_seconds(self) -> float:
        """How long things go wrong, from the beginning."""
        return max(self.hours * 3600 - QUIET_SECONDS - REST_SECONDS, _START_SECONDS + _LEAST_FAULT_SECONDS)

    @property
    def size(self) -> tuple[int, int]:
        """How many consumers and faults it has."""
        return len(self.consumers), len(self.faults)

    def without(self, *, consumers: Collection[int] = (), faults: Collection[int] = ()) -> Plan:
        """Return the plan without those that have these numbers."""
        return attrs.evolve(
            self,
            consumers=tuple(each for each in self.consumers if each.index not in consumers),
            faults=tuple(each for each in self.faults if each.index not in faults),
        )

    def dropped(self, whole: Plan) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the numbers of the consumers and of the faults that `whole` has and this one has not."""
        consumers = {each.index for each in self.consumers}
        faults = {each.index for each in self.faults}
        return (
            tuple(each.index for each in whole.consumers if each.index not in consumers),
            tuple(each.index for each in whole.faults if each.index not in faults),
        )


def draw_plan(seed: int, hours: float, kinds: Sequence[str]) -> Plan:
    """Draw a plan.

    Args:
      seed: the same one gives the same plan.
      hours: simulated time, all phases together; less than ten minutes are made so.
      kinds: the names of the consumers there are.
    """
    random = Random(f"o2 plan {seed}")
    chosen = random.choices(kinds, k=random.randint(5, 14))
    rate = random.choice(_RATES)
    plan = Plan(
        seed=seed,
        hours=hours,
        rate=rate,
        latency=random.choice((0.0, 0.0, 0.005, 0.05, 0.3)),
        lag=random.choice((0, 0, 200, 1000, 1900)),
        buffer_size=random.choice((4, 4, 8, 32, 1024) if rate >= _BUSY else (4, 8, 32, 128, 1024)),
        conflation_limit=random.choice((3, 100, 10_000, 10_000)),
        max_attempts=random.choice((None, None, None, None, 4)),
        flavor=_flavor(seed).describe(),
        consumers=tuple(ConsumerPlan(index, kind) for index, kind in enumerate(chosen)),
        faults=(),
    )
    # From a source of its own, so that a seed that is kept for what it once found stands for the same.
    repairs = Random(f"o2 repairs {seed}")
    plan = attrs.evolve(
        plan,
        markets=repairs.choice(_MARKETS) if rate <= _CALM else 3,
        reads_per_second=repairs.choice((20, 20, 20, 5)),
    )
    times = _times(random, plan.fault_seconds)
    allowed = _allowed(random, trades=any("trader" in kind for kind in chosen))
    weights = [FAULTS[name].weight for name in allowed]
    drawn = [(time, random.choices(allowed, weights)[0]) for time in times]
    faults = [(time, kind, FAULTS[kind].draw(random)) for time, kind in drawn]
    for _ in range(repairs.choice(_SPELLS)):
        time = round(repairs.uniform(_START_SECONDS, plan.fault_seconds - 1), 3)
        faults.append((time, RECONNECTIONS, FAULTS[RECONNECTIONS].draw(repairs)))
    faults.sort(key=lambda fault: fault[0])
    return attrs.evolve(plan, faults=tuple(FaultPlan(index, *fault) for index, fault in enumerate(faults)))


def _flavor(seed: int) -> Flavor:
    """Draw the readings of the protocol, apart from everything else that is drawn."""
    drawn = Flavor.draw(Random(f"o2 flavor {seed}"))
    return attrs.evolve(
        drawn,
        # Judges find a state by its exact time, or without any; these spellings leave out nanoseconds.
        seen_timestamp="null" if drawn.seen_timestamp in ("fraction", "rfc3339") else drawn.seen_timestamp,
        # Consumers name markets by their pairs.
        market_symbol="text",
        # Orders without a type cannot prove what became of a submission whose answer was lost.
        order_type="named",
    )


def _times(random: Random, until: float) -> list[float]:
    """Draw when faults come: in bursts, some of them dense, from the end of the start until `until`."""
    times: list[float] = []
    began = _START_SECONDS
    while (began := began + random.expovariate(_BURSTS_AN_HOUR / 3600)) < until:
        time, pace = began, random.choice((0.01, 1.0, 10.0, 30.0))
        for _ in range(random.choice(_FAULTS_A_BURST)):
            times.append(round(time, 3))
            time += random.expovariate(1 / pace)
    return sorted(time for time in times if time < until) or [round((_START_SECONDS + until) / 2, 3)]


def _allowed(random: Random, *, trades: bool) -> list[str]:
    """Draw which faults a plan has: not every plan has fatal ones, or fresh starts."""
    fatal, fresh = random.random() < 0.3, random.random() < 0.25
    return [
        name
        for name, kind in FAULTS.items()
        if name != RECONNECTIONS
        and (fatal or not kind.is_fatal)
        and (fresh or not kind.is_fresh_start)
        and (trades or not kind.is_of_trading)
    ]


def text_of(numbers: Iterable[int]) -> str:
    """Return numbers in ascending order as a short text: ``3,9-40``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def numbers_of(text: str) -> tuple[int, ...]:
    """Return the numbers that :func:`text_of` wrote.

    Raises:
      ValueError: it is no such text.
    """
    found: list[int] = []
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        numbers = range(int(first), int(last if dash else first) + 1)
        if not numbers:
            raise ValueError(f"not a range of numbers: {part!r:.40}")
        found.extend(numbers)
    return tuple(found)
