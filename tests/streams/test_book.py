"""The order book against a model that is too simple to be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio import BookInconsistent
from o2trio.models import DepthChanges, DepthUpdate, Level, Origin, Side
from o2trio.streams import DepthBook
from o2trio.wire import decode
from tests.streams.world import MARKET

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
            if message.is_snapshot and (level.price in side or level.quantity < 1):
                return None
            side[level.price] = side.get(level.price, 0) + level.quantity
        if any(size < 0 for size in side.values()):
            return None
        sides.append({price: size for price, size in side.items() if size})
    bids, asks = sides
    if bids and asks and max(bids) > min(asks):
        return None
    return bids, asks


def check(book: DepthBook, model: Model) -> None:
    bids = tuple(Level(price, model[0][price]) for price in sorted(model[0], reverse=True))
    asks = tuple(Level(price, model[1][price]) for price in sorted(model[1]))
    assert (book.bids, book.asks) == (bids, asks)
    assert book.changes() == DepthChanges(bids, asks)
    assert book.best_bid == (bids[0] if bids else None)
    assert book.best_ask == (asks[0] if asks else None)
    assert book.levels(Side.BUY, 2) == bids[:2]
    assert book.levels(Side.SELL) == asks


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
        (update([(10, 1)], [(9, 1)], whole=True), "crossed: bid 10 above ask 9"),
        (update([(10, 1), (10, 2)], whole=True), "names a price twice"),
        (update([(10, 1)], [(20, 0)], whole=True), "empty level"),
        (update([(10, -1)], whole=True), "empty level"),
    ],
)
def test_what_does_not_fit_changes_nothing(bad: DepthUpdate, words: str) -> None:
    book = DepthBook()
    book.apply(update([(10, 5)], [(20, 5)], whole=True))
    with pytest.raises(BookInconsistent, match=words):
        book.apply(bad)
    check(book, ({10: 5}, {20: 5}))


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
