"""Bugs of the client that scenarios found, put back: a table as in ``_mutants``, with a seed kept for each.

The same number stands for another run as soon as draws change, or the order of the client's steps. So these
are not the seeds that found them first, but ones that find them now: ``soak_mutants`` sees that they do, and
``tests/testing/test_found.py`` that the client passes them.
"""

from __future__ import annotations

from ._mutants import Mutant

__all__ = ["FORMER_BUGS", "RARE_BUGS"]

_TOPIC = "streams/_topic.py"
_PORT = "streams/_port.py"
_RECOVERY = "recovery.py"
_STATE_READS = "_state_reads.py"
_TRANSPORT = "rest/_transport.py"

FORMER_BUGS = (
    Mutant(
        "bug-read-ahead",
        "a repair tells what REST said already, and then what is older and still under way",
        _RECOVERY,
        "        heartbeat = topic.port.heartbeat()\n        with trio.move_on_after",
        "        return True\n        heartbeat = topic.port.heartbeat()\n        with trio.move_on_after",
        kept=(1799, 1.0),
    ),
    Mutant(
        "bug-slow-wire",
        "a repair goes on although the wire is too slow to tell what is still under way",
        _RECOVERY,
        "                await trio.sleep(_PROMPT_SECONDS)\n        return False\n",
        "                await trio.sleep(_PROMPT_SECONDS)\n        return True\n",
        kept=(314, 1.0),
    ),
    Mutant(
        "bug-given-up",
        "a repair that was given up tells what it read, and then what is older and still under way",
        _RECOVERY,
        "        if pending.updates and not await self._has_arrived(topic):",
        "        if pending.updates and not problem and not await self._has_arrived(topic):",
        kept=(1799, 1.0),
    ),
    Mutant(
        "bug-read-late",
        "what comes between a request and its late reading is neither told nor marked",
        _TOPIC,
        "        self._assumed = True\n        if self.state is State.REPAIRING:\n",
        "        self._assumed = self.state is not State.LIVE\n        if self.state is State.REPAIRING:\n",
        kept=(195, 0.5),
    ),
    Mutant(
        "bug-end-forgotten",
        "an order's end is forgotten while older state is read",
        _TOPIC,
        "self.memory.note(update, keep_all=self._learning)",
        "self.memory.note(update)",
        kept=(1067, 1.0),
    ),
    Mutant(
        "bug-dial-outlives",
        "a read that is still dialled outlives its client",
        _TRANSPORT,
        "        if self.is_closed:\n            await trio.aclose_forcefully(stream)",
        "        if False:\n            await trio.aclose_forcefully(stream)",
        kept=(21, 0.5),
    ),
    Mutant(
        "bug-snapshot-cuts",
        "of a full buffer the snapshots of all accounts but the last are left out",
        "streams/_mailbox.py",
        "for told in (snapshots, changes):",
        "for told in (snapshots[-1:], changes):",
        kept=(389, 1.0),
    ),
    Mutant(
        "bug-older-trades",
        "trades that are listed before a known one are delivered after it",
        "streams/_trades.py",
        "            elif new:\n",
        "            elif not new:\n",
        kept=(30123, 0.5),
    ),
    Mutant(
        "bug-already-subscribed",
        "a stream that the server holds already is refused, again and again",
        "streams/_refusals.py",
        "topic.subscribe_afresh(_HELD_ALREADY)",
        "not topic.key",
        kept=(30327, 0.5),
    ),
    Mutant(
        "bug-late-pong",
        "a strange message counts as the answer to a heartbeat whose PONG is only late",
        "streams/_hub.py",
        "sends_pongs=lambda: self.answers_heartbeats",
        "sends_pongs=lambda: False",
        kept=(400961189, 1.0),
    ),
)

RARE_BUGS = (
    Mutant(
        "bug-held-behind-mark",
        "items that were held before a loss come behind its mark",
        _TOPIC,
        "        self.held.clear()\n        if self.is_confirmed:\n",
        "        if self.is_confirmed:\n",
    ),
    Mutant(
        "bug-latecomer",
        "who joins during a repair goes on at once, and loses what is held back",
        "streams/_audience.py",
        "if not self.is_open or among is self.late:",
        "if not self.is_open:",
    ),
    Mutant(
        "bug-next-server",
        "a heartbeat that was meant for the connection before is sent on the next one",
        _PORT,
        "        if self.online:\n            self._outbox.append",
        "        if True:\n            self._outbox.append",
    ),
    Mutant(
        "bug-late-heartbeat",
        "an answer that comes late is taken for that to a later heartbeat",
        _PORT,
        "        self.barriers.answered += 1\n",
        "        self.barriers.answered = self.barriers.queued\n",
    ),
    Mutant(
        "bug-second-break",
        "a break before the orders were read anew hides which of them ended",
        _STATE_READS,
        "if known is None and not is_whole and self._is_repair:",
        "if False:",
    ),
    Mutant(
        "bug-lost-orders",
        "orders that the exchange no longer knows are kept without a mark",
        _STATE_READS,
        "        self._lost.append(order.order_id)\n",
        "",
    ),
    Mutant(
        "bug-read-not-told",
        "what was read while a live item about it still waited counts as known, and is lost with that item",
        _TOPIC,
        "memory.learn(updates, read_to, self.held)",
        "memory.learn(updates, read_to)",
    ),
    Mutant(
        "bug-repair-restarts",
        "each break gives a repair its whole time again",
        "streams/_patience.py",
        "            self._in_all += now - self._began\n            self._idle += now - self._began\n",
        "",
    ),
    Mutant(
        "bug-swallowed",
        "a frame that swallowed others breaks only the stream that it names first",
        _PORT,
        "in _ACTION_TEXT.findall(text)}",
        "in _ACTION_TEXT.findall(text)[:1]}",
    ),
    Mutant(
        "bug-dead-pool",
        "attempts of a read are spent on pooled connections that are dead",
        _TRANSPORT,
        "return bool(probe()) if callable(probe) else False",
        "return False",
    ),
)
"""No seed that was tried found these again. Their own tests keep them away; they are hunted by name only."""
