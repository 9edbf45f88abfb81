"""Opening a client by the name that ``--network`` gives."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .._client import O2Client, open_o2
from .._network import NetworkConfig

__all__ = ["SIMULATOR", "open_network"]

SIMULATOR = "simulator"
_SEED = 7


@asynccontextmanager
async def open_network(network: str | NetworkConfig) -> AsyncGenerator[O2Client]:
    """Open a client of `network`; ``simulator`` starts one on a loopback port for as long as it lasts.

    Raises:
      InvalidRequest: there is no such network.
      ModuleNotFoundError: the simulator is wanted, and its extra is not installed.
    """
    if network == SIMULATOR:
        from ..simulator import open_simulator

        async with (
            open_simulator(seed=_SEED, listen=("127.0.0.1", 0), start_time=time.time()) as simulator,
            open_o2(simulator.network) as o2,
        ):
            simulator.audit.limit = 0  # Nobody here asks for the whole past, and it would grow without end.
            yield o2
    else:
        async with open_o2(network) as o2:
            yield o2
