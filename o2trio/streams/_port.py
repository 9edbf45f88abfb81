"""The streams' side of one connection: which topics it carries, what goes out, what came in.

A port survives the loss of its WebSocket. It knows nothing of sockets: a connection tells it when the
link is up or down, hands it every inbound message, and takes the frames of its outbox.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .._errors import DecodeError, SubscriptionRejected
from ..models import Update
from ..wire import PING, PONG, ErrorBody, Frame, FrameKind, Kind, decode
from ._events import FrameIgnored, ServerMessage, TopicRefused
from ._host import Host
from ._machine import Event, State
from ._topic import Topic
from ._topics import Slot, TopicKey, without_former

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Port"]

_log = logging.getLogger("o2trio.streams")

_ROUTES: Mapping[FrameKind, tuple[Kind, Event]] = {
    FrameKind.DEPTH_UPDATE: (Kind.DEPTH, Event.ITEM),
    FrameKind.DEPTH_SNAPSHOT: (Kind.DEPTH, Event.SNAPSHOT),
    FrameKind.DEPTH_VIEW: (Kind.DEPTH_VIEW, Event.SNAPSHOT),
    FrameKind.TRADES: (Kind.TRADES, Event.ITEM),
    FrameKind.ORDERS: (Kind.ORDERS, Event.ITEM),
    FrameKind.BALANCES: (Kind.BALANCES, Event.ITEM),
    FrameKind.NONCE: (Kind.NONCE, Event.ITEM),
}
"""Data frames: which kind of topic they belong to and what they are to it."""

_ITEMS = {frame: kind for frame, (kind, event) in _ROUTES.items() if event is Event.ITEM}
# A member of an enumeration takes longer to find than a global.
_LIVE = State.LIVE

_TURN = 512
"""Messages that are taken before other tasks have their turn."""

_ACTIONS = {kind.value: route[0] for kind, route in _ROUTES.items()} | {"nonce": Kind.NONCE}
_ACTION_TEXT = re.compile(r'"action"\s*:\s*"(\w+)"')


class Port:
    """The topics of one connection.

    Attributes:
      number: names the connection in events and logs, from 1.
      online: whether its WebSocket is up.
      slots: the topics by slot; also the routing table.
      frames: inbound messages so far.
      heard_at: when the last of them came; what the server sent before it is here.
      unrouted: data frames that no topic was there for.
      wake: set by the connection; called when the outbox has something.
    """

    def __init__(self, number: int, host: Host) -> None:
        self.number = number
        self.online = False
        self.slots: dict[Slot, Topic] = {}
        self.frames = 0
        self.heard_at = host.now()
        self.unrouted = 0
        self.wake: Callable[[], None] = lambda: None
        self._host = host
        self._outbox: deque[tuple[str, Topic | None]] = deque()
        self._former: dict[Slot, dict[TopicKey, float]] = {}
        self._pings = 0
        self._pongs = 0
        self._unfenced = False
        self._served = False

    # -- the connection's side ------------------------------------------------------------------

    def link_up(self) -> None:
        """Subscribe every topic: a fresh WebSocket is there."""
        self.online = True
        self._pings = self._pongs = 0
        self._unfenced = False
        self._former.clear()
        for topic in list(self.slots.values()):
            topic.handle(Event.ONLINE)

    def link_down(self, reason: str) -> None:
        """Tell every topic that the WebSocket is gone."""
        self._served = self.has_served
        self.online = False
        self._outbox.clear()
        for topic in list(self.slots.values()):
            topic.handle(Event.LINK_LOST, reason=reason)

    def give_up(self, error: Callable[[], Exception]) -> None:
        """End every topic: the connection will not come back."""
        self.online = False
        self._outbox.clear()
        for topic in list(self.slots.values()):
            topic.fail(error)

    def receive(self, messages: Iterable[str | bytes]) -> bool:
        """Take inbound messages: decode each once and give it to its topic.

        Live items of one topic reach its consumers together, in their order; nobody can look in between.

        Returns:
          whether it stopped for others to have their turn: a consumer has enough to do, or enough was done.
        """
        now, enough = self._host.now(), self.frames + _TURN
        slots, former = self.slots, self._former
        running: list[Topic] = []
        crowded = False
        try:
            for message in messages:
                self.heard_at = now
                self.frames += 1
                try:
                    kind, market_id, update, extra = frame = decode(message)
                except DecodeError as problem:
                    _hand_out(running)
                    self._undecodable(problem, message)
                else:
                    wanted = _ITEMS.get(kind)
                    topic = None if wanted is None else slots.get((wanted, market_id))
                    if (
                        topic is not None
                        and not extra
                        and topic.state is _LIVE
                        and topic.is_confirmed
                        and not (former and former.get(topic.key.slot))
                        and isinstance(update, Update)
                    ):
                        if not topic.run:
                            running.append(topic)
                        crowded = topic.take(update)
                    else:
                        _hand_out(running)
                        crowded = self._route(frame, message)
                if crowded or self.frames >= enough:
                    break
        finally:
            _hand_out(running)
        return crowded or self.frames >= enough

    def _route(self, frame: Frame, message: str | bytes) -> bool:
        """Lead a message to where it belongs, whatever its state; return whether it is crowded there."""
        kind, market_id, update, extra = frame
        route = _ROUTES.get(kind)
        if route is None:
            _CONTROL[kind](self, frame, message)
            return False
        if extra is not None and extra.turbo:
            self.unrouted += 1
            return False
        slot, event = (route[0], market_id), route[1]
        topic = self.slots.get(slot)
        if topic is None or update is None or isinstance(update, ErrorBody):
            self.unrouted += 1
            return False
        if former := self._former.get(slot):
            # What comes before the request is read may be the rest of an older subscription, after which
            # something would be missing.
            early = not (topic.is_confirmed or topic.behaviour.starts_with_snapshot)
            update = None if early else without_former(topic.key, update, set(former))
            if update is None:
                self.unrouted += 1
                return False
        # What comes before the snapshot answers an older request of the same slot.
        if event is Event.SNAPSHOT or not topic.behaviour.starts_with_snapshot:
            topic.answered = True
            if not topic.is_confirmed:
                topic.confirmed()
        topic.handle(event, update)
        return topic.audience.is_crowded

    def next_outgoing(self) -> tuple[str, Topic | None] | None:
        """Return the next frame to write and the topic it subscribes, or None.

        After the last request of a batch comes a heartbeat: its answer tells that the server has read
        all before it, which later decides whom an error frame without any name belongs to.
        """
        if self._outbox:
            return self._outbox.popleft()
        return self._ping() if self._unfenced else None

    def sent(self, topic: Topic) -> None:
        """Note that the topic's request is on the wire."""
        if self.slots.get(topic.key.slot) is topic:
            topic.sent()

    @property
    def has_served(self) -> bool:
        """Whether the exchange ever answered a heartbeat or sent data over this connection."""
        return self._served or self._pongs > 0 or any(topic.answered for topic in self.slots.values())

    def heartbeat(self) -> int:
        """Queue a text heartbeat; return its number."""
        self._send(*self._ping())
        return self._pings

    def has_answered(self, heartbeat: int) -> bool:
        """Whether the server has answered the heartbeat of this number, and so all that came before it."""
        return heartbeat <= self._pongs

    def had(self, slot: Slot) -> bool:
        """Whether another subscription held the slot on this socket: messages of it may still come."""
        return bool(self._former.get(slot))

    def _ping(self) -> tuple[str, None]:
        self._pings += 1
        self._unfenced = False
        return PING, None

    def check_stale(self, now: float) -> None:
        """Report topics that have been silent for too long; forget what nothing can come of any more."""
        for topic in self.slots.values():
            topic.check_stale(now)
        for slot in list(self._former):
            # Without a request behind it, the end itself may still wait to be written.
            if slot in self.slots and self.slots[slot].is_confirmed:
                self._forget(slot, now)

    # -- the topics' side -----------------------------------------------------------------------

    def subscribe(self, topic: Topic) -> None:
        """Queue the topic's request."""
        topic.fence = self._pings + 1
        self._unfenced = True
        self._send(topic.key.subscribe_frame(), topic)

    def unsubscribe(self, topic: Topic) -> None:
        """Queue the end of the topic's subscription."""
        slot, now = topic.key.slot, self._host.now()
        self._forget(slot, now)
        self._former.setdefault(slot, {})[topic.key] = now
        self._send(topic.key.unsubscribe_frame(), None)

    def _forget(self, slot: Slot, now: float) -> None:
        """Forget subscriptions that ended so long ago that nothing of them is on its way."""
        patience = self._host.options.silence_timeout
        former = {key: since for key, since in self._former.pop(slot, {}).items() if now - since <= patience}
        if former:
            self._former[slot] = former

    def release(self, topic: Topic) -> None:
        """Free the topic's slot."""
        if self.slots.get(topic.key.slot) is topic:
            del self.slots[topic.key.slot]
            self.wake()

    def place(self, topic: Topic) -> None:
        """Take in a topic; its slot must be free."""
        self.slots[topic.key.slot] = topic
        if self.online:
            topic.handle(Event.ONLINE)
        self.wake()

    def _send(self, text: str, topic: Topic | None) -> None:
        # What is said to nobody must not be said to the next server: its answer would count for others.
        if self.online:
            self._outbox.append((text, topic))
            self.wake()

    # -- frames that are no data ----------------------------------------------------------------

    def _undecodable(self, problem: DecodeError, message: str | bytes) -> None:
        _log.warning("connection %d: ignored a frame: %s", self.number, problem)
        self._host.emit(
            FrameIgnored(
                time=self._host.now(),
                connection=self.number,
                problem=f"{problem.problem} at {problem.path}",
                frame=problem.frame,
            )
        )
        for topic in list(self._touched(problem, message)):
            topic.handle(Event.BREAK, reason="a frame could not be understood")

    def _touched(self, problem: DecodeError, message: str | bytes) -> Iterable[Topic]:
        """Return the topics that a broken frame may have been meant for.

        A frame that names its stream concerns that one, and one whose length was damaged may have swallowed
        others, which it names, too; a frame that is no JSON object at all can be no trade, order, balance
        or nonce, but the books are not risked; anything else may be any. A depth view needs no mending: the
        next one replaces it.
        """
        text = message if isinstance(message, str) else message.decode(errors="replace")
        actions = set(_ACTION_TEXT.findall(text)) if problem.action is None else {problem.action}
        if actions:
            kinds = {_ACTIONS[action] for action in actions & _ACTIONS.keys()}
        elif text.lstrip()[:1] == "{":
            kinds = set(Kind)
        else:
            kinds = {Kind.DEPTH}
        kinds.discard(Kind.DEPTH_VIEW)
        return [
            topic
            for topic in self.slots.values()
            if topic.key.kind in kinds
            and (problem.market_id is None or topic.key.market_id in (None, problem.market_id))
        ]

    def _on_ping(self, _frame: Frame, _message: str | bytes) -> None:
        self._send(PONG, None)

    def _on_pong(self, _frame: Frame, _message: str | bytes) -> None:
        self._pongs += 1
        for topic in list(self.slots.values()):
            topic.answered_up_to(self._pongs)

    def _on_acknowledgement(self, _frame: Frame, _message: str | bytes) -> None:
        pass

    def _on_unknown(self, _frame: Frame, message: str | bytes) -> None:
        self.unrouted += 1
        self._host.emit(
            FrameIgnored(
                time=self._host.now(),
                connection=self.number,
                problem="unknown action",
                frame=f"{message!r:.200}",
            )
        )

    def _on_error(self, frame: Frame, _message: str | bytes) -> None:
        error = frame.body
        assert isinstance(error, ErrorBody)
        if error.resync_required and not error.turbo:
            for topic in list(self.slots.values()):
                if error.market_id in (None, topic.key.market_id) and topic.key.kind is not Kind.DEPTH_VIEW:
                    topic.handle(Event.BREAK, reason="the exchange asks to start over")
            return
        refused = None if error.turbo else self._refused(error)
        now, code, message = self._host.now(), error.code, error.message
        if refused is None:
            _log.warning("connection %d: the exchange reports %s: %s", self.number, code, message)
            self._host.emit(ServerMessage(time=now, connection=self.number, code=code, message=message))
            return
        name = str(refused.key)
        _log.warning("the exchange refused %s: %s: %s", name, code, message)
        self._host.emit(TopicRefused(time=now, topic=name, code=code, message=message))
        if refused.is_confirmed:
            # Not sure that it is this one; then the server may hold what nobody here knows of.
            self.unsubscribe(refused)
        refused.fail(lambda: SubscriptionRejected(code, message, name))

    def _refused(self, error: ErrorBody) -> Topic | None:
        """Return the topic that an error frame refuses, or None if it is about something else.

        The protocol has no request id. What the error repeats decides; then the order of sending,
        where a request that the server has not yet read past (no heartbeat answered since) or that
        lacks its snapshot comes first. Only requests that nothing has answered are in question.
        """
        options, now, action = self._host.options, self._host.now(), error.action or ""
        if action.startswith("unsubscribe_"):
            return None
        kind = _ACTIONS.get(action)
        waiting = [
            topic
            for topic in self.slots.values()
            if not topic.answered
            and topic.sent_at is not None
            and now - topic.sent_at <= options.refusal_window
            and kind in (None, topic.key.kind)
            and error.market_id in (None, topic.key.market_id)
        ]
        return min(waiting, key=self._unread, default=None)

    def _unread(self, topic: Topic) -> tuple[bool, bool, float]:
        read = topic.fence <= self._pongs
        return read, read and not topic.behaviour.starts_with_snapshot, topic.sent_at or 0.0


def _hand_out(topics: list[Topic]) -> None:
    for topic in topics:
        topic.hand_out()
    topics.clear()


_CONTROL: Mapping[FrameKind, Callable[[Port, Frame, str | bytes], None]] = {
    FrameKind.PING: Port._on_ping,
    FrameKind.PONG: Port._on_pong,
    FrameKind.ERROR: Port._on_error,
    FrameKind.ACKNOWLEDGEMENT: Port._on_acknowledgement,
    FrameKind.UNKNOWN: Port._on_unknown,
}
