"""One change to one place of a JSON value: what the tolerance fuzz job does to real shapes.

Every choice is drawn from a ``random.Random``, so a seed and a number name a change for good.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs

__all__ = ["Change", "Path", "change_one", "places"]

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root to a place."""


@attrs.frozen
class Change:
    """What was done.

    Attributes:
      what: the operation.
      path: where, in the value before the change.
      result: the value after it.
    """

    what: str
    path: Path
    result: Any = attrs.field(eq=False)

    def __str__(self) -> str:
        return f"{self.what} at {'.'.join(map(str, self.path)) or 'the root'}"


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield every place of a value, the root first."""
    yield path
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from places(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from places(entry, (*path, index))


def change_one(rng: random.Random, value: Any) -> Change:
    """Change one thing anywhere in `value`, which stays as it is."""
    root = [copy.deepcopy(value)]
    while True:
        path = rng.choice(list(places(value)))
        parent, key = _parent(root, path)
        what, act = rng.choice(_OPERATIONS)
        if act(rng, parent, key) and root[:1] != [value]:
            return Change(what, path, root[0])
        root = [copy.deepcopy(value)]


def _parent(root: list[Any], path: Path) -> tuple[Any, Any]:
    """Return the container of a place and its key there."""
    parent, key = root, 0
    for step in path:
        parent, key = parent[key], step  # type: ignore[assignment]
    return parent, key


# -- operations: each returns whether it could be done ---------------------------------------------


def _drop(_rng: random.Random, parent: Any, key: Any) -> bool:
    if not isinstance(parent, dict):
        return False
    del parent[key]
    return True


def _null(_rng: random.Random, parent: Any, key: Any) -> bool:
    parent[key] = None
    return True


def _retype(rng: random.Random, parent: Any, key: Any) -> bool:
    value = parent[key]
    options: list[Any] = [True, False, [], {}, 0.5, 7, "odd"]
    if isinstance(value, str):
        digits = value.removeprefix("-")
        options += (
            [int(value), float(value) + 0.5] * 3 if digits.isdecimal() and len(value) < 30 else [len(value)]
        )
    elif isinstance(value, bool):
        options += [str(value).lower(), int(value)] * 3
    elif isinstance(value, int):
        options += [str(value), value + 0.5] * 3
    elif isinstance(value, list):
        options += [{str(index): entry for index, entry in enumerate(value)}] * 3
    elif isinstance(value, dict):
        options += [list(value.values()), [list(entry) for entry in value.items()]] * 3
    parent[key] = rng.choice(options)
    return True


def _wrap(rng: random.Random, parent: Any, key: Any) -> bool:
    parent[key] = rng.choice(([parent[key]], {"value": parent[key]}, {"Some": parent[key]}, [[parent[key]]]))
    return True


_OTHER_NAMES = {
    "buys": "bids",
    "sells": "asks",
    "view": "orders",
    "owner": "account",
    "account": "owner",
    "trades": "trade",
    "timestamp": "time",
    "history": "order_tx_history",
    "fills": "fill",
    "price": "px",
}


def _rename(rng: random.Random, parent: Any, key: Any) -> bool:
    if not isinstance(parent, dict):
        return False
    words = key.split("_")
    camel = words[0] + "".join(word.title() for word in words[1:])
    name = rng.choice((f"{key}x", key.upper(), camel, _OTHER_NAMES.get(key, f"new_{key}")))
    if name in parent:
        return False
    for each in list(parent):
        parent[name if each == key else each] = parent.pop(each)
    return True


_NEW_KEYS: tuple[tuple[str, Any], ...] = (
    ("a_field_from_the_future", {"x": [1]}),
    ("code", 0),
    ("code", "0"),
    ("code", 200),
    ("code", None),
    ("code", 6001),
    ("error", False),
    ("error", None),
    ("error", "odd"),
    ("success", True),
    ("success", False),
    ("status", "ok"),
    ("status", "error"),
    ("type", "update"),
    ("message", "ok"),
    ("turbo", False),
    ("turbo", True),
    ("turbo", "yes"),
    ("precision", "1"),
    ("kind", "order"),
    ("id", 7),
    ("sequence", 12),
)


def _add(rng: random.Random, parent: Any, key: Any) -> bool:
    value = parent[key]
    if not isinstance(value, dict):
        return False
    name, new = rng.choice(_NEW_KEYS)
    if name in value:
        return False
    value[name] = new
    return True


def _duplicate(_rng: random.Random, parent: Any, key: Any) -> bool:
    if not isinstance(parent, list) or len(parent) == 0:
        return False
    parent.insert(key, copy.deepcopy(parent[key]))
    return True


def _insert(rng: random.Random, parent: Any, key: Any) -> bool:
    """Put something odd into a list, beside the entries it has."""
    value = parent[key]
    if not isinstance(value, list):
        return False
    value.insert(rng.randint(0, len(value)), rng.choice((None, "odd", 7, [], {}, {"odd": 1}, True)))
    return True


_EXTREMES = (
    "-1",
    -1,
    "",
    " ",
    0,
    "0",
    "9" * 19,
    str(2**64),
    2**64,
    str(2**128),
    "9" * 60,
    1e30,
    "1e3",
    "0x10",
    "+5",
    "007",
    "NaN",
)


def _extreme(rng: random.Random, parent: Any, key: Any) -> bool:
    if isinstance(parent[key], (dict, list)):
        return False
    parent[key] = rng.choice(_EXTREMES)
    return True


def _empty(_rng: random.Random, parent: Any, key: Any) -> bool:
    if not isinstance(parent[key], (dict, list, str)) or not parent[key]:
        return False
    parent[key] = type(parent[key])()
    return True


def _spell(rng: random.Random, parent: Any, key: Any) -> bool:
    value = parent[key]
    if not isinstance(value, str) or not value:
        return False
    parent[key] = rng.choice(
        (
            value.upper(),
            value.title(),
            value.removeprefix("0x"),
            f" {value}",
            f"{value} ",
            value[:-1],
            f"{value}0",
        )
    )
    return True


_TIMES = (
    "2026-11-30T17:00:00Z",
    "2026-11-30T17:00:00.123456+02:00",
    "Mon, 30 Nov 2026 17:00:00 GMT",
    1_764_000_000.123,
    "1764000000.5",
    1_764_000_000_000,
    {"secs": 1_764_000_000, "nanos": 5},
    [1_764_000_000, 5],
)


def _time(rng: random.Random, parent: Any, key: Any) -> bool:
    if not isinstance(parent, dict) or "time" not in str(key):
        return False
    parent[key] = rng.choice(_TIMES)
    return True


_Operation: TypeAlias = Callable[[random.Random, Any, Any], bool]

_OPERATIONS: tuple[tuple[str, _Operation], ...] = (
    ("drop", _drop),
    ("null", _null),
    ("retype", _retype),
    ("retype", _retype),
    ("wrap", _wrap),
    ("rename", _rename),
    ("add", _add),
    ("duplicate", _duplicate),
    ("insert", _insert),
    ("extreme", _extreme),
    ("empty", _empty),
    ("spell", _spell),
    ("time", _time),
)
