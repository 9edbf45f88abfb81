"""An embedded exchange behind a hostile network, ready for a test: one line opens both.

The network is in ``_network``, the exchange in ``o2trio.simulator``, storms are drawn in ``_storm``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from .._network import NetworkConfig, Options
from .._nursery import BareNursery
from ..simulator import OVERSIZE_MAX, Listing, Simulator, open_simulator
from ..trading import FuelWallet
from ._fault_kinds import FAULTS, heal
from ._network import HostileNetwork
from ._plan import FaultPlan, Plan
from ._storm import check_faults
from ._world import World

__all__ = ["HostileExchange", "open_exchange"]

_KEY_BITS = 200
"""Fewer than a key has, so that every number is one."""


class HostileExchange:
    """An embedded exchange and the network in front of it; made by :func:`open_exchange`.

    Attributes:
      simulator: the exchange: its truth, and faults of its own.
      network: what every byte between clients and the exchange goes through.
      config: goes into ``open_o2``.
      options: defaults, but with jitter from the seed, and with messages of at most 4 MiB, because the
        exchange sends none that is much bigger; goes into ``open_o2`` as well.
      streams_host, rest_host: what faults of `network` are aimed at.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.simulator: Simulator = world.sim
        self.network: HostileNetwork = world.network
        self.config: NetworkConfig = world.config
        self.options: Options = world.options
        self.streams_host, self.rest_host = world.host("streams"), world.host("rest")

    @property
    def faults(self) -> Counter[str]:
        """How many faults of storms there were so far, by kind; a copy."""
        return Counter(self._world.faults)

    def wallet(self, name: str = "owner") -> FuelWallet:
        """Return a wallet whose key follows from the seed and `name`; never fund it with real money.

        Raises:
          MissingExtra: the extra ``trade`` is not installed.
        """
        return FuelWallet.from_key(
            f"{self._world.random_for(f'wallet {name}').getrandbits(_KEY_BITS) + 1:064x}"
        )

    async def storm(self, faults: Iterable[FaultPlan], *, seconds: float = 0.0) -> None:
        """Let things go wrong, beginning now; return when all is over and healed.

        Args:
          faults: drawn by :func:`draw_storm`, or made by hand. Their times count from now.
          seconds: at least so long it lasts. Faults that are given a ``seconds`` are waited for anyway, but
            not those that wait for a request, a message or a dial to strike.

        Raises:
          ValueError: a fault makes no sense; none has happened.

        Cancelling it heals everything, too.
        """
        world, began, end = self._world, trio.current_time(), seconds
        ordered = check_faults(faults)
        try:
            async with BareNursery() as nursery:
                for fault in ordered:
                    await trio.sleep_until(began + fault.time)
                    world.faults[fault.kind] += 1
                    inject = partial(FAULTS[fault.kind].inject, world, **fault.arguments)
                    nursery.start_soon(inject, name=f"fault {fault.index}")
                    end = max(end, fault.time + float(fault.arguments.get("seconds", 0)))
                await trio.sleep_until(began + end)
        finally:
            self.heal()

    def heal(self) -> None:
        """End everything that goes wrong, whoever asked for it; latency and lag are as in the beginning.

        A market that stands still, a connection that was cut and an exchange that has forgotten everything
        stay as they are.
        """
        heal(self._world)


@asynccontextmanager
async def open_exchange(
    seed: int = 7,
    *,
    rate: float = 1.0,
    markets: Sequence[Listing] | None = None,
    flow: bool = True,
    latency: float = 0.0,
    lag: int = 0,
) -> AsyncGenerator[HostileExchange, None]:
    """Run an embedded exchange behind a network that misbehaves on demand, in memory.

    Use it with ``async with``, in virtual time; ``exchange.config`` goes into ``open_o2``. Nothing goes wrong
    until it is told to.

    Args:
      seed: determines books, prices and order flow, and everything that the network draws.
      rate: mean number of order flow events per second and market; fewer than the exchange has alone, for an
        hour shall be cheap.
      markets: what to list; by default three markets against fUSDC.
      flow: run the order flow; without it books are filled once and then still.
      latency: seconds from one end of a connection to the other when nothing goes wrong.
      lag: milliseconds by which REST lags behind the streams when nothing goes wrong; less than 2000, or
        clients need a longer ``indexer_lag``.

    Raises:
      ValueError: an argument makes no sense.

    Leaving or cancelling it cuts every connection. An error of the body comes out as it is.
    """
    plan = Plan(seed=seed, hours=1.0, rate=rate, latency=latency, lag=lag, consumers=(), faults=())
    async with (
        HostileNetwork(seed) as network,
        open_simulator(seed, rate=rate, markets=markets, flow=flow) as simulator,
    ):
        world = World(plan, simulator, network)
        world.options = Options(jitter=world.random_for("jitter").random, max_message_bytes=OVERSIZE_MAX // 2)
        yield HostileExchange(world)
