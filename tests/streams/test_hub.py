"""Where demands are placed, and how connections come, go and are given up."""

from __future__ import annotations

import pytest

from o2trio import O2ConnectionLost, TooManyConnections
from o2trio.streams import MAX_IDENTITIES, Hub, Mailbox, TopicKey, identity_keys
from o2trio.wire import AnyUpdate, Kind
from tests.streams.world import (
    DEPTH,
    MARKET,
    ORDERS,
    OTHER,
    TRADES,
    Wire,
    World,
    account,
    change,
    drain,
    first,
    snapshot,
)

COARSE = TopicKey(Kind.DEPTH, MARKET, 3)


def places(world: World) -> list[list[TopicKey]]:
    return [[topic.key for topic in port.slots.values()] for port in world.hub.ports]


def test_one_connection_carries_what_does_not_collide() -> None:
    world = World()
    for key in (DEPTH, TRADES, ORDERS, DEPTH, TopicKey(Kind.DEPTH, OTHER, 3)):
        world.mailbox(key)
    assert [len(keys) for keys in places(world)] == [4]
    assert world.host.ports == world.hub.ports
    assert [port.number for port in world.hub.ports] == [1]


def test_two_precisions_of_one_market_stay_apart() -> None:
    world = World()
    fine, coarse = world.mailbox(DEPTH), world.mailbox(COARSE)
    world.up()
    assert places(world) == [[DEPTH], [COARSE]]
    one, two = world.hub.ports
    one.receive([snapshot([(101, 1)])])
    two.receive([snapshot([(1000, 9)])])
    one.receive([change([(101, 1)])])
    assert [update.changes.bids[0].price for update in drain(fine)] == [101, 101]
    assert [update.changes.bids[0].price for update in drain(coarse)] == [1000]


def test_a_second_set_of_accounts_gets_a_connection_of_its_own() -> None:
    world = World()
    world.mailbox(ORDERS)
    other = TopicKey(Kind.ORDERS, identities=(account(1), account(2)))
    world.mailbox(other)
    assert places(world) == [[ORDERS], [other]]


def test_more_accounts_than_a_subscription_takes_are_shared_out() -> None:
    many = [account(number) for number in range(25)]
    keys = identity_keys(Kind.NONCE, [*many, *many])
    assert [len(key.identities) for key in keys] == [MAX_IDENTITIES, MAX_IDENTITIES, 5]
    assert identity_keys(Kind.NONCE, reversed(many)) == keys
    world = World()
    box = world.mailbox(*keys)
    assert [len(slot) for slot in places(world)] == [1, 1, 1]
    for port in world.hub.ports[:2]:
        world.wires[port] = Wire()
        port.link_up()
    world.pump()
    assert not box.opened.is_set()
    world.up()
    assert box.opened.is_set()


def test_no_room_leaves_nothing_behind() -> None:
    world = World(max_connections=2)
    box: Mailbox[AnyUpdate] = Mailbox(4)
    with pytest.raises(TooManyConnections, match=r"all 2 are in use"):
        world.hub.attach(box, identity_keys(Kind.ORDERS, [account(number) for number in range(25)]))
    assert world.hub.topics == []
    assert not box.opened.is_set()
    world.mailbox(ORDERS)
    assert len(world.hub.ports) == 2


def test_nothing_to_open_is_open_at_once() -> None:
    world = World()
    assert world.mailbox().opened.is_set()


def test_a_demand_takes_the_freed_place() -> None:
    world = World()
    box = world.mailbox(DEPTH)
    world.mailbox(COARSE)
    world.up()
    world.receive(first(Kind.DEPTH))
    world.hub.detach(box)
    third = TopicKey(Kind.DEPTH, MARKET, 5)
    world.mailbox(third)
    assert places(world) == [[third], [COARSE]]
    world.mailbox(COARSE)
    assert places(world) == [[third], [COARSE]]


def test_an_idle_connection_is_forgotten_and_a_used_one_is_not() -> None:
    world = World()
    box = world.mailbox(TRADES)
    port = world.port
    assert not world.hub.retire(port)
    world.hub.detach(box)
    assert world.hub.retire(port)
    assert world.hub.retire(port)
    assert world.hub.ports == []
    world.mailbox(TRADES)
    assert [port.number for port in world.hub.ports] == [2]


def test_the_connection_is_woken_when_there_is_something_to_do() -> None:
    world = World()
    box = world.mailbox(TRADES)
    calls: list[str] = []
    world.port.wake = lambda: calls.append("woken")
    world.mailbox(ORDERS)
    assert len(calls) == 1
    world.up()
    woken = len(calls)
    world.hub.detach(box)
    assert len(calls) > woken


def test_giving_up_a_connection_ends_its_streams_only() -> None:
    world = World()
    lost, kept = world.mailbox(DEPTH), world.mailbox(COARSE)
    world.up()
    one, two = world.hub.ports
    one.receive([first(Kind.DEPTH)])
    world.down()
    world.hub.give_up(one, lambda: O2ConnectionLost("gave up"))
    assert world.hub.ports == [two]
    assert lost.failed
    assert not kept.ended
    assert len(drain(lost)) == 1, "what is buffered comes first"
    assert isinstance(lost.failure(), O2ConnectionLost)
    again = world.mailbox(DEPTH)
    assert not again.ended


def test_closing_ends_all_in_good_order() -> None:
    world = World()
    boxes = [*world.live(DEPTH, TRADES), world.mailbox(COARSE)]
    world.hub.close()
    assert [(box.ended, box.failed) for box in boxes] == [(True, False)] * 3
    assert isinstance(world.hub, Hub)
    assert world.hub.topics == []
