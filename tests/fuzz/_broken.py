"""Clients that are broken on purpose: the oracle of the tolerance fuzz job must catch each."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from o2trio import (
    ApiError,
    DecodeError,
    DepthUpdate,
    O2Error,
    OrderUpdate,
    Rows,
    TradeUpdate,
)
from o2trio.models import BalanceUpdate, DepthChanges, Id, Level
from o2trio.rest import RestClient
from o2trio.streams import Mailbox, _port
from o2trio.streams._machine import Event as TopicEvent
from o2trio.streams._topic import Topic
from o2trio.wire import Frame, FrameKind, decode

# -- the oracle can be angry: clients that are broken on purpose -----------------------------------

Patch = pytest.MonkeyPatch


def _decoding(change: Callable[[Frame], Frame]) -> Callable[[Patch], None]:
    """Return what makes a client take every frame as `change` says."""

    def apply(patch: Patch) -> None:
        honest = decode
        patch.setattr(_port, "decode", lambda data: change(honest(data)))

    return apply


def _body(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    return _decoding(lambda frame: frame if frame.body is None else frame._replace(body=change(frame.body)))


def _every(number: int) -> Callable[[], bool]:
    """Return what is true at every n-th call."""
    calls = iter(range(10**9))
    return lambda: next(calls) % number == number - 1


def _silently_dropping(kind: FrameKind) -> Callable[[Patch], None]:
    def apply(patch: Patch) -> None:
        now = _every(2)
        _decoding(lambda frame: Frame(FrameKind.ACKNOWLEDGEMENT) if frame.kind is kind and now() else frame)(
            patch
        )

    return apply


def _wrong_sizes(update: Any) -> Any:
    if not isinstance(update, DepthUpdate):
        return update
    bids = tuple(Level(level.price, level.quantity + 1) for level in update.changes.bids)
    return attrs.evolve(update, changes=DepthChanges(bids, update.changes.asks))


def _empty_books(update: Any) -> Any:
    if isinstance(update, DepthUpdate) and update.is_snapshot:
        return attrs.evolve(update, changes=DepthChanges())
    return update


def _wrong_prices(update: Any) -> Any:
    if isinstance(update, TradeUpdate):
        return attrs.evolve(update, trades=tuple(attrs.evolve(each, price=7) for each in update.trades))
    return update


def _without_neighbors(update: Any) -> Any:
    if isinstance(update, OrderUpdate) and update.not_understood:
        return attrs.evolve(update, orders=())
    return update


def _without_marks(update: Any) -> Any:
    return attrs.evolve(update, not_understood=()) if getattr(update, "not_understood", ()) else update


def _made_up(update: Any) -> Any:
    """Take what could not be read for zero."""
    if isinstance(update, OrderUpdate):
        return attrs.evolve(update, orders=tuple(_zeroed(each) for each in update.orders))
    if isinstance(update, TradeUpdate):
        return attrs.evolve(update, trades=tuple(_zeroed(each) for each in update.trades))
    return update


def _zeroed(model: Any) -> Any:
    return attrs.evolve(model, timestamp=7) if "timestamp" in model.unread else model


def _without_unread(update: Any) -> Any:
    for name in ("orders", "trades"):
        rows = getattr(update, name, ())
        if any(row.unread for row in rows):
            rows = tuple(attrs.evolve(row, unread=MappingProxyType({})) for row in rows)
            return attrs.evolve(update, **{name: rows})
    return update


def _doubling(patch: Patch) -> None:
    """Give every trade twice, after all that guards against it."""
    honest = Mailbox.pop

    def pop(self: Any) -> Any:
        update = honest(self)
        return attrs.evolve(update, trades=update.trades * 2) if isinstance(update, TradeUpdate) else update

    patch.setattr(Mailbox, "pop", pop)


def _old_orders(patch: Patch) -> None:
    """Let every order be open again at the end."""
    _body(
        lambda update: (
            attrs.evolve(
                update, orders=tuple(attrs.evolve(each, close=False, cancel=False) for each in update.orders)
            )
            if isinstance(update, OrderUpdate)
            else update
        )
    )(patch)


def _crash(frame: Frame) -> Frame:
    if frame.kind is FrameKind.TRADES and isinstance(frame.body, TradeUpdate) and len(frame.body.trades) != 3:
        raise KeyError("trades")
    return frame


def _ending(patch: Patch) -> None:
    """End every stream at a frame that says something odd."""

    def change(frame: Frame) -> Frame:
        if frame.extra is not None and frame.extra.odd:
            raise AssertionError
        return frame

    honest = _port.Port.receive

    def receive(self: Any, messages: Any) -> bool:
        try:
            return honest(self, messages)
        except AssertionError:
            for topic in list(self.slots.values()):
                topic.fail(lambda: RuntimeError("over"))
            return False

    _decoding(change)(patch)
    patch.setattr(_port.Port, "receive", receive)


def _breaking_all(patch: Patch) -> None:
    """Break every stream where one has a break."""
    honest = Topic._count_break

    def count(self: Any, reason: str) -> None:
        honest(self, reason)
        others = [topic for topic in self.port.slots.values() if topic is not self and not topic.epoch]
        for topic in others:
            topic.handle(TopicEvent.BREAK, reason="another has a break")

    patch.setattr(Topic, "_count_break", count)


def _without_events(*kinds: str) -> Callable[[Patch], None]:
    def apply(patch: Patch) -> None:
        from o2trio._runtime import Runtime  # noqa: PLC0415 - only here

        honest = Runtime.emit

        def emit(self: Any, event: Any) -> None:
            if type(event).__name__ not in kinds:
                honest(self, event)

        patch.setattr(Runtime, "emit", emit)

    return apply


def _balances_without(update: Any) -> Any:
    if isinstance(update, BalanceUpdate) and len(update.balance) > 1:
        return attrs.evolve(update, balance=update.balance[1:])
    return update


def _nonces(update: Any) -> Any:
    return attrs.evolve(update, nonce=1) if getattr(update, "nonce", None) else update


BROKEN: dict[str, tuple[Callable[[Patch], None], str, str]] = {
    "drops changes": (_silently_dropping(FrameKind.DEPTH_UPDATE), "update", "books"),
    "drops trades": (_silently_dropping(FrameKind.TRADES), "trades", "trades"),
    "drops orders": (_silently_dropping(FrameKind.ORDERS), "orders", "orders"),
    "drops views": (_silently_dropping(FrameKind.DEPTH_VIEW), "view", "views"),
    "reads wrong sizes": (_body(_wrong_sizes), "update", "books"),
    "makes empty books": (_body(_empty_books), "snapshot", "books"),
    "reads wrong prices": (_body(_wrong_prices), "trades", "trades"),
    "reads wrong nonces": (_body(_nonces), "nonce", "nonce"),
    "loses balances": (_body(_balances_without), "balances", "balances"),
    "loses neighbors": (_body(_without_neighbors), "orders", "orders"),
    "loses marks": (_body(_without_marks), "trades", "trades"),
    "makes numbers up": (_body(_made_up), "trades", "carried"),
    "loses raw values": (_body(_without_unread), "orders", "carried"),
    "doubles trades": (_doubling, "trades", "order of trades"),
    "reopens orders": (_old_orders, "orders", "last orders"),
    "crashes": (_decoding(_crash), "trades", "crash"),
    "ends innocents": (_ending, "orders", "ended"),
    "breaks innocents": (_breaking_all, "update", "innocents"),
    "says nothing": (_without_events("EntryNotUnderstood"), "orders", "marks"),
    "hides odd fields": (_without_events("FieldNotUnderstood"), "trades", "carried"),
}


# -- the same for REST -----------------------------------------------------------------------------


def _reading(name: str, change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Return what makes a client change what a read gives; an error is given, too."""

    def apply(patch: Patch) -> None:
        honest = getattr(RestClient, name)

        async def read(self: Any, *args: Any, **more: Any) -> Any:
            try:
                found = await honest(self, *args, **more)
            except O2Error as error:
                found = error
            found = change(found)
            if isinstance(found, Exception):
                raise found
            return found

        patch.setattr(RestClient, name, read)

    return apply


