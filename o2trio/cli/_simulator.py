"""``o2trio simulator``: a simulated exchange for other programs, until it is told to end."""

from __future__ import annotations

import time

import trio

from ._output import Write

__all__ = ["run_simulator"]


async def run_simulator(write: Write, *, host: str, port: int, seed: int, rate: float) -> None:
    """Run the exchange for ever; once it accepts connections, write ``listening on URL``, then more URLs.

    Raises:
      OSError: the address is taken or not ours.
      ModuleNotFoundError: the simulator's extra is not installed.
    """
    from ..simulator import open_simulator

    async with open_simulator(seed=seed, rate=rate, listen=(host, port), start_time=time.time()) as simulator:
        # It may run for weeks, and nobody here asks for the whole past.
        simulator.audit.limit = 0
        await write(f"listening on {simulator.url}")
        await write(f"streams at {simulator.network.websocket_url}")
        await write(f"faucet at {simulator.network.faucet_url}")
        await trio.sleep_forever()
