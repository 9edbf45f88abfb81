"""Why a transaction failed on chain: from the exchange's words and receipts to enumeration and variant.

A contract first logs a typed error, then reverts with a fixed code that tells only the kind of failure. Both
reach us as text in several dresses, or as receipts. Pure functions that take anything and never raise; the
names themselves are in ``_revert_table``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import attrs

from ._revert_table import ENUMS, EVENTS, REQUIRE_TEXTS, SIGNALS, UNLOGGED

__all__ = ["Revert", "decode_revert"]

_LONGEST_TEXT = 2**18
"""Characters of a reason that are looked at on either end."""
_MOST_RECEIPTS = 10_000
"""Receipts that are looked at, the last ones."""
_SHOWN = 200
_WORD = 16
"""Hexadecimal digits of a u64."""

# Quotes come escaped as often as the text was wrapped.
_QUOTE = r'\\{0,8}"'
_OK = re.compile(rf'\bOk\({_QUOTE}([^"\\]{{1,100}}){_QUOTE}\)')
_VARIANT = re.compile(r"[A-Z][A-Za-z0-9]{2,99}")
_REVERTED = re.compile(r"\bRevert\(([0-9]{1,20})\)")
_REVERT = re.compile(r"\bRevert\s{0,8}\{([^{}]{0,2000})")
_LOG = re.compile(r"\bLogData\s{0,8}\{([^{}]{0,2000})")
_RA = re.compile(r"\bra:\s{0,8}([0-9]{1,20})\b")
_RB = re.compile(r"\brb:\s{0,8}([0-9]{1,20})\b")
_DATA = re.compile(
    r"\bdata:\s{0,8}Some\(\s{0,80}(?:Bytes\(\s{0,80})?"
    rf"(?:{_QUOTE})?(?:0x)?([0-9a-fA-F]{{{_WORD}}})"
)
_PANIC = re.compile(r"\bPanicInstruction\s{0,8}\{\s{0,8}reason:\s{0,8}([A-Za-z][A-Za-z0-9_]{0,63})")
_CAUSE = re.compile(r"\band error:\s{0,8}(.{1,200})")


def _enums_by_variant() -> Mapping[str, tuple[str, ...]]:
    found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for enum, variants in (*ENUMS.values(), *UNLOGGED.items()):
        for variant in variants:
            found[variant] += (enum,)
    return dict(found)


_ENUMS_OF = _enums_by_variant()

Typed = tuple[str, str]
"""Enumeration and variant."""


@attrs.frozen(slots=True)
class Revert:
    """Why a transaction failed; what is not known is None.

    Attributes:
      enum: the contract's error enumeration; None also where two have the variant and nothing decides, and
        where the variant is newer than this library.
      variant: its variant.
      revert_code: the code that the transaction reverted with.
      signal: the name of that code.
      panic: the reason of a panic of the virtual machine.
      text: the exchange's words, shortened.
    """

    enum: str | None = None
    variant: str | None = None
    revert_code: int | None = None
    signal: str | None = None
    panic: str | None = None
    text: str | None = None

    @property
    def is_evident(self) -> bool:
        """Whether something proves that a transaction ran and failed; words alone do not."""
        known = self.variant is not None or self.revert_code is not None or self.panic is not None
        return known or self.text in REQUIRE_TEXTS

    def __str__(self) -> str:
        if self.variant is not None:
            return self.variant if self.enum is None else f"{self.enum}.{self.variant}"
        if self.panic is not None:
            return f"panic {self.panic}"
        if self.text in REQUIRE_TEXTS or self.revert_code is None:
            return self.text or "no explanation"
        return f"revert {self.revert_code}" + (f" ({self.signal})" if self.signal else "")


def decode_revert(reason: object, receipts: object) -> Revert:
    """Return what a failure on chain tells.

    Total: anything is accepted, and what cannot be read stays None. The work is bounded by the size of the
    arguments, and looks only at the ends of a very long reason.

    Args:
      reason: the exchange's text, or None.
      receipts: the decoded JSON of the transaction's receipts, or None.
    """
    text = _shortened(reason)
    found = _Receipts.of(receipts)
    typed = _typed_in(text) or found.typed
    code = _code_in(text)
    if code is None:
        code = found.code
    unknown = None if code is None else _unknown_in(text)
    enum, variant = _named_in(text, typed) or typed or (None, unknown)
    return Revert(
        enum=enum,
        variant=variant,
        revert_code=code,
        signal=None if code is None else SIGNALS.get(code),
        panic=_last(_PANIC, text) or found.panic,
        text=_words_of(text),
    )


# -- text ------------------------------------------------------------------------------------------


def _shortened(reason: object) -> str:
    if not isinstance(reason, str):
        return ""
    if len(reason) <= 2 * _LONGEST_TEXT:
        return reason
    return f"{reason[:_LONGEST_TEXT]}\n{reason[-_LONGEST_TEXT:]}"


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    """Return the last thing that `pattern` finds."""
    found = None
    for match in pattern.finditer(text):
        found = match[1]
    return found


def _named_in(text: str, typed: Typed | None) -> tuple[str | None, str] | None:
    """Return the last logged name that is a known variant, and its enumeration where that is certain."""
    known = [name for name in _OK.findall(text) if name in _ENUMS_OF]
    if not known:
        return None
    variant = known[-1]
    enums = _ENUMS_OF[variant]
    if len(enums) == 1:
        return enums[0], variant
    return (typed[0] if typed is not None and typed[1] == variant else None), variant


def _unknown_in(text: str) -> str | None:
    """Return the last logged name that could be a variant of an enumeration which is not in the table.

    What was logged before a transaction failed may also be an event or words, so this counts only where
    nothing better is known, and proves nothing.
    """
    names = (name for name in _OK.findall(text) if _VARIANT.fullmatch(name) and name not in EVENTS)
    return next(reversed([name for name in names if not name.endswith("Event")]), None)


def _typed_in(text: str) -> Typed | None:
    """Return what the last log before the last revert says, both as receipts printed into the text."""
    end = len(text)
    for match in _REVERT.finditer(text):
        end = match.start()
    log = _last(_LOG, text[:end])
    if log is None:
        return None
    rb, data = _RB.search(log), _DATA.search(log)
    return None if rb is None or data is None else _typed(int(rb[1]), int(data[1], 16))


def _typed(log_id: int, index: int) -> Typed | None:
    enum, variants = ENUMS.get(log_id, ("", ()))
    return (enum, variants[index]) if index < len(variants) else None


def _code_in(text: str) -> int | None:
    digits = _last(_REVERTED, text)
    if digits is None:
        fields = _last(_REVERT, text)
        match = None if fields is None else _RA.search(fields)
        digits = None if match is None else match[1]
    return _u64(digits)


def _words_of(text: str) -> str | None:
    required = next((known for known in REQUIRE_TEXTS if known in text), None)
    if required is not None:
        return required
    cause = _CAUSE.search(text)
    return (text if cause is None else cause[1])[:_SHOWN].strip() or None


# -- receipts --------------------------------------------------------------------------------------


@attrs.frozen(slots=True)
class _Receipts:
    """What structured receipts tell; nothing unless one of them is a failure."""

    typed: Typed | None = None
    code: int | None = None
    panic: str | None = None

    @classmethod
    def of(cls, receipts: object) -> _Receipts:
        """Look from the end for the failure, then for the last log before a revert."""
        if not isinstance(receipts, (list, tuple)):
            return cls()
        backwards = _tagged(cast("Sequence[object]", receipts)[-_MOST_RECEIPTS:][::-1])
        for tag, fields in backwards:
            if tag == "panic":
                return cls(panic=_panic_of(fields.get("reason")))
            if tag == "revert":
                logs = (fields for tag, fields in backwards if tag == "logdata")
                return cls(typed=_typed_log(next(logs, _object(None))), code=_u64(fields.get("ra")))
        return cls()


def _tagged(receipts: Sequence[object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield kind and fields of each receipt, whether its kind is a key around the fields or one of them."""
    for receipt in receipts:
        fields = _object(receipt)
        kind = fields.get("type")
        if isinstance(kind, str):
            yield _kind(kind), fields
        elif len(fields) == 1:
            ((name, inner),) = fields.items()
            yield _kind(str(name)), _object(inner)


