"""The cost of decoding a frame and of applying it to a book, as ratios to plain JSON of the same bytes.

Plain is ``msgspec.json.decode`` into dictionaries and lists, measured in the same round. Ratios hardly depend
on the machine; they are of the best of many short rounds, so that other work on the machine does not count.
Beside them stands what cannot be avoided: msgspec straight into attrs classes, text numbers included, but
without any check, and without the updates, ids and identities made of what it reads. The number of rounds may
be given: ``bench_stages_decode.py 100``.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable

import attrs
import msgspec

from o2trio import DepthBook, DepthUpdate
from o2trio.wire import decode

ROUNDS = 40
SHORT = 0.002
"""Seconds of one round at most, unless a single call takes longer."""
MARKET, ACCOUNT, ASSET, ORDER = (f"0x{digits * 32}" for digits in ("1a", "2b", "3c", "4d"))
STAMPS = {"onchain_timestamp": "1790000123", "seen_timestamp": "1790000123456789012"}
OWNER = {"ContractId": ACCOUNT}


@attrs.frozen
class Level:
    """A level as msgspec reads it."""

    price: int
    quantity: int


@attrs.frozen
class Sides:
    """Both sides."""

    buys: tuple[Level, ...]
    sells: tuple[Level, ...]


@attrs.frozen(kw_only=True)
class Depth:
    """A change or a snapshot."""

    market_id: str
    changes: Sides | None = None
    view: Sides | None = None
    onchain_timestamp: int | None = None
    seen_timestamp: int | None = None


def sides(count: int, sign: int = 1) -> dict[str, object]:
    """Return `count` levels, half of them on each side, with sizes of one sign."""
    rows = [(50_000_000 + 10 * away, sign * (1_000_000_000 + 7 * away)) for away in range(1, count // 2 + 1)]
    return {
        "buys": [{"price": str(100_000_000 - price), "quantity": str(size)} for price, size in rows],
        "sells": [{"price": str(price), "quantity": str(size)} for price, size in rows],
    }


def frame(action: str, **fields: object) -> str:
    """Return the text of a frame."""
    return json.dumps({"action": f"subscribe_{action}", **fields}, separators=(",", ":"))


def view(kind: str, count: int) -> str:
    """Return a snapshot or a view of `count` levels."""
    return frame(kind, view={"precision": 1, **sides(count)}, market_id=MARKET)


TRADE = {
    "trade_id": f"{ORDER}/{ORDER}",
    "side": "sell",
    "total": "100400",
    "quantity": "4000000000",
    "price": "25100",
    "timestamp": "1790000123456",
    "maker": OWNER,
    "taker": OWNER,
}
FILL = {"order_id": ORDER, "price": "25100", "quantity": "1500000000", "timestamp": "1790000123456"}
SOME_ORDER = {
    "order_id": ORDER,
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
    "owner": OWNER,
    "history": [{"tx_id": ASSET, "status": "confirmed", "type": "created"}],
    "fills": [FILL],
}
BALANCE = {
    "identity": OWNER,
    "asset_id": ASSET,
    "total_locked": "100400",
    "total_unlocked": "25034878",
    "trading_account_balance": "25000000",
    "order_books": {MARKET: {"locked": "100400", "unlocked": "34878", "fee": "0"}},
}
CHANGE = frame("depth_update", changes=sides(6), market_id=MARKET, **STAMPS)
BACK = frame("depth_update", changes=sides(6, -1), market_id=MARKET, **STAMPS)
FRAMES = {
    "depth update, 6 levels": CHANGE,
    "depth view, 20 levels": view("depth_view", 20),
    "snapshot, 1,000 levels": view("depth", 1_000),
    "snapshot, 10,000 levels": view("depth", 10_000),
    "one trade": frame("trades", trades=[TRADE], market_id=MARKET, **STAMPS),
    "one order": frame("orders", orders=[SOME_ORDER], **STAMPS),
    "one balance": frame("balances", balance=[BALANCE], **STAMPS),
    "a nonce": frame("nonce", contract_id=ACCOUNT, nonce="43", **STAMPS),
}


def body(text: str) -> DepthUpdate:
    """Return the depth update of a frame."""
    update = decode(text).body
    if not isinstance(update, DepthUpdate):
        raise TypeError("not a frame of depth")
    return update


def booking(book: DepthBook, *updates: DepthUpdate) -> Callable[[], object]:
    """Return what applies the updates, after which the book is as before."""

    def apply() -> None:
        for update in updates:
            book.apply(update)

    return apply


def best(rounds: int, *stages: Callable[[], object]) -> list[float]:
    """Return the microseconds of each stage: the best round of each, all in turn."""
    counts: list[int] = []
    for stage in stages:
        start = time.perf_counter()
        stage()
        counts.append(max(1, int(SHORT / (time.perf_counter() - start))))
    found = [float("inf")] * len(stages)
    for _ in range(rounds):
        for index, stage in enumerate(stages):
            turns = range(counts[index])
            start = time.perf_counter()
            for _turn in turns:
                stage()
            found[index] = min(found[index], (time.perf_counter() - start) / counts[index] * 1e6)
    return found


def measure(rounds: int, text: str) -> list[float]:
    """Return microseconds of plain JSON, of a bare typed decoder, of decoding, and of booking what came."""
    plain = msgspec.json.Decoder().decode
    stages: list[Callable[[], object]] = [lambda: plain(text), lambda: decode(text)]
    if isinstance(decode(text).body, DepthUpdate):
        typed = msgspec.json.Decoder(Depth, strict=False).decode
        stages += [lambda: typed(text)]
        book = DepthBook()
        book.apply(body(FRAMES["snapshot, 1,000 levels"]))
        stages += [booking(book, body(CHANGE), body(BACK)) if text is CHANGE else booking(book, body(text))]
    found = best(rounds, *stages)
    if text is CHANGE:
        found[3] /= 2
    return found


def main() -> None:
    """Measure and print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}")
    print(f"best of {rounds} rounds; microseconds, and in brackets the ratio to plain JSON")
    print(f"{'':25}{'plain':>9}{'typed':>18}{'decode':>18}{'book':>18}{'both / typed':>14}")
    for name, text in FRAMES.items():
        plain, ours, *depth = measure(rounds, text)
        typed, book = depth or (0.0, 0.0)
        cells = [
            f"{time:9.2f} ({time / plain:6.2f})" if time else f"{'-':>18}" for time in (typed, ours, book)
        ]
        both = f"{(ours + book) / typed:14.2f}" if depth else ""
        print(f"{name:25}{plain:9.2f}{''.join(cells)}{both}")


if __name__ == "__main__":
    main()
