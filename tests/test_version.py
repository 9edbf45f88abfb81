"""The version, and how the library introduces itself to servers."""

from __future__ import annotations

import re
import runpy
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import o2trio
from o2trio import _version
from tests.rest.fake import Fake, json_answer


def test_the_version_is_that_of_the_package() -> None:
    assert o2trio.__version__ == metadata.version("o2trio")
    assert f"o2trio/{o2trio.__version__}" == _version.USER_AGENT
    assert re.fullmatch(r"[!-~]+", _version.USER_AGENT), "a header holds no spaces or controls here"


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    names = runpy.run_path(str(Path(_version.__file__)))
    assert (names["__version__"], names["USER_AGENT"]) == ("0", "o2trio/0")


async def test_rest_requests_name_the_library(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    fake = Fake(nursery, lambda _path, _query: json_answer({"markets": []}))
    async with fake.client() as rest:
        with suppress(o2trio.O2Error):
            await rest.markets()
    agents = {headers["user-agent"] for headers in fake.headers}
    assert agents == {f"o2trio/{o2trio.__version__}"}
