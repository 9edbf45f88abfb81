"""Judges what is no single consumer's: limits, leftovers, dials, and that everything works again at the end.

What one consumer was told is judged in ``_judges_market`` and ``_judges_account``; that a fast one is not
held up by slow ones, in ``_users``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import trio

from .._client import O2Client
from .._statistics import ClientStatistics
from ..streams import State
from ._consumers import Crowd
from ._users import User
from ._watch import check_draws, check_held, watches_of
from ._world import BrokenPromise, Consumer, Promise, World

__all__ = ["Oracle", "own_tasks"]

_TASKS_EACH = 6
"""Tasks that a client may have at rest for each of its connections and streams: readers, timers, repairs."""


class Oracle:
    """Judges the clients of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, world: World, consumers: Sequence[Consumer]) -> None:
        """Check everything at rest, with a client still open.

        Raises:
          BrokenPromise: something is out of its bounds, left over, or does not work.
        """
        self.check_dials()
        for client in _clients(world):
            check_streams(client.statistics())
            check_consumers(client.statistics(), consumers)
            check_server(client.statistics(), [len(each.subscriptions) for each in world.sim.connections])
            check_bounds(client)

    def check_dials(self) -> None:
        """Check how all clients so far have dialled."""
        watches = watches_of(self._world)
        for watch in watches:
            if watch.dials.failure:
                raise BrokenPromise(Promise.DIAL_RATE, watch.dials.failure)
        check_draws([draw for watch in watches for draw in watch.dials.draws])

    def check_end(self, world: World) -> None:
        """Check that nothing is left after the last client was closed.

        Raises:
          BrokenPromise: a task or a connection of the client is still there.
        """
        self.check_dials()
        tasks = own_tasks()
        if tasks:
            raise BrokenPromise(Promise.CLEAN, f"{len(tasks)} tasks are left: {', '.join(tasks[:5])}")
        held = [each for each in world.network.connections if not each.client.is_closed]
        if held:
            raise BrokenPromise(Promise.CLEAN, f"{len(held)} connections are left, one to {held[0].host}")


def check_streams(statistics: ClientStatistics) -> None:
    """Check that every stream and connection of a client works."""
    for topic in statistics.topics:
        if topic.state is not State.LIVE:
            raise BrokenPromise(
                Promise.LIVENESS, f"{topic.topic} is {topic.state.value}, long after the last fault"
            )
    down = [number for number, is_up in statistics.connections.items() if not is_up]
    if down:
        raise BrokenPromise(Promise.LIVENESS, f"connection {down[0]} is down, long after the last fault")


def check_consumers(statistics: ClientStatistics, consumers: Sequence[Consumer]) -> None:
    """Check that a client has a stream only for those who consume one."""
    idle = [topic.topic for topic in statistics.topics if not topic.consumers]
    if idle:
        raise BrokenPromise(Promise.CLEAN, f"nobody listens to {idle[0]} any more, but it is still there")
    wanted = sum(each.subscriptions for each in consumers if isinstance(each, (User, Crowd)))
    there = sum(topic.consumers for topic in statistics.topics)
    if there > wanted:
        raise BrokenPromise(Promise.CLEAN, f"the client serves {there} consumers, but there are {wanted}")


def check_server(statistics: ClientStatistics, subscriptions: Sequence[int]) -> None:
    """Check that the server holds one subscription for each stream of a client, and none besides.

    Args:
      statistics: of the client.
      subscriptions: how many the server holds on each of its connections.
    """
    if sum(subscriptions) != len(statistics.topics):
        raise BrokenPromise(
            Promise.CLEAN,
            f"the server holds {sum(subscriptions)} subscriptions for {len(statistics.topics)} streams",
        )
    if len(subscriptions) != len(statistics.connections):
        raise BrokenPromise(
            Promise.CLEAN,
            f"the server holds {len(subscriptions)} connections, the client {len(statistics.connections)}",
        )


def check_bounds(client: O2Client) -> None:
    """Check the sizes of what a client holds."""
    statistics = client.statistics()
    if len(statistics.connections) > client._runtime.options.max_connections:
        raise BrokenPromise(Promise.BOUNDED, f"{len(statistics.connections)} connections")
    tasks = own_tasks()
    limit = _TASKS_EACH * (1 + len(statistics.connections) + len(statistics.topics))
    if len(tasks) > limit:
        raise BrokenPromise(
            Promise.BOUNDED, f"{len(tasks)} tasks for {limit} at most: {', '.join(tasks[:5])}"
        )
    check_held(client)


def own_tasks() -> list[str]:
    """Return the names of the client's tasks that run."""
    # Up to the main task, not to the root of all: system tasks are no client's.
    main, root = trio.lowlevel.current_task(), trio.lowlevel.current_root_task()
    while main.parent_nursery is not None and main.parent_nursery.parent_task is not root:
        main = main.parent_nursery.parent_task
    return [task.name for task in _below(main) if task.name.startswith("o2trio ")]


def _below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in sorted(nursery.child_tasks, key=lambda each: each.name):
            yield child
            yield from _below(child)


def _clients(world: World) -> list[O2Client]:
    """Return the client that is open, if one is."""
    known = (watch.client() for watch in watches_of(world))
    return [client for client in known if client is not None and world.is_open(client)]
