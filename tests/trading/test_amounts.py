"""Scaling and order rules against every vector, and against brute force."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from o2trio._errors import InvalidRequest
from o2trio.models import Asset, Market, Rounding, Side
from o2trio.trading import _amounts
from o2trio.trading._amounts import (
    U64,
    adjust_quantity,
    check_order,
    format_price,
    format_quantity,
    forward_amount,
    nearest_quantity,
    order_value,
    quantum,
)

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "scaling_vectors.json").read_text("utf-8"))
NUMBERS = ("maker_fee", "taker_fee", "min_order", "dust", "price_window")


def market_of(entry: Any) -> Market:
    fields = entry | {name: int(entry[name]) for name in NUMBERS}
    return Market(**fields | {"base": Asset(**entry["base"]), "quote": Asset(**entry["quote"])})


MARKETS = {name: market_of(entry) for name, entry in VECTORS["markets"].items()}
M1, M3 = MARKETS["M1"], MARKETS["M3"]


def tiny(base_decimals: int = 2, min_order: int = 0) -> Market:
    entry = VECTORS["markets"]["M5"]
    entry = entry | {"base": entry["base"] | {"decimals": base_decimals}, "min_order": min_order}
    return market_of(entry)


# -- vectors ---------------------------------------------------------------------------------------


def check_scaling(market: Market, entry: Any) -> None:
    scale = market.raw_price if entry["op"] == "scale_price" else market.raw_quantity
    text, exact = entry["input"], entry["exact"]
    match entry["input_kind"]:
        case "chain":
            # Chain units are taken as they are; whether they are a permitted price is checked by itself.
            assert text == exact
            on_tick = int(text) % market.price_step == 0
            assert entry["op"] == "scale_quantity" or on_tick == entry["official"]["ok"]
            return
        case "float":
            with pytest.raises(InvalidRequest, match="float"):
                scale(float(text), Rounding.DOWN)  # type: ignore[arg-type]  # It must be refused.
            value: Any = repr(float(text))
        case kind:
            value = {"str": str, "int": int, "decimal": Decimal, "bool": bool}[kind](text)
    if isinstance(value, int):
        with pytest.raises(InvalidRequest, match=rf'Raw\({int(value)}\), which is .*, or "{int(value)}"'):
            scale(value, Rounding.DOWN)  # type: ignore[arg-type]  # It must be refused.
        value = text
    if exact is None:
        with pytest.raises(InvalidRequest):
            scale(value, Rounding.DOWN)
    else:
        assert scale(value, Rounding.DOWN) == int(exact)


def check_adjustment(market: Market, entry: Any) -> None:
    price, quantity = int(entry["price"]), int(entry["quantity"])
    adjusted = adjust_quantity(market, price, quantity)
    assert entry["result_is_valid"]
    assert adjusted == int(entry["official"]["value"])
    assert price * adjusted % 10**market.base.decimals == 0
    assert quantity - quantum(market, price) < adjusted <= quantity


# The official check lets these pass, or calls them something else.
OWN_VERDICTS = {
    ("M1", 0, 40_000_000_000): "InvalidOrderArgs",
    ("M3", 0, 0): "InvalidOrderArgs",
    ("M3", 61_000_000, 0): "InvalidOrderArgs",
    ("M1", 18446744073709551600, 18446744073000000000): "InvalidInputAmount",
}


def check_validation(market: Market, entry: Any) -> None:
    price, quantity = int(entry["price"]), int(entry["quantity"])
    official = entry["official"]
    verdict = None if official["ok"] else official["error"].split(":")[0]
    verdict = OWN_VERDICTS.get((entry["market"], price, quantity), verdict)
    if verdict is None:
        check_order(market, price, quantity)
        return
    with pytest.raises(InvalidRequest, match=verdict.replace("min_order", "^InvalidInputAmount.*min_order")):
        check_order(market, price, quantity)


def check_format(market: Market, entry: Any) -> None:
    write = format_price if entry["op"] == "format_price" else format_quantity
    assert write(market, int(entry["input"])) == entry["exact"]


CHECKS: dict[str, tuple[int, Callable[[Market, Any], None]]] = {
    "scale_price": (31, check_scaling),
    "scale_quantity": (15, check_scaling),
    "adjust_quantity": (13, check_adjustment),
    "validate_order": (12, check_validation),
    "format_price": (2, check_format),
    "format_quantity": (2, check_format),
}


def test_every_vector_of_scaling_is_run() -> None:
    assert Counter(entry["op"] for entry in VECTORS["vectors"]) == {op: n for op, (n, _) in CHECKS.items()}
    assert len(VECTORS["order_flow"]) == 6
    assert VECTORS.keys() == {
        *("about", "sdk_version", "fields", "note_context"),
        *("markets", "vectors", "order_flow"),
    }
    validated = {
        (e["market"], int(e["price"]), int(e["quantity"])) for e in VECTORS["vectors"] if "price" in e
    }
    assert validated >= OWN_VERDICTS.keys()


@pytest.mark.parametrize("number", range(len(VECTORS["vectors"])))
def test_vectors(number: int) -> None:
    entry = VECTORS["vectors"][number]
    CHECKS[entry["op"]][1](MARKETS[entry["market"]], entry)


@pytest.mark.parametrize("number", range(len(VECTORS["order_flow"])))
def test_order_flow(number: int) -> None:
    entry = VECTORS["order_flow"][number]
    market = MARKETS[entry["market"]]
    price = market.raw_price(entry["price"], Rounding.DOWN)
    quantity = market.raw_quantity(entry["quantity"], Rounding.DOWN)
    adjusted = adjust_quantity(market, price, quantity)
    assert price == int(entry["scaled_price"])
    assert quantity == int(entry["scaled_quantity"])
    assert adjusted == int(entry["adjusted_quantity"])
    assert forward_amount(market, Side.BUY, price, adjusted) == int(entry["buy_forward_amount"])
    assert forward_amount(market, Side.SELL, price, adjusted) == int(entry["sell_forward_amount"])
    if entry["validate"]["ok"]:
        check_order(market, price, adjusted)
    else:
        with pytest.raises(InvalidRequest):
            check_order(market, price, adjusted)


# -- rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("market", "price", "quantity", "words"),
    [
        (
            M1,
            25_100,
            40_000_000_001,
            r"^FractionalPrice: .* valid quantity is 40 \(40000000000 chain units\)",
        ),
        (M1, 25_100, 40_006_000_000, r"^FractionalPrice: .* valid quantity is 40.01 "),
        (M1, 25_100, 1, r"^FractionalPrice: .* valid quantity is 39.85 \(39850000000 "),
        (M1, 25_100, 10_000_000, r"^InvalidInputAmount: worth less than min_order, 1 USDX: .* is 39.85 "),
        (M1, 25_150, 1, r"^PricePrecision: .* 0.0251 and 0.0252: 0.000000001 at 0.02515 on BASE/USDX"),
        (M1, U64 + 16, 10**9, r"^InvalidOrderArgs: the price does not fit"),
        (M1, 25_100, U64, r"^InvalidOrderArgs: the quantity does not fit .* is 18446744073.7 "),
        (M3, 2_000_000, -1, r"^InvalidOrderArgs: .* positive"),
        (M3, 2**63 // 10**6 * 10**6, 10**9, r"^InvalidInputAmount: the value, .* does not fit"),
    ],
)
def test_a_refused_order_tells_why_and_what_would_do(
    market: Market, price: int, quantity: int, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        check_order(market, price, quantity)
    advised = re.search(r"\((\d+) chain units\)$", str(caught.value))
    if advised:
        check_order(market, price, int(advised[1]))


def test_a_good_order_is_not_put_into_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: object) -> NoReturn:
        raise AssertionError("nobody reads it")

    for name in ("format_price", "format_quantity"):
        monkeypatch.setattr(_amounts, name, unwanted)
    check_order(M1, 25_100, 39_850_000_000)


def test_no_quantity_may_be_valid() -> None:
    market = tiny(base_decimals=0, min_order=U64 - 1)
    with pytest.raises(InvalidRequest, match="no quantity is valid"):
        check_order(market, 7, 1)
    assert nearest_quantity(market, 7, 1) is None
    assert nearest_quantity(market, 5, 1) == (U64 - 1) // 5


def is_valid(market: Market, price: int, quantity: int) -> bool:
    try:
        check_order(market, price, quantity)
    except InvalidRequest:
        return False
    return True


@given(st.integers(1, 400), st.integers(1, 300), st.integers(0, 15), st.integers(0, 2))
@example(3, 150, 0, 2)
def test_the_nearest_quantity_is_valid_and_none_is_nearer(
    price: int, quantity: int, min_order: int, decimals: int
) -> None:
    market = tiny(decimals, min_order)
    valid = [q for q in range(1, 2 * quantity + 1700) if is_valid(market, price, q)]
    best = min(valid, key=lambda q: (abs(q - quantity), q))
    assert nearest_quantity(market, price, quantity) == best
    assert is_valid(market, price, quantity) == (best == quantity)


amounts = st.one_of(st.integers(1, U64 - 1), st.integers(0, 63).map(lambda bits: 1 << bits))


@given(st.sampled_from(sorted(MARKETS)), amounts, amounts)
@example("M1", U64 - 16, U64 - 1)
def test_the_nearest_quantity_of_big_numbers(name: str, price: int, quantity: int) -> None:
    market = MARKETS[name]
    price = max(price - price % market.price_step, market.price_step)
    near = nearest_quantity(market, price, quantity)
    if near is None:
        assert not is_valid(market, price, quantity)
        return
    check_order(market, price, near)
    assert order_value(market, price, near) * 10**market.base.decimals == price * near
    step = quantum(market, price)
    towards = near + step if quantity > near else near - step
    if is_valid(market, price, towards):
        assert abs(towards - quantity) >= abs(near - quantity)


@given(st.sampled_from(sorted(MARKETS)), st.integers(0, 2**64 - 1))
def test_formatted_text_reads_back(name: str, raw: int) -> None:
    market = MARKETS[name]
    text = format_quantity(market, raw)
    assert market.raw_quantity(text) == raw
    assert Decimal(format_price(market, raw)) == market.price(raw)
    assert re.fullmatch(r"\d+(\.\d*[1-9])?", text)
