"""Windows of parallel nonces: every slot once, none out of reach, and the window slides as documented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio.simulator._nonces import LANES, NonceRefused, NonceWindow, use_nonce

_FRESH = (NonceWindow(),) * LANES
_NOW = 1_790_000_000


def _pack(word: int, bit: int, lane: int = 0, expiry: int = _NOW + 120) -> int:
    return bit | word << 8 | expiry << 136 | lane << 168


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (1 << 176, "reserved bits set"),
        (-1, "reserved bits set"),
        (_pack(0, 128), "bitmap position out of range"),
        (_pack(0, 255), "bitmap position out of range"),
        (_pack(0, 0, lane=LANES), "nonce session id out of range"),
        (_pack(0, 0, expiry=_NOW - 1), "nonce expired"),
        (_pack(8, 0), "word position out of sliding window"),
        (_pack(2**128 - 1, 0), "word position out of sliding window"),
    ],
)
def test_refuses_with_the_documented_reason(packed: int, reason: str) -> None:
    with pytest.raises(NonceRefused) as caught:
        use_nonce(_FRESH, packed, _NOW)
    assert caught.value.reason == reason


def test_a_nonce_is_used_once_in_its_own_lane() -> None:
    used = use_nonce(_FRESH, _pack(1, 5, lane=2, expiry=_NOW), _NOW)
    assert used == (*_FRESH[:2], NonceWindow(0, (0, 1 << 5, 0, 0, 0, 0, 0, 0)), *_FRESH[3:])
    with pytest.raises(NonceRefused, match="nonce already used"):
        use_nonce(used, _pack(1, 5, lane=2), _NOW)
    assert use_nonce(used, _pack(1, 5, lane=3), _NOW)[3].slots()[1] == (1, 1 << 5)


def test_the_window_slides_by_four_words_once_its_middle_is_passed() -> None:
    window = NonceWindow().use(0, 0).use(3, 127)
    assert window.base == 0
    slid = window.use(4, 1)
    assert slid.slots() == ((4, 2), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 0))
    for word in (0, 3, 12):
        with pytest.raises(NonceRefused, match="word position out of sliding window"):
            slid.use(word, 1)
    with pytest.raises(NonceRefused, match="nonce already used"):
        slid.use(4, 1)
    assert slid.use(11, 0).slots()[3] == (11, 1)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 127)), max_size=200))
def test_no_slot_is_ever_accepted_twice(slots: list[tuple[int, int]]) -> None:
    window, accepted = NonceWindow(), set()
    for word, bit in slots:
        before = window
        try:
            window = window.use(word, bit)
        except NonceRefused:
            assert window is before
        else:
            assert (word, bit) not in accepted
            assert before.base <= word < before.base + 8
            accepted.add((word, bit))
        assert window.base >= before.base
        assert window.base % 4 == 0
        for position, bitmap in window.slots():
            assert {bit for bit in range(128) if bitmap >> bit & 1} == {
                b for w, b in accepted if w == position
            }


def test_a_user_who_goes_upwards_is_never_refused() -> None:
    windows = _FRESH
    for number in range(20_000):
        windows = use_nonce(windows, _pack(*divmod(number, 128)), _NOW)
