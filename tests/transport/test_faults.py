from __future__ import annotations

import socket
import ssl

import pytest
import trio

from o2trio._errors import ConnectTimeout, HandshakeRejected, LinkClosed, MessageTooBig, Silence
from o2trio.transport._faults import CONNECTION_ERRORS, Fault, Retry, classify, is_transient_status

FAULTS: dict[Retry, list[Exception]] = {
    Retry.ALWAYS: [
        ConnectionRefusedError("refused"),
        socket.gaierror(-3, "no such host just now"),
        socket.gaierror(socket.EAI_NONAME, "no such host"),
        ssl.SSLError("bad record"),
        ConnectTimeout("slow"),
        Silence("nothing for 50 s"),
        trio.TooSlowError(),
        trio.BrokenResourceError("reset"),
        *(HandshakeRejected(status) for status in (408, 425, 429, 500, 502, 503, 504, 511)),
        *(LinkClosed(code) for code in (1000, 1001, 1002, 1005, 1006, 1007, 1008, 1011, 1012, 1013, 4000)),
    ],
    Retry.IF_SERVED: [
        *(HandshakeRejected(status) for status in (200, 301, 307, 400, 401, 403, 404, 405, 410, 426, 600)),
        HandshakeRejected(403, body='{"code": 1005}'),
        *(LinkClosed(code) for code in (1003, 1009, 1010, 3000, 3003)),
    ],
    Retry.ONCE_IF_SERVED: [MessageTooBig("20 MiB")],
    Retry.NEVER: [
        ssl.SSLCertVerificationError("self-signed"),
        HandshakeRejected(451),
        HandshakeRejected(403, body='{"code":1004,"message":"not here"}'),
        HandshakeRejected(400, body='{"code": "1004"}'),
    ],
}
UNKNOWN = [
    TypeError("bug"),
    ValueError("bug"),
    trio.ClosedResourceError(),
    KeyboardInterrupt(),
    AssertionError(),
]


@pytest.mark.parametrize(
    ("error", "retry"), [(error, retry) for retry, errors in FAULTS.items() for error in errors], ids=repr
)
def test_each_cause_says_when_another_try_can_help(error: BaseException, retry: Retry) -> None:
    fault = classify(error)
    assert fault is not None
    assert fault.retry is retry
    assert isinstance(error, CONNECTION_ERRORS)


@pytest.mark.parametrize(
    ("retry", "first_dial", "served", "repeated"),
    [
        (Retry.ALWAYS, True, True, True),
        (Retry.IF_SERVED, False, True, True),
        (Retry.ONCE_IF_SERVED, False, True, False),
        (Retry.NEVER, False, False, False),
    ],
)
def test_what_was_served_before_is_tried_again(
    retry: Retry, first_dial: bool, served: bool, repeated: bool
) -> None:
    fault = Fault(retry, "it failed")
    assert fault.is_retryable(served=False) is first_dial
    assert fault.is_retryable(served=True) is served
    assert fault.is_retryable(served=True, repeated=True) is repeated


@pytest.mark.parametrize("error", UNKNOWN, ids=repr)
def test_what_is_no_connections_fault_is_left_alone(error: BaseException) -> None:
    assert classify(error) is None
    assert not isinstance(error, CONNECTION_ERRORS)


def test_the_fault_carries_the_words_and_the_wait() -> None:
    fault = classify(HandshakeRejected(503, retry_after=7.0, body="maintenance"))
    assert fault == Fault(
        Retry.ALWAYS, "the server refused the WebSocket handshake with HTTP 503: maintenance", retry_after=7.0
    )
    fault = classify(LinkClosed(1003, "text only"))
    assert fault is not None
    assert fault.reason == (
        "the connection closed with code 1003 (text only): the server does not take such messages"
    )


def test_transient_statuses_end_at_599() -> None:
    assert is_transient_status(599)
    assert not is_transient_status(600)


@pytest.mark.parametrize(
    ("code", "clean"), [(1000, True), (1001, True), (1006, False), (1002, False), (1007, False)]
)
def test_clean(code: int, clean: bool) -> None:
    assert LinkClosed(code).clean is clean
