"""Keys and signatures over OpenSSL: bit by bit those of the vectors, and of coincurve where there is one."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2trio.trading import _curve
from o2trio.trading._curve import ORDER, pack_signature
from o2trio.trading._curve_openssl import PrivateKey, PublicKey

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signing_vectors.json").read_text("utf-8"))
KEYS = {wallet["key"]: bytes.fromhex(wallet["private_key"][2:]) for wallet in VECTORS["wallets"]}
DIGEST = sha256(b"something").digest()
secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("entry", VECTORS["wallets"], ids=lambda entry: entry["key"])
def test_public_keys_of_the_vectors(entry: Any) -> None:
    key = PrivateKey(KEYS[entry["key"]])
    assert key.secret == KEYS[entry["key"]]
    public = key.public_key.format(compressed=False)
    assert "0x" + public.hex() == entry["public_key_uncompressed"]


@pytest.mark.parametrize(
    "entry", VECTORS["message_signatures"], ids=lambda entry: f"{entry['key']}-{entry['message_label']}"
)
@pytest.mark.parametrize("kind", ["fuel_personal", "evm_personal", "raw"])
def test_signatures_of_the_vectors(entry: Any, kind: str) -> None:
    digest = bytes.fromhex(entry["raw_sha256_digest" if kind == "raw" else f"{kind}_digest"][2:])
    signature = PrivateKey(KEYS[entry["key"]]).sign_recoverable(digest, hasher=None)
    assert "0x" + pack_signature(signature[:64], signature[64]).hex() == entry[f"{kind}_signature"]


@given(secrets, digests)
@settings(max_examples=30)
def test_a_signature_gives_its_key_back_and_is_that_of_coincurve(secret: bytes, digest: bytes) -> None:
    key = PrivateKey(secret)
    signature = key.sign_recoverable(digest, hasher=None)
    found = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    assert found.format(compressed=False) == key.public_key.format(compressed=False)
    coincurve = pytest.importorskip("coincurve")
    assert signature == coincurve.PrivateKey(secret).sign_recoverable(digest, hasher=None)


@pytest.mark.parametrize("number", [1, 2, ORDER - 1])
def test_the_edges_of_keys(number: int) -> None:
    key = PrivateKey(number.to_bytes(32, "big"))
    signature = key.sign_recoverable(DIGEST, hasher=None)
    found = PublicKey.from_signature_and_message(signature, DIGEST, hasher=None)
    assert found.format(compressed=False) == key.public_key.format(compressed=False)


@pytest.mark.parametrize(
    "secret", [b"", bytes(32), b"\1" * 31, b"\1" * 33, ORDER.to_bytes(32, "big"), b"\xff" * 32], ids=repr
)
def test_what_is_not_a_key(secret: bytes) -> None:
    with pytest.raises(ValueError, match="private key"):
        PrivateKey(secret)


def test_what_is_not_a_digest() -> None:
    for digest in (b"", DIGEST + b"x"):
        with pytest.raises(ValueError, match="32 bytes"):
            PrivateKey(KEYS["one"]).sign_recoverable(digest, hasher=None)
        with pytest.raises(ValueError, match="32 bytes"):
            PublicKey.from_signature_and_message(bytes(65), digest, hasher=None)


_GENERATOR_X = 0x79BE667E_F9DCBBAC_55A06295_CE870B07_029BFCDB_2DCE28D9_59F2815B_16F81798


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 1),
        (1, 0),
        (ORDER, 1),
        (1, ORDER),
        (5, 1),  # no point has this x
    ],
)
def test_what_is_not_a_signature(r: int, s: int) -> None:
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\0"
    with pytest.raises(ValueError, match="no key"):
        PublicKey.from_signature_and_message(signature, DIGEST, hasher=None)


def test_a_signature_of_the_point_at_infinity() -> None:
    # With R = G and s equal to the digest, the key would be nothing at all.
    signature = _GENERATOR_X.to_bytes(32, "big") + DIGEST + b"\0"
    with pytest.raises(ValueError, match="no key"):
        PublicKey.from_signature_and_message(signature, DIGEST, hasher=None)


def test_it_stands_in_where_coincurve_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    _curve._coincurve.cache_clear()
    monkeypatch.setitem(sys.modules, "coincurve", None)
    try:
        key = _curve.load_key(KEYS["one"])
        assert isinstance(key, PrivateKey)
        signature = _curve.sign_digest(key, DIGEST)
        assert _curve.recover(DIGEST, signature) == _curve.public_key(key)
    finally:
        _curve._coincurve.cache_clear()
