"""Finding a network, and opening a client of it, by the name that ``--network`` gives."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .._client import O2Client, open_o2
from .._network import NetworkConfig, config_of

__all__ = ["SIMULATOR", "network_config", "open_network"]

SIMULATOR = "simulator"
_SEED = 7


@asynccontextmanager
async def network_config(network: str | NetworkConfig) -> AsyncGenerator[NetworkConfig]:
    """Say where `network` is; ``simulator`` starts one on a loopback port for as long as it lasts.

    Raises:
      InvalidRequest: there is no such network.
      ModuleNotFoundError: the simulator is wanted, and its extra is not installed.
    """
    if network == SIMULATOR:
        from ..simulator import open_simulator

        async with open_simulator(seed=_SEED, listen=("127.0.0.1", 0), start_time=time.time()) as simulator:
            simulator.audit.limit = 0  # Nobody here asks for the whole past, and it would grow without end.
            yield simulator.network
    else:
        yield config_of(network)


@asynccontextmanager
async def open_network(network: str | NetworkConfig) -> AsyncGenerator[O2Client]:
    """Open a client of `network`, as :func:`network_config` finds it; raises as that does."""
    async with network_config(network) as config, open_o2(config) as o2:
        yield o2
