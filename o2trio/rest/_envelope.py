"""The envelope of an answer: what it says about success or failure, and what is inside.

The exchange and the gateways in front of it put their words under many names and at several depths. This is
the one place that looks for them. Pure functions over decoded JSON, which may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice

import attrs

from ..wire._values import is_list, is_object

__all__ = ["Envelope", "envelope_of", "layers", "object_in", "opened", "words_in"]

_WORDS = ("title", "message", "msg", "error", "detail", "details", "errors")
"""Where an explanation stands, the most general first; ``reason`` is kept apart, as its text is decoded."""
_NESTED = ("message", "error", "detail", "details", "errors", "reason")
"""Where an error may be an object, or a list of objects, that explains itself."""
_INSIDE = ("data", "result")
"""Names under which a whole answer may be wrapped."""
_SAYS_ERROR = ("action", "type", "status")
_SUCCESS_CODES = (0, 200)
_DIGITS = 9
_NUMBER = re.compile(rf"\s*[+-]?[0-9]{{1,{_DIGITS}}}\s*")

_DEEPEST = 4
_MOST_WORDS = 16
"""Words, and entries of one list, that are looked at."""
_MOST_LAYERS = 64
"""Objects of one answer that are looked at."""


@attrs.frozen(slots=True, kw_only=True)
class Envelope:
    """What an answer says about itself.

    Attributes:
      code: the error's number; None where there is none, and for 0 and 200, which are not errors.
      message: the words of the answer from all places where they may stand, or None.
      reason: the untouched text under ``reason``, or None.
      receipts: the untouched receipts of a transaction, or None.
      is_refusal: whether the answer says that it is an error, whatever its HTTP status.
      is_success: whether the answer says that it is a success: ``success: true``, or the code 0 or 200.
    """

    code: int | None = None
    message: str | None = None
    reason: str | None = None
    receipts: object = None
    is_refusal: bool = False
    is_success: bool = False


def envelope_of(content: object) -> Envelope:
    """Read each part of an envelope independently: an odd one does not hide the others."""
    outer = layers(content)
    every = list(islice((layer for found in outer for layer in _explanations(found)), _MOST_LAYERS))
    codes = [code for layer in every if (code := _code(layer.get("code"))) is not None]
    code = next((code for code in codes if code not in _SUCCESS_CODES), None)
    reasons = (reason for layer in every if isinstance(reason := layer.get("reason"), str))
    return Envelope(
        code=code,
        message=": ".join(_words(every)) or None,
        reason=next((reason for reason in reasons if reason), None),
        receipts=next((layer["receipts"] for layer in every if layer.get("receipts") is not None), None),
        is_refusal=any(map(_refuses, outer)),
        is_success=any(map(_succeeds, outer)),
    )


def words_in(content: object) -> str | None:
    """Return the texts of an answer whose envelope has no known name for them; None if it has no text."""
    return ": ".join(dict.fromkeys(islice(_texts(content), _MOST_WORDS))) or None


def layers(content: object) -> list[dict[str, object]]:
    """Return the objects around the content of an answer, the outermost first, and it itself if it is one."""
    return [found for layer in _unwrapped(content) if (found := object_in(layer)) is not None]


def opened(content: object) -> object:
    """Return an answer without the wrapping ``{"data": ...}`` or ``{"result": ...}``.

    The fields beside a wrapped object stay beside its own; a list takes nothing with it.
    """
    found = _unwrapped(content)
    inner = object_in(found[-1])
    if inner is None or len(found) == 1:
        return found[-1]
    return {name: value for layer in layers(content) for name, value in layer.items()}


def object_in(value: object) -> dict[str, object] | None:
    """Return `value` if it is a JSON object."""
    return value if is_object(value) else None


# -- inside ----------------------------------------------------------------------------------------


def _unwrapped(content: object) -> list[object]:
    """Return an answer and what is wrapped in it, the outermost first."""
    found = [content]
    while len(found) <= _DEEPEST:
        outer = object_in(found[-1]) or {}
        inside = [outer[name] for name in _INSIDE if isinstance(outer.get(name), (dict, list))]
        if len(inside) != 1:
            break
        found += inside
    return found


def _explanations(value: object, deepest: int = _DEEPEST) -> Iterator[dict[str, object]]:
    """Yield an object, and the objects that explain it further."""
    found = object_in(value)
    if found is None or not deepest:
        return
    yield found
    for name in _NESTED:
        for entry in _entries(found.get(name)):
            yield from _explanations(entry, deepest - 1)


def _entries(value: object) -> list[object]:
    """Return the first entries of a list; anything else is the one entry."""
    return value[:_MOST_WORDS] if is_list(value) else [value]


def _refuses(layer: dict[str, object]) -> bool:
    said = (layer.get(name) for name in _SAYS_ERROR)
    return bool(
        _code(layer.get("code")) not in (None, *_SUCCESS_CODES)
        or any(isinstance(word, str) and word.casefold() == "error" for word in said)
        or layer.get("success") in (False, "false")
        or layer.get("error")
        or layer.get("errors")
    )


def _succeeds(layer: dict[str, object]) -> bool:
    return layer.get("success") in (True, "true") or _code(layer.get("code")) in _SUCCESS_CODES


def _code(value: object) -> int | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, Decimal) and value.adjusted() < _DIGITS and value == value.to_integral_value():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(found: list[dict[str, object]]) -> dict[str, None]:
    """Return the explanations in `found`, each once, in order."""
    words: dict[str, None] = {}
    for layer in found:
        for name in _WORDS:
            for entry in _entries(layer.get(name)):
                if isinstance(entry, (str, int, Decimal)) and not isinstance(entry, bool) and entry != "":
                    words[str(entry)] = None
    for layer in found:
        code = layer.get("code")
        if isinstance(code, str) and code and _code(code) is None:
            words[code] = None
    return words


def _texts(value: object, deepest: int = _DEEPEST) -> Iterator[str]:
    """Yield every text in a JSON value, without the names of its fields."""
    if isinstance(value, str):
        if value:
            yield value
    elif deepest:
        entries = value.values() if is_object(value) else value if is_list(value) else ()
        for entry in entries:
            yield from _texts(entry, deepest - 1)
