"""REST answers with one change: rows are independent, errors carry words, and nothing is a wrong success.

An answer of the embedded exchange is changed and given to the call it belongs to. What comes back is compared
with what the unchanged answer gives: all may differ only where the change was made, and only in a way that
what stands there explains.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias

import attrs
import trio

from o2trio import O2Client, O2Error, Options, open_o2
from tests.fuzz._change import Path, change_one
from tests.fuzz._samples import default_market, heard
from tests.fuzz._virtual import run_virtual
from tests.tolerance._cases import ORDER
from tests.tolerance._server import RawServer, reply

__all__ = ["RestCase", "RestPlayed", "draw_rest", "judge_rest", "play_rest"]

MARKET = default_market()
_ACCOUNT, _ASSET = "0x" + "ab" * 32, "0x" + "cd" * 32
_OPTIONS = Options(jitter=lambda: 0.0, request_timeout=20, reads_per_second=1000)

Call: TypeAlias = Callable[[O2Client], Awaitable[Any]]


@attrs.frozen
class Read:
    """One read.

    Attributes:
      call: makes it.
      rows: keys under which the rows lie; None if the answer is one thing.
      needed: the keys of a row, or of the one thing, without which it is nothing.
      marks: where the result keeps rows that could not be read.
    """

    call: Call
    rows: tuple[str, ...] | None
    needed: tuple[str, ...]
    marks: str = "not_understood"


READS: dict[str, Read] = {
    "/v1/markets": Read(
        lambda o2: o2.get_markets(),
        ("markets",),
        ("contract_id", "market_id", "asset", "decimals", "max_precision", "base", "quote"),
        "unreadable",
    ),
    "/v1/depth": Read(
        lambda o2: o2.get_depth(MARKET), None, ("orders", "view", "buys", "sells", "price", "quantity")
    ),
    "/v1/trades": Read(
        lambda o2: o2.get_trades(MARKET), ("trades",), ("trade_id", "side", "price", "quantity")
    ),
    "/v1/trades_by_account": Read(
        lambda o2: o2.get_trades_by_account(_ACCOUNT, MARKET),
        ("trades",),
        ("trade_id", "side", "price", "quantity"),
    ),
    "/v1/orders": Read(
        lambda o2: o2.get_orders(_ACCOUNT, MARKET),
        ("orders",),
        ("order_id", "side", "price", "quantity", "quantity_fill", "close", "cancel", "order_type"),
    ),
    "/v1/order": Read(
        lambda o2: o2.get_order(MARKET, ORDER),
        None,
        ("order", "order_id", "side", "price", "quantity", "quantity_fill", "close", "cancel", "order_type"),
    ),
    "/v1/orders/active": Read(
        lambda o2: o2.get_active_orders(_ACCOUNT, MARKET), ("entries",), ("order_id", "kind")
    ),
    "/v1/bars": Read(
        lambda o2: o2.get_bars(MARKET, "1m", start=1_789_999_900_000, end=1_790_000_100_000),
        ("bars",),
        ("timestamp", "time", "open", "high", "low", "close"),
    ),
    "/v1/balance": Read(
        lambda o2: o2.get_balance(_ACCOUNT, _ASSET),
        None,
        ("total_unlocked", "total_locked", "trading_account_balance"),
    ),
    "/v1/accounts": Read(
        lambda o2: o2.get_account(_ACCOUNT), None, ("trade_account_id", "trade_account", "nonce", "owner")
    ),
    "/v1/accounts/window": Read(
        lambda o2: o2.get_account_window(_ACCOUNT, 3), None, ("base", "slots", "word_position", "bitmap")
    ),
}


@attrs.frozen
class RestCase:
    """An answer, changed.

    Attributes:
      path: of the request.
      what: the change, in words.
      place: where it was made, in the answer before it.
      status, before, after: the answer.
    """

    path: str
    what: str
    place: Path
    status: int
    before: Any
    after: Any


@attrs.frozen
class RestPlayed:
    """What the call gave, with the answer as it was and as it is; an error is a result, too."""

    expected: Any
    found: Any


@cache
def _answers(path: str) -> tuple[Any, ...]:
    return tuple(json.loads(one.answer) for one in heard() if one.path == path and one.status == 200)


_ERRORS = (
    (404, {"code": 2000, "message": "Market not found"}),
    (400, {"code": 1001, "message": "missing parameter"}),
    (500, {"error": "boom"}),
    (503, {"message": "try later", "reason": None}),
)


def draw_rest(seed: int, number: int) -> RestCase:
    """Return the case of a seed and a number."""
    rng = random.Random(f"rest/{seed}/{number}")
    path = rng.choice(list(READS))
    status, before = 200, rng.choice(_answers(path))
    if rng.random() < 0.15:
        status, before = rng.choice(_ERRORS)
    change = change_one(rng, before)
    return RestCase(path, str(change), change.path, status, before, change.result)


# -- how it is played ------------------------------------------------------------------------------


def play_rest(case: RestCase) -> RestPlayed:
    """Make the call twice: with the answer as it was, and with the changed one."""
    return run_virtual(_play, case)


async def _play(case: RestCase) -> RestPlayed:
    found = []
    for body in (case.before, case.after):
        server = RawServer(lambda *_: (), lambda _asked, body=body: reply(body, case.status))  # type: ignore[misc]
        async with trio.open_nursery() as nursery:
            async with open_o2(server.network(nursery), options=_OPTIONS) as o2:
                try:
                    with trio.fail_after(600):
                        found.append(await READS[case.path].call(o2))
                except Exception as error:  # noqa: BLE001 - an error is a result, and is judged
                    found.append(error)
            nursery.cancel_scope.cancel()
    return RestPlayed(*found)


# -- how it is judged ------------------------------------------------------------------------------


def judge_rest(case: RestCase, played: RestPlayed) -> list[str]:
    """Return every violation."""
    found, read = played.found, READS[case.path]
    if isinstance(found, Exception) and not isinstance(found, O2Error):
        return [f"crash: {type(found).__name__}: {found}"]
    if case.status != 200:
        return list(_judge_error(case, found))
    if isinstance(played.expected, Exception):
        return [f"answers: the unchanged answer is refused: {played.expected}"]
    if isinstance(found, O2Error):
        return [] if _may_fail(case, read) else [f"neighbors: an answer is refused for {case.what}: {found}"]
    return list(_judge_rows(case, read, played) if read.rows is not None else _judge_one(case, read, played))


def _judge_error(case: RestCase, found: Any) -> Iterator[str]:
    if not isinstance(found, O2Error):
        yield f"wrong success: {found!r:.200} from an error with status {case.status}"
        return
    body = case.after
    words = [
        body[key]
        for key in ("message", "error", "detail")
        if isinstance(body, dict) and isinstance(body.get(key), str)
    ]
    if words and words[0].strip() and words[0][:40] not in str(found):
        yield f"words: {words[0]!r} is not in {str(found)!r}"


def _refuses(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    marks = {str(body.get(key)).lower() for key in ("type", "status", "action")}
    return (
        body.get("code") not in (None, 0, "0", 200, "200")
        or "error" in marks
        or bool(body.get("error"))
        or body.get("success") is False
        or body.get("turbo") not in (None, False)
        or bool(body.get("reason"))
    )


def _row_of(case: RestCase, read: Read) -> int | None:
    """Return the number of the row that was changed, or None if the change was made around the rows."""
    if not case.place:
        return None
    depth = len(read.rows or ()) if isinstance(case.before, dict) else 0
    row = case.place[depth] if len(case.place) > depth else None
    rows = case.before[read.rows[0]] if depth and read.rows else case.before
    inside = isinstance(rows, list) and (not depth or case.place[0] == (read.rows or ("",))[0])
    return row if inside and isinstance(row, int) else None


def _may_fail(case: RestCase, read: Read) -> bool:
    """Tell whether the call may be refused: the answer refuses, or the change hit what it needs."""
    if _refuses(case.after) or not case.place:
        return True
    if read.rows is None:
        return any(step in read.needed for step in case.place)
    if _row_of(case, read) is not None:
        return False
    return isinstance(case.before, dict) and case.place[0] in read.rows


def _judge_rows(case: RestCase, read: Read, played: RestPlayed) -> Iterator[str]:
    expected, found = list(played.expected), list(played.found)
    marks = list(getattr(played.found, read.marks, ()))
    row = _row_of(case, read)
    if row is None and not found and expected and not marks:
        rows = next(
            (
                case.after[key]
                for key in read.rows or ()
                if isinstance(case.after, dict) and key in case.after
            ),
            case.after,
        )
        if rows != []:
            yield f"wrong success: nothing at all, from {case.what}"
        return
    # A row that came twice; what came twice inside a row is only a change of that row.
    doubled = case.what.startswith("duplicate") and len(case.place) <= 2
    others = [model for index, model in enumerate(expected) if index != row or doubled]
    left = list(found)
    for model in others:
        if model in left:
            left.remove(model)
        elif row is not None:
            yield f"neighbors: lost to {case.what}: {model!r:.200}"
        elif not marks:
            yield f"neighbors: lost without a mark to {case.what}: {model!r:.200}"
    if row is None or doubled:
        return
    if not left and not marks:
        yield f"silence: the row is lost without a mark: {case.what}"
    for model in left:
        yield from _differences(case, read, expected[row], model)


def _judge_one(case: RestCase, read: Read, played: RestPlayed) -> Iterator[str]:
    if played.found is None and played.expected is not None:
        gone = isinstance(case.after, dict) and case.after.get("trade_account_id") is None
        if not gone and case.after.get("trade_account") is not None:
            yield f"wrong success: nothing, from {case.what}"
        return
    if played.expected is not None:
        yield from _differences(case, read, played.expected, played.found)


def _differences(
    case: RestCase, read: Read, expected: Any, found: Any, *, traced: bool = False
) -> Iterator[str]:
    """Compare two models: a difference must be explained by what now stands at the place of the change."""
    raw = _raw_at(case)
    traced = traced or _has_trace(found)
    gone = raw is None and case.place[-1] in _OPTIONAL
    for field in attrs.fields(type(expected)):
        before, after = getattr(expected, field.name), getattr(found, field.name)
        # The volume is a sum; and whose orders they are, the question says.
        if after in (before, _ACCOUNT) or field.name in {"unread", "not_understood", "gap", "volume"}:
            continue
        if attrs.has(type(before)) and attrs.has(type(after)):
            yield from _differences(case, read, before, after, traced=traced or gone)
            continue
        if after in (None, 0, (), "", False) or not after:
            # A needed value is never made up; a carried one that was there and unreadable leaves a trace.
            if _is_needed(case, read) and not gone and after is not None and not _explained(after, raw):
                yield f"wrong success: {field.name} is {after!r} from {case.what} ({raw!r:.80})"
            elif raw not in (None, "", [], {}) and not _explained(after, raw) and not traced:
                yield f"silence: {field.name} was unreadable ({raw!r:.80}) and is lost without a trace"
        elif after == "unknown" and (traced or gone):
            continue
        elif not _explained(after, raw) and not _is_new_name(case, after):
            wrong = f"{field.name} is {after!r:.80}, not {before!r:.80}"
            yield f"wrong value: {wrong}, from {case.what} ({raw!r:.80})"


_OPTIONAL = ("quantity_fill", "close", "cancel", "order_type")
"""Needed if sent; without them an order has the usual values."""


def _is_new_name(case: RestCase, value: Any) -> bool:
    """Tell whether a value is the name that a key was given, as that of an order's type may be."""
    return case.what.startswith("rename") and f'"{value}"' in json.dumps(case.after)


