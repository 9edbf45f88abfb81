"""The oracle of the tolerance fuzz job: what consumers saw, against what was true.

Each check takes what was played and yields violations in words. What it expects follows from the reading of
the messages in ``_reading`` and from the truth in ``_truth``, never from the decoder of the library. The
rule: a consumer saw the neighbors, the right value, or a mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from o2trio import (
    DepthUpdate,
    EntryNotUnderstood,
    FieldNotUnderstood,
    FrameIgnored,
    Origin,
    TopicBroken,
)
from tests.fuzz._play import Played
from tests.fuzz._reading import CARRIED, Entry, Sure, identifier, same
from tests.fuzz._truth import Sent
from tests.tolerance._cases import MARKET, MARKET_2

__all__ = ["CHECKS", "judge"]

_FIELDS = {"trades": "trades", "orders": "orders", "balances": "balance"}
_MARKETS = {"depth": MARKET, "depth 2": MARKET_2}
_TOPICS = {"snapshot": "depth", "update": "depth", "view": "depth view"}


def judge(played: Played) -> list[str]:
    """Return every violation, each with the name of the check that found it."""
    if played.crash:
        return [f"crash: {played.crash}"]
    return [f"{name}: {problem}" for name, check in CHECKS.items() for problem in check(played)]


# -- marks and innocents ---------------------------------------------------------------------------


def _broken(played: Played) -> list[str]:
    return [event.topic for event in played.events if isinstance(event, TopicBroken)]


def _is_broken(played: Played, kind: str) -> bool:
    prefix = _TOPICS.get(kind, kind)
    return any(topic.startswith(f"{prefix} of ") for topic in _broken(played))


def _changed(played: Played) -> list[Sent]:
    """Return the messages that are not what was meant."""
    return [sent for sent in played.truth.sent if not sent.is_plain]


def _has_gap(played: Played, name: str) -> bool:
    return any(update.origin is Origin.GAP for update in played.updates[name])


def check_ended(played: Played) -> Iterator[str]:
    """Check that no stream ends, except one whose first answer is a refusal too, or cannot be known."""
    first = next((sent for sent in played.truth.sent if sent.kind == "snapshot"), None)
    for name, reason in played.ended.items():
        if name == "depth" and first is not None and not first.is_plain:
            refused = first.frame.refuses and "SubscriptionRejected" in reason
            # A server that says nothing that can be known as a snapshot gives none in time.
            is_nothing = first.frame.kind is None or first.frame.foreign or first.is_hollow
            if refused or (is_nothing and "SubscriptionTimeout" in reason):
                continue
        yield f"{name} ended: {reason}"


def check_innocents(played: Played) -> Iterator[str]:
    """Check that a message which names its stream breaks no other stream."""
    changed = _changed(played)
    for sent in changed:
        if sent.meant is None:
            return
        whole = isinstance(sent.message, dict) and sent.message.get("action") == sent.meant.get("action")
        if not whole:
            return
        if "market_id" in sent.meant and identifier(sent.message.get("market_id")).sure is not Sure.SURE:
            return
    guilty = {_TOPICS.get(str(sent.kind), str(sent.kind)) for sent in changed}
    for topic in _broken(played):
        name = topic.split(" of ")[0]
        if guilty and (name not in guilty or MARKET_2 in topic):
            yield f"{topic} broke, though the message was for {', '.join(guilty)}"


# -- books -----------------------------------------------------------------------------------------


def check_books(played: Played) -> Iterator[str]:
    """Check that a book was true at every moment, and is the true one at the end."""
    for name, market in _MARKETS.items():
        if name in played.ended:
            continue
        books = played.books[name]
        for number, book in enumerate(books):
            update = played.updates[name][number]
            crossed = isinstance(update, DepthUpdate) and getattr(update, "is_crossed", False)
            if book not in played.truth.books[market] and not crossed:
                yield f"{name}: after update {number} the book was never true: {_shown(book)}"
                return
        if not books:
            yield f"{name}: no book came"
        elif books[-1] not in played.truth.now[market]:
            right = _shown(played.truth.now[market][0])
            yield f"{name}: at the end the book is {_shown(books[-1])}, not {right}"


def check_views(played: Played) -> Iterator[str]:
    """Check that every view was sent, and that the last one came."""
    views = list(played.books["view"])
    for view in views:
        if view not in played.truth.views:
            yield f"a view that was never sent: {_shown(view)}"
    if not views or views[-1] != played.truth.views[-1]:
        yield "the last view did not come"
    for sent in _changed(played):
        readable = sent.frame.sure is Sure.SURE and not sent.frame.foreign
        if sent.frame.kind == "view" and readable and not any(view in played.truth.views for view in views):
            yield "a plain view did not come"


def _shown(book: Any) -> str:
    return ", ".join(f"{side} {size} @ {price}" for (side, price), size in sorted(book.items())) or "empty"


# -- entries ---------------------------------------------------------------------------------------


def _models(played: Played, name: str) -> list[Any]:
    if name == "nonce":
        return [update for update in played.updates[name] if update.origin is not Origin.GAP]
    return [model for update in played.updates[name] for model in getattr(update, _FIELDS[name])]


def _is_marked(played: Played, name: str, entry: Entry) -> bool:
    """Tell whether the consumer has this entry as one that was not understood, or as a trigger."""
    updates = played.updates[name]
    if any(same(mark.raw, entry.raw) for update in updates for mark in update.not_understood):
        return True
    triggers = [each for update in updates for each in getattr(update, "triggers", ())]
    return any(each.order_id == entry.values.get("order_id") for each in triggers)


def _expected(played: Played, name: str) -> Iterator[tuple[Sent, Entry, bool]]:
    """Yield every entry that was sent or meant: (message, entry, whether it was meant only)."""
    for sent in played.truth.sent:
        if sent.frame.foreign:
            continue
        if sent.frame.kind == name and sent.frame.sure:
            for entry in sent.frame.entries:
                yield sent, entry, False
        if not sent.is_plain and sent.kind == name:
            for entry in sent.meant_entries():
                yield sent, entry, True


def _lies(played: Played, name: str, entries: list[Entry], models: list[Any]) -> Iterator[str]:
    for model in models:
        # The nonce that REST names at first was in no message.
        is_known = name == "nonce" and model.nonce in played.truth.nonces
        if not is_known and not any(entry.says(model) for entry in entries):
            yield f"this was never sent: {model}"


def _check_entries(name: str) -> Callable[[Played], Iterator[str]]:
    def check(played: Played) -> Iterator[str]:
        models = _models(played, name)
        broken, gap = _is_broken(played, name), _has_gap(played, name)
        everything = list(_expected(played, name))
        yield from _lies(played, name, [entry for _, entry, _ in everything if entry.sure], models)
        for sent, entry, is_meant in everything:
            seen = any(entry.sure and entry.says(model) for model in models)
            if seen or gap or _is_marked(played, name, entry):
                continue
            if is_meant:
                # Only where nothing was made of the message, and something of it is left.
                if (
                    sent.frame.sure is Sure.UNREADABLE
                    and not sent.is_hollow
                    and not (broken and name == "nonce")
                ):
                    yield f"lost with its message, without a mark: {entry.values}"
            elif entry.sure is Sure.SURE and sent.frame.sure is Sure.SURE:
                yield f"lost: {entry.values}"
            elif not broken:
                yield f"neither understood nor marked: {entry.raw!r}"

    return check


def check_order_of_trades(played: Played) -> Iterator[str]:
    """Check that each trade comes once, in the order of the exchange."""
    ids = [model.trade_id for model in _models(played, "trades")]
    if len(set(ids)) < len(ids):
        yield f"a trade came twice: {ids}"
    places = {row["trade_id"]: index for index, row in enumerate(played.truth.trades)}
    order = [places[each] for each in ids if each in places]
    if order != sorted(order) and len(played.truth.sent) == len(
        {id(sent.meant) for sent in played.truth.sent}
    ):
        yield f"trades are out of order: {ids}"


def check_last_orders(played: Played) -> Iterator[str]:
    """Check that the last state of each order is its true one."""
    last = {model.order_id: model for model in _models(played, "orders")}
    latest: dict[str, tuple[Sent, Entry]] = {}
    for sent, entry, is_meant in _expected(played, "orders"):
        if entry.sure and not is_meant:
            latest[entry.values["order_id"]] = sent, entry
    for order_id, (sent, entry) in latest.items():
        model = last.get(order_id)
        if (
            model is not None
            and not entry.says(model)
            and entry.sure is Sure.SURE
            and sent.frame.sure is Sure.SURE
        ):
            yield f"the last state of {order_id} is {model}, not {entry.values}"


def check_carried(played: Played) -> Iterator[str]:
    """Check that a carried field is what was sent, or None with its raw value kept and reported."""
    reported = any(isinstance(event, FieldNotUnderstood) for event in played.events)
    for name, field in _FIELDS.items():
        live = [
            model
            for update in played.updates[name]
            if update.origin is Origin.LIVE
            for model in getattr(update, field)
        ]
        for sent in _changed(played):
            for entry in sent.frame.entries if sent.frame.kind == name and sent.frame.sure else ():
                for model in live:
                    if entry.sure and entry.says(model):
                        yield from _carried(name, entry, model, is_reported=reported)


def _carried(name: str, entry: Entry, model: Any, *, is_reported: bool) -> Iterator[str]:
    for field, read in CARRIED[name].items():
        raw = entry.raw.get(field)
        if raw is None:
            continue
        found, value = read(raw), getattr(model, field)
        if value == found.value and found.sure:
            continue
        if value not in (None, 0) or found.sure is Sure.SURE:
            yield f"{field} is {value!r} where {raw!r} was sent"
        elif field not in model.unread:
            yield f"{field} could not be read ({raw!r}) and its raw value is lost"
        elif not is_reported:
            yield f"{field} could not be read ({raw!r}) and no event says so"


def check_marks_are_told(played: Played) -> Iterator[str]:
    """Check that an event reports each entry that is marked, and each message that cannot be read."""
    marks = [
        mark for updates in played.updates.values() for update in updates for mark in update.not_understood
    ]
    if marks and not any(isinstance(event, EntryNotUnderstood) for event in played.events):
        yield "an entry was not understood, and no event says so"
    for sent in _changed(played):
        if (
            sent.frame.sure
            or sent.frame.foreign
            or sent.frame.refuses
            or sent.is_hollow
            or sent.meant is None
        ):
            continue
        if not any(
            isinstance(event, (FrameIgnored, TopicBroken, EntryNotUnderstood)) for event in played.events
        ):
            yield "nothing says that a message could not be read"


CHECKS: dict[str, Callable[[Played], Iterator[str]]] = {
    "ended": check_ended,
    "innocents": check_innocents,
    "books": check_books,
    "views": check_views,
    **{name: _check_entries(name) for name in ("trades", "orders", "balances", "nonce")},
    "order of trades": check_order_of_trades,
    "last orders": check_last_orders,
    "carried": check_carried,
    "marks": check_marks_are_told,
}
