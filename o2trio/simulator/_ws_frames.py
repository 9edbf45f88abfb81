"""WebSocket frames as a server sends them: unmasked bytes. What is in them is decided elsewhere; no I/O."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "CONTROL_BYTES",
    "binary_frame",
    "binary_message",
    "close_frame",
    "fragments",
    "ping_frame",
    "pong_frame",
    "text_frame",
]

CONTROL_BYTES = 125
"""The most that a control frame carries."""

_FINAL = 0x80
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def text_frame(text: str) -> bytes:
    """Return a whole text message in one frame."""
    return _frame(_FINAL | _TEXT, text.encode())


def binary_frame(payload: bytes) -> bytes:
    """Return a whole binary message in one frame."""
    return _frame(_FINAL | _BINARY, payload)


def binary_message(text: str) -> bytes:
    """Return a text as a whole binary message in one frame."""
    return binary_frame(text.encode())


def ping_frame(payload: bytes) -> bytes:
    """Return a ping of the protocol, with up to 125 bytes."""
    return _frame(_FINAL | _PING, payload)


def pong_frame(payload: bytes) -> bytes:
    """Return a pong of the protocol, with up to 125 bytes."""
    return _frame(_FINAL | _PONG, payload)


def close_frame(code: int | None, reason: str = "") -> bytes:
    """Return a close frame; without a code it is empty.

    Raises:
      ValueError: the code is no 16-bit number, the reason is too long, or there is one without a code.
    """
    if code is None:
        if reason:
            raise ValueError("a reason needs a code")
        return _frame(_FINAL | _CLOSE, b"")
    if not 0 <= code < 2**16:
        raise ValueError(f"code must be 0 to 65535, not {code}")
    payload = code.to_bytes(2, "big") + reason.encode()
    if len(payload) > CONTROL_BYTES:
        raise ValueError(f"reason must have at most {CONTROL_BYTES - 2} bytes")
    return _frame(_FINAL | _CLOSE, payload)


def fragments(text: str, cuts: Sequence[int]) -> list[bytes]:
    """Return a text message in several frames, cut at these bytes, even within a character.

    Args:
      text: the message.
      cuts: offsets into its UTF-8 bytes, ascending; at least one.
    """
    payload = text.encode()
    parts = [payload[start:end] for start, end in zip((0, *cuts), (*cuts, len(payload)), strict=True)]
    heads = [_TEXT, *[_CONTINUATION] * (len(parts) - 2), _FINAL | _CONTINUATION]
    return [_frame(head, part) for head, part in zip(heads, parts, strict=True)]


def _frame(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 2**16:
        return bytes((head, 126)) + size.to_bytes(2, "big") + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload
