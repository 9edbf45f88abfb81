"""Everything that can go wrong in a scenario, by name, and the end of it; when is in ``_plan``."""

from __future__ import annotations

from collections.abc import Mapping

from ._draws import FaultKind
from ._exchange_faults import EXCHANGE_FAULTS
from ._message_faults import MESSAGE_FAULTS
from ._network_faults import NETWORK_FAULTS
from ._world import World

__all__ = ["FAULTS", "heal"]

FAULTS: Mapping[str, FaultKind] = {**NETWORK_FAULTS, **MESSAGE_FAULTS, **EXCHANGE_FAULTS}
"""Everything that can go wrong, by name."""


def heal(world: World) -> None:
    """End everything that goes wrong."""
    world.network.heal()
    world.network.set_conditions(world.conditions)
    world.sim.frames.heal()
    world.sim.accept_handshakes()
    world.sim.set_latency(0)
    world.sim.unmute()
    world.sim.rest.heal()
    world.sim.rest.stale(world.plan.lag)
    world.clock_offset = 0.0
