"""Text frames to models and back. No I/O, no clock, no state."""

from ._decode import decode
from ._frames import AnyUpdate, ErrorBody, Extra, Frame, FrameKind, OddField
from ._odd import odd_fields
from ._ranks import RANKS, Rank, Ranks
from ._requests import PING, PONG, Frequency, Kind, subscribe, unsubscribe
from ._structure import Snapshot, structure_json, structure_rows

__all__ = [
    "PING",
    "PONG",
    "RANKS",
    "AnyUpdate",
    "ErrorBody",
    "Extra",
    "Frame",
    "FrameKind",
    "Frequency",
    "Kind",
    "OddField",
    "Rank",
    "Ranks",
    "Snapshot",
    "decode",
    "odd_fields",
    "structure_json",
    "structure_rows",
    "subscribe",
    "unsubscribe",
]
