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

from .._errors import DecodeError
from ..models import Update
from ..wire import PING, PONG, AnyUpdate, ErrorBody, Frame, FrameKind, Kind, decode
from ._barriers import Barriers
from ._events import FrameIgnored
from ._host import Host
from ._machine import Event, State
from ._refusals import Refusals
from ._routes import ACTIONS, ITEMS, ROUTES, kind_of_action
from ._topic import Topic
from ._topics import Slot, TopicKey, without_former

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Port"]

_log = logging.getLogger("o2trio.streams")

# A member of an enumeration takes longer to find than a global.
_LIVE = State.LIVE

_TURN = 512
"""Messages that are taken before other tasks have their turn."""

_WORDS = re.compile(r'\s*"?[^{}\[\]":\x00-\x1f\x7f\ufffd]{0,64}"?\s*')
"""A few words, or one JSON value that is neither a list nor an object: no damaged message looks like this."""
_ACTION_TEXT = re.compile(r'"action"\s*:\s*"(\w+)"|"(subscribe_\w+)"')


class Port:
    """The topics of one connection.

    Attributes:
      number: names the connection in events and logs, from 1.
      turbo: whether it carries the Turbo venue; a connection belongs to one venue.
      online: whether its WebSocket is up.
      slots: the topics by slot; also the routing table.
      frames: inbound messages so far.
      heard_at: when the last of them came; what the server sent before it is here.
      unrouted: data frames that no topic was there for, and answers to no heartbeat.
      barriers: the heartbeats of the present WebSocket.
      answers_heartbeats: whether the server ever answered one with PONG.
      sends_pongs: whether it did so on any connection of the client.
      wake: set by the connection; called when the outbox has something.
    """

    def __init__(
        self,
        number: int,
        host: Host,
        *,
        turbo: bool = False,
        sends_pongs: Callable[[], bool] = lambda: False,
    ) -> None:
        self.number = number
        self.sends_pongs = sends_pongs
        self.turbo = turbo
        self.online = False
        self.slots: dict[Slot, Topic] = {}
        self.frames = 0
        self.heard_at = host.now()
        self.unrouted = 0
        self.wake: Callable[[], None] = lambda: None
        self.barriers = Barriers()
        self._refusals = Refusals(self, host)
        self._host = host
        self._outbox: deque[tuple[str, Topic | None]] = deque()
        self._former: dict[Slot, dict[TopicKey, float]] = {}
        self._served = False
        self._owes_answer = False
        self.answers_heartbeats = False

    # -- the connection's side ------------------------------------------------------------------

    def link_up(self) -> None:
        """Subscribe every topic: a fresh WebSocket is there."""
        self.online = True
        self.barriers.reset()
        self._owes_answer = False
        self._former.clear()
        for topic in list(self.slots.values()):
            topic.handle(Event.ONLINE)

    def link_down(self, reason: str) -> None:
        """Tell every topic that the WebSocket is gone."""
        self._served = self.has_served
        self.online = False
        self._outbox.clear()
        self._refusals.reset()
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
        # Messages of the Turbo venue are marked, which is looked at with everything else that is unusual.
        items: Mapping[FrameKind, Kind] = {} if self.turbo else ITEMS
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
                    wanted = items.get(kind)
                    topic = None if wanted is None else slots.get((wanted, market_id))
                    if (
                        topic is not None
                        and not extra
                        and topic.state is _LIVE
                        and topic.is_confirmed
                        and not (former and former.get(topic.key.slot))
                        and extra is None
                        and isinstance(update, Update)
                        and not update.not_understood
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
        if extra is not None and extra.odd:
            self._host.oddities.note_fields(extra.odd)
        route = ROUTES.get(kind)
        if route is None:
            _CONTROL[kind](self, frame, message)
            return False
        if (extra is not None and extra.turbo) is not self.turbo:
            self.unrouted += 1
            return False
        crowded = isinstance(update, Update) and self._route_data((route[0], market_id), route[1], update)
        if extra is not None and extra.error is not None:
            # After the data, so that it refuses no stream that has had some.
            self._take_error(extra.error)
        return crowded

    def _route_data(self, slot: Slot, event: Event, update: AnyUpdate) -> bool:
        topic = self.slots.get(slot)
        if topic is None:
            self.unrouted += 1
            return False
        if former := self._former.get(slot):
            # What comes before the request is read may be the rest of an older subscription, after which
            # something would be missing.
            early = not (topic.is_confirmed or topic.behaviour.starts_with_snapshot)
            own = None if early else without_former(topic.key, update, set(former))
            if own is None:
                self.unrouted += 1
                return False
            update = own
        # What comes before the snapshot answers an older request of the same slot.
        if event is Event.SNAPSHOT or not topic.behaviour.starts_with_snapshot:
            # Nor does anything answer a request that has not gone out.
            topic.answered = topic.sent_at is not None
            if not topic.is_confirmed:
                topic.confirmed()
        if update.not_understood:
            self._host.oddities.note_entries(str(topic.key), update.not_understood)
        topic.handle(event, update)
        return topic.audience.is_crowded

    def next_outgoing(self) -> tuple[str, Topic | None] | None:
        """Return the next frame to write and the topic it subscribes, or None.

        After the last request of a batch comes a heartbeat: its answer tells that the server has read
        all before it, which later decides whom an error frame without any name belongs to.

        What goes out is noted here and not when it is written: its answer may be read before the writer has
        its turn again.
        """
        if self._outbox:
            outgoing = self._outbox.popleft()
        elif self.barriers.is_due:
            self.barriers.make()
            outgoing = PING, None
        else:
            return None
        text, topic = outgoing
        if topic is not None:
            topic.requested()
        elif text == PING:
            self.barriers.written += 1
        elif text == PONG:
            self._owes_answer = False
        return outgoing

    def sent(self, topic: Topic) -> None:
        """Note that the topic's request is on the wire, as a whole."""
        if self.slots.get(topic.key.slot) is topic:
            topic.sent()

    @property
    def has_served(self) -> bool:
        """Whether the exchange ever answered a heartbeat or sent data over this connection."""
        answered = self.barriers.answered > 0 or any(topic.answered for topic in self.slots.values())
        return self._served or answered

    def heartbeat(self) -> int:
        """Queue a text heartbeat; return its number."""
        number = self.barriers.make()
        self._send(PING, None)
        return number

    def has_answered(self, heartbeat: int) -> bool:
        """Whether the server has answered the heartbeat of this number, and so all that came before it."""
        return heartbeat <= self.barriers.answered

    def had(self, slot: Slot) -> bool:
        """Whether another subscription held the slot on this socket: messages of it may still come."""
        return bool(self._former.get(slot))

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
        topic.fence = self.barriers.queued + 1
        self.barriers.is_due = True
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
        words = not isinstance(message, bytes) and _WORDS.fullmatch(message)
        if words and self._refusals.take_unknown():
            return
        for topic in list(self._touched(problem, message)):
            topic.handle(Event.BREAK, reason="a frame could not be understood")

    def _touched(self, problem: DecodeError, message: str | bytes) -> Iterable[Topic]:
        """Return the topics that a broken frame may have been meant for.

        A frame that names its stream concerns that one, and one whose length was damaged may have swallowed
        others, which it names, too; a frame that is no JSON object at all can be no trade, order, balance
        or nonce, but the books are not risked; anything else may be any. A depth view needs no repair: the
        next one replaces it.
        """
        text = message if isinstance(message, str) else message.decode(errors="replace")
        actions = {named or found for named, found in _ACTION_TEXT.findall(text)}
        if problem.action is not None:
            # Data under an action of nobody may be for any stream.
            actions = {problem.action} & ACTIONS.keys()
        if actions:
            kinds = {ACTIONS[action] for action in actions & ACTIONS.keys()}
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
        # One that still waits answers this one, too: a server that does not read must not fill the memory.
        if not self._owes_answer:
            self._owes_answer = self.online
            self._send(PONG, None)

    def _on_pong(self, _frame: Frame, _message: str | bytes) -> None:
        self.answers_heartbeats = True
        if self.barriers.assumed:
            # The answer was only slow, and must not count for a later heartbeat.
            self.barriers.assumed -= 1
            self._refusals.surplus_answer()
        elif self.barriers.outstanding:
            self._refusals.before_answer(self.barriers.answered + 1)
            self.answer()
        else:
            # Sent twice or unasked; it must not count for a later heartbeat.
            self.unrouted += 1
            self._refusals.surplus_answer()

    def answer(self) -> None:
        """Take the oldest heartbeat without an answer as answered: what came before it has been read."""
        self.barriers.answered += 1
        for topic in list(self.slots.values()):
            topic.answered_up_to(self.barriers.answered)

    def assume_answer(self) -> None:
        """Take something else for the answer to the oldest heartbeat without one, since no PONG came."""
        self.barriers.assumed += 1
        self.answer()

    def _on_acknowledgement(self, frame: Frame, _message: str | bytes) -> None:
        """Confirm the topic that is named, unless another held its slot: then it may be the other's."""
        action = None if frame.extra is None else frame.extra.action
        kind = kind_of_action(action)
        if action is None:
            self._refusals.take_unknown()
        topic = None if kind is None else self.slots.get((kind, frame.market_id))
        if topic is not None and not self.had(topic.key.slot):
            topic.confirmed()

    def _on_unknown(self, _frame: Frame, message: str | bytes) -> None:
        self.unrouted += 1
        self._refusals.take_unknown()
        self._host.emit(
            FrameIgnored(
                time=self._host.now(),
                connection=self.number,
                problem="unknown action",
                frame=f"{message!r:.200}",
            )
        )

    def _on_error(self, frame: Frame, _message: str | bytes) -> None:
        assert isinstance(frame.body, ErrorBody)
        self._take_error(frame.body)
        for topic in self._refusals.ended_by(frame.body):
            topic.handle(Event.BREAK, reason="the exchange ended the subscription")

    def _take_error(self, error: ErrorBody) -> None:
        if error.resync_required and (self.turbo or not error.turbo):
            for topic in list(self.slots.values()):
                if error.market_id in (None, topic.key.market_id) and topic.key.kind is not Kind.DEPTH_VIEW:
                    topic.handle(Event.BREAK, reason="the exchange asks to start over")
            return
        self._refusals.take(error)


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
