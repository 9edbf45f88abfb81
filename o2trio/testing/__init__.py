"""Test programs against an exchange behind a network that misbehaves on demand, in virtual time, from a seed.

``o2trio.testing.plugin`` has the same as fixtures for pytest; nothing here needs pytest.
"""

from __future__ import annotations

from ..simulator import open_simulator
from ._carrier import Dial, Serve
from ._determinism import run
from ._hostile import HostileExchange, open_exchange
from ._lane import Conditions
from ._link import Connection, Direction
from ._network import HostileNetwork
from ._plan import FaultPlan
from ._storm import FAULT_KINDS, STORM_KINDS, draw_storm

__all__ = [
    "FAULT_KINDS",
    "STORM_KINDS",
    "Conditions",
    "Connection",
    "Dial",
    "Direction",
    "FaultPlan",
    "HostileExchange",
    "HostileNetwork",
    "Serve",
    "draw_storm",
    "open_exchange",
    "open_simulator",
    "run",
]
