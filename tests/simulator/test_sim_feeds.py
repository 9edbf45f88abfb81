"""Subscriptions without I/O: exact shapes, limits and quirks of the protocol notes."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from o2trio import wire
from o2trio.models import Id, OrderType, Side
from o2trio.simulator import Account, Exchange, Flavor, Revert, default_listings
from o2trio.simulator._feeds import Feed, Feeds
from o2trio.simulator._flow import Flow
from o2trio.simulator._markets import make_id

Load = Callable[[str], Any]

FLAVORS = [
    Flavor(),
    Flavor(snapshot_key="orders", ids="bare", order_flavor=1, onchain_timestamp="null", nonce="hex"),
    Flavor(
        ids="upper", onchain_timestamp="number", seen_timestamp="number", nonce="number", trade_id="number"
    ),
    Flavor(
        seen_timestamp="absent", trade_parties=False, error_action="request", acknowledge_unsubscribe=True
    ),
]


class _World:
    """An exchange with two accounts and its feeds."""

    def __init__(self, exchange: Exchange, flavor: Flavor | None = None) -> None:
        self.exchange = exchange
        self.feeds = Feeds(exchange, flavor or Flavor())
        self.market = exchange.markets.markets[0]
        self.market_id = self.market.market_id
        assets = (self.market.base.asset, self.market.quote.asset)
        self.one, self.other = (
            exchange.create_account(name, dict.fromkeys(assets, 10**18)) for name in ("1", "2")
        )
        exchange.seal()

    def place(
        self, account: Account, side: Side, price: int, quantity: int = 10**12, kind: str = "Spot"
    ) -> Any:
        return self.exchange.place(
            account, self.market_id, side, price=price, quantity=quantity, order_type=OrderType(kind)
        )

    def publish(self) -> dict[Feed, list[Any]]:
        return {
            feed: [json.loads(text) for text in texts]
            for feed, texts in self.feeds.publish(self.exchange.seal())
        }


@pytest.fixture
def world(exchange: Exchange) -> _World:
    return _World(exchange)


def _ask(feed: Feed, action: str, **fields: object) -> list[Any]:
    return [json.loads(text) for text in feed.receive(json.dumps({"action": action, **fields}), 5.0)]


class _Follower:
    """One socket with the books it adds up, checking each message on the way."""

    def __init__(self, feed: Feed, level: int, market_ids: list[Id]) -> None:
        self.level = level
        self.books: dict[Id, dict[tuple[str, int], int]] = {market_id: {} for market_id in market_ids}
        for market_id in market_ids:
            (snapshot,) = _ask(feed, "subscribe_depth", market_id=market_id, precision=str(10**level))
            self.apply(snapshot)

    def apply(self, message: Any) -> None:
        book = self.books[message["market_id"]]
        levels = message.get("view") or message["changes"]
        for side in ("buys", "sells"):
            for entry in levels[side]:
                key = side, int(entry["price"])
                book[key] = book.get(key, 0) + int(entry["quantity"])
                assert book[key] >= 0
                assert key[1] % 10**self.level == 0
                if not book[key]:
                    del book[key]


def _who(*accounts: Account) -> list[dict[str, str]]:
    return [{"ContractId": account.trade_account_id} for account in accounts]


def _keys(value: Any) -> Any:
    """Return the shape of a message: its keys and the types of its values."""
    if isinstance(value, dict):
        return {key: _keys(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_keys(value[0])] if value else []
    return type(value).__name__


STAMPS = {"onchain_timestamp": "1790000000", "seen_timestamp": "1790000000123456789"}


# -- depth -----------------------------------------------------------------------------------------


def test_depth_begins_with_everything_and_goes_on_with_signed_differences(world: _World) -> None:
    world.place(world.one, Side.BUY, 25_110)
    world.place(world.one, Side.BUY, 25_190)
    world.place(world.one, Side.SELL, 25_210)
    ask = world.place(world.one, Side.SELL, 25_290)
    world.exchange.seal()
    fine, coarse = world.feeds.open(), world.feeds.open()
    assert _ask(fine, "subscribe_depth", market_id=world.market_id, precision="10") == [
        {
            "action": "subscribe_depth",
            "view": {
                "precision": 1,
                "buys": [
                    {"price": "25190", "quantity": str(10**12)},
                    {"price": "25110", "quantity": str(10**12)},
                ],
                "sells": [
                    {"price": "25210", "quantity": str(10**12)},
                    {"price": "25290", "quantity": str(10**12)},
                ],
            },
            "market_id": world.market_id,
        }
    ]
    # Bids are shown lower, asks higher: never better than they are.
    (snapshot,) = _ask(coarse, "subscribe_depth", market_id=world.market_id, precision="100")
    assert snapshot["view"] == {
        "precision": 2,
        "buys": [{"price": "25100", "quantity": str(2 * 10**12)}],
        "sells": [{"price": "25300", "quantity": str(2 * 10**12)}],
    }
    world.exchange.cancel(world.one, ask.order_id)
    world.place(world.one, Side.BUY, 25_110)
    frames = world.publish()
    update = {"action": "subscribe_depth_update", "market_id": world.market_id, **STAMPS}
    fine_changes = {
        "buys": [{"price": "25110", "quantity": str(10**12)}],
        "sells": [{"price": "25290", "quantity": str(-(10**12))}],
    }
    coarse_changes = {
        "buys": [{"price": "25100", "quantity": str(10**12)}],
        "sells": [{"price": "25300", "quantity": str(-(10**12))}],
    }
    assert frames == {
        fine: [{**update, "changes": fine_changes}],
        coarse: [{**update, "changes": coarse_changes}],
    }


def test_a_change_that_cancels_out_inside_its_bucket_is_not_sent(world: _World) -> None:
    order = world.place(world.one, Side.BUY, 25_110)
    world.exchange.seal()
    fine, coarse = world.feeds.open(), world.feeds.open()
    _ask(fine, "subscribe_depth", market_id=world.market_id, precision="10")
    _ask(coarse, "subscribe_depth", market_id=world.market_id, precision="100")
    world.exchange.cancel(world.one, order.order_id)
    world.place(world.one, Side.BUY, 25_120)
    assert list(world.publish()) == [fine]


@pytest.mark.parametrize("seed", [1, 2])
def test_differences_add_up_to_the_book_at_every_precision(seed: int) -> None:
    listings = default_listings()
    now = itertools.count(0, 10**8)
    exchange = Exchange(listings, lambda: next(now))
    flow = Flow(exchange, listings, rate=8, seed=seed)
    flow.open_books()
    exchange.seal()
    feeds = Feeds(exchange)
    market_ids = [market.market_id for market in exchange.markets.markets]
    opened = [(level, feeds.open()) for level in range(1, 10)]
    followers = {feed: _Follower(feed, level, market_ids) for level, feed in opened}
    for _ in range(1500):
        flow.step()
        for feed, texts in feeds.publish(exchange.seal()):
            for text in texts:
                followers[feed].apply(json.loads(text))
    for follower in followers.values():
        for market_id, book in follower.books.items():
            truth = exchange.book(market_id, follower.level)
            sides = {"buys": truth.bids, "sells": truth.asks}
            assert book == {
                (side, level.price): level.quantity for side, its in sides.items() for level in its
            }


def test_precision_one_gives_a_snapshot_and_then_nothing(world: _World) -> None:
    feed = world.feeds.open()
    (snapshot,) = _ask(feed, "subscribe_depth", market_id=world.market_id, precision="1")
    assert snapshot["view"]["precision"] == 0
    world.place(world.one, Side.BUY, 25_000)
    assert world.publish() == {}


@pytest.mark.parametrize("level", range(1, 19))
def test_accepts_every_precision_that_clients_send(world: _World, level: int) -> None:
    feed = world.feeds.open()
    (snapshot,) = _ask(feed, "subscribe_depth", market_id=world.market_id, precision=str(10**level))
    assert snapshot["view"]["precision"] == level


def test_depth_views_come_periodically_whether_or_not_anything_changed(world: _World) -> None:
    feed = world.feeds.open()
    added = []
    world.feeds.on_view_added = lambda: added.append(True)
    (first,) = _ask(
        feed, "subscribe_depth_view", market_id=world.market_id, precision="1000", frequency="500ms"
    )
    assert first == {
        "action": "subscribe_depth_view",
        "view": {"precision": 3, "buys": [], "sells": []},
        "market_id": world.market_id,
    }
    assert added == [True]
    assert world.feeds.next_due() == 5.5
    assert list(world.feeds.views(5.4)) == []
    assert [json.loads(text) for _, text in world.feeds.views(5.5)] == [first]
    assert list(world.feeds.views(5.5)) == []
    world.place(world.one, Side.BUY, 25_900)
    assert world.publish() == {}
    ((_, text),) = world.feeds.views(6.0)
    assert json.loads(text)["view"]["buys"] == [{"price": "25000", "quantity": str(10**12)}]
    _ask(feed, "unsubscribe_depth_view", market_id=world.market_id)
    assert world.feeds.next_due() == float("inf")


# -- the other streams -----------------------------------------------------------------------------


def test_trades_orders_balances_and_nonce_have_the_documented_shapes(world: _World, load_data: Load) -> None:
    samples = load_data("wire_samples")["samples"]
    feed = world.feeds.open()
    assert _ask(feed, "subscribe_trades", market_id=world.market_id) == []
    for kind in ("orders", "balances", "nonce"):
        assert _ask(feed, f"subscribe_{kind}", identities=_who(world.one, world.other)) == []
    world.place(world.one, Side.SELL, 25_000)
    world.publish()
    world.place(world.other, Side.BUY, 25_000, 4 * 10**11)
    frames = {frame["action"]: frame for frame in world.publish()[feed]}
    assert set(frames) == {f"subscribe_{kind}" for kind in ("trades", "orders", "balances", "nonce")}

    trade = frames["subscribe_trades"]["trades"][0]
    sample = samples["trades"][0]["message"]
    assert _keys(trade) == {**_keys(sample["trades"][0]), "maker_fee": "str", "taker_fee": "str"}
    assert trade["side"] == "sell"
    assert trade["total"] == "10000000"
    assert trade["timestamp"] == "1790000000123"

    orders = frames["subscribe_orders"]["orders"]
    sample_order = _keys(samples["orders"][1]["message"]["orders"][0])
    for order in orders:
        shape = _keys(order)
        assert shape == {key: sample_order[key] for key in shape}
    maker = next(order for order in orders if order["side"] == "sell")
    assert (maker["quantity_fill"], maker["price_fill"]) == ("400000000000", "25000")
    assert (maker["partially_filled"], maker["close"], maker["cancel"]) == (True, False, False)
    assert maker["timestamp"] == "1790000000"

    balances = frames["subscribe_balances"]
    assert _keys(balances["balance"][0]["identity"]) == {"ContractId": "str"}
    sample_balance = samples["balances"][0]["message"]["balance"][0]
    assert set(balances["balance"][0]) == set(sample_balance)
    book = balances["balance"][0]["order_books"][world.market.contract_id]
    assert set(book) == {"locked", "unlocked", "fee"}
    assert len(balances["balance"]) == 4
    for entry in balances["balance"]:
        held = int(entry["trading_account_balance"])
        assert int(entry["total_unlocked"]) == held + sum(
            int(b["unlocked"]) for b in entry["order_books"].values()
        )

    assert frames["subscribe_nonce"] == {
        "action": "subscribe_nonce",
        "contract_id": world.other.trade_account_id,
        "nonce": "1",
        **STAMPS,
    }
    for name, key in (("trades", "trades"), ("orders", "orders"), ("balances", "balance")):
        frame = frames[f"subscribe_{name}"]
        assert {inner: frame[inner] for inner in STAMPS} == STAMPS
        assert set(frame) - {"market_id"} == {"action", key, *STAMPS}


def test_flavor_one_of_orders(world: _World, exchange: Exchange) -> None:
    world.feeds.flavor = Flavor(order_flavor=1)
    feed = world.feeds.open()
    _ask(feed, "subscribe_orders", identities=_who(world.other))
    world.place(world.one, Side.SELL, 25_000, 4 * 10**11)
    world.place(world.other, Side.BUY, 25_000)
    limit = OrderType("Limit", price=24_000, timestamp=1_790_000_500)
    exchange.place(world.other, world.market_id, Side.BUY, price=24_000, quantity=10**12, order_type=limit)
    ((frame,),) = world.publish().values()
    first, second = frame["orders"]
    assert first["account"] == {"ContractId": world.other.trade_account_id}
    assert first["desired_quantity"] == {"Base": {"remaining_quantity": 6 * 10**11}}
    assert set(first["fill"]) == {"order_id", "price", "quantity", "timestamp"}
    assert [entry["type"] for entry in first["order_tx_history"]] == ["created", "trade"]
    assert not {"owner", "market_id", "fills", "history"} & set(first)
    assert second["order_type"] == {"Limit": [24_000, 1_790_000_500]}
    assert second["fill"] is None


def test_market_orders_want_quote_and_bounds_are_numbers(world: _World, exchange: Exchange) -> None:
    world.feeds.flavor = Flavor(order_flavor=1)
    feed = world.feeds.open()
    _ask(feed, "subscribe_orders", identities=_who(world.other))
    bounded = OrderType("BoundedMarket", max_price=26_000, min_price=24_000)
    exchange.place(world.other, world.market_id, Side.BUY, price=25_000, quantity=10**12, order_type=bounded)
    ((frame,),) = world.publish().values()
    (order,) = frame["orders"]
    assert order["order_type"] == {"BoundedMarket": {"max_price": 26_000, "min_price": 24_000}}
    assert order["desired_quantity"]["Quote"]["desired_base_quantity"] == {"Quantity": 10**12}
    assert (order["close"], order["cancel"], order["quantity_fill"]) == (True, False, "0")


def test_a_revert_moves_the_nonce_and_nothing_else(world: _World) -> None:
    feed = world.feeds.open()
    for kind in ("orders", "balances", "nonce"):
        _ask(feed, f"subscribe_{kind}", identities=_who(world.one))
    with pytest.raises(Revert):
        world.place(world.one, Side.SELL, 25_001)
    assert [frame["action"] for frame in world.publish()[feed]] == ["subscribe_nonce"]


def test_each_socket_sees_its_own_accounts_and_markets_only(world: _World) -> None:
    one, other = world.feeds.open(), world.feeds.open()
    _ask(one, "subscribe_orders", identities=_who(world.one))
    _ask(other, "subscribe_orders", identities=_who(world.other))
    _ask(other, "subscribe_trades", market_id=world.exchange.markets.markets[1].market_id)
    world.place(world.one, Side.SELL, 25_000)
    assert list(world.publish()) == [one]
    # The contract is watched, not the wallet that owns it.
    _ask(world.feeds.open(), "subscribe_orders", identities=[{"Address": world.one.owner.id}])
    world.place(world.one, Side.SELL, 25_000)
    assert list(world.publish()) == [one]
    world.feeds.close(one)
    world.place(world.one, Side.SELL, 25_000)
    assert world.publish() == {}


def test_equal_subscriptions_share_one_encoded_text(world: _World) -> None:
    feeds = [world.feeds.open() for _ in range(3)]
    for feed in feeds:
        _ask(feed, "subscribe_depth", market_id=world.market_id, precision="10")
    world.place(world.one, Side.SELL, 25_000)
    texts = [texts[0] for _, texts in world.feeds.publish(world.exchange.seal())]
    assert len(texts) == 3
    assert texts[0] is texts[1] is texts[2]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_library_reads_every_flavor(exchange: Exchange, flavor: Flavor) -> None:
    world = _World(exchange, flavor)
    feed = world.feeds.open()
    frames = feed.receive(
        json.dumps({"action": "subscribe_depth", "market_id": world.market_id, "precision": "10"}), 0.0
    )
    frames += feed.receive(json.dumps({"action": "unsubscribe_depth", "market_id": "nonsense"}), 0.0)
    _ask(feed, "subscribe_trades", market_id=world.market_id)
    for kind in ("orders", "balances", "nonce"):
        _ask(feed, f"subscribe_{kind}", identities=_who(world.one, world.other))
    world.place(world.one, Side.SELL, 25_000)
    world.place(world.other, Side.BUY, 25_000, 4 * 10**11)
    for _, texts in world.feeds.publish(exchange.seal()):
        frames += texts
    frames += feed.receive(json.dumps({"action": "unsubscribe_orders"}), 0.0)
    kinds = wire.FrameKind
    expected = [
        kinds.DEPTH_SNAPSHOT,
        kinds.ERROR,
        kinds.DEPTH_UPDATE,
        kinds.TRADES,
        kinds.ORDERS,
        kinds.BALANCES,
    ]
    expected += [kinds.NONCE, kinds.NONCE]
    if flavor.acknowledge_unsubscribe:
        expected.append(kinds.ACKNOWLEDGEMENT)
    decoded = [wire.decode(text) for text in frames]
    assert [frame.kind for frame in decoded] == expected
    assert {frame.market_id for frame in decoded if frame.market_id} == {world.market_id}


# -- limits and quirks -----------------------------------------------------------------------------

_MARKET = {"market_id": make_id("market", "fFUEL/fUSDC")}
_DEPTH = {**_MARKET, "precision": "10"}


@pytest.mark.parametrize(
    ("code", "request_"),
    [
        (1002, "no json"),
        (1002, "[]"),
        (1002, "null"),
        (1002, "{}"),
        (1002, '{"action": 5}'),
        (1002, {"action": "subscribe_ticker"}),
        (1002, {"action": "ping"}),
        (1002, {"action": "subscribe_depth", "precision": "10"}),
        (1002, {"action": "subscribe_depth", "market_id": "0x12", "precision": "10"}),
        (2000, {"action": "subscribe_depth", "market_id": make_id("nowhere"), "precision": "10"}),
        (2000, {"action": "subscribe_trades", "market_id": make_id("nowhere")}),
        (1002, {"action": "subscribe_depth", **_MARKET}),
        (1002, {"action": "subscribe_depth", **_MARKET, "precision": 10}),
        (6002, {"action": "subscribe_depth", **_MARKET, "precision": "20"}),
        (6002, {"action": "subscribe_depth", **_MARKET, "precision": "0"}),
        (6002, {"action": "subscribe_depth", **_MARKET, "precision": "fine"}),
        (6002, {"action": "subscribe_depth", **_MARKET, "precision": str(10**19)}),
        (6002, {"action": "subscribe_depth", **_DEPTH, "turbo": True}),
        (6002, {"action": "subscribe_orders", "identities": [], "turbo": True}),
        (1002, {"action": "subscribe_depth_view", **_DEPTH}),
        (1002, {"action": "subscribe_depth_view", **_DEPTH, "frequency": "2s"}),
        (1002, {"action": "subscribe_orders"}),
        (1001, {"action": "subscribe_orders", "identities": []}),
        (1002, {"action": "subscribe_nonce", "identities": ["0x12"]}),
        (1002, {"action": "subscribe_nonce", "identities": [{"Wallet": make_id("x")}]}),
        (1002, {"action": "subscribe_nonce", "identities": [{}]}),
        (
            1002,
            {
                "action": "subscribe_nonce",
                "identities": [{"Address": make_id("x"), "ContractId": make_id("x")}],
            },
        ),
        (6002, {"action": "subscribe_balances", "identities": [{"Address": make_id(n)} for n in range(11)]}),
    ],
)
def test_refuses_with_a_code_and_subscribes_nothing(world: _World, code: int, request_: Any) -> None:
    feed = world.feeds.open()
    text = request_ if isinstance(request_, str) else json.dumps(request_)
    (answer,) = [json.loads(text) for text in feed.receive(text, 0.0)]
    assert set(answer) == {"code", "message"}
    assert answer["code"] == code
    assert feed.subscriptions == ()


def test_the_messages_that_clients_look_for(world: _World) -> None:
    feed = world.feeds.open()
    assert _ask(feed, "subscribe_depth", **_MARKET, precision="x")[0]["message"] == "Invalid precision"
    _ask(feed, "subscribe_depth", **_DEPTH)
    assert _ask(feed, "subscribe_depth", **_DEPTH) == [
        {"code": 6000, "message": "Already subscribed to topic"}
    ]


def test_ten_identities_are_allowed_in_any_spelling(world: _World) -> None:
    feed = world.feeds.open()
    names = [{"ContractId": make_id(n)[2:].upper()} for n in range(9)]
    assert _ask(feed, "subscribe_orders", identities=[*names, *_who(world.one)]) == []
    world.place(world.one, Side.BUY, 25_000)
    assert list(world.publish()) == [feed]


@pytest.mark.parametrize("kind", ["depth", "depth_view", "trades", "orders", "balances", "nonce"])
def test_one_subscription_per_slot(world: _World, kind: str) -> None:
    feed = world.feeds.open()
    mine, others = _who(world.one), _who(world.other)
    fields: dict[str, tuple[dict[str, Any], dict[str, Any]]] = defaultdict(
        lambda: ({"identities": mine}, {"identities": others}),
        depth=(_DEPTH, {**_DEPTH, "precision": "100"}),
        depth_view=({**_DEPTH, "frequency": "1s"}, {**_DEPTH, "frequency": "3s"}),
        trades=(_MARKET, _MARKET),
    )
    first, second = fields[kind]
    _ask(feed, f"subscribe_{kind}", **first)
    before = feed.subscriptions
    assert _ask(feed, f"subscribe_{kind}", **second)[0]["code"] == 6000
    assert feed.subscriptions == before
    if "market_id" in first:
        elsewhere = {**first, "market_id": world.exchange.markets.markets[1].market_id}
        _ask(feed, f"subscribe_{kind}", **elsewhere)
        assert len(feed.subscriptions) == 2
        _ask(feed, f"unsubscribe_{kind}", **_MARKET)
        assert [its.market_id for its in feed.subscriptions] == [elsewhere["market_id"]]
    elif kind == "orders":
        assert _ask(feed, "unsubscribe_orders", identities=others) == []
        assert feed.subscriptions == ()
    else:
        assert _ask(feed, f"unsubscribe_{kind}", identities=others) == []
        assert feed.subscriptions == before
        assert _ask(feed, f"unsubscribe_{kind}", **first) == []
        assert feed.subscriptions == ()
    _ask(feed, f"subscribe_{kind}", **second)
    assert feed.subscriptions != before


def test_unsubscribing_what_is_not_there_is_silent(world: _World) -> None:
    feed = world.feeds.open()
    assert _ask(feed, "unsubscribe_orders") == []
    assert _ask(feed, "unsubscribe_trades", **_MARKET) == []
    assert _ask(feed, "unsubscribe_nonce", identities=_who(world.one)) == []


@pytest.mark.parametrize("text", ["PING", "ping\n", " Ping "])
def test_answers_the_text_heartbeat(world: _World, text: str) -> None:
    assert world.feeds.open().receive(text, 0.0) == ["PONG"]
    assert world.feeds.open().receive(text.replace("I", "O").replace("i", "o"), 0.0) == []


def test_refuses_the_next_subscriptions_on_demand(world: _World) -> None:
    one, other = world.feeds.open(), world.feeds.open()
    world.feeds.rejections += [(6001, "Too many subscriptions"), (6002, "no")]
    assert _ask(one, "subscribe_trades", **_MARKET) == [{"code": 6001, "message": "Too many subscriptions"}]
    assert _ask(other, "subscribe_trades", **_MARKET) == [{"code": 6002, "message": "no"}]
    assert _ask(one, "subscribe_trades", **_MARKET) == []


@pytest.mark.parametrize(("shape", "extra"), [("error", {"action": "error"}), ("request", None)])
def test_error_frames_in_other_shapes(exchange: Exchange, shape: Any, extra: dict[str, str] | None) -> None:
    world = _World(exchange, Flavor(error_action=shape))
    (answer,) = _ask(world.feeds.open(), "subscribe_depth", **_MARKET, precision="x")
    expected = {"code": 6002, "message": "Invalid precision"}
    assert answer == {**expected, **(extra or {"action": "subscribe_depth", **_MARKET})}
