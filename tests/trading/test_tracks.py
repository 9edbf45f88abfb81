"""The two kinds of nonces by themselves: what is signed with next, whatever the exchange says and when."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from o2trio import InvalidRequest
from o2trio.models import AccountWindow, WindowSlot
from o2trio.trading._bytes import ParallelNonce
from o2trio.trading._tracks import PARALLEL_LIFE, Lane, SequentialTrack, check_lane

LAG = 2.0


class Counter:
    """What reads of the sequential nonce answer."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.reads = 0

    async def __call__(self) -> int:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("lane", [0, 4, None])
def test_lanes(lane: int | None) -> None:
    check_lane(lane)


@pytest.mark.parametrize("lane", [-1, 5, True, 1.0, "0"])
def test_no_lanes(lane: object) -> None:
    with pytest.raises(InvalidRequest, match="lane must be 0 to 4 or None"):
        check_lane(lane)  # type: ignore[arg-type]


async def test_first_nonce_is_read_once() -> None:
    read = Counter(7)
    track = SequentialTrack(read, LAG)
    assert await track.next() == 7
    track.used(7)
    assert await track.next() == 8
    assert read.reads == 1


async def test_lagging_reads_do_not_move_it_back() -> None:
    read = Counter(7, 5)
    track = SequentialTrack(read, LAG)
    await track.next()
    track.used(7)
    track.unknown(8)
    assert await track.next() == 8
    assert await track.read() == 8
    track.told(3)
    assert await track.next() == 8


async def test_revert_moves_it_and_is_read_again() -> None:
    read = Counter(7, 7, 9)
    track = SequentialTrack(read, LAG)
    await track.next()
    track.reverted(7)
    assert await track.next() == 8, "the read is old"
    track.reverted(8)
    assert await track.next() == 9
    assert read.reads == 3


async def test_unknown_is_used_again_until_somebody_knows() -> None:
    read = Counter(7)
    track = SequentialTrack(read, LAG)
    track.unknown(await track.next())
    assert await track.next() == 7
    track.unknown(7)
    track.told(8)
    assert await track.next() == 8
    assert read.reads == 2, "the stream spared a read"


async def test_skip_waits_out_the_lag(autojump_clock: MockClock) -> None:
    track = SequentialTrack(Counter(7, 7, 7, 7, 9), LAG)
    nonce = await track.next()
    assert await track.skip(nonce)
    assert await track.next() == 9
    assert trio.current_time() <= LAG


async def test_skip_goes_back_to_what_was_never_used(autojump_clock: MockClock) -> None:
    track = SequentialTrack(Counter(7), LAG)
    await track.next()
    track.reverted(7)
    assert await track.next() == 8
    assert await track.skip(8), "7 was never used: the failure did not move it"
    assert trio.current_time() == LAG
    assert await track.next() == 7


async def test_skip_without_another(autojump_clock: MockClock) -> None:
    track = SequentialTrack(Counter(7), LAG)
    assert not await track.skip(await track.next())


@given(st.lists(st.tuples(st.sampled_from(["told", "unknown", "read"]), st.integers(0, 9)), max_size=30))
def test_floor_never_falls(steps: list[tuple[str, int]]) -> None:
    async def main() -> None:
        answers = Counter(0)
        track = SequentialTrack(answers, LAG)
        signed = 0
        for what, nonce in steps:
            floor = track.floor
            if what == "told":
                track.told(nonce)
            elif what == "unknown":
                track.unknown(nonce)
            else:
                answers.answers = [nonce]
                signed = await track.next()
                assert signed >= track.floor
            assert track.floor >= floor

    trio.run(main)


# -- lanes -----------------------------------------------------------------------------------------


class Window:
    """The window that the exchange shows."""

    def __init__(self, base: int = 0, **words: int) -> None:
        self.show(base, words)
        self.reads = 0
        self.now = 1000.0

    def show(self, base: int, words: dict[str, int]) -> None:
        slots = (WindowSlot(word_position=int(word[1:]), bitmap=bits) for word, bits in words.items())
        self.answer = AccountWindow(nonce_session_id=0, base=base, slots=tuple(slots))

    async def __call__(self, lane: int) -> AccountWindow:
        self.reads += 1
        await trio.sleep(0.1)
        return self.answer

    def lane(self, number: int = 0) -> Lane:
        return Lane(number, self, lambda: self.now)


