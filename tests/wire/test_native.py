"""Both paths of decoding make the same of all frames, and the hot ones take the fast path."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2trio import models as m
from o2trio.wire import Frame, decode
from o2trio.wire._decode import decode_carefully
from o2trio.wire._native import decode_natively

DATA = json.loads((Path(__file__).parents[1] / "data" / "wire_samples.json").read_text(encoding="utf-8"))
HOT = ("depth_snapshot", "depth_update", "depth_view", "orders", "trades", "balances", "nonce")
SAMPLES = [
    pytest.param(entry["message"], id=f"{group}: {entry['label']}")
    for group in (*HOT, "error", "unknown")
    for entry in DATA["samples"][group]
    if "message" in entry
]
EDGES = [edge + step for power in (63, 64, 128) for edge in (2**power, -(2**power)) for step in (-1, 0, 1)]
NUMBERS = [
    *("0", "7", "-0", "-7", "7.0", "7e0", "7E2", "70e-1", "-7e2", "0.0", "-0.0", "1e30", "1e400", "1E5555"),
    *(*map(str, EDGES), "9" * 45),
]
TEXTS = [
    *("", "-", "+7", "007", "7_0", " 7", "7 ", "0x7", "\u0667", "nan", "inf", "-Infinity", "a\0", "aB" * 32),
    *("null", "NuLL", "true", "False", "buy", "Sell", "maker", "Limit"),
]
VALUES = [
    *(*NUMBERS, *(f'"{number}"' for number in NUMBERS), *(json.dumps(text) for text in TEXTS)),
    *(r'"\u0037"', r'"\u006eull"', r'"\ud800"', "true", "false", "null", "NaN", "{}", "[]", "[[]]", "[null]"),
    *(
        "7.5",
        "-7.5",
        '"7.5"',
        '"2026-11-30T17:00:00Z"',
        '["7", "7"]',
        '["7", "0"]',
        "[7, -7, 1]",
        '[{"price": 7}]',
    ),
    *(
        '{"price": "7", "quantity": "0"}',
        '{"Quantity": "7"}',
        '{"ParentOrder": "7"}',
        '"trigger"',
        '"Trigger"',
    ),
    *('{"Address": null}', '{"": 1e5555}', '{"Limit": [7, "7"]}', '{"Limit": [7]}', '{"Limit": null}'),
    *('{"Stop": []}', '{"Limit": [7, 7], "Stop": 0}'),
    '{"BoundedMarket": {"max_price": "7", "min_price": 1}}',
    '{"Limit": [7, 7], "BoundedMarket": {"max_price": 7, "min_price": 1}}',
    '{"BoundedMarket": {"max_price": 7, "min_price": 1, "x": 0}, "Limit": [7, 7]}',
]
"""JSON that may stand anywhere: close to right, wrong, or what a lenient decoder lets pass."""
FEW = ("null", '"null"', "0", "true", '"error"', "[]", "{}", "1E5555")
NAMES = (
    *("action", "code", "error", "turbo", "market_id", "view", "orders", "changes", "buys", "bids"),
    *("success", "status", "type", "message", "kind", "trigger_price", "unread", "not_understood", "asks"),
    *("triggers", "index", "raw", "maker_fee", "timestamp", "order_type", "order", "balances"),
    *("origin", "epoch", "gap", "precision", "trade", "trades", "account", "owner", "fill", "fills"),
    *("history", "order_tx_history", "Address", "ContractId", "contract_id", "nonce", "fee", "x"),
    *("onchain_timestamp", "seen_timestamp"),
)


def anatomy(value: object) -> object:
    """Tell `value` and everything inside, with the exact types; equal numbers of other types differ."""
    kind: Any = type(value)
    if attrs.has(kind):
        return kind, [(field.name, anatomy(getattr(value, field.name))) for field in attrs.fields(kind)]
    if isinstance(value, Mapping):
        return kind, [(anatomy(key), anatomy(entry)) for key, entry in value.items()]
    if isinstance(value, tuple):
        return kind, [anatomy(entry) for entry in value]
    return kind, value


def agree(text: str) -> Frame | None:
    """Return what the fast road makes of a frame, if anything; the careful one must make the same of it."""
    quick = decode_natively(text)
    if quick is not None:
        assert anatomy(quick) == anatomy(decode_carefully(text)), text
    return quick


def members(found: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{name}:{value}" for name, value in found) + "}"


def spoilt(value: object) -> Iterator[str]:
    """Yield JSON of `value` with one place of it changed, one after the other."""
    yield from VALUES
    if isinstance(value, str):
        yield f'"\\u{ord(value[:1] or "-"):04x}{value[1:]}"'
        yield from (json.dumps(change(value)) for change in (str.upper, str.title, lambda text: text[2:]))
    if isinstance(value, list):
        entries = [json.dumps(entry) for entry in value]
        yield f"[{','.join(entries + entries)}]"
        for other in spoilt(value[-1]) if value else ():
            yield f"[{','.join([*entries[:-1], other])}]"
    if isinstance(value, dict):
        found = [(json.dumps(name), json.dumps(entry)) for name, entry in value.items()]
        for name in NAMES:
            for extra in ((json.dumps(name), some) for some in FEW):
                yield members([extra, *found])
                yield members([*found, extra])
        for index, (name, written) in enumerate(found):
            before, after = found[:index], found[index + 1 :]
            yield members([*before, *after])
            yield members([*after, (name, written), *before])
            yield members([*before, (f' "\\u{ord(name[1]):04x}{name[2:]} ', f"\n\t{written}\r"), *after])
            for other in spoilt(value[json.loads(name)]):
                yield members([*before, (name, other), *after])


@pytest.mark.parametrize("message", SAMPLES)
def test_the_roads_agree_about_every_single_change(message: dict[str, Any]) -> None:
    agree(json.dumps(message))
    for text in spoilt(message):
        agree(text)


CAREFUL = (
    # Rare spellings.
    *("depth_snapshot: snapshot of the margin venue", "orders: structured order types as text"),
    *("orders: null optional fields", "trades: account role", "trades: single trade under the old key"),
    *("nonce: hex nonce", "depth_snapshot: one side missing"),
    # A number above 2**63.
    "balances: plain address identity",
    # No good data.
    *("depth_update: malformed entry", "error: ", "unknown: "),
)
"""The samples that do not take the fast road."""


@pytest.mark.parametrize("message", SAMPLES)
def test_hot_frames_take_the_fast_road(message: dict[str, Any], request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    assert (agree(json.dumps(message)) is None) is name.startswith(CAREFUL)


@settings(max_examples=300)
@given(st.data())
def test_the_roads_agree_about_several_changes(data: st.DataObject) -> None:
    message = data.draw(st.sampled_from([sample.values[0] for sample in SAMPLES]))

    def render(value: Any) -> str:
        if data.draw(st.integers(0, 11)) == 0:
            return data.draw(st.sampled_from(VALUES))
        if isinstance(value, list):
            return f"[{','.join(render(entry) for entry in value)}]"
        if isinstance(value, dict):
            found = [(json.dumps(name), render(entry)) for name, entry in value.items()]
            if data.draw(st.integers(0, 5)) == 0:
                name = data.draw(st.sampled_from([*value, *NAMES]))
                found.append((json.dumps(name), render(value.get(name, 7))))
            return members(data.draw(st.permutations(found)))
        return json.dumps(value)

    agree(render(message))


def spread(**fields: object) -> str:
    changes = {"buys": [{"price": "1", "quantity": "2"}], "sells": []}
    message = {"action": "subscribe_depth_update", "changes": changes, "market_id": "11" * 32}
    return json.dumps(message | fields)


ACTIONS = ("depth", "depth_update", "depth_view", "trades", "orders", "balances", "nonce", "x")


@pytest.mark.parametrize("message", SAMPLES)
def test_the_roads_agree_about_a_second_action(message: dict[str, Any]) -> None:
    found = [(json.dumps(name), json.dumps(entry)) for name, entry in message.items()]
    for action in ACTIONS:
        for name, first in itertools.product(('"action"', r'"\u0061ction"'), ("s", r"\u0073")):
            second = (name, f'"{first}ubscribe_{action}"')
            agree(members([second, *found]))
            agree(members([*found, second]))


UNREAD = (
    *(r'"\ud800"', r'"\ud800\u0041"', r'{"\ud800": 1}', r'"\q"', r'"\u12"', '"\1"', '"\n"', '"', "", "nul"),
    *("True", "NaN", "-Infinity", "01", "-00", "1.", ".5", "1e", "1e+", "-", "+1", "0x1", "1_0", "1.5.5"),
    *("[1,]", "[1 2]", "[1}", '{"a": 1,}', '{"a"}', "{1: 2}", '{"a": 01}', "1//", "\f1", "\xa01"),
)
"""What is no JSON, or hardly; a decoder that skips what nobody reads may not notice."""


@pytest.mark.parametrize("junk", UNREAD)
def test_the_roads_agree_about_junk_that_nobody_reads(junk: str) -> None:
    for text in (spread(x="?"), spread().replace('"2"', '"2", "x": "?"')):
        agree(text.replace('"?"', junk))
        agree(text.replace('"x"', junk))
        agree(text + junk)


def test_the_largest_numbers_agree() -> None:
    for digits in (4_299, 4_300, 4_301, 5_000, 60_000):
        for padding in (0, 150, 5_000):
            for number in ("9" * digits, "-" + "9" * digits, "9" * digits + ".5"):
                agree(spread(x=" " * padding).replace('"x": "', f'"y": {number}, "x": "'))
                agree(spread(x=" " * padding).replace('"2"', f'"2", "y": {number}'))


def test_deep_nesting_agrees() -> None:
    for depth in (10, 2_000, 100_000):
        agree(spread().replace('"2"', f'"2", "y": {"[" * depth}{"]" * depth}'))


def test_text_that_is_no_json_agrees() -> None:
    text = spread(x="\ud83d\ude00")
    agree(text)
    for end in range(len(text)):
        agree(text[:end])
        agree(text[:end] + "\ud800" + text[end:])
        agree(text[:end] + "\x00" + text[end:])


def test_what_comes_out_are_the_frozen_models_themselves() -> None:
    update = decode(spread()).body
    assert isinstance(update, m.DepthUpdate)
    for model, name in ((update, "market_id"), (update.changes, "bids"), (update.changes.bids[0], "price")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(model, name, None)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            delattr(model, name)
    assert {update, attrs.evolve(update)} == {update}


@pytest.mark.parametrize("many", [False, True])
def test_one_fill_may_come_without_its_list(many: bool) -> None:
    message = copy.deepcopy(DATA["samples"]["orders"][1]["message"])
    (fill,) = message["orders"][0].pop("fills")
    message["orders"][0]["fill"] = [fill, fill] if many else fill
    quick = agree(json.dumps(message))
    assert quick is not None
    assert isinstance(quick.body, m.OrderUpdate)
    assert len(quick.body.orders[0].fills) == 1 + many


def test_a_senseless_number_that_nobody_reads_does_no_harm() -> None:
    assert decode_carefully(spread(x="?").replace('"?"', "1e5555")).body is not None


@pytest.mark.parametrize(
    ("group", "field"), [("depth_update", "seen_timestamp"), ("orders", "desired_quantity")]
)
def test_a_senseless_number_costs_the_carried_field_only(group: str, field: str) -> None:
    message = copy.deepcopy(DATA["samples"][group][0]["message"])
    (message["orders"][0] if group == "orders" else message)[field] = {"x": ["?"]}
    frame = decode(json.dumps(message).replace('"?"', "1e5555"))
    assert frame.extra is not None
    assert [odd.field.rpartition(".")[2] for odd in frame.extra.odd] == [field]
    body: Any = frame.body
    model = body.orders[0] if group == "orders" else body
    assert model.unread == {field: {"x": (float("inf"),)}}


@pytest.mark.parametrize("message", SAMPLES)
def test_the_paths_agree_about_a_level_of_size_zero(message: dict[str, Any]) -> None:
    text = json.dumps(message)
    for size in re.findall(r'"quantity": ("[0-9]+")', text):
        agree(text.replace(f'"quantity": {size}', '"quantity": "0"'))
