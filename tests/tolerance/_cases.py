"""The cases of ``tests/data/tolerance_cases.json``, the frames that they are made of, and how one is tried.

``watch`` carries a case out: a raw server sends its messages to a client opened with ``open_o2``, and what
a consumer saw comes back as :class:`Seen`. What is right for which case is in the tests.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import trio

from o2trio import (
    Balance,
    DepthBook,
    DepthUpdate,
    Event,
    Level,
    O2Client,
    O2Error,
    Options,
    Order,
    Subscription,
    TopicBroken,
    Trade,
    Update,
    open_o2,
)
from tests.tolerance._server import Asked, RawServer, RawSocket, Reply, coded, reply

DATA = json.loads((Path(__file__).parents[1] / "data" / "tolerance_cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in DATA["cases"]}
MARKET, ACCOUNT, ORDER = (DATA["ids"][name] for name in ("market", "account", "order"))
OTHER_ORDER = "0x" + "0e" * 32
BASE_ASSET, QUOTE_ASSET, BOOK = "0x" + "e1" * 32, "0x" + "e2" * 32, "0x" + "b1" * 32
MARKET_2, BOOK_2 = "0x" + "a2" * 32, "0x" + "b2" * 32

OPTIONS = Options(jitter=lambda: 0.5)

Frame: TypeAlias = dict[str, Any]


# -- frames ----------------------------------------------------------------------------------------


def merged(base: Frame, *changes: Frame) -> Frame:
    """Return a deep copy of `base` with further keys; a value that is :data:`GONE` removes its key."""
    frame = copy.deepcopy(base)
    for change in changes:
        frame |= copy.deepcopy(change)
    return {key: value for key, value in frame.items() if value is not GONE}


GONE: Any = ...


def snapshot(*changes: Frame) -> Frame:
    """Return a snapshot with 25000 x 10 against 26000 x 7."""
    return merged(CASES["data-with-code-0"]["messages"][0], *changes)


def update(*changes: Frame) -> Frame:
    """Return a change that adds 5 to the bid of 25000."""
    return merged(CASES["ack-code-0"]["messages"][2], *changes)


def trade(*changes: Frame) -> Frame:
    return merged(CASES["action-trades"]["messages"][0]["trades"][0], *changes)


def trades(*entries: Any, **more: Any) -> Frame:
    return merged(CASES["action-trades"]["messages"][0], {"action": "subscribe_trades"}) | {
        "trades": list(entries),
        **more,
    }


def order(*changes: Frame) -> Frame:
    return merged(CASES["order-type-null"]["messages"][0]["orders"][1], {"order_id": ORDER}, *changes)


def other_order(*changes: Frame) -> Frame:
    return order({"order_id": OTHER_ORDER}, *changes)


def orders(*entries: Any, **more: Any) -> Frame:
    return {**CASES["order-type-null"]["messages"][0], "orders": list(entries), **more}


def balance(*changes: Frame) -> Frame:
    return merged(CASES["balance-empty-books-list"]["messages"][0]["balance"][0], *changes)


def balances(*entries: Any, **more: Any) -> Frame:
    return {"action": "subscribe_balances", "balance": list(entries), **more}


def nonce(*changes: Frame) -> Frame:
    return merged({"action": "subscribe_nonce", "contract_id": ACCOUNT, "nonce": "43"}, *changes)


# -- REST answers ----------------------------------------------------------------------------------


def market_row(*changes: Frame) -> Frame:
    """Return the row of the market; its base and quote have 9 and 6 decimals."""
    row = {
        "contract_id": BOOK,
        "market_id": MARKET,
        "maker_fee": "0",
        "taker_fee": "100",
        "min_order": "1000",
        "dust": "100",
        "price_window": 0,
        "base": {"symbol": "fFUEL", "asset": BASE_ASSET, "decimals": 9, "max_precision": 9},
        "quote": {"symbol": "fUSDC", "asset": QUOTE_ASSET, "decimals": 6, "max_precision": 6},
    }
    return merged(row, *changes)


def second_row(*changes: Frame) -> Frame:
    """Return the row of another market."""
    base = {"symbol": "fETH", "asset": "0x" + "e3" * 32, "decimals": 9, "max_precision": 9}
    return market_row({"market_id": MARKET_2, "contract_id": BOOK_2, "base": base}, *changes)


def markets_body(*rows: Any) -> Frame:
    return {
        "books_registry_id": "0x" + "11" * 32,
        "accounts_registry_id": "0x" + "12" * 32,
        "trade_account_oracle_id": "0x" + "13" * 32,
        "chain_id": "0x0",
        "base_asset_id": BASE_ASSET,
        "markets": list(rows) or [market_row(), second_row()],
    }


def quiet_rest(asked: Asked) -> Reply:
    """Answer the reads of an exchange on which nothing happened."""
    answers: dict[str, Any] = {
        "/v1/markets": markets_body(),
        "/v1/trades": {"action": "trades", "market_id": MARKET, "trades": []},
        "/v1/orders": {"market_id": MARKET, "orders": []},
        "/v1/accounts": {"trade_account_id": None, "trade_account": None, "session": None},
        "/v1/balance": {
            "order_books": {},
            "total_locked": "0",
            "total_unlocked": "0",
            "trading_account_balance": "0",
        },
    }
    if asked.path in answers:
        return reply(answers[asked.path])
    return (
        coded(404, 3000, "Order not found") if asked.path == "/v1/order" else coded(404, 1001, "no such path")
    )


def answering(path: str, answer: Any) -> Callable[[Asked], Reply]:
    """Answer `path` with `answer` (a body, a whole reply, or a function of the request), the rest quietly."""

    def rest(asked: Asked) -> Reply:
        if asked.path != path:
            return quiet_rest(asked)
        said = answer(asked) if callable(answer) else answer
        return said if isinstance(said, tuple) else reply(said)

    return rest


# -- what a consumer saw ---------------------------------------------------------------------------


def fields_of(raw: object) -> Mapping[str, Any]:
    """Return the fields of a raw object that was kept."""
    assert isinstance(raw, Mapping)
    return raw


@attrs.define
class Seen:
    """What one consumer saw of a stream, and what the client said beside it.

    Attributes:
      updates: everything the stream gave.
      error: what ended it, or None.
      events: of the client.
      book: kept from the updates of a depth stream.
      stale: whether an order book of the same market said at the end that it was stale; None for other
        streams.
      server: whose requests show what the client asked.
    """

    server: RawServer
    updates: list[Update] = attrs.field(factory=list)
    error: Exception | None = None
    events: list[Event] = attrs.field(factory=list)
    book: DepthBook = attrs.field(factory=DepthBook)
    stale: bool | None = None

    @property
    def breaks(self) -> list[TopicBroken]:
        return [event for event in self.events if isinstance(event, TopicBroken)]

    @property
    def trades(self) -> list[Trade]:
        return [entry for update in self.updates for entry in getattr(update, "trades", ())]

    @property
    def orders(self) -> list[Order]:
        return [entry for update in self.updates for entry in getattr(update, "orders", ())]

    @property
    def balance(self) -> list[Balance]:
        return [entry for update in self.updates for entry in getattr(update, "balance", ())]

    @property
    def snapshots(self) -> list[DepthUpdate]:
        return [each for each in self.updates if isinstance(each, DepthUpdate) and each.is_snapshot]

    @property
    def not_understood(self) -> list[Any]:
        return [entry for update in self.updates for entry in update.not_understood]

    @property
    def epochs(self) -> set[int]:
        return {update.epoch for update in self.updates}

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def check_whole(self) -> None:
        """Check that nothing broke and nothing ended."""
        assert self.error is None
        assert self.breaks == []
        assert self.epochs <= {0}

    def check_bid(self, price: int, quantity: int) -> None:
        """Check the best bid, that the book is fresh, and that nothing broke on the way."""
        self.check_whole()
        assert self.book.best_bid == Level(price, quantity)
        assert self.stale is False


_STREAMS: dict[str, Callable[[O2Client], Subscription[Any]]] = {
    "depth": lambda o2: o2.stream_depth(MARKET),
    "depth_view": lambda o2: o2.stream_depth_view(MARKET),
    "trades": lambda o2: o2.stream_trades(MARKET),
    "orders": lambda o2: o2.stream_orders(ACCOUNT),
    "balances": lambda o2: o2.stream_balances(ACCOUNT),
    "nonce": lambda o2: o2.stream_nonce(ACCOUNT),
}

_KINDS = {"trades": "trades", "nonce": "nonce", "subscribe_depth_update": "depth"}


def kind_of(messages: Iterable[Any]) -> str:
    """Return the stream that the messages of a case are meant for."""
    for message in messages:
        if isinstance(message, dict):
            action = message.get("binary", message).get("action")
            if action in _KINDS or str(action).startswith("subscribe_"):
                return _KINDS.get(action) or str(action).removeprefix("subscribe_")
    raise AssertionError("no message names its stream")


async def watch(
    messages: Sequence[Any],
    kind: str = "",
    *,
    rest: Callable[[Asked], Reply] = quiet_rest,
    later: Sequence[Any] = (),
    seconds: float = 8.0,
    options: Options = OPTIONS,
) -> Seen:
    """Send `messages` to a subscriber of a `kind` of stream, and return what it saw.

    Args:
      messages: what the server sends after the first request, in one go.
      kind: the stream; without it, the one that the messages name.
      rest: answers REST requests.
      later: what the server sends after every further request for the same stream.
      seconds: how long to watch, on virtual time.
      options: of the client.
    """
    kind = kind or kind_of(messages)
    answers = [list(messages)]

    def script(_socket: RawSocket, request: dict[str, Any]) -> Iterable[Any]:
        if request["action"] != f"subscribe_{kind}":
            return ()
        return answers.pop() if answers else later

    server = RawServer(script, rest)
    seen = Seen(server)
    async with trio.open_nursery() as nursery:
        config = server.network(nursery)
        async with open_o2(config, options=options) as o2, o2.events() as events:
            nursery.start_soon(_follow, _STREAMS[kind](o2), seen)
            if kind == "depth":
                with trio.move_on_after(3 * seconds), suppress(O2Error):
                    async with o2.order_book(MARKET) as book:
                        await trio.sleep(seconds)
                        seen.stale = book.is_stale
                        assert book.is_stale or book.raw.changes() == seen.book.changes()
            else:
                await trio.sleep(seconds)
            while events.statistics().buffered:
                seen.events.append(events.receive_nowait())
        nursery.cancel_scope.cancel()
    return seen


async def _follow(stream: Subscription[Any], seen: Seen) -> None:
    try:
        async with stream as updates:
            async for item in updates:
                seen.updates.append(item)
                if isinstance(item, DepthUpdate):
                    seen.book.apply(item)
    except Exception as error:  # noqa: BLE001 - what ended a stream is what the test asks about
        seen.error = error
