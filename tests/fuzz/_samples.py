"""Real shapes to mutate: recorded frames, and what the embedded exchange says and hears in every flavor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs

from o2trio.models import OrderType, Side
from o2trio.simulator import Exchange, Flavor, default_listings
from o2trio.simulator._feeds import Feeds
from o2trio.simulator._requests import Response
from tests.independent.o2client import Key, Refused, cancel, create, pack_nonce, settle
from tests.simulator.direct import NOW, Direct

DATA = json.loads((Path(__file__).parents[1] / "data" / "wire_samples.json").read_text(encoding="utf-8"))


@attrs.frozen
class Heard:
    """One request and what the exchange answered."""

    method: str
    target: str
    body: bytes
    owner: str
    status: int
    answer: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


def flavors() -> list[Flavor]:
    """Return flavors in which every choice occurs with each of its values."""
    hints = get_type_hints(Flavor)
    choices = {field.name: get_args(hints[field.name]) or (True, False) for field in attrs.fields(Flavor)}
    most = max(map(len, choices.values()))
    return [Flavor(**{name: of[n % len(of)] for name, of in choices.items()}) for n in range(most)]


class Trader(Direct):
    """The independent client with keys that are the same each time; remembers what it asked and heard."""

    def __init__(self, flavor: Flavor) -> None:
        self.heard: list[Heard] = []
        exchange = Exchange(default_listings(), lambda: NOW * 1_000_000_000 + 123_456_789)
        # The independent client is strict: it takes a code for an error, and reads every market.
        readable = attrs.evolve(flavor, data_mark="none", market_rows="whole")
        super().__init__(exchange, flavor=readable)
        self.owner, self.session_key = Key(secret=b"\x01" * 32), Key(secret=b"\x02" * 32)

    def ask(self, method: str, path: str, body: object, owner: str | None) -> tuple[int, Any]:
        done = super().ask(method, path, body, owner)
        data = b"" if body is None else json.dumps(body).encode()
        answer: Response | None = self.last
        assert answer is not None
        self.heard.append(Heard(method, path, data, owner or "", answer.status, answer.body))
        return done

    def nonce(self) -> int:
        return self.record.nonce

    def live(self) -> None:
        """Trade with a stranger, be refused, and read everything."""
        self.set_up()
        market = self.market(0)
        known = self.exchange.markets.markets[0]
        price = 10**known.quote.decimals
        size = 10 ** (known.base.decimals + 2)
        funds = {known.base.asset: 10**30, known.quote.asset: 10**30}
        stranger = self.exchange.create_account("stranger", funds)
        for step in range(3):
            self.exchange.place(
                stranger,
                known.market_id,
                Side.SELL,
                price=price * (20 + step),
                quantity=size,
                order_type=OrderType("Spot"),
            )
            self.exchange.place(
                stranger,
                known.market_id,
                Side.BUY,
                price=price * (10 - step),
                quantity=size,
                order_type=OrderType("Spot"),
            )
        self.exchange.seal()
        for action in (
            create("Buy", 20 * price, size),
            create("Sell", 30 * price, size, {"Limit": [str(30 * price), str(NOW)]}),
            create("Sell", 5 * price, size, {"BoundedMarket": {"max_price": "9" * 19, "min_price": "1"}}),
            settle(self.contract),
            cancel("0x" + "77" * 32),
        ):
            self._try(lambda action=action: self.act(market, action))
        self._try(lambda: self.act(market, settle(self.contract), parallel=pack_nonce(3, NOW + 60, 0, 1)))
        self._try(lambda: self.withdraw({"Address": self.owner.address}, 5, known.quote.asset))
        self._try(lambda: self.withdraw({"Address": self.owner.address}, 10**19, known.quote.asset))
        self._try(self.upgrade)
        self._try(lambda: self.send("POST", "/analytics/v1/whitelist", {"tradeAccount": self.account}))
        for target in self.targets():
            self._try(lambda target=target: self.get(target))

    def targets(self) -> Iterator[str]:
        market, account = self.market(0)["market_id"], self.account
        of_market, page = f"market_id={market}", "count=10&direction=desc"
        yield from ("/health", "/v1/markets", "/v1/markets/fees", "/v1/markets/summary", "/nowhere")
        yield from (f"/v1/markets/{name}?{of_market}" for name in ("summary", "ticker"))
        yield from (f"/v1/depth?{of_market}&precision=10&limit=5", f"/v1/trades?{of_market}&{page}")
        yield f"/v1/bars?{of_market}&resolution=1m&from={NOW * 1000 - 600_000}&to={NOW * 1000 + 60_000}"
        yield from (f"/v1/accounts?trade_account_id={account}", "/v1/accounts?trade_account_id=" + "0" * 64)
        yield f"/v1/accounts/window?trade_account_id={account}&nonce_session_id=3"
        yield f"/v1/balance?asset_id={self.market(0)['quote']['asset']}&contract={account}"
        yield from (f"/v1/orders?{of_market}&contract={account}&{page}", f"/v1/orders?{of_market}")
        yield f"/v1/orders/active?{of_market}&contract={account}"
        orders = (one.get("order_id") for one in self._orders())
        yield from (f"/v1/order?{of_market}&order_id={order}" for order in orders)
        yield f"/v1/trades_by_account?{of_market}&contract={account}&{page}"
        pair = "fFUEL_fUSDC"
        yield from (f"/v1/aggregated/{name}" for name in ("assets", "summary", "ticker", "coingecko/tickers"))
        yield from (f"/v1/aggregated/{name}?market_pair={pair}" for name in ("orderbook", "trades"))
        yield f"/v1/aggregated/coingecko/orderbook?ticker_id={pair}"

    def _orders(self) -> list[dict[str, Any]]:
        """Return the orders that the last page told of."""
        pages = [
            json.loads(one.answer) for one in self.heard if one.path == "/v1/orders" and one.status == 200
        ]
        return [order for page in pages[:1] for order in page["orders"]]

    def _try(self, act: Any) -> None:
        with suppress(Refused):  # remembered like any other answer
            act()


@cache
def heard() -> tuple[Heard, ...]:
    """Return requests and answers in every flavor, equal ones once."""
    found: dict[tuple[str, bytes], Heard] = {}
    for flavor in flavors():
        trader = Trader(flavor)
        trader.live()
        for one in trader.heard:
            found.setdefault((one.target, one.answer), one)
    return tuple(found.values())


@cache
def requests() -> tuple[dict[str, Any], ...]:
    """Return subscriptions that a socket of the default exchange understands."""
    market = default_market()
    identities = [{"ContractId": "0x" + "ab" * 32}, {"Address": "0x" + "cd" * 32}]
    depth = {"market_id": market, "precision": "10"}
    return (
        {"action": "subscribe_depth", **depth},
        {"action": "subscribe_depth_view", **depth, "frequency": "100ms"},
        {"action": "subscribe_trades", "market_id": market},
        *(
            {"action": f"subscribe_{kind}", "identities": identities}
            for kind in ("orders", "balances", "nonce")
        ),
        {"action": "unsubscribe_depth", "market_id": market},
        {"action": "unsubscribe_depth_view", "market_id": market},
        {"action": "unsubscribe_orders"},
        {"action": "unsubscribe_nonce", "identities": identities},
        *(
            entry["message"]
            for entry in DATA["samples"]["requests"]
            if isinstance(entry.get("message"), dict)
        ),
    )


def default_market() -> str:
    return Exchange(default_listings(), lambda: 0).markets.markets[0].market_id


@cache
def frames() -> tuple[dict[str, Any], ...]:
    """Return frames of the server: the recorded ones, and those of the exchange in every flavor."""
    found: dict[str, dict[str, Any]] = {}
    for group, entries in DATA["samples"].items():
        if group != "requests":
            found |= {
                str(one["message"]): one["message"] for one in entries if isinstance(one.get("message"), dict)
            }
    for flavor in flavors():
        exchange = Exchange(default_listings(), lambda: NOW * 1_000_000_000)
        market = exchange.markets.markets[0]
        funds = {market.base.asset: 10**30, market.quote.asset: 10**30}
        account = exchange.create_account("trader", funds)
        feeds = Feeds(exchange, flavor)
        feed, texts = feeds.open(), list[str]()
        own = [{"ContractId": account.trade_account_id}]
        for request in requests():
            asked = {**request, "identities": own} if "identities" in request else request
            if not asked["action"].startswith("un"):
                texts += feed.receive(json.dumps(asked), 0.0)
        for price, side in ((5, Side.BUY), (9, Side.SELL), (9, Side.BUY)):
            exchange.place(
                account,
                market.market_id,
                side,
                price=price * 10**market.quote.decimals,
                quantity=10**market.base.decimals,
                order_type=OrderType("Spot"),
            )
            for _, told in feeds.publish(exchange.seal()):
                texts += told
        texts += feed.receive('{"action":"unsubscribe_orders"}', 0.0)
        found |= {text: json.loads(text) for text in texts if text.startswith("{")}
    return tuple(found.values())
