"""Refusals in every spelling end their own stream with the server's words; acknowledgements end none."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from o2trio import SubscriptionRejected
from tests.tolerance._cases import CASES, MARKET, Seen, watch


def rejected(seen: Seen, words: str, code: int | None = None) -> None:
    """Check that the stream ended with the server's words and code."""
    assert isinstance(seen.error, SubscriptionRejected)
    assert words in str(seen.error)
    assert seen.error.code == code


RIGHT: dict[str, tuple[str, int | None]] = {
    "refusal-text-code": ("too many", 6001),
    "refusal-success-false": ("too many", None),
    "refusal-type-error": ("no", None),
}


@pytest.mark.parametrize("name", RIGHT)
async def test_case(autojump_clock: MockClock, name: str) -> None:
    words, code = RIGHT[name]
    rejected(await watch(CASES[name]["messages"]), words, code)


SIBLINGS: dict[str, tuple[dict[str, Any], str, int | None]] = {
    "refusal-text-code: 6002": ({"code": "6002", "message": "no such precision"}, "no such precision", 6002),
    "refusal-text-code: 500": ({"code": 500, "message": "boom"}, "boom", 500),
    "refusal-text-code: negative": ({"code": -1, "message": "boom"}, "boom", -1),
    "refusal-text-code: detail": ({"code": "6001", "detail": "too many"}, "too many", 6001),
    "refusal-success-false: error": ({"success": False, "error": "too many"}, "too many", None),
    "refusal-success-false: code": (
        {"success": False, "code": 6001, "message": "too many"},
        "too many",
        6001,
    ),
    "refusal-success-false: detail": ({"success": False, "detail": "too many"}, "too many", None),
    "refusal-type-error: status": ({"status": "error", "message": "no way"}, "no way", None),
    "refusal-type-error: upper case": ({"type": "Error", "message": "no way"}, "no way", None),
    "refusal-type-error: truthy": ({"error": True, "message": "no way"}, "no way", None),
    "refusal-type-error: words": ({"error": "no way"}, "no way", None),
    "refusal-type-error: object": ({"error": {"code": 6001, "message": "no way"}}, "no way", 6001),
    "refusal-type-error: code too": ({"type": "error", "code": "6002", "error": "no way"}, "no way", 6002),
}


@pytest.mark.parametrize("kind", ["depth", "depth_view", "trades", "orders", "balances", "nonce"])
@pytest.mark.parametrize("name", SIBLINGS)
async def test_sibling(autojump_clock: MockClock, name: str, kind: str) -> None:
    content, words, code = SIBLINGS[name]
    named = {"market_id": MARKET} if kind in {"depth", "depth_view", "trades"} else {}
    rejected(await watch([{"action": f"subscribe_{kind}", **named, **content}], kind), words, code)


@pytest.mark.parametrize("name", SIBLINGS)
async def test_a_refusal_that_names_nothing_is_the_only_request_s(
    autojump_clock: MockClock, name: str
) -> None:
    content, words, code = SIBLINGS[name]
    rejected(await watch([content], "orders"), words, code)


ACKNOWLEDGEMENTS: dict[str, Any] = {
    "code 0": {"code": 0, "message": "subscribed"},
    "code 0 as text": {"code": "0", "message": "subscribed"},
    "code 200": {"code": 200},
    "code 200 as text": {"code": "200", "message": "ok"},
    "code null": {"code": None, "message": "ok"},
    "code of words": {"code": "ok"},
    "success": {"success": True},
    "status": {"status": "ok"},
    "type": {"type": "subscribed"},
    "error false": {"error": False},
    "error null": {"error": None, "result": []},
}


@pytest.mark.parametrize("kind", ["depth_view", "trades", "orders", "balances", "nonce"])
@pytest.mark.parametrize("name", ACKNOWLEDGEMENTS)
async def test_an_acknowledgement_refuses_and_breaks_nothing(
    autojump_clock: MockClock, name: str, kind: str
) -> None:
    content = ACKNOWLEDGEMENTS[name]
    seen = await watch([content, {"action": f"subscribe_{kind}", **content}, "OK"], kind)
    seen.check_whole()
    assert seen.updates == []
