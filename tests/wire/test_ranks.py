"""The table of ranks: complete, true of the models, and what both paths of decoding follow."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import pytest

from o2trio import models
from o2trio.models import _reads
from o2trio.rest import _answers
from o2trio.wire import RANKS, _ranks, _snapshot

MODULES = (models, _reads, _answers, _snapshot)
FOUND: dict[str, type[Any]] = {
    name: cls
    for module in MODULES
    for name, cls in inspect.getmembers(module, inspect.isclass)
    if attrs.has(cls)
}
NOT_READ = {
    # Made by this library, or read as single values.
    *("AccountInfo", "Cursor", "Gap", "Identity", "NotUnderstood", "OrderType", "Update"),
    # Of a whole HTTP answer, and of one that is not looked into.
    *("Answer", "Anything"),
}
CASES = [pytest.param(FOUND[name], ranks, id=name) for name, ranks in RANKS.items()]


def test_every_class_that_comes_off_the_wire_is_in_the_table() -> None:
    assert {*RANKS} == {*FOUND} - NOT_READ - {"Envelope"}


@pytest.mark.parametrize(("cls", "ranks"), CASES)
def test_every_field_has_one_rank(cls: type[Any], ranks: _ranks.Ranks) -> None:
    ranked = [name for _, names in ranks for name in names]
    assert len(ranked) == len(set(ranked))
    names = {field.name for field in attrs.fields(cls)}
    ours = _ranks.OURS | ({"precision"} if cls is models.DepthUpdate else set[str]())
    assert set(ranked) <= names
    assert names - set(ranked) <= ours


@pytest.mark.parametrize(("cls", "ranks"), CASES)
def test_what_may_be_absent_has_a_default(cls: type[Any], ranks: _ranks.Ranks) -> None:
    fields = attrs.fields_dict(cls)
    for name in (*ranks.if_sent, *ranks.carried):
        assert fields[name].default is not attrs.NOTHING, name


@pytest.mark.parametrize(("cls", "ranks"), CASES)
def test_raw_values_are_kept_where_something_is_carried(cls: type[Any], ranks: _ranks.Ranks) -> None:
    fields = attrs.fields_dict(cls)
    assert "unread" in fields or not ranks.carried
    if "unread" in fields:
        assert fields["unread"].default is models.NOTHING_UNREAD
        assert not fields["unread"].hash