def _unless_error(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda found: found if isinstance(found, Exception) else change(found)


BROKEN_READS: dict[str, tuple[Callable[[Patch], None], str]] = {
    "loses marks": (_reading("trades", _unless_error(tuple)), "silence"),
    "loses neighbors": (
        _reading("orders", _unless_error(lambda rows: rows[:0] if rows.not_understood else rows)),
        "neighbors",
    ),
    "refuses all for one": (
        _reading("bars", _unless_error(lambda rows: O2Error("odd") if rows.not_understood else rows)),
        "neighbors",
    ),
    "takes errors for nothing": (
        _reading("trades", lambda found: Rows() if isinstance(found, Exception) else found),
        "wrong success",
    ),
    "makes numbers up": (
        _reading(
            "order", _unless_error(lambda one: attrs.evolve(one, base_decimals=77) if one.unread else one)
        ),
        "wrong value",
    ),
    "crashes": (
        _reading("balance", lambda found: KeyError("odd") if isinstance(found, DecodeError) else found),
        "crash",
    ),
    "loses the words": (
        _reading("depth", lambda found: O2Error("no") if isinstance(found, O2Error) else found),
        "words",
    ),
}


def _submitting(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    return _reading("submit", change)


def _twice(patch: Patch) -> None:
    honest = RestClient.submit

    async def submit(self: Any, *args: Any, **more: Any) -> Any:
        await honest(self, *args, **more)
        return await honest(self, *args, **more)

    patch.setattr(RestClient, "submit", submit)


def _naming_another(done: Any) -> Any:
    other = Id("0x" + "99" * 32)
    rows = Rows([attrs.evolve(each, order_id=other) for each in done.orders], done.orders.not_understood)
    return attrs.evolve(done, orders=rows)


BROKEN_WRITES: dict[str, tuple[Callable[[Patch], None], str]] = {
    "denies": (
        _submitting(_unless_error(lambda done: ApiError("it did not run", status=400, code=1001))),
        "wrong refusal",
    ),
    "submits twice": (_twice, "twice"),
    "crashes": (_submitting(_unless_error(lambda done: KeyError("tx_id"))), "crash"),
    "names another order": (_submitting(_unless_error(_naming_another)), "wrong success"),
    "loses a success": (
        _submitting(_unless_error(lambda done: O2Error("lost") if done.orders else done)),
        "lost",
    ),
}
