"""The order book against a model that is too simple to be wrong."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio import BookInconsistent, InvalidRequest
from o2trio.models import DepthChanges, DepthUpdate, Level, Origin, Side
from o2trio.streams import DepthBook
from o2trio.streams._book import ReadOnlyBook
from o2trio.wire import decode
from tests.streams.world import MARKET

RANDOM_UPDATES = int(os.environ.get("O2TRIO_BOOK_UPDATES", "30000"))
"""How many random updates the long test applies; for the million set this variable."""

Model = tuple[dict[int, int], dict[int, int]]

levels = st.lists(st.builds(Level, st.integers(1, 12), st.integers(-3, 4)), max_size=6)
updates = st.lists(st.tuples(st.booleans(), levels, levels), max_size=25)


def update(bids: Any, asks: Any = (), *, whole: bool = False) -> DepthUpdate:
    def read(side: Any) -> tuple[Level, ...]:
        return tuple(entry if isinstance(entry, Level) else Level(*entry) for entry in side)

    origin = Origin.SNAPSHOT if whole else Origin.LIVE
    return DepthUpdate(market_id=MARKET, changes=DepthChanges(read(bids), read(asks)), origin=origin)


def model_apply(model: Model, message: DepthUpdate) -> Model | None:
    """Return the book after `message`, or None if it does not fit."""
    sides: list[dict[int, int]] = []
    for before, told in zip(model, (message.changes.bids, message.changes.asks), strict=True):
        side: dict[int, int] = {} if message.is_snapshot else dict(before)
        for level in told:
            if message.is_snapshot and level.quantity < 0:
                return None
            side[level.price] = side.get(level.price, 0) + level.quantity
        if any(size < 0 for size in side.values()):
            return None
        sides.append({price: size for price, size in side.items() if size})
    bids, asks = sides
    if is_crossed((bids, asks)) and not (message.is_snapshot or is_crossed(model)):
        return None
    return bids, asks


def is_crossed(model: Model) -> bool:
    bids, asks = model
    return bool(bids and asks and max(bids) > min(asks))


def check(book: DepthBook, model: Model) -> None:
    bids = tuple(Level(price, model[0][price]) for price in sorted(model[0], reverse=True))
    asks = tuple(Level(price, model[1][price]) for price in sorted(model[1]))
    assert (book.bids, book.asks) == (bids, asks)
    assert book.changes() == DepthChanges(bids, asks)
    assert book.best_bid == (bids[0] if bids else None)
    assert book.best_ask == (asks[0] if asks else None)
    assert book.levels(Side.BUY, 2) == bids[:2]
    assert book.levels(Side.SELL) == asks
    assert len(book) == len(bids) + len(asks)
    assert book.is_crossed is is_crossed(model)
    whole = bool(bids and asks)
    assert book.spread == (asks[0].price - bids[0].price if whole else None)
    assert book.mid == (Fraction(asks[0].price + bids[0].price, 2) if whole else None)
    for price in (1, 5, 12):
        assert book.volume_to(Side.BUY, price) == sum(size for at, size in model[0].items() if at >= price)
        assert book.volume_to(Side.SELL, price) == sum(size for at, size in model[1].items() if at <= price)
    for side, told in ((Side.BUY, bids), (Side.SELL, asks)):
        units = [level.price for level in told for _ in range(level.quantity)] if len(told) < 20 else []
        for quantity in range(1, min(len(units), 8) + 1):
            assert book.vwap(side, quantity) == Fraction(sum(units[:quantity]), quantity)
        if len(told) < 20:
            assert book.vwap(side, len(units) + 1) is None


@given(updates)
def test_the_book_is_the_model(messages: list[tuple[bool, list[Level], list[Level]]]) -> None:
    book, model = DepthBook(), ({}, {})  # type: DepthBook, Model
    for whole, bids, asks in messages:
        message = update(bids, asks, whole=whole)
        after = model_apply(model, message)
        if after is None:
            with pytest.raises(BookInconsistent):
                book.apply(message)
        else:
            book.apply(message)
            model = after
        check(book, model)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (update([(10, -6)]), "size at price 10 would become -1"),
        (update([(9, 1), (10, 1)], [(30, -1)]), "size at price 30 would become -1"),
        (update([(21, 1)]), "crossed: bid 21 above ask 20"),
        (update([(10, -5), (9, 2)], [(8, 1), (20, -5)]), "crossed: bid 9 above ask 8"),
        (update([(10, -1)], whole=True), "a snapshot has the size -1 at price 10"),
        (update([(9, 1)], [(20, 2), (20, -1)], whole=True), "a snapshot has the size -1 at price 20"),
    ],
)
def test_what_does_not_fit_changes_nothing(bad: DepthUpdate, words: str) -> None:
    book = DepthBook()
    book.apply(update([(10, 5)], [(20, 5)], whole=True))
    with pytest.raises(BookInconsistent, match=words):
        book.apply(bad)
    check(book, ({10: 5}, {20: 5}))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("wrong", [(11, None), (11, "2"), (None, 2), ("11", 2), ([], 2)])
def test_a_level_of_something_else_than_integers_changes_nothing(side: int, wrong: tuple[Any, Any]) -> None:
    book = DepthBook()
    book.apply(update([(10, 5)], [(20, 5)], whole=True))
    changes = [[(10, -5), (9, 1)], [(20, -5), (21, 1)]]
    changes[side].append(wrong)
    with pytest.raises((BookInconsistent, TypeError)):
        book.apply(update(*changes))
    check(book, ({10: 5}, {20: 5}))


def test_an_empty_level_of_a_snapshot_is_none() -> None:
    """Seen: the stream ended after five tries, as every fresh snapshot had one too."""
    book = DepthBook()
    book.apply(update([(10, 1), (9, 0)], [(20, 0), (21, 3)], whole=True))
    check(book, ({10: 1}, {21: 3}))


def test_a_price_that_a_snapshot_names_twice_has_the_sum_of_its_sizes() -> None:
    book = DepthBook()
    book.apply(update([(10, 1), (9, 4), (10, 2)], [(20, 0), (20, 5)], whole=True))
    check(book, ({10: 3, 9: 4}, {20: 5}))


def test_a_snapshot_that_is_crossed_is_taken_and_marked() -> None:
    """Prices that are grouped coarsely may cross; the next snapshot would be crossed as well."""
    book, crossed = DepthBook(), update([(10, 1), (9, 4)], [(9, 2), (20, 5)], whole=True)
    book.apply(crossed)
    assert crossed.is_crossed
    assert book.is_crossed
    assert book.read_only().is_crossed
    assert book.spread == -1
    # Changes apply while it stays crossed, and as it becomes uncrossed.
    book.apply(update([(11, 1)], [(9, 1)]))
    check(book, ({11: 1, 10: 1, 9: 4}, {9: 3, 20: 5}))
    with pytest.raises(BookInconsistent, match="size at price 9 would become -1"):
        book.apply(update([(11, 1)], [(9, -4)]))
    check(book, ({11: 1, 10: 1, 9: 4}, {9: 3, 20: 5}))
    book.apply(update([], [(9, -3)]))
    assert not book.is_crossed
    with pytest.raises(BookInconsistent, match="crossed: bid 11 above ask 9"):
        book.apply(update([], [(9, 1)]))
    check(book, ({11: 1, 10: 1, 9: 4}, {20: 5}))


@pytest.mark.parametrize(
    ("told", "is_crossed"),
    [
        (update([(10, 1)], [(9, 1)], whole=True), True),
        (update([(10, 1)], [(10, 1)], whole=True), False),
        (update([(10, 1)], whole=True), False),
        (update([], [(9, 1)], whole=True), False),
        (update([(10, 1)], [(9, 1)]), False),
    ],
)
def test_only_a_snapshot_is_crossed(told: DepthUpdate, is_crossed: bool) -> None:
    assert told.is_crossed is is_crossed


def test_differences_of_one_price_add_up_within_a_message() -> None:
    # Two fine prices may fall into one coarse bucket; the order in which they are named means nothing.
    book = DepthBook()
    book.apply(update([(10, 5)], whole=True))
    book.apply(update([(10, -7), (10, 3)]))
    check(book, ({10: 1}, {}))


def test_a_bid_may_meet_an_ask_at_one_price() -> None:
    book = DepthBook()
    book.apply(update([(10, 5)], [(10, 5)], whole=True))
    book.apply(update([(10, 1)]))
    check(book, ({10: 6}, {10: 5}))


def test_the_sample_frames_give_the_book_that_they_promise(load_data: Callable[[str], Any]) -> None:
    samples = load_data("wire_samples")["samples"]
    start = decode(json.dumps(samples["depth_snapshot"][0]["message"])).body
    assert isinstance(start, DepthUpdate)
    told = 0
    for sample in samples["depth_update"]:
        promised = sample.get("expect", {}).get("after_first_snapshot")
        if promised is None:
            continue
        told += 1
        book = DepthBook()
        book.apply(start)
        message = decode(json.dumps(sample["message"])).body
        assert isinstance(message, DepthUpdate)
        if isinstance(promised, str):
            with pytest.raises(BookInconsistent):
                book.apply(message)
            continue
        book.apply(message)
        found = {f"bid {level.price}": str(level.quantity) for level in book.bids}
        found |= {f"ask {level.price}": str(level.quantity) for level in book.asks}
        assert {name: found.get(name, "gone") for name in promised} == promised
    assert told >= 4


def test_an_average_is_exact() -> None:
    book = DepthBook()
    book.apply(update([(10**30, 10**30), (10**30 - 1, 2 * 10**30)], [(10**30 + 5, 7)], whole=True))
    assert book.vwap(Side.BUY, 3 * 10**30) == 10**30 - Fraction(2, 3)
    assert book.mid == 10**30 + Fraction(5, 2)


@pytest.mark.parametrize("quantity", [0, -1])
def test_an_average_of_nothing_is_refused(quantity: int) -> None:
    with pytest.raises(InvalidRequest, match="above zero"):
        DepthBook().vwap(Side.BUY, quantity)


def test_sides_may_be_plain_words_but_not_any_word() -> None:
    book = DepthBook()
    book.apply(update([(10, 5)], [(20, 6)], whole=True))
    word: Any = "buy"
    assert book.levels(word) == (Level(10, 5),)
    wrong: Any = "Bids"
    with pytest.raises(InvalidRequest, match="'Bids'"):
        book.levels(wrong)


def test_a_read_only_view_follows_the_book_through_snapshots_and_cannot_change_it() -> None:
    book = DepthBook()
    view = book.read_only()
    book.apply(update([(10, 5)], [(20, 5)], whole=True))
    assert view.best_bid == Level(10, 5)
    book.apply(update([(11, 1)], [(30, 2)], whole=True))
    book.apply(update([(11, 1)]))
    assert view.changes() == DepthChanges((Level(11, 2),), (Level(30, 2),))
    assert not hasattr(view, "apply")
    assert type(view) is ReadOnlyBook
    assert repr(view) == (
        "<ReadOnlyBook: 1 bids to Level(price=11, quantity=2), 1 asks from Level(price=30, quantity=2)>"
    )


def random_changes(draw: random.Random, middle: int, model: Model) -> DepthUpdate:
    """Return a change of some levels, most near the top, after clearing `middle`; it may not fit."""
    bids = [Level(price, -size) for price, size in model[0].items() if price >= middle]
    asks = [Level(price, -size) for price, size in model[1].items() if price <= middle]
    for _ in range(draw.randint(1, 6)):
        is_bid = draw.random() < 0.5
        away = int(draw.expovariate(0.05)) if draw.random() < 0.97 else -10
        price = middle - 1 - away if is_bid else middle + 1 + away
        known = model[0 if is_bid else 1].get(price, 0)
        quantity = -known if known and draw.random() < 0.7 else draw.randint(1, 9)
        if draw.random() < 0.02:
            quantity = -known - 1
        (bids if is_bid else asks).append(Level(price, quantity))
    return update(bids, asks)


def add_up(side: dict[int, int], told: tuple[Level, ...]) -> dict[int, int] | None:
    """Return the sizes of `told` after it, 0 for a level that is gone; None if one would be negative."""
    sums: dict[int, int] = {}
    for level in told:
        sums[level.price] = sums.get(level.price, side.get(level.price, 0)) + level.quantity
    return None if min(sums.values(), default=0) < 0 else sums


def test_the_book_stays_exact_over_very_many_random_updates() -> None:
    draw = random.Random(20)
    book, middle = DepthBook(), 10_000
    model: Model = ({}, {})
    refused = {"negative": 0, "crossed": 0}
    for number in range(RANDOM_UPDATES):
        middle += draw.choice((-1, 0, 0, 0, 0, 1))
        message = random_changes(draw, middle, model)
        sums = [
            add_up(side, told)
            for side, told in zip(model, (message.changes.bids, message.changes.asks), strict=True)
        ]
        after = [{**side, **(new or {})} for side, new in zip(model, sums, strict=True)]
        bids, asks = ({price: size for price, size in side.items() if size} for side in after)
        problem = None
        if None in sums:
            problem = "negative"
        elif bids and asks and max(bids) > min(asks):
            problem = "crossed"
        if problem is None:
            book.apply(message)
            model = bids, asks
        else:
            refused[problem] += 1
            with pytest.raises(BookInconsistent):
                book.apply(message)
        best_bid, best_ask = max(model[0], default=None), min(model[1], default=None)
        assert book.best_bid == (None if best_bid is None else Level(best_bid, model[0][best_bid]))
        assert book.best_ask == (None if best_ask is None else Level(best_ask, model[1][best_ask]))
        if not number % 1000:
            check(book, model)
    check(book, model)
    assert min(refused.values()) > RANDOM_UPDATES // 100
    assert sum(refused.values()) < RANDOM_UPDATES // 2
    assert len(book) > 50


def test_levels_that_became_empty_do_not_pile_up() -> None:
    book = DepthBook()
    book.apply(update([(10, 1), (9, 1)], [(11, 1)], whole=True))
    for price in range(20, 5_000):
        book.apply(update([], [(price, 2)]))
        book.apply(update([], [(price, -1)]))
        book.apply(update([], [(price, -1)]))
        kept = len(book._asks)
        assert kept == len(book._asks.ranks) <= 100, "a few may stay, for they may come back"
        assert len(book) == 3
    assert book.asks == (Level(11, 1),)
    assert book.size(Side.SELL, 4_999) == 0
    assert book.volume_to(Side.SELL, 4_999) == 1
    book.apply(update([], [(11, -1), (15, 1)]))
    assert book.best_ask == Level(15, 1)


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_prices_that_are_no_integers_are_refused(side: str) -> None:
    book = DepthBook()
    wrong = (Level("20", "1"),)  # type: ignore[arg-type]  # that is the point
    changes = DepthChanges(wrong, ()) if side == "bids" else DepthChanges((), wrong)
    with pytest.raises(TypeError):
        book.apply(DepthUpdate(market_id=MARKET, changes=changes))
    assert len(book) == 0
    assert book.best_ask is book.best_bid is None
