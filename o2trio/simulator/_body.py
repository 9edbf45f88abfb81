"""The JSON body of a REST request, read field by field. No routes, no accounts.

The exchange's own types decide what is accepted: whole numbers are decimal text, sides and the names of
actions and order types keep their capitals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import msgspec

from ..models import Id, Identity, IdentityKind, normalize_id
from ._requests import Fault

__all__ = ["Body"]

_MISSING = object()


class Body:
    """A JSON object; every method raises :exc:`Fault` when it finds nonsense.

    Args:
      fields: the object.
      path: where it stands in the body, for messages.
    """

    def __init__(self, fields: Mapping[str, object], path: str = "") -> None:
        self._fields = fields
        self._path = path

    @classmethod
    def parse(cls, data: bytes) -> Body:
        """Read a whole body."""
        try:
            value: object = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Fault(400, 1002, "the body is not JSON") from None
        return cls.of(value, "body")

    @classmethod
    def of(cls, value: object, path: str) -> Body:
        """Take a value that must be an object."""
        if not isinstance(value, dict):
            raise Fault(400, 1001, f"{path} must be an object")
        return cls(cast("dict[str, object]", value), "" if path == "body" else f"{path}.")

    def has(self, name: str) -> bool:
        """Whether there is a field, and not null."""
        return self._fields.get(name) is not None

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._value(name)
        if not isinstance(value, str):
            raise self._wrong(name, "must be text")
        return value

    def id(self, name: str) -> Id:
        """Return a 32-byte id."""
        return self._id(self._value(name), name)

    def ids(self, name: str) -> tuple[Id, ...]:
        """Return a list of 32-byte ids."""
        return tuple(self._id(item, name) for item in self.items(name))

    def number(self, name: str, bits: int = 64) -> int:
        """Return an unsigned number of so many bits, written as decimal text."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) <= 80) or int(text) >> bits:
            raise self._wrong(name, f"must be a u{bits} as decimal text")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return a switch; off when it is not there."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "must be true or false")
        return value is True

    def identity(self, name: str) -> Identity:
        """Return an identity."""
        kind, value = self.tagged(name)
        if kind not in {"Address", "ContractId"}:
            raise self._wrong(name, "must name an Address or a ContractId")
        return Identity(IdentityKind(kind), self._id(value, name))

    def signature(self, name: str, *kinds: str) -> bytes:
        """Return the 64 bytes of a signature of one of some kinds: ``Secp256k1``, ``TypedSecp256k1``."""
        given, value = self.tagged(name)
        if given not in kinds:
            raise self._wrong(name, f"must be a {' or '.join(kinds)} signature here")
        digits = value.removeprefix("0x") if isinstance(value, str) else ""
        try:
            signature = bytes.fromhex(digits) if digits.isascii() and digits.isalnum() else b""
        except ValueError:
            signature = b""
        if len(signature) != 64:
            raise self._wrong(name, "must be 128 hexadecimal digits")
        return signature

    def tagged(self, name: str) -> tuple[str, object]:
        """Return key and value of an object that has just one."""
        value = self._value(name)
        fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        if len(fields) != 1:
            raise self._wrong(name, "must be an object with one key")
        ((key, inner),) = fields.items()
        return key, inner

    def items(self, name: str) -> list[object]:
        """Return a list."""
        value = self._value(name)
        if not isinstance(value, list):
            raise self._wrong(name, "must be a list")
        return cast("list[object]", value)

    def bodies(self, name: str) -> Iterator[Body]:
        """Yield the objects of a list."""
        for index, item in enumerate(self.items(name)):
            yield Body.of(item, f"{self._path}{name}[{index}]")

    def inner(self, name: str) -> Body:
        """Return an object."""
        return Body.of(self._value(name), self._path + name)

    def names(self) -> frozenset[str]:
        """Return the names of all fields."""
        return frozenset(self._fields)

    def value(self, name: str) -> object:
        """Return a field as it is."""
        return self._value(name)

    def _id(self, value: object, name: str) -> Id:
        try:
            return normalize_id(value if isinstance(value, str) else "")
        except ValueError:
            raise self._wrong(name, "must be 64 hexadecimal digits") from None

    def _value(self, name: str) -> object:
        value = self._fields.get(name, _MISSING)
        if value is _MISSING:
            raise self._wrong(name, "is missing")
        return value

    def _wrong(self, name: str, what: str) -> Fault:
        return Fault(400, 1001, f"{self._path}{name} {what}")
