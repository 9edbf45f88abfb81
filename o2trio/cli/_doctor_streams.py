"""Checks of what comes over WebSockets; what requests are answered with is in ``_doctor_requests``."""

from __future__ import annotations

from collections.abc import Iterator

from ._doctor_check import (
    Check,
    Result,
    any_of,
    is_data,
    kind_of,
    refusal_code,
    sides_of,
    spelling,
)
from ._doctor_evidence import Evidence
from ._doctor_shapes import Object, items_of, object_of

__all__ = ["STREAM_CHECKS"]

_LIVE = ("market", "account", "trading")
"""Conversations in which live data may come."""


def _messages(evidence: Evidence, kind: str) -> Iterator[Object]:
    """Yield the messages of a kind from all conversations."""
    for talk in ("market", "refusals", "quiet", "account", "trading"):
        for said in evidence.said(talk):
            if is_data(said.object) and kind_of(said.object) == kind:
                yield said.object


def _first(evidence: Evidence, kind: str) -> Object | None:
    return next(_messages(evidence, kind), None)


def _book(message: Object | None) -> Object | None:
    if message is None:
        return None
    return object_of(message.get("view", message.get("orders")))


# -- books -----------------------------------------------------------------------------------------


def _snapshot_key(evidence: Evidence) -> str | None:
    message = _first(evidence, "depth")
    return None if message is None else "view" if "view" in message else "orders"


def _snapshot_precision(evidence: Evidence) -> str | None:
    book = _book(_first(evidence, "depth"))
    return None if book is None else "named" if "precision" in book else "not named"


def _side_names(evidence: Evidence) -> str | None:
    book = _book(_first(evidence, "depth"))
    if book is None:
        return None
    names = (("buys", "sells"), ("bids", "asks"))
    return next((f"{one}/{other}" for one, other in names if {one, other} & book.keys()), "neither")


def _levels(message: Object) -> dict[tuple[int, int], int]:
    """Return side, price and quantity of each level."""
    sides = sides_of(message.get("view") or message.get("orders") or message.get("changes"))
    return {
        (number, int(str(level["price"]))): int(str(level["quantity"]))
        for number, side in enumerate(sides or ((), ()))
        for level in items_of(side)
    }


def _empty_levels(evidence: Evidence) -> str | None:
    message = _first(evidence, "depth")
    return None if message is None else "some" if 0 in _levels(message).values() else "none"


_ENOUGH_LEVELS = 5
"""Levels whose fate must differ before absolute sizes are believed."""


def _depth_changes(evidence: Evidence) -> str | None:
    """Compare what updates add up to with the next snapshot, under both readings."""
    said = [each.object for each in evidence.said("market") if is_data(each.object)]
    books = [message for message in said if kind_of(message) == "depth"]
    if len(books) < 2:
        return None
    begin, end = said.index(books[0]), said.index(books[1])
    first, last = _levels(books[0]), _levels(books[1])
    sums, sizes = dict(first), dict(first)
    touched: set[tuple[int, int]] = set()
    for message in said[begin:end]:
        if kind_of(message) == "depth update":
            for level, quantity in _levels(message).items():
                sums[level] = sums.get(level, 0) + quantity
                sizes[level] = quantity
                touched.add(level)
    decisive = [level for level in touched if sums[level] != sizes[level]]
    signed = sum(sums[level] == last.get(level, 0) for level in decisive)
    absolute = sum(sizes[level] == last.get(level, 0) for level in decisive)
    if signed > absolute:
        return "signed differences"
    return "new absolute sizes" if absolute >= _ENOUGH_LEVELS else None


def _stale_update(evidence: Evidence) -> str | None:
    for talk, step in (("market", "depth"), ("market", "again")):
        kinds = [kind_of(each.object) for each in evidence.said(talk, step) if is_data(each.object)]
        if "depth" in kinds and "depth update" in kinds[: kinds.index("depth")]:
            return "some"
    return "none" if _first(evidence, "depth") else None


def _high_precision(evidence: Evidence) -> str | None:
    if ("refusals", "rough") not in evidence.heard:
        return None
    said = evidence.said("refusals", "rough")
    if refusal_code(said):
        return "refused"
    return "served" if any(kind_of(each.object) == "depth" for each in said) else "silent"


# -- fields ----------------------------------------------------------------------------------------


def _amounts(evidence: Evidence) -> str | None:
    sides = sides_of(_book(_first(evidence, "depth")) or {}) or ([], [])
    level = next((level for side in sides for level in items_of(side)), None)
    return None if level is None else spelling(level.get("quantity"))


def _time(name: str) -> Check:
    def read(evidence: Evidence) -> str | None:
        messages = [*_messages(evidence, "depth update"), *_messages(evidence, "trades")]
        if not messages:
            return None
        return spelling(messages[0][name]) if name in messages[0] else "absent"

    return Check(
        name=name,
        question=f"How is the time {name} written?",
        assumed="any spelling, null or absent; what cannot be read is kept raw",
        read=read,
        safe=any_of("text", "number", "number with a fraction", "RFC 3339 text", "null", "absent"),
    )


