"""What the load server says: the list of markets and every frame, made beforehand from a seed. No I/O."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice

from benchmarks.race._scenarios import Scenario
from o2trio import Asset, Id, Market
from o2trio.simulator._encode import DEFAULT_FLAVOR, dump
from o2trio.simulator._markets import Listing, listing, make_id, markets_of

__all__ = ["ACCOUNT", "MARK", "STAMP", "Traffic", "frame", "market_id", "pair", "stamp"]

ACCOUNT = make_id("account", "race")
"""The trading account of all account streams."""

MARK = 1_999_999_999
"""The on-chain time stamp of the messages that tell a consumer that there is nothing more to come."""

STAMP = 1_790_000_000_000_000_000
"""A message was to leave at this many ns, plus its time on the monotonic clock: its `seen_timestamp`."""

_ONCHAIN = 1_790_000_123
_MIDDLE, _STEP, _SIZE = 10_000_000, 10, 4_000_000_000
_MARK_PRICE = 10
"""A bid so low that nothing else is there."""

Sides = tuple[dict[int, int], dict[int, int]]


def pair(number: int) -> str:
    """Name a market."""
    return f"B{number:03}/USDC"


def market_id(number: int) -> Id:
    """Return the id of a market."""
    return make_id("market", pair(number))


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return a whole frame as servers send it."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 2**16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2) + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8) + payload


def stamp(data: bytearray, end: int, at: int) -> None:
    """Write when a message is to leave, on the monotonic clock in ns, into a frame that stops at `end`."""
    data[end - 21 : end - 2] = b"%d" % (STAMP + at)


def _text(fields: Mapping[str, object], onchain: int = _ONCHAIN) -> bytes:
    """Return a message; its time stamps come last, and have the same length in all."""
    stamps = {"onchain_timestamp": str(onchain), "seen_timestamp": str(STAMP)}
    return json.dumps({**fields, **stamps}, separators=(",", ":")).encode()


def _levels(side: Mapping[int, int]) -> list[dict[str, str]]:
    return [{"price": str(price), "quantity": str(size)} for price, size in side.items()]


class _Book:
    """A market's book; its changes always fit it, and never cross it."""

    def __init__(self, market: Market, levels: int, seed: int) -> None:
        self._market_id = market.market_id
        self._draw = random.Random(seed)
        self._sides: Sides = (
            {_MIDDLE - _STEP * n: _SIZE for n in range(1, levels + 1)},
            {_MIDDLE + _STEP * n: _SIZE for n in range(1, levels + 1)},
        )

    def snapshot(self) -> bytes:
        bids, asks = self._sides
        view = {"precision": 1, "buys": _levels(bids), "sells": _levels(asks)}
        return _text({"action": "subscribe_depth", "view": view, "market_id": self._market_id})

    def change(self, levels: int) -> bytes:
        draw = self._draw
        told: Sides = ({}, {})
        for side, new, sign in zip(self._sides, told, (-1, 1), strict=True):
            wanted = levels // 2 if sign < 0 else levels - levels // 2
            while len(new) < wanted:
                price = _MIDDLE + sign * _STEP * (1 + int(draw.expovariate(0.1)))
                if price not in new:
                    known = side.get(price, 0)
                    new[price] = -known if known and draw.random() < 0.5 else draw.randint(1, 9) * _SIZE // 7
                    side[price] = known + new[price]
        return self._update(told)

    def mark(self) -> bytes:
        return self._update(({_MARK_PRICE: 1}, {}), MARK)

    def _update(self, told: Sides, onchain: int = _ONCHAIN) -> bytes:
        changes = {"buys": _levels(told[0]), "sells": _levels(told[1])}
        fields = {"action": "subscribe_depth_update", "changes": changes, "market_id": self._market_id}
        return _text(fields, onchain)


_OWN = {"ContractId": ACCOUNT}


