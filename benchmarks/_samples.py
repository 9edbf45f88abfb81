"""Sample frames, one of each kind that streams carry, in the sizes that the stages are measured with."""

from __future__ import annotations

import json

from o2trio.models import normalize_id

__all__ = ["BACK", "CHANGE", "DEPTH", "MARKET", "OTHERS", "SNAPSHOT", "SNAPSHOT_10", "TRADES"]

MARKET = normalize_id("1a" * 32)
_ACCOUNT, _ASSET, _ORDER = (f"0x{digits * 32}" for digits in ("2b", "3c", "4d"))
_STAMPS = {"onchain_timestamp": "1790000123", "seen_timestamp": "1790000123456789012"}
_OWNER = {"ContractId": _ACCOUNT}


def _sides(count: int, sign: int = 1) -> dict[str, object]:
    """Return `count` levels, half of them on each side, with sizes of one sign."""
    rows = [(50_000_000 + 10 * away, sign * (1_000_000_000 + 7 * away)) for away in range(1, count // 2 + 1)]
    return {
        "buys": [{"price": str(100_000_000 - price), "quantity": str(size)} for price, size in rows],
        "sells": [{"price": str(price), "quantity": str(size)} for price, size in rows],
    }


def _frame(action: str, **fields: object) -> str:
    """Return the text of a frame."""
    return json.dumps({"action": f"subscribe_{action}", **fields}, separators=(",", ":"))


def _view(kind: str, count: int) -> str:
    """Return a snapshot or a view of `count` levels."""
    return _frame(kind, view={"precision": 1, **_sides(count)}, market_id=MARKET)


_TRADE = {
    "trade_id": f"{_ORDER}/{_ORDER}",
    "side": "sell",
    "total": "100400",
    "quantity": "4000000000",
    "price": "25100",
    "timestamp": "1790000123456",
    "maker": _OWNER,
    "taker": _OWNER,
}
_FILL = {"order_id": _ORDER, "price": "25100", "quantity": "1500000000", "timestamp": "1790000123456"}
_SOME_ORDER = {
    "order_id": _ORDER,
    "side": "buy",
    "order_type": "Spot",
    "quantity": "4000000000",
    "quantity_fill": "1500000000",
    "price": "25100",
    "price_fill": "25100",
    "timestamp": "1790000123",
    "close": False,
    "partially_filled": True,
    "cancel": False,
    "market_id": MARKET,
    "owner": _OWNER,
    "history": [{"tx_id": _ASSET, "status": "confirmed", "type": "created"}],
    "fills": [_FILL],
}
_BALANCE = {
    "identity": _OWNER,
    "asset_id": _ASSET,
    "total_locked": "100400",
    "total_unlocked": "25034878",
    "trading_account_balance": "25000000",
    "order_books": {MARKET: {"locked": "100400", "unlocked": "34878", "fee": "0"}},
}

CHANGE = _frame("depth_update", changes=_sides(6), market_id=MARKET, **_STAMPS)
"""A change of six levels."""
BACK = _frame("depth_update", changes=_sides(6, -1), market_id=MARKET, **_STAMPS)
"""The change that takes `CHANGE` back."""
SNAPSHOT = _view("depth", 1_000)
SNAPSHOT_10 = _view("depth", 10_000)
TRADES = _frame("trades", trades=[_TRADE], market_id=MARKET, **_STAMPS)

DEPTH = {
    "change of 6 levels": CHANGE,
    "view of 20 levels": _view("depth_view", 20),
    "snapshot of 1,000": SNAPSHOT,
    "snapshot of 10,000": SNAPSHOT_10,
}
"""What the frames of depth are, and their text."""
OTHERS = {
    "trade": TRADES,
    "order": _frame("orders", orders=[_SOME_ORDER], **_STAMPS),
    "balance": _frame("balances", balance=[_BALANCE], **_STAMPS),
    "nonce": _frame("nonce", contract_id=_ACCOUNT, nonce="43", **_STAMPS),
}
"""The same of all others."""
