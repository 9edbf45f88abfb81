"""Messages made strange: with fields nobody knows, damaged, or never heard of. No I/O, no state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import cast

from ._ws_frames import binary_frame, text_frame

__all__ = ["STRANGE", "corrupted", "extended"]

_BREAKABLE = ("price", "quantity", "nonce", "total_locked", "total_unlocked")
"""Fields without which a message is nothing."""

_NONSENSE: tuple[object, ...] = ("ten", "", "12.5", 12.5, True, [], {})
_SURPRISES: tuple[object, ...] = (
    None,
    0.1,
    "",
    "ä\u2028\U0001f600",
    -(2**70),
    [{"a": 1}],
    {"deep": [1, None]},
)

_NOT_JSON = ("", "   ", "Service Unavailable", "<html>\n</html>", '"text"', "[1, 2]", "17", "null")
_UNKNOWN = (
    '{"action":"subscribe_weather","forecast":["rain"]}',
    '{"action":"maintenance","at":"1790000000"}',
    '{"hello":"world"}',
    "{}",
    '{"action":7}',
)


def _entries(value: object) -> list[dict[str, object]]:
    """Return the outermost objects that stand in lists: levels, trades, orders, balances."""
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return [entry for inner in fields.values() for entry in _entries(inner)]
    return []


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def extended(text: str, random: Random) -> str:
    """Return a message with fields that nobody knows; what it says stays the same."""
    message: dict[str, object] = json.loads(text)
    for target in [message, *_entries(message)]:
        target[f"x_{random.randrange(1000)}"] = random.choice(_SURPRISES)
    return _dump(message)


def corrupted(text: str, random: Random) -> str:
    """Return a message that says nothing any more: cut off, or with nonsense for a number."""
    message: dict[str, object] = json.loads(text)
    entries = [message, *_entries(message)]
    places = [(entry, name) for entry in entries for name in _BREAKABLE if name in entry]
    if not places or random.random() < 0.5:
        return text[: random.randrange(1, len(text))]
    entry, name = random.choice(places)
    entry[name] = random.choice(_NONSENSE)
    return _dump(message)


def _binary(_text: str, random: Random) -> bytes:
    # A copy of a true message would be a true message: what is text in UTF-8 is read.
    return binary_frame(b"\xff" + random.randbytes(random.randrange(64)))


STRANGE: Mapping[str, Callable[[str, Random], bytes]] = {
    "not_json": lambda _text, random: text_frame(random.choice(_NOT_JSON)),
    "unknown": lambda _text, random: text_frame(random.choice(_UNKNOWN)),
    "binary": _binary,
}
"""What may come besides the messages; each is given the message that follows, and returns whole frames."""
