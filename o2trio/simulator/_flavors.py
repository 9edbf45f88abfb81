"""What the sources about the exchange disagree on: a field for each disagreement, a value for each reading.

The defaults are what the server's own types say. How a choice is written is in ``_encode`` and ``_reshape``,
what it makes the server do in ``_feeds`` and ``_rest_markets``; no spelling happens here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, Literal, Self, TypeAlias, get_args, get_origin, get_type_hints

import attrs

from .._errors import InvalidRequest

__all__ = ["FINE_LEVELS", "Choice", "Choices"]

Choice: TypeAlias = "str | int | bool"
"""One reading: a word, a number, or yes and no."""

FINE_LEVELS = 9
"""Levels of price grouping that every source knows; those above are in doubt."""

_SHARE = 0.15
"""How often :meth:`Choices.draw` departs from the default of a field."""

_HARMFUL: Mapping[str, frozenset[Choice]] = {
    # A client that adds differences cannot keep a book from absolute sizes, and no frame says which they are.
    "depth_changes": frozenset({"absolute"}),
    # A quiet connection looks dead then: it is dialed again every Options.silence_timeout.
    "heartbeat": frozenset({"protocol"}),
    # The streams asked for are not served at all.
    "high_precision": frozenset({"refused", "silent"}),
    "second_subscribe": frozenset({"replaced", "ignored"}),
}
"""Readings under which a client cannot serve everything it is asked for, so nobody draws them."""


@attrs.frozen(slots=True, kw_only=True)
class Choices:
    """Which of the readings of the protocol hold. Every field but those about REST concerns WebSockets too.

    Attributes:
      snapshot_key: key of the levels in a depth snapshot; ``orders`` comes without a precision.
      snapshot_precision: whether the levels under ``view`` name their precision.
      side_names: keys of the two sides of a book.
      empty_levels: whether depth snapshots hold a level of size zero on each side.
      depth_changes: whether depth updates hold signed differences or new absolute sizes.
      stale_update: whether an update of an earlier subscription precedes the depth snapshot.
      amounts: prices, quantities and balances as decimal text or as JSON numbers.
      ids: ``prefixed`` is ``0x`` and lower case, ``bare`` has no ``0x``, ``upper`` is bare upper case.
      side_case: how ``buy`` and ``sell`` are written.
      order_flavor: 1 names `account`, `desired_quantity`, `fill`, `order_tx_history`; 2 names `owner`,
        `market_id`, `fills`, `history`.
      order_type: whether orders name their type.
      trigger_orders: whether an orders frame also holds a trigger order of the account.
      order_timestamp: unit of the time an order was placed, since 1970.
      onchain_timestamp: as text, number, RFC 3339 text, null or absent.
      seen_timestamp: as text, number, number with a fraction, RFC 3339 text, null or absent.
      nonce: as text, as a number, or as hexadecimal text.
      trade_parties: whether trades name `maker`, `taker` and their fees.
      trade_id: ``pair`` is ``maker/taker``; ``number`` is a JSON number; ``hex`` is the same with ``0x``.
      trade_time: as text or as a number.
      trade_frames: one trade of a frame in a list, or on its own under ``trade``.
      action_names: ``short`` sends trades and nonces under the actions ``trades`` and ``nonce``.
      book_fee: whether the parts of a balance that lie in books name a `fee`.
      order_books: parts of a balance: a map, absent, or an empty list.
      frames: messages in text frames or in binary ones.
      extra_fields: whether objects have unknown fields.
      data_mark: what else data carries: nothing, ``code: 0``, ``code: 200``, ``error: false`` or
        ``turbo: false``.
      acknowledge: how a subscription is confirmed: not, with ``code: 0``, with its action and a status, or
        with the text ``OK``.
      acknowledge_unsubscribe: whether an unsubscription is answered with its own action.
      first_message: what a stream of trades, orders, balances or nonces begins with: nothing, an empty list,
        or the current state.
      second_subscribe: what a subscription to a taken topic does: it is refused with code 6000, replaces the
        first, or nothing.
      unsubscribe_subset: what unsubscribing some of the identities does: nothing, ends the stream, or ends
        it for those.
      high_precision: whether the levels 10 to 18 are served, refused, or accepted and silent.
      heartbeat: the answer to a text ``PING``: ``PONG``, none, an error frame, or JSON.
      sequence: in which order a socket's streams report one block: as subscribed, or reversed.
      error_action: key `action` of error frames: none, ``error``, or the one of the request together
        with its market.
      error_mark: what makes a message an error: an integer code, its text, or, on WebSockets, the key
        `type`, `status` or `success`.
      error_words: key of the words of an error.
      cursor_inclusive: whether a REST page repeats the item its cursor names.
      trades_envelope: whether REST trades come in an object or as a bare list.
      rest_levels: levels of REST books as objects or as pairs.
      rest_exact: whether a REST book can be asked for with precision 0, at exact prices.
      heeds_limit: whether `limit` of a REST book has an effect.
      is_open_false: what ``is_open=false`` asks for.
      bars: ``split`` is `timestamp`, `buy_volume`, `sell_volume`; ``sum`` is `time`, `volume`.
      bars_time: unit of the time of a bar.
      single: the ticker, and the summary of one market, as a list of one or as an object.
      ticker_names: ``short`` is `last`, `bid`, `ask`; ``long`` is `last_price`, `best_bid`, `best_ask`.
      catalogue: aggregated assets and tickers as a map or as a list.
      human_numbers: numbers in whole units as JSON numbers or as text.
      market_fee: whether the maker fee of a market is negative, a rebate.
      market_symbol: whether the base asset of the last market has a symbol.
      market_rows: whether the list of markets holds a row without anything but an id.
      price_window: as a number, as text, or as a number with a fraction.
      session: whether an account shows its session in full, or as an id in text without an expiry.
      revert_envelope: how a failed transaction is reported: ``plain`` has no code, ``coded`` has code 1000,
        ``landed`` has status 200 and a `tx_id`.
      revert_text: ``logs`` names what was logged, ``escaped`` with escaped quotes; ``receipts`` only has
        raw receipts in the text; ``structured`` and ``typed`` have them in a list, tagged outside or inside.
      refusal_status: of a coded error about session actions: its own, or always 200.
      whitelist: whether the endpoint fails, since it was retired, or still succeeds.
      parallel_signature_key: under which key session actions with a parallel nonce must hold their signature.
    """

    snapshot_key: Literal["view", "orders"] = "view"
    snapshot_precision: bool = True
    side_names: Literal["buys", "bids"] = "buys"
    empty_levels: bool = False
    depth_changes: Literal["signed", "absolute"] = "signed"
    stale_update: bool = False
    amounts: Literal["text", "number"] = "text"
    ids: Literal["prefixed", "bare", "upper"] = "prefixed"
    side_case: Literal["lower", "capital"] = "lower"
    order_flavor: Literal[2, 1] = 2
    order_type: Literal["named", "null"] = "named"
    trigger_orders: bool = False
    order_timestamp: Literal["seconds", "milliseconds"] = "seconds"
    onchain_timestamp: Literal["text", "number", "rfc3339", "null", "absent"] = "text"
    seen_timestamp: Literal["text", "number", "fraction", "rfc3339", "null", "absent"] = "text"
    nonce: Literal["text", "number", "hex"] = "text"
    trade_parties: bool = True
    trade_id: Literal["pair", "number", "hex"] = "pair"
    trade_time: Literal["text", "number"] = "text"
    trade_frames: Literal["list", "single"] = "list"
    action_names: Literal["long", "short"] = "long"
    book_fee: bool = True
    order_books: Literal["map", "absent", "empty"] = "map"
    frames: Literal["text", "binary"] = "text"
    extra_fields: bool = False
    data_mark: Literal["none", "code", "ok", "error", "turbo"] = "none"
    acknowledge: Literal["none", "code", "action", "text"] = "none"
    acknowledge_unsubscribe: bool = False
    first_message: Literal["none", "empty", "state"] = "none"
    second_subscribe: Literal["refused", "replaced", "ignored"] = "refused"
    unsubscribe_subset: Literal["ignored", "ends", "narrows"] = "ignored"
    high_precision: Literal["served", "refused", "silent"] = "served"
    heartbeat: Literal["text", "protocol", "error", "json"] = "text"
    sequence: Literal["subscribed", "reversed"] = "subscribed"
    error_action: Literal["none", "error", "request"] = "none"
    error_mark: Literal["code", "text", "type", "status", "success"] = "code"
    error_words: Literal["message", "error", "detail"] = "message"
    cursor_inclusive: bool = False
    trades_envelope: bool = True
    rest_levels: Literal["objects", "pairs"] = "objects"
    rest_exact: bool = False
    heeds_limit: bool = True
    is_open_false: Literal["all", "closed"] = "all"
    bars: Literal["split", "sum"] = "split"
    bars_time: Literal["milliseconds", "seconds"] = "milliseconds"
    single: Literal["list", "object"] = "list"
    ticker_names: Literal["short", "long"] = "short"
    catalogue: Literal["map", "list"] = "map"
    human_numbers: Literal["number", "text"] = "number"
    market_fee: Literal["plain", "negative"] = "plain"
    market_symbol: Literal["text", "null"] = "text"
    market_rows: Literal["whole", "broken"] = "whole"
    price_window: Literal["number", "text", "fraction"] = "number"
    session: Literal["object", "text"] = "object"
    revert_envelope: Literal["plain", "coded", "landed"] = "plain"
    revert_text: Literal["logs", "escaped", "receipts", "structured", "typed"] = "logs"
    refusal_status: Literal["own", "ok"] = "own"
    whitelist: Literal["retired", "open"] = "retired"
    parallel_signature_key: Literal["Secp256k1", "TypedSecp256k1", "either"] = "Secp256k1"

    @classmethod
    def choices(cls) -> Mapping[str, tuple[Choice, ...]]:
        """Return every field and the readings it can have, the default first."""
        return _choices(cls)

    @classmethod
    def parse(cls, pairs: Iterable[str]) -> Self:
        """Return the flavor that texts such as ``snapshot_key=orders`` describe; the rest are defaults.

        Raises:
          InvalidRequest: there is no such field, or it has no such reading.
        """
        given: dict[str, Any] = {}
        for pair in pairs:
            name, _, text = pair.partition("=")
            readings = {_word(choice): choice for choice in cls.choices().get(name, ())}
            if not readings:
                raise InvalidRequest(f"no flavor {name!r:.60}; there are {', '.join(cls.choices())}")
            if text not in readings:
                raise InvalidRequest(f"flavor {name} is one of {', '.join(readings)}, not {text!r:.60}")
            given[name] = readings[text]
        return cls(**given)

    @classmethod
    def draw(cls, random: Random) -> Self:
        """Draw a flavor that a client must survive with everything it promises: most fields are defaults."""
        given: dict[str, Any] = {}
        for name, readings in cls.choices().items():
            others = [choice for choice in readings[1:] if choice not in _HARMFUL.get(name, ())]
            if others and random.random() < _SHARE:
                given[name] = random.choice(others)
        return cls(**given)

    def describe(self) -> str:
        """Return what differs from the defaults as :meth:`parse` reads it, separated by spaces."""
        return " ".join(
            f"{name}={_word(getattr(self, name))}"
            for name, readings in self.choices().items()
            if getattr(self, name) != readings[0]
        )


def _word(choice: Choice) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def _choices(cls: type[Choices]) -> Mapping[str, tuple[Choice, ...]]:
    """Read the readings of every field off its type; the default comes first."""
    hints, found = get_type_hints(cls), dict[str, tuple[Choice, ...]]()
    for field in attrs.fields(cls):
        kind = hints[field.name]
        readings: tuple[Choice, ...] = get_args(kind) if get_origin(kind) is Literal else (False, True)
        found[field.name] = (field.default, *(choice for choice in readings if choice != field.default))
    return found
