"""Every reading of the protocol, as it is on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property, partial
from random import Random
from typing import Any

import attrs
import pytest

from o2trio import InvalidRequest
from o2trio.models import OrderType, Side
from o2trio.simulator import Exchange, Flavor, default_listings
from o2trio.simulator._feeds import Feed, Feeds
from o2trio.simulator._reshape import TRIGGER_ORDER
from o2trio.simulator._rest import Rest

NOW = 1_790_000_000_123_456_789
DEFAULTS = Flavor()


class Wire:
    """What one flavor puts on the wire: a book, a trade, an account that has both, and all the answers."""

    def __init__(self, flavor: Flavor) -> None:
        self.flavor = flavor
        self.exchange = exchange = Exchange(default_listings(), lambda: NOW)
        self.feeds, self.rest = Feeds(exchange, flavor), Rest(exchange, flavor)
        self.market = exchange.markets.markets[0]
        assets = (self.market.base.asset, self.market.quote.asset)
        self.one, self.other = (
            exchange.create_account(name, dict.fromkeys(assets, 10**18)) for name in ("1", "2")
        )
        for level in range(5):
            self.place(Side.BUY, 25_000 - 10 * level)
            self.place(Side.SELL, 26_000 + 10 * level)
        exchange.seal()
        self.feed = self.feeds.open()

    def place(self, side: Side, price: int, quantity: int = 10**12, account: Any = None) -> Any:
        return self.exchange.place(
            account or self.one,
            self.market.market_id,
            side,
            price=price,
            quantity=quantity,
            order_type=OrderType("Spot"),
        )

    def ask(self, action: str, feed: Feed | None = None, **fields: Any) -> list[Any]:
        """Return what one request is answered with, JSON or text."""
        if action.endswith(("depth", "depth_view", "trades")):
            fields.setdefault("market_id", self.market.market_id)
        if action.endswith("subscribe_depth"):
            fields.setdefault("precision", "10")
        if action.endswith(("balances", "nonce", "_orders")):
            fields.setdefault("identities", [{"ContractId": self.one.trade_account_id}])
        texts = (feed or self.feed).receive(json.dumps({"action": action, **fields}), 5.0)
        return [json.loads(text) if text[0] == "{" else text for text in texts]

    @cached_property
    def snapshot(self) -> Any:
        return self.ask("subscribe_depth", self.feeds.open())[-1]

    @cached_property
    def book(self) -> Any:
        return self.snapshot.get("view") or self.snapshot["orders"]

    @cached_property
    def block(self) -> list[Any]:
        """Return the frames of a block with a trade, in order."""
        feed = self.feeds.open()
        for action in ("depth", "trades", "orders", "balances", "nonce"):
            self.ask(f"subscribe_{action}", feed)
        self.place(Side.SELL, 25_000, 10**11, self.other)
        self.place(Side.BUY, 24_500)
        texts = dict(self.feeds.publish(self.exchange.seal()))[feed]
        return [json.loads(text) for text in texts]

    def kind(self, *keys: str) -> Any:
        return next(frame for frame in self.block if any(key in frame for key in keys))

    @property
    def update(self) -> Any:
        return self.kind("changes")

    @property
    def trade(self) -> Any:
        frame = self.kind("trades", "trade")
        return frame.get("trade") or frame["trades"][0]

    @property
    def order(self) -> Any:
        return self.kind("orders")["orders"][-1]

    @property
    def balance(self) -> Any:
        return self.kind("balance")["balance"][0]

    @property
    def refusal(self) -> Any:
        """Return the answer to a subscription of a market that is not there."""
        return self.ask("subscribe_trades", self.feeds.open(), market_id="0x" + "00" * 32)[-1]

    def second(self) -> list[Any]:
        feed = self.feeds.open()
        self.ask("subscribe_depth", feed)
        return self.ask("subscribe_depth", feed, precision="100")

    def after_subset(self) -> list[str]:
        """Return the identities that stay after one of two was unsubscribed."""
        feed, who = self.feeds.open(), [self.one, self.other]
        both = [{"ContractId": account.trade_account_id} for account in who]
        self.ask("subscribe_balances", feed, identities=both)
        self.ask("unsubscribe_balances", feed, identities=both[:1])
        return [identity.id for live in feed.subscriptions for identity in live.identities]

    def get(self, path: str, **query: Any) -> Any:
        target = path + "?" + "&".join(f"{key}={value}" for key, value in query.items())
        return json.loads(self.rest.respond("GET", target).body)

    def of_market(self, path: str, **query: Any) -> Any:
        return self.get(path, market_id=self.market.market_id, **query)

    @property
    def bar(self) -> Any:
        assert self.block
        to = NOW // 1_000_000
        return self.of_market("/v1/bars", resolution="1m", to=to + 60_000, count_back=5)["bars"][-1]

    def trades(self, **query: Any) -> Any:
        assert self.block
        return self.of_market("/v1/trades", direction="desc", count=5, **query)

    @property
    def markets(self) -> Any:
        return self.get("/v1/markets")["markets"]

    @property
    def account(self) -> Any:
        return self.get("/v1/accounts", trade_account_id=self.one.trade_account_id)

    @property
    def depth(self) -> Any:
        return self.of_market("/v1/depth", precision=10)["orders"]

    def pong(self) -> list[str]:
        return self.feed.receive("PING", 1.0)


Check = Callable[[Wire], object]

STAMP = {"text": "1790000000", "number": 1_790_000_000, "rfc3339": "2026-09-21T14:13:20Z", "null": None}
SEEN = {"number": NOW, "fraction": NOW / 10**9, "rfc3339": "2026-09-21T14:13:20Z", "null": None}


def seen(value: Any, wire: Wire) -> bool:
    return bool(wire.update["seen_timestamp"] == value)


def words(key: str, wire: Wire) -> bool:
    return wire.refusal[key] == "Market not found" and key in wire.get("/v1/depth", market_id="0x12")


SHOWN: dict[str, dict[Any, Check]] = {
    "snapshot_key": {"orders": lambda w: "view" not in w.snapshot and w.snapshot["orders"]["buys"]},
    "snapshot_precision": {False: lambda w: list(w.snapshot["view"]) == ["buys", "sells"]},
    "side_names": {
        "bids": lambda w: (
            {"bids", "asks"} <= w.book.keys() == w.depth.keys() | {"precision"}
            and "bids" in w.update["changes"]
        )
    },
    "empty_levels": {
        True: lambda w: [w.book[side][-1]["quantity"] for side in ("buys", "sells")] == ["0", "0"]
    },
    "depth_changes": {
        "absolute": lambda w: (
            w.update["changes"]["buys"][0] == {"price": "25000", "quantity": str(9 * 10**11)}
        )
    },
    "stale_update": {
        True: lambda w: (
            [f["action"] for f in w.ask("subscribe_depth")] == ["subscribe_depth_update", "subscribe_depth"]
        )
    },
    "amounts": {"number": lambda w: {type(w.order[k]) for k in ("price", "quantity")} == {int}},
    "ids": {
        "bare": lambda w: len(w.order["order_id"]) == 64,
        "upper": lambda w: w.order["order_id"].isupper() and len(w.order["order_id"]) == 64,
    },
    "side_case": {"capital": lambda w: (w.trade["side"], w.order["side"]) == ("Buy", "Buy")},
    "order_flavor": {1: lambda w: "account" in w.order and "owner" not in w.order},
    "order_type": {"null": lambda w: w.order["order_type"] is None},
    "trigger_orders": {
        True: lambda w: (
            w.kind("orders")["orders"][0]
            == {
                "kind": "trigger",
                "order_id": TRIGGER_ORDER,
                "side": "sell",
                "trigger_price": "2500",
                "market_id": w.market.market_id,
            }
        )
    },
    "order_timestamp": {"milliseconds": lambda w: w.order["timestamp"] == "1790000000123"},
    "onchain_timestamp": {
        "number": lambda w: w.update["onchain_timestamp"] == STAMP["number"],
        "rfc3339": lambda w: w.update["onchain_timestamp"] == STAMP["rfc3339"],
        "null": lambda w: w.update["onchain_timestamp"] is None,
        "absent": lambda w: "onchain_timestamp" not in w.update,
    },
    "seen_timestamp": {
        **{key: partial(seen, value) for key, value in SEEN.items()},
        "absent": lambda w: "seen_timestamp" not in w.update,
    },
    "nonce": {
        "number": lambda w: isinstance(w.kind("nonce")["nonce"], int),
        "hex": lambda w: w.kind("nonce")["nonce"].startswith("0x"),
    },
    "trade_parties": {False: lambda w: not {"maker", "taker", "maker_fee"} & w.trade.keys()},
    "trade_id": {
        "number": lambda w: w.trade["trade_id"] > 2**53,
        "hex": lambda w: "/" not in w.trade["trade_id"] and w.trade["trade_id"].startswith("0x"),
    },
    "trade_time": {"number": lambda w: w.trade["timestamp"] == NOW // 10**6},
    "trade_frames": {"single": lambda w: "trade" in w.kind("trade") and "trades" not in w.kind("trade")},
    "action_names": {
        "short": lambda w: (w.kind("trades")["action"], w.kind("nonce")["action"]) == ("trades", "nonce")
    },
    "book_fee": {False: lambda w: "fee" not in next(iter(w.balance["order_books"].values()))},
    "order_books": {
        "absent": lambda w: "order_books" not in w.balance,
        "empty": lambda w: w.balance["order_books"] == [],
    },
    "extra_fields": {True: lambda w: "x_unknown" in w.update and w.order["x_unknown"] is True},
    "data_mark": {
        "code": lambda w: w.update["code"] == 0 == w.account["code"],
        "ok": lambda w: w.update["code"] == 200,
        "error": lambda w: w.update["error"] is False,
        "turbo": lambda w: w.update["turbo"] is False,
    },
    "acknowledge": {
        "code": lambda w: w.ask("subscribe_trades") == [{"code": 0, "message": "subscribed"}],
        "action": lambda w: w.ask("subscribe_trades")[0]["status"] == "ok",
        "text": lambda w: w.ask("subscribe_trades") == ["OK"],
    },
    "acknowledge_unsubscribe": {
        True: lambda w: w.ask("unsubscribe_trades")[0]["action"] == "unsubscribe_trades"
    },
    "first_message": {
        "empty": lambda w: w.ask("subscribe_orders")[0]["orders"] == [] and not w.ask("subscribe_nonce"),
        "state": lambda w: (
            len(w.ask("subscribe_orders")[0]["orders"]) == 10
            and w.ask("subscribe_nonce")[0]["nonce"] == str(w.one.nonce)
        ),
    },
    "second_subscribe": {
        "replaced": lambda w: w.second()[0]["view"]["precision"] == 2,
        "ignored": lambda w: w.second() == [],
    },
    "unsubscribe_subset": {
        "ends": lambda w: w.after_subset() == [],
        "narrows": lambda w: w.after_subset() == [w.other.trade_account_id],
    },
    "high_precision": {
        "refused": lambda w: (
            w.ask("subscribe_depth", precision=str(10**10))[0]["code"] == 6002
            and w.of_market("/v1/depth", precision=10**10)["code"] == 1001
        ),
        "silent": lambda w: w.ask("subscribe_depth", precision=str(10**10)) == [],
    },
    "heartbeat": {
        "protocol": lambda w: w.pong() == [],
        "error": lambda w: json.loads(w.pong()[0])["code"] == 1002,
        "json": lambda w: json.loads(w.pong()[0]) == {"action": "PONG"},
    },
    "sequence": {"reversed": lambda w: "nonce" in w.block[0] and "changes" in w.block[-1]},
    "error_action": {
        "error": lambda w: w.refusal["action"] == "error",
        "request": lambda w: w.refusal["action"] == "subscribe_trades" and "market_id" in w.refusal,
    },
    "error_mark": {
        "text": lambda w: w.refusal["code"] == "2000",
        "type": lambda w: w.refusal == {"type": "error", "message": "Market not found"},
        "status": lambda w: w.refusal["status"] == "error",
        "success": lambda w: w.refusal["success"] is False and "code" not in w.refusal,
    },
    "error_words": {word: partial(words, word) for word in ("error", "detail")},
    "cursor_inclusive": {
        True: lambda w: w.trades(
            start_timestamp=w.trade["timestamp"], start_trade_id=w.trade["trade_id"].replace("/", "%2F")
        )["trades"]
    },
    "trades_envelope": {False: lambda w: isinstance(w.trades(), list)},
    "rest_levels": {"pairs": lambda w: isinstance(w.depth["buys"][0], list)},
    "rest_exact": {True: lambda w: w.of_market("/v1/depth", precision=0)["orders"]["buys"]},
    "heeds_limit": {
        False: lambda w: len(w.of_market("/v1/depth", precision=10, limit=1)["orders"]["buys"]) == 5
    },
    "is_open_false": {
        "closed": lambda w: (
            w.of_market(
                "/v1/orders",
                direction="desc",
                count=9,
                contract=w.one.trade_account_id,
                is_open="false",
            )["orders"]
            == []
        )
    },
    "bars": {"sum": lambda w: {"time", "volume"} <= w.bar.keys()},
    "bars_time": {"seconds": lambda w: w.bar["timestamp"] == NOW // 10**9 // 60 * 60},
    "single": {"object": lambda w: isinstance(w.of_market("/v1/markets/ticker"), dict)},
    "ticker_names": {"long": lambda w: "last_price" in w.of_market("/v1/markets/ticker")[0]},
    "catalogue": {"list": lambda w: isinstance(w.get("/v1/aggregated/assets"), list)},
    "human_numbers": {
        "text": lambda w: isinstance(w.get("/v1/aggregated/assets")["fFUEL"]["maker_fee"], str)
    },
    "market_fee": {"negative": lambda w: w.markets[0]["maker_fee"] == "-10"},
    "market_symbol": {"null": lambda w: w.markets[-1]["base"]["symbol"] is None},
    "market_rows": {"broken": lambda w: len(w.markets) == 4 and list(w.markets[-1]) == ["market_id"]},
    "price_window": {
        "text": lambda w: isinstance(w.markets[0]["price_window"], str),
        "fraction": lambda w: isinstance(w.markets[0]["price_window"], float),
    },
}

ELSEWHERE = {
    "frames": "tests/simulator/test_flavors_served.py",
    "session": "the same",
    "revert_envelope": "tests/simulator/test_sim_trading.py",
    "revert_text": "the same",
    "refusal_status": "the same",
    "whitelist": "the same",
    "parallel_signature_key": "tests/trading",
}
"""Readings that take a socket or a signed request to see, and where they are seen."""

READINGS = [
    (name, choice)
    for name, choices in Flavor.choices().items()
    for choice in choices[1:]
    if name not in ELSEWHERE
]


@pytest.mark.parametrize(("name", "choice"), READINGS)
def test_a_reading_is_on_the_wire_and_the_default_is_not(name: str, choice: Any) -> None:
    shows = SHOWN[name][choice]
    assert shows(Wire(attrs.evolve(DEFAULTS, **{name: choice})))
    try:
        default = shows(Wire(DEFAULTS))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, StopIteration):
        default = False
    assert not default


@pytest.mark.parametrize("name", Flavor.choices())
def test_the_default_comes_first(name: str) -> None:
    first, *others = Flavor.choices()[name]
    assert first == getattr(DEFAULTS, name)
    assert others
    assert first not in others


def test_every_field_is_documented() -> None:
    documentation = Flavor.__doc__ or ""
    assert [name for name in Flavor.choices() if f"      {name}: " not in documentation] == []


def test_a_flavor_is_described_as_it_is_parsed() -> None:
    text = "side_names=bids stale_update=true order_flavor=1"
    flavor = Flavor.parse(text.split())
    assert flavor == Flavor(side_names="bids", stale_update=True, order_flavor=1)
    assert set(flavor.describe().split()) == set(text.split())
    assert Flavor().describe() == ""
    assert Flavor.parse(["stale_update=false"]) == Flavor()


@pytest.mark.parametrize(
    ("pair", "message"),
    [("colour=red", "no flavor 'colour'"), ("ids=odd", "prefixed, bare, upper"), ("ids", "not ''")],
)
def test_an_unknown_flavor_is_refused(pair: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Flavor.parse([pair])


def test_what_is_drawn_covers_everything_a_client_must_survive() -> None:
    random = Random(1)
    drawn = [Flavor.draw(random) for _ in range(2000)]
    seen = {name: {getattr(flavor, name) for flavor in drawn} for name in Flavor.choices()}
    missing = {
        (name, choice)
        for name, choices in Flavor.choices().items()
        for choice in choices
        if choice not in seen[name]
    }
    assert missing == {
        ("depth_changes", "absolute"),
        ("heartbeat", "protocol"),
        ("high_precision", "refused"),
        ("high_precision", "silent"),
        ("second_subscribe", "replaced"),
        ("second_subscribe", "ignored"),
    }
    assert Flavor.draw(Random(5)) == Flavor.draw(Random(5))
