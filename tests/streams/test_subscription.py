"""What a consumer holds: every way to receive, every way to stop, and cancellation anywhere."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from o2trio import InvalidRequest, O2ConnectionLost, SubscriptionRejected
from o2trio.models import TradeUpdate
from o2trio.streams import Mailbox, Subscription, TopicKey
from o2trio.wire import AnyUpdate
from tests.streams.world import DEPTH, TRADES, World, change, error, first, trades

Stream = Subscription[Any]


def stream(
    world: World, key: TopicKey = TRADES, *, before: Callable[[], Awaitable[None]] | None = None
) -> Stream:
    """Make a subscription as a client does."""
    mailbox: Mailbox[AnyUpdate] = Mailbox(world.host.options.buffer_size)
    token = trio.lowlevel.current_trio_token()

    async def subscribe() -> None:
        await (before or trio.lowlevel.checkpoint)()
        world.hub.attach(mailbox, [key])

    def soon(call: Callable[[], None]) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(call)

    return Subscription(mailbox, subscribe, partial(world.hub.detach, mailbox), soon)


async def opened(world: World, key: TopicKey = TRADES) -> Stream:
    subscription = stream(world, key)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.__aenter__)
        await trio.testing.wait_all_tasks_blocked()
        world.up()
        if key is DEPTH:
            world.receive(first(key.kind))
    return subscription


def number(update: TradeUpdate) -> int:
    return int(update.trades[0].trade_id)


def feed(world: World, start: int, stop: int) -> None:
    world.receive(*[trades(n) for n in range(start, stop)])


# -- ways to receive -------------------------------------------------------------------------------


async def test_entering_waits_for_the_request_and_the_snapshot() -> None:
    world = World()
    subscription = stream(world, DEPTH)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.__aenter__)
        await trio.testing.wait_all_tasks_blocked()
        world.up()
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        world.receive(first(DEPTH.kind))
    assert subscription.receive_nowait().is_snapshot
    subscription.close()


async def test_every_way_to_receive_gives_the_items_in_order() -> None:
    world = World()
    async with await opened(world) as items:
        with pytest.raises(trio.WouldBlock):
            items.receive_nowait()
        feed(world, 0, 10)
        got = [number(items.receive_nowait()), number(await items.receive())]
        async for update in items:
            got.append(number(update))
            if number(update) == 4:
                break
        async for batch in items.batches():
            got += map(number, batch)
            break
        assert got == list(range(10))
        statistics = items.statistics()
        assert (statistics.delivered, statistics.buffered, statistics.gaps) == (10, 0, 0)
        assert statistics.last_item_time == 0


async def test_a_loop_over_the_bare_subscription_subscribes_with_its_first_item() -> None:
    world = World()
    got: list[int] = []

    async def consume() -> None:
        async for update in stream(world):
            got.append(number(update))
            if len(got) == 3:
                break

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await trio.testing.wait_all_tasks_blocked()
        world.up()
        feed(world, 0, 5)
    assert got == [0, 1, 2]
    gc.collect()
    await trio.testing.wait_all_tasks_blocked()
    world.pump()
    assert not world.wire.subscribed, "leaving the loop releases the server subscription"


async def test_a_batch_loop_that_is_left_needs_no_clean_up() -> None:
    # An async generator would be finalised later, with a ResourceWarning, which is an error here.
    world = World()
    subscription = await opened(world)
    feed(world, 0, 3)
    async for batch in subscription.batches():
        assert len(batch) == 3
        break
    subscription.close()
    gc.collect()
    await trio.testing.wait_all_tasks_blocked()
    assert world.hub.topics == []


async def test_a_subscription_that_is_forgotten_after_closing_releases_once() -> None:
    released: list[int] = []
    mailbox: Mailbox[int] = Mailbox(4)

    async def subscribe() -> None:
        mailbox.opened.set()

    subscription = Subscription(mailbox, subscribe, partial(released.append, 1), lambda call: call())
    subscription.close()
    subscription.close()
    assert released == [1]
    del subscription
    gc.collect()
    assert released == [1]
    half_made = Subscription.__new__(Subscription)
    del half_made
    gc.collect()


async def test_two_receivers_share_the_items() -> None:
    world = World()
    subscription = await opened(world)
    got: list[list[int]] = [[], []]

    async def consume(mine: list[int]) -> None:
        async for update in subscription:
            mine.append(number(update))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for mine in got:
            nursery.start_soon(consume, mine)
        await trio.testing.wait_all_tasks_blocked()
        feed(world, 0, 2)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(map(len, got)) == [1, 1]
        feed(world, 2, 40)
        await trio.testing.wait_all_tasks_blocked()
        world.hub.close()
    assert sorted(got[0] + got[1]) == list(range(40))
    assert all(mine == sorted(mine) for mine in got)


async def test_other_tasks_have_their_turn_every_64_items() -> None:
    world = World()
    subscription = await opened(world)
    feed(world, 0, 1000)
    got = 0
    seen: list[int] = []

    async def watch() -> None:
        while got < 1000:
            seen.append(got)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        while got < 1000:
            await subscription.receive()
            got += 1
    steps = [after - before for before, after in pairwise(seen)]
    # Trio shuffles the tasks of one tick, so one may run at the beginning of a tick and the end of the next.
    assert max(steps) <= 2 * 64


# -- cancellation ----------------------------------------------------------------------------------


async def test_every_receive_checks_for_cancellation_and_loses_nothing() -> None:
    world = World()
    subscription = await opened(world)
    feed(world, 0, 200)
    got: list[int] = []
    while len(got) < 200:
        with trio.CancelScope() as scope:
            scope.cancel()
            await subscription.receive()
        assert scope.cancelled_caught
        got.append(number(await subscription.receive()))
    assert got == list(range(200))


async def test_an_item_that_comes_with_the_cancellation_is_not_lost() -> None:
    world = World()
    subscription = await opened(world)
    got: list[int] = []

    async def consume(scope: trio.CancelScope) -> None:
        with scope:
            while True:
                got.append(number(await subscription.receive()))

    for turn in range(20):
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume, scope)
            await trio.testing.wait_all_tasks_blocked()
            if turn % 2:
                scope.cancel()
                feed(world, turn, turn + 1)
            else:
                feed(world, turn, turn + 1)
                scope.cancel()
    while len(got) < 20:
        got.append(number(subscription.receive_nowait()))
    assert got == list(range(20))


@pytest.mark.parametrize("key", [TRADES, DEPTH], ids=["trades", "depth"])
async def test_cancelling_at_each_checkpoint_of_entry_and_receive_leaves_others_alone(key: TopicKey) -> None:
    ticks = 0
    while True:
        world = World()
        other = await opened(world, key)
        if key is DEPTH:
            other.receive_nowait()
        subscription = stream(world, key)
        scope = trio.CancelScope()
        got: list[Any] = []

        async def use(
            subscription: Stream = subscription, scope: trio.CancelScope = scope, got: list[Any] = got
        ) -> None:
            with scope:
                async with subscription:
                    got += [await subscription.receive() for _ in range(3)]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(use)
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert scope.cancelled_caught or not nursery.child_tasks
            if not scope.cancelled_caught and len(got) < 3:
                break  # It waits in receive: all checkpoints before are done.
        for number in range(3):
            world.receive(change([(10, 1)]) if key is DEPTH else trades(100 + number))
        assert len([other.receive_nowait() for _ in range(3)]) == 3
        assert len(world.hub.topics[0].audience.members) == 1
        world.pump()
        assert len(world.wire.subscribed) == 1
        ticks += 1
        if ticks > 12:
            break


async def test_a_cancelled_entry_can_be_made_again() -> None:
    world = World()
    subscription = stream(world, DEPTH)
    with trio.move_on_after(0) as scope:
        await subscription.__aenter__()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.__aenter__)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert world.hub.topics == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.__aenter__)
        await trio.testing.wait_all_tasks_blocked()
        world.up()
        world.receive(first(DEPTH.kind))
    assert subscription.receive_nowait().is_snapshot
    with pytest.raises(trio.WouldBlock):
        subscription.receive_nowait()


async def test_an_error_that_meets_a_cancelled_entry_does_not_spoil_the_next() -> None:
    world = World()
    subscription = stream(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.__aenter__)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        world.hub.give_up(world.port, lambda: O2ConnectionLost("gone"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.__aenter__)
        await trio.testing.wait_all_tasks_blocked()
        world.up()
    feed(world, 1, 2)
    assert number(subscription.receive_nowait()) == 1


async def test_a_failed_entry_can_be_made_again() -> None:
    world = World()
    wrong = True

    async def find() -> None:
        await trio.lowlevel.checkpoint()
        if wrong:
            raise InvalidRequest("no")

    subscription = stream(world, before=find)
    with pytest.raises(InvalidRequest):
        await subscription.receive()
    wrong = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.receive)
        await trio.testing.wait_all_tasks_blocked()
        world.up()
        feed(world, 0, 1)


# -- the end ---------------------------------------------------------------------------------------


async def test_not_entered_yet() -> None:
    subscription = stream(World())
    with pytest.raises(InvalidRequest, match="async with"):
        subscription.receive_nowait()
    subscription.close()
    with pytest.raises(trio.ClosedResourceError):
        await subscription.receive()


async def test_two_tasks_may_start_one_subscription() -> None:
    world = World()
    subscription = stream(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.receive)
        nursery.start_soon(subscription.receive)
        await trio.testing.wait_all_tasks_blocked()
        world.up()
        await trio.testing.wait_all_tasks_blocked()
        feed(world, 0, 2)
    assert len(world.hub.topics[0].audience.members) == 1


async def test_own_close_is_at_once_and_drops_what_is_buffered() -> None:
    world = World()
    subscription = await opened(world)
    feed(world, 0, 3)
    await subscription.aclose()
    for _ in range(2):
        with pytest.raises(trio.ClosedResourceError):
            await subscription.receive()
        with pytest.raises(trio.ClosedResourceError):
            subscription.receive_nowait()
    with pytest.raises(trio.ClosedResourceError):
        await subscription.__aenter__()
    world.pump()
    assert not world.wire.subscribed


async def test_closing_wakes_every_waiting_receiver() -> None:
    subscription = await opened(World())

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await subscription.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        subscription.close()


@pytest.mark.parametrize("moment", ["looking up", "opening"])
async def test_closing_ends_an_entry_under_way(moment: str) -> None:
    world = World()
    gate = trio.Event()
    subscription = stream(world, before=gate.wait if moment == "looking up" else None)

    async def enter() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await subscription.__aenter__()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter)
        await trio.testing.wait_all_tasks_blocked()
        subscription.close()
        gate.set()
        with trio.fail_after(1):
            await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks, "the entry must not hang"
    assert world.hub.topics == [], "nor leave anything behind"


async def test_an_orderly_end_comes_after_what_is_buffered() -> None:
    world = World()
    subscription = await opened(world)
    feed(world, 0, 3)
    world.hub.close()
    assert [number(update) async for update in subscription] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(trio.EndOfChannel):
            await subscription.receive()
        with pytest.raises(trio.EndOfChannel):
            subscription.receive_nowait()
    assert [batch async for batch in subscription.batches()] == []


async def test_an_end_during_entry_is_an_empty_stream() -> None:
    world = World()
    subscription = stream(world, DEPTH)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.__aenter__)
        await trio.testing.wait_all_tasks_blocked()
        world.hub.close()
    assert [update async for update in subscription] == []


async def test_a_lost_connection_is_told_by_every_receive_after_what_is_buffered() -> None:
    world = World()
    subscription = await opened(world)
    feed(world, 0, 2)
    world.hub.give_up(world.port, lambda: O2ConnectionLost("gone"))
    assert [number(await subscription.receive()) for _ in range(2)] == [0, 1]
    raised = []
    for _ in range(3):
        with pytest.raises(trio.BrokenResourceError, match="gone") as caught:
            await subscription.receive()
        raised.append(caught.value)
    assert len({id(one) for one in raised}) == 3, "each is an error of its own: tracebacks do not grow"
    with pytest.raises(O2ConnectionLost):
        subscription.receive_nowait()


async def test_a_failure_wakes_who_waits() -> None:
    world = World()
    subscription = await opened(world)

    async def wait() -> None:
        with pytest.raises(O2ConnectionLost):
            await subscription.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        world.hub.give_up(world.port, lambda: O2ConnectionLost("gone"))


async def test_a_refusal_comes_out_of_the_entry() -> None:
    world = World()
    subscription = stream(world, DEPTH)

    async def enter() -> None:
        with pytest.raises(SubscriptionRejected):
            await subscription.__aenter__()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter)
        await trio.testing.wait_all_tasks_blocked()
        world.up()
        world.receive(error())
    with pytest.raises(SubscriptionRejected):
        await subscription.receive()
