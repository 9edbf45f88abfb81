"""Answers to signed submissions with one change: a success stays one, and nothing is sent twice.

The exchange carried everything out. A client may learn that, or that the outcome is unknown. It may not
report that nothing ran, unless the changed answer says so, nor another order than there is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import attrs
import trio

from o2trio import ApiError, O2Error, OutcomeUnknown
from tests.fuzz._change import change_one
from tests.fuzz._virtual import run_virtual
from tests.tolerance._exchange import FUEL, OWNER, changed
from tests.tolerance._server import Asked

__all__ = ["WriteCase", "WritePlayed", "draw_write", "judge_write", "play_write"]

PATHS = ("/v1/session", "/v1/session/actions", "/v1/session/actions", "/v1/accounts/withdraw")


@attrs.frozen
class WriteCase:
    """Which answer is changed, and the draw that changes it."""

    path: str
    seed: str


@attrs.define
class WritePlayed:
    """What came of it.

    Attributes:
      what: the change, in words.
      before, after: the answer.
      steps: what each call gave, by its name; an error is a result, too.
      submissions: how often each path was asked to change something.
      orders: ids of the orders that there really are.
    """

    what: str = "nothing"
    before: Any = None
    after: Any = None
    steps: dict[str, Any] = attrs.field(factory=dict)
    submissions: list[str] = attrs.field(factory=list)
    orders: list[str] = attrs.field(factory=list)


def draw_write(seed: int, number: int) -> WriteCase:
    """Return the case of a seed and a number."""
    rng = random.Random(f"write/{seed}/{number}")
    return WriteCase(rng.choice(PATHS), f"write/{seed}/{number}")


def play_write(case: WriteCase) -> WritePlayed:
    """Withdraw, open a session and buy, with one changed answer."""
    return run_virtual(_play, case)


async def _play(case: WriteCase) -> WritePlayed:
    played = WritePlayed()

    def change(asked: Asked, body: Any) -> Any:
        if asked.method == "GET" or asked.path != case.path or played.before is not None:
            return body
        done = change_one(random.Random(case.seed), body)
        played.what, played.before, played.after = str(done), body, done.result
        return done.result

    async with changed(change) as world:
        played.steps["withdraw"] = await _outcome(world.o2.withdraw(OWNER, "fUSDC", amount="5"))
        try:
            async with world.o2.session(OWNER, FUEL) as session:
                played.steps["buy"] = await _outcome(session.buy(FUEL, price="0.0200", quantity="1000"))
        except Exception as error:  # noqa: BLE001 - an error is a result, and is judged
            played.steps["session"] = error
        played.submissions = [asked.path for asked in world.submissions]
        played.orders = [str(order_id) for order_id in world.exchange.orders]
    return played


async def _outcome(call: Any) -> Any:
    try:
        with trio.fail_after(600):
            return await call
    except Exception as error:  # noqa: BLE001 - an error is a result, and is judged
        return error


def judge_write(case: WriteCase, played: WritePlayed) -> list[str]:
    """Return every violation."""
    return list(_judge(case, played))


def _judge(case: WriteCase, played: WritePlayed) -> Iterator[str]:
    for path in set(PATHS):
        # A buy settles first in the same submission; nothing else is sent twice.
        if played.submissions.count(path) > 1:
            yield f"twice: {path} was sent {played.submissions.count(path)} times"
    for name, result in played.steps.items():
        if isinstance(result, Exception) and not isinstance(result, O2Error):
            yield f"crash: {name}: {type(result).__name__}: {result}"
        denies = isinstance(result, ApiError) and not isinstance(result, OutcomeUnknown)
        if denies and not _refuses(played.after):
            yield f"wrong refusal: {name} ran, and {type(result).__name__} says otherwise: {result}"
    yield from _judge_order(case, played)


def _judge_order(case: WriteCase, played: WritePlayed) -> Iterator[str]:
    refuses = _refuses(played.after)
    bought = played.steps.get("buy")
    if bought is not None and not isinstance(bought, Exception):
        if [str(bought.order_id)] != played.orders:
            yield f"wrong success: the order is {bought.order_id}, not {played.orders}"
        elif (bought.order.price, bought.order.quantity) != (20_000, 1000 * 10**9):
            yield f"wrong success: {bought.order}"
    if (
        case.path == "/v1/session/actions"
        and isinstance(bought, Exception)
        and not refuses
        and _has_id(played.after)
    ):
        yield f"lost: a success is no success for {played.what}: {bought!r}"


def _refuses(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    return (
        body.get("code") not in (None, 0, "0", 200, "200")
        or body.get("success") is False
        or bool(body.get("error"))
        or bool(body.get("reason"))
        or "error" in {str(body.get(key)).lower() for key in ("type", "status")}
    )


def _has_id(body: Any) -> bool:
    """Tell whether an answer names its transaction and its order plainly."""
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("tx_id"), str)
        or len(body["tx_id"]) not in (64, 66)
    ):
        return False
    rows = body.get("orders")
    return (
        isinstance(rows, list)
        and len(rows) == 1
        and isinstance(rows[0], dict)
        and isinstance(rows[0].get("order_id"), str)
        and len(rows[0]["order_id"]) in (64, 66)
    )
