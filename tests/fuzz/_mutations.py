"""Mutations of real shapes, as Hypothesis strategies: of JSON by its structure, of bytes by their places."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

# JSON that ``json.dumps`` does not write, or that nobody expects where it stands.
TOKENS = (
    *("null", "true", "false", "[]", "{}", "[[]]", '""', '" "', "0", "-0", "-1", "00", "1.", "+1", ".5"),
    *("0.1", "1.0", "1e0", "1e-5", "-1e400", "1e999999999", "0." + "1" * 500, "1" * 500 + ".5"),
    *(
        str(2**63),
        str(2**64 - 1),
        str(2**64),
        str(2**128),
        str(-(2**128)),
        "9" * 4300,
        "9" * 4301,
        "9" * 60_000,
    ),
    *("NaN", "Infinity", "-Infinity", "nan", "None", "undefined", "'a'", "/**/1", "[1,]", '{"a":1,}'),
    *(
        f'"{2**64 - 1}"',
        f'"{2**64}"',
        f'"{"9" * 41}"',
        f'"{"9" * 5000}"',
        '"1.5"',
        '"-1"',
        '"1e5"',
        '"0x"',
        '"NaN"',
    ),
    *('"0xffffffffffffffff"', '"0x' + "f" * 64 + '"', '"' + "A" * 64 + '"', '"0X' + "g" * 64 + '"'),
    *(
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\\x"',
        '"\ud800"',
        '"\u0661"',
        '"\n"',
    ),
    *(
        '"' + "x" * 70_000 + '"',
        "[" + "0," * 5000 + "0]",
        "[" * 300 + "]" * 300,
        '{"a":' * 300 + "1" + "}" * 300,
    ),
    *(
        "[" * 990 + "]" * 990,
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"a":1,"a":2}',
        '{"Address":1}',
        '{"ContractId":null}',
    ),
    *("2000", "1003", '"turbo"', '"subscribe_depth"', "buy", '"Buy"', '{"Limit":[1]}', '{"Limit":["1","2"]}'),
)
_MARK = re.compile('"\ue000([0-9]+)\ue000"')

Draw = Callable[[st.SearchStrategy[Any]], Any]


class _Mutant:
    """One value under mutation; what JSON cannot spell stands aside until the end."""

    def __init__(self, draw: Draw, value: object, names: Sequence[str]) -> None:
        self._draw = draw
        self._names = names
        self._root: dict[Any, Any] = {"": copy.deepcopy(value)}
        self._aside: list[str] = []

    def text(self) -> str:
        return self._spelled(self._root[""])

    def mutate(self) -> None:
        """Choose a place and do one thing to it."""
        node: Any = self._root
        key: Any = ""
        while isinstance(node[key], (dict, list)) and node[key] and self._draw(st.integers(0, 4)):
            node = node[key]
            key = self._draw(
                st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node))))
            )
        self._draw(st.sampled_from(_OPERATIONS))(self, node, key)

    def delete(self, node: Any, key: Any) -> None:
        if node is not self._root:
            del node[key]

    def duplicate(self, node: Any, key: Any) -> None:
        if isinstance(node, list):
            node[key:key] = [copy.deepcopy(node[key])] * self._draw(st.sampled_from((1, 2, 500)))
        elif node is not self._root:
            node[self._draw(st.sampled_from(self._names))] = copy.deepcopy(node[key])

    def rename(self, node: Any, key: Any) -> None:
        if isinstance(node, dict) and node is not self._root:
            node[self._draw(st.sampled_from(self._names) | st.text(max_size=5))] = node.pop(key)

    def replace(self, node: Any, key: Any) -> None:
        node[key] = self._put_aside(self._draw(st.sampled_from(TOKENS)))

    def invent(self, node: Any, key: Any) -> None:
        node[key] = self._draw(
            st.text(max_size=80) | st.integers() | st.floats() | st.binary(max_size=4).map(str)
        )

    def retype(self, node: Any, key: Any) -> None:
        value = node[key]
        if isinstance(value, str):
            node[key] = self._put_aside(value)
        elif isinstance(value, (bool, int, float)) or value is None:
            node[key] = str(value)
        elif isinstance(value, list):
            node[key] = {str(index): entry for index, entry in enumerate(value)}
        else:
            node[key] = list(value.values())

    def wrap(self, node: Any, key: Any) -> None:
        depth = self._draw(st.sampled_from((1, 2, 5, 100, 400, 1000)))
        opening, closing = self._draw(st.sampled_from((("[", "]"), ('{"orders":', "}"), ('[{"view":', "}]"))))
        node[key] = self._put_aside(opening * depth + self._spelled(node[key]) + closing * depth)

    def _put_aside(self, token: str) -> str:
        self._aside.append(token)
        return f"\ue000{len(self._aside) - 1}\ue000"

    def _spelled(self, value: object) -> str:
        return _MARK.sub(lambda mark: self._aside[int(mark[1])], json.dumps(value, ensure_ascii=False))


_OPERATIONS = (
    _Mutant.delete,
    _Mutant.duplicate,
    _Mutant.rename,
    _Mutant.replace,
    _Mutant.replace,
    _Mutant.invent,
    _Mutant.retype,
    _Mutant.wrap,
)


def names_in(values: Sequence[object]) -> list[str]:
    """Return every key of every object, at any depth."""
    found: dict[str, None] = {}
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            found.update(dict.fromkeys(value))
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return sorted(found)


def mutated_json(values: Sequence[object], most: int = 4) -> st.SearchStrategy[str]:
    """Give the text of one of the values after up to `most` mutations."""
    names = names_in(values)

    @st.composite
    def mutants(draw: Draw) -> str:
        mutant = _Mutant(draw, draw(st.sampled_from(values)), names)
        for _ in range(draw(st.integers(0, most))):
            mutant.mutate()
        return mutant.text()

    return mutants()


# -- bytes -----------------------------------------------------------------------------------------

Damage = tuple[str, int, bytes]
"""What is done, where (counted around the end), and with what."""

DAMAGES: st.SearchStrategy[list[Damage]] = st.lists(
    st.tuples(
        st.sampled_from(("flip", "cut", "delete", "double", "insert", "overwrite")),
        st.integers(0, 4000),
        st.binary(min_size=1, max_size=6)
        | st.sampled_from(
            (b"\r\n", b"\r\n\r\n", b"\x81\x7f", b"\x88\x01", b"\x00" * 8, b"\xff" * 9, b"\xed\xa0\x80")
        ),
    ),
    max_size=3,
)


def damaged(data: bytes, damages: Sequence[Damage]) -> bytes:
    """Return `data` after all that was done to it."""
    for what, where, extra in damages:
        at = where % (len(data) + 1)
        behind = at + extra[0] % 40
        if what == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << extra[0] % 8)]) + data[at + 1 :]
        elif what == "cut":
            data = data[:at]
        elif what == "delete":
            data = data[:at] + data[behind:]
        elif what == "double":
            data = data[:behind] + data[at:]
        elif what == "insert":
            data = data[:at] + extra + data[at:]
        elif what == "overwrite":
            data = data[:at] + extra + data[at + len(extra) :]
    return data


def pieces_of(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut `data` into pieces of these sizes, again and again."""
    pieces: list[bytes] = []
    while data:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[:size])
        data = data[size:]
    return pieces