def _trade(number: int, market: Market) -> Mapping[str, object]:
    trade = {
        "trade_id": f"{make_id('maker', number)}/{make_id('taker', number)}",
        "side": "buy",
        "total": "100400000",
        "quantity": str(_SIZE + number),
        "price": str(_MIDDLE),
        "timestamp": "1790000123456",
        "maker": _OWN,
        "taker": {"ContractId": make_id("account", "another")},
    }
    return {"action": "subscribe_trades", "trades": [trade], "market_id": market.market_id}


def _order(number: int, market: Market) -> Mapping[str, object]:
    order = {
        "order_id": make_id("order", number),
        "side": "buy",
        "order_type": "Spot",
        "quantity": str(_SIZE),
        "quantity_fill": str(number),
        "price": str(_MIDDLE),
        "price_fill": str(_MIDDLE),
        "timestamp": str(_ONCHAIN),
        "close": False,
        "partially_filled": True,
        "cancel": False,
        "market_id": market.market_id,
        "owner": _OWN,
        "history": [{"tx_id": make_id("tx", number), "status": "confirmed", "type": "created"}],
        "fills": [],
    }
    return {"action": "subscribe_orders", "orders": [order]}


def _balance(number: int, market: Market) -> Mapping[str, object]:
    entry = {
        "identity": _OWN,
        "asset_id": market.base.asset,
        "total_locked": str(_SIZE),
        "total_unlocked": str(_SIZE + number),
        "trading_account_balance": str(_SIZE),
        "order_books": {market.contract_id: {"locked": str(_SIZE), "unlocked": str(number), "fee": "0"}},
    }
    return {"action": "subscribe_balances", "balance": [entry]}


def _nonce(number: int, _market: Market) -> Mapping[str, object]:
    return {"action": "subscribe_nonce", "contract_id": ACCOUNT, "nonce": str(number)}


_KINDS: Mapping[str, Callable[[int, Market], Mapping[str, object]]] = {
    "trades": _trade,
    "orders": _order,
    "balances": _balance,
    "nonce": _nonce,
}


class Traffic:
    """Everything that a server says in one scenario; the same in every run.

    Attributes:
      markets: the answer to ``GET /v1/markets``.
      snapshots: the frame that answers a depth subscription, by market id.
      frames: what is measured, in order.
    """

    def __init__(self, scenario: Scenario) -> None:
        listings = [_listing(number) for number in range(scenario.markets)]
        self._markets = [item.market for item in listings]
        self._kinds = scenario.kinds
        self._numbers = count(1)
        self._books = [
            _Book(market, scenario.levels, seed) for seed, market in enumerate(self._markets, start=1)
        ]
        self.markets = dump(DEFAULT_FLAVOR.markets(markets_of(listings))).encode()
        self.snapshots = {
            market.market_id: frame(book.snapshot())
            for market, book in zip(self._markets, self._books, strict=True)
        }
        self.frames: Sequence[bytes] = (
            [*self.snapshots.values()] * scenario.messages
            if scenario.snapshots
            else list(islice(self._endless(scenario.changes), scenario.messages))
        )

    def marks(self) -> bytes:
        """Return a frame for each topic that ends its measurement."""
        marks = [book.mark() for book in self._books]
        marks += [self._message(kind, MARK) for kind in self._kinds[1:]]
        return b"".join(map(frame, marks))

    def _endless(self, changes: int) -> Iterator[bytes]:
        while True:
            for book in self._books:
                yield frame(book.change(changes))
            for kind in self._kinds[1:]:
                yield frame(self._message(kind))

    def _message(self, kind: str, onchain: int = _ONCHAIN) -> bytes:
        return _text(_KINDS[kind](next(self._numbers), self._markets[0]), onchain)


def _listing(number: int) -> Listing:
    base = Asset(symbol=f"B{number:03}", asset=make_id("asset", number), decimals=9, max_precision=3)
    quote = Asset(symbol="USDC", asset=make_id("asset", "USDC"), decimals=6, max_precision=5)
    return listing(base, quote, price="10")
