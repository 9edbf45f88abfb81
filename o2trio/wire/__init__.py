"""Text frames to models and back. No I/O, no clock, no state."""

from ._decode import decode
from ._frames import AnyUpdate, ErrorBody, Extra, Frame, FrameKind, OddField
from ._requests import PING, PONG, Frequency, Kind, subscribe, unsubscribe
from ._structure import Snapshot, structure_json

__all__ = [
    "PING",
    "PONG",
    "AnyUpdate",
    "ErrorBody",
    "Extra",
    "Frame",
    "FrameKind",
    "Frequency",
    "Kind",
    "OddField",
    "Snapshot",
    "decode",
    "structure_json",
    "subscribe",
    "unsubscribe",
]
