"""The same seed gives the same run: here, elsewhere, with other hashes. The machine is asked nothing."""

from __future__ import annotations

import gc
import io
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio._core import _run as scheduler

from o2trio.testing import _determinism
from o2trio.testing._consumers import KINDS
from o2trio.testing._plan import ConsumerPlan, Plan
from o2trio.testing._soak import Report, _Scenario, plan_of, run_plan

SEED, HOURS = 8, 0.17


def everybody(seed: int) -> Plan:
    """Return the plan of a seed with one consumer of every kind; crowds are several of other kinds."""
    alone = (kind for kind in KINDS if not kind.startswith("crowd"))
    kinds = tuple(ConsumerPlan(index, kind) for index, kind in enumerate(alone))
    return attrs.evolve(plan_of(seed, HOURS), consumers=kinds, rate=0.02)


_PROGRAM = f"""
from tests.testing.test_determinism import everybody
from o2trio.testing._soak import run_plan
print(run_plan(everybody({SEED})).digest)
"""


@pytest.fixture(scope="module")
def first() -> Report:
    return run_plan(everybody(SEED))


def test_a_seed_gives_the_same_run_again_and_another_seed_another(first: Report) -> None:
    assert first.failure is None
    assert first == run_plan(everybody(SEED))
    assert first.updates > 50
    few = attrs.evolve(everybody(SEED), consumers=everybody(SEED).consumers[:3])
    assert run_plan(few).digest != run_plan(attrs.evolve(few, seed=SEED + 1)).digest


def test_another_process_and_other_hashes_give_the_same_run(first: Report) -> None:
    hashes = "4711" if os.environ.get("PYTHONHASHSEED") != "4711" else "0"
    environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == first.digest


class Forbidden(BaseException):
    """Something asked the machine. No Exception, so that nobody takes it for a fault of the network."""


def _forbid(what: str, *but: str) -> Callable[..., object]:
    """Return what raises, unless a module whose name begins so asks."""

    def replacement(*arguments: object, **named: object) -> object:
        asking = sys._getframe(1).f_globals["__name__"]
        if asking.startswith(but):
            return original(*arguments, **named)
        raise Forbidden(f"{asking} asks {what}")

    module, _, name = what.rpartition(".")
    original: Callable[..., object] = getattr(_PLACES[module], name)
    return replacement


_PLACES = {
    "io": io,
    "os": os,
    "random": random,
    "Random": random.Random,
    "secrets": secrets,
    "socket": socket,
    "subprocess": subprocess,
    "threading.Thread": threading.Thread,
    "time": time,
}

_FORBIDDEN: dict[str, tuple[str, ...]] = {
    # When a record was made, which nobody reads.
    "time.time": ("logging",),
    "time.time_ns": (),
    "time.monotonic_ns": (),
    # How long a request took, which nobody reads.
    "time.perf_counter": ("httpx2",),
    "time.perf_counter_ns": (),
    "time.sleep": (),
    # Keys and masks of WebSockets.
    "os.urandom": ("wsproto",),
    "random.random": (),
    "random.uniform": (),
    "random.randint": (),
    "random.randrange": (),
    "random.choice": (),
    "random.shuffle": (),
    "random.getrandbits": ("trio_websocket",),
    "secrets.token_bytes": (),
    "secrets.token_hex": (),
    "secrets.randbelow": (),
    "socket.socket": (),
    "socket.getaddrinfo": (),
    "socket.create_connection": (),
    "subprocess.Popen": (),
    "threading.Thread.start": (),
    "io.open": (),
}


@contextmanager
def nothing_of_the_machine() -> Iterator[None]:
    seed = random.Random.seed

    def seeded(self: random.Random, value: int | str | None = None, version: int = 2) -> None:
        if value is None:
            raise Forbidden("chance without a seed")
        seed(self, value, version)

    with pytest.MonkeyPatch.context() as patch:
        for what, but in _FORBIDDEN.items():
            module, _, name = what.rpartition(".")
            patch.setattr(_PLACES[module], name, _forbid(what, *but))
        patch.setattr(random.Random, "seed", seeded)
        yield


def watched(plan: Plan) -> Report:
    async def main() -> Report:
        with nothing_of_the_machine():
            return await _Scenario(plan).run()

    return _determinism.run(plan.seed, main)


def test_a_scenario_asks_nothing_of_the_machine(first: Report) -> None:
    assert watched(everybody(SEED)) == first


_QUESTIONS: dict[str, Callable[[], object]] = {
    # Looked up only when they are called, while they are replaced.
    "time": lambda: float(time.time()),
    "counter": lambda: float(time.perf_counter()),
    "bytes": lambda: os.urandom(4),
    "chance": lambda: float(random.random()),
    "unseeded": lambda: bool(random.Random()),
    "thread": lambda: threading.Thread(target=print).start(),
    "socket": lambda: bool(socket.socket()),
    "file": lambda: Path(os.devnull).read_text(encoding="utf-8"),
}


@pytest.mark.parametrize("what", _QUESTIONS)
def test_the_watch_sees_who_asks(what: str) -> None:
    async def main() -> None:
        await trio.lowlevel.checkpoint()
        with nothing_of_the_machine(), pytest.raises(Forbidden):
            _QUESTIONS[what]()

    _determinism.run(1, main)


def test_time_is_virtual_and_chance_is_seeded() -> None:
    async def main() -> tuple[object, ...]:
        began = time.monotonic()
        await trio.sleep(10_000)
        return time.monotonic() - began, os.urandom(8), random.random(), random.getrandbits(64)

    first = _determinism.run(1, main)
    assert first[0] == pytest.approx(10_000)
    assert _determinism.run(1, main) == first
    assert _determinism.run(2, main)[1:] != first[1:]


def test_tasks_take_turns_in_an_order_that_follows_from_the_seed() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def turn(number: int) -> None:
            for _ in range(5):
                await trio.lowlevel.checkpoint()
                order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(turn, number)
        return order

    orders = [_determinism.run(seed, main) for seed in (1, 1, 2, 3)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3


def test_garbage_is_collected_at_virtual_times_only() -> None:
    class Node:
        def __init__(self) -> None:
            self.self = self

        def __del__(self) -> None:
            gone.append(trio.current_time())

    gone: list[float] = []

    async def main() -> None:
        Node()
        [[[]] for _ in range(100_000)]
        assert not gone
        await trio.sleep(_determinism.COLLECT_SECONDS + 1)

    _determinism.run(1, main)
    assert gone == [_determinism.COLLECT_SECONDS]


def test_everything_is_as_before_afterwards_even_after_an_error() -> None:
    def state() -> tuple[object, ...]:
        return (
            time.monotonic,
            os.urandom,
            random.getstate(),
            scheduler._r.getstate(),
            scheduler._ALLOW_DETERMINISTIC_SCHEDULING,
            gc.isenabled(),
        )

    async def main() -> None:
        random.random()
        await trio.sleep(1)
        raise LookupError

    before = state()
    with pytest.raises(LookupError):
        _determinism.run(1, main)
    assert state() == before


def test_garbage_of_one_run_does_not_outlive_the_next() -> None:
    class Litter:
        pass

    litter = Litter()
    litter.__dict__["itself"] = litter
    gone = weakref.ref(litter)
    del litter

    async def main() -> bool:
        return gone() is None

    assert _determinism.run(1, main)
