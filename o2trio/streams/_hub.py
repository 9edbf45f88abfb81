"""All topics of one client: finds or places the topic that a consumer needs.

A demand goes onto the first connection of its venue whose slot for it is free. If none is, a further
connection is opened: a live server subscription is never disturbed to make room. The venues share no
connection: not every message says which one it is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .._errors import TooManyConnections
from ..wire import AnyUpdate
from ._host import Host
from ._mailbox import Mailbox
from ._port import Port
from ._topic import Topic
from ._topics import TopicKey

__all__ = ["Hub"]


class Hub:
    """The ports of one client, and who is subscribed to what.

    Attributes:
      ports: those in use.
      frames, unrouted: what the ports that are forgotten had counted.
    """

    def __init__(self, host: Host) -> None:
        self.ports: list[Port] = []
        self.frames = self.unrouted = 0
        self._host = host
        self._numbers = 0
        self._served = self._answers = False

    @property
    def topics(self) -> list[Topic]:
        """All topics, in the order of their connections."""
        return [topic for port in self.ports for topic in port.slots.values()]

    @property
    def has_served(self) -> bool:
        """Whether the exchange ever served one of the connections; a mere upgrade does not count."""
        return self._served or any(port.has_served for port in self.ports)

    @property
    def answers_heartbeats(self) -> bool:
        """Whether the exchange ever answered a heartbeat with PONG on one of the connections."""
        return self._answers or any(port.answers_heartbeats for port in self.ports)

    def attach(self, mailbox: Mailbox[AnyUpdate], keys: Iterable[TopicKey], *, seed: bool = False) -> None:
        """Let `mailbox` consume the topics of `keys`, which are created where they do not exist.

        With `seed` it is first given the state as it is.

        Raises:
          TooManyConnections: there is no room; `mailbox` is attached to nothing then.
        """
        wanted = list(keys)
        mailbox.is_shared = len(wanted) > 1
        try:
            for key in wanted:
                self._find(key).join(mailbox, seed=seed)
        except TooManyConnections:
            self.detach(mailbox)
            raise
        if not mailbox.pending:
            mailbox.opened.set()

    def detach(self, mailbox: Mailbox[AnyUpdate]) -> None:
        """Take `mailbox` off all topics; the last one to leave a topic ends it."""
        for topic in self.topics:
            topic.leave(mailbox)

    def retire(self, port: Port) -> bool:
        """Forget `port` if it carries nothing; return whether it is forgotten."""
        if not port.slots and port in self.ports:
            self._forget(port)
        return port not in self.ports

    def give_up(self, port: Port, error: Callable[[], Exception]) -> None:
        """Forget `port` and end all its topics with `error()`."""
        self._forget(port)
        port.give_up(error)

    def close(self) -> None:
        """End all topics in good order."""
        for topic in self.topics:
            topic.fail(None)

    def _forget(self, port: Port) -> None:
        self.ports.remove(port)
        self._served |= port.has_served
        self._answers |= port.answers_heartbeats
        self.frames += port.frames
        self.unrouted += port.unrouted

    def _find(self, key: TopicKey) -> Topic:
        free: Port | None = None
        for port in self.ports:
            if port.turbo is not key.turbo:
                continue
            holder = port.slots.get(key.slot)
            if holder is not None and holder.key == key:
                return holder
            if holder is None and free is None:
                free = port
        port = free or self._grow(key)
        topic = Topic(key, self._host, port)
        port.place(topic)
        return topic

    def _grow(self, key: TopicKey) -> Port:
        limit = self._host.options.max_connections
        if len(self.ports) >= limit:
            raise TooManyConnections(
                f"{key} needs a connection of its own and all {limit} are in use: leave another stream, "
                "give several accounts to one stream, or raise Options.max_connections"
            )
        self._numbers += 1
        port = Port(self._numbers, self._host, turbo=key.turbo, sends_pongs=lambda: self.answers_heartbeats)
        self.ports.append(port)
        self._host.run_connection(port)
        return port
