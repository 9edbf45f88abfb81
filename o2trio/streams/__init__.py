"""The heart: topics, their state machine, routing, buffers and books. No sockets, no clock of its own."""

from ._book import DepthBook, ReadOnlyBook
from ._events import (
    ConnectionDown,
    ConnectionGivenUp,
    ConnectionUp,
    EntryNotUnderstood,
    Event,
    EventsMissed,
    FieldNotUnderstood,
    FrameIgnored,
    ServerMessage,
    TopicBroken,
    TopicRefused,
    TopicRestored,
    TopicStale,
)
from ._feed import EventFeed
from ._host import Host
from ._hub import Hub
from ._machine import QUIET, SNAPSHOT_FIRST, Action, State, Step
from ._mailbox import Mailbox
from ._memory import StateMemory, order_part
from ._oddities import Oddities
from ._port import Port
from ._subscription import Subscription, SubscriptionStatistics
from ._topic import Topic
from ._topics import MAX_IDENTITIES, TopicKey, identity_keys
from ._trades import TradeLag, TradeLedger

__all__ = [
    "MAX_IDENTITIES",
    "QUIET",
    "SNAPSHOT_FIRST",
    "Action",
    "ConnectionDown",
    "ConnectionGivenUp",
    "ConnectionUp",
    "DepthBook",
    "EntryNotUnderstood",
    "Event",
    "EventFeed",
    "EventsMissed",
    "FieldNotUnderstood",
    "FrameIgnored",
    "Host",
    "Hub",
    "Mailbox",
    "Oddities",
    "Port",
    "ReadOnlyBook",
    "ServerMessage",
    "State",
    "StateMemory",
    "Step",
    "Subscription",
    "SubscriptionStatistics",
    "Topic",
    "TopicBroken",
    "TopicKey",
    "TopicRefused",
    "TopicRestored",
    "TopicStale",
    "TradeLag",
    "TradeLedger",
    "identity_keys",
    "order_part",
]