def _trade(evidence: Evidence) -> Object | None:
    for message in _messages(evidence, "trades"):
        found = items_of(message.get("trades")) or items_of([message.get("trade")])
        if found:
            return found[0]
    return None


def _trade_frames(evidence: Evidence) -> str | None:
    singles = [message for message in _messages(evidence, "trades") if "trade" in message]
    return "one under `trade`" if singles else "a list" if _trade(evidence) else None


def _action_names(evidence: Evidence) -> str | None:
    message = _first(evidence, "trades") or _first(evidence, "nonce")
    if message is None:
        return None
    return "short" if not str(message.get("action")).startswith("subscribe_") else "as subscribed"


def _frames(evidence: Evidence) -> str | None:
    said = [each for talk in _LIVE for each in evidence.said(talk) if is_data(each.object)]
    return ("binary" if any(each.is_binary for each in said) else "text") if said else None


_ENVELOPE = frozenset(
    ["action", "market_id", "onchain_timestamp", "seen_timestamp", "turbo", "code", "message", "error"]
)
_KNOWN = {
    "depth": _ENVELOPE | {"view", "orders"},
    "depth update": _ENVELOPE | {"changes"},
    "trades": _ENVELOPE | {"trades", "trade"},
    "orders": _ENVELOPE | {"orders"},
    "balances": _ENVELOPE | {"balance"},
    "nonce": _ENVELOPE | {"nonce", "contract_id"},
}


def _unknown_fields(evidence: Evidence) -> str | None:
    found, seen = set[str](), False
    for kind, known in _KNOWN.items():
        for message in _messages(evidence, kind):
            seen = True
            found |= message.keys() - known
    if not seen:
        return None
    return f"{len(found)} unknown: {', '.join(sorted(found))}" if found else "none"


_MARKS = ("code", "error", "turbo")


def _data_mark(evidence: Evidence) -> Result | None:
    messages = [message for kind in _KNOWN for message in _messages(evidence, kind)]
    if not messages:
        return None
    found = {f"{name}: {message[name]}".lower() for message in messages for name in _MARKS if name in message}
    harmless = {"code: 0", "code: 200", "error: false", "error: none", "turbo: false", "error: "}
    return Result(", ".join(sorted(found)) or "nothing", found <= harmless)


_SPELLINGS = frozenset({"text", "number"})

STREAM_CHECKS = (
    Check(
        name="snapshot key",
        question="Under which key does a depth snapshot hold its levels?",
        assumed="view or orders",
        read=_snapshot_key,
        safe=any_of("view", "orders"),
    ),
    Check(
        name="snapshot precision",
        question="Does a depth snapshot name its precision?",
        assumed="either",
        read=_snapshot_precision,
        safe=any_of("named", "not named"),
    ),
    Check(
        name="side names",
        question="What are the sides of a book called?",
        assumed="buys/sells or bids/asks",
        read=_side_names,
        safe=any_of("buys/sells", "bids/asks"),
    ),
    Check(
        name="empty levels",
        question="Do depth snapshots hold levels of size zero?",
        assumed="either; they are dropped",
        read=_empty_levels,
        safe=any_of("none", "some"),
    ),
    Check(
        name="depth changes",
        question="Are the quantities of depth updates differences or new sizes?",
        assumed="signed differences",
        read=_depth_changes,
        safe=any_of("signed differences"),
        advice="do not use order books until the library is fixed: every book would be wrong",
    ),
    Check(
        name="stale updates",
        question="Do updates come before the snapshot of a new subscription?",
        assumed="either; they are ignored",
        read=_stale_update,
        safe=any_of("none", "some"),
    ),
    Check(
        name="high precision",
        question="What does price grouping above level 9 bring?",
        assumed="only levels 1 to 9 are offered without a warning",
        read=_high_precision,
        safe=any_of("served", "refused", "silent"),
    ),
    Check(
        name="amounts",
        question="How are amounts written?",
        assumed="as text or as whole numbers",
        read=_amounts,
        safe=_SPELLINGS,
    ),
    _time("onchain_timestamp"),
    _time("seen_timestamp"),
    Check(
        name="trade frames",
        question="How does a message hold its trades?",
        assumed="in a list, or one under `trade`",
        read=_trade_frames,
        safe=any_of("a list", "one under `trade`"),
    ),
    Check(
        name="action names",
        question="Under which action do trades come?",
        assumed="that of the subscription, or its short name",
        read=_action_names,
        safe=any_of("as subscribed", "short"),
    ),
    Check(
        name="frames",
        question="Do messages come in text frames or in binary ones?",
        assumed="either",
        read=_frames,
        safe=any_of("text", "binary"),
    ),
    Check(
        name="unknown fields",
        question="Which fields do messages have that no source names?",
        assumed="any; they are ignored",
        read=lambda evidence: (found := _unknown_fields(evidence)) and Result(found, is_safe=True),
    ),
    Check(
        name="data marks",
        question="Which code or error does a message with data carry?",
        assumed="code 0 or 200, or a false error",
        read=_data_mark,
    ),
)
"""What is sent, and how it is written."""
