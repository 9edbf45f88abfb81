"""The fast road: the text of a data frame straight to its models, natively; what is in doubt is left alone.

What comes out here is what the careful road of ``_structure`` makes of the same text, and that road stays the
only judge of everything else: what is refused here may still be good (a rare spelling, a huge number), and
what is wrong with a frame is told over there. How the parts of frames are read is told by ``_shapes``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias, cast

from msgspec import UNSET, Struct, UnsetType, field, json

from ..models import (
    NOTHING_UNREAD,
    BalanceUpdate,
    DepthUpdate,
    Id,
    NonceUpdate,
    OrderUpdate,
    Origin,
    TradeUpdate,
)
from ._frames import AnyUpdate, Frame, FrameKind
from ._shapes import (
    BalanceShape,
    Changes,
    Natural,
    Nothing,
    OrderShape,
    TradeShape,
    Twin,
    View,
    depth,
    new,
    open_twin,
)
from ._values import known_id

__all__ = ["decode_natively"]

_DEPTH, _TRADE, _ORDER = open_twin(DepthUpdate), open_twin(TradeUpdate), open_twin(OrderUpdate)
_BALANCE, _NONCE = open_twin(BalanceUpdate), open_twin(NonceUpdate)

_frame: Callable[[type[Frame], tuple[FrameKind, Id | None, AnyUpdate, None]], Frame] = cast(
    "Any", tuple
).__new__
"""Makes a frame in half the time."""


class _Message(Struct, gc=False, kw_only=True, tag_field="action"):
    """What all data frames share; one that may say no, or has a mark of its venue, is not read here.

    The method ``frame`` of each returns what it means; a ValueError leaves that to the careful road.
    """

    onchain_timestamp: Natural | UnsetType | None = UNSET
    seen_timestamp: Natural | UnsetType | None = UNSET
    code: Nothing = None
    error: Nothing = None
    success: Nothing = None
    status: Nothing = None
    verdict: Nothing = field(default=None, name="type")
    turbo: Nothing = None

    kind: ClassVar[FrameKind]
    model: ClassVar[type]
    origin: ClassVar[Origin] = Origin.LIVE

    def finish(self, update: Twin, market_id: Id | None, data: str) -> Frame:
        """Set what all updates have, let the open twin become its model, and return its frame."""
        onchain, seen = self.onchain_timestamp, self.seen_timestamp
        if (onchain is None or seen is None) and ("\\" in data or '"null"' in data.lower()):
            raise ValueError("perhaps the text null, which is not null")
        update.onchain_timestamp = None if onchain is UNSET else onchain
        update.seen_timestamp = None if seen is UNSET else seen
        update.origin = self.origin
        update.epoch = 0
        update.gap = None
        update.not_understood = ()
        update.unread = NOTHING_UNREAD
        update.__class__ = self.model
        return _frame(Frame, (self.kind, market_id, update, None))


class _DepthUpdate(_Message, gc=False, tag="subscribe_depth_update"):
    kind, model = FrameKind.DEPTH_UPDATE, DepthUpdate

    market_id: str
    changes: Changes

    def frame(self, data: str) -> Frame:
        update: Twin = new(_DEPTH)
        update.market_id = market_id = known_id(self.market_id)
        update.changes = depth(self.changes.buys, self.changes.sells)
        update.precision = None
        return self.finish(update, market_id, data)


class _DepthSnapshot(_Message, gc=False, tag="subscribe_depth"):
    kind, model, origin = FrameKind.DEPTH_SNAPSHOT, DepthUpdate, Origin.SNAPSHOT

    market_id: str
    view: View | Nothing = None
    orders: View | Nothing = None

    def frame(self, data: str) -> Frame:
        view = self.orders if self.view is None else self.view
        if view is None or (view is self.view and self.orders is not None):
            raise ValueError("no levels, or two objects with levels")
        update: Twin = new(_DEPTH)
        update.market_id = market_id = known_id(self.market_id)
        update.changes = depth(view.buys, view.sells)
        update.precision = view.precision
        return self.finish(update, market_id, data)


class _DepthView(_DepthSnapshot, gc=False, tag="subscribe_depth_view"):
    kind = FrameKind.DEPTH_VIEW


class _Trades(_Message, gc=False, tag="subscribe_trades"):
    kind, model = FrameKind.TRADES, TradeUpdate

    market_id: str
    trades: tuple[TradeShape, ...]

    def frame(self, data: str) -> Frame:
        update: Twin = new(_TRADE)
        update.market_id = market_id = known_id(self.market_id)
        update.trades = tuple([trade.model() for trade in self.trades])
        return self.finish(update, market_id, data)


class _Orders(_Message, gc=False, tag="subscribe_orders"):
    kind, model = FrameKind.ORDERS, OrderUpdate

    orders: tuple[OrderShape, ...]

    def frame(self, data: str) -> Frame:
        update: Twin = new(_ORDER)
        update.orders = tuple([order.model() for order in self.orders])
        update.triggers = ()
        return self.finish(update, None, data)


class _Balances(_Message, gc=False, tag="subscribe_balances"):
    kind, model = FrameKind.BALANCES, BalanceUpdate

    balance: tuple[BalanceShape, ...]

    def frame(self, data: str) -> Frame:
        update: Twin = new(_BALANCE)
        update.balance = tuple([balance.model() for balance in self.balance])
        return self.finish(update, None, data)


class _Nonce(_Message, gc=False, tag="subscribe_nonce"):
    kind, model = FrameKind.NONCE, NonceUpdate

    contract_id: str
    nonce: Natural

    def frame(self, data: str) -> Frame:
        update: Twin = new(_NONCE)
        update.contract_id = known_id(self.contract_id)
        update.nonce = self.nonce
        return self.finish(update, None, data)


class _NonceAnswer(_Nonce, gc=False, tag="nonce"):
    pass


_AnyMessage: TypeAlias = (
    _DepthUpdate | _DepthSnapshot | _DepthView | _Trades | _Orders | _Balances | _Nonce | _NonceAnswer
)
_decode: Callable[[str], _AnyMessage] = json.Decoder(_AnyMessage, strict=False).decode

_LONGEST = 4_300
_STRIDE = 200
_DIGITS = re.compile(r"[0-9]{20}")


def decode_natively(data: str | bytes) -> Frame | None:
    """Return what a data frame means, or None if that is for the careful road to say."""
    # An integer of more digits than Python reads is refused over there even in a field that nobody reads,
    # while it is skipped here. One so long shows in any sample of the text.
    if type(data) is not str or (len(data) > _LONGEST and _DIGITS.search(data[::_STRIDE])):
        return None
    try:
        return _decode(data).frame(data)
    except (ValueError, RecursionError):
        return None
