"""What a check of ``o2trio doctor`` is: a question, what the library assumes, and how evidence answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

import attrs

from .._safe_text import safe_text
from ._doctor_evidence import Evidence, Said
from ._doctor_shapes import Json, Object, items_of, object_of, redact

__all__ = ["Check", "Finding", "Result", "Verdict"]
__all__ += ["DATA_KEYS", "any_of", "digits_of", "is_data", "is_error", "kind_of", "refusal_code"]
__all__ += ["rows_of", "sides_of", "spelling", "unit_of"]


class Verdict(StrEnum):
    """What an answer means for a user of the library.

    SAFE: what is assumed holds, or the library copes. WRONG: it does not. UNDECIDED: nothing was seen.
    """

    SAFE = "safe"
    WRONG = "WRONG"
    UNDECIDED = "undecided"


@attrs.frozen(slots=True)
class Result:
    """What a check read off the evidence, and whether the library copes with it.

    Attributes:
      found: in words of ours.
      is_safe: whether the library copes.
      said: why, in words of others, which no report repeats.
    """

    found: str
    is_safe: bool
    said: str = ""


_LONGEST = 200
"""Characters of a finding."""

Read = Callable[[Evidence], "str | Result | None"]


@attrs.frozen(slots=True, kw_only=True)
class Check:
    """One question.

    Attributes:
      name: a short name, unique, for other programs.
      question: for a newcomer.
      assumed: what the library assumes, or copes with.
      read: returns one of the readings, or None if the evidence has no answer.
      safe: the readings with which the library copes; empty if :attr:`read` says.
      advice: what to try when the answer is not one of those.
    """

    name: str
    question: str
    assumed: str
    read: Read
    safe: frozenset[str] = frozenset()
    advice: str = "report it to the project, with the file that --report writes"

    def judge(self, evidence: Evidence) -> Finding:
        """Answer the question from the evidence so far."""
        try:
            answer = self.read(evidence)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            # Nobody has seen the live exchange: a shape beyond every reading is an answer too.
            answer = Result(f"a shape that no source describes ({type(error).__name__})", is_safe=False)
        if answer is None:
            return Finding(self, Verdict.UNDECIDED, "not seen")
        if isinstance(answer, str):
            answer = Result(answer, answer in self.safe)
        return Finding(
            self,
            Verdict.SAFE if answer.is_safe else Verdict.WRONG,
            safe_text(redact(answer.found), _LONGEST),
            safe_text(redact(answer.said), _LONGEST),
        )


@attrs.frozen(slots=True)
class Finding:
    """The answer to one question."""

    check: Check
    verdict: Verdict
    found: str
    said: str = ""

    @property
    def words(self) -> str:
        """What was found and why, for a terminal."""
        return f"{self.found}: {self.said}" if self.said else self.found


def any_of(*readings: str) -> frozenset[str]:
    """Return readings with all of which the library copes."""
    return frozenset(readings)


# -- reading messages ------------------------------------------------------------------------------

DATA_KEYS = frozenset({"view", "orders", "changes", "trades", "trade", "balance", "nonce"})
"""Keys of which each message with data has one."""

_MILLISECONDS = 10**11
"""Times above are milliseconds since 1970, below seconds."""

_MOST_DIGITS = 40

_FINE_CODES = frozenset({0, 200, "0", "200"})


def is_data(message: Object) -> bool:
    """Return whether a message carries data."""
    return bool(DATA_KEYS & message.keys())


def is_error(message: Object) -> bool:
    """Return whether a message says that it refuses something."""
    code = message.get("code")
    return not is_data(message) and (
        (code is not None and code not in _FINE_CODES)
        or "error" in (message.get("action"), message.get("type"), message.get("status"))
        or message.get("success") is False
        or bool(message.get("error"))
    )


def refusal_code(said: Iterable[Said]) -> Object | None:
    """Return the first message that refuses something."""
    return next((each.object for each in said if is_error(each.object)), None)


_KINDS = {
    "view": "depth",
    "changes": "depth update",
    "trades": "trades",
    "trade": "trades",
    "balance": "balances",
    "nonce": "nonce",
}


def kind_of(message: Object) -> str:
    """Return what a message with data is about; ``orders`` is a key of books and of lists of orders."""
    if "orders" in message:
        return "orders" if isinstance(message["orders"], list) else "depth"
    return next((kind for key, kind in _KINDS.items() if key in message), "")


def sides_of(book: Json) -> tuple[list[Json], list[Json]] | None:
    """Return the bids and asks of a book or of changes to one, under whichever names; None without any."""
    fields = object_of(book)
    for names in (("buys", "sells"), ("bids", "asks")):
        if any(name in fields for name in names):
            found = [fields.get(name) for name in names]
            bids, asks = (side if isinstance(side, list) else [] for side in found)
            return bids, asks
    return None


def rows_of(answer: Json, key: str) -> list[Object]:
    """Return the rows of an answer: those under `key`, or those of a bare list."""
    return items_of(answer if isinstance(answer, list) else object_of(answer).get(key))


def spelling(value: Json) -> str:
    """Return how a number is written."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int):
        return "number"
    if isinstance(value, str):
        if value.startswith(("0x", "0X")):
            return "hexadecimal text"
        if value.removeprefix("-").isdecimal():
            return "text"
        return "RFC 3339 text" if value[4:5] == "-" else "other text"
    return "number with a fraction"


def digits_of(value: Json) -> int:
    """Return a whole number in either spelling; 0 if it is not one."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else 0


def unit_of(value: Json) -> str:
    """Return the unit of a time since 1970, by its size."""
    return "milliseconds" if digits_of(value) >= _MILLISECONDS else "seconds"
