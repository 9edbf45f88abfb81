"""An O2-compatible exchange that runs embedded: REST and WebSocket on one port, or in memory."""

from ._accounts import Account, Revert
from ._encode import Flavour
from ._exchange import Block, Exchange
from ._feeds import Subscription
from ._markets import Listing, default_listings, listing
from ._matching import BookOrder, LevelChange
from ._server import Handshake
from ._simulator import DEFAULT_START_TIME, Simulator, open_simulator
from ._websocket import Connection

__all__ = [
    "DEFAULT_START_TIME",
    "Account",
    "Block",
    "BookOrder",
    "Connection",
    "Exchange",
    "Flavour",
    "Handshake",
    "LevelChange",
    "Listing",
    "Revert",
    "Simulator",
    "Subscription",
    "default_listings",
    "listing",
    "open_simulator",
]
