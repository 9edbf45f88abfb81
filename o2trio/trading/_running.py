"""What runs beside a session as long as it is open: it follows orders and nonce, and renews it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing

import trio

from .._errors import DecodeError, O2Error
from .._nursery import BareNursery
from .._trading_errors import SessionOver, SignerFailed
from ..models import Identity, Market, Order
from ..transport._backoff import backoff_delays
from ._desk import Desk
from ._opening import Opening
from ._session import Session
from ._tracker import OrderTracker

__all__ = ["open_session"]

_log = logging.getLogger("o2trio")

RENEW_SECONDS = 3600.0
"""A session is renewed so long before it ends, or a tenth of its life if that is less."""

_LOOK_SECONDS = 60.0
"""How often the clock is looked at while a session lives: it may have been set, or the machine asleep."""

_ASK_AGAIN = 4
"""So many times as long as a signer may take, he is left in peace after a signature that he did not give."""


@asynccontextmanager
async def open_session(opening: Opening) -> AsyncGenerator[Session]:
    """Register the session if need be, and keep everything beside it running until it is left."""
    desk = opening.desk
    expiry = opening.expiry
    if expiry is None:
        expiry = await opening.register()
    # Whatever happened while nobody looked: those orders are not ours, and the nonce may have moved.
    desk.sequential.doubt()
    for market in opening.markets:
        await _know_newest(desk, market)
    orders = OrderTracker(
        opening.listed, desk.rest.order, _open_orders(opening), desk.options, desk.ledger.observe
    )
    session = Session(opening, orders, expiry)
    async with BareNursery() as nursery:
        nursery.start_soon(_follow_orders, opening, orders, name="o2trio session orders")
        nursery.start_soon(_follow_nonce, opening, name="o2trio session nonce")
        if opening.renew:
            nursery.start_soon(_keep_alive, session, opening.life, name="o2trio session renewal")
        try:
            yield session
        finally:
            session._closed = True


# -- beside the session -----------------------------------------------------------------------------


async def _follow_orders(opening: Opening, orders: OrderTracker) -> None:
    with closing(opening.stream_orders()) as updates:
        await orders.run(updates)


async def _follow_nonce(opening: Opening) -> None:
    try:
        with closing(opening.stream_nonce()) as updates:
            async for update in updates:
                if update.nonce is not None:
                    opening.desk.sequential.told(update.nonce)
    except (O2Error, trio.ClosedResourceError) as error:
        _log.warning("the nonce is no longer followed, and will be read instead: %s", error)


async def _keep_alive(session: Session, life: float) -> None:
    """Renew the session before it ends."""
    desk = session._desk
    margin = min(RENEW_SECONDS, life / 10)
    delays = backoff_delays(desk.options)
    while True:
        expiry = session._expiry
        left = expiry - margin - desk.now()
        if left > 0:
            await trio.sleep(min(left, _LOOK_SECONDS))
            continue
        try:
            await session._renew_once(expiry)
        except SessionOver as error:
            _log.warning("the session is not renewed any more: %s", error)
            return
        except O2Error as error:
            _log.warning("the session could not be renewed, trying again: %s", error)
            wait = next(delays)
            if isinstance(error, SignerFailed):
                # While the owner is asked, nothing else can be sent on the sequential track.
                wait = max(wait, (expiry - desk.now()) / 4, _ASK_AGAIN * desk.options.signer_timeout)
            await trio.sleep(wait)
        else:
            delays = backoff_delays(desk.options)


# -- reading ----------------------------------------------------------------------------------------


async def _know_newest(desk: Desk, market: Market) -> None:
    account = Identity.contract(desk.account)
    for order in await desk.rest.orders(market, account, count=1):
        desk.ledger.observe(order, market.market_id)
    desk.ledger.know(market.market_id)


def _open_orders(opening: Opening) -> Callable[[], Awaitable[Iterable[Order]]]:
    rest, account = opening.desk.rest, Identity.contract(opening.desk.account)

    async def read() -> list[Order]:
        found: list[Order] = []
        for market in opening.markets:
            pages = rest.iter_orders(market, account, only_open=True)
            found += [order async for order in pages]
            for row in pages.not_understood:
                # What a list does not show may be readable alone; if not, the orders are not known.
                order_id = row.ids.get("order_id")
                if order_id is None:
                    raise DecodeError(f"an open order cannot be read: {row.problem}", path="$", frame="")
                found.append(await rest.order(market, order_id))
        return found

    return read
