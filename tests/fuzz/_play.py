"""One case of the tolerance fuzz job: what is sent, with one change, and what consumers of a client saw.

A case follows from a seed and a number. It runs on virtual time, with every kind of stream on one connection
and plain messages before and after the changed one.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import trio

from o2trio import DepthUpdate, Event, Options, Subscription, Update, open_o2
from tests.fuzz._change import change_one
from tests.fuzz._reading import Book, Sure, read_frame
from tests.fuzz._truth import ASSETS, Truth
from tests.fuzz._virtual import run_virtual
from tests.tolerance._cases import ACCOUNT, CASES, MARKET, MARKET_2, order, trade
from tests.tolerance._server import RawServer, RawSocket, spelled

__all__ = ["KINDS", "Case", "Played", "draw_case", "play"]

KINDS = ("snapshot", "update", "view", "trades", "orders", "balances", "nonce", "beside")
OPTIONS = Options(jitter=lambda: 0.5)
QUIET, AFTER, LONG = 15.0, 75.0, 3.0
"""Seconds: until an error refuses no stream, for all repairs, and for what is sent last to arrive."""

_SAMPLES = json.loads((Path(__file__).parents[1] / "data" / "wire_samples.json").read_text(encoding="utf-8"))[
    "samples"
]


@attrs.frozen
class Case:
    """What is sent instead of what was meant.

    Attributes:
      kind: of message that is changed.
      what: the change, in words.
      at_once: the changed message is the first snapshot.
      messages: (meant, sent) in order; without a meaning, it is none of the exchange's news.
    """

    kind: str
    what: str
    at_once: bool
    messages: list[tuple[Any, Any]]


@attrs.define
class Played:
    """What came of a case.

    Attributes:
      updates: what each stream gave, by its name.
      books: what a consumer's book was after each update of a depth stream.
      ended: what ended a stream, by its name.
      events: of the client.
      truth: of the exchange.
    """

    truth: Truth
    updates: dict[str, list[Update]] = attrs.field(factory=dict)
    books: dict[str, list[Book]] = attrs.field(factory=dict)
    ended: dict[str, str] = attrs.field(factory=dict)
    events: list[Event] = attrs.field(factory=list)
    crash: str = ""


# -- what is sent ----------------------------------------------------------------------------------


@cache
def _templates(kind: str, *, odd: bool) -> tuple[dict[str, Any], ...]:
    """Return entries of recorded messages; odd ones, also of the tolerance cases."""
    messages = [sample["message"] for sample in _SAMPLES[kind] if "message" in sample]
    for case in CASES.values():
        if odd and case["kind"] == "ws":
            messages += [message for message in case["messages"] if isinstance(message, dict)]
    found = []
    for message in messages:
        frame = read_frame(message)
        if frame.kind == kind:
            found += [entry.raw for entry in frame.entries if entry.sure is Sure.SURE]
    return tuple(found)


class Writer:
    """Writes messages with numbers that occur once; odd ones have entries with odd details."""

    def __init__(self, rng: random.Random, first: int = 0, *, odd: bool) -> None:
        self._rng = rng
        self._number = first
        self._odd = odd

    def plain(self, kind: str) -> dict[str, Any]:
        """Return a message of a kind with news."""
        self._number += 1
        message: dict[str, Any] = getattr(self, f"_{kind}")()
        if self._rng.random() < 0.8:
            message["onchain_timestamp"] = str(1_764_000_000 + self._number)
            message["seen_timestamp"] = str((1_764_000_000 + self._number) * 10**9)
        return message

    def _ids(self, count: int) -> list[int]:
        self._number += count
        return list(range(self._number - count, self._number))

    def _levels(self, count: int) -> dict[str, Any]:
        bids = [
            {"price": str(24_900 - number), "quantity": str(10**6 + number)} for number in self._ids(count)
        ]
        asks = [
            {"price": str(26_100 + number), "quantity": str(10**6 + number)} for number in self._ids(count)
        ]
        return {"buys": bids, "sells": asks}

    def _snapshot(self) -> dict[str, Any]:
        key = self._rng.choice(("view", "orders"))
        view = self._levels(2) | ({"precision": 1} if self._rng.random() < 0.5 else {})
        return {"action": "subscribe_depth", "market_id": MARKET, key: view}

    def _view(self) -> dict[str, Any]:
        return {**self._snapshot(), "action": "subscribe_depth_view"}

    def _update(self) -> dict[str, Any]:
        return {"action": "subscribe_depth_update", "market_id": MARKET, "changes": self._levels(2)}

    def _trades(self) -> dict[str, Any]:
        entries = [
            {
                **self._template("trades"),
                "trade_id": str(1000 + number),
                "timestamp": str(1_764_000_000_000 + number),
            }
            for number in self._ids(3)
        ]
        return {"action": "subscribe_trades", "market_id": MARKET, "trades": entries}

    def _orders(self) -> dict[str, Any]:
        entries = []
        for number in self._ids(3):
            entry = {**self._template("orders"), "order_id": f"0x{number:064x}"}
            for name, value in (("account", {"ContractId": ACCOUNT}), ("owner", {"ContractId": ACCOUNT})):
                if entry.get(name) is not None:
                    entry[name] = value
            entry["market_id"] = MARKET
            entries.append(entry)
        return {"action": "subscribe_orders", "orders": entries}

    def _balances(self) -> dict[str, Any]:
        # What comes afterwards is about other assets: else it would hide what was lost before.
        assets = self._rng.sample(ASSETS[:6], 3) if self._odd else ASSETS[6:]
        entries = [
            {
                **self._template("balances"),
                "identity": {"ContractId": ACCOUNT},
                "asset_id": assets[index],
                "total_unlocked": str(number),
            }
            for index, number in enumerate(self._ids(3))
        ]
        return {"action": "subscribe_balances", "balance": entries}

    def _nonce(self) -> dict[str, Any]:
        return {"action": "subscribe_nonce", "contract_id": ACCOUNT, "nonce": str(100 + self._number)}

    def _template(self, kind: str) -> dict[str, Any]:
        return copy.deepcopy(self._rng.choice(_templates(kind, odd=self._odd)))


_BESIDE: tuple[Any, ...] = (
    "PONG",
    "PING",
    "OK",
    {"code": 0, "message": "subscribed"},
    {"action": "subscribe_orders", "status": "ok"},
    {"action": "subscribe_depth", "market_id": MARKET, "success": True},
    {"action": "unsubscribe_trades", "market_id": MARKET_2},
    {"code": 1002, "message": "parse error"},
    {"action": "error", "code": 1000, "message": "internal error"},
    {"action": "subscribe_depth", "market_id": MARKET, "code": 6000, "message": "Already subscribed"},
    {"action": "subscribe_rainbows", "colour": "all"},
    {"action": "subscribe_trades", "market_id": MARKET, "turbo": True, "trades": [trade()]},
    {"action": "subscribe_orders", "turbo": True, "orders": [order()]},
)


def draw_case(seed: int, number: int, kind: str = "") -> Case:
    """Return the case of a seed and a number."""
    rng = random.Random(f"{seed}/{number}")
    kind = kind or rng.choice(KINDS)
    writer = Writer(rng, odd=True)
    if kind == "beside":
        base = rng.choice(_BESIDE)
        if isinstance(base, dict) and rng.random() < 0.5:
            change = change_one(rng, base)
            return Case(kind, f"{change} of {json.dumps(base)}", False, [(None, change.result)])
        return _sequence(rng, writer, base)
    meant = writer.plain(kind)
    change = change_one(rng, meant)
    return Case(kind, str(change), kind == "snapshot", [(meant, change.result)])


def _sequence(rng: random.Random, writer: Writer, beside: Any) -> Case:
    """Return whole messages in another order, twice, or with something between them."""
    meant = [writer.plain(rng.choice(("update", "trades", "orders", "balances", "nonce"))) for _ in range(3)]
    what = rng.choice(("between", "twice", "swapped", "binary"))
    pairs: list[tuple[Any, Any]] = [(message, message) for message in meant]
    if what == "between":
        pairs.insert(rng.randint(0, 3), (None, beside))
    elif what == "twice":
        pairs.insert(1, pairs[1])
    elif what == "swapped":
        pairs[0], pairs[1] = pairs[1], pairs[0]
    else:
        pairs = [(message, {"binary": message}) for message in meant]
    return Case("beside", f"{what}: {json.dumps(beside)}", False, pairs)


# -- how it is played ------------------------------------------------------------------------------


def play(case: Case) -> Played:
    """Play a case; an error that comes out of the client is its crash."""
    played = Played(Truth())
    try:
        run_virtual(_play, case, played)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported with its case
        played.crash = f"{type(error).__name__}: {error}; {getattr(error, 'exceptions', '')}"
    return played


class _Exchange:
    """The server of a case: serves the truth, plainly, except for the changed messages."""

    def __init__(self, case: Case, truth: Truth) -> None:
        self.truth = truth
        self.server = RawServer(self._script, truth.rest)
        self._writer = Writer(random.Random(1), 500, odd=False)
        self._first = case.messages[:1] if case.at_once else []
        self._later = [] if case.at_once else case.messages

    def _script(self, _socket: RawSocket, request: dict[str, Any]) -> Iterable[Any]:
        if request["action"] == "subscribe_depth_view":
            view = self._writer.plain("view")
            self.truth.send(view, view)
            return [view]
        if request["action"] != "subscribe_depth":
            return ()
        if request["market_id"] == MARKET and self._first:
            meant, message = self._first.pop()
            self.truth.send(meant, message)
            return [message]
        return [self.truth.snapshot(request["market_id"])]

    async def send_changed(self) -> None:
        """Send what the case is about."""
        for meant, message in self._later:
            if meant is not None or read_frame(message).kind is not None:
                self.truth.send(
                    meant, message.get("binary", message) if isinstance(message, dict) else message
                )
            is_whole = isinstance(message, (dict, str))
            await self.server.socket.send(spelled(message) if is_whole else json.dumps(message))

    async def send_news(self) -> None:
        """Send plain news of every kind."""
        messages = [self._writer.plain(kind) for kind in KINDS[1:-1]]
        messages.append({**self._writer.plain("update"), "market_id": MARKET_2})
        for message in messages:
            self.truth.send(message, message)
            await self.server.socket.send(message)


async def _play(case: Case, played: Played) -> None:
    exchange = _Exchange(case, played.truth)
    async with trio.open_nursery() as nursery:
        network = exchange.server.network(nursery)
        async with open_o2(network, options=OPTIONS) as o2, o2.events() as events:
            streams: dict[str, Subscription[Any]] = {
                "depth": o2.stream_depth(MARKET),
                "depth 2": o2.stream_depth(MARKET_2),
                "view": o2.stream_depth_view(MARKET),
                "trades": o2.stream_trades(MARKET),
                "orders": o2.stream_orders(ACCOUNT),
                "balances": o2.stream_balances(ACCOUNT),
                "nonce": o2.stream_nonce(ACCOUNT),
            }
            for name, stream in streams.items():
                nursery.start_soon(_follow, name, stream, played)
            await trio.sleep(QUIET)
            await exchange.send_news()
            await trio.sleep(QUIET)
            await exchange.send_changed()
            await exchange.send_news()
            await trio.sleep(AFTER)
            await exchange.send_news()
            await trio.sleep(LONG)
            while events.statistics().buffered:
                played.events.append(events.receive_nowait())
            nursery.cancel_scope.cancel()


async def _follow(name: str, stream: Subscription[Any], played: Played) -> None:
    updates = played.updates.setdefault(name, [])
    books = played.books.setdefault(name, [])
    book: Book = {}
    try:
        async with stream:
            async for item in stream:
                updates.append(item)
                if isinstance(item, DepthUpdate):
                    book = _applied(book, item)
                    books.append(book)
        played.ended[name] = "in good order, without a reason"
    except Exception as error:  # noqa: BLE001 - what ended the stream is judged
        played.ended[name] = f"{type(error).__name__}: {error}"


def _applied(book: Book, update: DepthUpdate) -> Book:
    """Return a consumer's book after an update."""
    found = {} if update.is_snapshot else dict(book)
    for side, levels in (("buy", update.changes.bids), ("sell", update.changes.asks)):
        for level in levels:
            found[side, level.price] = found.get((side, level.price), 0) + level.quantity
    return {place: size for place, size in found.items() if size}
