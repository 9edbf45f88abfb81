"""Whatever comes: any text either decodes or raises DecodeError, and nothing else ever happens."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from o2trio import models as m
from o2trio._errors import DecodeError
from o2trio.wire import decode, structure_json

DATA = json.loads((Path(__file__).parents[1] / "data" / "wire_samples.json").read_text(encoding="utf-8"))
MARKET = DATA["ids"]["market_a"]
MESSAGES = [
    entry["message"]
    for group in (
        "depth_snapshot",
        "depth_update",
        "depth_view",
        "orders",
        "trades",
        "balances",
        "nonce",
        "error",
    )
    for entry in DATA["samples"][group]
    if not entry.get("expect", {}).get("error")
]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([MARKET, "1", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def survives(read: Callable[[], object]) -> None:
    refusal = None
    try:
        read()
    except DecodeError as error:
        refusal = error
    if refusal is not None:
        assert str(refusal).encode()
        assert refusal.path.startswith("$")


@given(st.text() | st.binary() | st.text(alphabet='{}[]":,0123456789.eE-+ntrufalsping\ud800 '))
def test_anything_decodes_or_is_refused(data: str | bytes) -> None:
    survives(lambda: decode(data))
    survives(lambda: structure_json(data, m.Markets))


@given(st.data())
def test_mutated_messages_decode_or_are_refused(data: st.DataObject) -> None:
    message = copy.deepcopy(data.draw(st.sampled_from(MESSAGES)))
    node: Any = message
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], (dict, list)) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        break
    node[key] = data.draw(JSON)
    survives(lambda: decode(json.dumps(message)))


@given(st.sampled_from(MESSAGES), st.data())
def test_torn_and_spliced_text_decodes_or_is_refused(message: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(message)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    spliced = text[:start] + data.draw(st.text(max_size=3)) + text[end:]
    survives(lambda: decode(spliced))
    survives(lambda: decode(text[:start]))
