"""A private key never leaves its wallet by accident; and nothing but a first use needs the extra."""

from __future__ import annotations

import copy
import logging
import operator
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial

import pytest

from o2trio import CallerError
from o2trio._errors import InvalidRequest
from o2trio._trading_errors import MissingExtra
from o2trio.trading import _curve
from o2trio.trading._curve import ORDER
from o2trio.trading._wallets import EvmWallet, FuelWallet

KEY = "c0ffee" + 29 * "5e"


def shows(text: str, key: str = KEY) -> bool:
    """Whether the text holds a good part of the key, in any spelling."""
    text = text.lower()
    spellings = (key, key.upper(), str(int(key, 16)), repr(bytes.fromhex(key)))
    return any(spelling.lower()[4:28] in text for spelling in spellings)


@pytest.mark.parametrize("kind", [FuelWallet, EvmWallet])
def test_no_text_shows_the_key(kind: type[FuelWallet | EvmWallet], caplog: pytest.LogCaptureFixture) -> None:
    wallet = kind.from_key(KEY)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("%s %r %s", wallet, wallet, [wallet])
    texts = [repr(wallet), str(wallet), f"{wallet}", f"{wallet!r}", f"{ ({'key': wallet}) }", caplog.text]
    assert all(wallet.address in text for text in texts)
    assert not any(shows(text) for text in texts)
    assert not hasattr(wallet, "__dict__")
    assert shows(wallet.export_key())


COPIES: dict[str, Callable[[object], object]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "of a list": lambda wallet: copy.deepcopy([wallet]),
    "state": operator.methodcaller("__getstate__"),
    "reduce": operator.methodcaller("__reduce__"),
    "reduce_ex": operator.methodcaller("__reduce_ex__", 2),
    **{f"pickle {n}": partial(pickle.dumps, protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", [FuelWallet, EvmWallet])
def test_no_copy_takes_the_key_along(kind: type[FuelWallet | EvmWallet], way: str) -> None:
    wallet = kind.from_key(KEY)
    with pytest.raises(TypeError) as caught:
        COPIES[way](wallet)
    assert not shows("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    "key",
    [
        "",
        KEY[:-1],
        KEY + "0",
        "0x0x" + KEY[4:],
        KEY[:-1] + "g",
        KEY[:32] + " " + KEY[32:],
        KEY[:-1] + "\n",
        bytes.fromhex(KEY)[:-1],
        bytes.fromhex(KEY) + b"\0",
        KEY.encode()[:-2],
        bytearray.fromhex(KEY),
        int(KEY, 16),
        None,
        bytes(32),
        "0x" + 64 * "0",
        ORDER.to_bytes(32, "big"),
        64 * "f",
    ],
)
def test_a_bad_key_is_not_repeated(key: str | bytes) -> None:
    with pytest.raises(InvalidRequest, match="not shown") as caught:
        FuelWallet.from_key(key)
    text = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    assert not shows(text)
    if isinstance(key, str) and key:
        assert key not in text
    assert caught.value.__context__ is None


def test_generated_keys_differ_and_load_again() -> None:
    first, second = FuelWallet.generate(), FuelWallet.generate()
    assert first.address != second.address
    assert FuelWallet.from_key(first.export_key().upper().replace("0X", "0x")).address == first.address
    assert repr(first) == f"FuelWallet({first.address})"


def test_largest_and_smallest_key() -> None:
    for number in (1, ORDER - 1):
        assert int(EvmWallet.from_key(number.to_bytes(32, "big")).export_key(), 16) == number


# -- the extra -------------------------------------------------------------------------------------


@pytest.mark.parametrize("absent", [("coincurve", "o2trio.trading._curve_openssl"), ("Crypto.Hash",)])
def test_without_the_extra_the_first_use_tells_how_to_get_it(
    absent: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for cached in (_curve._coincurve, _curve._keccak):
        cached.cache_clear()
    monkeypatch.delattr("o2trio.trading._curve_openssl", raising=False)
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"pip install 'o2trio\[trade\]'") as caught:
        EvmWallet.from_key(KEY)
    assert isinstance(caught.value, CallerError)
    assert isinstance(caught.value.__cause__, ImportError)
    assert not shows("".join(traceback.format_exception(caught.value)))
    monkeypatch.undo()
    assert EvmWallet.from_key(KEY).export_key() == "0x" + KEY


def test_importing_needs_nothing_of_the_extra() -> None:
    code = (
        "import sys; sys.modules['coincurve'] = sys.modules['cryptography'] = sys.modules['Crypto'] = None;"
        "import o2trio, o2trio.trading, o2trio.trading._wallets, o2trio.trading._typed"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
