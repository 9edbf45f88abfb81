"""Checks of what the exchange says about accounts: their orders, balances, nonce and session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ._doctor_check import Check, any_of, kind_of, rows_of, spelling, unit_of
from ._doctor_evidence import Evidence
from ._doctor_shapes import Object, items_of, object_of

__all__ = ["ACCOUNT_CHECKS"]


def _orders(evidence: Evidence) -> Iterator[Object]:
    """Yield orders from streams and REST, streams first."""
    for talk in ("trading", "account", "quiet"):
        for said in evidence.said(talk):
            if kind_of(said.object) == "orders":
                yield from items_of(said.object.get("orders"))
    for name in ("orders", "open orders", "false orders"):
        yield from rows_of(evidence.body(name), "orders")


def _order_field(say: Callable[[Object], str]) -> Callable[[Evidence], str | None]:
    """Return a reader that says something about an order that is not a trigger order."""

    def read(evidence: Evidence) -> str | None:
        order = next((order for order in _orders(evidence) if "order_type" in order), None)
        return None if order is None else say(order)

    return read


def _triggers(evidence: Evidence) -> str | None:
    orders = list(_orders(evidence))
    if not orders:
        return None
    return (
        "some"
        if any("trigger_price" in order or order.get("kind") == "trigger" for order in orders)
        else "none"
    )


def _is_open_false(evidence: Evidence) -> str | None:
    everything = rows_of(evidence.body("orders"), "orders")
    false = rows_of(evidence.body("false orders"), "orders")
    if not any(order.get("close") is False for order in everything):
        return None
    return "all orders" if any(order.get("close") is False for order in false) else "closed orders only"


def _balances(evidence: Evidence) -> list[Object]:
    found = [object_of(evidence.body("balance"))]
    for talk in ("trading", "account", "quiet"):
        for said in evidence.said(talk):
            found += items_of(said.object.get("balance"))
    return [balance for balance in found if "total_unlocked" in balance]


def _order_books(evidence: Evidence) -> str | None:
    balances = _balances(evidence)
    if not balances:
        return None
    books = balances[0].get("order_books", "absent")
    return "absent" if books == "absent" else "a list" if isinstance(books, list) else "a map"


def _book_fee(evidence: Evidence) -> str | None:
    books = [
        object_of(book)
        for balance in _balances(evidence)
        for book in object_of(balance.get("order_books")).values()
        if object_of(book)
    ]
    return None if not books else "named" if "fee" in books[0] else "not named"


def _account(evidence: Evidence) -> Object:
    return object_of(object_of(evidence.body("account")).get("trade_account"))


def _nonce(evidence: Evidence) -> str | None:
    account = _account(evidence)
    return spelling(account["nonce"]) if "nonce" in account else None


def _session(evidence: Evidence) -> str | None:
    session = object_of(evidence.body("account")).get("session")
    if session is None:
        return None
    return "in full" if object_of(object_of(session).get("session_id")) else "without parts"


ACCOUNT_CHECKS = (
    Check(
        name="account",
        question="Does the exchange know the account?",
        assumed="yes",
        read=lambda evidence: (
            None if evidence.body("account") is None else "yes" if _account(evidence) else "no"
        ),
        safe=any_of("yes"),
        advice="give the id of a trading account (not of a wallet) of this network to --account",
    ),
    Check(
        name="nonce",
        question="How is a nonce written?",
        assumed="as text, as a number, or hexadecimal",
        read=_nonce,
        safe=any_of("text", "number", "hexadecimal text"),
    ),
    Check(
        name="session",
        question="How is the session of an account shown?",
        assumed="in any way; trading does not need it",
        read=_session,
        safe=any_of("in full", "without parts"),
    ),
    Check(
        name="order object",
        question="Which names do the parts of an order have?",
        assumed="account or owner, and what goes with them",
        read=_order_field(
            lambda order: "account" if "account" in order else "owner" if "owner" in order else "neither"
        ),
        safe=any_of("account", "owner", "neither"),
    ),
    Check(
        name="order type",
        question="Do orders name their type?",
        assumed="not all do",
        read=_order_field(lambda order: "named" if order.get("order_type") else "null"),
        safe=any_of("named", "null"),
    ),
    Check(
        name="order time",
        question="In which unit is the time of an order?",
        assumed="any; it is inferred from its size",
        read=_order_field(lambda order: unit_of(order.get("timestamp"))),
        safe=any_of("seconds", "milliseconds"),
    ),
    Check(
        name="trigger orders",
        question="Are there trigger orders among the account's orders?",
        assumed="either; they are handed over as such",
        read=_triggers,
        safe=any_of("none", "some"),
    ),
    Check(
        name="is_open=false",
        question="Which orders does is_open=false list?",
        assumed="the library never asks",
        read=_is_open_false,
        safe=any_of("all orders", "closed orders only"),
    ),
    Check(
        name="order books",
        question="How does a balance hold its parts in order books?",
        assumed="a map, a list, or not at all",
        read=_order_books,
        safe=any_of("a map", "a list", "absent"),
    ),
    Check(
        name="book fee",
        question="Do these parts name a fee?",
        assumed="either",
        read=_book_fee,
        safe=any_of("named", "not named"),
    ),
)
"""What takes an account to answer."""
