"""Checks of what requests on a WebSocket are answered with: acknowledgments, errors, heartbeats."""

from __future__ import annotations

from ._doctor_check import Check, Result, any_of, is_data, is_error, kind_of, refusal_code
from ._doctor_evidence import Evidence
from ._doctor_shapes import Object, items_of

__all__ = ["REQUEST_CHECKS"]


def _acknowledge(evidence: Evidence) -> str | None:
    if ("quiet", "nonce") not in evidence.heard:
        return None
    for said in evidence.said("quiet", "orders", "balances", "nonce"):
        message = said.object
        if isinstance(said.value, str):
            return "plain text"
        if is_data(message) or is_error(message):
            continue
        return "its action and a status" if "action" in message else "a code 0"
    return "nothing"


def _acknowledge_end(evidence: Evidence) -> str | None:
    if ("refusals", "end") not in evidence.heard:
        return None
    said = [each.object for each in evidence.said("refusals", "end") if not is_data(each.object)]
    return "its action" if any("action" in message for message in said) else "nothing"


def _first_message(evidence: Evidence) -> str | None:
    """Look at what each stream sends at once; one that does may just have had news, two have not."""
    if ("quiet", "nonce") not in evidence.heard:
        return None
    first: list[Object] = []
    for kind in ("orders", "balances", "nonce"):
        said = (each.object for each in evidence.said("quiet", kind))
        first += [message for message in said if is_data(message) and kind_of(message) == kind][:1]
    if len(first) < 2:
        return "nothing"
    rows = [row for message in first for key in ("orders", "balance") for row in items_of(message.get(key))]
    return "the current state" if rows else "an empty list"


def _second_subscribe(evidence: Evidence) -> str | None:
    if ("refusals", "second") not in evidence.heard:
        return None
    said = evidence.said("refusals", "second")
    refusal = refusal_code(said)
    if refusal is not None:
        return "an error"
    return "it replaces the first" if any(kind_of(each.object) == "depth" for each in said) else "nothing"


def _subset(evidence: Evidence) -> str | None:
    if ("quiet", "rest") not in evidence.heard or _second_subscribe(evidence) != "an error":
        return None
    goes_on = refusal_code(evidence.said("quiet", "rest")) is not None
    return "the rest goes on" if goes_on else "the whole stream ends"


def _error_shape(evidence: Evidence) -> str | None:
    message = refusal_code(evidence.said("refusals", "unknown"))
    if message is None:
        return None
    given = message.get("code")
    code = "code in text" if isinstance(given, str) else "code" if isinstance(given, int) else ""
    action = str(message.get("action", ""))
    named = "action: error" if action == "error" else "the request's action" if action else ""
    marks = [f"{name}: error" for name in ("type", "status") if message.get(name) == "error"]
    marks += ["success: false"] if message.get("success") is False else []
    return " and ".join(part for part in (code, named, *marks) if part) or "a truthy error"


def _error_words(evidence: Evidence) -> str | None:
    found = [refusal_code(evidence.said("refusals", "unknown"))]
    found += [evidence.answers[name].object for name in ("depth unknown",) if name in evidence.answers]
    words = [
        f"`{key}`"
        for message in found
        if message is not None
        for key in ("message", "error", "detail")
        if isinstance(message.get(key), str)
    ]
    return " and ".join(dict.fromkeys(words)) or None


def _heartbeat(evidence: Evidence) -> str | None:
    if ("quiet", "ping") not in evidence.heard:
        return None
    said = evidence.said("quiet", "ping")
    texts = [each.value for each in said if isinstance(each.value, str)]
    if any(text.strip().upper() == "PONG" for text in texts):
        return "PONG"
    if refusal_code(said):
        return "an error"
    return "JSON" if any(str(each.object.get("action")).upper() == "PONG" for each in said) else "no answer"


REQUEST_CHECKS = (
    Check(
        name="acknowledgement",
        question="What confirms a subscription?",
        assumed="anything that refuses nothing",
        read=_acknowledge,
        safe=any_of("nothing", "a code 0", "its action and a status", "plain text"),
    ),
    Check(
        name="end acknowledgement",
        question="What confirms the end of a subscription?",
        assumed="nothing, or its own action",
        read=_acknowledge_end,
        safe=any_of("nothing", "its action"),
    ),
    Check(
        name="first message",
        question="What do orders, balances and nonces begin with?",
        assumed="nothing; anything else is merged",
        read=_first_message,
        safe=any_of("nothing", "an empty list", "the current state"),
    ),
    Check(
        name="second subscription",
        question="What does a second subscription to one topic bring?",
        assumed="the library never sends one",
        read=_second_subscribe,
        safe=any_of("an error", "it replaces the first", "nothing"),
    ),
    Check(
        name="subset",
        question="What does unsubscribing some of the identities do?",
        assumed="the library always names all of them",
        read=_subset,
        safe=any_of("the rest goes on", "the whole stream ends"),
    ),
    Check(
        name="error shape",
        question="What makes a message an error?",
        assumed="a code in any spelling, an action, type or status `error`, `success: false`",
        read=lambda evidence: (found := _error_shape(evidence)) and Result(found, is_safe=True),
    ),
    Check(
        name="error words",
        question="Where do errors put their words?",
        assumed="`message`, `error` or `detail`",
        read=lambda evidence: (found := _error_words(evidence)) and Result(found, is_safe=True),
    ),
    Check(
        name="heartbeat",
        question="What is the answer to the text PING?",
        assumed="PONG, or at least something",
        read=_heartbeat,
        safe=any_of("PONG", "an error", "JSON"),
        advice="a quiet connection will be taken for dead and dialed again every Options.silence_timeout "
        "seconds, and streams of accounts will be marked with gaps",
    ),
)
"""What can be answered without an account."""
