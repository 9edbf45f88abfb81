"""Accounts and orders: no unit of money is lost, every rule refuses, every block tells what changed."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio.models import Id, OrderType, Side, Trade
from o2trio.simulator import Account, BookOrder, Exchange, Revert, default_listings
from o2trio.simulator import _exchange as exchange_module
from o2trio.simulator import _flow as flow_module
from o2trio.simulator import _history as history_module
from o2trio.simulator._flow import Flow
from o2trio.simulator._history import RESOLUTIONS, TradeHistory, page
from o2trio.simulator._rules import quantum

_SPOT = OrderType("Spot")
_KINDS = [
    _SPOT,
    *map(OrderType, ("PostOnly", "FillOrKill", "Market")),
    OrderType("Limit", price=1, timestamp=2),
]


def _new(exchange: Exchange, name: str, amount: int = 10**18) -> Account:
    assets = {asset.asset for market in exchange.markets.markets for asset in (market.base, market.quote)}
    return exchange.create_account(name, dict.fromkeys(assets, amount))


def _place(
    exchange: Exchange, account: Account, side: Side, price: int, quantity: int, kind: OrderType = _SPOT
) -> BookOrder:
    return exchange.place(
        account, exchange.markets.markets[0].market_id, side, price=price, quantity=quantity, order_type=kind
    )


_ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([*Side, "cancel", "settle"]),
        st.integers(2500, 2520),
        st.integers(1, 40),
        st.sampled_from([*_KINDS, OrderType("BoundedMarket", max_price=25_300, min_price=24_900)]),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(actions=_ACTIONS)
def test_money_is_neither_made_nor_lost(
    actions: list[tuple[int, Side | str, int, int, OrderType, int]],
) -> None:
    listings = default_listings()
    exchange = Exchange(listings, lambda: 0)
    accounts = [_new(exchange, name, 10**14) for name in ("one", "two")]
    for who, what, ticks, lots, kind, which in actions:
        market = exchange.markets.markets[which]
        account = accounts[who]
        price = listings[which].reference_price // market.price_step + ticks - 2510
        price *= market.price_step
        nonce = account.nonce
        try:
            if isinstance(what, Side):
                step = quantum(market, price)
                least = -(-market.min_order * 10**market.base.decimals // price)
                quantity = -(-least // step) * step * lots
                bounded = OrderType("BoundedMarket", max_price=price + market.price_step, min_price=price)
                its_kind = bounded if kind.name == "BoundedMarket" else kind
                exchange.place(
                    account, market.market_id, what, price=price, quantity=quantity, order_type=its_kind
                )
            elif what == "settle":
                exchange.settle(account, market.market_id)
            else:
                orders = exchange.open_orders(market.market_id)
                exchange.cancel(account, orders[ticks % len(orders)].order_id if orders else market.market_id)
        except Revert:
            pass
        assert account.nonce == nonce + 1
        _check(exchange)


def _check(exchange: Exchange) -> None:
    for asset in exchange.deposits:
        assert exchange.supply(asset) == exchange.deposits[asset]
    for account in exchange.accounts.values():
        for asset in account.assets():
            balance = account.balance(asset)
            assert min(balance.total_locked, balance.total_unlocked, balance.trading_account_balance) >= 0
            assert all(min(book.locked, book.unlocked) >= 0 for book in balance.order_books.values())
    for market in exchange.markets.markets:
        book = exchange.book(market.market_id)
        if book.bids and book.asks:
            assert book.bids[0].price < book.asks[0].price
        for side, asset in ((Side.BUY, market.quote.asset), (Side.SELL, market.base.asset)):
            escrow = sum(
                order.escrow for order in exchange.open_orders(market.market_id) if order.side is side
            )
            locked = sum(
                account.balance(asset).order_books[market.contract_id].locked
                for account in exchange.accounts.values()
                if market.contract_id in account.balance(asset).order_books
            )
            assert escrow == locked


@pytest.mark.parametrize(
    ("price", "quantity", "kind", "variant"),
    [
        (25_100, 0, _SPOT, "InvalidOrderArgs"),
        (0, 10**12, _SPOT, "InvalidOrderArgs"),
        (25_100, 2**64, _SPOT, "InvalidOrderArgs"),
        (25_100, 10**12, OrderType("Iceberg"), "InvalidOrderArgs"),
        (25_101, 10**12, _SPOT, "PricePrecision"),
        (25_100, 10**12 + 1, _SPOT, "FractionalPrice"),
        (25_100, 10**9, _SPOT, "InvalidInputAmount"),
        (25_200, 10**12, OrderType("PostOnly"), "OrderPartiallyFilled"),
        (25_200, 10**13, OrderType("FillOrKill"), "OrderNotFilled"),
        (
            25_100,
            10**12,
            OrderType("BoundedMarket", max_price=25_000, min_price=24_000),
            "InvalidMarketOrderArgs",
        ),
        (25_100, 10**12, OrderType("BoundedMarket"), "InvalidMarketOrderArgs"),
        (25_100, 4 * 10**18, _SPOT, "NotEnoughBalance"),
    ],
)
def test_refuses_and_changes_nothing_but_the_nonce(
    exchange: Exchange, price: int, quantity: int, kind: OrderType, variant: str
) -> None:
    seller, buyer = _new(exchange, "seller"), _new(exchange, "buyer", 10**12)
    _place(exchange, seller, Side.SELL, 25_200, 10**12)
    exchange.seal()
    with pytest.raises(Revert) as caught:
        _place(exchange, buyer, Side.BUY, price, quantity, kind)
    assert caught.value.variant == variant
    block = exchange.seal()
    assert [account.name for account in block.nonces] == ["buyer"]
    assert [*block.trades, *block.levels, *block.orders, *block.balances] == []


def test_the_price_window_counts_from_the_last_trade(exchange: Exchange) -> None:
    market = exchange.markets.markets[1]
    assert market.price_window == 50
    one, other = _new(exchange, "one"), _new(exchange, "other")
    price, quantity = 2_500_000_000, 10**9
    far = price * 2
    order = exchange.place(one, market.market_id, Side.SELL, price=far, quantity=quantity, order_type=_SPOT)
    exchange.cancel(one, order.order_id)
    exchange.place(one, market.market_id, Side.SELL, price=price, quantity=quantity, order_type=_SPOT)
    exchange.place(other, market.market_id, Side.BUY, price=price, quantity=quantity, order_type=_SPOT)
    with pytest.raises(Revert, match="PriceExceedsRange"):
        exchange.place(one, market.market_id, Side.SELL, price=far, quantity=quantity, order_type=_SPOT)


def test_a_trade_moves_money_and_takes_the_takers_fee(exchange: Exchange) -> None:
    market = exchange.markets.markets[0]
    seller, buyer = _new(exchange, "seller"), _new(exchange, "buyer")
    _place(exchange, seller, Side.SELL, 25_000, 10**12)
    exchange.seal()
    order = _place(exchange, buyer, Side.BUY, 25_100, 10**12)
    block = exchange.seal()
    (trade,) = block.trades[market.market_id]
    assert (trade.side, trade.price, trade.total) == (Side.SELL, 25_000, 25_000_000)
    assert (trade.maker_fee, trade.taker_fee) == (0, 10**12 * market.taker_fee // 10**6)
    assert (
        trade.trade_id
        == f"{exchange.orders_of(seller.trade_account_id, market.market_id)[0].order_id}/{order.order_id}"
    )
    bought = buyer.balance(market.base.asset)
    assert bought.order_books[market.contract_id].unlocked == 10**12 - (trade.taker_fee or 0)
    # The buyer offered 25_100, so 100 per unit come back, unlocked in the book.
    spent = buyer.balance(market.quote.asset)
    assert spent.order_books[market.contract_id].unlocked == 100_000
    assert spent.total == 10**18 - 25_000_000
    assert seller.balance(market.quote.asset).total == 10**18 + 25_000_000
    assert order.close
    assert not order.cancel
    exchange.settle(buyer, market.market_id)
    assert buyer.balance(market.base.asset).trading_account_balance == bought.total_unlocked


def test_dust_does_not_rest(exchange: Exchange) -> None:
    market = exchange.markets.markets[0]
    maker, taker = _new(exchange, "maker"), _new(exchange, "taker")
    resting = _place(exchange, maker, Side.SELL, 25_000, 10**12)
    dust = market.dust * 10**9 // 25_000 // 2
    dust -= dust % quantum(market, 25_000)
    _place(exchange, taker, Side.BUY, 25_000, 10**12 - dust)
    assert resting.remaining == dust
    assert resting.close
    assert not resting.cancel
    assert exchange.book(market.market_id).asks == ()
    assert sum(change.change for change in exchange.seal().levels.get(market.market_id, ())) == 0
    assert maker.balance(market.base.asset).total_locked == 0


@pytest.mark.parametrize("kind", ["Market", "FillOrKill"])
def test_what_never_rests_is_closed(exchange: Exchange, kind: str) -> None:
    maker, taker = _new(exchange, "maker"), _new(exchange, "taker")
    _place(exchange, maker, Side.SELL, 25_000, 10**12)
    wanted = 2 * 10**12 if kind == "Market" else 10**12
    order = _place(exchange, taker, Side.BUY, 25_000, wanted, OrderType(kind))
    assert order.close
    assert order.filled == 10**12
    assert exchange.book(order.market_id).bids == ()


def test_only_the_owner_cancels_and_only_once(exchange: Exchange) -> None:
    one, other = _new(exchange, "one"), _new(exchange, "other")
    order = _place(exchange, one, Side.BUY, 25_000, 10**12)
    with pytest.raises(Revert, match="NotOrderOwner"):
        exchange.cancel(other, order.order_id)
    assert not order.close
    exchange.cancel(one, order.order_id)
    with pytest.raises(Revert, match="NotOrderOwner"):
        exchange.cancel(one, order.order_id)
    assert order.cancel
    assert one.balance(exchange.markets.markets[0].quote.asset).total_locked == 0


def test_a_block_names_each_change_once(exchange: Exchange) -> None:
    maker, taker = _new(exchange, "maker"), _new(exchange, "taker")
    exchange.seal()
    for _ in range(3):
        _place(exchange, maker, Side.SELL, 25_000, 10**12)
    _place(exchange, taker, Side.BUY, 25_000, 3 * 10**12)
    block = exchange.seal()
    assert len(block.orders) == 4
    assert len({order.order_id for order in block.orders}) == 4
    assert len(block.balances) == 4
    assert len(set(block.balances)) == 4
    assert [account.nonce for account in block.nonces] == [3, 1]
    assert len(block.trades[block.orders[0].market_id]) == 3
    assert block.levels == {}
    assert exchange.seal().is_empty


def test_forgets_the_oldest_closed_orders_only(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "ORDERS_KEPT", 2)
    account = _new(exchange, "one")
    resting = _place(exchange, account, Side.BUY, 24_000, 10**12)
    closed = []
    for _ in range(4):
        order = _place(exchange, account, Side.BUY, 25_000, 10**12)
        closed.append(exchange.cancel(account, order.order_id).order_id)
    assert list(exchange.orders) == [resting.order_id, *closed[2:]]
    kept = exchange.orders_of(account.trade_account_id, resting.market_id)
    assert [order.order_id for order in kept] == [resting.order_id, *closed[2:]]


def _flowing(seed: int, steps: int, rate: float = 8.0) -> tuple[Exchange, list[object]]:
    now = [0]
    listings = default_listings()
    exchange = Exchange(listings, lambda: now[0])
    flow = Flow(exchange, listings, rate=rate, seed=seed)
    flow.open_books()
    log: list[object] = []
    for _ in range(steps):
        now[0] += int(flow.delay() * 1e9)
        flow.step()
        block = exchange.seal()
        log.append((block.levels, block.trades))
        for market in exchange.markets.markets:
            for side in Side:
                assert 12 <= exchange.matching(market.market_id).depth(side) <= 42
    log.append(now[0])
    return exchange, log


def test_the_same_seed_gives_the_same_flow() -> None:
    _, one = _flowing(7, 300)
    _, again = _flowing(7, 300)
    _, other = _flowing(8, 300)
    assert one == again
    assert one != other


def test_the_flow_works_around_somebody_elses_orders() -> None:
    listings = default_listings()
    exchange = Exchange(listings, lambda: 0)
    flow = Flow(exchange, listings, rate=8, seed=7)
    flow.open_books()
    whale = _new(exchange, "whale", 10**21)
    high, low, size = 26_000, 24_000, 10**15
    for side, price in ((Side.BUY, high), (Side.SELL, low)):  # sweeps each side, and stays in the way
        _place(exchange, whale, side, price, size)
    for number in range(60):
        _place(exchange, whale, Side.BUY, 20_000 + 10 * number, 10**12)
    for _ in range(5000):
        flow.step()
    book = exchange.book(exchange.markets.markets[0].market_id)
    assert len(book.asks) >= 12
    assert abs(book.asks[0].price - book.bids[0].price) < 500


def test_the_flow_thins_out_a_book_that_is_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    listings = default_listings()
    exchange = Exchange(listings, lambda: 0)
    flow = Flow(exchange, listings, rate=8, seed=7)
    flow.open_books()
    monkeypatch.setattr(flow_module, "_LEVELS_MAX", 18)
    for _ in range(500):
        flow.step()
    assert all(
        exchange.matching(market.market_id).depth(side) <= 19
        for market in exchange.markets.markets
        for side in Side
    )


def test_the_flow_settles_when_it_runs_out_of_money(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_module, "_FUNDS", 300_000)
    listings = default_listings()
    exchange = Exchange(listings, lambda: 0)
    flow = Flow(exchange, listings, rate=8, seed=7)
    flow.open_books()
    settled: list[str] = []
    settle = exchange.settle

    def watch(account: Account, market_id: Id) -> None:
        settled.append(account.name)
        settle(account, market_id)

    monkeypatch.setattr(exchange, "settle", watch)
    for _ in range(2000):
        flow.step()
    assert settled
    _check(exchange)


def test_keeps_a_bounded_number_of_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "TRADES_KEPT", 10)
    history = TradeHistory()
    for moment in range(95):
        history.add(Trade(trade_id=str(moment), side=Side.BUY, price=1, quantity=5, timestamp=moment))
        assert len(history.trades) <= 20
    assert [trade.timestamp for trade in history.trades][-10:] == list(range(85, 95))


def test_the_flow_keeps_every_market_alive() -> None:
    exchange, log = _flowing(7, 3000)
    _check(exchange)
    elapsed = log[-1]
    assert isinstance(elapsed, int)
    assert 100e9 < elapsed < 150e9  # 3000 events at 24 a second
    for market in exchange.markets.markets:
        trades = exchange.trades(market.market_id)
        assert len(trades) > 100
        assert {trade.side for trade in trades} == set(Side)
        assert len({trade.price for trade in trades}) > 5


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 10**9)), min_size=1),
    st.sampled_from([*RESOLUTIONS]),
)
def test_bars_cover_every_trade_once(trades: list[tuple[int, int]], resolution: str) -> None:
    history, span, moment = TradeHistory(), RESOLUTIONS[resolution], 0
    template = Trade(trade_id="1", side=Side.BUY, price=1, quantity=5, timestamp=0)
    for gap, price in trades:
        moment += gap * span // 7
        history.add(attrs.evolve(template, timestamp=moment, price=price))
    bars = history.bars(span, 0, moment + 1)
    assert sum(bar.buy_volume + bar.sell_volume for bar in bars) == template.quantity * len(trades)
    assert all(bar.timestamp % span == 0 for bar in bars)
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert bars[-1].close == trades[-1][1]


@given(
    st.lists(st.integers(0, 5), max_size=30),
    st.integers(1, 7),
    st.booleans(),
    st.booleans(),
)
def test_pages_lead_through_everything_once(
    gaps: list[int], count: int, newest_first: bool, inclusive: bool
) -> None:
    moment, items = 0, []
    for number, gap in enumerate(gaps):
        moment += gap // 3  # many share a moment
        items.append((moment, str(number)))
    count += inclusive  # a page of one that repeats its cursor leads nowhere
    found: list[tuple[int, str]] = []
    cursor: tuple[int, str] | None = None
    for _ in range(len(items) + 2):
        got = page(
            items, count, key=lambda item: item, newest_first=newest_first, cursor=cursor, inclusive=inclusive
        )
        new = [item for item in got if not (inclusive and item == cursor)]
        if not new:
            break
        found += new
        cursor = found[-1]
    assert found == (items[::-1] if newest_first else items)
