"""Which topic a frame belongs to: tables from kinds of frames and action words to kinds of topics."""

from __future__ import annotations

from collections.abc import Mapping

from ..wire import FrameKind, Kind
from ._machine import Event

__all__ = ["ACTIONS", "ITEMS", "ROUTES", "kind_of_action"]

ROUTES: Mapping[FrameKind, tuple[Kind, Event]] = {
    FrameKind.DEPTH_UPDATE: (Kind.DEPTH, Event.ITEM),
    FrameKind.DEPTH_SNAPSHOT: (Kind.DEPTH, Event.SNAPSHOT),
    FrameKind.DEPTH_VIEW: (Kind.DEPTH_VIEW, Event.SNAPSHOT),
    FrameKind.TRADES: (Kind.TRADES, Event.ITEM),
    FrameKind.ORDERS: (Kind.ORDERS, Event.ITEM),
    FrameKind.BALANCES: (Kind.BALANCES, Event.ITEM),
    FrameKind.NONCE: (Kind.NONCE, Event.ITEM),
}
"""Data frames: which kind of topic they belong to and what they are to it."""

ITEMS: Mapping[FrameKind, Kind] = {
    frame: kind for frame, (kind, event) in ROUTES.items() if event is Event.ITEM
}
"""Data frames that are one item of many."""

ACTIONS: Mapping[str, Kind] = {
    **{kind.value: route[0] for kind, route in ROUTES.items()},
    "nonce": Kind.NONCE,
    "trades": Kind.TRADES,
}
"""The action words of data frames."""


def kind_of_action(action: str | None) -> Kind | None:
    """Return the kind of topic that an action word names, or None."""
    return None if action is None else ACTIONS.get(action)
