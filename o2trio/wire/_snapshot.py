"""The wire's shape of a whole book, which the models have as an update."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..models import DepthChanges, DepthUpdate, Id, Level, Origin
from ..models._understanding import unread_field

__all__ = ["DepthView", "Snapshot"]


def _not_empty(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Drop levels of size zero, which say that there is nothing."""
    if all(level.quantity for level in levels):
        return levels
    return tuple(level for level in levels if level.quantity)


@attrs.frozen(slots=True, kw_only=True)
class DepthView:
    """The whole book of one snapshot; sizes are absolute, and none is zero."""

    bids: tuple[Level, ...] = attrs.field(default=(), converter=_not_empty)
    asks: tuple[Level, ...] = attrs.field(default=(), converter=_not_empty)
    precision: int | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class Snapshot:
    """The wire's shape of a depth snapshot, a depth view and the REST answer about depth."""

    market_id: Id
    view: DepthView
    onchain_timestamp: int | None = None
    seen_timestamp: int | None = None
    unread: Mapping[str, object] = unread_field()

    def to_update(self) -> DepthUpdate:
        """Return the model's form of this snapshot."""
        return DepthUpdate(
            market_id=self.market_id,
            changes=DepthChanges(self.view.bids, self.view.asks),
            precision=self.view.precision,
            onchain_timestamp=self.onchain_timestamp,
            seen_timestamp=self.seen_timestamp,
            origin=Origin.SNAPSHOT,
            unread={**self.unread, **self.view.unread} if self.unread or self.view.unread else self.unread,
        )
