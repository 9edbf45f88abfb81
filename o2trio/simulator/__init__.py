"""An O2-compatible exchange that runs embedded: REST and WebSocket on one port, or in memory."""

from ._accounts import Account, Revert
from ._audit import AUDIT_RECORDS, MAX_STALE_SECONDS, Audit, AuditOverflow, Recorded
from ._block import Block
from ._encode import Flavor
from ._exchange import Exchange
from ._faults import RestFaults, RestRequest
from ._feeds import Subscription
from ._frame_faults import DATA_KINDS, OVERSIZE_MAX, FrameFaults
from ._markets import Listing, default_listings, listing
from ._matching import BookOrder, LevelChange
from ._server import Handshake
from ._simulator import DEFAULT_START_TIME, Simulator, open_simulator
from ._websocket import Connection

__all__ = [
    "AUDIT_RECORDS",
    "DATA_KINDS",
    "DEFAULT_START_TIME",
    "MAX_STALE_SECONDS",
    "OVERSIZE_MAX",
    "Account",
    "Audit",
    "AuditOverflow",
    "Block",
    "BookOrder",
    "Connection",
    "Exchange",
    "Flavor",
    "FrameFaults",
    "Handshake",
    "LevelChange",
    "Listing",
    "Recorded",
    "RestFaults",
    "RestRequest",
    "Revert",
    "Simulator",
    "Subscription",
    "default_listings",
    "listing",
    "open_simulator",
]
