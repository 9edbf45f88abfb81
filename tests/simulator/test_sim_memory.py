"""The in-memory connection is a Trio stream in every respect, and pushes back."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from o2trio.simulator._memory import BUFFER_BYTES, MemoryStream, memory_pair


async def _pair() -> tuple[MemoryStream, MemoryStream]:
    return memory_pair()


async def _clogged() -> tuple[MemoryStream, MemoryStream]:
    one, other = memory_pair()
    await one.send_all(bytes(BUFFER_BYTES))
    await other.send_all(bytes(BUFFER_BYTES))
    return one, other


async def test_keeps_every_rule_of_a_stream() -> None:
    await trio.testing.check_half_closeable_stream(_pair, _clogged)


async def test_a_sender_waits_for_a_reader(autojump_clock: trio.testing.MockClock) -> None:
    one, other = memory_pair()
    with trio.move_on_after(10) as limit:
        await one.send_all(bytes(BUFFER_BYTES + 1))
    assert limit.cancelled_caught
    received = b""
    with trio.move_on_after(10):
        while True:
            received += await other.receive_some()
    assert len(received) == BUFFER_BYTES


async def test_what_is_under_way_arrives_before_the_end() -> None:
    one, other = memory_pair()
    await one.send_all(b"last words")
    await one.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await one.send_eof()
    assert await other.receive_some() == b"last words"
    assert await other.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await other.send_all(b"anybody there?")
