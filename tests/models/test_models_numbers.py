"""Exact conversion between chain units and decimal numbers, and what it refuses."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio import models as m
from o2trio._errors import InvalidRequest, UnknownMarket
from o2trio.wire import structure_json

DATA = json.loads((Path(__file__).parents[1] / "data" / "scaling_vectors.json").read_text(encoding="utf-8"))
MARKETS = {name: structure_json(json.dumps(market), m.Market) for name, market in DATA["markets"].items()}
M1, M4 = MARKETS["M1"], MARKETS["M4"]


def vectors(*operations: str) -> list[Any]:
    return [
        pytest.param(entry, id=f"{entry['op']} {entry['market']} {entry['input_kind']} {entry['input']}"[:80])
        for entry in DATA["vectors"]
        if entry["op"] in operations and entry["input_kind"] in {"str", "int", "decimal"}
    ]


@pytest.mark.parametrize("entry", vectors("scale_price", "scale_quantity"))
def test_scaling_vectors(entry: dict[str, Any]) -> None:
    market = MARKETS[entry["market"]]
    kind = {"str": str, "int": int, "decimal": Decimal}[entry["input_kind"]]
    convert = market.raw_price if entry["op"] == "scale_price" else market.raw_quantity
    value: Any = kind(entry["input"])
    if kind is int:
        with pytest.raises(InvalidRequest, match=rf'Raw\({value}\), which is .*, or "{value}"'):
            convert(value, m.Rounding.DOWN)
    elif entry["exact"] is None:
        with pytest.raises(InvalidRequest):
            convert(value, m.Rounding.DOWN)
    else:
        assert str(convert(value, m.Rounding.DOWN)) == entry["exact"]


def test_scaling_vectors_are_not_all_inexact_twins() -> None:
    """The official answers differ from the exact ones somewhere, so the test above can fail."""
    assert any(entry.get("official_is_inexact") for entry in DATA["vectors"])


@pytest.mark.parametrize("entry", [entry for entry in DATA["vectors"] if entry["op"].startswith("format")])
def test_formatting_vectors(entry: dict[str, Any]) -> None:
    market = MARKETS[entry["market"]]
    convert = market.price if entry["op"] == "format_price" else market.quantity
    assert convert(int(entry["input"])) == Decimal(entry["exact"])


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (m.Rounding.DOWN, 25100),
        (m.Rounding.FLOOR, 25100),
        (m.Rounding.UP, 25200),
        (m.Rounding.CEILING, 25200),
        (m.Rounding.NEAREST, 25200),
    ],
)
def test_rounding(rounding: m.Rounding, expected: int) -> None:
    assert M1.raw_price("0.02515", rounding) == expected
    assert M1.raw_price("0.02505", m.Rounding.NEAREST) == 25000
    assert M1.raw_price("0.0251", rounding) == 25100
    with pytest.raises(InvalidRequest, match=r"0\.02515 is not a multiple of 0\.0001"):
        M1.raw_price("0.02515")


def test_the_default_refuses_to_round() -> None:
    assert M1.raw_quantity("0.000000001") == 1
    with pytest.raises(InvalidRequest, match="multiple"):
        M1.raw_quantity("0.0000000001")
    assert M1.raw_quantity("0.0000000001", m.Rounding.UP) == 1
    assert M1.raw_price("1E-150", m.Rounding.UP) == 100


REFUSED = [
    *(0.1, 1.0, True, False, None, b"1", [1], "", "1,5", "abc", "-1", "NaN", "sNaN", "Infinity", "1E61"),
    *("1E999999999", "1E-99999999999", "1" * 121, -1, Decimal(-1), Decimal("NaN")),
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: f"{value!r:.30}")
def test_refused_numbers(value: Any) -> None:
    for convert in (M1.raw_price, M1.raw_quantity):
        for rounding in (m.Rounding.EXACT, m.Rounding.UP):
            with pytest.raises(InvalidRequest):
                convert(value, rounding)


@given(st.sampled_from(list(MARKETS.values())), st.integers(0, 2**128 - 1))
def test_there_and_back(market: m.Market, raw: int) -> None:
    assert market.raw_quantity(market.quantity(raw)) == raw
    assert market.raw_quantity(str(market.quantity(raw))) == raw
    on_tick = raw - raw % market.price_step
    assert market.raw_price(market.price(on_tick)) == on_tick
    assert market.raw_price(market.total(raw), m.Rounding.DOWN) == on_tick


def test_find() -> None:
    markets = m.Markets(markets=tuple(MARKETS.values()))
    assert markets.find(M1.pair) is M1
    assert markets.find(M1.pair.swapcase()) is M1
    for text in (M4.market_id, M4.market_id[2:].upper(), "0X" + M4.market_id[2:]):
        assert markets.find(text) is M4
    assert M1.pair.swapcase() in markets
    assert "NO/SUCH" not in markets
    assert 5 not in markets
    for unknown in ("", "BASE", "BASE/", M1.contract_id, "0x12"):
        with pytest.raises(UnknownMarket, match=M1.pair) as caught:
            markets.find(unknown)
        assert set(caught.value.markets) == {market.pair for market in MARKETS.values()}
    with pytest.raises(UnknownMarket, match="none"):
        m.Markets(markets=()).find("A/B")


def test_a_pair_that_two_markets_share_is_refused_with_their_ids() -> None:
    bridged = attrs.evolve(M1, market_id=m.normalize_id("0x" + "ab" * 32))
    markets = m.Markets(markets=(M1, bridged, M4))
    with pytest.raises(InvalidRequest, match="several markets are called") as caught:
        markets.find(M1.pair.swapcase())
    assert M1.market_id in str(caught.value)
    assert bridged.market_id in str(caught.value)
    assert M1.pair in markets
    for market in markets:
        assert markets.find(market.market_id) is market
    assert markets.find(M4.pair) is M4


def test_a_pair_that_an_unreadable_market_shares_is_refused() -> None:
    other = "0x" + "ab" * 32
    raw = {"base": {"symbol": M1.base.symbol}, "quote": {"symbol": M1.quote.symbol}}
    for ids, shown in (({"market_id": other}, other), ({}, "an unreadable id")):
        unread = m.NotUnderstood(index=1, problem="odd", raw=raw, ids=ids)
        markets = m.Markets(markets=(M1,), unreadable=(unread,))
        with pytest.raises(InvalidRequest, match=shown):
            markets.find(M1.pair)
        assert markets.find(M1.market_id) is M1


def test_one_market_listed_twice_is_no_second_market() -> None:
    again = attrs.evolve(M1, turbo=True)
    assert m.Markets(markets=(M1, again)).find(M1.pair) is M1
