"""The first questions of ``o2trio doctor``: name, connection, certificate, region, clock, latency.

Each step is tried on its own, so that the first one that fails says where the path to the exchange ends.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import cast
from urllib.parse import urlsplit

import trio

from .._network import NetworkConfig
from ..transport._dialer import dial_tcp, start_tls
from ._doctor_check import Check, Result
from ._doctor_evidence import Evidence, Reader
from ._doctor_shapes import object_of
from ._words import plural

__all__ = ["BASIC_CHECKS", "BASIC_SECONDS", "look_at_basics"]

BASIC_SECONDS = 8.0
"""How long each of the first steps may take."""

_PINGS = 3
_DAY = 86_400.0


async def look_at_basics(evidence: Evidence, reader: Reader, clock: Callable[[], float] = time.time) -> bool:
    """Find out whether and how the exchange can be reached; return whether it answers.

    Args:
      evidence: takes what is found.
      reader: of the same evidence.
      clock: this computer's time, seconds since 1970.
    """
    config, basics = evidence.network, evidence.basics
    parts = urlsplit(config.rest_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if config.dialer is None:
        basics["name"] = await _tried(lambda: _resolve(host, port))
        if isinstance(basics["name"], Exception):
            return False
    basics["connection"] = await _tried(lambda: _connect(evidence, config, host, port, parts.scheme))
    if isinstance(basics["connection"], Exception):
        return False
    return await _look_at_answers(evidence, reader, clock)


async def _tried(step: Callable[[], Awaitable[object]]) -> object:
    """Return what `step` found within its time, or its error."""
    try:
        with trio.fail_after(BASIC_SECONDS):
            return await step()
    except (OSError, trio.BrokenResourceError) as error:
        return error
    except trio.TooSlowError:
        return TimeoutError(f"nothing within {BASIC_SECONDS:g} s")


async def _resolve(host: str, port: int) -> str:
    """Return how many addresses a name has, in words."""
    return plural(len({entry[4][0] for entry in await trio.socket.getaddrinfo(host, port)}), "address")


async def _connect(evidence: Evidence, config: NetworkConfig, host: str, port: int, scheme: str) -> float:
    """Return how many seconds a connection took; look at the certificate on the way."""
    began = trio.current_time()
    stream = await (config.dialer or dial_tcp)(host, port)
    took = trio.current_time() - began
    if scheme == "https":
        try:
            stream = await start_tls(stream, config, host)
        except (OSError, trio.BrokenResourceError) as error:
            evidence.basics["tls"] = error
            raise
        evidence.basics["tls"] = _days_left(stream)
    await trio.aclose_forcefully(stream)
    return took


def _days_left(stream: trio.abc.Stream) -> float | None:
    """Return for how many days the certificate of the server is valid, None if it does not say."""
    secure = cast("trio.SSLStream[trio.abc.Stream]", stream)
    expiry = object_of(cast("object", secure.getpeercert())).get("notAfter")
    return None if expiry is None else (ssl.cert_time_to_seconds(str(expiry)) - time.time()) / _DAY


async def _look_at_answers(evidence: Evidence, reader: Reader, clock: Callable[[], float]) -> bool:
    """Ask for a sign of life several times; the first answer also opens the connection."""
    times: list[float] = []
    for number in range(_PINGS):
        before = clock()
        answer = await reader.get("health", "/health")
        if answer is None:
            return bool(number)
        times.append(answer.seconds)
        date = answer.headers.get("date")
        if date:
            try:
                server = parsedate_to_datetime(date).timestamp()
            except ValueError:
                continue
            # The header has whole seconds: half of one is the best guess. Half of the round trip has passed.
            evidence.basics["clock"] = clock() - (clock() - before) / 2 - (server + 0.5)
    evidence.basics["latency"] = min(times)
    return True


# -- what it means ---------------------------------------------------------------------------------

_CLOCK_SECONDS = 10.0
"""A clock that is wrong by more than this makes sessions and parallel nonces expire too early or late."""

_SLOW_SECONDS = 2.0

_CERTIFICATE_DAYS = 2.0

_REFUSED_REGION = frozenset({403, 451})
_GEO_RESTRICTED = frozenset({1004, "1004"})


def _step(name: str, say: Callable[[object], str]) -> Callable[[Evidence], Result | None]:
    """Return a reader of one of the first steps: what it found, or why it failed."""

    def read(evidence: Evidence) -> Result | None:
        found = evidence.basics.get(name)
        if found is None:
            return None
        if isinstance(found, Exception):
            return Result(f"no: {found}", is_safe=False)
        return Result(say(found), is_safe=True)

    return read


def _certificate(evidence: Evidence) -> Result | None:
    found = evidence.basics.get("tls")
    if isinstance(found, Exception):
        return Result(f"not trusted: {found}", is_safe=False)
    if not isinstance(found, float):
        return None
    return Result(f"valid for {found:.0f} days", found > _CERTIFICATE_DAYS)


def _answers(evidence: Evidence) -> Result | None:
    answer = evidence.answers.get("health")
    if answer is None:
        failure = evidence.failures.get("health")
        return None if failure is None else Result("no", is_safe=False, said=failure)
    return Result(f"HTTP status {answer.status}", answer.status < 400)


def _region(evidence: Evidence) -> Result | None:
    if not evidence.answers:
        return None
    for answer in evidence.answers.values():
        if answer.status in _REFUSED_REGION or answer.object.get("code") in _GEO_RESTRICTED:
            return Result(f"refused, HTTP status {answer.status}", is_safe=False)
    return Result("served", is_safe=True)


def _websocket(evidence: Evidence) -> Result | None:
    for talk in evidence.talks:
        if talk in evidence.failures:
            return Result("ended", is_safe=False, said=evidence.failures[talk])
    return Result("open", is_safe=True) if evidence.talks and any(evidence.talks.values()) else None


def _clock(evidence: Evidence) -> Result | None:
    ahead = evidence.basics.get("clock")
    if not isinstance(ahead, float):
        return None
    if abs(ahead) < 1:
        return Result("right to the second", is_safe=True)
    words = "ahead" if ahead > 0 else "behind"
    return Result(f"{abs(ahead):.0f} s {words}", abs(ahead) < _CLOCK_SECONDS)


def _latency(evidence: Evidence) -> Result | None:
    seconds = evidence.basics.get("latency")
    if not isinstance(seconds, float):
        return None
    return Result(f"{seconds * 1000:.0f} ms", seconds < _SLOW_SECONDS)


BASIC_CHECKS = (
    Check(
        name="name",
        question="Is the name of the exchange known here?",
        assumed="yes",
        read=_step("name", lambda count: f"yes, with {count}"),
        advice="check that this computer is online; a VPN, a firewall or the DNS server may hide the name",
    ),
    Check(
        name="connection",
        question="Can a connection be opened?",
        assumed="yes",
        read=_step("connection", lambda seconds: f"yes, in {float(str(seconds)) * 1000:.0f} ms"),
        advice="a firewall or a proxy may be in the way; try another network, such as a phone's",
    ),
    Check(
        name="certificate",
        question="Does the exchange prove that it is the exchange (TLS)?",
        assumed="yes, with a certificate that this computer trusts",
        read=_certificate,
        advice="check the date of this computer, and that it has up-to-date root certificates; a "
        "company proxy that inspects traffic also shows up here",
    ),
    Check(
        name="health",
        question="Does it answer?",
        assumed="yes",
        read=_answers,
        advice="the exchange may be down; try again later, and look for news of the exchange",
    ),
    Check(
        name="region",
        question="Is this region served?",
        assumed="yes",
        read=_region,
        advice="the exchange refuses some regions; nothing in this library can change that",
    ),
    Check(
        name="websocket",
        question="Do streams (WebSockets) stay open?",
        assumed="yes",
        read=_websocket,
        advice="a proxy between here and the exchange may not let WebSockets through; try another network",
    ),
    Check(
        name="clock",
        question="Is the clock of this computer right?",
        assumed=f"to {_CLOCK_SECONDS:g} s; sessions and parallel nonces expire by it",
        read=_clock,
        advice="switch on automatic time in the settings of this computer",
    ),
    Check(
        name="latency",
        question="How long does an answer take?",
        assumed=f"less than {_SLOW_SECONDS:g} s",
        read=_latency,
        advice="the connection is slow; raise the timeouts in Options",
    ),
)
"""The first questions, in the order in which the steps depend on each other."""
