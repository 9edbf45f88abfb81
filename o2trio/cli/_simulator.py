"""``o2trio simulator``: a simulated exchange for other programs, until it is told to end."""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio

from ._output import Write

__all__ = ["run_simulator"]


async def run_simulator(
    write: Write, *, host: str, port: int, seed: int, rate: float, flavors: Sequence[str] = ()
) -> None:
    """Run the exchange until cancelled; once it accepts connections, write ``listening on URL``, then more.

    Raises:
      InvalidRequest: `flavors` names an unknown choice, or an unknown reading of one.
      OSError: the address is taken or not ours.
      ModuleNotFoundError: the simulator's extra is not installed.
    """
    from ..simulator import Flavor, open_simulator

    chosen = Flavor.parse(flavors)
    async with open_simulator(
        seed=seed, rate=rate, listen=(host, port), start_time=time.time(), flavor=chosen
    ) as simulator:
        # It may run for weeks, and nobody here asks for the whole past.
        simulator.audit.limit = 0
        await write(f"listening on {simulator.url}")
        await write(f"streams at {simulator.network.websocket_url}")
        await write(f"faucet at {simulator.network.faucet_url}")
        await trio.sleep_forever()