def _kind(name: str) -> str:
    return name[:_SHOWN].replace("_", "").lower()


def _object(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _panic_of(reason: object) -> str | None:
    """Return the name in a panic's reason, which may be an object or text around it."""
    reason = _object(reason).get("reason", reason)
    if not isinstance(reason, str):
        return None
    return _last(_PANIC, reason[:_LONGEST_TEXT]) or reason[:_SHOWN] or None


def _typed_log(log: Mapping[str, object]) -> Typed | None:
    log_id, index = _u64(log.get("rb")), _first_word(log.get("data"))
    return None if log_id is None or index is None else _typed(log_id, index)


def _first_word(data: object) -> int | None:
    """Return the first eight bytes of logged data, given as hexadecimal text or as a list of bytes."""
    data = _object(data).get("Bytes", data)
    if isinstance(data, str):
        digits = data[: _WORD + 2].removeprefix("0x")[:_WORD]
        return _u64("0x" + digits) if len(digits) == _WORD else None
    if isinstance(data, (list, tuple)):
        octets = cast("Sequence[object]", data)[: _WORD // 2]
        if len(octets) == _WORD // 2 and all(type(octet) is int and octet in range(256) for octet in octets):
            return int.from_bytes(bytes(cast("Sequence[int]", octets)))
    return None


_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})")


def _u64(value: object) -> int | None:
    """Read a u64 from a number or its text, decimal or hexadecimal."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value, 16 if value[:2] in {"0x", "0X"} else 10)
    return value if type(value) is int and 0 <= value < 2**64 else None
