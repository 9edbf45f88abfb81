"""What a repair reads over REST, and when it gives up; the whole of it is proven in ``tests/repair``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import DecodeError, InvalidRequest, Options, OrderNotFound, RequestFailed
from o2trio.models import (
    AccountInfo,
    Balance,
    Direction,
    Id,
    Identity,
    NotUnderstood,
    Order,
    Origin,
    Rows,
    Trade,
)
from o2trio.recovery import Recovery
from o2trio.streams import State, Topic, TopicKey
from o2trio.wire import AnyUpdate, Kind, decode
from tests.streams.world import (
    ASSET,
    MARKET,
    ORDERS,
    OTHER,
    TRADES,
    World,
    account,
    balances,
    drain,
    nonce,
    orders,
    origins,
    trades,
)

SECOND = Id("0x" + "d4" * 32)
MARKETS: Any = SimpleNamespace(
    markets=[
        SimpleNamespace(
            market_id=market_id, base=SimpleNamespace(asset=ASSET), quote=SimpleNamespace(asset=SECOND)
        )
        for market_id in (MARKET, OTHER)
    ]
)
OPTIONS = Options(jitter=lambda: 1.0, buffer_size=4)


def trade(number: int) -> Trade:
    body: Any = decode(trades(number)).body
    return body.trades[0]  # type: ignore[no-any-return]  # decoded just now


class Rest:
    """Answers from tables; fails as long as `failures` says so."""

    def __init__(self) -> None:
        self.nonces: dict[Id, int | None] = {}
        self.amounts: dict[tuple[Identity, Id], int] = {}
        self.trades_there: list[Trade] = []
        self.inclusive = False
        self.calls = self.failures = 0
        self.venues: set[bool] = set()
        self.known: dict[tuple[str, str], Order] = {}

    async def _read(self) -> None:
        self.calls += 1
        await trio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise RequestFailed("no answer")

    async def markets(self, *, turbo: bool = False) -> Any:
        assert not turbo
        await self._read()
        return MARKETS.markets

    async def order(self, market: Id, order_id: Id, *, turbo: bool = False) -> Order:
        await self._read()
        self.venues.add(turbo)
        if (market, order_id) not in self.known:
            raise OrderNotFound("there is none", status=404)
        return self.known[market, order_id]

    async def account(self, trade_account_id: Id) -> AccountInfo | None:
        await self._read()
        if trade_account_id not in self.nonces:
            return None
        return AccountInfo(trade_account_id=trade_account_id, nonce=self.nonces[trade_account_id])

    async def balance(self, identity: Identity, asset: Id) -> Balance:
        await self._read()
        return Balance(
            identity=identity,
            asset_id=asset,
            total_unlocked=self.amounts.get((identity, asset), 0),
            total_locked=0,
            trading_account_balance=0,
        )

    async def trades(
        self,
        market: Id,
        count: int,
        direction: Direction,
        after: Trade | None = None,
        *,
        turbo: bool = False,
    ) -> tuple[Trade, ...]:
        await self._read()
        self.venues.add(turbo)
        if direction is Direction.DESCENDING:
            return tuple(self.trades_there[-count:])
        there = self.trades_there
        start = 0 if after is None else there.index(after) + (not self.inclusive)
        return tuple(there[start : start + count])


def broken(kind: Kind, count: int = 1, **options: Any) -> tuple[World, Topic, Any]:
    """Return a topic that is under repair for the first time."""
    world = World(**{"buffer_size": 4, **options})
    key = (
        TRADES if kind is Kind.TRADES else TopicKey(kind, identities=tuple(map(account, range(1, count + 1))))
    )
    (box,) = world.live(key)
    world.receive(
        *{Kind.TRADES: [trades(1)], Kind.NONCE: [nonce(1, account(1)), nonce(2, account(2))]}.get(
            kind, [balances((account(1), 7), (account(2), 8))]
        )
    )
    drain(box)
    world.down()
    world.back()
    return world, world.topic(key), box


def recovery(rest: Rest, **options: Any) -> Recovery:
    told: Any = rest
    return Recovery(told, told.markets, Options(jitter=lambda: 1.0, **options))


async def repair(world: World, rest: Rest, topic: Topic) -> None:
    """Repair while the server answers heartbeats."""

    async def answer() -> None:
        while True:
            await trio.sleep(0.5)
            world.pump()
            world.pong()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await recovery(rest).repair(topic, 1)
        nursery.cancel_scope.cancel()


async def test_only_nonces_that_changed_are_told(autojump_clock: MockClock) -> None:
    world, topic, box = broken(Kind.NONCE, 4)
    rest = Rest()
    rest.nonces = {account(1).id: 1, account(2).id: 5, account(3).id: None}
    start = trio.current_time()
    await repair(world, rest, topic)
    assert trio.current_time() - start >= OPTIONS.indexer_lag
    assert [(u.contract_id, u.nonce, u.origin) for u in drain(box)] == [(account(2).id, 5, Origin.BACKFILL)]
    assert rest.calls == 4


async def test_a_trade_in_two_spellings_is_one_and_leaves_no_gap(autojump_clock: MockClock) -> None:
    """Stream ``0x00..ab``, REST ``00..AB``, then a break (seen: the trade twice, and a gap mark)."""
    streamed, read = "0x" + "00" * 31 + "ab", "00" * 31 + "AB"
    world = World()
    (box,) = world.live(TRADES)
    world.receive(trades(1).replace('"trade_id": "1"', f'"trade_id": "{streamed}"'))
    world.down()
    world.back()
    rest = Rest()
    rest.trades_there = [attrs.evolve(trade(1), trade_id=read), trade(2)]
    # REST goes on after the cursor by its own spelling; here it repeats the trade that the cursor names.
    page = tuple(rest.trades_there)

    async def whole(*_args: Any, **_options: Any) -> tuple[Trade, ...]:
        return page

    rest.trades = whole  # type: ignore[method-assign]
    topic = world.topic(TRADES)
    await repair(world, rest, topic)
    told = drain(box)
    assert [trade.trade_id for update in told for trade in update.trades] == [streamed, "2"]
    assert "gap" not in origins(told)
    assert topic.state is State.LIVE


async def test_rows_that_rest_could_not_read_are_delivered_once(autojump_clock: MockClock) -> None:
    world, topic, box = broken(Kind.TRADES)
    rest = Rest()
    odd = NotUnderstood(index=1, problem="missing at $.price", raw={"trade_id": "2"}, ids={"trade_id": "2"})

    async def whole(*_args: Any, **_options: Any) -> tuple[Trade, ...]:
        return Rows([trade(1), trade(3)], [odd])

    rest.trades = whole  # type: ignore[method-assign]
    await repair(world, rest, topic)
    (update,) = drain(box)
    assert [each.trade_id for each in update.trades] == ["3"]
    assert [entry.ids["trade_id"] for entry in update.not_understood] == ["2"]


async def test_trades_of_the_turbo_venue_are_read_there(autojump_clock: MockClock) -> None:
    key = attrs.evolve(TRADES, turbo=True)
    world, rest = World(), Rest()
    world.mailbox(key)
    world.up()
    world.pong()
    topic = world.topic(key)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recovery(rest).learn, topic, 0)
        await trio.sleep(1)
    assert rest.venues == {True}


def odd_orders(*numbers: int, market: str | None = MARKET) -> list[NotUnderstood]:
    more = {} if market is None else {"market_id": market}
    return [
        NotUnderstood(index=0, problem="odd", raw=n, ids={"order_id": f"0x{n:064x}", **more}) for n in numbers
    ]


async def look_up(world: World, rest: Rest, topic: Topic, entries: list[NotUnderstood]) -> None:
    async def answer() -> None:
        while True:
            await trio.sleep(0.5)
            world.pump()
            world.pong()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await recovery(rest).look_up(topic, topic.epoch, entries)
        nursery.cancel_scope.cancel()


async def test_an_order_that_was_not_understood_is_read_where_it_is(autojump_clock: MockClock) -> None:
    world, rest = World(), Rest()
    (box,) = world.live(ORDERS)
    topic = world.topic(ORDERS)
    assert topic.memory is not None
    found: Any = decode(orders(1, 2, filled=5)).body
    entries = odd_orders(1) + odd_orders(2, 3, market=None)
    topic.memory.unclear |= {entry.ids["order_id"]: entry for entry in entries}
    rest.known = {
        (market, order.order_id): order for market, order in zip((MARKET, OTHER), found.orders, strict=True)
    }
    rest.failures = 1
    start = trio.current_time()
    await look_up(world, rest, topic, entries)
    assert trio.current_time() - start >= OPTIONS.indexer_lag
    (update,) = drain(box)
    assert (update.origin, len(update.orders)) == (Origin.BACKFILL, 2)
    assert list(topic.memory.unclear) == [entries[2].ids["order_id"]], "REST does not know the third"


async def test_a_look_up_is_bounded_and_left_if_the_stream_lags(autojump_clock: MockClock) -> None:
    world, rest = World(), Rest()
    (box,) = world.live(ORDERS)
    topic = world.topic(ORDERS)
    rest.failures = 10**6
    start = trio.current_time()
    await recovery(rest).look_up(topic, 0, odd_orders(1))
    assert trio.current_time() - start == OPTIONS.indexer_lag + OPTIONS.repair_timeout
    found: Any = decode(orders(1)).body
    rest.failures = 0
    rest.known = {(MARKET, found.orders[0].order_id): found.orders[0]}
    await recovery(rest).look_up(topic, 0, odd_orders(1))
    assert drain(box) == []


@pytest.mark.parametrize("error", [DecodeError("odd", path="price", frame="{}"), RequestFailed("no answer")])
async def test_an_order_that_cannot_be_read_does_not_delay_the_others(
    autojump_clock: MockClock, error: Exception
) -> None:
    class OneFails(Rest):
        async def order(self, market: Id, order_id: Id, *, turbo: bool = False) -> Order:
            if order_id == odd_orders(1)[0].ids["order_id"]:
                await trio.lowlevel.checkpoint()
                raise error
            return await super().order(market, order_id, turbo=turbo)

    world, rest = World(), OneFails()
    (box,) = world.live(ORDERS)
    topic = world.topic(ORDERS)
    assert topic.memory is not None
    found: Any = decode(orders(2, filled=5)).body
    entries = odd_orders(1, 2)
    topic.memory.unclear |= {entry.ids["order_id"]: entry for entry in entries}
    rest.known = {(MARKET, found.orders[0].order_id): found.orders[0]}
    await look_up(world, rest, topic, entries)
    (update,) = drain(box)
    assert [order.order_id for order in update.orders] == [entries[1].ids["order_id"]]


@pytest.mark.parametrize("odd", ["markets", "balance"])
async def test_an_answer_that_stays_unreadable_is_left_out_soon(autojump_clock: MockClock, odd: str) -> None:
    class Odd(Rest):
        async def markets(self, *, turbo: bool = False) -> Any:
            if odd == "markets":
                await self._odd()
            return await super().markets(turbo=turbo)

        async def balance(self, identity: Identity, asset: Id) -> Balance:
            if odd == "balance" and asset == SECOND:
                await self._odd()
            return await super().balance(identity, asset)

        async def _odd(self) -> None:
            await trio.lowlevel.checkpoint()
            raise DecodeError("odd", path="price", frame="{}")

    world, topic, box = broken(Kind.BALANCES)
    rest = Odd()
    rest.amounts = {(account(1), ASSET): 9}
    start = trio.current_time()
    await repair(world, rest, topic)
    assert trio.current_time() - start < OPTIONS.repair_timeout
    told = drain(box)
    assert "gap" in origins(told)
    read = [balance.total_unlocked for update in told for balance in update.balance]
    assert read == ([] if odd == "markets" else [9])


async def test_only_balances_that_changed_are_told(autojump_clock: MockClock) -> None:
    world, topic, box = broken(Kind.BALANCES, 3)
    rest = Rest()
    rest.amounts = {(account(1), ASSET): 7, (account(2), ASSET): 9, (account(3), SECOND): 1}
    rest.failures = 3
    await repair(world, rest, topic)
    told = drain(box)
    # The trading account's part of the first two is 0 by now.
    assert {(b.identity, b.asset_id, b.total_unlocked) for u in told for b in u.balance} == {
        (account(1), ASSET, 7),
        (account(2), ASSET, 9),
        (account(3), SECOND, 1),
    }
    assert set(origins(told)) == {"backfill"}
    assert rest.calls == 1 + 3 * 2 + 3, "the list of markets, each account and asset once, and what failed"


async def test_a_state_that_cannot_be_read_is_a_gap(autojump_clock: MockClock) -> None:
    _, topic, box = broken(Kind.NONCE)
    rest = Rest()
    rest.failures = 10**6
    start = trio.current_time()
    await recovery(rest, repair_timeout=7.0).repair(topic, 1)
    assert trio.current_time() - start == 2 + 7
    (mark,) = drain(box)
    assert mark.gap.reason == "test; no answer in time: no answer"
    assert topic.state is State.LIVE


async def test_a_repair_that_is_out_of_date_reads_nothing(autojump_clock: MockClock) -> None:
    world, topic, _ = broken(Kind.NONCE)
    world.down()
    world.back()
    rest = Rest()
    await recovery(rest).repair(topic, 1)
    assert rest.calls == 0
    await recovery(rest).repair(topic, 2)
    assert topic.state is State.LIVE


async def test_trades_are_read_page_by_page_though_pages_repeat_the_cursor(autojump_clock: MockClock) -> None:
    for inclusive in (False, True):
        world, topic, box = broken(Kind.TRADES)
        rest = Rest()
        rest.trades_there = [trade(number) for number in range(200)]
        rest.inclusive = inclusive
        world.receive(trades(150))
        await recovery(rest).repair(topic, 1)
        told = drain(box)
        assert [int(t.trade_id) for u in told for t in u.trades] == list(range(2, told_last(told) + 1))
        assert told_last(told) >= 150


def told_last(told: list[Any]) -> int:
    return int(told[-1].trades[-1].trade_id)


async def test_trades_that_rest_does_not_show_in_time_are_a_gap(autojump_clock: MockClock) -> None:
    world, topic, box = broken(Kind.TRADES)
    rest = Rest()
    rest.trades_there = [trade(1), trade(2)]
    world.receive(trades(9))
    await recovery(rest, repair_timeout=7.0).repair(topic, 1)
    read, mark, live = drain(box)
    assert origins([read, mark, live]) == ["backfill", "gap", "live"]
    assert (mark.gap.after, mark.gap.before) == ("2", "9")
    assert "lags behind the stream" in mark.gap.reason


async def test_a_list_that_repeats_itself_is_given_up(autojump_clock: MockClock) -> None:
    world, topic, box = broken(Kind.TRADES)

    class Stuck(Rest):
        async def trades(self, *_args: Any, **_options: Any) -> tuple[Trade, ...]:
            await self._read()
            return tuple(trade(number) for number in range(2, 52))

    rest = Stuck()
    world.receive(trades(99))
    await recovery(rest, repair_timeout=7.0).repair(topic, 1)
    assert origins(drain(box)) == ["backfill", "gap", "live"]


async def test_a_repair_ends_when_the_topic_does_not_want_it_any_more(autojump_clock: MockClock) -> None:
    world, topic, box = broken(Kind.TRADES)
    rest = Rest()
    rest.trades_there = [trade(number) for number in range(200)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recovery(rest).repair, topic, 1)
        await trio.sleep(2)
        world.hub.detach(box)
    assert rest.calls <= 1


async def test_the_beginning_is_learned_once(autojump_clock: MockClock) -> None:
    world = World(buffer_size=4)
    (box,) = world.live(TRADES)
    topic = world.topic(TRADES)
    assert world.host.learning == [topic]
    rest = Rest()
    rest.trades_there = [trade(1), trade(2)]
    await recovery(rest).learn(topic, 0)
    assert topic.ledger is not None
    assert not topic.ledger.is_anchored, "trades up to this one may still be on their way"
    world.pump()
    world.pong()
    assert topic.ledger.last == trade(2)
    # It may still be on its way, and is no repetition then.
    world.receive(trades(2))
    assert len(drain(box)) == 1
    rest.failures = 10**6
    await recovery(rest, repair_timeout=7.0).learn(topic, 0)
    assert drain(box) == []


async def test_a_beginning_that_comes_too_late_is_asked_for_again(autojump_clock: MockClock) -> None:
    world = World(buffer_size=4)
    (box,) = world.live(TRADES)
    topic = world.topic(TRADES)
    world.down()
    await recovery(Rest()).learn(topic, 0)
    assert topic.ledger is not None
    assert not topic.ledger.is_anchored
    world.back()
    topic.repaired(1, [], problem="it is not known")
    assert world.host.learning == [topic, topic], "the next break shall be healed"
    assert origins(drain(box)) == ["gap"]


# -- bounds ----------------------------------------------------------------------------------------


async def test_trades_that_never_end_are_read_for_a_limited_time(autojump_clock: MockClock) -> None:
    """Each page brings new trades, so there is progress; none meets the live one."""

    class Endless(Rest):
        async def trades(self, *_args: Any, **_options: Any) -> tuple[Trade, ...]:
            await self._read()
            await trio.sleep(1.0)
            self.next += 50
            return tuple(trade(number) for number in range(self.next, self.next + 50))

        next = 1000

    world, topic, box = broken(Kind.TRADES, buffer_size=1000)
    world.receive(trades(9))
    # The host of this world has a clock of its own.
    world.host.now = trio.current_time  # type: ignore[method-assign]
    await recovery(Endless(), repair_timeout=7.0, backfill_timeout=60.0).repair(topic, 1)
    assert trio.current_time() == 2 + 60
    told = drain(box)
    assert origins(told[-2:]) == ["gap", "live"]
    assert "more to read than time" in told[-2].gap.reason
    assert len(told) > 50


async def test_a_page_that_hangs_is_given_up(autojump_clock: MockClock) -> None:
    class Hanging(Rest):
        async def trades(self, *_args: Any, **_options: Any) -> tuple[Trade, ...]:
            await trio.sleep_forever()
            raise AssertionError

    _, topic, box = broken(Kind.TRADES)
    await recovery(Hanging(), repair_timeout=7.0).repair(topic, 1)
    assert trio.current_time() == 2 + 7
    (mark,) = drain(box)
    assert mark.gap.reason == "test; no answer in time"


async def test_a_wrong_question_is_not_repeated(autojump_clock: MockClock) -> None:
    class Wrong(Rest):
        async def trades(self, *_args: Any, **_options: Any) -> tuple[Trade, ...]:
            await self._read()
            raise InvalidRequest("not like that")

        async def balance(self, identity: Identity, asset: Id) -> Balance:
            if asset == SECOND:
                await self._read()
                raise InvalidRequest("not this one")
            return await super().balance(identity, asset)

    _, topic, box = broken(Kind.TRADES)
    rest = Wrong()
    await recovery(rest).repair(topic, 1)
    assert rest.calls == 1
    assert "not like that" in drain(box)[0].gap.reason
    world, topic, box = broken(Kind.BALANCES)
    rest.amounts = {(account(1), ASSET): 9}
    await repair(world, rest, topic)
    mark, read = drain(box)
    # What cannot be read costs itself only.
    assert mark.gap.reason == f"test; {SECOND} of {account(1)}: not this one"
    assert read.balance[0].total_unlocked == 9


async def test_at_most_so_many_reads_of_one_client_are_under_way(autojump_clock: MockClock) -> None:
    class Busy(Rest):
        most = now = 0

        async def _read(self) -> None:
            self.now += 1
            self.most = max(self.most, self.now)
            await trio.sleep(1.0)
            self.now -= 1

    one, other = broken(Kind.BALANCES, 10), broken(Kind.NONCE, 10)
    rest = Busy()
    reader = recovery(rest, repair_concurrency=4)
    with trio.move_on_after(15):
        async with trio.open_nursery() as nursery:
            for _, topic, _ in (one, other):
                nursery.start_soon(reader.repair, topic, 1)
    assert rest.most == 4


async def test_an_error_of_ours_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    class Broken(Rest):
        async def account(self, trade_account_id: Id) -> AccountInfo | None:
            await self._read()
            raise ZeroDivisionError

    _, topic, _ = broken(Kind.NONCE, 10)
    with pytest.raises(ZeroDivisionError):
        await recovery(Broken()).repair(topic, 1)


async def test_rows_of_trades_that_were_not_understood_are_handed_on_once(autojump_clock: MockClock) -> None:
    row = NotUnderstood(index=1, problem="missing at $.price", raw={"trade_id": "x"}, ids={"trade_id": "x"})

    class Odd(Rest):
        async def trades(self, *args: Any, **options: Any) -> tuple[Trade, ...]:
            return Rows(await super().trades(*args, **options), [row])

    world, topic, box = broken(Kind.TRADES)
    rest = Odd()
    rest.trades_there = [trade(number) for number in range(1, 60)]
    world.receive(trades(59))
    await recovery(rest).repair(topic, 1)
    told = drain(box)
    assert [u.not_understood for u in told if u.not_understood] == [(row,)]
    assert told_last(told) == 59
    world, box, lag = catching_up()
    taken = drain(box)
    rest.trades_there = [trade(number) for number in range(1, 9)]
    await recovery(rest).catch_up(world.topic(TRADES), box, lag)
    taken += drain(box)
    assert [u.not_understood for u in taken if u.not_understood] == [(row,)]
    assert [int(t.trade_id) for u in taken for t in u.trades] == list(range(1, 9))


async def test_the_pauses_of_a_slow_consumer_are_its_own(autojump_clock: MockClock) -> None:
    """It takes an hour until it has room; the first page then does not bring what was missed yet."""
    world, box, lag = catching_up()
    rest = Rest()
    rest.trades_there = [trade(number) for number in range(1, 5)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recovery(rest, repair_timeout=7.0).catch_up, world.topic(TRADES), box, lag)
        await trio.sleep(3600)
        told = drain(box)
        await trio.sleep(3)
        rest.trades_there = [trade(number) for number in range(1, 9)]
    told += drain(box)
    assert [int(t.trade_id) for u in told for t in u.trades] == list(range(1, 9))
    assert "gap" not in origins(told)


def catching_up() -> tuple[World, Any, Any]:
    world = World(buffer_size=4)
    (box,) = world.live(TRADES)
    world.receive(*[trades(number) for number in range(1, 9)])
    return world, box, world.host.lags[0][1]


async def test_a_slow_consumer_is_given_pages_as_it_has_room(autojump_clock: MockClock) -> None:
    world, box, lag = catching_up()
    rest = Rest()
    rest.trades_there = [trade(number) for number in range(1, 9)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recovery(rest).catch_up, world.topic(TRADES), box, lag)
        await trio.sleep(100)
        assert rest.calls == 0
        told = drain(box)
        await trio.sleep(1)
    told += drain(box)
    assert [int(t.trade_id) for u in told for t in u.trades] == list(range(1, 9))


async def test_a_slow_consumer_without_rest_is_told_the_gap(autojump_clock: MockClock) -> None:
    world, box, lag = catching_up()
    rest = Rest()
    rest.failures = 10**6
    told: list[AnyUpdate] = drain(box)
    await recovery(rest, repair_timeout=7.0).catch_up(world.topic(TRADES), box, lag)
    told += drain(box)
    assert origins(told) == ["live"] * 4 + ["gap"] + ["live"] * 4


async def test_a_slow_consumer_that_leaves_is_given_nothing_more(autojump_clock: MockClock) -> None:
    world, box, lag = catching_up()
    rest = Rest()
    rest.trades_there = [trade(number) for number in range(1, 9)]
    world.hub.detach(box)
    box.clear()
    topic: Any = SimpleNamespace(key=TRADES)
    await recovery(rest).catch_up(topic, box, lag)
    assert not box.ready
