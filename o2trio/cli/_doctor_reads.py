"""Checks of what REST answers about markets; accounts are in ``_doctor_account``."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ..models import Market
from ..rest._envelope import opened
from ..rest._shapes import markets_of
from ..wire import structure_rows
from ._doctor_check import Check, Result, any_of, rows_of, sides_of, spelling, unit_of
from ._doctor_evidence import Evidence
from ._doctor_exam import market_rows, trade_rows
from ._doctor_shapes import Json, Object, items_of, object_of

__all__ = ["READ_CHECKS"]


# -- markets ---------------------------------------------------------------------------------------


def _ids(evidence: Evidence) -> str | None:
    row = evidence.market
    if not row:
        return None
    text = str(row.get("market_id"))
    digits = text.removeprefix("0x")
    case = "upper case" if digits != digits.lower() else "lower case"
    return f"{'0x and ' if digits != text else 'bare '}{case}"


def _market_rows(evidence: Evidence) -> Result | None:
    """Read the list as the library does: without a market that it can read, nothing else works."""
    answer = evidence.answers.get("markets")
    if answer is None or answer.status >= 400:
        return None
    listed = markets_of(opened(answer.body)).get("markets")
    if not isinstance(listed, list):
        return Result("there is no list", is_safe=False)
    rows = structure_rows(cast("list[object]", listed), Market, "")
    odd = len(rows.not_understood)
    if not rows:
        return Result("none", is_safe=False) if odd else None
    return Result(f"{odd} of {len(rows) + odd} rows lack something" if odd else "all", is_safe=True)


def _of_rows(key: str, say: Callable[[Json], str]) -> Callable[[Evidence], str | None]:
    """Return a reader that says something about one field of all markets."""

    def read(evidence: Evidence) -> str | None:
        found = {say(row[key]) for row in market_rows(evidence) if key in row}
        return " and ".join(sorted(found)) or None

    return read


def _symbols(evidence: Evidence) -> str | None:
    assets = [
        object_of(row[side]) for row in market_rows(evidence) for side in ("base", "quote") if side in row
    ]
    if not assets:
        return None
    return "some without" if any(not asset.get("symbol") for asset in assets) else "all have one"


def _window(value: Json) -> str:
    return "number with a fraction" if isinstance(value, float) else spelling(value)


def _levels(evidence: Evidence) -> str | None:
    answer = object_of(evidence.body("depth"))
    sides = sides_of(answer.get("orders", answer.get("view", answer)))
    level = next((level for side in sides or () for level in side), None)
    if level is None:
        return None
    return "objects" if items_of([level]) else "pairs"


def _exact(evidence: Evidence) -> str | None:
    answer = evidence.answers.get("depth exact")
    return None if answer is None else "a book" if answer.status < 400 else "refused"


def _limit(evidence: Evidence) -> str | None:
    counts: list[int] = []
    for name in ("depth limited", "depth"):
        answer = object_of(evidence.body(name))
        sides = sides_of(answer.get("orders", answer)) or ([], [])
        counts.append(max(len(side) for side in sides))
    limited, whole = counts
    return None if whole < 2 else "heeded" if limited == 1 else "ignored"


def _trade_field(say: Callable[[Object], str]) -> Callable[[Evidence], str | None]:
    """Return a reader that says something about the latest trade."""

    def read(evidence: Evidence) -> str | None:
        rows = trade_rows(evidence)
        return say(rows[0]) if rows else None

    return read


def _trade_id(trade: Object) -> str:
    value = trade.get("trade_id")
    return "maker/taker" if "/" in str(value) else spelling(value)


def _case(word: str) -> str:
    return "lower case" if word.islower() else "with capitals"


def _cursor(evidence: Evidence) -> str | None:
    rows, following = trade_rows(evidence), rows_of(evidence.body("next trades"), "trades")
    if len(rows) < 2 or not following:
        return None
    return "repeated" if following[0].get("trade_id") == rows[0].get("trade_id") else "left out"


def _bar(evidence: Evidence) -> Object | None:
    rows = rows_of(evidence.body("bars"), "bars")
    return rows[0] if rows else None


def _bars(evidence: Evidence) -> str | None:
    bar = _bar(evidence)
    if bar is None:
        return None
    time = "timestamp" if "timestamp" in bar else "time"
    return f"{time}, {'buy_volume and sell_volume' if 'buy_volume' in bar else 'volume'}"


def _bars_time(evidence: Evidence) -> str | None:
    bar = _bar(evidence)
    return None if bar is None else unit_of(bar.get("timestamp", bar.get("time")))


def _single(evidence: Evidence) -> str | None:
    body = evidence.body("ticker")
    return None if body is None else "a list of one" if isinstance(body, list) else "an object"


def _ticker_names(evidence: Evidence) -> str | None:
    body = evidence.body("ticker")
    if body is None:
        return None
    row = items_of(body)[0] if isinstance(body, list) else object_of(body)
    return "last, bid, ask" if "last" in row else "last_price, best_bid, best_ask"


def _catalogue(evidence: Evidence) -> str | None:
    body = evidence.body("assets")
    return None if body is None else "a list" if isinstance(body, list) else "a map"


def _human(evidence: Evidence) -> str | None:
    book = object_of(evidence.body("human book"))
    for side in ("bids", "asks"):
        levels = book.get(side)
        if isinstance(levels, list) and levels and isinstance(levels[0], list):
            return "text" if isinstance(levels[0][0], str) else "numbers"
    return None


READ_CHECKS = (
    Check(
        name="ids",
        question="How are ids written?",
        assumed="64 hexadecimal digits in any spelling",
        read=_ids,
        safe=any_of("0x and lower case", "0x and upper case", "bare lower case", "bare upper case"),
    ),
    Check(
        name="market rows",
        question="Which markets of the list can be read?",
        assumed="most; one that cannot be read is reported, and costs no other",
        read=_market_rows,
    ),
    Check(
        name="market fees",
        question="What do markets charge their makers?",
        assumed="any whole number, also a rebate",
        read=_of_rows("maker_fee", lambda fee: "a rebate" if str(fee).startswith("-") else "a fee"),
        safe=any_of("a fee", "a rebate", "a fee and a rebate"),
    ),
    Check(
        name="symbols",
        question="Do all assets have a symbol?",
        assumed="not all; ids are the keys",
        read=_symbols,
        safe=any_of("all have one", "some without"),
    ),
    Check(
        name="price window",
        question="How is the price window written?",
        assumed="a number, also with a fraction, or text",
        read=_of_rows("price_window", _window),
        safe=any_of("number", "text", "number with a fraction"),
    ),
    Check(
        name="levels",
        question="How does a book over REST hold its levels?",
        assumed="as objects or as pairs",
        read=_levels,
        safe=any_of("objects", "pairs"),
    ),
    Check(
        name="exact book",
        question="What does a book with precision 0 bring?",
        assumed="the library does not ask for one",
        read=_exact,
        safe=any_of("a book", "refused"),
    ),
    Check(
        name="limit",
        question="Is the limit of a book heeded?",
        assumed="either; the library cuts it itself",
        read=_limit,
        safe=any_of("heeded", "ignored"),
    ),
    Check(
        name="trades envelope",
        question="How does REST hold trades?",
        assumed="in an object or as a bare list",
        read=lambda evidence: (
            None
            if evidence.body("trades") is None
            else "a bare list"
            if isinstance(evidence.body("trades"), list)
            else "an object"
        ),
        safe=any_of("an object", "a bare list"),
    ),
    Check(
        name="trade id",
        question="What does the id of a trade look like?",
        assumed="any text or number; equal ids in two spellings are one trade",
        read=_trade_field(_trade_id),
        safe=any_of("maker/taker", "text", "number", "hexadecimal text", "other text"),
    ),
    Check(
        name="sides",
        question="How are buy and sell written?",
        assumed="in any case",
        read=_trade_field(lambda trade: _case(str(trade.get("side")))),
        safe=any_of("lower case", "with capitals"),
    ),
    Check(
        name="trade parties",
        question="Do public trades name maker and taker?",
        assumed="either",
        read=_trade_field(lambda trade: "named" if trade.get("maker") else "not named"),
        safe=any_of("named", "not named"),
    ),
    Check(
        name="trade time",
        question="How is the time of a trade written?",
        assumed="milliseconds as text or as a number",
        read=_trade_field(
            lambda trade: f"{unit_of(trade.get('timestamp'))} as {spelling(trade.get('timestamp'))}"
        ),
        safe=any_of("milliseconds as text", "milliseconds as number"),
    ),
    Check(
        name="cursor",
        question="Does the next page repeat the item its cursor names?",
        assumed="either",
        read=_cursor,
        safe=any_of("repeated", "left out"),
    ),
    Check(
        name="bars",
        question="Which names do the time and the volume of a bar have?",
        assumed="timestamp or time; buy_volume and sell_volume, or volume",
        read=_bars,
        safe=any_of(
            *(
                f"{time}, {volume}"
                for time in ("timestamp", "time")
                for volume in ("buy_volume and sell_volume", "volume")
            )
        ),
    ),
    Check(
        name="bar time",
        question="In which unit is the time of a bar?",
        assumed="any; it is inferred from its size",
        read=_bars_time,
        safe=any_of("milliseconds", "seconds"),
    ),
    Check(
        name="ticker",
        question="How does the ticker of one market come?",
        assumed="as a list of one or as an object",
        read=_single,
        safe=any_of("a list of one", "an object"),
    ),
    Check(
        name="ticker names",
        question="Which names do the prices of a ticker have?",
        assumed="either",
        read=_ticker_names,
        safe=any_of("last, bid, ask", "last_price, best_bid, best_ask"),
    ),
    Check(
        name="catalogue",
        question="How do the aggregated assets come?",
        assumed="as a map or as a list",
        read=_catalogue,
        safe=any_of("a map", "a list"),
    ),
    Check(
        name="human numbers",
        question="How are numbers in whole units written?",
        assumed="as numbers or as text",
        read=_human,
        safe=any_of("numbers", "text"),
    ),
)
"""What can be answered without an account."""