def slot(nonce: ParallelNonce) -> int:
    return nonce.word * 128 + nonce.bit


async def taken(lane: Lane, count: int = 1) -> list[int]:
    return [slot(await lane.next()) for _ in range(count)]


@pytest.mark.parametrize(
    ("base", "words", "first"),
    [
        (0, {}, 0),
        (8, {}, 8 * 128),
        (0, {"w0": 0b1011}, 4),
        (0, {"w0": 0b1, "w2": 1 << 127}, 3 * 128),
        (4, {"w5": 0b1, "w1": 0b111}, 5 * 128 + 1),
        (4, {"w12": 0}, 4 * 128),
    ],
    ids=["empty", "moved on", "behind the highest", "a full word", "left over", "nothing used"],
)
async def test_start(autojump_clock: MockClock, base: int, words: dict[str, int], first: int) -> None:
    assert await taken(Window(base, **words).lane(), 3) == [first, first + 1, first + 2]


async def test_nonce_is_complete(autojump_clock: MockClock) -> None:
    window = Window(2)
    nonce = await window.lane(3).next()
    assert nonce == ParallelNonce(lane=3, expiry=1000 + PARALLEL_LIFE, word=2, bit=0)
    assert ParallelNonce.unpack(nonce.pack()) == nonce


async def test_many_at_once_share_one_read(autojump_clock: MockClock) -> None:
    window = Window()
    lane, found = window.lane(), []

    async def one() -> None:
        found.extend(await taken(lane))

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(one)
    assert sorted(found) == list(range(300))
    assert window.reads == 1


async def test_reading_cancelled(autojump_clock: MockClock) -> None:
    window = Window()
    lane = window.lane()
    with trio.move_on_after(0.05):
        await lane.next()
    assert await taken(lane) == [0]


async def test_moved_on_by_somebody_else(autojump_clock: MockClock) -> None:
    window = Window()
    lane = window.lane()
    old = await lane.next()
    window.show(8, {"w9": 0b11})
    lane.refused(old)
    assert await taken(lane, 2) == [9 * 128 + 2, 9 * 128 + 3]
    lane.refused(old)
    assert await taken(lane) == [9 * 128 + 4], "that one is from before the window was read again"
    assert window.reads == 2


async def test_resync_gives_nothing_out_twice(autojump_clock: MockClock) -> None:
    """Of several that expired, each is refused when another has a new nonce already, not used yet."""
    window = Window()
    lane = window.lane()
    expired = [await lane.next() for _ in range(10)]
    fresh = []
    for nonce in expired:
        lane.refused(nonce)
        fresh += await taken(lane)
    assert fresh == list(range(10, 20))
    assert window.reads == 2, "one resync serves all"


async def test_lagging_window_does_not_move_it_back(autojump_clock: MockClock) -> None:
    window = Window()
    lane = window.lane()
    last = [await lane.next() for _ in range(40)][-1]
    window.show(0, {"w0": (1 << 20) - 1})
    lane.refused(last)
    assert await taken(lane) == [40]


async def test_goes_back_into_the_window(autojump_clock: MockClock) -> None:
    """So many that never left: the exchange's window does not reach as far as ours."""
    window = Window()
    lane = window.lane()
    beyond = [await lane.next() for _ in range(1025)][-1]
    lane.refused(beyond)
    assert await taken(lane, 2) == [0, 1]


async def test_is_used(autojump_clock: MockClock) -> None:
    window = Window(4, w4=0b100, w1=0b1)
    lane = window.lane()

    def nonce(word: int, bit: int) -> ParallelNonce:
        return ParallelNonce(lane=0, expiry=1, word=word, bit=bit)

    assert await lane.is_used(nonce(4, 2)) is True
    assert await lane.is_used(nonce(4, 1)) is False
    assert await lane.is_used(nonce(7, 0)) is False
    assert await lane.is_used(nonce(1, 0)) is None
