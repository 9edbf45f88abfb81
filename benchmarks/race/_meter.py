"""What a peer is told, how it says that it is ready, and how its time and memory are taken."""

from __future__ import annotations

import gc
import json
import os
import socket
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import attrs

from benchmarks.race._scenarios import Scenario
from benchmarks.race._traffic import ACCOUNT, STAMP, pair

__all__ = ["Measure", "Meter", "Result", "Task", "delay", "held", "pin", "visits"]

Result: TypeAlias = dict[str, float]
"""Metrics by name; ``_tables`` says what they are."""


@attrs.frozen(slots=True, kw_only=True)
class Task:
    """What a peer is to do, and where.

    Attributes:
      scenario: what.
      port: of REST and WebSocket.
      signal: the port to connect to when everything is subscribed.
      authority: file with the certificate authority that TLS needs.
    """

    scenario: Scenario
    port: int
    signal: int
    authority: str

    def url(self, scheme: str, path: str = "") -> str:
        """Return an address of the load server; `scheme` is ``http`` or ``ws``."""
        return f"{scheme}{'s' if self.scenario.tls else ''}://127.0.0.1:{self.port}{path}"

    def streams(self, client: object) -> list[object]:
        """Make a stream for each consumer; the methods have the same names in the SDK and in this library."""
        scenario = self.scenario
        topics = [("depth", pair(number)) for number in range(scenario.markets)]
        topics += [(kind, pair(0) if kind == "trades" else ACCOUNT) for kind in scenario.kinds[1:]]
        return [
            getattr(client, f"stream_{kind}")(of) for kind, of in topics for _ in range(scenario.consumers)
        ]

    def go(self) -> None:
        """Let the messages begin."""
        with socket.create_connection(("127.0.0.1", self.signal)) as sock:
            sock.recv(1)


Measure: TypeAlias = Callable[[Task], Result]
"""What a peer does for one kind of measurement, its event loop included."""


class Meter:
    """Takes the time from the signal until the last consumer has finished."""

    def __init__(self, task: Task, consumers: int = 1) -> None:
        self._task = task
        self._left = consumers
        self._delivered = 0
        self._delays: list[int] = []
        self._wall = self._cpu = 0.0

    def start(self) -> None:
        """Let the messages begin; everything is subscribed."""
        gc.collect()
        # What the suite itself has imported, ours among it, must not burden anybody's collections.
        gc.freeze()
        self._task.go()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def finish(self, delivered: int, delays: Sequence[int] = ()) -> None:
        """Add what one consumer had, without the mark; the last one stops the clock."""
        self._left -= 1
        if not self._left:
            self._wall, self._cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self._delivered += delivered
        # Not the first ones: the interpreter is still getting used to the code.
        self._delays += delays[len(delays) // 10 :]

    def result(self) -> Result:
        """Return the metrics."""
        sent = self._task.scenario.messages
        due = sent * self._task.scenario.consumers
        result = {
            "sent_us": self._cpu / sent * 1e6,
            "read_us": self._cpu / max(self._delivered, 1) * due / sent * 1e6,
            "wall_us": self._wall / sent * 1e6,
            "lost": (due - self._delivered) / due * 100,
        }
        if self._delays:
            cuts = statistics.quantiles(self._delays, n=1000, method="inclusive")
            result |= {"p50": cuts[499] / 1e3, "p99": cuts[989] / 1e3, "p99.9": cuts[998] / 1e3}
        return result


def delay(seen: int) -> int:
    """Return how long ago a message was to leave that bears this `seen_timestamp`, in ns."""
    return time.monotonic_ns() + STAMP - seen


def held() -> int:
    """Return the bytes that Python objects hold, those made before tracemalloc was started left out."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def visits(count: int, visit: Callable[[], Awaitable[float]]) -> Result:
    """Measure visits, each of which returns the seconds it waited; one before them does not count."""
    await visit()
    cpu = time.process_time()
    waits = [await visit() for _ in range(count)]
    return {"ms": statistics.median(waits) * 1e3, "cpu_ms": (time.process_time() - cpu) / count * 1e3}


def load(text: str) -> Task:
    """Read a task that the runner wrote."""
    fields = json.loads(text)
    return Task(**{**fields, "scenario": Scenario(**fields["scenario"])})


def pin(place: int) -> None:
    """Stay on one core: the last one for the server (-1), the first one for its peer (0)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[place]})