def _is_needed(case: RestCase, read: Read) -> bool:
    return bool(case.place) and case.place[-1] in read.needed


def _has_trace(model: Any) -> bool:
    """Tell whether a model, or one inside it, says what could not be read."""
    if getattr(model, "unread", None) or getattr(model, "not_understood", None):
        return True
    parts: Iterable[Any] = ()
    if attrs.has(type(model)):
        parts = (getattr(model, field.name) for field in attrs.fields(type(model)))
    return any(_has_trace(part) for part in parts if attrs.has(type(part)))


def _raw_at(case: RestCase) -> Any:
    """Return what stands at the place of the change now, or None."""
    value = case.after
    for step in case.place:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _explained(value: Any, raw: Any) -> bool:
    """Tell whether a value is one reading of what was sent, or of a part of it."""
    if value is None or isinstance(value, (tuple, Mapping)) or attrs.has(type(value)):
        return True
    for leaf in [*_leaves(raw), *_moments(raw)]:
        if _text(leaf) == _text(value):
            return True
        try:
            sent = Decimal(int(leaf, 16) if isinstance(leaf, str) and leaf[:2] in {"0x", "0X"} else str(leaf))
            # A time in another unit is the same time.
            if not isinstance(value, str) and any(
                sent * scale == value for scale in (1, 1000, Decimal("1e-3"), Decimal("1e-6"))
            ):
                return True
            if (
                (not isinstance(value, str) and int(sent / 10**6) == value)
                or int(sent * 1000) == value
                or int(sent / 1000) == value
            ):
                return True
        except (ArithmeticError, ValueError, TypeError):
            continue
    return False


def _moments(raw: Any) -> Iterator[int]:
    """Yield the time that a text names, in seconds since 1970."""
    if isinstance(raw, str):
        with suppress(ValueError):
            yield int(datetime.fromisoformat(raw).timestamp())


def _text(value: Any) -> str:
    return str(value).strip().lower().removeprefix("0x")


def _leaves(raw: Any) -> Iterator[Any]:
    if isinstance(raw, dict):
        for key, entry in raw.items():
            yield key
            yield from _leaves(entry)
    elif isinstance(raw, list):
        for entry in raw:
            yield from _leaves(entry)
    else:
        yield raw
